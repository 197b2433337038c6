/* strings.h: the STRINGS region: paths of modules. */
#ifndef TM_TABLES_STRINGS_H
#define TM_TABLES_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool tm_strings_init(void);

/* Index of a copy of the text with a NUL behind it; 0, an empty string, when out of memory or too long. */
uint32_t tm_string_add(const char *text, size_t length);

#endif
