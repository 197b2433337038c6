/* blocks.c: the live blocks: words of LIVE, elements of WIDE, and what an operation in flight adds. */
#include <stdlib.h>
#include <string.h>

#include "live.h"

/* --------------------------------------------------------------------------------------- one block */

bool ca_block_at(struct ca_table *table, uint32_t domain, uint64_t address, struct ca_block *ret_block,
                 bool *ret_found, struct ca_error **ret_error)
{
    struct tm_live_detail element;
    struct ca_live_rules rules;
    bool found = false;
    if (domain == 0 && !ca_live_element(table, address, &element, &rules, &found, ret_error)) {
        return false;
    }
    if (found && (element.word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE && ca_word_stack(element.word)) {
        bool detail = table->root.features & TM_FEATURE_DETAIL;
        *ret_block = (struct ca_block){
            .address = address,
            .size = element.word & TM_LIVE_SIZE_MASK,
            .stack = ca_word_stack(element.word),
            .time = detail ? element.time : 0,
            .order = detail ? element.order : 0,
            .thread = detail ? element.thread : 0,
        };
        *ret_found = true;
        return true;
    }
    if (!ca_wide_read(table, ret_error)) {
        return false;
    }
    struct ca_block key = {.address = address, .domain = domain};
    const struct ca_table_private *internal = table->internal;
    const struct ca_block *wide = internal->wide_count ? bsearch(&key, internal->wide, internal->wide_count,
                                                                 sizeof(key), ca_blocks_compare)
                                                       : NULL;
    *ret_found = wide != NULL;
    if (wide) {
        *ret_block = *wide;
    }
    return true;
}

/* Of those beside the live words; `blocks` in any order. */
static bool find_beside(const struct ca_block *blocks, size_t count, const struct ca_block *key, bool foreign,
                        struct ca_block *ret_block)
{
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].address == key->address && blocks[i].size == key->size &&
            (blocks[i].domain != 0) == foreign) {
            *ret_block = blocks[i];
            return true;
        }
    }
    return false;
}

bool ca_table_block_at(struct ca_table *table, uint64_t address, uint64_t size, bool foreign,
                       struct ca_block *ret_block, bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct ca_block key = {.address = address, .size = size};
    *ret_found = false;
    if (!foreign && !ca_block_at(table, 0, address, ret_block, ret_found, ret_error)) {
        return false;
    }
    if (foreign && !ca_wide_read(table, ret_error)) {
        return false;
    }
    *ret_found = (*ret_found && ret_block->size == size) ||
                 find_beside(internal->overlay, internal->overlay_count, &key, foreign, ret_block) ||
                 (foreign && find_beside(internal->wide, internal->wide_count, &key, foreign, ret_block));
    if (*ret_found && ret_block->stack >= table->stack_count) {
        ret_block->stack = 1;
    }
    return true;
}

/* ------------------------------------------------------------------------------- around an address */

/* The innermost of the blocks that hold an address. */
struct around {
    uint64_t address;
    struct ca_block *best;
    bool found;
    bool detail;
};

static void around_offer(struct around *around, const struct ca_block *block)
{
    uint64_t offset = around->address - block->address;
    bool inside = around->address >= block->address && (offset < block->size || offset == 0);
    if (inside && (!around->found || block->size < around->best->size)) {
        *around->best = *block;
        around->found = true;
    }
}

/* Blocks of domain 0 do not overlap: the nearest one that begins at or before the address decides. False in
 * *ret_ended: not met in this segment. */
