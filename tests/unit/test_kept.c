/* test_kept.c: what is kept of a target while it goes on, and the block around an address. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/target.h"
#include "image.h"

static struct image *image;
static struct ca_target *target;

static void set_up_features(uint64_t features)
{
    ca_target_destroy(target);
    if (image) {
        image_destroy(image);
    }
    image = image_example(&(struct image_shape){.features = features});
    target = image_target(image);
}

static void set_up(void)
{
    set_up_features(TM_FEATURE_STATS);
}

static void tear_down(void)
{
    ca_target_destroy(target);
    image_destroy(image);
    target = NULL;
    image = NULL;
}

/* --------------------------------------------------------------------------------------------- commands */

struct text {
    char bytes[1 << 16];
    size_t size;
};

static void text_write(void *context, int stream, const char *bytes, size_t size)
{
    (void)stream;
    struct text *text = context;
    ck_assert_uint_lt(text->size + size, sizeof text->bytes);
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

/* What a command line prints, answer and messages; good until the next call but one. */
static const char *run(struct ca_target *const *targets, size_t count, const char *first, const char *second,
                       enum ca_status *ret_status)
{
    static struct text texts[2];
    static unsigned next;
    struct text *text = &texts[next++ % 2];
    text->size = 0;
    text->bytes[0] = '\0';
    const char *argv[] = {"diff", "-n", "0", first, second};
    int argc = first ? second ? 5 : 4 : 3;
    *ret_status = ca_command_run_on(targets, count, argc, argv,
                                    &(struct ca_output){.context = text, .write = text_write});
    return text->bytes;
}

static struct ca_target *keep(const char *name)
{
    struct ca_error *error = NULL;
    struct ca_target *kept = ca_target_keep(target, name, &error);
    ck_assert_msg(kept != NULL, "%s", error ? ca_error_message(error) : "");
    return kept;
}

static struct ca_moment *keep_moment(void)
{
    struct ca_error *error = NULL;
    struct ca_moment *moment = ca_moment_keep(target, &error);
    ck_assert_msg(moment != NULL, "%s", error ? ca_error_message(error) : "");
    return moment;
}

static struct ca_target *open_moment(const struct ca_moment *moment)
{
    struct ca_error *error = NULL;
    struct ca_target *opened = ca_moment_open(moment, target, &error);
    ck_assert_msg(opened != NULL, "%s", error ? ca_error_message(error) : "");
    return opened;
}

/* The process runs: it allocates 11 bytes and frees the 100 of the first block, both of stack 2. */
static void go_on(void)
{
    image_set_live(image, 0x5000, 11, 2);
    image_clear_live(image, 0x1000);
    image_count(image, 1, 11, 1, 100);
    if (image->root->features & TM_FEATURE_STATS) {
        struct tm_stack_stats *stats = image_element(image, TM_REGION_STATS, 2);
        stats->allocated_count++;
        stats->allocated_size += 11;
        stats->freed_count++;
        stats->freed_size += 100;
    }
    ca_target_invalidate(target);
}

/* ------------------------------------------------------------------------------------------------ tests */

START_TEST(a_moment_is_the_target_of_then)
{
    static const char *const options[][2] = {
        {NULL, NULL},         {"--by", "traceback"},         {"--value", "total"}, {"--by", "domain"},
        {"--by", "function"}, {"--no-skip", "--cumulative"}, {"--value", "peak"}};
    struct ca_target *kept = keep("before");
    struct ca_moment *moment = keep_moment();
    go_on();
    struct ca_target *opened = open_moment(moment);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        enum ca_status whole, sums;
        const char *from_whole =
            run((struct ca_target *[]){kept, target}, 2, options[i][0], options[i][1], &whole);
        const char *from_sums =
            run((struct ca_target *[]){opened, target}, 2, options[i][0], options[i][1], &sums);
        ck_assert_str_eq(from_sums, from_whole);
        ck_assert_int_eq(sums, whole);
        ck_assert_ptr_nonnull(strstr(from_sums, "coverage of the old: "));
    }
    enum ca_status status;
    const char *text = run((struct ca_target *[]){opened, target}, 2, "--by", "domain", &status);
    ck_assert_ptr_nonnull(strstr(text, "domain 0: size=5039 B (-89 B), count=6 (+0)"));
    ca_target_destroy(opened);
    ca_moment_destroy(moment);
    ca_target_destroy(kept);
}
END_TEST

START_TEST(a_moment_without_counters_is_scanned)
{
    set_up_features(0);
    struct ca_moment *moment = keep_moment();
    go_on();
    struct ca_target *opened = open_moment(moment);
    enum ca_status status;
    const char *text = run((struct ca_target *[]){opened, target}, 2, "--by", "domain", &status);
    ck_assert_ptr_nonnull(strstr(text, "domain 0: size=5039 B (-89 B), count=6 (+0)"));
    text = run((struct ca_target *[]){opened, target}, 2, "--value", "total", &status);
    ck_assert_ptr_nonnull(strstr(text, "stats=1"));
    ck_assert_int_eq(status, CA_USAGE);
    ca_target_destroy(opened);
    ca_moment_destroy(moment);
}
END_TEST

START_TEST(too_many_blocks_are_not_scanned)
{
    set_up_features(0);
    image_count(image, 200000, 200000, 0, 0);
    struct ca_error *error = NULL;
    ck_assert_ptr_null(ca_moment_keep(target, &error));
    ck_assert_int_eq(ca_error_status(error), CA_NOTHING);
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "without reading 200008 blocks"));
    ca_error_destroy(error);
}
END_TEST

