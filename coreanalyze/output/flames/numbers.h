/* numbers.h: ids of a snapshot, numbered in the order in which they are met: a file lists the names and
 * frames that occur in it, not all that there are. */
#ifndef CA_OUTPUT_FLAMES_NUMBERS_H
#define CA_OUTPUT_FLAMES_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

#define CA_NO_NUMBER UINT32_MAX

/* Zero-initialise. */
struct ca_numbers {
    uint32_t *numbers; /* by id; CA_NO_NUMBER: not met */
    size_t capacity;
    uint32_t *ids; /* by number */
    size_t count, ids_capacity;
};

/* The number of an id, a new one where it was not met before; CA_NO_NUMBER = out of memory. */
uint32_t ca_numbers_add(struct ca_numbers *numbers, uint32_t id);
void ca_numbers_deinit(struct ca_numbers *numbers);

#endif