static void around_segment(struct around *around, const struct ca_live_rules *rules,
                           const struct ca_live_segment *live, const uint8_t *bytes, size_t count,
                           bool *ret_ended)
{
    size_t stride = live->region->header.element_size;
    uint64_t last = around->address >> live->region->header.key_shift;
    size_t i = last < live->segment->index           ? 0
               : last - live->segment->index < count ? (size_t)(last - live->segment->index) + 1
                                                     : count;
    while (i-- > 0 && !*ret_ended) {
        uint64_t word;
        memcpy(&word, bytes + i * stride, sizeof(word));
        uint64_t address = ca_word_address(rules, live->segment->index + i, word);
        if (!ca_word_is_live(rules, word) || address > around->address) {
            continue;
        }
        *ret_ended = true;
        struct tm_live_detail element = {.word = word};
        if (around->detail && stride >= sizeof(element)) {
            memcpy(&element, bytes + i * stride, sizeof(element));
        }
        if ((word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE && ca_word_stack(word)) {
            around_offer(around, &(struct ca_block){
                                     .address = address,
                                     .size = word & TM_LIVE_SIZE_MASK,
                                     .stack = ca_word_stack(word),
                                     .time = element.time,
                                     .order = element.order,
                                     .thread = element.thread,
                                 });
        }
    }
}

/* From the address down, segment by segment. */
static bool around_live(struct ca_table *table, struct around *around, struct ca_error **ret_error)
{
    struct ca_live_segment *segments;
    size_t count;
    bool good = true, ended = false;
    if (!ca_live_segments(table, &segments, &count, ret_error)) {
        return false;
    }
    for (size_t i = count; good && !ended && i-- > 0;) {
        size_t got;
        void *owned;
        struct ca_region *region = segments[i].region;
        struct ca_live_rules rules = ca_live_rules(table, region);
        if (segments[i].segment->index > around->address >> region->header.key_shift) {
            continue;
        }
        const uint8_t *bytes =
            ca_segment_map(table->internal->source, region, segments[i].segment, &got, &owned, ret_error);
        good = bytes != NULL;
        if (good) {
            around_segment(around, &rules, &segments[i], bytes, got / region->header.element_size, &ended);
        }
        free(owned);
    }
    free(segments);
    return good;
}

bool ca_table_block_around(struct ca_table *table, uint64_t address, struct ca_block *ret_block,
                           bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct around around = {
        .address = address,
        .best = ret_block,
        .detail = table->root.features & TM_FEATURE_DETAIL,
    };
    if (!ca_wide_read(table, ret_error) || !around_live(table, &around, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < internal->wide_count; i++) {
        around_offer(&around, &internal->wide[i]);
    }
    for (size_t i = 0; i < internal->overlay_count; i++) {
        around_offer(&around, &internal->overlay[i]);
    }
    *ret_found = around.found;
    return true;
}

/* -------------------------------------------------------------------------------------- all blocks */

struct walk {
    struct ca_scan scan;
    bool (*each)(void *context, const struct ca_block *block);
    void *context;
    struct ca_block *extra; /* blocks that have no live word, by domain and address */
    size_t extra_count, extra_next;
    struct ca_stack_weight
        *weights; /* of each stack, to be compared with the counters; NULL = there are none */
    bool ended;
    bool detail;
};

static bool walk_emit(struct walk *walk, struct ca_block block)
{
    block.stack = ca_scan_stack(&walk->scan, block.stack);
    uint64_t times = ca_block_weight(walk->scan.table->root.sample_bytes, block.size);
    walk->scan.rejected += ca_stack_is_void(walk->scan.table, block.stack);
    walk->scan.blocks += times;
    walk->scan.size += times * block.size;
    if (walk->weights) {
        walk->weights[block.stack].count += times;
        walk->weights[block.stack].size += times * block.size;
    }
    walk->ended = !walk->each(walk->context, &block);
    return !walk->ended;
}

/* Those that come before domain 0's block at this address. */
static bool walk_emit_extra(struct walk *walk, uint64_t address)
{
    while (walk->extra_next < walk->extra_count && walk->extra[walk->extra_next].domain == 0 &&
           walk->extra[walk->extra_next].address < address) {
        if (!walk_emit(walk, walk->extra[walk->extra_next++])) {
            return false;
        }
    }
    return true;
}

/* Words that are looked at together: which of them are blocks is found without a branch, since one that
 * goes either way costs more than the rest. */
enum { WORDS_AT_ONCE = 256 };

static size_t words_choose(const struct ca_live_rules *rules, const uint8_t *bytes, size_t stride,
                           size_t count, uint16_t *chosen)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * stride, sizeof(word));
        chosen[found] = (uint16_t)i;
        found += ca_word_is_live(rules, word) & ((word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE);
    }
    return found;
}

static bool walk_element(struct walk *walk, const struct ca_live_rules *rules, uint64_t index,
                         const uint8_t *bytes, bool detail)
{
    struct tm_live_detail element = {0};
    memcpy(&element.word, bytes, sizeof(element.word));
    if (ca_word_stack(element.word) == 0) {
        walk->scan.rejected++;
        return true;
    }
    if (detail) {
        memcpy(&element, bytes, sizeof(element));
    }
    struct ca_block block = {
        .address = ca_word_address(rules, index, element.word),
        .size = element.word & TM_LIVE_SIZE_MASK,
        .time = element.time,
        .order = element.order,
        .stack = ca_word_stack(element.word),
        .thread = element.thread,
    };
    walk->scan.rejected += ca_stack_is_foreign(walk->scan.table, block.stack, 0);
    return walk_emit_extra(walk, block.address) && walk_emit(walk, block);
}

static bool walk_segment(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                         size_t count)
{
    struct walk *walk = context;
    struct ca_live_rules rules = ca_live_rules(walk->scan.table, region);
    size_t stride = region->header.element_size;
    bool detail = walk->detail && stride >= sizeof(struct tm_live_detail);
    uint16_t chosen[WORDS_AT_ONCE];
    for (size_t first = 0; first < count; first += WORDS_AT_ONCE) {
        size_t size = count - first < WORDS_AT_ONCE ? count - first : WORDS_AT_ONCE;
        size_t found = words_choose(&rules, bytes + first * stride, stride, size, chosen);
        for (size_t i = 0; i < found; i++) {
            size_t at = first + chosen[i];
            if (!walk_element(walk, &rules, index + at, bytes + at * stride, detail)) {
                return false;
            }
        }
    }
    return true;
}

