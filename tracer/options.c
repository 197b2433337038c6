#include "options.h"

#include <string.h>

#define NFRAME_MAX 65535

/* A piece of the text. */
struct span {
    const char *text;
    size_t length;
};

static bool refuse(struct tm_options_error *error, const char *reason, struct span span)
{
    *error = (struct tm_options_error){reason, span.text, span.length};
    return false;
}

/* The piece up to `separator`; the rest goes to *rest, whose text is NULL when there was none. */
static struct span span_split(struct span span, char separator, struct span *rest)
{
    const char *end = span.length ? memchr(span.text, separator, span.length) : NULL;
    if (!end) {
        *rest = (struct span){NULL, 0};
        return span;
    }
    size_t length = (size_t)(end - span.text);
    *rest = (struct span){end + 1, span.length - length - 1};
    return (struct span){span.text, length};
}

static bool span_is(struct span span, const char *word)
{
    return strlen(word) == span.length && memcmp(span.text, word, span.length) == 0;
}

/* Digits over the whole span; false for none, for anything else, and for 2^64 or more. */
static bool number_read(struct span span, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < span.length; i++) {
        unsigned digit = (unsigned)(span.text[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return false;
        }
    }
    *ret_number = number;
    return span.length != 0;
}

static bool size_read(struct span span, uint64_t *ret_size)
{
    static const char units[] = "KMG";
    unsigned shift = 0;
    const char *unit =
        span.length && span.text[span.length - 1] ? strchr(units, span.text[span.length - 1]) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        span.length--;
    }
    uint64_t number;
    if (!number_read(span, &number) || number > UINT64_MAX >> shift) {
        return false;
    }
    *ret_size = number << shift;
    return true;
}

static bool switch_read(struct span span, bool *ret_value)
{
    *ret_value = span_is(span, "1");
    return *ret_value || span_is(span, "0");
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* strtol's grammar: blanks, a sign, digits. */
static bool nframe_read(struct span span, struct tm_options *options, struct tm_options_error *error)
{
    struct span digits = span;
    while (digits.length && is_blank(*digits.text)) {
        digits.text++;
        digits.length--;
    }
    bool negative = digits.length && *digits.text == '-';
    if (digits.length && (*digits.text == '-' || *digits.text == '+')) {
        digits.text++;
        digits.length--;
    }
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.text[i] < '0' || digits.text[i] > '9') {
            return refuse(error, "the number of frames is not a number", span);
        }
    }
    if (!digits.length) {
        return refuse(error, "the number of frames is missing", span);
    }
    uint64_t number;
    if (!number_read(digits, &number) || number > NFRAME_MAX || (negative && number != 0)) {
        return refuse(error, "the number of frames must be in range [0; 65535]", span);
    }
    options->nframe = (uint32_t)number;
    return true;
}

static bool value_read(struct span key, struct span value, struct tm_options *options,
                       struct tm_options_error *error)
{
    struct span whole = {key.text, key.length + 1 + value.length};
    if (span_is(key, "sample")) {
        return size_read(value, &options->sample) ||
               refuse(error, "not a size (a number, perhaps with K, M or G)", whole);
    }
    if (span_is(key, "freed")) {
        if (!number_read(value, &options->freed)) {
            return refuse(error, "not a number", whole);
        }
        return options->freed <= TM_OPTIONS_FREED_MAX || refuse(error, "more than 16777216 freed blocks", whole);
    }
    if (span_is(key, "max")) {
        return size_read(value, &options->max) ||
               refuse(error, "not a size (a number, perhaps with K, M or G)", whole);
    }
    bool *option = span_is(key, "detail")  ? &options->detail
                   : span_is(key, "stats") ? &options->stats
                   : span_is(key, "mmap")  ? &options->mmap
                                           : NULL;
    if (!option) {
        return refuse(error, "unknown key (detail, freed, max, mmap, sample, stats)", key);
    }
    if (!switch_read(value, option)) {
        return refuse(error, "the value must be 0 or 1", whole);
    }
    return true;
}

static bool keys_read(struct span keys, struct tm_options *options, struct tm_options_error *error)
{
    while (keys.text) {
        struct span value;
        struct span item = span_split(keys, ',', &keys);
        struct span key = span_split(item, '=', &value);
        if (!value.text) {
            return refuse(error, "not of the form key=value", item);
        }
        if (!value_read(key, value, options, error)) {
            return false;
        }
    }
    return true;
}

void tm_options_init(struct tm_options *options)
{
    *options = (struct tm_options){.nframe = TM_OPTIONS_NFRAME_DEFAULT, .stats = true};
}

bool tm_options_read(const char *text, struct tm_options *options, struct tm_options_error *ret_error)
{
    struct span keys;
    struct span nframe = span_split((struct span){text, strlen(text)}, ',', &keys);
    return nframe_read(nframe, options, ret_error) && keys_read(keys, options, ret_error);
}

bool tm_options_read_nframe(const char *text, struct tm_options *options, struct tm_options_error *ret_error)
{
    return nframe_read((struct span){text, strlen(text)}, options, ret_error);
}

bool tm_options_read_keys(const char *text, struct tm_options *options, struct tm_options_error *ret_error)
{
    return keys_read((struct span){text, strlen(text)}, options, ret_error);
}

static size_t append(char *buffer, size_t size, size_t length, const char *text, size_t text_length)
{
    if (text_length > size - 1 - length) {
        text_length = size - 1 - length;
    }
    memcpy(buffer + length, text, text_length);
    return length + text_length;
}

size_t tm_options_error_format(const struct tm_options_error *error, char *buffer, size_t size)
{
    size_t length = append(buffer, size, 0, error->reason, strlen(error->reason));
    length = append(buffer, size, length, ": '", 3);
    length = append(buffer, size, length, error->text, error->length);
    length = append(buffer, size, length, "'", 1);
    for (size_t i = 0; i < length; i++) { /* one line, and nothing that a terminal would obey */
        if ((unsigned char)buffer[i] < 0x20 || buffer[i] == 0x7f) {
            buffer[i] = '?';
        }
    }
    buffer[length] = '\0';
    return length;
}
