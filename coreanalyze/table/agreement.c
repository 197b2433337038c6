/* agreement.c: what the tables say twice must be the same twice.
 *
 * No check sum covers a live word, a counter or the root, and a program that overwrites memory may hit them.
 * But the tracer keeps blocks and bytes in two places, the records and the counters of the threads, and
 * flight.c makes them agree at whatever instruction the threads were stopped. Where they do not, one of them
 * is wrong: the answer says so (coverage.disagree). */
#include "internal.h"

/* Nothing else explains a difference: a part that is missing, a record that was left out, an operation that
 * cannot be told, a request whose effect is shown before the tracer has seen it. */
static bool is_expected(const struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    for (size_t i = 0; i < table->in_flight_count; i++) {
        if (table->in_flight[i].ambiguous) {
            return false;
        }
    }
    return internal->traced && !table->coverage.missing_bytes && !table->coverage.truncated &&
           !table->coverage.rejected && !table->root.request;
}

void ca_agreement_check_scan(struct ca_table *table, uint64_t blocks, uint64_t size)
{
    const struct ca_table_private *internal = table->internal;
    if (is_expected(table) && (blocks != internal->count_now || size != table->current)) {
        table->coverage.disagree = true;
    }
}

void ca_agreement_check_stacks(struct ca_table *table, const struct ca_stack_weight *weights)
{
    for (size_t i = 0; is_expected(table) && i < table->stack_count; i++) {
        if (weights[i].count != table->stats[i].live_count || weights[i].size != table->stats[i].live_size) {
            table->coverage.disagree = true;
            return;
        }
    }
}

/* The peak's composition is exact while one thread allocates. A fork's child has its parent's, of which it
 * does not know that. */
static bool peak_adds_up(const struct ca_table *table)
{
    uint64_t size = 0;
    for (size_t i = 0; i < table->stack_count; i++) {
        size += table->stats[i].peak_size;
    }
    return table->root.fold_bytes != 0 || table->root.features & TM_FEATURE_INHERITED || size == table->peak;
}

void ca_agreement_check_counters(struct ca_table *table, bool peak)
{
    const struct ca_table_private *internal = table->internal;
    uint64_t count = internal->allocated_count, size = internal->allocated_size;
    for (size_t i = 0; i < table->stack_count; i++) {
        count -= table->stats[i].total_count;
        size -= table->stats[i].total_size;
    }
    bool is_usable = internal->busy ? internal->settled : ca_table_has_counters(table);
    bool whole = is_usable && count == 0 && size == 0 && (!peak || peak_adds_up(table));
    if (is_expected(table) && (!internal->busy || internal->settled) && !whole) {
        table->coverage.disagree = true;
    }
}

/* Bytes that were ever allocated in this generation, at least as many as were; UINT64_MAX where counters
 * cannot be right. */
static uint64_t allocated_at_most(const struct ca_table *table, uint64_t generation)
{
    const struct ca_table_private *internal = table->internal;
    uint64_t sum = 0;
    for (size_t i = 0; i < internal->thread_count; i++) {
        for (size_t level = 0; level < TM_OPERATION_LEVELS; level++) {
            const struct tm_operation *operation = &internal->threads[i].operations[level];
            uint64_t coming = operation->code ? operation->size : 0;
            if (operation->generation == generation &&
                (__builtin_add_overflow(sum, operation->allocated_size, &sum) ||
                 __builtin_add_overflow(sum, coming, &sum))) {
                return UINT64_MAX;
            }
        }
    }
    return sum;
}

/* Counters of a generation that has not begun. */
static bool has_future(const struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    for (size_t i = 0; i < internal->thread_count; i++) {
        for (size_t level = 0; level < TM_OPERATION_LEVELS; level++) {
            if (internal->threads[i].operations[level].generation > table->root.generation) {
                return true;
            }
        }
    }
    return false;
}

/* The peak cannot be more than was allocated; when nothing was since a start or clear, it is 0. A root whose
 * generation was overwritten makes all records void, which this notices, too. */
void ca_agreement_check_root(struct ca_table *table)
{
    bool plain = table->internal->traced && !table->internal->busy && !table->root.request;
    if (plain && !table->coverage.missing_bytes && !table->coverage.rejected &&
        (has_future(table) || table->root.peak > allocated_at_most(table, table->root.generation))) {
        table->coverage.disagree = true;
    }
}
