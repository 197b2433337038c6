/* decode.h: source files as text, by Python's rules (tokenize.open). */
#ifndef CA_UTIL_DECODE_H
#define CA_UTIL_DECODE_H

#include <stdbool.h>
#include <stddef.h>

/* The whole of a source file as UTF-8 without its byte order mark: UTF-8 by default, another codec where a
 * "coding: NAME" comment in line 1 or 2 says so. On success *bytes (malloc'ed) and *size are what it decodes
 * to; the buffer may be another than before, and has room for one byte more. False: no text by Python's rules
 * (an invalid byte, an unknown codec, a contradiction between mark and comment) or out of memory; *bytes is
 * still the caller's then.
 *
 * UTF-8, Latin-1 and ASCII go by all names that Python knows. Other codecs are iconv's, whose tables are not
 * Python's in all corners (0x5C in Shift_JIS). Python's codecs that are no character sets (punycode,
 * unicode_escape, ...) count as unknown. */
bool ca_decode_source(char **bytes, size_t *size);

#endif
