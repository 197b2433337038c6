/* test_table.c: the tables as read from a made-up address space: what is right is read in full, and one thing
 * after the other is made wrong. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/table/internal.h"
#include "coreanalyze/target.h"
#include "image.h"

static struct image *image;
static struct ca_target *target;
static struct ca_table *table;

/* The table of `image`, read anew; it must be readable. */
static void read_table(void)
{
    struct ca_error *error = NULL;
    ca_target_destroy(target);
    target = image_target(image);
    table = ca_target_table(target, &error);
    ck_assert_msg(table != NULL, "%s", error ? ca_error_message(error) : "no error");
}

static void set_up_shape(const struct image_shape *shape)
{
    if (image) {
        image_destroy(image);
    }
    image = image_example(shape);
}

static void set_up(void)
{
    set_up_shape(&(struct image_shape){0});
}

static void tear_down(void)
{
    ca_target_destroy(target);
    image_destroy(image);
    target = NULL;
    image = NULL;
}

static struct tm_thread *slot(uint64_t index)
{
    return image_thread(image, index, 4711 + (uint32_t)index);
}

/* Puts an operation into level 0 of slot 1, with `before` what the counters are. */
static struct tm_operation *begin(uint32_t code)
{
    struct tm_operation *operation = &slot(1)->operations[0];
    operation->code = code;
    operation->allocated_count = operation->before[0] = 3;
    operation->allocated_size = operation->before[1] = 30;
    operation->freed_count = operation->before[2] = 3;
    operation->freed_size = operation->before[3] = 30;
    return operation;
}

struct blocks {
    struct ca_block items[64];
    size_t count;
    size_t stop_at;
};

static bool collect(void *context, const struct ca_block *block)
{
    struct blocks *blocks = context;
    ck_assert_uint_lt(blocks->count, 64);
    blocks->items[blocks->count++] = *block;
    return blocks->count != blocks->stop_at;
}

static struct blocks all_blocks(void)
{
    struct blocks blocks = {0};
    ck_assert(ca_table_each_block(table, collect, &blocks, NULL));
    return blocks;
}

static uint64_t total_of(const struct blocks *blocks)
{
    uint64_t total = 0;
    for (size_t i = 0; i < blocks->count; i++) {
        total += blocks->items[i].size;
    }
    return total;
}

/* Blocks, weights and totals must say the same whatever was in flight. */
static void assert_agreement(size_t count, uint64_t size)
{
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.count, count);
    ck_assert_uint_eq(total_of(&blocks), size);
    ck_assert_uint_eq(table->current, size);
    ck_assert_uint_eq(table->coverage.blocks, count);
    ck_assert(!table->coverage.disagree);
    struct ca_stack_weight *weights;
    ck_assert(ca_table_weigh(table, UINT32_MAX, &weights, NULL));
    uint64_t weighed_count = 0, weighed_size = 0;
    for (size_t i = 0; i < table->stack_count; i++) {
        weighed_count += weights[i].count;
        weighed_size += weights[i].size;
    }
    free(weights);
    ck_assert_uint_eq(weighed_count, count);
    ck_assert_uint_eq(weighed_size, size);
}

/* ----------------------------------------------------------------------------------- what is right */

static void assert_example(void)
{
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.count, EXAMPLE_BLOCKS);
    for (size_t i = 0; i < EXAMPLE_BLOCKS; i++) {
        ck_assert_uint_eq(blocks.items[i].address, example_blocks[i].address);
        ck_assert_uint_eq(blocks.items[i].size, example_blocks[i].size);
        ck_assert_uint_eq(blocks.items[i].domain, example_blocks[i].domain);
        ck_assert_uint_eq(blocks.items[i].stack, example_blocks[i].stack);
    }
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ck_assert_uint_eq(table->coverage.rejected, 0);
    ck_assert_uint_eq(table->coverage.missing_bytes, 0);
    ck_assert_uint_eq(table->coverage.in_flight, 0);
    ck_assert(!table->coverage.truncated);
    ck_assert_uint_eq(table->peak, 2 * EXAMPLE_SIZE);
}

static void assert_stack(uint32_t stack, const uint32_t *frames, size_t count)
{
    uint32_t found[8] = {0};
    ck_assert_uint_eq(ca_table_stack(table, stack, found, 8), count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(found[i], frames[i]);
    }
}

START_TEST(everything)
{
    read_table();
    assert_example();
    ck_assert_uint_eq(table->module_count, 2);
    ck_assert_str_eq(table->modules[1].path, "/no/such/dir/server");
    ck_assert_uint_eq(table->modules[1].start, EXAMPLE_MODULE);
    ck_assert_uint_eq(table->frame_count, 7);
    assert_stack(1, NULL, 0);
    assert_stack(2, (const uint32_t[]){1, 2, 3}, 3);
    assert_stack(3, (const uint32_t[]){4, 2, 3}, 3);
    assert_stack(4, (const uint32_t[]){5, 6, 3}, 3);
    assert_stack(5, (const uint32_t[]){3}, 1);
    assert_stack(99, NULL, 0);
    uint32_t two[2];
    ck_assert_uint_eq(ca_table_stack(table, 3, two, 2), 3);
    ck_assert_uint_eq(two[1], 2);
}
END_TEST

START_TEST(larger_elements_and_header_of_a_later_minor)
{
    set_up_shape(
        &(struct image_shape){.header_extra = 512, .element_extra = 16, .features = TM_FEATURE_STATS});
    image->root->minor = TM_LAYOUT_MINOR + 7;
    read_table();
    assert_example();
    assert_stack(4, (const uint32_t[]){5, 6, 3}, 3);
    ck_assert_str_eq(table->modules[1].path, "/no/such/dir/server");
    ck_assert_uint_eq(table->stats[2].total_count, 4);
}
END_TEST

/* Bytes behind the fields that this reader knows, of one element. */
static void fill_extra(uint32_t kind, uint64_t index, size_t known)
{
    uint8_t *element = image_element(image, kind, index);
    memset(element + known, 0xaa, image_region(image, kind)->element_size - known);
}

static void fill_extras(void)
{
    fill_extra(TM_REGION_THREADS, 0, sizeof(struct tm_thread));
    fill_extra(TM_REGION_MODULES, 1, sizeof(struct tm_module));
    for (uint32_t i = 1; i <= 6; i++) {
        fill_extra(TM_REGION_FRAMES, i, sizeof(struct tm_frame));
    }
    for (uint32_t i = 1; i <= 5; i++) {
        fill_extra(TM_REGION_STACKS, i, sizeof(struct tm_stack));
    }
    uint64_t wide = 0;
    for (size_t i = 0; i < EXAMPLE_BLOCKS; i++) {
        if (example_blocks[i].domain || example_blocks[i].address % 16) {
            fill_extra(TM_REGION_WIDE, wide, sizeof(struct tm_wide));
            wide += 3;
        } else {
            uint64_t cell = example_blocks[i].address >> image_region(image, TM_REGION_LIVE)->key_shift;
            fill_extra(TM_REGION_LIVE, cell, sizeof(struct tm_live_detail));
        }
    }
}

