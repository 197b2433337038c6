/* order.c: the order of tracebacks and of traces. */
#include <stdlib.h>
#include <string.h>

#include "../util/unicode.h"
#include "internal.h"

static int compare_frames(const struct ca_snapshot *snapshot, uint32_t left_id, uint32_t right_id)
{
    if (left_id == right_id) {
        return 0;
    }
    const struct ca_frame *left = ca_snapshot_frame(snapshot, left_id);
    const struct ca_frame *right = ca_snapshot_frame(snapshot, right_id);
    if (left->filename != right->filename) {
        return ca_name_compare(
            ca_snapshot_string(snapshot, left->filename), ca_snapshot_string_size(snapshot, left->filename),
            ca_snapshot_string(snapshot, right->filename), ca_snapshot_string_size(snapshot, right->filename));
    }
    return (left->lineno > right->lineno) - (left->lineno < right->lineno);
}

int ca_frames_compare(const struct ca_snapshot *snapshot, const uint32_t *left, size_t left_count, const uint32_t *right,
                      size_t right_count)
{
    while (left_count > 0 && right_count > 0) {
        int order = compare_frames(snapshot, left[--left_count], right[--right_count]);
        if (order != 0) {
            return order;
        }
    }
    return (left_count > 0) - (right_count > 0);
}

/* Equal frames are ordered by total_nframe, unknown last. */
static int compare_tracebacks(const void *a, const void *b, void *context)
{
    const struct ca_snapshot *snapshot = context;
    const struct ca_traceback_span *left = &snapshot->tracebacks[*(const uint32_t *)a];
    const struct ca_traceback_span *right = &snapshot->tracebacks[*(const uint32_t *)b];
    int order = ca_frames_compare(snapshot, snapshot->traceback_frames + left->first, left->count,
                                  snapshot->traceback_frames + right->first, right->count);
    return order ? order : (left->total_nframe > right->total_nframe) - (left->total_nframe < right->total_nframe);
}

/* rank[traceback] for all tracebacks that a trace has; equal ones get equal ranks. */
static bool rank_tracebacks(struct ca_snapshot *snapshot, uint32_t *rank, uint32_t *used, struct ca_error **ret_error)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->trace_count; i++) {
        uint32_t traceback = snapshot->traces[i].traceback;
        size_t frames;
        if (rank[traceback] != 0) {
            continue;
        }
        rank[traceback] = 1;
        used[count++] = traceback;
        if (!ca_snapshot_traceback(snapshot, traceback, SIZE_MAX, &frames, ret_error) && frames > 0) {
            return false;
        }
    }
    qsort_r(used, count, sizeof *used, compare_tracebacks, snapshot);
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++) {
        next += i == 0 || compare_tracebacks(&used[i - 1], &used[i], snapshot) != 0;
        rank[used[i]] = next;
    }
    return true;
}

static int compare_traces(const void *a, const void *b, void *context)
{
    const uint32_t *rank = context;
    const struct ca_trace *left = a, *right = b;
    const uint64_t keys[][2] = {{left->domain, right->domain},
                                {rank[left->traceback], rank[right->traceback]},
                                {left->size, right->size},
                                {left->thread, right->thread},
                                {left->address, right->address}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i][0] != keys[i][1]) {
            return keys[i][0] < keys[i][1] ? -1 : 1;
        }
    }
    return 0;
}

bool ca_snapshot_sort_traces(struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    size_t tracebacks = snapshot->traceback_count + 1;
    uint32_t *rank = calloc(tracebacks, sizeof *rank), *used = malloc(tracebacks * sizeof *used);
    bool done = rank && used ? rank_tracebacks(snapshot, rank, used, ret_error) : ca_fail_memory(ret_error);
    if (done && snapshot->trace_count > 0) {
        qsort_r(snapshot->traces, snapshot->trace_count, sizeof *snapshot->traces, compare_traces, rank);
    }
    free(rank);
    free(used);
    return done;
}
