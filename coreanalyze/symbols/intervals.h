/* intervals.h: which of many nested address ranges is the innermost around an address. */
#ifndef CA_SYMBOLS_INTERVALS_H
#define CA_SYMBOLS_INTERVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CA_NO_INTERVAL UINT32_MAX

struct ca_interval {
    uint64_t low, high; /* [low, high) */
    uint32_t value;     /* not CA_NO_INTERVAL; of equal ranges the larger value counts as the inner one */
};

/* A piece of the address space up to the next piece's start. */
struct ca_segment {
    uint64_t start;
    uint32_t value; /* CA_NO_INTERVAL: nothing is there */
};

/* Zero-initialise. */
struct ca_intervals {
    struct ca_interval *items; /* being collected; freed by ca_intervals_finish */
    size_t count, capacity;
    struct ca_segment *segments; /* sorted, non-overlapping */
    size_t segment_count;
};

void ca_intervals_deinit(struct ca_intervals *intervals);
/* Empty and reversed ranges are left out. False when out of memory. */
bool ca_intervals_add(struct ca_intervals *intervals, uint64_t low, uint64_t high, uint32_t value);
/* After the last add, before the first find. Ranges that overlap without nesting: the one that starts later
 * counts as the inner one. False when out of memory. */
bool ca_intervals_finish(struct ca_intervals *intervals);
uint32_t ca_intervals_find(const struct ca_intervals *intervals, uint64_t address);

#endif
