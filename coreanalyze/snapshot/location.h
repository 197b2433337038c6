/* location.h: the physical side of a snapshot's tracebacks, as snapshot files keep it: code positions before allocator frames
 * are taken off, and the modules they lie in. */
#ifndef CA_SNAPSHOT_LOCATION_H
#define CA_SNAPSHOT_LOCATION_H

#include "snapshot.h"

/* One call on a stack, with the calls that were inlined there. */
struct ca_location {
    uint64_t address;       /* that was looked up; 0 = not known */
    uint32_t mapping;       /* index into ca_snapshot_mapped, 0 = none */
    uint32_t frame_count;   /* at least 1 */
    const uint32_t *frames; /* frame ids, innermost first; borrowed until the next call */
};

/* A module that locations lie in. */
struct ca_mapped {
    uint64_t start;
    uint64_t limit;       /* first address after it */
    const char *path;     /* borrowed until the snapshot is destroyed */
    const char *build_id; /* lower-case hexadecimal, "" = none */
};

/* The locations of a traceback, most recent first, nothing skipped; caller frees *ret_locations with free(). *ret_total: the
 * number of frames of the uncut traceback, skipped ones counted, or CA_TOTAL_UNKNOWN. A snapshot that was built by hand has one
 * location of unknown address per frame. */
bool ca_snapshot_locations(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                           size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error);
/* Modules; [0] is unused. Borrowed until the snapshot is destroyed. */
const struct ca_mapped *ca_snapshot_mapped(struct ca_snapshot *snapshot, size_t *ret_count);

#endif
