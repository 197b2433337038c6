/* internal.h: what snapshot.c and the makers of snapshots (from_table.c, file readers) share. Nobody else
 * includes it.
 *
 * A snapshot owns its strings, frames, tracebacks and traces. One that was read from something bigger has a
 * resolver, which fills them in when they are first asked for; one built by hand has none and everything is
 * there from the start.
 */
#ifndef CA_SNAPSHOT_INTERNAL_H
#define CA_SNAPSHOT_INTERNAL_H

#include "index.h"
#include "location.h"
#include "snapshot.h"

/* The arrays have the public types: ca_snapshot_export hands them out. ca_string_span: the string is
 * NUL-terminated in string_bytes; hash is ca_hash_bytes of it. ca_traceback_span: count frames are known;
 * complete: that is all of them and total_nframe is valid. */

struct ca_resolver {
    /* Makes at least `wanted` of the most recent frames of `traceback` known (all of them if there are
     * fewer), by one call of ca_snapshot_set_traceback. Called only while they are not. */
    bool (*resolve)(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                    struct ca_error **ret_error);
    /* Adds every trace with ca_snapshot_add_trace, in the order in which ca_snapshot_traces gives them.
     * Called once. */
    bool (*read_traces)(struct ca_snapshot *snapshot, struct ca_error **ret_error);
    /* Visits what read_traces would add, in any order, without keeping it: `count` equal ones at a time. */
    bool (*each_trace)(struct ca_snapshot *snapshot, const struct ca_trace_visitor *visitor,
                       struct ca_error **ret_error);
    bool visits_always; /* each_trace is called after read_traces, too: the traces that this adds know no labels */
    /* As ca_snapshot_weights. */
    bool (*weigh)(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                  struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error);
    /* Frees resolver_data. */
    void (*destroy)(struct ca_snapshot *snapshot);
    /* As ca_snapshot_locations and ca_snapshot_mapped, for the reserved tracebacks. */
    bool (*locate)(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                   size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error);
    const struct ca_mapped *(*mapped)(struct ca_snapshot *snapshot, size_t *ret_count);
};

struct ca_snapshot {
    uint32_t limit; /* traceback_limit */

    /* What the snapshot rests on: coverage_shared when it is not NULL (a table's, which may still grow while
     * blocks are read), else coverage. ca_snapshot_coverage chooses. */
    struct ca_coverage coverage;
    const struct ca_coverage *coverage_shared;

    char *string_bytes;
    size_t string_size, string_capacity;
    struct ca_string_span *strings; /* index = string id; 0 is "" */
    size_t string_count, strings_capacity;
    struct ca_index string_index;

    struct ca_frame *frames; /* index = frame id */
    size_t frame_count, frames_capacity;
    struct ca_index frame_index;

    /* index = traceback id. The first reserved_tracebacks belong to the resolver: they are not interned and
     * two of them may be equal; those after are in traceback_index. */
    struct ca_traceback_span *tracebacks;
    size_t traceback_count, tracebacks_capacity;
    size_t reserved_tracebacks;
    struct ca_index traceback_index;
    uint32_t *traceback_frames;
    size_t traceback_frame_count, traceback_frames_capacity;

    struct ca_trace *traces;
    size_t trace_count, traces_capacity;
    bool traces_read; /* resolver->read_traces was called and succeeded */

    const struct ca_resolver *resolver; /* NULL: hand-built */
    void *resolver_data;                /* the resolver's */
};

/* How many blocks a trace stands for: more than 1 only for the samples of a target. A file's traces, which
 * have no address, are as many as were estimated. */
static inline uint64_t ca_trace_weight(const struct ca_snapshot *snapshot, const struct ca_trace *trace)
{
    const struct ca_coverage *coverage =
        snapshot->coverage_shared ? snapshot->coverage_shared : &snapshot->coverage;
    return trace->address ? ca_block_weight(coverage->sample_bytes, trace->size) : 1;
}

/* Both in snapshot.c. Called once, before anything else was added: traceback ids 0..count-1 exist and are
 * unresolved. */
bool ca_snapshot_reserve_tracebacks(struct ca_snapshot *snapshot, size_t count, struct ca_error **ret_error);
/* The `count` most recent frames (frame ids, copied) of a reserved traceback; complete: there are no more,
 * and total_nframe holds. A later call with more frames replaces an incomplete one. */
bool ca_snapshot_set_traceback(struct ca_snapshot *snapshot, uint32_t traceback, const uint32_t *frames,
                               size_t count, bool complete, uint32_t total_nframe,
                               struct ca_error **ret_error);

/* order.c. Lexicographic from the oldest frame, names by code point, a proper prefix is smaller: as
 * tracemalloc orders tracebacks. `left` and `right` are frame ids, most recent first. */
int ca_frames_compare(const struct ca_snapshot *snapshot, const uint32_t *left, size_t left_count,
                      const uint32_t *right, size_t right_count);
/* Brings the traces into canonical order: domain, traceback (resolved for that), size, thread, address. */
bool ca_snapshot_sort_traces(struct ca_snapshot *snapshot, struct ca_error **ret_error);

#endif
