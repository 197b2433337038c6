/* api.c: the functions that tm.h refers to, under their own names. */
#include "../control.h"
#include "../tables/frames.h"
#include "../tables/root.h"
#include "../tables/stacks.h"
#include "call.h"

EXPORT int tm_start(int nframe);
EXPORT void tm_stop(void);
EXPORT int tm_is_tracing(void);
EXPORT void tm_clear_traces(void);
EXPORT int tm_get_traceback_limit(void);
EXPORT void tm_get_traced_memory(size_t *current, size_t *peak);
EXPORT void tm_reset_peak(void);
EXPORT size_t tm_get_tracemalloc_memory(void);
EXPORT size_t tm_get_object_traceback(const void *ptr, uintptr_t *frames, size_t capacity,
                                      size_t *ret_total_nframe);
EXPORT int tm_track(unsigned domain, uintptr_t ptr, size_t size);
EXPORT int tm_untrack(unsigned domain, uintptr_t ptr);

static bool is_tracing(void)
{
    tm_control_obey();
    return tm_load_acquire(&tm_root->state) == TM_STATE_TRACING;
}

int tm_start(int nframe)
{
    if (nframe < 1 || nframe > 65535) {
        return -1;
    }
    return tm_wake() && tm_control_start((uint32_t)nframe) ? 0 : -2;
}

void tm_stop(void)
{
    tm_control_stop();
}

int tm_is_tracing(void)
{
    return is_tracing();
}

void tm_clear_traces(void)
{
    tm_control_clear();
}

int tm_get_traceback_limit(void)
{
    return (int)tm_root->traceback_limit;
}

void tm_get_traced_memory(size_t *current, size_t *peak)
{
    uint64_t now = 0, most = 0;
    if (is_tracing()) {
        now = tm_totals_current();
        most = tm_load(&tm_root->peak);
    }
    if (current) {
        *current = now;
    }
    if (peak) {
        *peak = most > now ? most : now;
    }
}

void tm_reset_peak(void)
{
    tm_control_reset_peak();
}

size_t tm_get_tracemalloc_memory(void)
{
    return tm_load(&tm_root->committed_bytes);
}

size_t tm_get_object_traceback(const void *ptr, uintptr_t *frames, size_t capacity, size_t *ret_total_nframe)
{
    struct tm_block block;
    const struct tm_stack *stack = NULL;
    if (is_tracing() && tm_block_find(0, (uintptr_t)ptr, tm_load(&tm_root->generation), &block)) {
        stack = tm_stack_find(block.stack);
    }
    if (ret_total_nframe) {
        *ret_total_nframe = stack ? stack->total_nframe : 0;
    }
    size_t depth = stack ? tm_stack_depth(stack) : 0;
    for (size_t i = 0; i < capacity && i < depth; i++) {
        frames[i] = tm_frame_word(tm_stack_frame(stack, i)) & TM_FRAME_ADDRESS_MASK;
    }
    return depth;
}

static void record_remove(struct tm_call *call, unsigned domain, uintptr_t ptr, const struct tm_walk_start *caller)
{
    struct tm_block block;
    struct tm_going going;
    call->stack = 0;
    if (tm_block_find(domain, ptr, call->generation, &block)) {
        tm_freed_note(call, &block, domain, ptr, caller, &going);
        tm_begin(call, TM_OPERATION_UNTRACK, domain, ptr, block.size, block.word, 0);
        tm_totals_before_fall(call, block.size);
        if (tm_block_remove(&block, call->generation)) {
            tm_block_count_removed(call, &block);
            tm_freed_keep(call, &going);
        }
        tm_done(call);
    }
}

/* The record before, if there is one, and the new one: the new one is there first where both can be. */
static bool record_replace(struct tm_call *call, unsigned domain, uintptr_t ptr, size_t size)
{
    struct tm_block old;
    bool replaces = tm_block_find(domain, ptr, call->generation, &old);
    tm_begin(call, TM_OPERATION_TRACK, domain, ptr, size, replaces ? old.size : 0,
             replaces ? TM_OPERATION_REPLACES : 0);
    if (replaces && size < old.size) {
        tm_totals_before_fall(call, old.size);
    }
    if (replaces && (old.wide || !tm_live_fits(ptr, size))) {
        tm_block_remove(&old, call->generation);
    }
    bool added = tm_block_add(call, ptr);
    if (added && replaces) {
        tm_block_count_replaced(call, &old);
    } else if (added) {
        tm_block_count_added(call);
    } else if (replaces) {
        tm_totals_before_fall(call, old.size);
        tm_block_remove(&old, call->generation);
        tm_block_count_removed(call, &old);
        tm_done(call);
    }
    return added;
}

int tm_track(unsigned domain, uintptr_t ptr, size_t size)
{
    CALLER(caller);
    struct tm_call call;
    if (!is_tracing()) {
        return -2;
    }
    if (!tm_enter(&call, &caller)) {
        if (call.lost) {
            tm_drop(size);
        }
        return call.lost ? -1 : -2;
    }
    if (tm_sample_bytes != 0 && !tm_sample_takes(size)) {
        record_remove(&call, domain, ptr, &caller); /* what was there before */
        tm_leave(&call);
        return 0;
    }
    tm_walk(&call, &caller);
    tm_walk_domain(&call, domain);
    bool added = record_replace(&call, domain, ptr, size);
    tm_leave(&call);
    return added ? 0 : -1;
}

int tm_untrack(unsigned domain, uintptr_t ptr)
{
    CALLER(caller);
    struct tm_call call;
    struct tm_block block;
    if (!is_tracing()) {
        return -2;
    }
    if (!tm_enter(&call, &caller)) {
        if (call.lost && tm_block_find(domain, ptr, call.generation, &block) &&
            tm_block_remove(&block, call.generation)) {
            tm_remove_lost(block.size, call.generation);
        }
        return call.lost ? 0 : -2;
    }
    record_remove(&call, domain, ptr, &caller);
    tm_leave(&call);
    return 0;
}
