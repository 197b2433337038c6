/* snapshot.h: what a process held at one moment, in tracemalloc's terms.
 *
 * Strings, frames and tracebacks are interned: equal ones have equal ids. A snapshot that was read from
 * tables resolves its tracebacks to frames only when somebody looks at them (resolver), one built by hand or
 * loaded from a file has them at once.
 */
#ifndef CA_SNAPSHOT_SNAPSHOT_H
#define CA_SNAPSHOT_SNAPSHOT_H

#include "../table/table.h"
#include "../util/error.h"

struct ca_symbolizer;

/* struct ca_frame, struct ca_trace, enum ca_value, CA_TOTAL_UNKNOWN: see coreanalyze.h. */

/* A number of traces that share traceback, domain and thread: what statistics are computed from. A trace is a
 * weight with count 1; a snapshot read from tables weighs its stacks without visiting its blocks. */
struct ca_weight {
    unsigned __int128 size;
    uint64_t count;
    uint32_t traceback;
    uint32_t domain;
    uint32_t thread;
    uint32_t label; /* string id, for CA_KEY_TYPE and CA_KEY_SOURCE; 0 = none */
};

/* Something that looks at traces, `count` equal ones at a time; false = out of memory. label: as in struct
 * ca_weight. */
struct ca_trace_visitor {
    bool (*visit)(void *context, const struct ca_trace *trace, uint64_t count, uint32_t label);
    void *context;
};

/* Hand-built: no traces, no resolver. */
struct ca_snapshot *ca_snapshot_create(uint32_t traceback_limit, struct ca_error **ret_error);
/* From tables. Both are borrowed until the snapshot is destroyed. skip: extra function globs (borrowed
 * likewise); no_skip: keep allocator frames. */
struct ca_snapshot *ca_snapshot_from_table(struct ca_table *table, struct ca_symbolizer *symbolizer,
                                           const char *const *skip, size_t skip_count, bool no_skip,
                                           struct ca_error **ret_error);

uint32_t ca_snapshot_limit(const struct ca_snapshot *snapshot);
const struct ca_coverage *ca_snapshot_coverage(const struct ca_snapshot *snapshot);

/* Interning. UINT32_MAX = out of memory (or of ids). String id 0 is the empty string. Pointers to strings and
 * frames are borrowed until the next call that adds one. */
uint32_t ca_snapshot_add_string(struct ca_snapshot *snapshot, const char *bytes, size_t size);
const char *ca_snapshot_string(const struct ca_snapshot *snapshot, uint32_t string); /* NUL-terminated */
size_t ca_snapshot_string_size(const struct ca_snapshot *snapshot, uint32_t string); /* without the NUL */
uint32_t ca_snapshot_add_frame(struct ca_snapshot *snapshot, const struct ca_frame *frame);
const struct ca_frame *ca_snapshot_frame(const struct ca_snapshot *snapshot, uint32_t frame);
/* frames: frame ids, most recent first. total_nframe: CA_TOTAL_UNKNOWN = None. */
uint32_t ca_snapshot_add_traceback(struct ca_snapshot *snapshot, const uint32_t *frames, size_t count,
                                   uint32_t total_nframe);
bool ca_snapshot_add_trace(struct ca_snapshot *snapshot, const struct ca_trace *trace);

/* Frame ids of a traceback, most recent first, after skipping, inlined ones included; borrowed until the next
 * call that adds a traceback or resolves one. `wanted`: at least that many of the most recent (all =
 * SIZE_MAX): fewer are symbolised. NULL with an error. */
const uint32_t *ca_snapshot_traceback(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                                      size_t *ret_count, struct ca_error **ret_error);
uint32_t ca_snapshot_total_nframe(struct ca_snapshot *snapshot, uint32_t traceback);

/* Every trace, read from the tables at the first call; canonical order (domain, traceback, size, thread) for
 * a snapshot from tables, the order of adding otherwise. Borrowed until the snapshot changes. */
const struct ca_trace *ca_snapshot_traces(struct ca_snapshot *snapshot, size_t *ret_count,
                                          struct ca_error **ret_error);

/* Weights of the whole snapshot, without its traces being read where that can be avoided. by_thread: keep
 * threads apart (needs detail, else an error with CA_USAGE). Caller frees with free(). */
bool ca_snapshot_weights(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                         struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error);
/* Visits every trace in any order, without the traces being kept. */
bool ca_snapshot_each_trace(struct ca_snapshot *snapshot, const struct ca_trace_visitor *visitor,
                            struct ca_error **ret_error);
/* Gives a trace its label, a string id; false = out of memory, or an error that is the context's own. */
struct ca_labeller {
    bool (*label)(void *context, const struct ca_trace *trace, uint32_t *ret_label);
    void *context;
};
/* The same for the live traces that `keeps` is true for. Neither sorts nor keeps the traces: it costs one
 * look at each. labeller NULL: no labels. */
bool ca_snapshot_weights_where(struct ca_snapshot *snapshot, bool by_thread,
                               bool (*keeps)(const void *context, const struct ca_trace *trace),
                               const void *context, const struct ca_labeller *labeller,
                               struct ca_weight **ret_weights, size_t *ret_count,
                               struct ca_error **ret_error);

/* The trace of a block of the tables, whose traceback ids are the stack ids. */
static inline struct ca_trace ca_trace_of_block(const struct ca_block *block)
{
    return (struct ca_trace){
        .size = block->size,
        .address = block->address,
        .time = block->time,
        .order = block->order,
        .domain = block->domain,
        .traceback = block->stack,
        .thread = block->thread,
    };
}

#endif
