/* snapshot.c: frames, tracebacks and traces of a snapshot. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

struct ca_snapshot *ca_snapshot_create(uint32_t traceback_limit, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL || ca_snapshot_add_string(snapshot, "", 0) != 0) {
        ca_snapshot_destroy(snapshot);
        ca_fail_memory(ret_error);
        return NULL;
    }
    snapshot->limit = traceback_limit;
    return snapshot;
}

void ca_snapshot_destroy(struct ca_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    if (snapshot->resolver != NULL) {
        snapshot->resolver->destroy(snapshot);
    }
    free(snapshot->string_bytes);
    free(snapshot->strings);
    ca_index_deinit(&snapshot->string_index);
    free(snapshot->frames);
    ca_index_deinit(&snapshot->frame_index);
    free(snapshot->tracebacks);
    ca_index_deinit(&snapshot->traceback_index);
    free(snapshot->traceback_frames);
    free(snapshot->traces);
    free(snapshot);
}

uint32_t ca_snapshot_limit(const struct ca_snapshot *snapshot)
{
    return snapshot->limit;
}

const struct ca_coverage *ca_snapshot_coverage(const struct ca_snapshot *snapshot)
{
    return snapshot->coverage_shared != NULL ? snapshot->coverage_shared : &snapshot->coverage;
}

/* ------------------------------------------------------------------------------------ frames */

static uint32_t hash_frame(const struct ca_frame *frame)
{
    uint32_t hash = ca_hash_combine(0, (uint64_t)frame->filename << 32 | frame->lineno);
    return ca_hash_combine(hash, (uint64_t)frame->function << 32 | frame->module);
}

static bool frame_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_frame *frame = &((const struct ca_snapshot *)array)->frames[element];
    const struct ca_frame *wanted = key;
    return frame->filename == wanted->filename && frame->lineno == wanted->lineno &&
           frame->function == wanted->function && frame->module == wanted->module;
}

static uint32_t frame_hash(const void *array, uint32_t element)
{
    return hash_frame(&((const struct ca_snapshot *)array)->frames[element]);
}

static const struct ca_index_type frame_type = {frame_equal, frame_hash};

uint32_t ca_snapshot_add_frame(struct ca_snapshot *snapshot, const struct ca_frame *frame)
{
    struct ca_frame copy = *frame; /* it may lie in the array that grows */
    uint32_t hash = hash_frame(&copy);
    uint32_t found = ca_index_find(&snapshot->frame_index, &frame_type, snapshot, &copy, hash);
    if (found != CA_INDEX_NONE) {
        return found;
    }
    if (snapshot->frame_count >= UINT32_MAX - 1 ||
        !CA_GROW(snapshot->frames, snapshot->frames_capacity, snapshot->frame_count + 1) ||
        !ca_index_reserve(&snapshot->frame_index, &frame_type, snapshot)) {
        return UINT32_MAX;
    }
    uint32_t id = (uint32_t)snapshot->frame_count++;
    snapshot->frames[id] = copy;
    ca_index_insert(&snapshot->frame_index, id, hash);
    return id;
}

const struct ca_frame *ca_snapshot_frame(const struct ca_snapshot *snapshot, uint32_t frame)
{
    return &snapshot->frames[frame];
}

/* ------------------------------------------------------------------------------------ tracebacks */

struct traceback_key {
    const uint32_t *frames;
    size_t count;
    uint32_t total_nframe;
};

static uint32_t hash_traceback(const uint32_t *frames, size_t count, uint32_t total_nframe)
{
    return ca_hash_combine(ca_hash_bytes(frames, count * sizeof(*frames)), total_nframe);
}

static bool traceback_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_snapshot *snapshot = array;
    const struct ca_traceback_span *traceback = &snapshot->tracebacks[element];
    const struct traceback_key *wanted = key;
    return traceback->count == wanted->count && traceback->total_nframe == wanted->total_nframe &&
           (wanted->count == 0 || memcmp(snapshot->traceback_frames + traceback->first, wanted->frames,
                                         wanted->count * sizeof(*wanted->frames)) == 0);
}

static uint32_t traceback_hash(const void *array, uint32_t element)
{
    const struct ca_snapshot *snapshot = array;
    const struct ca_traceback_span *traceback = &snapshot->tracebacks[element];
    return hash_traceback(snapshot->traceback_frames + traceback->first, traceback->count,
                          traceback->total_nframe);
}

static const struct ca_index_type traceback_type = {traceback_equal, traceback_hash};

/* Copies `frames` to the end of traceback_frames. The array is never left NULL, so that an empty traceback
 * has an address. */
static bool append_frames(struct ca_snapshot *snapshot, const uint32_t *frames, size_t count)
{
    if (!CA_GROW(snapshot->traceback_frames, snapshot->traceback_frames_capacity,
                 snapshot->traceback_frame_count + count + 1)) {
        return false;
    }
    if (count != 0) {
        memcpy(snapshot->traceback_frames + snapshot->traceback_frame_count, frames, count * sizeof(*frames));
    }
    snapshot->traceback_frame_count += count;
    return true;
}

