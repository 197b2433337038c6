/* memo.h: what a thread remembers of stacks, so that the next allocation or free of a known one touches
 * memory of its own only: its last walk, the stacks that it has met, and its counters of them.
 *
 * One for each level of operations: a signal handler that interrupts the tracer never sees one half-changed.
 * All of it is private memory that stays with the thread's slot.
 */
#ifndef TM_TABLES_MEMO_H
#define TM_TABLES_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "../walk/trail.h"
#include "stats.h"

/* A stack: the address of its counters here; without counters, its id << 1 | 1. 0 = none. */
typedef uint64_t tm_known;

/* Open-addressed, of dense entries: that these are in the processor's cache is what counts. A value is the
 * number of a record in STATS or, without counters, a stack id; larger ones are not remembered.
 *
 * By hash, uint64_t: bits 24..63 those of the walk's hash, 0..23 the value.
 *
 * By stack, uint32_t: bits 24..31 of a hash of the stack id, 0..23 the number of its record.
 *
 * 0 = empty. A walk is taken for another when 40 bits of their hashes and, nearly, the place are the same: each
 * new stack meets at most 65,536 others, of which each is that unlucky by less than one in 2^55. */
struct tm_memo_table {
    void *entries;
    uint32_t mask; /* entries - 1; 0 = no memory yet */
    uint32_t used;
};

#define TM_MEMO_VALUE_MASK UINT32_C(0xffffff)

/* Words of a stack that a recalled walk compares at most: deeper stacks are walked. */
#define TM_MEMO_CHECKS 96

/* A whole walk as it was when the program last allocated in this place (pc) at this depth (sp): while the
 * words that it depends on are what they were, it is the same. trail.h says why that is exact. */
struct tm_memo_walk {
    uintptr_t pc; /* 0 = none */
    uintptr_t sp;
    uintptr_t bp;
    tm_known known;
    uint32_t count; /* of checks; the innermost ones are the last */
    bool needs_bp;
    bool recalled; /* since it was put here */
    struct tm_trail_check checks[TM_MEMO_CHECKS];
};

#define TM_MEMO_WALK_BITS 5

#define TM_MEMO_RECENT 16

struct tm_memo {
    struct tm_memo_walk *walks; /* 1 << TM_MEMO_WALK_BITS; NULL = no memory yet */
    uint64_t walks_generation;  /* of the rules; 0 = walks are void */
    uint32_t wasted;            /* walks put there that were never recalled, about */
    uint32_t seldom;            /* walks since it was found that few are worth it */
    struct tm_trail trail;
    struct tm_memo_table by_hash;
    struct tm_memo_table by_stack;
    struct tm_stack_stats *recent[TM_MEMO_RECENT]; /* records of this memo by their stacks' low bits, or NULL */
    struct tm_stats_run run;
    uint64_t generation; /* of the rules, for by_hash */
    uint32_t limit;      /* of tracebacks, for by_hash */
    bool is_busy;        /* a table is being changed */
};

/* Walks the stack of the hook's caller, when tm_memo_recall() fails; `frames` has room for `limit` ids. The
 * stack; never 0. */
tm_known tm_memo_walk(struct tm_memo *memo, const struct tm_walk_start *caller, uint32_t *frames,
                      uint32_t limit);

/* What was walked does not count any more: another thread has the slot, with another stack, or tracebacks
 * have another limit. */
void tm_memo_forget_walks(struct tm_memo *memo);

/* The level was left in the middle of an operation. */
void tm_memo_recover(struct tm_memo *memo);

/* The rest of tm_memo_record(). */
uint32_t tm_memo_record_add(struct tm_memo *memo, uint32_t stack);

static inline uint32_t tm_known_stack(tm_known known)
{
    return known & 1 ? (uint32_t)(known >> 1) : ((const struct tm_stack_stats *)(uintptr_t)known)->stack;
}

/* NULL where there are no counters. */
static inline struct tm_stack_stats *tm_known_stats(tm_known known)
{
    return known & 1 ? NULL : (struct tm_stack_stats *)(uintptr_t)known;
}

static inline struct tm_memo_walk *tm_memo_walk_at(const struct tm_memo *memo, uintptr_t pc, uintptr_t sp)
{
    return &memo->walks[((pc ^ sp) * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - TM_MEMO_WALK_BITS)];
}

/* The stack of the hook's caller if it is one of those kept; 0 = walk. */
TM_HOT tm_known tm_memo_recall(const struct tm_memo *memo, const struct tm_walk_start *caller)
{
    if (TM_UNLIKELY(memo->walks_generation != __atomic_load_n(&tm_rules_generation, __ATOMIC_ACQUIRE))) {
        return 0;
    }
    struct tm_memo_walk *walk = tm_memo_walk_at(memo, caller->pc, caller->sp);
    if (walk->pc != caller->pc || walk->sp != caller->sp || (walk->needs_bp && walk->bp != caller->bp) ||
        tm_trail_check_changed(walk->checks, walk->count) >= 0) {
        return 0;
    }
    walk->recalled = true;
    return walk->known;
}

static inline uint32_t tm_memo_stack_hash(uint32_t stack)
{
    uint32_t hash = stack * UINT32_C(0x9e3779b1);
    return hash ^ hash >> 15;
}

/* Number of the record of a stack in this memo; 0 when there is no memory for one or none are kept. */
static inline uint32_t tm_memo_record(struct tm_memo *memo, uint32_t stack)
{
    const struct tm_memo_table *table = &memo->by_stack;
    const uint32_t *entries = table->entries;
    uint32_t hash = tm_memo_stack_hash(stack);
    for (uint32_t i = hash; TM_LIKELY(table->mask); i++) {
        uint32_t entry = entries[i & table->mask];
        if (TM_UNLIKELY(entry == 0)) {
            break;
        }
        if (TM_LIKELY(((entry ^ hash) & ~TM_MEMO_VALUE_MASK) == 0)) {
            if (TM_LIKELY(tm_stats_at(entry & TM_MEMO_VALUE_MASK)->stack == stack)) {
                return entry & TM_MEMO_VALUE_MASK;
            }
        }
    }
    return tm_memo_record_add(memo, stack);
}

/* Counters of a stack in this memo; NULL when there are none. */
static inline struct tm_stack_stats *tm_memo_stats(struct tm_memo *memo, uint32_t stack)
{
    struct tm_stack_stats **recent = &memo->recent[stack % TM_MEMO_RECENT];
    if (TM_LIKELY(*recent && (*recent)->stack == stack)) {
        return *recent;
    }
    uint32_t record = tm_memo_record(memo, stack);
    return TM_LIKELY(record) ? *recent = tm_stats_at(record) : NULL;
}

#endif
