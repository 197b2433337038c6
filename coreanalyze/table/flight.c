/* flight.c: operations that threads were in the middle of when they were stopped.
 *
 * Each is shown as done or as not begun, by the rules at struct tm_operation in layout.h, and the totals are made to agree: what the
 * thread's counters were before it, plus the operation if it is shown as done. So no instruction at which a thread may have stopped
 * between its table and its counters makes a difference. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What one operation, if shown as done, does to its thread's counters. */
struct effect {
    uint64_t allocated_count, allocated_size;
    uint64_t freed_count, freed_size;
};

struct decision {
    struct ca_in_flight shown;
    struct effect effect;
    struct ca_block overlay; /* a block to be added when has_overlay */
    bool has_overlay;
};

static uint64_t entry_size(uint64_t entry)
{
    return entry & TM_LIVE_SIZE_MASK;
}

static uint32_t entry_stack(uint64_t entry)
{
    return (uint32_t)(entry >> TM_LIVE_STACK_SHIFT) & TM_LIVE_STACK_MAX;
}

/* The word that the operation found at its old address, if it was a trace of the present generation. */
static uint64_t entry_of(const struct ca_table *table, const struct tm_operation *operation)
{
    bool odd = table->root.generation & 1;
    uint64_t entry = operation->entry;
    return table->internal->traced && entry && !(entry & TM_LIVE_GENERATION) == !odd ? entry : 0;
}

/* A block that an operation has entered. */
static bool decide_entered(struct ca_table *table, const struct tm_operation *operation, uint64_t address, struct decision *decision,
                           struct ca_error **ret_error)
{
    struct ca_block block;
    bool found = false;
    if (address && !ca_block_at(table, operation->domain, address, &block, &found, ret_error)) {
        return false;
    }
    if (found) {
        decision->shown.after = true;
        decision->shown.ambiguous = operation->stack && (block.stack != operation->stack || block.size != operation->size);
        decision->effect.allocated_count = 1;
        decision->effect.allocated_size = block.size;
    }
    return true;
}

/* Bytes that this operation has taken off, where only its thread's counters know: a block of WIDE that is not there any more. */
static uint64_t freed_by_counters(const struct tm_operation *operation)
{
    return operation->freed_count != operation->before[2] ? operation->freed_size - operation->before[3] : operation->size;
}

/* A block that an operation takes away. `entry` 0 = it was not traced in domain 0's words. */
static bool decide_removed(struct ca_table *table, const struct tm_operation *operation, uint64_t entry, struct decision *decision,
                           struct ca_error **ret_error)
{
    struct ca_block block;
    bool wide = operation->domain != 0 || entry_size(entry) == TM_LIVE_SIZE_WIDE, there = false;
    if (!wide && !entry) {
        return true;
    }
    if (wide) {
        if (!ca_block_at(table, operation->domain, operation->address, &block, &there, ret_error)) {
            return false;
        }
    } else {
        uint64_t word;
        if (!ca_live_word(table, operation->address, &word, ret_error)) {
            return false;
        }
        there = word == entry;
    }
    bool was_there = !wide || there || operation->freed_count != operation->before[2] || entry;
    if (!there && was_there) {
        decision->shown.after = true;
        decision->effect.freed_count = 1;
        decision->effect.freed_size = wide ? freed_by_counters(operation) : entry_size(entry);
    }
    return true;
}

static bool decide_reallocate(struct ca_table *table, const struct tm_operation *operation, struct decision *decision,
                              struct ca_error **ret_error)
{
    uint64_t entry = entry_of(table, operation), word;
    struct ca_block block;
    bool found = false;
    if (operation->new_address && !ca_block_at(table, operation->domain, operation->new_address, &block, &found, ret_error)) {
        return false;
    }
    bool wide = entry_size(entry) == TM_LIVE_SIZE_WIDE;
    if (found && block.stack == operation->stack && block.size == operation->size) {
        decision->shown.after = true;
        decision->effect = (struct effect){
            .allocated_count = 1,
            .allocated_size = block.size,
            .freed_count = entry != 0,
            .freed_size = wide ? freed_by_counters(operation) : entry_size(entry),
        };
        return true;
    }
    if (!entry || wide) {
        return true;
    }
    if (!ca_live_word(table, operation->address, &word, ret_error)) {
        return false;
    }
    if (word != entry) {
        /* Another thread may have been given the old address since: then this one has a new block and nobody knows where. */
        decision->shown.ambiguous = word != 0 && operation->address != operation->new_address;
        decision->has_overlay = true;
        decision->overlay = (struct ca_block){
            .address = operation->address,
            .size = entry_size(entry),
            .stack = entry_stack(entry),
        };
    }
    return true;
}

