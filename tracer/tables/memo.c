#include "memo.h"

#include "root.h"
#include "stacks.h"

#define ENTRIES_FIRST 512

/* 512 KiB. Beyond that a memo forgets, and asks the tables again. */
#define BY_HASH_MAX  65536
#define BY_STACK_MAX (UINT32_C(1) << 25)

/* After so many walks that were kept for nothing, one of KEPT_SELDOM is kept. One that was of use makes up
 * for RECALL_WORTH others: to keep one costs a fraction of what a walk does. */
#define WASTED_MOST  256
#define KEPT_SELDOM  16
#define RECALL_WORTH 8

/* ---------------------------------------------------------------------------------------------------------------
 * Tables
 */

/* Twice as many entries, or the first ones, all empty; false when out of memory. */
static bool table_grow(struct tm_memo_table *table, size_t size, uint32_t most, struct tm_memo_table *ret_old)
{
    *ret_old = *table;
    uint64_t entries = table->mask ? ((uint64_t)table->mask + 1) * 2 : ENTRIES_FIRST;
    void *memory = entries <= most ? tm_private_allocate((size_t)entries * size) : NULL;
    if (!memory) {
        return false;
    }
    *table = (struct tm_memo_table){memory, (uint32_t)entries - 1, 0};
    return true;
}

static void table_free(const struct tm_memo_table *table, size_t size)
{
    if (table->mask) {
        tm_private_free(table->entries, ((size_t)table->mask + 1) * size);
    }
}

static void table_clear(struct tm_memo_table *table, size_t size)
{
    if (table->used) {
        __builtin_memset(table->entries, 0, ((size_t)table->mask + 1) * size);
        table->used = 0;
    }
}

/* What a signal handler that leaves by longjmp may find half-done. */
static void busy_begin(struct tm_memo *memo)
{
    memo->is_busy = true;
    tm_barrier();
}

static void busy_end(struct tm_memo *memo)
{
    tm_barrier();
    memo->is_busy = false;
}

