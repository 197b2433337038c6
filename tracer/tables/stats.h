/* stats.h: the STATS region: counters of one stack in one thread.
 *
 * A record belongs to the slot and the level of operations that it was taken for, so that counting needs no
 * atomic operation and shares no cache line. Memory follows what threads use: they take records in runs of
 * one page.
 */
#ifndef TM_TABLES_STATS_H
#define TM_TABLES_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "../atomics.h"
#include "../data.h"
#include "../layout.h"
#include "region.h"

/* Records that a slot has taken and not used yet. */
struct tm_stats_run {
    uint64_t next;
    uint64_t end;
};

/* NULL while counters are not kept. */
TM_DATA struct tm_region *tm_stats_region;

/* Makes the region. Without this call nothing is counted. */
bool tm_stats_init(void);

/* Number of a record for this stack; 0 when counters are not kept or out of memory. */
uint32_t tm_stats_take(struct tm_stats_run *run, uint32_t stack);

/* A record that was taken. */
static inline struct tm_stack_stats *tm_stats_at(uint32_t number)
{
    return tm_region_find(tm_stats_region, number);
}

/* The rest of tm_stats_turn(). */
void tm_stats_begin(struct tm_stack_stats *stats, uint64_t generation, uint64_t epoch);
void tm_stats_keep_peak(struct tm_stack_stats *stats, uint64_t epoch);

/* Makes the record ready to count in this generation and epoch (the root's peak_epoch). */
static inline void tm_stats_turn(struct tm_stack_stats *stats, uint64_t generation, uint64_t epoch)
{
    if (TM_UNLIKELY(stats->generation != (uint32_t)generation)) {
        tm_stats_begin(stats, generation, epoch);
    } else if (TM_UNLIKELY(stats->peak_epoch != epoch)) {
        tm_stats_keep_peak(stats, epoch);
    }
}

/* One block more or fewer. */
static inline void tm_stats_add(struct tm_stack_stats *stats, uint64_t count, uint64_t size,
                                uint64_t generation, uint64_t epoch)
{
    tm_stats_turn(stats, generation, epoch);
    tm_store(&stats->allocated_count, stats->allocated_count + count);
    tm_store(&stats->allocated_size, stats->allocated_size + size);
}

static inline void tm_stats_remove(struct tm_stack_stats *stats, uint64_t count, uint64_t size,
                                   uint64_t generation, uint64_t epoch)
{
    tm_stats_turn(stats, generation, epoch);
    tm_store(&stats->freed_count, stats->freed_count + count);
    tm_store(&stats->freed_size, stats->freed_size + size);
}

/* Adds up what the stacks were given since start. */
void tm_stats_allocated(uint64_t generation, uint64_t *ret_count, uint64_t *ret_size);

/* For counting anew: nothing of any stack is live. Totals and peaks stay. No other thread may be running. */
void tm_stats_recount(uint64_t generation, uint64_t epoch);

#endif
