/* root.h: the tracer's tables as the traced program itself sees them. */
#ifndef TESTS_ROOT_H
#define TESTS_ROOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../../tracer/layout.h"

extern struct tm_beacon tm_table __attribute__((weak));

#define FAIL(...)                                                                                            \
    do {                                                                                                     \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                      \
        fprintf(stderr, __VA_ARGS__);                                                                        \
        fputc('\n', stderr);                                                                                 \
        _Exit(1);                                                                                            \
    } while (0)
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            FAIL("%s", #condition);                                                                          \
        }                                                                                                    \
    } while (0)

static inline const struct tm_root *root_find(void)
{
    REQUIRE(&tm_table && tm_table.root && tm_table.self == (uintptr_t)&tm_table);
    const struct tm_root *root = (const struct tm_root *)(uintptr_t)tm_table.root;
    REQUIRE(root->self == (uintptr_t)root);
    return root;
}

/* NULL when there is none. */
static inline const struct tm_region *root_region(uint32_t kind, uint32_t shard)
{
    const struct tm_root *root = root_find();
    for (uint32_t i = 0; i < root->region_count; i++) {
        if (root->regions[i].kind == kind && root->regions[i].shard == shard) {
            return &root->regions[i];
        }
    }
    return NULL;
}

static inline uint64_t region_segments(const struct tm_region *region)
{
    return (uint64_t)region->directory_length << region->middle_bits;
}

static inline char *region_segment(const struct tm_region *region, uint64_t segment)
{
    const uint64_t *words = (const uint64_t *)(uintptr_t)region->directory;
    if (region->middle_bits) {
        words = (const uint64_t *)(uintptr_t)words[segment >> region->middle_bits];
        segment &= (1u << region->middle_bits) - 1;
    }
    return words ? (char *)(uintptr_t)words[segment] : NULL;
}

/* The segment after this one; all those of a middle table that does not exist are passed over. */
static inline uint64_t region_next(const struct tm_region *region, uint64_t segment)
{
    const uint64_t *directory = (const uint64_t *)(uintptr_t)region->directory;
    bool exists = region->middle_bits == 0 || directory[segment >> region->middle_bits];
    return exists ? segment + 1 : ((segment >> region->middle_bits) + 1) << region->middle_bits;
}

static inline void *region_element(const struct tm_region *region, uint64_t index)
{
    char *base = region ? region_segment(region, index >> region->segment_shift) : NULL;
    uint64_t within = index & ((UINT64_C(1) << region->segment_shift) - 1);
    return base ? base + within * region->element_size : NULL;
}

struct root_block {
    uint64_t address;
    uint64_t size;
    uint32_t domain;
    uint32_t stack;
    uint32_t thread; /* 0 without detail */
    uint64_t order;
};

typedef void root_block_visit(const struct root_block *block, void *context);

static inline void root_each_live(root_block_visit *visit, void *context)
{
    const struct tm_root *root = root_find();
    const struct tm_region *live = root_region(TM_REGION_LIVE, 0);
    bool detail = root->features & TM_FEATURE_DETAIL;
    for (uint64_t s = 0; live && s < region_segments(live); s = region_next(live, s)) {
        char *segment = region_segment(live, s);
        for (uint64_t i = 0; segment && i < UINT64_C(1) << live->segment_shift; i++) {
            const struct tm_live_detail *element = (const void *)(segment + i * live->element_size);
            uint64_t word = element->word;
            if (word == 0 || word >> 63 != (root->generation & 1) ||
                (word & TM_LIVE_SIZE_MASK) == TM_LIVE_SIZE_WIDE) {
                continue;
            }
            uint64_t index = s << live->segment_shift | i;
            struct root_block block = {
                .address = (index << live->key_shift) + (word & TM_LIVE_OFFSET ? 16 : 0),
                .size = word & TM_LIVE_SIZE_MASK,
                .stack = word >> TM_LIVE_STACK_SHIFT & TM_LIVE_STACK_MAX,
                .thread = detail ? element->thread : 0,
                .order = detail ? element->order : 0,
            };
            visit(&block, context);
        }
    }
}

static inline void root_each_wide(root_block_visit *visit, void *context)
{
    const struct tm_root *root = root_find();
    const struct tm_region *wide = root_region(TM_REGION_WIDE, 0);
    for (uint64_t s = 0; wide && s < region_segments(wide); s = region_next(wide, s)) {
        char *segment = region_segment(wide, s);
        for (uint64_t i = 0; segment && i < UINT64_C(1) << wide->segment_shift; i++) {
            const struct tm_wide *entry = (const void *)(segment + i * wide->element_size);
            if (entry->state == (TM_WIDE_LIVE | root->generation << 8)) {
                struct root_block block = {entry->address, entry->size,   entry->domain,
                                           entry->stack,   entry->thread, entry->order};
                visit(&block, context);
            }
        }
    }
}

static inline void root_each_block(root_block_visit *visit, void *context)
{
    root_each_live(visit, context);
    root_each_wide(visit, context);
}

/* Sums over the counters of all threads: allocated count and size, freed count and size. */
static inline void root_counters(uint64_t sums[4])
{
    const struct tm_root *root = root_find();
    const struct tm_region *threads = root_region(TM_REGION_THREADS, 0);
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    for (uint64_t i = 0; threads && i < threads->count; i++) {
        const struct tm_thread *thread = region_element(threads, i);
        for (int level = 0; level < TM_OPERATION_LEVELS; level++) {
            const struct tm_operation *operation = &thread->operations[level];
            if (operation->generation == root->generation) {
                sums[0] += operation->allocated_count;
                sums[1] += operation->allocated_size;
                sums[2] += operation->freed_count;
                sums[3] += operation->freed_size;
            }
        }
    }
}

