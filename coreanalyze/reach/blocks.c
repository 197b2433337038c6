/* blocks.c: see blocks.h. */
#include "blocks.h"

#include <stdlib.h>

#include "../util/grow.h"
#include "../util/large.h"

enum {
    TOP_COUNT = 1 << (CA_ADDRESS_BITS - CA_TOP_SHIFT),
    SHIFT_MIN = 6,
    LEAVES_FREE = 1 << 16,
};

/* Ids and entries have 31 bits. */
#define COUNT_MAX ((size_t)1 << 31)

/* ------------------------------------------------------------------------------------------------ blocks */

struct reading {
    struct ca_block_set *set;
    struct ca_extent *extents;
    size_t count, capacity;
    bool sorted, apart; /* so far */
    bool failed;
};

static bool read_block(void *context, const struct ca_block *block)
{
    struct reading *reading = context;
    if (block->address == 0 || block->address >> CA_ADDRESS_BITS ||
        block->size > (UINT64_C(1) << CA_ADDRESS_BITS) - block->address) {
        reading->set->left_out++;
        return true;
    }
    if (!CA_GROW(reading->extents, reading->capacity, reading->count + 1)) {
        reading->failed = true;
        return false;
    }
    if (reading->count) {
        const struct ca_extent *last = &reading->extents[reading->count - 1];
        reading->sorted = reading->sorted && last->start <= block->address;
        reading->apart =
            reading->apart && last->start < block->address && ca_extent_end(last) <= block->address;
    }
    reading->extents[reading->count++] = (struct ca_extent){
        .start = block->address,
        .size = block->size | (block->domain ? CA_EXTENT_FOREIGN : 0),
    };
    return true;
}

/* The larger one first: it goes to the level before. */
static int compare_extents(const void *a, const void *b)
{
    const struct ca_extent *left = a, *right = b;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    uint64_t left_size = ca_extent_size(left), right_size = ca_extent_size(right);
    return (left_size < right_size) - (left_size > right_size);
}

/* Puts each block into the first level in which it overlaps none. */
static bool levels_split(struct ca_block_set *set, const struct reading *reading)
{
    size_t capacities[CA_LEVELS_MAX] = {0};
    uint64_t ends[CA_LEVELS_MAX] = {0};
    for (size_t i = 0; i < reading->count; i++) {
        const struct ca_extent *extent = &reading->extents[i];
        size_t at = 0;
        while (at < CA_LEVELS_MAX && extent->start < ends[at]) {
            at++;
        }
        if (at == CA_LEVELS_MAX) {
            set->left_out++;
            continue;
        }
        struct ca_block_level *level = &set->levels[at];
        if (!CA_GROW(level->blocks, capacities[at], level->count + 1)) {
            return false;
        }
        level->blocks[level->count++] = *extent;
        ends[at] = extent->start + (ca_extent_size(extent) ? ca_extent_size(extent) : 1);
        set->level_count = at + 1 > set->level_count ? at + 1 : set->level_count;
    }
    return true;
}

/* What the tracer counted is most likely right, and memory that is not written to costs nothing. */
static void reserve(struct reading *reading, uint64_t count)
{
    if (count < COUNT_MAX) {
        reading->extents = ca_allocate_large((count + 1) * sizeof *reading->extents);
        reading->capacity = reading->extents ? count + 1 : 0;
    }
}

static bool blocks_read(struct ca_block_set *set, struct ca_table *table, struct ca_error **ret_error)
{
    struct reading reading = {.set = set, .sorted = true, .apart = true};
    reserve(&reading, table->coverage.blocks);
    bool good = ca_table_each_block(table, read_block, &reading, ret_error);
    if (good && (reading.failed || reading.count >= COUNT_MAX)) {
        good = reading.failed ? ca_fail_memory(ret_error)
                              : ca_fail(ret_error, CA_NOTHING,
                                        "more than %zu blocks are too many to be followed", COUNT_MAX);
    }
    set->level_count = 1;
    if (good && reading.sorted && reading.apart) {
        set->levels[0].blocks = reading.extents;
        set->levels[0].count = reading.count;
        return true;
    }
    if (good) {
        qsort(reading.extents, reading.count, sizeof *reading.extents, compare_extents);
        good = levels_split(set, &reading) || ca_fail_memory(ret_error);
    }
    free(reading.extents);
    return good;
}

/* --------------------------------------------------------------------------------------------- directory */

/* Fills the directory of a level from its start to its end. */
struct filling {
    struct ca_block_level *level;
    size_t next; /* blocks before begin before the piece that is filled */
    size_t middle_count, middle_capacity, leaf_count;
};

