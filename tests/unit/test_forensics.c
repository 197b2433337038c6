/* test_forensics.c: history, neighbours and places over made-up tables; commands about addresses on hostile
 * ones. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/memory/place.h"
#include "coreanalyze/target.h"
#include "image.h"

enum {
    HEAP = 0x1000, /* the example's blocks 0x1000 (100), 0x1030 (20), 0x1060 (0) lie here */
    STACK = 0x7f0000000000,
    STACK_SIZE = 0x10000,
    CODE = 0x400000,
    ALL_RIGHTS = 7,
};

static struct image *image;
static struct ca_target *target;

static void freed_set(uint64_t index, const struct tm_freed *freed)
{
    image_set_freed(image, index, freed);
}

static void set_up(void)
{
    image = image_example(&(struct image_shape){.features = TM_FEATURE_FREED | TM_FEATURE_DETAIL});
    image_add(image, HEAP, 0x2000, 3, NULL, 0);
    image_add(image, STACK, STACK_SIZE, 3, NULL, 0);
    image->process.tids[0] = 4711;
    image->process.thread_count = 1;
    image->process.registers[0][CA_RSP] = STACK + 0x8000;
    image->process.registers[0][CA_RIP] = CODE;
    image->process.registers[0][CA_FS_BASE] = STACK + 0xf000;
    freed_set(0, &(struct tm_freed){.order = 1,
                                    .address = 0x1800,
                                    .size = 64,
                                    .freed_time = 100,
                                    .freed_thread = 7,
                                    .allocated_thread = 6,
                                    .allocated_stack = 2,
                                    .freed_stack = 3});
    freed_set(1, &(struct tm_freed){.order = 2,
                                    .address = 0x1800,
                                    .size = 32,
                                    .freed_time = 200,
                                    .freed_thread = 8,
                                    .allocated_stack = 3,
                                    .freed_stack = 99999});
    freed_set(2, &(struct tm_freed){.order = 2, .address = 0x1900, .size = 32, .freed_time = 300});
    ((struct tm_freed *)image_element(image, TM_REGION_HISTORY, 2))->check = TM_FREED_BUSY;
    freed_set(
        3, &(struct tm_freed){.order = 3, .address = 0x1030, .size = 20, .freed_time = 50}); /* live anew */
    freed_set(4, &(struct tm_freed){
                     .order = 4, .address = UINT64_MAX - 4, .size = 32, .freed_time = 1}); /* wraps */
    freed_set(5, &(struct tm_freed){.order = 5, .address = 0x1a00, .size = 0, .freed_time = 1});
    target = image_target(image);
}

static void tear_down(void)
{
    ca_target_destroy(target);
    image_destroy(image);
}

static struct ca_memory *memory(void)
{
    struct ca_error *error = NULL;
    struct ca_memory *made = ca_target_memory(target, &error);
    ck_assert_msg(made != NULL, "%s", error ? ca_error_message(error) : "");
    return made;
}

static struct ca_place place_of(uint64_t address)
{
    struct ca_place place;
    struct ca_error *error = NULL;
    ck_assert(ca_place_find(memory(), address, &place, &error));
    return place;
}

/* ---------------------------------------------------------------------------------------------- history */

START_TEST(newest_of_an_address)
{
    struct ca_table *table = ca_memory_table(memory());
    const struct ca_freed *all;
    struct ca_freed freed;
    size_t count;
    bool found;
    ck_assert(ca_table_history(table, &all, &count, NULL));
    ck_assert_uint_eq(count, 4); /* neither the unwritten one nor the one that wraps */
    ck_assert_uint_eq(table->coverage.rejected, 1);
    ck_assert(ca_table_freed_around(table, 0x1810, &freed, &found, NULL) && found);
    ck_assert_uint_eq(freed.block.size, 32);
    ck_assert_uint_eq(freed.thread, 8);
    ck_assert_uint_eq(freed.stack, 1); /* a stack that does not exist is the unknown one */
    ck_assert(ca_table_freed_around(table, 0x1820, &freed, &found, NULL) && found);
    ck_assert_uint_eq(freed.block.size, 64);
    ck_assert_uint_eq(freed.block.thread, 6);
    ck_assert_uint_eq(freed.block.stack, 2);
    ck_assert_uint_eq(freed.stack, 3);
    ck_assert(ca_table_freed_around(table, 0x1a00, &freed, &found, NULL) && found);
    static const uint64_t nowhere[] = {0x17ff, 0x1840, 0x1900, 0x1a01, 0, UINT64_MAX - 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        ck_assert(ca_table_freed_around(table, nowhere[i], &freed, &found, NULL));
        ck_assert_msg(!found, "0x%llx", (unsigned long long)nowhere[i]);
    }
}
END_TEST

