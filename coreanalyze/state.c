/* state.c: a target's state and traces as data, for callers that are no command (coreanalyze.h). */
#include <stddef.h>

#include "target.h"

bool ca_target_state(struct ca_target *target, struct ca_state *ret_state, struct ca_error **ret_error)
{
    const struct ca_table *table = ca_target_table(target, ret_error);
    if (!table) {
        return false;
    }
    *ret_state = (struct ca_state){
        .tracing = table->root.state == TM_STATE_TRACING,
        .traceback_limit = table->root.traceback_limit,
        .current = table->current,
        .peak = table->peak,
        .tracer_bytes = table->root.committed_bytes,
        .request = table->address + offsetof(struct tm_root, request),
        .attached = table->root.features & TM_FEATURE_ATTACHED,
    };
    return true;
}

struct ca_snapshot *ca_target_take_snapshot(struct ca_target *target, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = ca_target_snapshot(target, NULL, 0, false, ret_error);
    return snapshot ? ca_snapshot_filter(snapshot, NULL, 0, ret_error) : NULL;
}

/* A snapshot of one trace of another, or of none. */
static struct ca_snapshot *snapshot_of_trace(struct ca_snapshot *snapshot, const struct ca_trace *trace,
                                             struct ca_error **ret_error)
{
    struct ca_arrays arrays;
    size_t count = 0;
    const uint32_t *frames = NULL;
    if (trace) {
        frames = ca_snapshot_traceback(snapshot, trace->traceback, SIZE_MAX, &count, ret_error);
        if (!frames) {
            return NULL;
        }
    }
    if (!ca_snapshot_export(snapshot, false, &arrays, ret_error)) {
        return NULL;
    }
    struct ca_trace copy = {0};
    struct ca_traceback_span traceback = {.count = (uint32_t)count};
    if (trace) {
        copy = *trace;
        traceback.total_nframe = ca_snapshot_total_nframe(snapshot, trace->traceback);
        copy.traceback = 0;
        arrays.traceback_frames = frames;
        arrays.traceback_frame_count = count;
        arrays.tracebacks = &traceback;
        arrays.traceback_count = 1;
        arrays.traces = &copy;
        arrays.trace_count = 1;
    }
    return ca_snapshot_create_from(&arrays, ret_error);
}

struct ca_snapshot *ca_target_find_trace(struct ca_target *target, uint64_t address,
                                         struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = ca_target_snapshot(target, NULL, 0, false, ret_error);
    if (!snapshot) {
        return NULL;
    }
    size_t count = 0;
    const struct ca_trace *traces = ca_snapshot_traces(snapshot, &count, ret_error);
    if (!traces) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (traces[i].domain == 0 && traces[i].address == address) {
            return snapshot_of_trace(snapshot, &traces[i], ret_error);
        }
    }
    return snapshot_of_trace(snapshot, NULL, ret_error);
}
