/* stats.h: the STATS region: counters per stack.
 *
 * Two regions, shards 0 and 1, one for the even and one for the odd generations of the traces: what a thread that was
 * overtaken by a clear still adds goes to counters that are void. Of one stack all but one of the records are void.
 */
#ifndef TM_TABLES_STATS_H
#define TM_TABLES_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "../layout.h"

/* Makes both regions. Without this call nothing is counted. */
bool tm_stats_init(void);

/* Zeroes the counters that this generation, which is about to begin, will use. */
void tm_stats_prepare(uint64_t generation);

/* Counters of a stack in this generation; NULL when they are not kept or out of memory. */
struct tm_stack_stats *tm_stats_find(uint32_t stack, uint64_t generation);

/* One block more or fewer. `alone`: no other thread runs. `epoch` is the root's peak_epoch. */
void tm_stats_add(struct tm_stack_stats *stats, uint64_t size, uint64_t epoch, bool alone);
void tm_stats_remove(struct tm_stack_stats *stats, uint64_t size, uint64_t epoch, bool alone);

/* For counting anew: all live counters become 0, then each record is added without any other effect. */
void tm_stats_recount(uint64_t generation);
void tm_stats_recount_add(uint32_t stack, uint64_t size, uint64_t generation);

#endif
