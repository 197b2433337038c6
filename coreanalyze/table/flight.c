/* flight.c: operations that threads were in the middle of when they were stopped.
 *
 * Each is shown as done or as not begun, by the rules at struct tm_operation in layout.h, and the totals are
 * made to agree: what the thread's counters were before it, plus the operation if it is shown as done. So it
 * makes no difference at which instruction between table and counters a thread was stopped. */
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

/* What the counters say of one block. */
static void effect_allocated(const struct ca_table *table, struct effect *effect, uint64_t size)
{
    uint64_t weight = ca_block_weight(table->root.sample_bytes, size);
    effect->allocated_count += weight;
    effect->allocated_size += weight * size;
}

static void effect_freed(const struct ca_table *table, struct effect *effect, uint64_t size)
{
    uint64_t weight = ca_block_weight(table->root.sample_bytes, size);
    effect->freed_count += weight;
    effect->freed_size += weight * size;
}

static void show_after(const struct ca_table *table, struct decision *decision, uint64_t size, bool freed,
                       uint64_t freed_size)
{
    decision->shown.after = true;
    decision->effect = (struct effect){0};
    effect_allocated(table, &decision->effect, size);
    if (freed) {
        effect_freed(table, &decision->effect, freed_size);
    }
}

static bool decide_allocate(struct ca_table *table, const struct tm_operation *operation,
                            struct decision *decision, struct ca_error **ret_error)
{
    struct ca_block block;
    bool found = false;
    if (operation->new_address &&
        !ca_block_at(table, operation->domain, operation->new_address, &block, &found, ret_error)) {
        return false;
    }
    if (found) {
        show_after(table, decision, block.size, false, 0);
        decision->shown.ambiguous = block.stack != operation->stack || block.size != operation->size;
    }
    return true;
}

/* FREE and UNTRACK: done when the record is gone. */
static bool decide_remove(struct ca_table *table, const struct tm_operation *operation,
                          struct decision *decision, struct ca_error **ret_error)
{
    struct ca_block block;
    uint64_t word;
    bool there = false;
    if (operation->code == TM_OPERATION_FREE && operation->entry) {
        if (!ca_live_word(table, operation->address, &word, ret_error)) {
            return false;
        }
        there = word == operation->entry;
    } else if (!ca_block_at(table, operation->domain, operation->address, &block, &there, ret_error)) {
        return false;
    }
    if (!there) {
        decision->shown.after = true;
        uint64_t size = operation->code == TM_OPERATION_FREE && operation->entry
                            ? entry_size(operation->entry)
                            : operation->size;
        effect_freed(table, &decision->effect, size);
    }
    return true;
}

static void add_overlay(struct decision *decision, uint32_t domain, uint64_t address, uint64_t size,
                        uint32_t stack)
{
    decision->has_overlay = true;
    decision->overlay = (struct ca_block){.domain = domain, .address = address, .size = size, .stack = stack};
}

/* The old block of a realloc that is shown as not yet done. */
static bool decide_old_block(struct ca_table *table, const struct tm_operation *operation,
                             struct decision *decision, struct ca_error **ret_error)
{
    struct ca_block old;
    uint64_t word;
    bool found;
    if (operation->entry == 0) {
        if (!ca_wide_held(table, operation, TM_WIDE_BUSY, &old, &found, ret_error)) {
            return false;
        }
        if (found) {
            add_overlay(decision, old.domain, old.address, old.size, old.stack);
        }
        return true;
    }
    if (!ca_live_word(table, operation->address, &word, ret_error)) {
        return false;
    }
    if (word == 0) {
        add_overlay(decision, 0, operation->address, entry_size(operation->entry),
                    entry_stack(operation->entry));
    } else if (word != operation->entry) {
        /* Another thread was given the memory: this thread has its new block, and nobody knows where. */
        decision->shown.ambiguous = true;
        effect_freed(table, &decision->effect, entry_size(operation->entry));
    }
    return true;
}

