#include "blocks.h"

#include <time.h>

#include "../host/system.h"
#include "../tables/stats.h"
#include "totals.h"

/* ---------------------------------------------------------------------------------------------------------------
 * Finding
 */

static bool wide_block(uint32_t domain, uintptr_t address, uint64_t generation, struct tm_block *ret_block)
{
    struct tm_wide *wide = tm_wide_find(domain, address, generation);
    if (!wide) {
        return false;
    }
    *ret_block = (struct tm_block){.wide = wide, .size = wide->size, .stack = wide->stack};
    return true;
}

bool tm_block_find_wide(uint32_t domain, uintptr_t address, uint64_t generation, struct tm_block *ret_block)
{
    return wide_block(domain, address, generation, ret_block);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Adding
 */

struct stamp {
    uint64_t time;
    uint64_t order;
    uint32_t thread;
};

static uint64_t last_order;

/* Thread, time and order of an allocation, where they are recorded. */
static bool stamp_now(const struct tm_call *call, struct stamp *stamp)
{
    if (TM_LIKELY((tm_root->features & TM_FEATURE_DETAIL) == 0)) {
        return false;
    }
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    stamp->time = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    stamp->order = tm_add(&last_order, 1) + 1;
    stamp->thread = call->local->thread->tid;
    tm_add_alone(&call->local->thread->order, 1);
    return true;
}

/* A block was there whose free nobody saw. */
static void cell_evict(const struct tm_call *call, uint64_t *cell, uint64_t word)
{
    tm_publish(cell, 0);
    tm_add(&tm_root->anomaly_count, 1);
    uint64_t weight = tm_sample_weight_of(tm_live_size(word));
    tm_block_stats_removed(call, tm_live_stack(word), weight, tm_live_size(word));
    tm_remove_lost(tm_live_size(word), call->generation);
}

bool tm_block_make_room(const struct tm_call *call, uint64_t *cell, uintptr_t address)
{
    uint64_t word = tm_load(cell);
    if (word >> 63 != (call->generation & 1)) {
        return true;
    }
    if (!tm_live_is(word, address, call->generation)) {
        return false; /* two addresses of one cell: tm_track does that, malloc does not */
    }
    if (call->operation->code != TM_OPERATION_TRACK) {
        cell_evict(call, cell, word);
    }
    return true;
}

/* The word is there; a clear that made it void before it came may have swept already. */
void tm_block_void(uint64_t *cell, uint64_t word)
{
    tm_swap_if(cell, word, 0);
}

void tm_block_detail(const struct tm_call *call, uint64_t *cell)
{
    struct tm_live_detail *detail = (struct tm_live_detail *)cell;
    struct stamp stamp;
    if (stamp_now(call, &stamp)) {
        detail->time = stamp.time;
        detail->order = stamp.order;
        detail->thread = stamp.thread;
    }
}

bool tm_block_add_wide(const struct tm_call *call, uintptr_t address)
{
    const struct tm_operation *operation = call->operation;
    struct tm_wide *wide = tm_wide_claim(operation->domain, address, call->generation);
    if (!wide) {
        tm_drop(operation->size);
        return false;
    }
    struct stamp stamp = {0, 0, 0};
    stamp_now(call, &stamp);
    wide->size = operation->size;
    wide->stack = operation->stack;
    wide->time = stamp.time;
    wide->order = stamp.order;
    wide->thread = stamp.thread;
    tm_wide_publish(wide, call->generation);
    return tm_load(&tm_root->generation) == call->generation;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Removing
 */

bool tm_block_remove_wide(const struct tm_block *block, uint64_t generation)
{
    return tm_wide_remove(block->wide, generation);
}

bool tm_block_take_out(const struct tm_block *block, uint64_t generation)
{
    if (TM_LIKELY(block->cell)) {
        return tm_block_remove(block, generation);
    }
    return tm_wide_hold(block->wide, generation);
}

void tm_block_put_back(const struct tm_block *block, uint64_t generation)
{
    if (TM_LIKELY(block->cell)) {
        tm_publish(block->cell, block->word);
        tm_barrier();
        if (tm_load(&tm_root->generation) != generation) {
            tm_swap_if(block->cell, block->word, 0);
        }
    } else {
        tm_wide_publish(block->wide, generation);
    }
}

void tm_block_drop(const struct tm_block *block)
{
    if (TM_UNLIKELY(block->wide)) {
        tm_wide_drop(block->wide);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Settling
 */

static bool record_is(uint32_t domain, uint64_t address, uint64_t size, uint32_t stack, uint64_t generation)
{
    struct tm_block block;
    return address && tm_block_find(domain, address, generation, &block) && block.size == size &&
           block.stack == stack;
}

static bool operation_is_after(const struct tm_operation *operation, uint64_t generation)
{
    struct tm_block block;
    switch (operation->code) {
    case TM_OPERATION_ALLOCATE:
    case TM_OPERATION_REALLOCATE:
        return record_is(0, operation->new_address, operation->size, operation->stack, generation);
    case TM_OPERATION_FREE:
    case TM_OPERATION_UNTRACK:
        return !tm_block_find(operation->domain, operation->address, generation, &block);
    case TM_OPERATION_TRACK:
        return record_is(operation->domain, operation->address, operation->size, operation->stack,
                         generation);
    default:
        return false;
    }
}

/* The old block of a realloc, where it is in WIDE. */
static struct tm_wide *operation_held(const struct tm_operation *operation)
{
    return operation->code == TM_OPERATION_REALLOCATE && operation->entry == 0
               ? tm_wide_find_held(0, operation->address, operation->size, operation->stack)
               : NULL;
}

static uint64_t size_before(const struct tm_operation *operation)
{
    if (operation->code == TM_OPERATION_REALLOCATE) {
        const struct tm_wide *held = operation_held(operation);
        return held ? held->size : tm_live_size(operation->entry);
    }
    if (operation->code == TM_OPERATION_TRACK) {
        return operation->flags & TM_OPERATION_REPLACES ? operation->entry : 0;
    }
    return operation->size;
}

static void operation_finish(struct tm_operation *operation, bool after)
{
    memcpy(&operation->allocated_count, operation->before, sizeof(operation->before));
    if (!after) {
        return;
    }
    bool adds = operation->code == TM_OPERATION_ALLOCATE || operation->code == TM_OPERATION_REALLOCATE ||
                operation->code == TM_OPERATION_TRACK;
    bool removes = operation->code == TM_OPERATION_FREE || operation->code == TM_OPERATION_UNTRACK ||
                   operation->code == TM_OPERATION_REALLOCATE || (operation->flags & TM_OPERATION_REPLACES);
    if (adds) {
        tm_operation_count_added(operation, tm_sample_weight_of(operation->size));
    }
    if (removes) {
        uint64_t size = size_before(operation);
        tm_operation_count_removed(operation, tm_sample_weight_of(size), size);
    }
}

/* What a realloc took out goes back when it never answered, else it goes for good. */
static void operation_put_back(const struct tm_operation *operation, bool after, uint64_t generation)
{
    struct tm_wide *held = operation_held(operation);
    if (held && held->state == TM_WIDE_BUSY) {
        if (after) {
            tm_wide_drop(held);
        } else {
            tm_wide_publish(held, generation);
        }
    }
    if (!after && operation->code == TM_OPERATION_REALLOCATE && operation->entry) {
        uint64_t *cell = tm_live_find(operation->address);
        if (cell) {
            tm_swap_if(cell, 0, operation->entry);
        }
    }
}

bool tm_operation_settle(struct tm_operation *operation)
{
    uint64_t generation = tm_load(&tm_root->generation);
    bool after = false;
    if (operation->code != TM_OPERATION_NONE && operation->generation == generation &&
        (operation->flags & TM_OPERATION_DONE) == 0) {
        after = operation_is_after(operation, generation);
        operation_finish(operation, after);
        operation_put_back(operation, after, generation);
    }
    tm_barrier();
    tm_publish(&operation->code, TM_OPERATION_NONE);
    return after;
}

/* The calling thread's counters take all that is live; others' may then be less than nothing, and the sums
 * are right. */
static void stats_recount_add(uint32_t stack, uint64_t size, uint64_t generation)
{
    struct tm_local *local = &tm_local;
    struct tm_stack_stats *stats = local->private ? tm_memo_stats(&local->private->memos[0], stack) : NULL;
    uint64_t weight = tm_sample_weight_of(size);
    if (stats) {
        tm_stats_turn(stats, generation, tm_load(&tm_root->peak_epoch));
        stats->freed_count -= weight;
        stats->freed_size -= weight * size;
    }
}

static void cell_recount(uint64_t *cell, uint64_t word, uint64_t generation)
{
    (void)cell;
    if (word >> 63 == (generation & 1)) {
        stats_recount_add(tm_live_stack(word), tm_live_size(word), generation);
    }
}

static void wide_recount(const struct tm_wide *entry, uint64_t generation)
{
    stats_recount_add(entry->stack, entry->size, generation);
}

/* The counters of its stack may have the operation, its count alone, or nothing of it. */
static void stats_complete(const struct tm_operation *settled, uint64_t generation)
{
    uint64_t count, size, weight = tm_sample_weight_of(settled->size);
    tm_stats_allocated(generation, &count, &size);
    uint64_t lacks = 0 - count, lacks_size = 0 - size;
    const struct tm_thread *thread;
    for (uint64_t i = 0; (thread = tm_thread_at(i)); i++) {
        for (int level = 0; level < TM_OPERATION_LEVELS; level++) {
            const struct tm_operation *operation = &thread->operations[level];
            bool counts = operation->generation == generation;
            lacks += counts ? operation->allocated_count : 0;
            lacks_size += counts ? operation->allocated_size : 0;
        }
    }
    struct tm_local *local = &tm_local;
    struct tm_stack_stats *stats =
        local->private ? tm_memo_stats(&local->private->memos[0], settled->stack) : NULL;
    if (stats && (lacks == 0 || lacks == weight) &&
        (lacks_size == 0 || lacks_size == weight * settled->size)) {
        tm_stats_turn(stats, generation, tm_load(&tm_root->peak_epoch));
        stats->allocated_count += lacks;
        stats->allocated_size += lacks_size;
    }
}

void tm_blocks_recount(const struct tm_operation *settled)
{
    uint64_t generation = tm_root->generation;
    if ((tm_root->features & TM_FEATURE_STATS) == 0) {
        return;
    }
    uint64_t signals = tm_system_block_signals(); /* a handler's blocks would be counted twice */
    if (settled && settled->stack) {
        stats_complete(settled, generation);
    }
    tm_stats_recount(generation, tm_load(&tm_root->peak_epoch));
    tm_live_each(cell_recount, generation);
    tm_wide_each(wide_recount, generation);
    tm_system_set_signals(signals);
}