START_TEST(neighbours)
{
    struct ca_table *table = ca_memory_table(memory());
    struct ca_neighbours around;
    ck_assert(ca_table_neighbours(table, 0, 0x1040, &around, NULL));
    ck_assert(around.has_before && around.has_after);
    ck_assert_uint_eq(around.before.address, 0x1030);
    ck_assert_uint_eq(around.before.size, 20);
    ck_assert_uint_eq(around.before.stack, 2);
    ck_assert_uint_eq(around.after.address, 0x1060);
    ck_assert(ca_table_neighbours(table, 0, 0x1060, &around, NULL)); /* the next one is in WIDE */
    ck_assert_uint_eq(around.before.address, 0x1060);
    ck_assert_uint_eq(around.after.address, 0x2008);
    ck_assert(ca_table_neighbours(table, 0, 0xfff, &around, NULL));
    ck_assert(!around.has_before && around.has_after);
    ck_assert_uint_eq(around.after.address, 0x1000);
    ck_assert(ca_table_neighbours(table, 0, UINT64_MAX, &around, NULL));
    ck_assert(around.has_before && !around.has_after);
    ck_assert_uint_eq(around.before.address, 0x7ffe0);
    ck_assert(ca_table_neighbours(table, 7, 0x200, &around, NULL));
    ck_assert(around.has_before && !around.has_after);
    ck_assert_uint_eq(around.before.address, 0x123);
    ck_assert(ca_table_neighbours(table, 4, 0x200, &around, NULL));
    ck_assert(!around.has_before && !around.has_after);
}
END_TEST

/* ----------------------------------------------------------------------------------------------- places */