uint32_t ca_snapshot_add_traceback(struct ca_snapshot *snapshot, const uint32_t *frames, size_t count,
                                   uint32_t total_nframe)
{
    struct traceback_key key = {frames, count, total_nframe};
    uint32_t hash = hash_traceback(frames, count, total_nframe);
    uint32_t found = ca_index_find(&snapshot->traceback_index, &traceback_type, snapshot, &key, hash);
    if (found != CA_INDEX_NONE) {
        return found;
    }
    uint64_t first = snapshot->traceback_frame_count;
    if (count >= UINT32_MAX || snapshot->traceback_count >= UINT32_MAX - 1 ||
        !CA_GROW(snapshot->tracebacks, snapshot->tracebacks_capacity, snapshot->traceback_count + 1) ||
        !ca_index_reserve(&snapshot->traceback_index, &traceback_type, snapshot) ||
        !append_frames(snapshot, frames, count)) {
        return UINT32_MAX;
    }
    uint32_t id = (uint32_t)snapshot->traceback_count++;
    snapshot->tracebacks[id] = (struct ca_traceback_span){
        .first = first, .count = (uint32_t)count, .total_nframe = total_nframe, .complete = true};
    ca_index_insert(&snapshot->traceback_index, id, hash);
    return id;
}

bool ca_snapshot_reserve_tracebacks(struct ca_snapshot *snapshot, size_t count, struct ca_error **ret_error)
{
    if (count >= UINT32_MAX - 1 || !CA_GROW(snapshot->tracebacks, snapshot->tracebacks_capacity, count + 1) ||
        !append_frames(snapshot, NULL, 0)) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < count; i++) {
        snapshot->tracebacks[i] = (struct ca_traceback_span){.total_nframe = CA_TOTAL_UNKNOWN};
    }
    snapshot->traceback_count = count;
    snapshot->reserved_tracebacks = count;
    return true;
}

bool ca_snapshot_set_traceback(struct ca_snapshot *snapshot, uint32_t traceback, const uint32_t *frames,
                               size_t count, bool complete, uint32_t total_nframe,
                               struct ca_error **ret_error)
{
    uint64_t first = snapshot->traceback_frame_count;
    if (count >= UINT32_MAX || !append_frames(snapshot, frames, count)) {
        return ca_fail_memory(ret_error);
    }
    snapshot->tracebacks[traceback] = (struct ca_traceback_span){
        .first = first, .count = (uint32_t)count, .total_nframe = total_nframe, .complete = complete};
    return true;
}

static bool traceback_resolve(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                              struct ca_error **ret_error)
{
    const struct ca_traceback_span *span = &snapshot->tracebacks[traceback];
    if (span->complete || span->count >= wanted) {
        return true;
    }
    return snapshot->resolver->resolve(snapshot, traceback, wanted, ret_error);
}

const uint32_t *ca_snapshot_traceback(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                                      size_t *ret_count, struct ca_error **ret_error)
{
    if (!traceback_resolve(snapshot, traceback, wanted, ret_error)) {
        return NULL;
    }
    *ret_count = snapshot->tracebacks[traceback].count;
    return snapshot->traceback_frames + snapshot->tracebacks[traceback].first;
}

uint32_t ca_snapshot_total_nframe(struct ca_snapshot *snapshot, uint32_t traceback)
{
    struct ca_error *error = NULL;
    if (!traceback_resolve(snapshot, traceback, SIZE_MAX, &error)) {
        ca_error_destroy(error);
        return CA_TOTAL_UNKNOWN;
    }
    return snapshot->tracebacks[traceback].total_nframe;
}

/* ------------------------------------------------------------------------------------ traces */

bool ca_snapshot_add_trace(struct ca_snapshot *snapshot, const struct ca_trace *trace)
{
    if (!CA_GROW(snapshot->traces, snapshot->traces_capacity, snapshot->trace_count + 1)) {
        return false;
    }
    snapshot->traces[snapshot->trace_count++] = *trace;
    if (snapshot->resolver == NULL) { /* otherwise the coverage was read, too */
        snapshot->coverage.blocks++;
    }
    return true;
}

const struct ca_trace *ca_snapshot_traces(struct ca_snapshot *snapshot, size_t *ret_count,
                                          struct ca_error **ret_error)
{
    static const struct ca_trace none;
    if (snapshot->resolver != NULL && !snapshot->traces_read) {
        snapshot->trace_count = 0; /* what a failed attempt left */
        if (!snapshot->resolver->read_traces(snapshot, ret_error)) {
            return NULL;
        }
        snapshot->traces_read = true;
    }
    *ret_count = snapshot->trace_count;
    return snapshot->trace_count == 0 ? &none : snapshot->traces;
}
