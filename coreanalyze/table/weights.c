/* weights.c: live count and size per stack, by a scan of the blocks or from the tracer's counters. */
#include <stdlib.h>
#include <string.h>

#include "live.h"

struct weighing {
    struct ca_scan scan;
    struct ca_stack_weight *weights;
};

/* Adds up words that are live. */
static void weigh_words(struct weighing *weighing, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t size = words[i] & TM_LIVE_SIZE_MASK;
        uint32_t stack = ca_word_stack(words[i]);
        if (size == TM_LIVE_SIZE_WIDE) {
            continue;
        }
        if (stack == 0) {
            weighing->scan.rejected++;
            continue;
        }
        struct ca_stack_weight *weight = &weighing->weights[ca_scan_stack(&weighing->scan, stack)];
        weight->count++;
        weight->size += size;
        weighing->scan.blocks++;
        weighing->scan.size += size;
    }
}

/* The same where a word stands for more than one block. */
static void weigh_samples(struct weighing *weighing, const struct ca_region *region, const uint8_t *bytes,
                          size_t count)
{
    struct ca_table *table = weighing->scan.table;
    struct ca_live_rules rules = ca_live_rules(table, region);
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * region->header.element_size, sizeof(word));
        uint64_t size = word & TM_LIVE_SIZE_MASK;
        if (!ca_word_is_live(&rules, word) || size == TM_LIVE_SIZE_WIDE) {
            continue;
        }
        uint64_t weight = ca_block_weight(table->root.sample_bytes, size);
        uint64_t before = weighing->scan.blocks;
        weigh_words(weighing, &word, 1);
        if (weighing->scan.blocks != before) {
            struct ca_stack_weight *sums =
                &weighing->weights[ca_word_stack(word) < table->stack_count ? ca_word_stack(word) : 1];
            sums->count += weight - 1;
            sums->size += (weight - 1) * size;
            weighing->scan.blocks += weight - 1;
            weighing->scan.size += (weight - 1) * size;
        }
    }
}

/* The hot loop of every `top` without counters: tens of millions of words, and no processor can guess which
 * are live. Those are picked out without a branch, some thousands at a time. */
static bool weigh_segment(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                          size_t count)
{
    enum { WORDS = 2048 };
    uint64_t live[WORDS];
    struct weighing *weighing = context;
    struct ca_live_rules rules = ca_live_rules(weighing->scan.table, region);
    size_t stride = region->header.element_size;
    (void)index;
    if (weighing->scan.table->root.sample_bytes) {
        weigh_samples(weighing, region, bytes, count);
        return true;
    }
    for (size_t begin = 0; begin < count; begin += WORDS) {
        size_t end = count - begin < WORDS ? count : begin + WORDS, found = 0;
        for (size_t i = begin; i < end; i++) {
            uint64_t word;
            memcpy(&word, bytes + i * stride, sizeof(word));
            live[found] = word;
            found += ca_word_is_live(&rules, word);
        }
        weigh_words(weighing, live, found);
    }
    return true;
}

static void weigh_blocks(struct weighing *weighing, const struct ca_block *blocks, size_t count,
                         uint32_t domain)
{
    for (size_t i = 0; i < count; i++) {
        if (domain == UINT32_MAX || blocks[i].domain == domain) {
            struct ca_stack_weight *weight =
                &weighing->weights[ca_scan_stack(&weighing->scan, blocks[i].stack)];
            uint64_t times = ca_block_weight(weighing->scan.table->root.sample_bytes, blocks[i].size);
            weight->count += times;
            weight->size += times * blocks[i].size;
            weighing->scan.blocks += times;
            weighing->scan.size += times * blocks[i].size;
        }
    }
}

static struct ca_stack_weight *weights_create(const struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_stack_weight *weights = calloc(table->stack_count, sizeof(*weights));
    if (!weights) {
        ca_fail_memory(ret_error);
    }
    return weights;
}

