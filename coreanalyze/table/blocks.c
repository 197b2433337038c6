/* blocks.c: the live blocks: words of LIVE, elements of WIDE, and what an operation in flight adds. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "internal.h"

/* ------------------------------------------------------------------------------------------- words */

struct live_rules {
    uint64_t generation; /* TM_LIVE_GENERATION as it must be */
    uint32_t key_shift;
};

static struct live_rules live_rules(const struct ca_table *table, const struct ca_region *region)
{
    return (struct live_rules){
        .generation = table->root.generation & 1 ? TM_LIVE_GENERATION : 0,
        .key_shift = region->header.key_shift,
    };
}

static inline bool word_is_live(const struct live_rules *rules, uint64_t word)
{
    return word != 0 && (word & TM_LIVE_GENERATION) == rules->generation;
}

static inline uint32_t word_stack(uint64_t word)
{
    return (uint32_t)(word >> TM_LIVE_STACK_SHIFT) & TM_LIVE_STACK_MAX;
}

static inline uint64_t word_address(const struct live_rules *rules, uint64_t index, uint64_t word)
{
    return (index << rules->key_shift) + (word & TM_LIVE_OFFSET ? 16 : 0);
}

/* What a scan has met. */
struct scan {
    struct ca_table *table;
    uint64_t blocks;
    uint64_t rejected;
};

/* The stack under which a block is counted: "unknown" where there is no record. */
static inline uint32_t stack_checked(struct scan *scan, uint32_t stack)
{
    if (stack < scan->table->stack_count) {
        return stack;
    }
    scan->rejected += stack >= scan->table->internal->stack_limit;
    return 1;
}

static void scan_finish(const struct scan *scan)
{
    struct ca_table *table = scan->table;
    if (!table->internal->scanned) {
        table->coverage.blocks = scan->blocks;
        table->coverage.rejected += scan->rejected;
        table->internal->scanned = true;
    }
}

/* ----------------------------------------------------------------------------------- live segments */

struct live_segment {
    const struct ca_region *region;
    const struct ca_segment *segment;
};

static int compare_live_segments(const void *a, const void *b)
{
    const struct live_segment *left = a, *right = b;
    uint64_t left_key = left->segment->index << left->region->header.key_shift;
    uint64_t right_key = right->segment->index << right->region->header.key_shift;
    return (left_key > right_key) - (left_key < right_key);
}

/* The segments of every LIVE region by the addresses that they describe. */
static bool live_segments(const struct ca_table *table, struct live_segment **ret_segments, size_t *ret_count,
                          struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct live_segment *segments = NULL;
    size_t count = 0, capacity = 0;
    for (size_t r = 0; internal->traced && r < internal->region_count; r++) {
        const struct ca_region *region = &internal->regions[r];
        for (size_t i = 0; region->header.kind == TM_REGION_LIVE && i < region->segment_count; i++) {
            if (!CA_GROW(segments, capacity, count + 1)) {
                free(segments);
                return ca_fail_memory(ret_error);
            }
            segments[count++] = (struct live_segment){region, &region->segments[i]};
        }
    }
    if (count) {
        qsort(segments, count, sizeof(*segments), compare_live_segments);
    }
    *ret_segments = segments;
    *ret_count = count;
    return true;
}

/* Calls `each` with the bytes of every LIVE segment; stops when it returns false. */
typedef bool (*segment_visitor)(void *context, const struct ca_region *region, uint64_t index,
                                const uint8_t *bytes, size_t count);

static bool live_visit(struct ca_table *table, segment_visitor each, void *context,
                       struct ca_error **ret_error)
{
    struct live_segment *segments;
    size_t count;
    bool good = true, more = true;
    if (!live_segments(table, &segments, &count, ret_error)) {
        return false;
    }
    for (size_t i = 0; good && more && i < count; i++) {
        size_t got;
        void *owned;
        const struct ca_region *region = segments[i].region;
        const uint8_t *bytes =
            ca_segment_map(table->internal->source, region, segments[i].segment, &got, &owned, ret_error);
        good = bytes != NULL;
        if (good) {
            more =
                each(context, region, segments[i].segment->index, bytes, got / region->header.element_size);
        }
        free(owned);
    }
    free(segments);
    return good;
}

/* -------------------------------------------------------------------------------------------- wide */

static int compare_blocks(const void *a, const void *b)
{
    const struct ca_block *left = a, *right = b;
    if (left->domain != right->domain) {
        return left->domain < right->domain ? -1 : 1;
    }
    return (left->address > right->address) - (left->address < right->address);
}

static bool wide_is_live(const struct ca_table *table, const struct tm_wide *wide)
{
    return (wide->state & 0xff) == TM_WIDE_LIVE &&
           wide->state >> 8 == (table->root.generation & (UINT64_MAX >> 8));
}