static bool decide_reallocate(struct ca_table *table, const struct tm_operation *operation,
                              struct decision *decision, struct ca_error **ret_error)
{
    struct ca_block block, old = {.size = entry_size(operation->entry)};
    bool found = false, known = true;
    if (operation->new_address &&
        !ca_block_at(table, operation->domain, operation->new_address, &block, &found, ret_error)) {
        return false;
    }
    if (!found || block.stack != operation->stack || block.size != operation->size) {
        return decide_old_block(table, operation, decision, ret_error);
    }
    if (operation->entry == 0 &&
        (!ca_wide_held(table, operation, TM_WIDE_BUSY, &old, &known, ret_error) ||
         (!known && !ca_wide_held(table, operation, TM_WIDE_DEAD, &old, &known, ret_error)))) {
        return false;
    }
    decision->shown.ambiguous = !known;
    show_after(table, decision, block.size, known, old.size);
    return true;
}

static bool decide_track(struct ca_table *table, const struct tm_operation *operation,
                         struct decision *decision, struct ca_error **ret_error)
{
    struct ca_block block;
    bool found, replaces = operation->flags & TM_OPERATION_REPLACES;
    if (!ca_block_at(table, operation->domain, operation->address, &block, &found, ret_error)) {
        return false;
    }
    if (found && block.stack == operation->stack && block.size == operation->size) {
        show_after(table, decision, block.size, replaces, operation->entry);
    } else if (!found && replaces) {
        show_after(table, decision, operation->size, true, operation->entry);
        add_overlay(decision, operation->domain, operation->address, operation->size, operation->stack);
    }
    return true;
}

static bool decide(struct ca_table *table, const struct tm_operation *operation, struct decision *decision,
                   struct ca_error **ret_error)
{
    switch (operation->code) {
    case TM_OPERATION_ALLOCATE:
        return decide_allocate(table, operation, decision, ret_error);
    case TM_OPERATION_FREE:
    case TM_OPERATION_UNTRACK:
        return decide_remove(table, operation, decision, ret_error);
    case TM_OPERATION_REALLOCATE:
        return decide_reallocate(table, operation, decision, ret_error);
    case TM_OPERATION_TRACK:
        return decide_track(table, operation, decision, ret_error);
    default:
        return true;
    }
}

/* ------------------------------------------------------------------------------------- stale slots */

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

/* True for an operation that a longjmp out of a signal handler left behind: the thread's stack has shrunk
 * past the frame that called. Only addresses in one mapping can be compared: a handler may run on a stack of
 * its own. */
