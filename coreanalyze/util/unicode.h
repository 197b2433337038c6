/* unicode.h: names as Python sees them: code points of UTF-8, with surrogateescape for bytes that are no
 * UTF-8. */
#ifndef CA_UTIL_UNICODE_H
#define CA_UTIL_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* U+DC00 + byte: what an invalid byte (0x80..0xFF) decodes to. UTF-8 proper never decodes to a surrogate. */
#define CA_ESCAPED_BYTE 0xDC00u

/* Code point at *cursor, which is moved past it; *cursor < end. */
uint32_t ca_utf8_next(const char **cursor, const char *end);
/* True if all of it is UTF-8 as Python's strict decoder takes it: no overlong forms, no surrogates. */
bool ca_utf8_is_valid(const char *bytes, size_t size);

/* -1, 0, 1: order of two names by code point, as Python orders str. */
int ca_name_compare(const char *left, size_t left_size, const char *right, size_t right_size);

/* str.isspace() and str.isprintable(). Printable is what Unicode 14 (Python 3.11) says. */
bool ca_is_space(uint32_t code_point);
bool ca_is_printable(uint32_t code_point);

#endif