/* Blocks that begin before `end`. */
static size_t blocks_before(const struct filling *filling, uint64_t end)
{
    const struct ca_block_level *level = filling->level;
    size_t low = filling->next, step = 1;
    while (low + step < level->count && level->blocks[low + step].start < end) {
        low += step;
        step *= 2;
    }
    size_t high = low + step < level->count ? low + step : level->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (level->blocks[middle].start < end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void leaf_fill(struct filling *filling, uint64_t start, uint32_t *ret_entry)
{
    struct ca_block_level *level = filling->level;
    size_t count = (size_t)1 << (CA_MIDDLE_SHIFT - level->shift);
    uint32_t *leaf = level->leaves + filling->leaf_count * count;
    size_t next = filling->next;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = start + ((uint64_t)i << level->shift);
        while (next < level->count && level->blocks[next].start < from) {
            next++;
        }
        leaf[i] = (uint32_t)next;
    }
    *ret_entry = (uint32_t)filling->leaf_count++;
}

static bool middle_fill(struct filling *filling, uint64_t start, uint32_t *ret_entry)
{
    struct ca_block_level *level = filling->level;
    size_t base = filling->middle_count * CA_MIDDLE_COUNT;
    if (!CA_GROW(level->middles, filling->middle_capacity, base + CA_MIDDLE_COUNT)) {
        return false;
    }
    for (size_t i = 0; i < CA_MIDDLE_COUNT; i++) {
        uint64_t from = start + ((uint64_t)i << CA_MIDDLE_SHIFT);
        size_t next = blocks_before(filling, from + (UINT64_C(1) << CA_MIDDLE_SHIFT));
        uint32_t *entry = &level->middles[base + i];
        *entry = (uint32_t)filling->next | CA_NO_MORE;
        if (next != filling->next) {
            leaf_fill(filling, from, entry);
        }
        filling->next = next;
    }
    *ret_entry = (uint32_t)filling->middle_count++;
    return true;
}

static bool directory_make(struct ca_block_level *level)
{
    struct filling filling = {.level = level};
    level->top = malloc(TOP_COUNT * sizeof *level->top);
    for (size_t i = 0; level->top && i < TOP_COUNT; i++) {
        uint64_t from = (uint64_t)i << CA_TOP_SHIFT;
        size_t next = blocks_before(&filling, from + (UINT64_C(1) << CA_TOP_SHIFT));
        level->top[i] = (uint32_t)filling.next | CA_NO_MORE;
        if (next != filling.next && !middle_fill(&filling, from, &level->top[i])) {
            return false;
        }
        filling.next = next;
    }
    return level->top != NULL;
}

/* Pieces of memory that need a table of the last step. */
static uint64_t leaves_count(const struct ca_block_level *level)
{
    uint64_t count = 0, last = UINT64_MAX;
    for (size_t i = 0; i < level->count; i++) {
        uint64_t piece = level->blocks[i].start >> CA_MIDDLE_SHIFT;
        count += piece != last;
        last = piece;
    }
    return count;
}

/* The finest one that has no more than two entries for each block, so that hostile addresses make none that
 * is large. */
static bool leaves_allocate(struct ca_block_level *level)
{
    uint64_t count = leaves_count(level);
    level->shift = SHIFT_MIN;
    while (level->shift < CA_MIDDLE_SHIFT &&
           count << (CA_MIDDLE_SHIFT - level->shift) > 2 * level->count + LEAVES_FREE) {
        level->shift++;
    }
    level->leaves = ca_allocate_large((count << (CA_MIDDLE_SHIFT - level->shift)) * sizeof *level->leaves);
    return level->leaves != NULL;
}

static bool level_finish(struct ca_block_set *set, struct ca_block_level *level)
{
    level->first = (uint32_t)set->count;
    set->count += level->count;
    if (level->count == 0) {
        return true;
    }
    uint64_t end = ca_extent_end(&level->blocks[level->count - 1]) + 1; /* + 1: a block of 0 bytes */
    level->low = level->blocks[0].start;
    level->span = end - level->low;
    uint64_t low = set->span && set->low < level->low ? set->low : level->low;
    uint64_t high = set->span && set->low + set->span > end ? set->low + set->span : end;
    set->low = low;
    set->span = high - low;
    return leaves_allocate(level) && directory_make(level);
}

/* -------------------------------------------------------------------------------------------------- life */

bool ca_block_set_init(struct ca_block_set *set, struct ca_table *table, struct ca_error **ret_error)
{
    *set = (struct ca_block_set){0};
    if (!blocks_read(set, table, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < set->level_count; i++) {
        if (!level_finish(set, &set->levels[i])) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

void ca_block_set_deinit(struct ca_block_set *set)
{
    for (size_t i = 0; i < CA_LEVELS_MAX; i++) {
        free(set->levels[i].blocks);
        free(set->levels[i].top);
        free(set->levels[i].middles);
        free(set->levels[i].leaves);
    }
    *set = (struct ca_block_set){0};
}

const struct ca_extent *ca_block_set_get(const struct ca_block_set *set, uint32_t id)
{
    size_t at = 0;
    while (at + 1 < set->level_count && id >= set->levels[at + 1].first) {
        at++;
    }
    return &set->levels[at].blocks[id - set->levels[at].first];
}

size_t ca_block_level_from(const struct ca_block_level *level, uint64_t address)
{
    size_t low = 0, high = level->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ca_extent *block = &level->blocks[middle];
        if (block->start < address && ca_extent_end(block) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t ca_block_set_find(const struct ca_block_set *set, uint64_t start, uint64_t size)
{
    for (size_t at = 0; at < set->level_count; at++) {
        const struct ca_block_level *level = &set->levels[at];
        uint32_t number = ca_block_find(level, start);
        if (number != CA_NO_BLOCK && level->blocks[number].start == start &&
            ca_extent_size(&level->blocks[number]) == size) {
            return level->first + number;
        }
    }
    return CA_NO_BLOCK;
}