/* Descriptors of 80 bytes instead of 64; the last thing to be done to an image. */
static void widen_regions(void)
{
    enum { LARGER = sizeof(struct tm_region) + 16 };
    uint8_t *to = (uint8_t *)image->root->regions;
    for (uint32_t i = image->root->region_count; i-- > 0;) {
        struct tm_region region = image->root->regions[i];
        memset(to + (size_t)i * LARGER, 0xaa, LARGER);
        memcpy(to + (size_t)i * LARGER, &region, sizeof(region));
    }
    image->root->region_size = LARGER;
}

/* All that the next minor version may bring, at once, and none of it is 0. */
START_TEST(next_minor)
{
    set_up_shape(&(struct image_shape){
        .header_extra = 512, .element_extra = 40, .features = TM_FEATURE_DETAIL | TM_FEATURE_STATS});
    image->root->minor = TM_LAYOUT_MINOR + 1;
    image->root->features |= UINT64_C(1) << 40;
    image->root->reserved = UINT32_MAX;
    memset(image->root->reserved2, 0xaa, sizeof(image->root->reserved2));
    fill_extras();
    for (uint32_t kind = TM_REGION_HISTORY + 1; kind < TM_REGION_HISTORY + 4; kind++) {
        image->root->regions[image->root->region_count++] = (struct tm_region){
            .kind = kind, .element_size = 3, .segment_shift = 99, .directory = 1, .flags = 7};
    }
    image_region(image, TM_REGION_LIVE)->flags = UINT32_MAX;
    image_region(image, TM_REGION_STACKS)->reserved = UINT32_MAX;
    ((struct tm_module *)image_element(image, TM_REGION_MODULES, 1))->flags = UINT32_MAX;
    memset(((struct tm_module *)image_element(image, TM_REGION_MODULES, 1))->reserved, 0xaa, 32);
    image_seal_module(image, 1);
    memset(image_thread(image, 0, 4711)->reserved, 0xaa, sizeof(((struct tm_thread *)0)->reserved));
    ((struct tm_stack *)image_element(image, TM_REGION_STACKS, 3))->flags |= 0x8000; /* a flag to come */
    image_seal_stack(image, 3);
    widen_regions();
    read_table();
    assert_example();
    assert_stack(3, (const uint32_t[]){4, 2, 3}, 3);
    assert_stack(4, (const uint32_t[]){5, 6, 3}, 3);
    ck_assert_str_eq(table->modules[1].path, "/no/such/dir/server");
    ck_assert_uint_eq(table->stats[2].total_count, 4);
    ck_assert_uint_eq(table->frames[2].module, 1);
}
END_TEST

/* A frame of a kind that comes later is one of unknown code. */
START_TEST(frames_of_unknown_kinds)
{
    image_add_frame(image, 2, UINT64_C(77) << TM_FRAME_KIND_SHIFT | 5, 1);
    read_table();
    assert_example();
    assert_stack(3, (const uint32_t[]){4, 2, 3}, 3);
}
END_TEST

START_TEST(regions_of_unknown_kinds_are_skipped)
{
    image->root->regions[image->root->region_count++] =
        (struct tm_region){.kind = 4000, .element_size = 3, .directory = 1};
    read_table();
    assert_example();
}
END_TEST

START_TEST(weights_by_domain)
{
    read_table();
    struct ca_stack_weight *weights;
    ck_assert(ca_table_weigh(table, 0, &weights, NULL));
    ck_assert_uint_eq(weights[2].count, 2);
    ck_assert_uint_eq(weights[2].size, 120);
    ck_assert_uint_eq(weights[3].size, 7);
    free(weights);
    ck_assert(ca_table_weigh(table, 1, &weights, NULL));
    ck_assert_uint_eq(weights[6].size, 65536);
    ck_assert_uint_eq(weights[2].count, 0);
    free(weights);
    uint32_t *domains;
    size_t count;
    ck_assert(ca_table_domains(table, &domains, &count, NULL));
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(domains[0], 0);
    ck_assert_uint_eq(domains[1], 1);
    ck_assert_uint_eq(domains[2], 7);
    free(domains);
}
END_TEST

START_TEST(walk_stops_when_told)
{
    read_table();
    for (size_t stop = 1; stop <= EXAMPLE_BLOCKS; stop++) {
        struct blocks blocks = {.stop_at = stop};
        ck_assert(ca_table_each_block(table, collect, &blocks, NULL));
        ck_assert_uint_eq(blocks.count, stop);
    }
}
END_TEST

START_TEST(detail)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_DETAIL | TM_FEATURE_FREED});
    struct tm_live_detail *element = image_element(image, TM_REGION_LIVE, 0x1000 >> 5);
    element->time = 5000;
    element->order = 17;
    element->thread = 4712;
    struct tm_wide *wide = image_element(image, TM_REGION_WIDE, 0);
    wide->time = 6000;
    image_set_freed(image, 1, &(struct tm_freed){.order = 3, .address = 0x2000, .freed_time = 7000});
    for (uint32_t check = 0; check <= TM_FREED_BUSY; check++) {
        *(struct tm_freed *)image_element(image, TM_REGION_HISTORY, 2 + check) =
            (struct tm_freed){.order = 4, .address = 0x3000, .freed_time = 9000, .check = check};
    }
    read_table();
    assert_example();
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.items[0].time, 5000);
    ck_assert_uint_eq(blocks.items[0].order, 17);
    ck_assert_uint_eq(blocks.items[0].thread, 4712);
    ck_assert_uint_eq(blocks.items[3].time, 6000);
    ck_assert_uint_eq(table->newest_time, 7000);
}
END_TEST

/* ------------------------------------------------------------------------------------------- state */

START_TEST(blocks_of_another_generation_are_void)
{
    image->root->generation = 2;
    image->root->peak = 0;
    image_set_live(image, 0x5000, 11, 2); /* the only one after the clear */
    slot(0)->operations[0].generation = 1;
    struct tm_operation *operation = &slot(1)->operations[0];
    operation->allocated_count = 1;
    operation->allocated_size = 11;
    slot(0)->operations[0].generation = 1;
    read_table();
    assert_agreement(1, 11);
}
END_TEST

/* What stands there twice is not the same twice. */
START_TEST(contradictions)
{
    read_table();
    ck_assert(!table->coverage.disagree);
    switch (_i) {
    case 0:
        image->root->peak = 2 * EXAMPLE_SIZE + 1; /* more than was allocated */
        break;
    case 1:
        image->root->generation = 3; /* all is void, but for a peak of something */
        break;
    case 2:
        slot(1)->operations[2].generation = 2; /* has not begun */
        break;
    case 3:
        slot(0)->operations[0].freed_count--;
        break;
    case 4:
        slot(0)->operations[0].freed_size--;
        break;
    default:
        image_set_live(image, 0x1000, 101, 2);
        break;
    }
    read_table();
    all_blocks();
    ck_assert(table->coverage.disagree);
}
END_TEST