static bool operation_is_stale(struct ca_table *table, const struct tm_thread *thread,
                               const struct tm_operation *operation)
{
    uint64_t pointer;
    if (thread->state != TM_THREAD_USED) {
        return true;
    }
    if (operation->stack_pointer == 0 || !stack_pointer_of(table, thread->tid, &pointer) ||
        pointer <= operation->stack_pointer) {
        return false;
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(table->internal->source, pointer);
    return mapping && mapping->start <= operation->stack_pointer;
}

/* ------------------------------------------------------------------------------------------ totals */

struct totals {
    uint64_t count, size; /* modulo 2^64: a thread frees what another allocated */
    uint64_t allocated_count, allocated_size;
};

static bool overlay_add(struct ca_table_private *internal, const struct ca_block *block,
                        struct ca_error **ret_error)
{
    struct ca_block *grown = realloc(internal->overlay, (internal->overlay_count + 1) * sizeof(*grown));
    if (!grown) {
        return ca_fail_memory(ret_error);
    }
    internal->overlay = grown;
    internal->overlay[internal->overlay_count++] = *block;
    return true;
}

static bool in_flight_add(struct ca_table *table, const struct ca_in_flight *shown,
                          struct ca_error **ret_error)
{
    struct ca_in_flight *grown = realloc(table->in_flight, (table->in_flight_count + 1) * sizeof(*grown));
    if (!grown) {
        return ca_fail_memory(ret_error);
    }
    table->in_flight = grown;
    table->in_flight[table->in_flight_count++] = *shown;
    return true;
}

static void totals_add(struct totals *totals, const struct effect *effect)
{
    totals->count += effect->allocated_count - effect->freed_count;
    totals->size += effect->allocated_size - effect->freed_size;
    totals->allocated_count += effect->allocated_count;
    totals->allocated_size += effect->allocated_size;
}

static bool change_add(struct ca_table_private *internal, const struct ca_change *change,
                       struct ca_error **ret_error)
{
    if (change->count == 0) {
        return true;
    }
    struct ca_change *grown = realloc(internal->changes, (internal->change_count + 1) * sizeof(*grown));
    if (!grown) {
        return ca_fail_memory(ret_error);
    }
    internal->changes = grown;
    internal->changes[internal->change_count++] = *change;
    return true;
}

static bool changes_add(struct ca_table_private *internal, const struct tm_operation *operation,
                        const struct effect *effect, struct ca_error **ret_error)
{
    bool has_word = operation->entry &&
                    (operation->code == TM_OPERATION_FREE || operation->code == TM_OPERATION_REALLOCATE);
    struct ca_change added = {
        .stack = operation->stack,
        .count = effect->allocated_count,
        .size = effect->allocated_size,
    };
    struct ca_change removed = {
        .stack = has_word ? entry_stack(operation->entry) : 0,
        .removes = true,
        .count = effect->freed_count,
        .size = effect->freed_size,
    };
    return change_add(internal, &added, ret_error) && change_add(internal, &removed, ret_error);
}

/* An operation that the tables and counters do not contain yet, or only in part. Its records are void if its
 * generation is. */
static bool operation_apply(struct ca_table *table, const struct tm_operation *operation,
                            struct totals *totals, struct ca_in_flight *shown, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    struct decision decision = {.shown = *shown};
    internal->busy = true;
    if (operation->code == TM_OPERATION_CONTROL) { /* the generation does not tell of the peak */
        internal->peak_is_now = internal->peak_is_now || operation->address == TM_REQUEST_RESET_PEAK;
        internal->is_controlled = true;
    }
    if (!internal->traced || operation->generation != table->root.generation) {
        return true;
    }
    if (!decide(table, operation, &decision, ret_error) ||
        !changes_add(internal, operation, &decision.effect, ret_error) ||
        (decision.has_overlay && !overlay_add(internal, &decision.overlay, ret_error))) {
        return false;
    }
    *shown = decision.shown;
    const uint64_t *before = operation->before;
    totals_add(totals, &(struct effect){before[0], before[1], before[2], before[3]});
    totals_add(totals, &decision.effect);
    return true;
}

static bool operation_read(struct ca_table *table, const struct tm_thread *thread, uint32_t level,
                           struct totals *totals, struct ca_error **ret_error)
{
    const struct tm_operation *operation = &thread->operations[level];
    bool idle = operation->code == TM_OPERATION_NONE, done = operation->flags & TM_OPERATION_DONE;
    struct ca_in_flight shown = {
        .tid = thread->tid,
        .level = level,
        .code = operation->code,
        .after = done,
        .address = operation->address,
        .new_address = operation->new_address,
        .size = operation->size,
    };
    if (!idle && !done) {
        if (!operation_apply(table, operation, totals, &shown, ret_error)) {
            return false;
        }
    } else if (operation->generation == table->root.generation && table->internal->traced) {
        totals_add(totals, &(struct effect){operation->allocated_count, operation->allocated_size,
                                            operation->freed_count, operation->freed_size});
    }
    if (idle || operation_is_stale(table, thread, operation)) {
        return true;
    }
    table->coverage.rejected += operation->code > TM_OPERATION_CONTROL;
    return in_flight_add(table, &shown, ret_error);
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
    internal->allocated_count = totals.allocated_count;
    internal->allocated_size = totals.allocated_size;
    /* Below 0 only where a table was cut or damaged */
    table->current = (int64_t)totals.size < 0 ? 0 : totals.size;
    internal->count_now = (int64_t)totals.count < 0 ? 0 : totals.count;
    internal->peak_is_now =
        internal->peak_is_now || (internal->is_controlled && table->root.peak > totals.allocated_size);
    uint64_t peak = internal->peak_is_now || !internal->traced ? 0 : table->root.peak;
    table->peak = peak > table->current ? peak : table->current;
    table->coverage.in_flight = table->in_flight_count;
    table->coverage.blocks = internal->count_now;
    return true;
}
