/* blocks.h: the record of a live block, in LIVE or in WIDE, and what happens to it. */
#ifndef TM_BLOCKS_H
#define TM_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "../tables/live.h"
#include "../tables/wide.h"
#include "operation.h"
#include "sample.h"
#include "totals.h"

/* A record as it was found. */
struct tm_block {
    uint64_t *cell;       /* its live word; NULL = it is in WIDE */
    uint64_t word;        /* what the cell held, 0 = in WIDE */
    struct tm_wide *wide; /* its entry in WIDE */
    uint64_t size;
    uint32_t stack;
};

/* The rest of the functions below: what is rare. */
bool tm_block_find_wide(uint32_t domain, uintptr_t address, uint64_t generation, struct tm_block *ret_block);
bool tm_block_make_room(const struct tm_call *call, uint64_t *cell, uintptr_t address);
void tm_block_detail(const struct tm_call *call, uint64_t *cell);
void tm_block_void(uint64_t *cell, uint64_t word);
bool tm_block_add_wide(const struct tm_call *call, uintptr_t address);
bool tm_block_remove_wide(const struct tm_block *block, uint64_t generation);

/* The record of (domain, address), if there is one in this generation. */
TM_HOT bool tm_block_find(uint32_t domain, uintptr_t address, uint64_t generation, struct tm_block *ret_block)
{
    if (TM_LIKELY(domain == 0 && (address & 15) == 0 && address >> TM_LIVE_ADDRESS_BITS == 0)) {
        uint64_t *cell = tm_live_find(address);
        uint64_t word = TM_LIKELY(cell) ? tm_load(cell) : 0;
        if (TM_LIKELY(tm_live_is(word, address, generation))) {
            *ret_block = (struct tm_block){
                .cell = cell,
                .word = word,
                .size = tm_live_size(word),
                .stack = tm_live_stack(word),
            };
            return true;
        }
    }
    return TM_UNLIKELY(domain != 0 || tm_load(&tm_wide_has_malloc)) &&
           tm_block_find_wide(domain, address, generation, ret_block);
}

/* Records the new block of the call's operation at this address. False when memory for the table ran out
 * (counted as dropped) or a clear came between: then there is nothing to count. */
TM_HOT bool tm_block_add(const struct tm_call *call, uintptr_t address)
{
    struct tm_operation *operation = call->operation;
    uint64_t *cell = NULL;
    if (TM_LIKELY(tm_live_fits(address, operation->size) && operation->domain == 0)) {
        cell = tm_live_find(address);
        if (TM_UNLIKELY(!cell)) {
            cell = tm_live_make(address);
        }
        if (TM_UNLIKELY(cell && tm_load(cell) != 0) && !tm_block_make_room(call, cell, address)) {
            cell = NULL;
        }
    }
    tm_publish(&operation->new_address, address);
    tm_barrier();
    if (TM_UNLIKELY(tm_sample_bytes != 0)) {
        tm_sample_mark(address);
    }
    if (TM_UNLIKELY(!cell)) {
        return tm_block_add_wide(call, address);
    }
    if (TM_UNLIKELY(tm_live.element_shift != 3)) {
        tm_block_detail(call, cell);
    }
    uint64_t word = tm_live_word(address, operation->size, operation->stack, call->generation);
    tm_barrier();
    tm_publish(cell, word);
    tm_barrier();
    if (TM_LIKELY(tm_load(&tm_root->generation) == call->generation)) {
        return true;
    }
    tm_block_void(cell, word);
    return false;
}

/* Takes the record away; false when another thread was faster. */
TM_HOT bool tm_block_remove(const struct tm_block *block, uint64_t generation)
{
    if (TM_UNLIKELY(!block->cell)) {
        return tm_block_remove_wide(block, generation);
    }
    tm_publish(block->cell, 0);
    tm_barrier();
    return true;
}

/* For realloc: takes it out so that it can be put back, or dropped at last. */
bool tm_block_take_out(const struct tm_block *block, uint64_t generation);
void tm_block_put_back(const struct tm_block *block, uint64_t generation);
void tm_block_drop(const struct tm_block *block);

/* ---------------------------------------------------------------------------------------------------------------
 * Counting: one record more, one fewer, or one for another, per stack and thread and in total. Where memory
 * falls by it, tm_totals_before_fall() was called before the tables said so.
 */

TM_HOT void tm_block_stats_added(const struct tm_call *call, uint64_t weight)
{
    struct tm_stack_stats *stats = tm_known_stats(call->known);
    if (TM_LIKELY(stats && tm_load(&tm_root->generation) == call->generation)) {
        tm_stats_add(stats, weight, weight * call->operation->size, call->generation,
                     tm_load(&tm_root->peak_epoch));
    }
}

TM_HOT void tm_block_stats_removed(const struct tm_call *call, uint32_t stack, uint64_t weight, uint64_t size)
{
    struct tm_stack_stats *stats = tm_memo_stats(&call->local->private->memos[call->level], stack);
    if (TM_LIKELY(stats && tm_load(&tm_root->generation) == call->generation)) {
        tm_stats_remove(stats, weight, weight * size, call->generation, tm_load(&tm_root->peak_epoch));
    }
}

static inline void tm_operation_count_added(struct tm_operation *operation, uint64_t weight)
{
    tm_store(&operation->allocated_count, operation->before[0] + weight);
    tm_store(&operation->allocated_size, operation->before[1] + weight * operation->size);
}

static inline void tm_operation_count_removed(struct tm_operation *operation, uint64_t weight, uint64_t size)
{
    tm_store(&operation->freed_count, operation->before[2] + weight);
    tm_store(&operation->freed_size, operation->before[3] + weight * size);
}

/* The block that the call recorded: its address is in the operation. */
TM_HOT void tm_block_count_added(const struct tm_call *call)
{
    struct tm_operation *operation = call->operation;
    uint64_t weight = tm_sample_weight_of(operation->size);
    tm_block_stats_added(call, weight);
    tm_operation_count_added(operation, weight);
    tm_totals_changed(call);
}

/* The block of the operation's address. */
TM_HOT void tm_block_count_removed(const struct tm_call *call, const struct tm_block *block)
{
    uint64_t weight = tm_sample_weight_of(block->size);
    tm_block_stats_removed(call, block->stack, weight, block->size);
    tm_operation_count_removed(call->operation, weight, block->size);
    tm_totals_changed(call);
}

static inline void tm_block_count_replaced(const struct tm_call *call, const struct tm_block *block)
{
    struct tm_operation *operation = call->operation;
    uint64_t removed = tm_sample_weight_of(block->size);
    uint64_t added = tm_sample_weight_of(operation->size);
    tm_block_stats_removed(call, block->stack, removed, block->size);
    tm_block_stats_added(call, added);
    tm_operation_count_removed(operation, removed, block->size);
    tm_operation_count_added(operation, added);
    tm_totals_changed(call);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Settling
 */

/* Ends an operation whose thread will not: as done where the tables contain it, else as never begun. True
 * when it may have stopped half-way through the counters of its stacks: they must be counted anew. */
bool tm_operation_settle(struct tm_operation *operation);

/* Counts the live blocks of all stacks anew. No other thread may be running. settled: the operation that was
 * settled as done, if it was one that adds a block: then its stack's totals get what they lack of it. NULL =
 * none or several were, of which those of more than one stack may lack something. */
void tm_blocks_recount(const struct tm_operation *settled);

#endif