START_TEST(stopped_has_no_traces)
{
    image->root->state = TM_STATE_STOPPED;
    read_table();
    assert_agreement(0, 0);
    ck_assert_uint_eq(table->peak, 0);
}
END_TEST

START_TEST(requests_show_at_once)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    image->root->request = TM_REQUEST_CLEAR;
    read_table();
    assert_agreement(0, 0);
    ck_assert_uint_eq(table->root.state, TM_STATE_TRACING);
    image->root->request = TM_REQUEST_RESET_PEAK;
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ck_assert_uint_eq(table->peak, EXAMPLE_SIZE);
    image->root->request = TM_REQUEST_STOP;
    read_table();
    assert_agreement(0, 0);
    ck_assert_uint_eq(table->root.state, TM_STATE_STOPPED);
    ck_assert_uint_eq(table->stats[2].total_count, 0);
    image->root->request = TM_REQUEST_START;
    image->root->request_argument = 7;
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE); /* it is tracing already */
    ck_assert_uint_eq(table->root.traceback_limit, 25);
    image->root->state = TM_STATE_STOPPED;
    read_table();
    assert_agreement(0, 0);
    ck_assert_uint_eq(table->root.state, TM_STATE_TRACING);
    ck_assert_uint_eq(table->root.traceback_limit, 7);
}
END_TEST

START_TEST(peak_is_never_below_current)
{
    image->root->peak = 5;
    read_table();
    ck_assert_uint_eq(table->peak, EXAMPLE_SIZE);
}
END_TEST

START_TEST(losses_are_added_up)
{
    image->root->dropped_count = 5;
    image->root->dropped_size = 50;
    slot(0)->dropped_count = 2;
    slot(0)->dropped_size = 20;
    slot(3)->dropped_count = 1;
    slot(3)->dropped_size = 1;
    image->root->sample_bytes = 512;
    read_table();
    ck_assert_uint_eq(table->coverage.dropped, 8);
    ck_assert_uint_eq(table->coverage.dropped_size, 71);
    ck_assert_uint_eq(table->coverage.sample_bytes, 512);
}
END_TEST

/* --------------------------------------------------------------------------------------- in flight */

static void assert_flight(bool after, bool ambiguous)
{
    ck_assert_uint_eq(table->in_flight_count, 1);
    ck_assert_uint_eq(table->coverage.in_flight, 1);
    ck_assert_uint_eq(table->in_flight[0].tid, 4712);
    ck_assert_int_eq(table->in_flight[0].after, after);
    ck_assert_int_eq(table->in_flight[0].ambiguous, ambiguous);
}

START_TEST(allocation_before_the_allocator_answered)
{
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    operation->size = 640;
    operation->stack = 2;
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(allocation_between_answer_and_word)
{
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    operation->size = 640;
    operation->stack = 2;
    operation->new_address = 0x5000;
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

/* The cell is of 32 bytes: the word in it is that of another address. */
START_TEST(allocation_beside_another_block_of_its_cell)
{
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    operation->size = 100;
    operation->stack = 2;
    operation->new_address = 0x1010;
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

/* The counters may be before, within or after their change: it must make no difference. */
START_TEST(allocation_with_its_word)
{
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    operation->size = 640;
    operation->stack = 2;
    operation->new_address = 0x5010;
    image_set_live(image, 0x5010, 640, 2);
    operation->allocated_count += _i >= 1;
    operation->allocated_size += _i >= 2 ? 640 : 0;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS + 1, EXAMPLE_SIZE + 640);
}
END_TEST

START_TEST(allocation_over_the_word_of_a_block_whose_free_was_missed)
{
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    operation->size = 640;
    operation->stack = 2;
    operation->new_address = 0x1060; /* a block of stack 3 stands there */
    read_table();
    assert_flight(true, true);
}
END_TEST

START_TEST(free_with_its_word_there)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(free_with_its_word_gone)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    operation->freed_count += _i >= 1;
    operation->freed_size += _i >= 2 ? 100 : 0;
    image_clear_live(image, 0x1000);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS - 1, EXAMPLE_SIZE - 100);
}
END_TEST

START_TEST(free_of_a_block_whose_address_another_thread_has_by_now)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    image_set_live(image, 0x1000, 90, 3);
    image_count(image, 1, 90, 0, 0);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 100 + 90);
}
END_TEST

/* Domain 0's block of 7 bytes at 0x2008 is in WIDE, element 0. */
START_TEST(free_of_a_wide_block)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x2008;
    operation->size = 7;
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    struct tm_wide *wide = image_element(image, TM_REGION_WIDE, 0);
    wide->state = TM_WIDE_DEAD;
    operation->freed_size += _i ? 7 : 0;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS - 1, EXAMPLE_SIZE - 7);
}
END_TEST

/* Once it is said to be done, only the counters count: the block's address may have been given to anybody. */
START_TEST(done)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->size = 100;
    operation->entry = image_word(image, 0x1000, 100, 2);
    operation->flags = TM_OPERATION_DONE;
    operation->freed_count++;
    operation->freed_size += 100;
    image_count(image, 1, 100, 0, 0); /* another thread's block looks the same */
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

static struct tm_operation *begin_reallocate(uint64_t new_address)
{
    struct tm_operation *operation = begin(TM_OPERATION_REALLOCATE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    operation->new_address = new_address;
    operation->size = 300;
    operation->stack = 3;
    return operation;
}

START_TEST(realloc_with_its_old_word_there)
{
    begin_reallocate(0);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(realloc_with_neither_word)
{
    begin_reallocate(_i ? 0x5000 : 0);
    image_clear_live(image, 0x1000);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.items[0].address, 0x1000);
    ck_assert_uint_eq(blocks.items[0].size, 100);
    ck_assert_uint_eq(blocks.items[0].stack, 2);
}
END_TEST

START_TEST(realloc_that_moved)
{
    struct tm_operation *operation = begin_reallocate(0x5000);
    image_clear_live(image, 0x1000);
    image_set_live(image, 0x5000, 300, 3);
    operation->freed_size += _i ? 100 : 0;
    operation->allocated_size += _i ? 300 : 0;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE + 200);
}
END_TEST

/* What stands at the new address is not what it will write there. */
START_TEST(realloc_to_where_a_free_was_missed)
{
    begin_reallocate(0x1030);
    image_clear_live(image, 0x1000);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(realloc_in_place)
{
    begin_reallocate(0x1000);
    image_set_live(image, 0x1000, 300, 3);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE + 200);
}
END_TEST

