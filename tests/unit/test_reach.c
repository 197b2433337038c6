/* test_reach.c: reachability against a slow search that follows the definition word by word, on made-up
 * heaps. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/reach/reach.h"
#include "coreanalyze/reach/refs.h"
#include "coreanalyze/target.h"
#include "image.h"

enum {
    HEAP_SIZE = 0x6000,
    ROOT_SIZE = 0x1000,
    BLOCKS_MAX = 160,
    POINTERS = 200,
    WIDE_MAX = 60, /* elements that the image has room for */
    ROUNDS = 150,
};

#define HEAP UINT64_C(0x20000) /* the image has words of few addresses */
#define ROOT UINT64_C(0x7ffff0000000)

struct made {
    uint64_t start, size;
    uint32_t domain;
    bool reached, indirect;
};

static struct made blocks[BLOCKS_MAX];
static size_t block_count, wide_count;
static uint64_t heap_words[HEAP_SIZE / 8];
static uint64_t root_words[ROOT_SIZE / 8];
static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* ----------------------------------------------------------------------------------------- the definition */

static bool holds(const struct made *block, uint64_t address)
{
    uint64_t offset = address - block->start;
    bool empty_array = block->size == 8 && offset == 8 && heap_words[(block->start - HEAP) / 8] == 0;
    return offset < block->size || offset == 0 || empty_array;
}

/* The innermost block that a word of the heap belongs to; NULL = none. */
static struct made *owner_of(uint64_t address)
{
    struct made *owner = NULL;
    for (size_t i = 0; i < block_count; i++) {
        if (address >= blocks[i].start && address + 8 <= blocks[i].start + blocks[i].size &&
            (!owner || blocks[i].size < owner->size)) {
            owner = &blocks[i];
        }
    }
    return owner;
}

static bool reach_targets(uint64_t value)
{
    bool changed = false;
    for (size_t i = 0; i < block_count; i++) {
        if (!blocks[i].reached && holds(&blocks[i], value)) {
            blocks[i].reached = changed = true;
        }
    }
    return changed;
}

