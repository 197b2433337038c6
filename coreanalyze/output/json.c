/* json.c: JSON as a stream. */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "../util/unicode.h"

/* What stands before a value. */
static void value_begin(struct ca_json *json, const char *key)
{
    if (json->more) {
        ca_text_add(json->text, json->line ? ",\n " : ", ");
    } else if (json->line) {
        ca_text_add(json->text, "\n ");
    }
    json->more = true;
    json->line = false;
    if (key) {
        ca_text_printf(json->text, "\"%s\": ", key);
    }
}

void ca_json_line(struct ca_json *json)
{
    json->line = true;
}

static void bracket_open(struct ca_json *json, const char *key, const char *bracket)
{
    value_begin(json, key);
    ca_text_add(json->text, bracket);
    json->more = false;
}

static void bracket_close(struct ca_json *json, const char *bracket)
{
    ca_text_add(json->text, bracket);
    json->more = true;
    json->line = false;
}

void ca_json_object_open(struct ca_json *json, const char *key)
{
    bracket_open(json, key, "{");
}

void ca_json_object_close(struct ca_json *json)
{
    bracket_close(json, "}");
}

void ca_json_array_open(struct ca_json *json, const char *key)
{
    bracket_open(json, key, "[");
}

void ca_json_array_close(struct ca_json *json)
{
    bracket_close(json, "]");
}

static bool needs_escape(const struct ca_json *json, uint32_t code_point)
{
    return ca_text_is_dangerous(code_point) || code_point == '"' || code_point == '\\' ||
           (code_point == '<' && json->markup);
}

static void add_escaped(struct ca_json *json, const char *string)
{
    struct ca_text *text = json->text;
    const char *end = string + strlen(string);
    const char *clean = string; /* from here on nothing was added and nothing needs an escape */
    while (string < end) {
        const char *start = string;
        uint32_t code_point = ca_utf8_next(&string, end);
        if (!needs_escape(json, code_point)) {
            continue;
        }
        ca_text_add_bytes(text, clean, (size_t)(start - clean));
        clean = string;
        if (code_point == '"' || code_point == '\\') {
            ca_text_printf(text, "\\%c", (char)code_point);
        } else {
            ca_text_printf(text, "\\u%04" PRIx32, code_point);
        }
    }
    ca_text_add_bytes(text, clean, (size_t)(end - clean));
}

void ca_json_string(struct ca_json *json, const char *key, const char *string)
{
    if (!string) {
        ca_json_null(json, key);
        return;
    }
    value_begin(json, key);
    ca_text_add(json->text, "\"");
    add_escaped(json, string);
    ca_text_add(json->text, "\"");
}

void ca_json_unsigned(struct ca_json *json, const char *key, unsigned __int128 number)
{
    value_begin(json, key);
    ca_text_add_unsigned(json->text, number);
}

void ca_json_integer(struct ca_json *json, const char *key, __int128 number)
{
    value_begin(json, key);
    ca_text_add_integer(json->text, number, false);
}

void ca_json_boolean(struct ca_json *json, const char *key, bool value)
{
    value_begin(json, key);
    ca_text_add(json->text, value ? "true" : "false");
}

void ca_json_null(struct ca_json *json, const char *key)
{
    value_begin(json, key);
    ca_text_add(json->text, "null");
}

void ca_json_address(struct ca_json *json, const char *key, uint64_t address)
{
    if (address == 0) {
        ca_json_null(json, key);
        return;
    }
    value_begin(json, key);
    ca_text_printf(json->text, "\"0x%" PRIx64 "\"", address);
}

void ca_json_seconds(struct ca_json *json, const char *key, uint64_t nanoseconds)
{
    value_begin(json, key);
    ca_text_printf(json->text, "%" PRIu64 ".%09" PRIu64, nanoseconds / 1000000000, nanoseconds % 1000000000);
}

void ca_json_members(struct ca_json *json, const struct ca_text *members)
{
    json->text->failed = json->text->failed || members->failed;
    value_begin(json, NULL);
    ca_text_add_bytes(json->text, members->bytes, members->size);
}
