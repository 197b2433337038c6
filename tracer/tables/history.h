/* history.h: the HISTORY region: the blocks that were freed last.
 *
 * Threads are dealt out to shards, each a ring of its own in a part of the region, so that no two threads of
 * a few share a line. A shard's memory is taken as its ring fills for the first time.
 */
#ifndef TM_TABLES_HISTORY_H
#define TM_TABLES_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"
#include "../layout.h"

#define TM_HISTORY_SHARDS       16
#define TM_HISTORY_CAPACITY_MAX (UINT64_C(1) << 24)

/* Blocks that each shard keeps; 0 = there is no history. */
TM_DATA uint64_t tm_history_capacity;

/* `capacity`: 1..TM_HISTORY_CAPACITY_MAX. */
bool tm_history_init(uint64_t capacity);

/* Keeps a copy of *freed, whose order, freed_time and busy are filled in here, in the shard of thread slot
 * `thread`. Nothing is kept where memory runs out. */
void tm_history_add(uint64_t thread, const struct tm_freed *freed);

#endif
