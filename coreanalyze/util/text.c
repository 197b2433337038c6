#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "short_name.h"
#include "unicode.h"

void ca_text_deinit(struct ca_text *text)
{
    free(text->bytes);
    free(text->marks);
    *text = (struct ca_text){
        .escape_names = text->escape_names, .short_names = text->short_names, .look = text->look};
}

/* Room for `size` more bytes and a NUL. */
static bool text_reserve(struct ca_text *text, size_t size)
{
    if (text->failed) {
        return false;
    }
    if (size < text->capacity - text->size) {
        return true;
    }
    size_t capacity = text->capacity < 64 ? 64 : text->capacity;
    while (capacity - text->size <= size) {
        if (capacity > SIZE_MAX / 2) {
            text->failed = true;
            return false;
        }
        capacity *= 2;
    }
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void ca_text_add_bytes(struct ca_text *text, const char *bytes, size_t size)
{
    if (text_reserve(text, size)) {
        if (size != 0) {
            memcpy(text->bytes + text->size, bytes, size);
        }
        text->size += size;
        text->bytes[text->size] = '\0';
    }
}

void ca_text_add(struct ca_text *text, const char *string)
{
    ca_text_add_bytes(text, string, strlen(string));
}

void ca_text_printf(struct ca_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) {
        text->failed = true;
    } else if (text_reserve(text, (size_t)size)) {
        vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

static void add_digits(struct ca_text *text, const char *sign, unsigned __int128 number)
{
    char digits[40]; /* 2^128 has 39 digits */
    char *first = digits + sizeof(digits);
    do {
        *--first = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number != 0);
    ca_text_add(text, sign);
    ca_text_add_bytes(text, first, (size_t)(digits + sizeof(digits) - first));
}

void ca_text_add_integer(struct ca_text *text, __int128 number, bool plus)
{
    unsigned __int128 magnitude = (unsigned __int128)number;
    if (number < 0) {
        magnitude = 0 - magnitude;
    }
    add_digits(text, number < 0 ? "-" : plus ? "+" : "", magnitude);
}

void ca_text_add_unsigned(struct ca_text *text, unsigned __int128 number)
{
    add_digits(text, "", number);
}

/* ----------------------------------------------------------------------------------------------- styles */

/* SGR parameters; "" = none. */
static const char *style_parameters(const struct ca_text *text, enum ca_style style)
{
    return style == CA_STYLE_PLAIN || !text->look || !text->look->styles ? "" : text->look->styles[style];
}

void ca_text_style(struct ca_text *text, enum ca_style style)
{
    if (style_parameters(text, text->style)[0]) {
        ca_text_add(text, "\033[0m");
    }
    const char *parameters = style_parameters(text, style);
    if (parameters[0]) {
        ca_text_printf(text, "\033[%sm", parameters);
    }
    text->style = style;
}

/* Around a name or a source line: its style where none is set, and a mark. */
struct piece {
    enum ca_style before;
    size_t start;
};

static struct piece piece_begin(struct ca_text *text, enum ca_style style)
{
    struct piece piece = {.before = text->style};
    if (text->style == CA_STYLE_PLAIN) {
        ca_text_style(text, style);
    }
    piece.start = text->size;
    return piece;
}

static void piece_end(struct ca_text *text, struct piece piece, bool is_line)
{
    if (text->look && text->look->columns && text->size > piece.start) {
        if (CA_GROW(text->marks, text->mark_capacity, text->mark_count + 1)) {
            text->marks[text->mark_count++] = (struct ca_mark){piece.start, text->size, is_line};
        } else {
            text->failed = true;
        }
    }
    if (piece.before != text->style) {
        ca_text_style(text, piece.before);
    }
}

/* ------------------------------------------------------------------------------------------------ names */

static bool is_escaped_byte(uint32_t c)
{
    return c >= CA_ESCAPED_BYTE && c <= CA_ESCAPED_BYTE + 0xFF;
}

bool ca_text_is_dangerous(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || is_escaped_byte(c);
}

/* Clean stretches are copied whole. */
static void add_escaped(struct ca_text *text, const char *bytes, size_t size, bool keep_tabs)
{
    const char *end = bytes + size;
    const char *clean = bytes;
    while (bytes < end) {
        const char *at = bytes;
        uint32_t c = ca_utf8_next(&bytes, end);
        if (!ca_text_is_dangerous(c) || (keep_tabs && c == '\t')) {
            continue;
        }
        ca_text_add_bytes(text, clean, (size_t)(at - clean));
        clean = bytes;
        if (c < 0x80 || is_escaped_byte(c)) {
            ca_text_printf(text, "\\x%02x", c & 0xFFu);
        } else {
            ca_text_printf(text, "\\u%04x", c);
        }
    }
    ca_text_add_bytes(text, clean, (size_t)(end - clean));
}

void ca_text_add_name(struct ca_text *text, const char *name)
{
    ca_text_add_name_bytes(text, name, strlen(name));
}

static void add_short(struct ca_text *text, const char *name, size_t size)
{
    struct ca_text brief = {0};
    ca_short_name(&brief, name, size);
    add_escaped(text, brief.bytes ? brief.bytes : "", brief.size, false);
    text->failed = text->failed || brief.failed;
    ca_text_deinit(&brief);
}

void ca_text_add_name_bytes(struct ca_text *text, const char *name, size_t size)
{
    struct piece piece = piece_begin(text, CA_STYLE_FILE);
    if (text->short_names) {
        add_short(text, name, size);
    } else {
        add_escaped(text, name, size, false);
    }
    piece_end(text, piece, false);
}

void ca_text_add_styled(struct ca_text *text, enum ca_style style, const char *name)
{
    enum ca_style before = text->style;
    ca_text_style(text, style);
    ca_text_add_name(text, name);
    ca_text_style(text, before);
}

void ca_text_add_line_bytes(struct ca_text *text, const char *line, size_t size)
{
    struct piece piece = piece_begin(text, CA_STYLE_NOTE);
    add_escaped(text, line, size, true);
    piece_end(text, piece, true);
}

void ca_text_add_target(struct ca_text *text, const char *name, size_t size)
{
    if (text->escape_names) {
        ca_text_add_name_bytes(text, name, size);
    } else {
        ca_text_add_bytes(text, name, size);
    }
}

static void add_repr_point(struct ca_text *text, uint32_t c)
{
    if (c == '\n' || c == '\r' || c == '\t') {
        ca_text_add(text, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c < 0x100) {
        ca_text_printf(text, "\\x%02x", c);
    } else if (c < 0x10000) {
        ca_text_printf(text, "\\u%04x", c);
    } else {
        ca_text_printf(text, "\\U%08x", c);
    }
}

void ca_text_add_repr(struct ca_text *text, const char *string, size_t size)
{
    bool double_quotes = memchr(string, '\'', size) != NULL && memchr(string, '"', size) == NULL;
    char quote = double_quotes ? '"' : '\'';
    const char *end = string + size;
    ca_text_add_bytes(text, &quote, 1);
    while (string < end) {
        const char *at = string;
        uint32_t c = ca_utf8_next(&string, end);
        if (c == (unsigned char)quote || c == '\\') {
            ca_text_add(text, "\\");
        }
        if (ca_is_printable(c)) {
            ca_text_add_bytes(text, at, (size_t)(string - at));
        } else {
            add_repr_point(text, c);
        }
    }
    ca_text_add_bytes(text, &quote, 1);
}