START_TEST(realloc_in_place_to_the_same)
{
    struct tm_operation *operation = begin_reallocate(0x1000);
    operation->size = 100;
    operation->stack = 2;
    if (_i) {
        image_clear_live(image, 0x1000);
    }
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

/* The old address was given away while this thread does not know its new one yet. */
START_TEST(realloc_whose_old_address_another_thread_has_by_now)
{
    begin_reallocate(0);
    image_set_live(image, 0x1000, 90, 4);
    image_count(image, 1, 90, 0, 0);
    read_table();
    assert_flight(false, true);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 100 + 90);
}
END_TEST

static struct tm_wide *begin_wide_reallocate(uint64_t new_address)
{
    struct tm_operation *operation = begin_reallocate(new_address);
    operation->address = 0x2008;
    operation->entry = 0;
    return image_element(image, TM_REGION_WIDE, 0);
}

START_TEST(realloc_of_a_wide_block)
{
    struct tm_wide *wide = begin_wide_reallocate(0);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    wide->state = TM_WIDE_BUSY; /* taken out */
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ck_assert_uint_eq(all_blocks().items[3].stack, 3);
    begin_wide_reallocate(0x5000);
    image_set_live(image, 0x5000, 300, 3);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 7 + 300);
    wide->state = TM_WIDE_DEAD;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 7 + 300);
}
END_TEST

/* Two elements of one address are held: the old block's and the new one's. */
START_TEST(realloc_of_a_wide_block_in_place)
{
    begin_wide_reallocate(0x2008)->state = TM_WIDE_BUSY;
    for (uint64_t i = 0; i < 2; i++) {
        image_set_wide(image, 20 + i, 0, 0x2008, 300, 3);
        struct tm_wide *claimed = image_element(image, TM_REGION_WIDE, 20 + i);
        claimed->state = i ? TM_WIDE_DEAD : TM_WIDE_BUSY;
    }
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

static struct tm_operation *begin_track(uint32_t code)
{
    struct tm_operation *operation = begin(code);
    operation->domain = 7;
    operation->address = 0x999;
    operation->size = 40;
    operation->stack = 7;
    return operation;
}

START_TEST(tracking)
{
    begin_track(TM_OPERATION_TRACK);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    image_set_wide(image, 30, 7, 0x999, 40, 7);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS + 1, EXAMPLE_SIZE + 40);
}
END_TEST

START_TEST(tracking_over_another_record)
{
    struct tm_operation *operation = begin_track(TM_OPERATION_TRACK);
    operation->flags = TM_OPERATION_REPLACES;
    operation->entry = 9;
    operation->address = 0x123; /* 9 bytes, the last block */
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    struct tm_wide *wide = image_element(image, TM_REGION_WIDE, 6);
    ck_assert_uint_eq(wide->address, 0x123);
    wide->state = TM_WIDE_BUSY;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 9 + 40);
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.items[EXAMPLE_BLOCKS - 1].address, 0x123);
    ck_assert_uint_eq(blocks.items[EXAMPLE_BLOCKS - 1].domain, 7);
    ck_assert_uint_eq(blocks.items[EXAMPLE_BLOCKS - 1].stack, 7);
    image_set_wide(image, 6, 7, 0x123, 40, 7);
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 9 + 40);
}
END_TEST

START_TEST(untracking)
{
    struct tm_operation *operation = begin_track(TM_OPERATION_UNTRACK);
    operation->address = 0x123;
    operation->size = 9;
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ((struct tm_wide *)image_element(image, TM_REGION_WIDE, 6))->state = TM_WIDE_DEAD;
    read_table();
    assert_flight(true, false);
    assert_agreement(EXAMPLE_BLOCKS - 1, EXAMPLE_SIZE - 9);
}
END_TEST

START_TEST(control_changes_nothing)
{
    begin(TM_OPERATION_CONTROL);
    read_table();
    assert_flight(false, false);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(unknown_operation_is_rejected)
{
    begin(99);
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(every_level_counts)
{
    struct tm_thread *thread = slot(1);
    begin(TM_OPERATION_ALLOCATE)->new_address = 0;
    thread->operations[1].code = TM_OPERATION_FREE;
    thread->operations[1].address = 0x1030;
    thread->operations[1].entry = image_word(image, 0x1030, 20, 2);
    thread->operations[2].allocated_count = 1;
    thread->operations[2].allocated_size = 8;
    image_set_live(image, 0x6000, 8, 2);
    image_clear_live(image, 0x1030);
    read_table();
    ck_assert_uint_eq(table->in_flight_count, 2);
    ck_assert_uint_eq(table->in_flight[1].level, 1);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE - 20 + 8);
}
END_TEST

START_TEST(an_operation_left_by_longjmp_is_not_in_flight)
{
    image_add(image, 0x7fff0000, 0x10000, 3, NULL, 0);
    image->process.thread_count = 2;
    image->process.tids[1] = 4712;
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    operation->stack_pointer = 0x7fff8000;
    image->process.registers[1][IMAGE_RSP] = 0x7fff7f00; /* deeper: under way */
    read_table();
    assert_flight(false, false);
    image->process.registers[1][IMAGE_RSP] = 0x7fff9000; /* the frame that called is gone */
    read_table();
    ck_assert_uint_eq(table->in_flight_count, 0);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    image->process.registers[1][IMAGE_RSP] = image->root_address + 8; /* another stack: says nothing */
    read_table();
    assert_flight(false, false);
}
END_TEST

START_TEST(an_operation_of_an_older_generation_counts_for_nothing)
{
    struct tm_operation *operation = begin(TM_OPERATION_FREE);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2) ^ TM_LIVE_GENERATION;
    operation->generation = 77;
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

/* ---------------------------------------------------------------------------------------- counters */

/* What the two ways to weigh give for each domain. */
static void assert_ways_agree(void)
{
    const uint32_t domains[] = {UINT32_MAX, 0, 1, 7, 9};
    for (size_t d = 0; d < 5; d++) {
        struct ca_stack_weight *scanned, *counted;
        bool usable;
        ck_assert(ca_weigh_by_scan(table, domains[d], &scanned, NULL));
        ck_assert(ca_weigh_by_counters(table, domains[d], &counted, &usable, NULL));
        ck_assert(usable);
        ck_assert_mem_eq(scanned, counted, table->stack_count * sizeof(*scanned));
        free(scanned);
        free(counted);
    }
}

static bool counters_usable(void)
{
    struct ca_stack_weight *weights = NULL;
    bool usable;
    ck_assert(ca_weigh_by_counters(table, UINT32_MAX, &weights, &usable, NULL));
    free(weights);
    return usable;
}

START_TEST(counters_and_scan_agree)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    read_table();
    assert_ways_agree();
    assert_example();
}
END_TEST

