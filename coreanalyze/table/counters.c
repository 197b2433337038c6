/* counters.c: totals and peaks per stack where operations are in flight.
 *
 * The tracer changes the counters of a stack after the record of the block and before the thread's own ones,
 * count and size one after the other. So of an operation that is shown as done and adds a block they may lack
 * either. How much they lack in all is known: the threads' counters, settled in flight.c, say what was
 * allocated since start. Which stacks lack it: one that no operation in flight takes a block from lacks what
 * its live values lack of its blocks; what is left then is that of the one other stack. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct amount {
    uint64_t count, size;
};

static struct ca_stack_stats *stats_of(const struct ca_table *table, uint32_t stack)
{
    return &table->stats[stack < table->stack_count ? stack : 1];
}

static bool is_nothing(const struct amount *amount)
{
    return amount->count == 0 && amount->size == 0;
}

/* Takes what the stack lacks out of the rest. */
static void give(struct ca_stack_stats *stats, const struct amount *lacks, struct amount *rest)
{
    struct amount given = *lacks; /* may be the rest itself */
    stats->total_count += given.count;
    stats->total_size += given.size;
    rest->count -= given.count;
    rest->size -= given.size;
}

/* What the stacks' totals lack of the threads'. */
static struct amount lacking(const struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    struct amount rest = {internal->allocated_count, internal->allocated_size};
    for (size_t i = 0; i < table->stack_count; i++) {
        rest.count -= table->stats[i].total_count;
        rest.size -= table->stats[i].total_size;
    }
    return rest;
}

/* Is it the first addition to its stack? */
static bool is_first(const struct ca_table *table, size_t number)
{
    const struct ca_change *changes = table->internal->changes;
    for (size_t i = 0; i < number; i++) {
        if (!changes[i].removes &&
            stats_of(table, changes[i].stack) == stats_of(table, changes[number].stack)) {
            return false;
        }
    }
    return !changes[number].removes;
}

/* Stack 0: of a block that was in WIDE, whose stack nobody knows any more. */
static bool may_lose_a_block(const struct ca_table *table, uint32_t stack)
{
    const struct ca_table_private *internal = table->internal;
    for (size_t i = 0; i < internal->change_count; i++) {
        const struct ca_change *change = &internal->changes[i];
        if (change->removes &&
            (change->stack == 0 || stats_of(table, change->stack) == stats_of(table, stack))) {
            return true;
        }
    }
    return false;
}

static size_t stacks_added_to(const struct ca_table *table)
{
    size_t count = 0;
    for (size_t i = 0; i < table->internal->change_count; i++) {
        count += is_first(table, i);
    }
    return count;
}

/* What operations in flight add to the stacks that others take from. */
static struct amount added_to_mixed(const struct ca_table *table)
{
    struct amount sum = {0, 0};
    for (size_t i = 0; i < table->internal->change_count; i++) {
        const struct ca_change *change = &table->internal->changes[i];
        bool counts = !change->removes && may_lose_a_block(table, change->stack);
        sum.count += counts ? change->count : 0;
        sum.size += counts ? change->size : 0;
    }
    return sum;
}

static void give_all(struct ca_table *table, struct amount *rest)
{
    for (size_t i = 0; i < table->internal->change_count; i++) {
        const struct ca_change *change = &table->internal->changes[i];
        if (!change->removes && may_lose_a_block(table, change->stack)) {
            give(stats_of(table, change->stack), &(struct amount){change->count, change->size}, rest);
        }
    }
}

static void cannot_be_told(struct ca_table *table)
{
    for (size_t i = 0; i < table->in_flight_count; i++) {
        table->in_flight[i].ambiguous = table->in_flight[i].ambiguous || table->in_flight[i].after;
    }
}

/* weights: what is live of each stack; NULL where all additions are to one stack. */
static void settle_totals(struct ca_table *table, const struct ca_stack_weight *weights, struct amount *rest)
{
    const struct ca_table_private *internal = table->internal;
    struct ca_stack_stats *mixed = NULL;
    size_t mixed_count = 0;
    for (size_t i = 0; i < internal->change_count; i++) {
        struct ca_stack_stats *stats = stats_of(table, internal->changes[i].stack);
        if (!is_first(table, i)) {
            continue;
        }
        if (!weights || may_lose_a_block(table, internal->changes[i].stack)) {
            mixed = stats;
            mixed_count++;
            continue;
        }
        const struct ca_stack_weight *weight = &weights[stats - table->stats];
        struct amount lacks = {weight->count - stats->live_count, weight->size - stats->live_size};
        give(stats, &lacks, rest);
    }
    struct amount all = added_to_mixed(table);
    if (mixed_count == 1) {
        give(mixed, rest, rest);
    } else if (mixed_count > 1 && rest->count == all.count && rest->size == all.size) {
        give_all(table, rest);
    } else if (mixed_count > 1 && !is_nothing(rest)) {
        cannot_be_told(table);
    }
}

bool ca_table_settle_counters(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    if (!table->stats || !internal->busy || internal->settled) {
        return true;
    }
    struct amount rest = lacking(table);
    struct ca_stack_weight *weights = NULL;
    bool peak_is_now = ca_peak_is_now(table), lacks = !is_nothing(&rest) && internal->change_count;
    if ((peak_is_now || (lacks && stacks_added_to(table) > 1)) &&
        !ca_weigh_by_scan(table, UINT32_MAX, &weights, ret_error)) {
        return false;
    }
    if (lacks) {
        settle_totals(table, stacks_added_to(table) > 1 ? weights : NULL, &rest);
    }
    for (size_t i = 0; peak_is_now && i < table->stack_count; i++) {
        table->stats[i].peak_count = weights[i].count;
        table->stats[i].peak_size = weights[i].size;
    }
    free(weights);
    internal->settled = true;
    return true;
}