START_TEST(places)
{
    static const struct {
        uint64_t address;
        enum ca_place_kind kind;
        uint64_t offset;
    } expected[] = {
        {0x1000, CA_PLACE_LIVE, 0},
        {0x1033, CA_PLACE_LIVE, 3}, /* of two that overlap, as no malloc's do, the innermost */
        {0x1064, CA_PLACE_PAST, 4}, /* of the nearest block before it, at 0x1060, which has no bytes */
        {0x1810, CA_PLACE_FREED, 16},
        {0x1900, CA_PLACE_HEAP, 0x900},
        {0x1fd0, CA_PLACE_BEFORE, 0x38},
        {0x200f, CA_PLACE_PAST, 0},
        {STACK + 0x8010, CA_PLACE_STACK, 16},
        {STACK + 0x7000, CA_PLACE_BELOW_STACK, 0x1000},
        {STACK + 0xf010, CA_PLACE_TLS, 16},
        {TM_PREFERRED_ADDRESS, CA_PLACE_TRACER, 0},
        {0, CA_PLACE_NULL, 0},
        {0x20, CA_PLACE_NULL, 0x20},
        {0x600000, CA_PLACE_UNMAPPED, 0},
        {UINT64_C(1) << 50, CA_PLACE_WILD, 0},
        {UINT64_MAX, CA_PLACE_UNMAPPED, 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct ca_place place = place_of(expected[i].address);
        struct ca_text text = {0};
        ca_place_add_text(&text, &place);
        ck_assert_msg(place.kind == expected[i].kind && place.offset == expected[i].offset, "%s (kind %d)",
                      text.bytes, place.kind);
        ca_text_deinit(&text);
    }
}
END_TEST

START_TEST(stack_of_a_thread)
{
    size_t count;
    const struct ca_thread_state *threads = ca_memory_threads(memory(), &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(threads[0].tid, 4711);
    ck_assert_uint_eq(threads[0].stack_limit, STACK);
    ck_assert_uint_eq(threads[0].stack_start, STACK + 0x8000 - 128);
    ck_assert_uint_eq(threads[0].stack_end, STACK + 0x10000); /* struct pthread, rounded up to a page */
    const struct ca_stack_frame *frames;
    ck_assert(ca_memory_frames(memory(), 0, &frames, &count, NULL));
    ck_assert_uint_eq(count, 1); /* no unwind information */
    ck_assert_uint_eq(frames[0].pc, CODE);
}
END_TEST

/* --------------------------------------------------------------------------------------------- commands */

static size_t written;

static void count_bytes(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    written += stream == 1 && memchr(bytes, '\0', size) == NULL ? size : 0;
}

static enum ca_status run(const char *const *words)
{
    static const struct ca_output output = {.write = count_bytes};
    int argc = 0;
    while (words[argc]) {
        argc++;
    }
    return ca_command_run(target, argc, words, &output);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

START_TEST(interrupted)
{
    static const char *const commands[][3] = {{"block", "0x1810", NULL}, {"blocks", NULL}, {"report", NULL}};
    for (size_t at = 1; at < 60; at++) {
        ca_target_invalidate(target);
        image->calls.interrupt_at = image->calls.reads + at;
        run(commands[_i]); /* it may have been read without so many calls */
        image->calls.interrupt_at = 0;
        ca_target_invalidate(target);
        ck_assert_int_ne(run(commands[_i]), CA_NOTHING);
    }
}
END_TEST

static uint64_t any_address(void)
{
    static const uint64_t near[] = {
        0,         0x1000, 0x1800, 0x2000, CODE, STACK, STACK + 0x8000, TM_PREFERRED_ADDRESS, 0x7fffffffffff,
        UINT64_MAX};
    return near[(size_t)random() % (sizeof near / sizeof *near)] + (uint64_t)random() % 0x3000 - 0x1000;
}

/* Whatever is in memory, registers and siginfo: an answer, or an error. */
START_TEST(hostile_process)
{
    srandom((unsigned)_i + 1);
    for (int round = 0; round < 60; round++) {
        static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGKILL, SIGFPE, 0};
        siginfo_t information = {0};
        image->process.signal = signals[(size_t)random() % (sizeof signals / sizeof *signals)];
        for (size_t i = 0; i < IMAGE_REGISTERS; i++) {
            image->process.registers[0][i] = any_address();
        }
        uint64_t *stack = (uint64_t *)image_at(image, STACK);
        for (size_t i = 0; i < STACK_SIZE / sizeof *stack; i++) {
            stack[i] = any_address();
        }
        for (uint64_t i = 0; i < 16; i++) {
            freed_set(i, &(struct tm_freed){.order = (uint64_t)random() % 3,
                                            .address = any_address(),
                                            .size = random() % 4 ? (uint64_t)random() % 200 : any_address(),
                                            .freed_time = (uint64_t)random(),
                                            .allocated_stack = (uint32_t)random() % 8,
                                            .freed_stack = (uint32_t)random()});
        }
        struct tm_thread *thread = image_thread(image, 1, 4711);
        thread->operations[0].stack_pointer = image->process.registers[0][CA_RSP];
        thread->operations[0].address = any_address();
        thread->operations[0].size = any_address();
        thread->operations[0].entry = any_address();
        thread->operations[0].stack = (uint32_t)random() % 8;
        ca_target_invalidate(target);
        information.si_signo = image->process.signal;
        information.si_code = random() % 2 ? SI_KERNEL : 1;
        information.si_addr = (void *)(uintptr_t)any_address(); /* NOLINT(performance-no-int-to-ptr) */
        ca_target_set_siginfo(target, &information, sizeof information);
        char address[32];
        snprintf(address, sizeof address, "0x%llx", (unsigned long long)any_address());
        RUN("report");
        RUN("block", address);
        RUN("block", address, "--format", "json");
        RUN("blocks", "--sort", "age");
    }
    ck_assert_uint_gt(written, 10000);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("forensics");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, newest_of_an_address);
    tcase_add_test(cases, neighbours);
    tcase_add_test(cases, places);
    tcase_add_test(cases, stack_of_a_thread);
    tcase_add_loop_test(cases, interrupted, 0, 3);
    tcase_add_loop_test(cases, hostile_process, 0, 4);
    Suite *suite = suite_create("forensics");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