/* Counters of a stack in this generation, of all threads together. */
struct root_stats {
    uint64_t live_count, live_size, total_count, total_size;
    uint64_t peak_count, peak_size; /* at the root's peak epoch */
};

static inline void root_stats_add(struct root_stats *sums, const struct tm_stack_stats *stats)
{
    uint64_t live_count = stats->allocated_count - stats->freed_count;
    uint64_t live_size = stats->allocated_size - stats->freed_size;
    bool kept = stats->peak_epoch == root_find()->peak_epoch;
    sums->live_count += live_count;
    sums->live_size += live_size;
    sums->total_count += stats->allocated_count;
    sums->total_size += stats->allocated_size;
    sums->peak_count += kept ? stats->peak_count : live_count;
    sums->peak_size += kept ? stats->peak_size : live_size;
}

/* All of them, index = stack id; the caller's array of `count` elements is filled. */
static inline void root_stats_all(struct root_stats *sums, uint64_t count)
{
    const struct tm_region *region = root_region(TM_REGION_STATS, 0);
    memset(sums, 0, count * sizeof(*sums));
    for (uint64_t i = 0; region && i < region->count; i++) {
        const struct tm_stack_stats *stats = region_element(region, i);
        if (stats && stats->stack && stats->generation == (uint32_t)root_find()->generation) {
            REQUIRE(stats->stack < count);
            root_stats_add(&sums[stats->stack], stats);
        }
    }
}

static inline struct root_stats root_stats(uint32_t stack)
{
    struct root_stats sums = {0};
    const struct tm_region *region = root_region(TM_REGION_STATS, 0);
    for (uint64_t i = 0; region && i < region->count; i++) {
        const struct tm_stack_stats *stats = region_element(region, i);
        if (stats && stats->stack == stack && stats->generation == (uint32_t)root_find()->generation) {
            root_stats_add(&sums, stats);
        }
    }
    return sums;
}

static inline const struct tm_stack *root_stack(uint32_t id)
{
    const struct tm_stack *stack = region_element(root_region(TM_REGION_STACKS, 0), id);
    REQUIRE(stack && stack->check);
    const uint32_t *frames =
        stack->own ? region_element(root_region(TM_REGION_STACK_FRAMES, 0), stack->frames) : NULL;
    REQUIRE(stack->check == tm_stack_check(stack, frames));
    return stack;
}

static inline unsigned root_depth(const struct tm_stack *stack)
{
    return (unsigned)stack->own + stack->shared;
}

/* Frame `i` of a stack, most recent first; less than its depth. */
static inline const struct tm_frame *root_frame(const struct tm_stack *stack, unsigned i)
{
    REQUIRE(i < root_depth(stack));
    while (i >= stack->own) {
        const struct tm_stack *parent = root_stack(stack->parent);
        i = i - stack->own + root_depth(parent) - stack->omitted - stack->shared;
        stack = parent;
    }
    const uint32_t *id = region_element(root_region(TM_REGION_STACK_FRAMES, 0), stack->frames + i);
    const struct tm_frame *frame = region_element(root_region(TM_REGION_FRAMES, 0), *id);
    REQUIRE(*id && frame && frame->word);
    return frame;
}

static inline const struct tm_module *root_module(uint32_t index)
{
    const struct tm_module *module = region_element(root_region(TM_REGION_MODULES, 0), index);
    REQUIRE(module && module->start);
    return module;
}

static inline const char *root_module_path(uint32_t index)
{
    return region_element(root_region(TM_REGION_STRINGS, 0), root_module(index)->path);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Blocks, counters of threads and counters of stacks must agree. To be called while no other thread
 * allocates.
 */
struct root_sums {
    uint64_t count, size;
};

struct root_census {
    struct root_sums all;
    struct root_sums *stacks;
    uint64_t stack_count;
};

static inline void root_census_add(const struct root_block *block, void *context)
{
    struct root_census *census = context;
    REQUIRE(block->stack != 0 && block->stack < census->stack_count);
    root_stack(block->stack);
    census->all.count++;
    census->all.size += block->size;
    census->stacks[block->stack].count++;
    census->stacks[block->stack].size += block->size;
}

static inline void root_census_check_stats(const struct root_census *census)
{
    size_t size = (census->stack_count + 1) * sizeof(struct root_stats);
    struct root_stats *stats = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(stats != MAP_FAILED);
    root_stats_all(stats, census->stack_count);
    for (uint32_t i = 1; i < census->stack_count; i++) {
        if (stats[i].live_count != census->stacks[i].count || stats[i].live_size != census->stacks[i].size) {
            FAIL("stack %u: counters say %lu blocks of %lu bytes, there are %lu of %lu", i, stats[i].live_count,
                 stats[i].live_size, census->stacks[i].count, census->stacks[i].size);
        }
    }
    munmap(stats, size);
}

static inline struct root_sums root_check(void)
{
    const struct tm_root *root = root_find();
    struct root_census census = {.stack_count = root_region(TM_REGION_STACKS, 0)->count};
    size_t size = (census.stack_count + 1) * sizeof(*census.stacks);
    census.stacks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(census.stacks != MAP_FAILED);
    root_each_block(root_census_add, &census);
    if (root->features & TM_FEATURE_STATS) {
        root_census_check_stats(&census);
    }
    uint64_t counters[4];
    root_counters(counters);
    if (counters[0] - counters[2] != census.all.count || counters[1] - counters[3] != census.all.size) {
        FAIL("counters say %lu blocks of %lu bytes, there are %lu of %lu", counters[0] - counters[2],
             counters[1] - counters[3], census.all.count, census.all.size);
    }
    munmap(census.stacks, size);
    return census.all;
}

#endif
