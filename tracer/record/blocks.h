/* blocks.h: the record of a live block, in LIVE or in WIDE, and what happens to it. */
#ifndef TM_BLOCKS_H
#define TM_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "operation.h"
#include "../tables/live.h"
#include "../tables/wide.h"

/* A record as it was found. */
struct tm_block {
    uint64_t *cell;       /* its live word; NULL = it is in WIDE */
    uint64_t word;        /* what the cell held, 0 = in WIDE */
    struct tm_wide *wide; /* its entry in WIDE */
    uint64_t size;
    uint32_t stack;
};

/* The record of (domain, address), if there is one in this generation. */
bool tm_block_find(uint32_t domain, uintptr_t address, uint64_t generation, struct tm_block *ret_block);

/* Records the new block of the call's operation at this address. False when memory for the table ran out (counted as
 * dropped) or a clear came between: then there is nothing to count. */
bool tm_block_add(const struct tm_call *call, uintptr_t address);

/* Takes the record away; false when another thread was faster. */
bool tm_block_remove(const struct tm_block *block, uint64_t generation);

/* For realloc: takes it out so that it can be put back, or dropped at last. */
bool tm_block_take_out(const struct tm_block *block, uint64_t generation);
void tm_block_put_back(const struct tm_block *block, uint64_t generation);
void tm_block_drop(const struct tm_block *block);

/* Counts one record more, one fewer, or one for another, per stack and thread and in total. Where memory falls by it,
 * tm_totals_before_fall() was called before the tables said so. */
void tm_block_count_added(const struct tm_call *call);
void tm_block_count_removed(const struct tm_call *call, const struct tm_block *block);
void tm_block_count_replaced(const struct tm_call *call, const struct tm_block *block);

/* Ends an operation whose thread will not: as done where the tables contain it, else as never begun. True when it may have
 * stopped half-way through the counters of its stacks: they must be counted anew. */
bool tm_operation_settle(struct tm_operation *operation);

/* Counts the live blocks of all stacks anew. No other thread may be running. */
void tm_blocks_recount(void);

#endif
