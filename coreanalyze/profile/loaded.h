/* loaded.h: what a loaded profile keeps beside its snapshot: samples and the physical locations of their
 * tracebacks. */
#ifndef CA_PROFILE_LOADED_H
#define CA_PROFILE_LOADED_H

#include "../snapshot/internal.h"
#include "../snapshot/location.h"

struct ca_loaded_location {
    uint64_t address;
    size_t first; /* in location_frames: frame ids, innermost first */
    uint32_t frame_count;
    uint32_t mapping;
};

struct ca_loaded_traceback {
    size_t first; /* in traceback_locations */
    uint32_t count;
    uint32_t total; /* frames, skipped ones counted; CA_TOTAL_UNKNOWN */
};

struct ca_loaded_sample {
    uint64_t live_count, live_size, total_count, total_size, peak_count, peak_size;
    uint64_t bytes; /* of one block, if has_bytes */
    uint32_t traceback, domain, thread;
    bool has_bytes;
};

struct ca_loaded {
    char *path;
    char **skip;
    size_t skip_count;
    bool no_skip;
    bool has_threads;
    bool has_history[3]; /* index = enum ca_value */

    struct ca_mapped *mapped; /* [0] is unused */
    size_t mapped_count, mapped_capacity;
    struct ca_loaded_location *locations;
    size_t location_count, locations_capacity;
    uint32_t *location_frames;
    size_t location_frame_count, location_frames_capacity;
    struct ca_loaded_traceback *tracebacks; /* index = traceback id of the snapshot */
    size_t traceback_count, tracebacks_capacity;
    uint32_t *traceback_locations;
    size_t traceback_location_count, traceback_locations_capacity;
    struct ca_loaded_sample *samples;
    size_t sample_count, samples_capacity;
};

void ca_loaded_destroy(struct ca_loaded *loaded); /* NULL is allowed */

#endif