static bool wide_add_region(struct ca_table *table, const struct ca_region *region, size_t *capacity,
                            struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    bool detail = table->root.features & TM_FEATURE_DETAIL;
    void *array;
    size_t count;
    if (!ca_region_copy(internal->source, region, sizeof(struct tm_wide), &array, &count, ret_error)) {
        return false;
    }
    const struct tm_wide *elements = array;
    for (size_t i = 0; i < count; i++) {
        const struct tm_wide *wide = &elements[i];
        if (!wide_is_live(table, wide)) {
            continue;
        }
        if (wide->stack == 0) {
            table->coverage.rejected++;
            continue;
        }
        if (!CA_GROW(internal->wide, *capacity, internal->wide_count + 1)) {
            free(array);
            return ca_fail_memory(ret_error);
        }
        internal->wide[internal->wide_count++] = (struct ca_block){
            .address = wide->address,
            .size = wide->size,
            .time = detail ? wide->time : 0,
            .order = detail ? wide->order : 0,
            .domain = wide->domain,
            .stack = wide->stack,
            .thread = detail ? wide->thread : 0,
        };
    }
    free(array);
    return true;
}

static bool wide_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    size_t capacity = 0;
    if (internal->wide_read) {
        return true;
    }
    free(internal->wide);
    internal->wide = NULL;
    internal->wide_count = 0;
    for (size_t r = 0; internal->traced && r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_WIDE &&
            !wide_add_region(table, &internal->regions[r], &capacity, ret_error)) {
            return false;
        }
    }
    if (internal->wide_count) {
        qsort(internal->wide, internal->wide_count, sizeof(*internal->wide), compare_blocks);
    }
    internal->wide_read = true;
    return true;
}

/* Elements that are not live bear no generation. A realloc in place claims a second one for the same address:
 * that is known by what the operation writes into it. */
static bool held_in_region(struct ca_table *table, const struct ca_region *region,
                           const struct tm_operation *operation, uint32_t state, struct ca_block *ret_block,
                           bool *ret_found, struct ca_error **ret_error)
{
    void *array;
    size_t count;
    if (!ca_region_copy(table->internal->source, region, sizeof(struct tm_wide), &array, &count, ret_error)) {
        return false;
    }
    const struct tm_wide *elements = array;
    for (size_t i = 0; i < count; i++) {
        const struct tm_wide *wide = &elements[i];
        bool own = wide->size == operation->size && wide->stack == operation->stack;
        if ((wide->state & 0xff) == state && wide->domain == operation->domain &&
            wide->address == operation->address && wide->stack && (!*ret_found || !own)) {
            *ret_block = (struct ca_block){
                .address = wide->address, .size = wide->size, .domain = wide->domain, .stack = wide->stack};
            *ret_found = true;
        }
    }
    free(array);
    return true;
}

bool ca_wide_held(struct ca_table *table, const struct tm_operation *operation, uint32_t state,
                  struct ca_block *ret_block, bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    *ret_found = false;
    for (size_t r = 0; r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_WIDE &&
            !held_in_region(table, &internal->regions[r], operation, state, ret_block, ret_found,
                            ret_error)) {
            return false;
        }
    }
    return true;
}

/* --------------------------------------------------------------------------------------- one block */

