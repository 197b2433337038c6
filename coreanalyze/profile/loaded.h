/* loaded.h: what a loaded profile, or a sum of snapshots, keeps beside its snapshot: samples and the physical
 * locations of their tracebacks. */
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
    uint32_t label; /* string id of what is to be told apart, mostly the source; 0 = none */
    bool has_bytes;
};

struct ca_loaded {
    char *path;
    char **skip;
    size_t skip_count;
    bool no_skip;
    bool has_threads;
    bool has_labels;
    bool has_history[3]; /* index = enum ca_value */

    struct ca_mapped *mapped; /* [0] is unused */
    size_t mapped_count, mapped_capacity;
    struct ca_loaded_location *locations;
    size_t location_count, locations_capacity;
    uint32_t *location_frames;
    size_t location_frame_count, location_frames_capacity;
    struct ca_loaded_traceback *tracebacks; /* index = traceback id of the snapshot */
    size_t traceback_count, tracebacks_capacity;
    struct ca_index traceback_index;
    uint32_t *traceback_locations;
    size_t traceback_location_count, traceback_locations_capacity;
    struct ca_loaded_sample *samples;
    size_t sample_count, samples_capacity;
};

/* A snapshot without traces over *ret_loaded, which it owns: the caller fills it and then reserves its
 * tracebacks. path: what errors call it; copied, as skip is. */
struct ca_snapshot *ca_loaded_create(const char *path, const char *const *skip, size_t skip_count,
                                     bool no_skip, struct ca_loaded **ret_loaded,
                                     struct ca_error **ret_error);
void ca_loaded_destroy(struct ca_loaded *loaded); /* NULL is allowed */

/* NULL for a snapshot of something else. */
struct ca_loaded *ca_loaded_of(const struct ca_snapshot *snapshot);

/* The traceback of the `count` locations that were just added to traceback_locations; they are taken back
 * when it is known already. UINT32_MAX when out of memory. */
uint32_t ca_loaded_add_traceback(struct ca_loaded *loaded, size_t count, uint32_t total);

#endif
