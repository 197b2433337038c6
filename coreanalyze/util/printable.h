/* printable.h: the code points that str.isprintable() denies, as ranges in ascending order. */
#ifndef CA_UTIL_PRINTABLE_H
#define CA_UTIL_PRINTABLE_H

#include <stddef.h>
#include <stdint.h>

struct ca_code_range {
    uint32_t first;
    uint32_t last;
};

extern const struct ca_code_range ca_unprintable[];
extern const size_t ca_unprintable_count;

#endif