/* Blocks beside the live words: WIDE's and the overlay's. */
static bool walk_collect_extra(struct walk *walk, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = walk->scan.table->internal;
    size_t wide = internal->wide_count;
    walk->extra_count = wide + internal->overlay_count;
    walk->extra = malloc((walk->extra_count ? walk->extra_count : 1) * sizeof(*walk->extra));
    if (!walk->extra) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < walk->extra_count; i++) {
        walk->extra[i] = i < wide ? internal->wide[i] : internal->overlay[i - wide];
    }
    if (walk->extra_count) {
        qsort(walk->extra, walk->extra_count, sizeof(*walk->extra), ca_blocks_compare);
    }
    return true;
}

/* Only where nothing else explains a difference. */
static bool walk_weigh(struct walk *walk, struct ca_error **ret_error)
{
    const struct ca_table *table = walk->scan.table;
    if (!ca_table_has_counters(table)) {
        return true;
    }
    walk->weights = calloc(table->stack_count, sizeof(*walk->weights));
    return walk->weights ? true : ca_fail_memory(ret_error);
}

bool ca_table_each_block(struct ca_table *table, bool (*each)(void *context, const struct ca_block *block),
                         void *context, struct ca_error **ret_error)
{
    struct walk walk = {
        .scan = {.table = table},
        .each = each,
        .context = context,
        .detail = table->root.features & TM_FEATURE_DETAIL,
    };
    if (!ca_wide_read(table, ret_error) || !walk_collect_extra(&walk, ret_error) ||
        !walk_weigh(&walk, ret_error)) {
        free(walk.extra);
        return false;
    }
    bool good = ca_live_visit(table, walk_segment, &walk, ret_error);
    while (good && !walk.ended && walk.extra_next < walk.extra_count) {
        walk_emit(&walk, walk.extra[walk.extra_next++]);
    }
    free(walk.extra);
    if (good && !walk.ended) {
        ca_scan_finish(&walk.scan);
        if (walk.weights) {
            ca_agreement_check_stacks(table, walk.weights);
        }
    }
    free(walk.weights);
    return good;
}

/* ---------------------------------------------------------------------------------- domains, times */

static bool find_any(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                     size_t count)
{
    struct ca_scan *scan = context;
    struct ca_live_rules rules = ca_live_rules(scan->table, region);
    (void)index;
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * region->header.element_size, sizeof(word));
        if (ca_word_is_live(&rules, word) && ca_word_stack(word) &&
            (word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE) {
            scan->blocks++;
            return false;
        }
    }
    return true;
}

static int compare_domains(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

bool ca_table_domains(struct ca_table *table, uint32_t **ret_domains, size_t *ret_count,
                      struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct ca_scan any = {.table = table};
    if (!ca_wide_read(table, ret_error) || !ca_live_visit(table, find_any, &any, ret_error)) {
        return false;
    }
    uint32_t *domains = malloc((internal->wide_count + internal->overlay_count + 1) * sizeof(*domains));
    if (!domains) {
        return ca_fail_memory(ret_error);
    }
    size_t all = 0, count = 0;
    /* Where live words were cut off the counters know of them. */
    if (any.blocks || internal->count_now > internal->wide_count + internal->overlay_count) {
        domains[all++] = 0;
    }
    for (size_t i = 0; i < internal->wide_count; i++) {
        domains[all++] = internal->wide[i].domain;
    }
    for (size_t i = 0; i < internal->overlay_count; i++) {
        domains[all++] = internal->overlay[i].domain;
    }
    if (all) {
        qsort(domains, all, sizeof(*domains), compare_domains);
    }
    for (size_t i = 0; i < all; i++) {
        if (count == 0 || domains[count - 1] != domains[i]) {
            domains[count++] = domains[i];
        }
    }
    *ret_domains = domains;
    *ret_count = count;
    return true;
}

static bool newest_block(void *context, const struct ca_block *block)
{
    uint64_t *newest = context;
    *newest = block->time > *newest ? block->time : *newest;
    return true;
}

bool ca_blocks_newest(struct ca_table *table, uint64_t *ret_time, struct ca_error **ret_error)
{
    const struct ca_freed *freed;
    size_t count;
    uint64_t newest = 0;
    if (!ca_table_history(table, &freed, &count, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        newest = freed[i].time > newest ? freed[i].time : newest;
    }
    if (!ca_table_each_block(table, newest_block, &newest, ret_error)) {
        return false;
    }
    *ret_time = newest;
    return true;
}