static bool decide(struct ca_table *table, const struct tm_operation *operation, struct decision *decision, struct ca_error **ret_error)
{
    switch (operation->code) {
    case TM_OPERATION_ALLOCATE:
        return decide_entered(table, operation, operation->new_address, decision, ret_error);
    case TM_OPERATION_FREE:
        return decide_removed(table, operation, entry_of(table, operation), decision, ret_error);
    case TM_OPERATION_REALLOCATE:
        return decide_reallocate(table, operation, decision, ret_error);
    case TM_OPERATION_TRACK:
        return decide_entered(table, operation, operation->new_address ? operation->new_address : operation->address, decision,
                              ret_error);
    case TM_OPERATION_UNTRACK:
        return decide_removed(table, operation, 0, decision, ret_error);
    default:
        return true;
    }
}

/* ------------------------------------------------------------------------------------------------------ stale slots */

/* Where user_regs_struct of the machine has the stack pointer. */
static bool stack_pointer_of(struct ca_table *table, uint32_t tid, uint64_t *ret_pointer)
{
    size_t count;
    const struct ca_thread *threads = ca_source_threads(table->internal->source, &count);
    size_t position = table->root.machine == 183 ? 31 : 19; /* aarch64 sp; x86-64 rsp */
    for (size_t i = 0; i < count; i++) {
        if (threads[i].tid == tid && threads[i].register_count > position) {
            *ret_pointer = threads[i].registers[position];
            return true;
        }
    }
    return false;
}

/* True for an operation that a longjmp out of a signal handler left behind: the thread's stack has shrunk past the frame that called. Only
 * addresses in one mapping can be compared: a handler may run on a stack of its own. */
static bool operation_is_stale(struct ca_table *table, const struct tm_thread *thread, const struct tm_operation *operation)
{
    uint64_t pointer;
    if (thread->state != TM_THREAD_USED) {
        return true;
    }
    if (operation->stack_pointer == 0 || !stack_pointer_of(table, thread->tid, &pointer) || pointer <= operation->stack_pointer) {
        return false;
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(table->internal->source, pointer);
    return mapping && mapping->start <= operation->stack_pointer;
}

/* ------------------------------------------------------------------------------------------------------ totals */

struct totals {
    uint64_t count, size; /* modulo 2^64: a thread frees what another allocated */
};

static bool decision_keep(struct ca_table *table, const struct decision *decision, bool stale, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    internal->busy = true;
    if (decision->has_overlay) {
        struct ca_block *grown = realloc(internal->overlay, (internal->overlay_count + 1) * sizeof(*grown));
        if (!grown) {
            return ca_fail_memory(ret_error);
        }
        internal->overlay = grown;
        internal->overlay[internal->overlay_count++] = decision->overlay;
    }
    if (stale) {
        return true;
    }
    struct ca_in_flight *grown = realloc(table->in_flight, (table->in_flight_count + 1) * sizeof(*grown));
    if (!grown) {
        return ca_fail_memory(ret_error);
    }
    table->in_flight = grown;
    table->in_flight[table->in_flight_count++] = decision->shown;
    return true;
}

static bool operation_read(struct ca_table *table, const struct tm_thread *thread, uint32_t level, struct totals *totals,
                           struct ca_error **ret_error)
{
    const struct tm_operation *operation = &thread->operations[level];
    bool valid = operation->generation == table->root.generation && table->internal->traced;
    if (operation->code == TM_OPERATION_NONE) {
        if (valid) {
            totals->count += operation->allocated_count - operation->freed_count;
            totals->size += operation->allocated_size - operation->freed_size;
        }
        return true;
    }
    if (operation->code > TM_OPERATION_CONTROL) {
        table->coverage.rejected++;
    }
    struct decision decision = {
        .shown = {
            .tid = thread->tid,
            .level = level,
            .code = operation->code,
            .address = operation->address,
            .new_address = operation->new_address,
            .size = operation->size,
        },
    };
    if (!decide(table, operation, &decision, ret_error)) {
        return false;
    }
    if (valid) {
        totals->count += operation->before[0] - operation->before[2];
        totals->size += operation->before[1] - operation->before[3];
    }
    totals->count += decision.effect.allocated_count - decision.effect.freed_count;
    totals->size += decision.effect.allocated_size - decision.effect.freed_size;
    return decision_keep(table, &decision, operation_is_stale(table, thread, operation), ret_error);
}

static int compare_blocks(const void *a, const void *b)
{
    const struct ca_block *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

bool ca_flight_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    struct totals totals = {0};
    for (size_t i = 0; i < internal->thread_count; i++) {
        for (uint32_t level = 0; level < TM_OPERATION_LEVELS; level++) {
            if (!operation_read(table, &internal->threads[i], level, &totals, ret_error)) {
                return false;
            }
        }
    }
    if (internal->overlay_count) {
        qsort(internal->overlay, internal->overlay_count, sizeof(*internal->overlay), compare_blocks);
    }
    /* Below 0 only where a table was cut or damaged */
    table->current = (int64_t)totals.size < 0 ? 0 : totals.size;
    internal->count_now = (int64_t)totals.count < 0 ? 0 : totals.count;
    uint64_t peak = internal->peak_is_now || !internal->traced ? 0 : table->root.peak;
    table->peak = peak > table->current ? peak : table->current;
    table->coverage.in_flight = table->in_flight_count;
    table->coverage.blocks = internal->count_now;
    return true;
}