START_TEST(counters_are_left_alone_when_they_may_not_hold)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    struct tm_operation *operation = begin(TM_OPERATION_ALLOCATE);
    read_table();
    ck_assert(!counters_usable());
    operation->code = TM_OPERATION_NONE;
    read_table();
    ck_assert(counters_usable());
    struct tm_stack_stats *stats = image_element(image, TM_REGION_STATS, 3);
    stats->allocated_size++;
    read_table();
    ck_assert(!counters_usable());
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    stats->allocated_size--;
    stats->generation++;
    read_table();
    ck_assert(!counters_usable());
    set_up();
    read_table();
    ck_assert(!counters_usable());
}
END_TEST

/* Adds to the counters of a stack what an operation in flight has stored of them: bit 0 the count, bit 1 the
 * size. */
static void store_some(uint32_t stack, unsigned stored, uint64_t size, bool removes)
{
    struct tm_stack_stats *stats = image_element(image, TM_REGION_STATS, stack);
    *(removes ? &stats->freed_count : &stats->allocated_count) += stored & 1;
    *(removes ? &stats->freed_size : &stats->allocated_size) += stored & 2 ? size : 0;
}

static struct tm_operation *begin_in(uint64_t index, uint32_t code, uint64_t size, uint32_t stack)
{
    struct tm_operation *operation = &slot(index)->operations[0];
    *operation = (struct tm_operation){
        .code = code, .size = size, .stack = stack, .generation = image->root->generation};
    return operation;
}

/* Three threads at once: two that have their block, of stacks 2 and 3, and one that has freed one, of
 * stack 2. */
START_TEST(totals_of_operations_in_flight)
{
    unsigned first = (unsigned)_i & 3, second = (unsigned)_i >> 2 & 3, third = (unsigned)_i >> 4 & 3;
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    begin_in(1, TM_OPERATION_ALLOCATE, 640, 2)->new_address = 0x5000;
    begin_in(2, TM_OPERATION_ALLOCATE, 70, 3)->new_address = 0x6000;
    struct tm_operation *operation = begin_in(3, TM_OPERATION_FREE, 100, 0);
    operation->address = 0x1000;
    operation->entry = image_word(image, 0x1000, 100, 2);
    image_set_live(image, 0x5000, 640, 2);
    image_set_live(image, 0x6000, 70, 3);
    image_clear_live(image, 0x1000);
    store_some(2, first, 640, false);
    store_some(3, second, 70, false);
    store_some(2, third, 100, true);
    image->root->fold_bytes = 65536; /* several threads: the peak's composition need not add up */
    read_table();
    uint64_t total = table->stats[2].total_count;
    ck_assert(ca_table_settle_counters(table, NULL) && ca_table_settle_counters(table, NULL));
    ca_agreement_check_counters(table, true);
    ck_assert_uint_eq(table->stats[2].total_count, total + !(first & 1));
    ck_assert_uint_eq(table->stats[2].total_count, 2 * 2 + 1);
    ck_assert_uint_eq(table->stats[2].total_size, 2 * (100 + 20) + 640);
    ck_assert_uint_eq(table->stats[3].total_count, 2 * 2 + 1);
    ck_assert_uint_eq(table->stats[3].total_size, 2 * (0 + 7) + 70);
    ck_assert(!table->in_flight[0].ambiguous);
    assert_agreement(EXAMPLE_BLOCKS + 1, EXAMPLE_SIZE + 640 + 70 - 100);
}
END_TEST

/* Both stacks lose a block, too: nothing and all can be told, else it is said that it cannot. */
START_TEST(totals_that_cannot_be_told)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    begin_in(1, TM_OPERATION_ALLOCATE, 640, 2)->new_address = 0x5000;
    begin_in(2, TM_OPERATION_ALLOCATE, 640, 3)->new_address = 0x6000;
    image_set_live(image, 0x5000, 640, 2);
    image_set_live(image, 0x6000, 640, 3);
    struct tm_operation *operation = begin_in(3, TM_OPERATION_UNTRACK, 7, 0);
    operation->domain = 9; /* of a record that is gone */
    operation->address = 0x7;
    store_some(2, _i & 1 ? 3 : 0, 640, false);
    store_some(3, _i & 2 ? 3 : 0, 640, false);
    image->root->fold_bytes = 65536;
    read_table();
    ck_assert(ca_table_settle_counters(table, NULL));
    ck_assert_int_eq(table->in_flight[0].ambiguous, _i == 1 || _i == 2);
    if (_i == 0 || _i == 3) {
        ck_assert_uint_eq(table->stats[2].total_count, 2 * 2 + 1);
        ck_assert_uint_eq(table->stats[3].total_size, 2 * (0 + 7) + 640);
    }
}
END_TEST

/* A new peak, of which the counters of one stack have nothing yet. */
START_TEST(peak_of_an_operation_in_flight)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    begin_in(1, TM_OPERATION_ALLOCATE, 3 * EXAMPLE_SIZE, 2)->new_address = 0x5000;
    image_set_live(image, 0x5000, 3 * EXAMPLE_SIZE, 2);
    store_some(2, (unsigned)_i, 3 * EXAMPLE_SIZE, false);
    read_table();
    ck_assert_uint_eq(table->peak, 4 * EXAMPLE_SIZE);
    ck_assert(ca_table_settle_counters(table, NULL));
    ca_agreement_check_counters(table, true);
    ck_assert(!table->coverage.disagree);
    ck_assert_uint_eq(table->stats[2].peak_count, 3);
    ck_assert_uint_eq(table->stats[2].peak_size, 100 + 20 + 3 * EXAMPLE_SIZE);
    ck_assert_uint_eq(table->stats[3].peak_count, 2);
}
END_TEST

/* Live words that a truncated core lost are still in the counters. */
START_TEST(counters_hold_where_live_words_are_missing)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    struct tm_region *live = image_region(image, TM_REGION_LIVE);
    live->directory = 0x123456000;
    read_table();
    ck_assert(table->coverage.truncated);
    ck_assert(counters_usable());
    uint32_t *domains;
    size_t count;
    ck_assert(ca_table_domains(table, &domains, &count, NULL));
    ck_assert_uint_eq(count, 3);
    free(domains);
    image_region(image, TM_REGION_WIDE)->directory = 0x123456000;
    read_table();
    ck_assert(!counters_usable());
}
END_TEST

