/* root.h: the root page, the beacon and the note that lead to it. */
#ifndef TM_TABLES_ROOT_H
#define TM_TABLES_ROOT_H

#include <stdbool.h>
#include <stddef.h>

#include "../data.h"
#include "../layout.h"

/* The root. Never NULL: before tm_root_create, and where no memory can be had, a static one that never
 * traces. */
TM_DATA struct tm_root *tm_root;

/* This copy's beacon: of several tracers in a process, tm_table is the first one's. */
TM_DATA struct tm_beacon tm_root_beacon;

/* What the options say of the whole life of the process. */
struct tm_root_options {
    uint64_t features;
    uint64_t max_bytes;
    uint64_t sample_bytes;
    uint64_t freed_count;
};

/* Makes the root page at the preferred address and points the beacon to it. State: STOPPED; FAILED where
 * there is no memory (the static root is then what readers find). Called once. */
void tm_root_create(const struct tm_root_options *options);

/* A zeroed piece of the page run of the root, or of its own where that is full; NULL when out of memory. For
 * the small directories of the regions. */
void *tm_root_allocate(size_t size);

/* The state TM_STATE_FAILED: tables could not be made. */
void tm_root_fail(void);

#endif