bool ca_weigh_by_scan(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                      struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct weighing weighing = {.scan = {.table = table}, .weights = weights_create(table, ret_error)};
    if (!weighing.weights || !ca_wide_read(table, ret_error)) {
        free(weighing.weights);
        return false;
    }
    if ((domain == 0 || domain == UINT32_MAX) && !ca_live_visit(table, weigh_segment, &weighing, ret_error)) {
        free(weighing.weights);
        return false;
    }
    for (size_t i = 0; i < table->stack_count; i++) { /* so far they are those of live words */
        weighing.scan.rejected += ca_stack_is_foreign(table, (uint32_t)i, 0) ? weighing.weights[i].count : 0;
    }
    weigh_blocks(&weighing, internal->wide, internal->wide_count, domain);
    weigh_blocks(&weighing, internal->overlay, internal->overlay_count, domain);
    for (size_t i = 0; i < table->stack_count; i++) {
        weighing.scan.rejected += ca_stack_is_void(table, (uint32_t)i) ? weighing.weights[i].count : 0;
    }
    if (domain == UINT32_MAX) {
        ca_scan_finish(&weighing.scan);
    }
    *ret_weights = weighing.weights;
    return true;
}

/* True when the counters' sums are the threads' totals: the two are kept apart by the tracer, so this tells
 * whether a counter was missed, cut off or damaged. */
static bool counters_add_up(const struct ca_table *table)
{
    uint64_t count = 0, size = 0;
    for (size_t i = 0; i < table->stack_count; i++) {
        count += table->stats[i].live_count;
        size += table->stats[i].live_size;
    }
    return count == table->internal->count_now && size == table->current;
}

/* What the tables need beside the live words is there. */
static bool others_are_whole(const struct ca_table_private *internal)
{
    for (size_t i = 0; i < internal->region_count; i++) {
        if (internal->regions[i].header.kind != TM_REGION_LIVE && internal->regions[i].missing) {
            return false;
        }
    }
    return true;
}

bool ca_table_has_counters(const struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    return table->stats && !internal->busy && others_are_whole(internal) && counters_add_up(table);
}

/* Also where live words were cut off: the totals then are still those of all blocks.
 * Counters are per stack; blocks of other domains than 0 all stand in WIDE and are told apart there. */
bool ca_weigh_by_counters(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                          bool *ret_usable, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    *ret_usable = ca_table_has_counters(table);
    if (!*ret_usable) {
        return true;
    }
    struct ca_stack_weight *weights = weights_create(table, ret_error);
    if (!weights || !ca_wide_read(table, ret_error)) {
        free(weights);
        return false;
    }
    bool subtract = domain == 0;
    for (size_t i = 0; (subtract || domain == UINT32_MAX) && i < table->stack_count; i++) {
        weights[i] = (struct ca_stack_weight){table->stats[i].live_count, table->stats[i].live_size};
    }
    for (size_t i = 0; domain != UINT32_MAX && i < internal->wide_count; i++) {
        const struct ca_block *block = &internal->wide[i];
        struct ca_stack_weight *weight = &weights[block->stack < table->stack_count ? block->stack : 1];
        uint64_t times = ca_block_weight(table->root.sample_bytes, block->size);
        uint64_t size = times * block->size;
        if (subtract && block->domain != 0) {
            *ret_usable = *ret_usable && weight->count >= times && weight->size >= size;
            weight->count -= times;
            weight->size -= size;
        } else if (!subtract && block->domain == domain) {
            weight->count += times;
            weight->size += size;
        }
    }
    if (!*ret_usable) {
        free(weights);
        return true;
    }
    *ret_weights = weights;
    return true;
}

bool ca_table_weigh(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                    struct ca_error **ret_error)
{
    bool usable;
    if (!ca_weigh_by_counters(table, domain, ret_weights, &usable, ret_error)) {
        return false;
    }
    return usable || ca_weigh_by_scan(table, domain, ret_weights, ret_error);
}