START_TEST(shards_add_up_and_peaks_are_resolved)
{
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    image->root->peak_epoch = 9;
    struct tm_stack_stats *stats = image_element(image, TM_REGION_STATS, 2); /* 2 live of 120 bytes */
    stats->peak_epoch = 9;
    stats->peak_count = 70;
    stats->peak_size = 700;
    stats = image_element(image, TM_REGION_STATS, 3);
    stats->peak_epoch = 8; /* of an earlier peak: the live values stand for it */
    stats->peak_count = 1000;
    struct tm_region *first = image_region(image, TM_REGION_STATS),
                     *second = &image->root->regions[image->root->region_count++];
    *second = *first;
    second->shard = 1;
    read_table();
    ck_assert_uint_eq(table->stats[2].live_count, 4);
    ck_assert_uint_eq(table->stats[2].peak_count, 140);
    ck_assert_uint_eq(table->stats[2].peak_size, 1400);
    ck_assert_uint_eq(table->stats[3].peak_count, 4);
    ck_assert_uint_eq(table->stats[3].peak_size, 2 * (0 + 7));
    ck_assert_uint_eq(table->stats[3].total_count, 8);
    image->root->peak = EXAMPLE_SIZE - 1; /* now is a new peak, which is stored when memory falls */
    read_table();
    ck_assert_uint_eq(table->stats[2].peak_count, 4);
    image->root->peak = EXAMPLE_SIZE;
    read_table();
    ck_assert_uint_eq(table->stats[2].peak_count, 140);
    image->root->request = TM_REQUEST_RESET_PEAK;
    read_table();
    ck_assert_uint_eq(table->stats[2].peak_count, 4);
}
END_TEST

/* ----------------------------------------------------------------------------------- what is wrong */

/* One stack that fails one rule: it is rejected, its blocks are kept, all else is as before. */
static void assert_stack_rejected(uint32_t stack)
{
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1);
    assert_stack(stack, NULL, 0);
    ck_assert_uint_eq(table->stacks[stack].flags & TM_STACK_BROKEN, TM_STACK_BROKEN);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}

static struct tm_stack *stack_record(uint32_t id)
{
    return image_element(image, TM_REGION_STACKS, id);
}

START_TEST(stack_check)
{
    stack_record(5)->total_nframe ^= 1;
    assert_stack_rejected(5);
}
END_TEST

START_TEST(stack_frames_beyond_the_end)
{
    stack_record(4)->frames = _i ? stack_record(4)->frames : UINT32_MAX - 1;
    stack_record(4)->own = _i ? 60000 : 2;
    stack_record(5)->parent = 0; /* so that only one is wrong */
    stack_record(5)->shared = 0;
    image_seal_stack(image, 5);
    assert_stack_rejected(4);
}
END_TEST

START_TEST(stack_parent_not_smaller)
{
    stack_record(5)->parent = _i ? 5 : 1000;
    image_seal_stack(image, 5);
    assert_stack_rejected(5);
}
END_TEST

START_TEST(stack_shares_more_than_there_is)
{
    stack_record(5)->shared = 4;
    image_seal_stack(image, 5);
    assert_stack_rejected(5);
}
END_TEST

START_TEST(stack_shares_without_a_parent)
{
    stack_record(5)->parent = 0;
    image_seal_stack(image, 5);
    assert_stack_rejected(5);
}
END_TEST

START_TEST(stack_with_a_frame_that_is_none)
{
    const uint32_t bad[] = {0, 7, UINT32_MAX};
    image_add_stack(image, 5, 0, 0, &bad[_i], 1, 1, 0);
    assert_stack_rejected(5);
}
END_TEST

START_TEST(stack_of_another_domain)
{
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 0);
    ck_assert_uint_eq(table->stacks[7].domain, 7);
    assert_stack(7, (const uint32_t[]){4, 2, 3}, 3);
    stack_record(7)->domain = 6;
    assert_stack_rejected(7);
}
END_TEST

/* A block and its stack are of one domain; each way of looking at all blocks notices, and counts it once. */
START_TEST(blocks_of_another_domain_than_their_stack)
{
    if (_i == 0) {
        ((struct tm_wide *)image_element(image, TM_REGION_WIDE, 6))->domain = 6;
    } else {
        image_set_stack_domain(image, _i == 1 ? 7 : 4,
                               5); /* of a block in WIDE, and of one that has a live word */
    }
    for (int way = 0; way < 2; way++) {
        struct ca_stack_weight *weights = NULL;
        read_table();
        if (way == 0) {
            all_blocks();
        } else {
            ck_assert(ca_weigh_by_scan(table, UINT32_MAX, &weights, NULL));
        }
        free(weights);
        ck_assert_uint_eq(table->coverage.rejected, 1);
    }
}
END_TEST

START_TEST(stack_of_a_rejected_parent)
{
    stack_record(3)->check++;
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 4); /* 3, and its heirs 4, 5 and 7 */
    assert_stack(2, (const uint32_t[]){1, 2, 3}, 3);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(stack_that_is_not_published_is_no_error)
{
    stack_record(5)->check = 0;
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 0);
    assert_stack(5, NULL, 0);
}
END_TEST

/* A chain in which nobody adds a frame must not cost a hop per link for every stack. */
START_TEST(long_chains_are_shortened)
{
    for (uint32_t i = 8; i < 40; i++) {
        image_add_stack(image, i, i == 8 ? 5 : i - 1, 1, NULL, 0, 1, 0);
    }
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 0);
    assert_stack(39, (const uint32_t[]){3}, 1);
    ck_assert_uint_eq(table->stacks[39].parent, 2);
}
END_TEST

START_TEST(frame_with_a_module_that_is_none)
{
    ((struct tm_frame *)image_element(image, TM_REGION_FRAMES, 2))->module = 9;
    image_seal_frame(image, 2);
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1);
    ck_assert_uint_eq(table->frames[2].module, 0);
}
END_TEST

/* One bit of a record that is written once: its frame, module or path gives no name, all else is as before.
 */
START_TEST(checks_of_frames_and_modules)
{
    struct tm_frame *frame = image_element(image, TM_REGION_FRAMES, 2);
    struct tm_module *module = image_element(image, TM_REGION_MODULES, 1);
    void *fields[] = {
        &frame->word,        &frame->module,
        &frame->check,       &module->bias,
        module->build_id,    &module->check,
        &module->path_check, image_element(image, TM_REGION_STRINGS, module->path),
    };
    uint8_t *hurt = fields[_i];
    hurt[_i == 0] ^= 1;
    read_table();
    ck_assert_uint_ge(table->coverage.rejected, 1);
    ck_assert_uint_eq(table->frames[2].module, _i < 6 ? 0 : 1);
    ck_assert_uint_eq(table->modules[1].start, _i >= 3 && _i < 6 ? 0 : EXAMPLE_MODULE);
    ck_assert_str_eq(table->modules[1].path, _i < 3 ? "/no/such/dir/server" : "");
    assert_stack(3, (const uint32_t[]){4, 2, 3}, 3);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

/* The same of a descriptor and of the root. */
START_TEST(checks_of_regions_and_the_root)
{
    struct tm_region *region = image_region(image, TM_REGION_LIVE);
    read_table();
    assert_example();
    image->is_spoilt = true;
    void *fields[] = {&region->key_shift, &region->shard,           &region->kind,
                      &region->check,     &image->root->start_time, &image->root->check};
    uint8_t *hurt = fields[_i];
    *hurt ^= 1;
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1);
    ck_assert_uint_eq(all_blocks().count, _i < 4 ? 3 : EXAMPLE_BLOCKS); /* those of WIDE are left */
}
END_TEST