START_TEST(a_moment_has_no_blocks)
{
    struct ca_moment *moment = keep_moment();
    struct ca_target *opened = open_moment(moment);
    enum ca_status status;
    const char *text = run((struct ca_target *[]){opened, target}, 2, "--min-size", "5", &status);
    ck_assert_ptr_nonnull(strstr(text, "--min-size"));
    ck_assert_ptr_nonnull(strstr(text, "tm-snapshot"));
    ck_assert_int_eq(status, CA_USAGE);
    ca_target_destroy(opened);
    ca_moment_destroy(moment);
}
END_TEST

/* 0: another pid, 1: started later. */
START_TEST(a_moment_of_another_process)
{
    struct ca_moment *moment = keep_moment();
    if (_i == 0) {
        image->root->pid++;
    } else {
        image->root->start_time++;
    }
    ca_target_invalidate(target);
    struct ca_error *error = NULL;
    ck_assert_ptr_null(ca_moment_open(moment, target, &error));
    ck_assert_int_eq(ca_error_status(error), CA_NOTHING);
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "before it was replaced"));
    ca_error_destroy(error);
    ca_moment_destroy(moment);
}
END_TEST

START_TEST(what_is_kept_outlives_its_target)
{
    struct ca_target *kept = keep("the name");
    struct ca_target *again = ca_target_keep(kept, "again", NULL);
    ck_assert_ptr_nonnull(again);
    ca_target_destroy(target);
    target = NULL;
    enum ca_status status;
    const char *text = run((struct ca_target *[]){kept, again}, 2, "--by", "domain", &status);
    ck_assert_ptr_nonnull(strstr(text, "domain 0: size=5128 B (+0 B), count=6 (+0)"));
    ck_assert_ptr_nonnull(strstr(text, "coverage: 8 blocks"));
    text = run((struct ca_target *[]){kept, again}, 2, "--by", "thread", &status);
    ck_assert_int_eq(status, CA_USAGE);
    ca_target_destroy(again);
    ca_target_destroy(kept);
}
END_TEST

START_TEST(no_more_targets_than_sources)
{
    enum ca_status status;
    struct ca_target *three[] = {target, target, target};
    ck_assert_ptr_nonnull(strstr(run(three, 3, NULL, NULL, &status), "no more than 2 sources"));
    ck_assert_int_eq(status, CA_USAGE);
}
END_TEST

/* ------------------------------------------------------------------------------------- around an address */

/* size UINT64_MAX: nothing is there. */
static void assert_around(uint64_t address, uint64_t base, uint64_t size, uint32_t domain)
{
    struct ca_around around;
    bool found;
    ck_assert(ca_target_find_around(target, address, &around, &found, NULL));
    ck_assert_msg(found == (size != UINT64_MAX), "0x%llx", (unsigned long long)address);
    if (found) {
        ck_assert_uint_eq(around.base, base);
        ck_assert_uint_eq(around.size, size);
        ck_assert_uint_eq(around.domain, domain);
    }
}

START_TEST(around_every_block)
{
    /* The example's is so large that the next two would lie in it, which blocks of malloc do not. */
    static const struct example_block first = {0x1000, 32, 0, 2};
    for (int detail = 0; detail < 2; detail++) {
        set_up_features(detail ? TM_FEATURE_DETAIL : 0);
        image_set_live(image, first.address, first.size, first.stack);
        for (size_t i = 0; i < EXAMPLE_BLOCKS; i++) {
            const struct example_block *block = i == 0 ? &first : &example_blocks[i];
            assert_around(block->address, block->address, block->size, block->domain);
            assert_around(block->address + (block->size ? block->size - 1 : 0), block->address, block->size,
                          block->domain);
            assert_around(block->address + (block->size ? block->size : 1), 0, UINT64_MAX, 0);
            assert_around(block->address - 1, 0, UINT64_MAX, 0);
        }
        assert_around(0, 0, UINT64_MAX, 0);
        assert_around(UINT64_MAX, 0, UINT64_MAX, 0);
    }
}
END_TEST

START_TEST(around_the_innermost)
{
    image_set_wide(image, 40, 7, 0x40010, 16, 7); /* in a block of domain 0 */
    assert_around(0x4000f, 0x40000, 5000, 0);
    assert_around(0x40010, 0x40010, 16, 7);
    assert_around(0x4001f, 0x40010, 16, 7);
    assert_around(0x40020, 0x40000, 5000, 0);
}
END_TEST

START_TEST(around_after_a_free_and_a_clear)
{
    image_clear_live(image, 0x40000);
    assert_around(0x40100, 0, UINT64_MAX, 0);
    image->root->generation++;
    ca_target_invalidate(target);
    assert_around(0x1000, 0, UINT64_MAX, 0);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("kept");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_moment_is_the_target_of_then);
    tcase_add_test(cases, a_moment_without_counters_is_scanned);
    tcase_add_test(cases, too_many_blocks_are_not_scanned);
    tcase_add_test(cases, a_moment_has_no_blocks);
    tcase_add_loop_test(cases, a_moment_of_another_process, 0, 2);
    tcase_add_test(cases, what_is_kept_outlives_its_target);
    tcase_add_test(cases, no_more_targets_than_sources);
    tcase_add_test(cases, around_every_block);
    tcase_add_test(cases, around_the_innermost);
    tcase_add_test(cases, around_after_a_free_and_a_clear);
    Suite *suite = suite_create("kept");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