static void define(void)
{
    bool changed = true;
    for (size_t i = 0; i < ROOT_SIZE / 8; i++) {
        reach_targets(root_words[i]);
    }
    while (changed) {
        changed = false;
        for (size_t i = 0; i < HEAP_SIZE / 8; i++) {
            const struct made *owner = owner_of(HEAP + 8 * i);
            changed |= owner && owner->reached && reach_targets(heap_words[i]);
        }
    }
    for (size_t i = 0; i < HEAP_SIZE / 8; i++) {
        const struct made *owner = owner_of(HEAP + 8 * i);
        for (size_t b = 0; owner && !owner->reached && b < block_count; b++) {
            blocks[b].indirect |= &blocks[b] != owner && holds(&blocks[b], heap_words[i]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------- making */

static void block_add(struct image *image, uint64_t start, uint64_t size, uint32_t domain)
{
    if (domain == 0) {
        image_set_live(image, start, size, 2);
        uint64_t chunk = ((size + 8 + 15) & ~UINT64_C(15)) | 1; /* glibc's header of it */
        memcpy(image_at(image, start - 8), &(uint64_t){chunk < 33 ? 33 : chunk}, 8);
    } else {
        image_set_wide(image, wide_count++, domain, start, size, 1);
    }
    blocks[block_count++] = (struct made){.start = start, .size = size, .domain = domain};
}

/* Blocks of malloc, and in some of them two of a pool. */
static void blocks_make(struct image *image, bool pools)
{
    block_count = wide_count = 0;
    uint64_t at = HEAP + 0x20;
    while (block_count + 3 < BLOCKS_MAX && at + 600 < HEAP + HEAP_SIZE) {
        uint64_t size = random_below(4) ? random_below(90) : random_below(400);
        block_add(image, at, size, 0);
        uint64_t start = at;
        if (pools && size > 100 && random_below(2) && wide_count + 2 < WIDE_MAX) {
            block_add(image, start + 16, 24, 7);
            block_add(image, start + 48, 8 * (1 + random_below(5)), 7);
        }
        at += ((size + 8 + 31) & ~UINT64_C(31)) + 32 * random_below(3);
    }
}

static uint64_t pointer_make(void)
{
    const struct made *block = &blocks[random_below(block_count)];
    switch (random_below(6)) {
    case 0:
        return block->start + block->size;
    case 1:
        return block->start + random_below(block->size + 2);
    case 2:
        return HEAP + random_below(HEAP_SIZE);
    default:
        return block->start;
    }
}

static void words_make(struct image *image, size_t pointers)
{
    uint8_t *heap = image_at(image, HEAP), *root = image_at(image, ROOT);
    for (size_t i = 0; i < pointers; i++) {
        uint64_t at = random_below(HEAP_SIZE / 8);
        if (owner_of(HEAP + 8 * at)) {
            memcpy(heap + 8 * at, &(uint64_t){pointer_make()}, 8);
        }
    }
    memset(root, 0, ROOT_SIZE);
    for (uint64_t i = random_below(6); i-- > 0;) {
        memcpy(root + 8 * random_below(ROOT_SIZE / 8), &(uint64_t){pointer_make()}, 8);
    }
    memcpy(heap_words, heap, HEAP_SIZE);
    memcpy(root_words, root, ROOT_SIZE);
}

static struct image *heap_make(uint64_t seed, bool pools, size_t pointers)
{
    const struct image_shape shape = {0};
    struct image *image = image_create();
    random_state = seed * 2654435761 + 1;
    image_add(image, HEAP, HEAP_SIZE, 3, NULL, 0);
    image_add(image, ROOT, ROOT_SIZE, 3, NULL, 0);
    image_add_tables(image, &shape);
    image_add_stack(image, 1, 0, 0, NULL, 0, 0, 0);
    image_add_stack(image, 2, 0, 0, NULL, 0, 0, 0);
    blocks_make(image, pools);
    words_make(image, pointers);
    image->process.thread_count = 0;
    define();
    return image;
}

/* ------------------------------------------------------------------------------------------------- checks */

static struct ca_memory *memory_of(struct ca_target *target)
{
    struct ca_error *error = NULL;
    ck_assert_ptr_nonnull(target);
    struct ca_memory *memory = ca_target_memory(target, &error);
    ck_assert_msg(memory != NULL, "%s", error ? ca_error_message(error) : "");
    return memory;
}

static bool check_leak(void *context, const struct ca_block *block, enum ca_leak leak)
{
    for (size_t i = 0; i < block_count; i++) {
        struct made *made = &blocks[i];
        if (made->start == block->address && made->size == block->size && made->domain == block->domain) {
            ck_assert_msg(!made->reached, "0x%lx of %lu bytes is reached", (long)made->start,
                          (long)made->size);
            ck_assert_int_eq(leak, made->indirect ? CA_LEAK_INDIRECT : CA_LEAK_DIRECT);
            ++*(size_t *)context;
            return true;
        }
    }
    ck_abort_msg("0x%lx is no block", (long)block->address);
}

static void reach_check(struct ca_target *target)
{
    struct ca_error *error = NULL;
    size_t leaks = 0, expected = 0;
    struct ca_reach *reach = ca_reach_create(memory_of(target), true, &error);
    ck_assert_msg(reach != NULL, "%s", error ? ca_error_message(error) : "");
    ck_assert_uint_eq(reach->set.count, block_count);
    ck_assert(ca_reach_mark(reach));
    ck_assert(ca_reach_each_leak(reach, check_leak, &leaks, &error));
    for (size_t i = 0; i < block_count; i++) {
        expected += !blocks[i].reached;
    }
    ck_assert_uint_eq(leaks, expected);
    ck_assert_uint_eq(reach->missing_bytes, 0);
    ca_reach_destroy(reach);
}

/* Through callbacks and from a core file. */
START_TEST(equal_to_the_definition)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct image *image = heap_make(round, round % 3 == 0, round % 7 ? POINTERS : 10);
        struct ca_target *target = image_target(image);
        reach_check(target);
        ca_target_destroy(target);
        if (round % 5 == 0) {
            uint8_t *bytes;
            struct ca_error *error = NULL;
            size_t size = image_core(image, &bytes);
            struct ca_target *core = ca_target_open_core(image_file(bytes, size), NULL, &error);
            reach_check(core);
            ca_target_destroy(core);
            free(bytes);
        }
        image_destroy(image);
    }
}
END_TEST

struct releasing {
    size_t asked, held;
};

static struct made *made_of(const struct ca_block *block)
{
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].start == block->address && blocks[i].size == block->size &&
            blocks[i].domain == block->domain) {
            return &blocks[i];
        }
    }
    ck_abort_msg("0x%lx is no block", (long)block->address);
}