START_TEST(history_elements_have_checks)
{
    const struct ca_freed *freed;
    size_t count;
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_FREED});
    for (uint32_t i = 0; i < 3; i++) {
        image_set_freed(image, i, &(struct tm_freed){.order = 1 + i, .address = 0x2000, .size = 8});
    }
    ((struct tm_freed *)image_element(image, TM_REGION_HISTORY, 1))->freed_thread ^= 64;
    read_table();
    ck_assert(ca_table_history(table, &freed, &count, NULL));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(table->coverage.rejected, 1);
}
END_TEST

START_TEST(module_fields)
{
    struct tm_module *module = image_element(image, TM_REGION_MODULES, 1);
    switch (_i) {
    case 0:
        module->end = module->start - 1;
        break;
    default:
        module->build_id_length = TM_BUILD_ID_MAX + 1;
        break;
    }
    image_seal_module(image, 1);
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1 + 5); /* and the frames of it */
    ck_assert_str_eq(table->modules[1].path, "");
}
END_TEST

START_TEST(module_path_beyond_the_strings)
{
    struct tm_module *module = image_element(image, TM_REGION_MODULES, 1);
    const uint32_t lengths[] = {UINT32_MAX, 4, 1000};
    module->path = _i == 1 ? UINT32_MAX : module->path;
    module->path_length = lengths[_i];
    image_seal_module(image, 1);
    read_table();
    ck_assert_str_eq(table->modules[1].path, "");
    ck_assert_uint_eq(table->modules[1].start, EXAMPLE_MODULE);
}
END_TEST

START_TEST(live_word_of_an_unknown_stack)
{
    image_set_live(image, 0x1000, 100, 77);
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ck_assert_uint_eq(table->coverage.rejected, 1);
    struct blocks blocks = all_blocks();
    ck_assert_uint_eq(blocks.items[0].stack, 1);
    ck_assert_uint_eq(table->coverage.rejected, 1); /* counted once, however often it is scanned */
}
END_TEST

START_TEST(live_word_without_a_stack)
{
    image_set_live(image, 0x1000, 100, 0);
    read_table();
    ck_assert_uint_eq(all_blocks().count, EXAMPLE_BLOCKS - 1);
    ck_assert_uint_eq(table->coverage.rejected, 1);
}
END_TEST

START_TEST(wide_elements_that_are_no_block)
{
    image_set_wide(image, 20, 7, 0x777, 1, 2);
    struct tm_wide *wide = image_element(image, TM_REGION_WIDE, 20);
    const uint64_t states[] = {0, TM_WIDE_BUSY | 1 << 8, TM_WIDE_DEAD | 1 << 8, TM_WIDE_LIVE | 2 << 8,
                               TM_WIDE_LIVE};
    wide->state = states[_i];
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    ck_assert_uint_eq(table->coverage.rejected, 0);
}
END_TEST

START_TEST(marker_word_counts_only_in_wide)
{
    image_set_live(image, 0x3000, TM_LIVE_SIZE_WIDE, 2);
    read_table();
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    image_set_wide(image, 20, 0, 0x3000, UINT64_C(1) << 40, 2);
    image_count(image, 1, UINT64_C(1) << 40, 0, 0);
    read_table();
    assert_agreement(EXAMPLE_BLOCKS + 1, EXAMPLE_SIZE + (UINT64_C(1) << 40));
}
END_TEST

/* A live target says what it lacks when it is read; its list of mappings need not be complete. */
START_TEST(missing_bytes_of_a_live_target)
{
    struct tm_region *region = image_region(image, TM_REGION_LIVE);
    uint64_t *directory = (uint64_t *)image_at(image, region->directory);
    uint64_t *middle = (uint64_t *)image_at(image, directory[0]);
    image_add(image, 0x5000000000, 0x1000, 3, NULL, 0);
    middle[9] = 0x5000000000 + 0x1000 - 64; /* all but 64 bytes of it are not there */
    read_table();
    ck_assert_uint_eq(table->coverage.missing_bytes, 0);
    for (int again = 0; again < 2; again++) {
        assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
        ck_assert_uint_eq(table->coverage.missing_bytes, (8 << region->segment_shift) - 64);
        ck_assert(table->coverage.truncated);
    }
}
END_TEST

static const uint32_t kinds[] = {
    TM_REGION_THREADS,      TM_REGION_MODULES, TM_REGION_STRINGS, TM_REGION_FRAMES, TM_REGION_STACKS,
    TM_REGION_STACK_FRAMES, TM_REGION_LIVE,    TM_REGION_WIDE,    TM_REGION_STATS,  TM_REGION_HISTORY};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), CORRUPTIONS = 12 };

static void corrupt_region(struct tm_region *region, int how)
{
    const uint64_t huge = UINT64_MAX;
    switch (how) {
    case 0:
        region->element_size = 0;
        break;
    case 1:
        region->element_size = UINT32_MAX;
        break;
    case 2:
        region->segment_shift = 63;
        break;
    case 3:
        region->segment_shift = 40;
        break;
    case 4:
        region->directory = huge - 7;
        break;
    case 5:
        region->directory = 0;
        break;
    case 6:
        region->directory_length = UINT32_MAX;
        break;
    case 7:
        region->middle_bits = 31;
        break;
    case 8:
        region->middle_bits = 30;
        break;
    case 9:
        region->key_shift = 64;
        break;
    case 10:
        region->count = huge;
        break;
    default:
        region->directory_length = 0;
        break;
    }
}

/* Whatever a descriptor says, the reader neither crashes nor takes memory or time by it. */
START_TEST(region_descriptors)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (int how = 0; how < CORRUPTIONS; how++) {
            set_up_shape(
                &(struct image_shape){.features = TM_FEATURE_STATS | TM_FEATURE_FREED | TM_FEATURE_DETAIL});
            corrupt_region(image_region(image, kinds[kind]), how);
            read_table();
            struct blocks blocks = all_blocks();
            ck_assert_uint_le(blocks.count, EXAMPLE_BLOCKS);
            if (how <= 2 || how == 7 || how == 9) {
                ck_assert_uint_ge(table->coverage.rejected, 1);
            }
            if (how == 4 || how == 6) {
                ck_assert(table->coverage.truncated);
            }
        }
    }
}
END_TEST

/* Segments that lie on each other would let a small file stand for any number of elements. */
START_TEST(segments_may_not_overlap)
{
    struct tm_region *region = image_region(image, TM_REGION_STACKS);
    uint64_t *directory = (uint64_t *)image_at(image, region->directory);
    for (size_t i = 2; i < region->directory_length; i++) {
        directory[i] = directory[0] + (i % 2 ? 8 : 0);
    }
    region->count = UINT64_MAX;
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, region->directory_length - 2);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(middle_tables_may_not_overlap)
{
    struct tm_region *region = image_region(image, TM_REGION_LIVE);
    uint64_t *directory = (uint64_t *)image_at(image, region->directory);
    directory[20] = directory[0];
    read_table();
    ck_assert_uint_eq(table->coverage.rejected, 1);
    assert_agreement(EXAMPLE_BLOCKS, EXAMPLE_SIZE);
}
END_TEST