static bool table_is_full(const struct tm_memo_table *table)
{
    return table->used * UINT64_C(4) >= table->mask * UINT64_C(3);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Stacks by hash
 */
static void hash_put(struct tm_memo_table *table, uint64_t entry, uint64_t hash)
{
    uint64_t *entries = table->entries;
    uint64_t i = hash;
    while (entries[i & table->mask]) {
        i++;
    }
    entries[i & table->mask] = entry;
    table->used++;
}

/* The low bits of the hash, which are the place, are not in the entry: growing begins anew. */
static void hash_make_room(struct tm_memo_table *table)
{
    struct tm_memo_table old;
    if (table_grow(table, sizeof(uint64_t), BY_HASH_MAX, &old)) {
        table_free(&old, sizeof(uint64_t));
    } else {
        table_clear(table, sizeof(uint64_t));
    }
}

static void hash_add(struct tm_memo *memo, uint64_t hash, uint32_t value)
{
    struct tm_memo_table *table = &memo->by_hash;
    if (value == 0 || value > TM_MEMO_VALUE_MASK) {
        return;
    }
    busy_begin(memo);
    if (table_is_full(table)) {
        hash_make_room(table);
    }
    if (table->mask) {
        hash_put(table, (hash & ~(uint64_t)TM_MEMO_VALUE_MASK) | value, hash);
    }
    busy_end(memo);
}

/* The value; 0 = none. */
static inline uint32_t hash_find(const struct tm_memo_table *table, uint64_t hash)
{
    const uint64_t *entries = table->entries;
    for (uint64_t i = hash; TM_LIKELY(table->mask); i++) {
        uint64_t entry = entries[i & table->mask];
        if (TM_LIKELY((entry ^ hash) <= TM_MEMO_VALUE_MASK) || entry == 0) {
            return (uint32_t)entry & TM_MEMO_VALUE_MASK;
        }
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Counters by stack
 */
static void stats_put(struct tm_memo_table *table, uint32_t record)
{
    uint32_t hash = tm_memo_stack_hash(tm_stats_at(record)->stack);
    uint32_t *entries = table->entries;
    uint32_t i = hash;
    while (entries[i & table->mask]) {
        i++;
    }
    entries[i & table->mask] = record | (hash & ~TM_MEMO_VALUE_MASK);
    table->used++;
}

static bool stats_make_room(struct tm_memo_table *table)
{
    struct tm_memo_table old;
    if (!table_is_full(table)) {
        return true;
    }
    if (!table_grow(table, sizeof(uint32_t), BY_STACK_MAX, &old)) {
        return table->used < table->mask; /* one entry stays empty, for searches to end */
    }
    const uint32_t *entries = old.entries;
    for (uint32_t i = 0; old.mask && i <= old.mask; i++) {
        if (entries[i]) {
            stats_put(table, entries[i] & TM_MEMO_VALUE_MASK);
        }
    }
    table_free(&old, sizeof(uint32_t));
    return true;
}

uint32_t tm_memo_record_add(struct tm_memo *memo, uint32_t stack)
{
    if (!(tm_root->features & TM_FEATURE_STATS)) {
        return 0;
    }
    busy_begin(memo);
    uint32_t record = stats_make_room(&memo->by_stack) ? tm_stats_take(&memo->run, stack) : 0;
    if (record) {
        stats_put(&memo->by_stack, record);
    }
    busy_end(memo);
    return record;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Walking
 */
static tm_known known_of_stack(uint32_t stack)
{
    return (tm_known)stack << 1 | 1;
}

/* *ret_value: what stands for it by hash; 0 = it is not remembered, for want of memory for its counters. */
static tm_known known_make(struct tm_memo *memo, uint32_t stack, uint32_t *ret_value)
{
    if (!(tm_root->features & TM_FEATURE_STATS)) {
        *ret_value = stack;
        return known_of_stack(stack);
    }
    *ret_value = tm_memo_record(memo, stack);
    return *ret_value ? (uintptr_t)tm_stats_at(*ret_value) : known_of_stack(stack);
}

static tm_known known_of_value(uint32_t value)
{
    return tm_root->features & TM_FEATURE_STATS ? (uintptr_t)tm_stats_at(value) : known_of_stack(value);
}

/* Position of the oldest frame that a stack holds, from 1 for the outermost of all. The unknown stack, which is
 * what there is for want of memory, holds none. */
static uint32_t oldest_of(uint32_t holder)
{
    const struct tm_stack *stack = holder != TM_STACK_UNKNOWN ? tm_stack_find(holder) : NULL;
    return stack ? stack->total_nframe - tm_stack_depth(stack) + 1 : UINT32_MAX;
}

/* Finds a stack that holds the older frames of the trail, down to position `oldest`: of those that were met
 * while the same frames were there. */
static void parent_find(const struct tm_trail *trail, uint32_t oldest, struct tm_traceback *traceback)
{
    for (uint32_t i = trail->kept; i >= oldest && i > 0; i--) {
        uint32_t holder = trail->states[i - 1].holder;
        uint32_t lowest = holder ? oldest_of(holder) : UINT32_MAX;
        if (lowest <= oldest) {
            traceback->parent = holder;
            traceback->own = (uint16_t)(trail->count - i);
            traceback->omitted = (uint16_t)(oldest - lowest);
            return;
        }
    }
}

/* The new stack holds these frames; where that is more than others do, later ones will share its. */
static void holders_set(struct tm_trail *trail, uint32_t oldest, uint32_t stack)
{
    for (uint32_t i = oldest; i <= trail->kept; i++) {
        struct tm_trail_state *state = &trail->states[i - 1];
        if (!state->holder || oldest_of(state->holder) > oldest) {
            state->holder = stack;
        }
    }
}

/* The id of the stack that the trail holds. */
static uint32_t trail_intern(struct tm_trail *trail, uint32_t *frames, uint32_t limit)
{
    uint32_t count = tm_trail_frames(trail, frames, limit);
    bool added, cut = trail->count > count;
    struct tm_traceback traceback = {
        .frames = frames,
        .count = count,
        .total_nframe = (uint16_t)trail->count,
        .flags = cut ? TM_STACK_TRUNCATED : 0,
    };
    uint32_t oldest = trail->count - count + 1;
    parent_find(trail, oldest, &traceback);
    uint32_t stack = tm_stack_intern(&traceback, &added);
    if (added) {
        holders_set(trail, oldest, stack);
    }
    return stack;
}

static tm_known trail_known(struct tm_memo *memo, uint32_t *frames, uint32_t limit)
{
    struct tm_trail *trail = &memo->trail;
    struct tm_trail_state *top = tm_trail_top(trail);
    uint32_t value = hash_find(&memo->by_hash, top->hash);
    tm_known known;
    if (TM_LIKELY(value)) {
        known = known_of_value(value);
    } else {
        known = known_make(memo, trail_intern(trail, frames, limit), &value);
        hash_add(memo, top->hash, value);
    }
    top->known = known;
    uint32_t stack = tm_known_stack(known);
    for (uint32_t i = trail->kept; i < trail->count; i++) {
        trail->states[i].holder = stack;
    }
    return known;
}

static tm_known walk_in_full(struct tm_memo *memo, const struct tm_walk_start *caller, uint32_t *frames,
                             uint32_t limit)
{
    bool added;
    uint32_t value;
    struct tm_walk walk = {.frames = frames, .limit = limit};
    tm_unwind(caller, &walk);
    struct tm_traceback traceback = {
        .frames = frames,
        .count = walk.count,
        .total_nframe = walk.flags & TM_STACK_NO_DEPTH ? 0 : (uint16_t)walk.total,
        .flags = walk.flags,
    };
    return known_make(memo, tm_stack_intern(&traceback, &added), &value);
}

/* Makes the kept walks those of this generation, none at first; false when there is no memory for them. */
static bool walks_begin(struct tm_memo *memo)
{
    size_t size = sizeof(struct tm_memo_walk) << TM_MEMO_WALK_BITS;
    if (!memo->walks) {
        memo->walks = tm_private_allocate(size); /* zeroed, and not in memory before it is used */
    } else {
        for (unsigned i = 0; i < 1U << TM_MEMO_WALK_BITS; i++) {
            memo->walks[i].pc = 0;
        }
    }
    memo->walks_generation = memo->walks ? memo->trail.generation : 0;
    return memo->walks;
}

/* Keeps the walk that the trail holds. A program whose stacks are all new would only pay for it: after a
 * while without use, few are kept. */
static void walk_keep(struct tm_memo *memo, const struct tm_walk_start *caller)
{
    const struct tm_trail *trail = &memo->trail;
    const struct tm_trail_state *top = tm_trail_top(trail);
    if (top->checks > TM_MEMO_CHECKS || (memo->wasted > WASTED_MOST && memo->seldom++ % KEPT_SELDOM != 0)) {
        return;
    }
    if (TM_UNLIKELY(memo->walks_generation != trail->generation) && !walks_begin(memo)) {
        return;
    }
    struct tm_memo_walk *walk = tm_memo_walk_at(memo, caller->pc, caller->sp);
    if (walk->pc && walk->recalled) {
        memo->wasted -= memo->wasted < RECALL_WORTH ? memo->wasted : RECALL_WORTH;
    } else {
        memo->wasted++;
    }
    walk->pc = caller->pc;
    walk->sp = caller->sp;
    walk->bp = caller->bp;
    walk->known = top->known;
    walk->count = top->checks;
    walk->needs_bp = top->needs_bp;
    walk->recalled = false;
    __builtin_memcpy(walk->checks, trail->checks, top->checks * sizeof(struct tm_trail_check));
}

/* Hashes say nothing of the limit, nor of code that was replaced. */
static void hashes_forget(struct tm_memo *memo, uint32_t limit)
{
    table_clear(&memo->by_hash, sizeof(uint64_t));
    memo->limit = limit;
    memo->generation = memo->trail.generation;
}

tm_known tm_memo_walk(struct tm_memo *memo, const struct tm_walk_start *caller, uint32_t *frames,
                      uint32_t limit)
{
    struct tm_trail *trail = &memo->trail;
    if (TM_UNLIKELY(memo->limit != limit)) {
        tm_memo_forget_walks(memo);
        hashes_forget(memo, limit);
    }
    if (TM_UNLIKELY(!tm_trail_walk(trail, caller))) {
        return walk_in_full(memo, caller, frames, limit);
    }
    if (TM_UNLIKELY(memo->generation != trail->generation)) {
        hashes_forget(memo, limit);
    }
    tm_known known = tm_trail_top(trail)->known;
    if (TM_LIKELY(!known)) {
        known = trail_known(memo, frames, limit);
    }
    walk_keep(memo, caller);
    return known;
}

void tm_memo_forget_walks(struct tm_memo *memo)
{
    tm_trail_reset(&memo->trail);
    memo->walks_generation = 0;
}

/* Tables that were being changed are left to themselves: so is the memory of that one moment. */
void tm_memo_recover(struct tm_memo *memo)
{
    tm_memo_forget_walks(memo);
    if (memo->is_busy) {
        memo->by_hash = memo->by_stack = (struct tm_memo_table){0};
        memo->run = (struct tm_stats_run){0};
        __builtin_memset(memo->recent, 0, sizeof(memo->recent));
        memo->is_busy = false;
    }
}