static bool is_known(const struct made *made)
{
    return made->size % 3 == 0;
}

static bool knows(void *context, const struct ca_block *block, bool *ret_known)
{
    ck_assert(!made_of(block)->reached);
    ((struct releasing *)context)->asked++;
    *ret_known = is_known(made_of(block));
    return true;
}

static bool held(void *context, const struct ca_block *block)
{
    ck_assert(!made_of(block)->reached && !is_known(made_of(block)));
    ((struct releasing *)context)->held++;
    return true;
}

/* Known leaks and what they reach are none: as if a root pointed to each of them. */
START_TEST(released_as_the_definition_says)
{
    for (uint64_t round = 0; round < ROUNDS / 2; round++) {
        struct image *image = heap_make(round, round % 3 == 0, round % 7 ? POINTERS : 10);
        struct ca_target *target = image_target(image);
        struct ca_error *error = NULL;
        struct releasing releasing = {0};
        struct ca_reach *reach = ca_reach_create(memory_of(target), true, &error);
        ck_assert(reach && ca_reach_mark(reach));
        ck_assert(ca_reach_release(reach, &(struct ca_release){&releasing, knows, held}, &error));
        size_t before = 0, known = 0, after = 0, leaks = 0;
        for (size_t i = 0; i < block_count; i++) {
            bool is_leak = !blocks[i].reached;
            before += is_leak;
            known += is_leak && is_known(&blocks[i]);
            blocks[i].reached = !is_leak || is_known(&blocks[i]);
            blocks[i].indirect = false;
        }
        define();
        for (size_t i = 0; i < block_count; i++) {
            after += !blocks[i].reached;
        }
        ck_assert_uint_eq(releasing.asked, before);
        ck_assert_uint_eq(releasing.held, before - known - after);
        ck_assert(ca_reach_each_leak(reach, check_leak, &leaks, &error));
        ck_assert_uint_eq(leaks, after);
        ca_reach_destroy(reach);
        ca_target_destroy(target);
        image_destroy(image);
    }
}
END_TEST

/* The blocks that a chain goes through hold each other, and its length is the least. */
START_TEST(path_is_shortest)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct image *image = heap_make(round, false, POINTERS);
        struct ca_target *target = image_target(image);
        struct ca_error *error = NULL;
        struct ca_reach *reach = ca_reach_create(memory_of(target), true, &error);
        ck_assert_ptr_nonnull(reach);
        uint32_t id = (uint32_t)random_below(block_count), *ids;
        size_t count;
        ck_assert(ca_graph_path(&reach->graph, id, &ids, &count));
        ck_assert_int_eq(count > 0, blocks[id].reached);
        for (size_t i = 0; i < block_count; i++) {
            blocks[i].reached = false;
        }
        for (size_t i = 0; i < ROOT_SIZE / 8; i++) {
            reach_targets(root_words[i]);
        }
        for (size_t step = 1; step <= count; step++) { /* one step further each time */
            bool before[BLOCKS_MAX];
            ck_assert_int_eq(blocks[id].reached, step == count);
            for (size_t i = 0; i < block_count; i++) {
                before[i] = blocks[i].reached;
            }
            ck_assert(before[ids[step - 1]]);
            for (size_t i = 0; i < HEAP_SIZE / 8; i++) {
                const struct made *owner = owner_of(HEAP + 8 * i);
                if (owner && before[owner - blocks]) {
                    reach_targets(heap_words[i]);
                }
            }
        }
        free(ids);
        ca_reach_destroy(reach);
        ca_target_destroy(target);
        image_destroy(image);
    }
}
END_TEST

