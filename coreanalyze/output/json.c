/* json.c: JSON values and a JSON object written piece by piece. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/unicode.h"

static struct json_object *checked(struct ca_json *json, struct json_object *object)
{
    json->failed = json->failed || !object;
    return object;
}

struct json_object *ca_json_raw(struct ca_json *json, const char *text)
{
    struct json_object *object = checked(json, json_object_new_string(""));
    char *copy = strdup(text);
    if (!object || !copy) {
        json->failed = true;
        free(copy);
        json_object_put(object);
        return NULL;
    }
    json_object_set_serializer(object, json_object_userdata_to_json_string, copy, json_object_free_userdata);
    return object;
}

/* json-c copies bytes that are no UTF-8 as they are. */
static struct json_object *escaped_name(struct ca_json *json, const char *name, size_t size)
{
    struct ca_text text = {0};
    ca_text_add(&text, "\"");
    const char *end = name + size;
    while (name < end) {
        const char *start = name;
        uint32_t code_point = ca_utf8_next(&name, end);
        if (code_point < 0x20 || code_point == '"' || code_point == '\\' ||
            (code_point & 0xfffff800) == 0xd800) {
            ca_text_printf(&text, "\\u%04x", code_point);
        } else {
            ca_text_add_bytes(&text, start, (size_t)(name - start));
        }
    }
    ca_text_add(&text, "\"");
    struct json_object *object = text.failed ? checked(json, NULL) : ca_json_raw(json, text.bytes);
    ca_text_deinit(&text);
    return object;
}

struct json_object *ca_json_name(struct ca_json *json, const char *name)
{
    if (!name) {
        return NULL;
    }
    size_t size = strlen(name);
    if (!ca_utf8_is_valid(name, size)) {
        return escaped_name(json, name, size);
    }
    return checked(json, json_object_new_string_len(name, (int)size));
}

struct json_object *ca_json_unsigned(struct ca_json *json, unsigned __int128 number)
{
    if (number <= UINT64_MAX) {
        return checked(json, json_object_new_uint64((uint64_t)number));
    }
    struct ca_text text = {0};
    ca_text_add_unsigned(&text, number);
    struct json_object *object = text.failed ? checked(json, NULL) : ca_json_raw(json, text.bytes);
    ca_text_deinit(&text);
    return object;
}

struct json_object *ca_json_integer(struct ca_json *json, __int128 number)
{
    if (number >= INT64_MIN && number <= INT64_MAX) {
        return checked(json, json_object_new_int64((int64_t)number));
    }
    struct ca_text text = {0};
    ca_text_add_integer(&text, number, false);
    struct json_object *object = text.failed ? checked(json, NULL) : ca_json_raw(json, text.bytes);
    ca_text_deinit(&text);
    return object;
}

struct json_object *ca_json_boolean(struct ca_json *json, bool value)
{
    return checked(json, json_object_new_boolean(value));
}

struct json_object *ca_json_address(struct ca_json *json, uint64_t address)
{
    if (address == 0) {
        return NULL;
    }
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    return checked(json, json_object_new_string(text));
}

struct json_object *ca_json_object(struct ca_json *json)
{
    return checked(json, json_object_new_object());
}

struct json_object *ca_json_array(struct ca_json *json)
{
    return checked(json, json_object_new_array());
}

void ca_json_set(struct ca_json *json, struct json_object *object, const char *key, struct json_object *value)
{
    if (!object || json_object_object_add(object, key, value) != 0) {
        json->failed = true;
        json_object_put(value);
    }
}

void ca_json_append(struct ca_json *json, struct json_object *array, struct json_object *value)
{
    if (!array || json_object_array_add(array, value) != 0) {
        json->failed = true;
        json_object_put(value);
    }
}

const char *ca_json_text(struct ca_json *json, struct json_object *value)
{
    const char *text =
        json_object_to_json_string_ext(value, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    json->failed = json->failed || !text;
    return text ? text : "";
}

/* ----------------------------------------------------------------------------------------- the outermost
 * object */

void ca_json_open(struct ca_json *json, struct ca_sink *sink)
{
    *json = (struct ca_json){.sink = sink, .first = true};
    ca_text_add(&sink->text, "{");
}

static void value_write(struct ca_json *json, struct json_object *value)
{
    ca_text_add(&json->sink->text, ca_json_text(json, value));
    json_object_put(value);
}

static void key_write(struct ca_json *json, const char *key)
{
    ca_text_printf(&json->sink->text, "%s\"%s\": ", json->first ? "" : ",\n ", key);
    json->first = false;
}

void ca_json_member(struct ca_json *json, const char *key, struct json_object *value)
{
    key_write(json, key);
    value_write(json, value);
}

void ca_json_list_open(struct ca_json *json, const char *key)
{
    key_write(json, key);
    ca_text_add(&json->sink->text, "[");
    json->first = true;
}

void ca_json_list_next(struct ca_json *json)
{
    ca_text_add(&json->sink->text, json->first ? "\n  " : ",\n  ");
    json->first = false;
}

void ca_json_list_add(struct ca_json *json, struct json_object *value)
{
    ca_json_list_next(json);
    value_write(json, value);
    ca_sink_flush(json->sink);
}

void ca_json_list_close(struct ca_json *json)
{
    ca_text_add(&json->sink->text, "]");
    json->first = false;
}

bool ca_json_close(struct ca_json *json, struct ca_error **ret_error)
{
    ca_text_add(&json->sink->text, "}\n");
    return !json->failed || ca_fail_memory(ret_error);
}