START_TEST(a_segment_far_out_costs_nothing)
{
    struct tm_region *region = image_region(image, TM_REGION_STACKS);
    uint64_t *directory = (uint64_t *)image_at(image, region->directory);
    region->segment_shift = 25;
    region->count = UINT64_MAX;
    directory[1] = 0;
    directory[31] = 0x5000000000; /* a thousand million stacks on, and it is there */
    image_add(image, directory[31], 0x1000, 3, NULL, 0);
    read_table();
    ck_assert_uint_lt(table->stack_count, 20000);
}
END_TEST

/* Every 8-byte word of the root and of the tables, one by one, replaced by hostile ones. */
START_TEST(every_word)
{
    const uint64_t hostile[] = {0, UINT64_MAX, 1, UINT64_C(0x8000000000000000), TM_PREFERRED_ADDRESS};
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    size_t size = image->ranges[0].size;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t *word = (uint64_t *)(image->ranges[0].bytes + at), good = *word;
        if (good == 0 && at > sizeof(struct tm_root) && at % 256) {
            continue; /* an unused word now and then is enough */
        }
        for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
            *word = hostile[i];
            struct ca_target *hurt = image_target(image);
            struct ca_table *read = ca_target_table(hurt, NULL);
            struct blocks blocks = {.stop_at = 60};
            if (read) {
                ck_assert(ca_table_each_block(read, collect, &blocks, NULL));
            }
            ca_target_destroy(hurt);
        }
        *word = good;
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("table");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, everything);
    tcase_add_test(cases, larger_elements_and_header_of_a_later_minor);
    tcase_add_test(cases, next_minor);
    tcase_add_test(cases, frames_of_unknown_kinds);
    tcase_add_test(cases, regions_of_unknown_kinds_are_skipped);
    tcase_add_test(cases, weights_by_domain);
    tcase_add_test(cases, walk_stops_when_told);
    tcase_add_test(cases, detail);
    tcase_add_test(cases, blocks_of_another_generation_are_void);
    tcase_add_loop_test(cases, contradictions, 0, 6);
    tcase_add_test(cases, stopped_has_no_traces);
    tcase_add_test(cases, requests_show_at_once);
    tcase_add_test(cases, peak_is_never_below_current);
    tcase_add_test(cases, losses_are_added_up);
    tcase_add_test(cases, allocation_before_the_allocator_answered);
    tcase_add_test(cases, allocation_between_answer_and_word);
    tcase_add_test(cases, allocation_beside_another_block_of_its_cell);
    tcase_add_loop_test(cases, allocation_with_its_word, 0, 3);
    tcase_add_test(cases, allocation_over_the_word_of_a_block_whose_free_was_missed);
    tcase_add_test(cases, free_with_its_word_there);
    tcase_add_loop_test(cases, free_with_its_word_gone, 0, 3);
    tcase_add_test(cases, free_of_a_block_whose_address_another_thread_has_by_now);
    tcase_add_loop_test(cases, free_of_a_wide_block, 0, 2);
    tcase_add_test(cases, done);
    tcase_add_test(cases, realloc_with_its_old_word_there);
    tcase_add_loop_test(cases, realloc_with_neither_word, 0, 2);
    tcase_add_loop_test(cases, realloc_that_moved, 0, 2);
    tcase_add_test(cases, realloc_to_where_a_free_was_missed);
    tcase_add_test(cases, realloc_in_place);
    tcase_add_loop_test(cases, realloc_in_place_to_the_same, 0, 2);
    tcase_add_test(cases, realloc_whose_old_address_another_thread_has_by_now);
    tcase_add_test(cases, realloc_of_a_wide_block);
    tcase_add_test(cases, realloc_of_a_wide_block_in_place);
    tcase_add_test(cases, tracking);
    tcase_add_test(cases, tracking_over_another_record);
    tcase_add_test(cases, untracking);
    tcase_add_test(cases, control_changes_nothing);
    tcase_add_test(cases, unknown_operation_is_rejected);
    tcase_add_test(cases, every_level_counts);
    tcase_add_test(cases, an_operation_left_by_longjmp_is_not_in_flight);
    tcase_add_test(cases, an_operation_of_an_older_generation_counts_for_nothing);
    tcase_add_test(cases, counters_and_scan_agree);
    tcase_add_test(cases, counters_are_left_alone_when_they_may_not_hold);
    tcase_add_test(cases, counters_hold_where_live_words_are_missing);
    tcase_add_loop_test(cases, totals_of_operations_in_flight, 0, 64);
    tcase_add_loop_test(cases, totals_that_cannot_be_told, 0, 4);
    tcase_add_loop_test(cases, peak_of_an_operation_in_flight, 0, 4);
    tcase_add_test(cases, shards_add_up_and_peaks_are_resolved);
    tcase_add_test(cases, stack_check);
    tcase_add_loop_test(cases, stack_frames_beyond_the_end, 0, 2);
    tcase_add_loop_test(cases, stack_parent_not_smaller, 0, 2);
    tcase_add_test(cases, stack_shares_more_than_there_is);
    tcase_add_test(cases, stack_shares_without_a_parent);
    tcase_add_loop_test(cases, stack_with_a_frame_that_is_none, 0, 3);
    tcase_add_test(cases, stack_of_a_rejected_parent);
    tcase_add_test(cases, stack_that_is_not_published_is_no_error);
    tcase_add_test(cases, long_chains_are_shortened);
    tcase_add_test(cases, stack_of_another_domain);
    tcase_add_loop_test(cases, blocks_of_another_domain_than_their_stack, 0, 3);
    tcase_add_test(cases, frame_with_a_module_that_is_none);
    tcase_add_loop_test(cases, checks_of_frames_and_modules, 0, 8);
    tcase_add_loop_test(cases, checks_of_regions_and_the_root, 0, 6);
    tcase_add_test(cases, history_elements_have_checks);
    tcase_add_loop_test(cases, module_fields, 0, 2);
    tcase_add_loop_test(cases, module_path_beyond_the_strings, 0, 3);
    tcase_add_test(cases, live_word_of_an_unknown_stack);
    tcase_add_test(cases, live_word_without_a_stack);
    tcase_add_loop_test(cases, wide_elements_that_are_no_block, 0, 5);
    tcase_add_test(cases, marker_word_counts_only_in_wide);
    tcase_add_test(cases, missing_bytes_of_a_live_target);
    tcase_add_test(cases, region_descriptors);
    tcase_add_test(cases, segments_may_not_overlap);
    tcase_add_test(cases, middle_tables_may_not_overlap);
    tcase_add_test(cases, a_segment_far_out_costs_nothing);
    tcase_add_test(cases, every_word);
    Suite *suite = suite_create("table");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