static bool count_reference(void *context, const struct ca_reference *reference)
{
    (void)reference;
    ++*(size_t *)context;
    return true;
}

START_TEST(references_are_all_there)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct image *image = heap_make(round, round % 2, POINTERS);
        struct ca_target *target = image_target(image);
        struct ca_memory *memory = memory_of(target);
        struct ca_error *error = NULL;
        struct ca_reach *reach = ca_reach_create(memory, true, &error);
        const struct made *block = &blocks[random_below(block_count)];
        size_t found = 0, expected = 0;
        uint64_t missing = 1, size = block->size ? block->size : 1;
        ck_assert(ca_refs_find(memory, &reach->areas, &reach->set, block->start, block->size, NULL,
                               count_reference, &found, &missing, &error));
        for (size_t i = 0; i < ROOT_SIZE / 8; i++) {
            expected += root_words[i] - block->start < size;
        }
        for (size_t i = 0; i < HEAP_SIZE / 8; i++) {
            const struct made *owner = owner_of(HEAP + 8 * i);
            expected += owner && owner != block && heap_words[i] - block->start < size;
        }
        ck_assert_uint_eq(found, expected);
        ck_assert_uint_eq(missing, 0);
        ca_reach_destroy(reach);
        ca_target_destroy(target);
        image_destroy(image);
    }
}
END_TEST

/* Each read is interrupted once: the answer is that error, or the whole one. */
START_TEST(interrupted)
{
    for (size_t at = 1; at < 400; at++) {
        struct image *image = heap_make(4, true, POINTERS);
        image->calls.interrupt_at = at;
        struct ca_target *target = image_target(image);
        struct ca_error *error = NULL;
        struct ca_memory *memory = ca_target_memory(target, &error);
        struct ca_reach *reach = memory ? ca_reach_create(memory, true, &error) : NULL;
        if (!reach) {
            ck_assert_str_eq(ca_error_message(error), "interrupted");
            ca_error_destroy(error);
        }
        bool ended = reach != NULL && image->calls.reads < at;
        ca_reach_destroy(reach);
        ca_target_destroy(target);
        image_destroy(image);
        if (ended) {
            ck_assert_uint_gt(at, 5);
            return;
        }
    }
}
END_TEST

/* Addresses that no block can have, and more levels than there are. */
START_TEST(hostile_blocks)
{
    struct image *image = heap_make(1, false, 10);
    size_t count = block_count;
    image_set_wide(image, 0, 9, UINT64_C(1) << 60, 100, 2);
    image_set_wide(image, 1, 9, HEAP, UINT64_MAX - 5, 2);
    for (uint64_t i = 0; i < 3 * CA_LEVELS_MAX; i++) {
        image_set_wide(image, 2 + i, 9, HEAP + 8 * i, HEAP_SIZE - 16 * i, 2);
    }
    struct ca_target *target = image_target(image);
    struct ca_error *error = NULL;
    struct ca_reach *reach = ca_reach_create(memory_of(target), true, &error);
    ck_assert_ptr_nonnull(reach);
    ck_assert(ca_reach_mark(reach));
    ck_assert_uint_eq(reach->set.level_count, CA_LEVELS_MAX);
    ck_assert_uint_eq(reach->set.count + reach->set.left_out, count + 2 + 3 * CA_LEVELS_MAX);
    ca_reach_destroy(reach);
    ca_target_destroy(target);
    image_destroy(image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reach");
    TCase *cases = tcase_create("heaps");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, equal_to_the_definition);
    tcase_add_test(cases, released_as_the_definition_says);
    tcase_add_test(cases, path_is_shortest);
    tcase_add_test(cases, references_are_all_there);
    tcase_add_test(cases, interrupted);
    tcase_add_test(cases, hostile_blocks);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