/* The segment that has element `index`; NULL = it does not exist. */
static const struct ca_segment *segment_of(const struct ca_region *region, uint64_t index)
{
    uint64_t first = index >> region->header.segment_shift << region->header.segment_shift;
    size_t low = 0, high = region->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (region->segments[middle].index < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < region->segment_count && region->segments[low].index == first ? &region->segments[low]
                                                                               : NULL;
}

/* The LIVE element for an address; false in *ret_found = its segment does not exist or cannot be read. */
static bool live_element(struct ca_table *table, uint64_t address, struct tm_live_detail *element,
                         struct live_rules *rules, bool *ret_found, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    *ret_found = false;
    for (size_t r = 0; internal->traced && !*ret_found && r < internal->region_count; r++) {
        const struct ca_region *region = &internal->regions[r];
        size_t stride = region->header.element_size, got = 0;
        size_t size = stride < sizeof(*element) ? stride : sizeof(*element);
        uint64_t index = address >> region->header.key_shift;
        const struct ca_segment *segment =
            region->header.kind == TM_REGION_LIVE ? segment_of(region, index) : NULL;
        if (!segment) {
            continue;
        }
        memset(element, 0, sizeof(*element));
        uint64_t at = segment->base + (index - segment->index) * stride;
        if (!ca_source_read_some(internal->source, at, element, size, &got, ret_error)) {
            return false;
        }
        *rules = live_rules(table, region);
        *ret_found = got == size && word_is_live(rules, element->word) &&
                     word_address(rules, index, element->word) == address;
    }
    return true;
}

bool ca_live_word(struct ca_table *table, uint64_t address, uint64_t *ret_word, struct ca_error **ret_error)
{
    struct tm_live_detail element;
    struct live_rules rules;
    bool found;
    if (!live_element(table, address, &element, &rules, &found, ret_error)) {
        return false;
    }
    *ret_word = found ? element.word : 0;
    return true;
}

bool ca_block_at(struct ca_table *table, uint32_t domain, uint64_t address, struct ca_block *ret_block,
                 bool *ret_found, struct ca_error **ret_error)
{
    struct tm_live_detail element;
    struct live_rules rules;
    bool found = false;
    if (domain == 0 && !live_element(table, address, &element, &rules, &found, ret_error)) {
        return false;
    }
    if (found && (element.word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE && word_stack(element.word)) {
        bool detail = table->root.features & TM_FEATURE_DETAIL;
        *ret_block = (struct ca_block){
            .address = address,
            .size = element.word & TM_LIVE_SIZE_MASK,
            .stack = word_stack(element.word),
            .time = detail ? element.time : 0,
            .order = detail ? element.order : 0,
            .thread = detail ? element.thread : 0,
        };
        *ret_found = true;
        return true;
    }
    if (!wide_read(table, ret_error)) {
        return false;
    }
    struct ca_block key = {.address = address, .domain = domain};
    const struct ca_table_private *internal = table->internal;
    const struct ca_block *wide = internal->wide_count ? bsearch(&key, internal->wide, internal->wide_count,
                                                                 sizeof(key), compare_blocks)
                                                       : NULL;
    *ret_found = wide != NULL;
    if (wide) {
        *ret_block = *wide;
    }
    return true;
}

/* ------------------------------------------------------------------------------- around an address */

/* The innermost of the blocks that hold an address. */
struct around {
    uint64_t address;
    struct ca_block *best;
    bool found;
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
static void around_segment(struct around *around, const struct live_rules *rules,
                           const struct live_segment *live, const uint8_t *bytes, size_t count,
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
        uint64_t address = word_address(rules, live->segment->index + i, word);
        if (!word_is_live(rules, word) || address > around->address) {
            continue;
        }
        *ret_ended = true;
        if ((word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE && word_stack(word)) {
            around_offer(around, &(struct ca_block){
                                     .address = address,
                                     .size = word & TM_LIVE_SIZE_MASK,
                                     .stack = word_stack(word),
                                 });
        }
    }
}

/* From the address down, segment by segment. */
static bool around_live(struct ca_table *table, struct around *around, struct ca_error **ret_error)
{
    struct live_segment *segments;
    size_t count;
    bool good = true, ended = false;
    if (!live_segments(table, &segments, &count, ret_error)) {
        return false;
    }
    for (size_t i = count; good && !ended && i-- > 0;) {
        size_t got;
        void *owned;
        const struct ca_region *region = segments[i].region;
        struct live_rules rules = live_rules(table, region);
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
    struct around around = {.address = address, .best = ret_block};
    if (!wide_read(table, ret_error) || !around_live(table, &around, ret_error)) {
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

/* ----------------------------------------------------------------------------------------- weights */

struct weighing {
    struct scan scan;
    struct ca_stack_weight *weights;
};

/* The hot loop of every `top` without counters: tens of millions of words, most of them 0. */
static bool weigh_segment(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                          size_t count)
{
    struct weighing *weighing = context;
    struct live_rules rules = live_rules(weighing->scan.table, region);
    size_t stride = region->header.element_size;
    (void)index;
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * stride, sizeof(word));
        if (!word_is_live(&rules, word) || (word & TM_LIVE_SIZE_MASK) == TM_LIVE_SIZE_WIDE) {
            continue;
        }
        uint32_t stack = word_stack(word);
        if (stack == 0) {
            weighing->scan.rejected++;
            continue;
        }
        struct ca_stack_weight *weight = &weighing->weights[stack_checked(&weighing->scan, stack)];
        weight->count++;
        weight->size += word & TM_LIVE_SIZE_MASK;
        weighing->scan.blocks++;
    }
    return true;
}

static void weigh_blocks(struct weighing *weighing, const struct ca_block *blocks, size_t count,
                         uint32_t domain)
{
    for (size_t i = 0; i < count; i++) {
        if (domain == UINT32_MAX || blocks[i].domain == domain) {
            struct ca_stack_weight *weight =
                &weighing->weights[stack_checked(&weighing->scan, blocks[i].stack)];
            weight->count++;
            weight->size += blocks[i].size;
            weighing->scan.blocks++;
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
    if (!weighing.weights || !wide_read(table, ret_error)) {
        free(weighing.weights);
        return false;
    }
    if ((domain == 0 || domain == UINT32_MAX) && !live_visit(table, weigh_segment, &weighing, ret_error)) {
        free(weighing.weights);
        return false;
    }
    weigh_blocks(&weighing, internal->wide, internal->wide_count, domain);
    weigh_blocks(&weighing, internal->overlay, internal->overlay_count, domain);
    if (domain == UINT32_MAX) {
        scan_finish(&weighing.scan);
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

bool ca_table_has_counters(const struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    return table->stats && !internal->busy && internal->missing_beside_live == 0 && counters_add_up(table);
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
    if (!weights || !wide_read(table, ret_error)) {
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
        if (subtract && block->domain != 0) {
            *ret_usable = *ret_usable && weight->count >= 1 && weight->size >= block->size;
            weight->count--;
            weight->size -= block->size;
        } else if (!subtract && block->domain == domain) {
            weight->count++;
            weight->size += block->size;
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

/* -------------------------------------------------------------------------------------- all blocks */

struct walk {
    struct scan scan;
    bool (*each)(void *context, const struct ca_block *block);
    void *context;
    struct ca_block *extra; /* blocks that have no live word, by domain and address */
    size_t extra_count, extra_next;
    bool ended;
    bool detail;
};

static bool walk_emit(struct walk *walk, struct ca_block block)
{
    block.stack = stack_checked(&walk->scan, block.stack);
    walk->scan.blocks++;
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

static bool walk_segment(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                         size_t count)
{
    struct walk *walk = context;
    struct live_rules rules = live_rules(walk->scan.table, region);
    size_t stride = region->header.element_size;
    bool detail = walk->detail && stride >= sizeof(struct tm_live_detail);
    for (size_t i = 0; i < count; i++) {
        struct tm_live_detail element = {0};
        memcpy(&element.word, bytes + i * stride, sizeof(element.word));
        if (!word_is_live(&rules, element.word) || (element.word & TM_LIVE_SIZE_MASK) == TM_LIVE_SIZE_WIDE) {
            continue;
        }
        if (word_stack(element.word) == 0) {
            walk->scan.rejected++;
            continue;
        }
        if (detail) {
            memcpy(&element, bytes + i * stride, sizeof(element));
        }
        struct ca_block block = {
            .address = word_address(&rules, index + i, element.word),
            .size = element.word & TM_LIVE_SIZE_MASK,
            .time = element.time,
            .order = element.order,
            .stack = word_stack(element.word),
            .thread = element.thread,
        };
        if (!walk_emit_extra(walk, block.address) || !walk_emit(walk, block)) {
            return false;
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
        qsort(walk->extra, walk->extra_count, sizeof(*walk->extra), compare_blocks);
    }
    return true;
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
    if (!wide_read(table, ret_error) || !walk_collect_extra(&walk, ret_error)) {
        return false;
    }
    bool good = live_visit(table, walk_segment, &walk, ret_error);
    while (good && !walk.ended && walk.extra_next < walk.extra_count) {
        walk_emit(&walk, walk.extra[walk.extra_next++]);
    }
    free(walk.extra);
    if (good && !walk.ended) {
        scan_finish(&walk.scan);
    }
    return good;
}

/* ---------------------------------------------------------------------------------- domains, times */

static bool find_any(void *context, const struct ca_region *region, uint64_t index, const uint8_t *bytes,
                     size_t count)
{
    struct weighing *weighing = context;
    struct live_rules rules = live_rules(weighing->scan.table, region);
    (void)index;
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * region->header.element_size, sizeof(word));
        if (word_is_live(&rules, word) && word_stack(word) &&
            (word & TM_LIVE_SIZE_MASK) != TM_LIVE_SIZE_WIDE) {
            weighing->scan.blocks++;
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
    struct weighing any = {.scan = {.table = table}};
    if (!wide_read(table, ret_error) || !live_visit(table, find_any, &any, ret_error)) {
        return false;
    }
    uint32_t *domains = malloc((internal->wide_count + internal->overlay_count + 1) * sizeof(*domains));
    if (!domains) {
        return ca_fail_memory(ret_error);
    }
    size_t all = 0, count = 0;
    /* Where live words were cut off the counters know of them. */
    if (any.scan.blocks || internal->count_now > internal->wide_count + internal->overlay_count) {
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
    struct ca_table_private *internal = table->internal;
    uint64_t newest = 0;
    for (size_t r = 0; r < internal->region_count; r++) {
        void *array;
        size_t count;
        if (internal->regions[r].header.kind != TM_REGION_HISTORY) {
            continue;
        }
        if (!ca_region_copy(internal->source, &internal->regions[r], sizeof(struct tm_freed), &array, &count,
                            ret_error)) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            const struct tm_freed *freed = (const struct tm_freed *)array + i;
            newest = freed->order && freed->freed_time > newest ? freed->freed_time : newest;
        }
        free(array);
    }
    if (!ca_table_each_block(table, newest_block, &newest, ret_error)) {
        return false;
    }
    *ret_time = newest;
    return true;
}
