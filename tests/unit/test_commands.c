/* test_commands.c: command lines as GDB runs them, on a target that is open already, over made-up tables. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/target.h"
#include "image.h"

static struct image *image;
static struct ca_target *target;
static char *streams[3];
static size_t sizes[3];

static void stream_write(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    streams[stream] = realloc(streams[stream], sizes[stream] + size + 1);
    ck_assert_ptr_nonnull(streams[stream]);
    memcpy(streams[stream] + sizes[stream], bytes, size);
    sizes[stream] += size;
    streams[stream][sizes[stream]] = '\0';
}

static void streams_end(void)
{
    for (int stream = 1; stream <= 2; stream++) {
        free(streams[stream]);
        streams[stream] = NULL;
        sizes[stream] = 0;
    }
}

static void set_up(void)
{
    image = image_example(&(struct image_shape){0});
    target = image_target(image);
}

static void tear_down(void)
{
    ca_target_destroy(target);
    image_destroy(image);
    streams_end();
}

/* Runs words ended by NULL with the target and without what was written before. */
static enum ca_status run_words(const char *const *words)
{
    static const struct ca_output output = {.write = stream_write};
    int argc = 0;
    while (words[argc]) {
        argc++;
    }
    streams_end();
    stream_write(NULL, 1, "", 0);
    stream_write(NULL, 2, "", 0);
    return ca_command_run(target, argc, words, &output);
}

#define RUN(...) run_words((const char *const[]){__VA_ARGS__, NULL})

/* The number of member `key` in the object that is member `object` of the answer (NULL: of the answer). That
 * an answer is JSON is what the end-to-end tests look at. */
static int64_t number_at(const char *object, const char *key)
{
    char text[64];
    const char *at = streams[1];
    if (object) {
        snprintf(text, sizeof text, "\"%s\": {", object);
        at = strstr(at, text);
        ck_assert_msg(at != NULL, "no %s in %s", text, streams[1]);
    }
    snprintf(text, sizeof text, "\"%s\": ", key);
    at = strstr(at, text);
    ck_assert_msg(at != NULL, "no %s in %s", text, streams[1]);
    return strtoll(at + strlen(text), NULL, 10);
}

START_TEST(target_is_the_source)
{
    /* the module of every frame is a file that does not exist */
    ck_assert_int_eq(RUN("top", "--format", "json"), CA_PARTIAL);
    ck_assert_str_eq(strchr(streams[2], '\n'), "\n");
    ck_assert_ptr_nonnull(strstr(streams[2], "coreanalyze: /no/such/dir/server: "));
    ck_assert_int_eq(number_at("total", "size"), EXAMPLE_SIZE);
    ck_assert_int_eq(number_at("total", "count"), EXAMPLE_BLOCKS);
    ck_assert_int_eq(number_at("coverage", "blocks"), EXAMPLE_BLOCKS);
    ck_assert_int_eq(RUN("top", "core"), CA_USAGE);
    ck_assert_str_eq(streams[2], "coreanalyze: top: unexpected operand 'core'; see coreanalyze top --help\n");
}
END_TEST

START_TEST(difference_to_the_target)
{
    uint8_t *bytes;
    size_t size = image_core(image, &bytes);
    const char *path = image_file(bytes, size);
    free(bytes);
    image_set_live(image, 0x3000, 77, 2);
    image_count(image, 1, 77, 0, 0);
    ca_target_invalidate(target);
    ck_assert_int_eq(RUN("diff", path, "--format", "json"), CA_PARTIAL);
    ck_assert_int_eq(number_at("total", "size_diff"), 77);
    ck_assert_int_eq(number_at("total", "count_diff"), 1);
    ck_assert_int_eq(number_at("coverage", "blocks"), EXAMPLE_BLOCKS + 1);
    ck_assert_int_eq(number_at("old_coverage", "blocks"), EXAMPLE_BLOCKS);
    ck_assert_int_eq(RUN("diff"), CA_USAGE);
    ck_assert_str_eq(
        streams[2],
        "coreanalyze: diff: a core or snapshot file expected: OLD; see coreanalyze diff --help\n");
    remove(path);
}
END_TEST

START_TEST(interrupted)
{
    static const char *const commands[] = {"report", "top", "traces", "info"};
    image->calls.interrupt_at = image->calls.reads + 3;
    ck_assert_int_eq(RUN(commands[_i]), CA_NOTHING);
    ck_assert_str_eq(streams[1], "");
    ck_assert_str_eq(streams[2], "coreanalyze: interrupted\n");
    image->calls.interrupt_at = 0;
    ck_assert_int_ne(RUN(commands[_i]), CA_NOTHING);
}
END_TEST

START_TEST(symbol_options_hold_for_one_command)
{
    const char *const map[] = {"/a=/b"};
    struct ca_error *error = NULL;
    struct ca_symbol_options set = {.sysroot = "/set", .source_map = map, .source_map_count = 1};
    ck_assert(ca_target_set_symbols(target, &set, &error));
    ck_assert_int_eq(RUN("top", "--sysroot", "/proc", "--debug-dir", "/debug"), CA_PARTIAL);
    ck_assert_ptr_nonnull(strstr(streams[2], "/proc/no/such/dir/server"));
    const struct ca_symbol_options *after = ca_target_symbols(target);
    ck_assert_str_eq(after->sysroot, "/set");
    ck_assert_ptr_null(after->debug_directory);
    ck_assert_uint_eq(after->source_map_count, 1);
    ck_assert_str_eq(after->source_map[0], "/a=/b");
}
END_TEST

/* An operation under way does not make an answer partial, unless nobody can tell what it did. */
START_TEST(in_flight)
{
    struct tm_thread *thread = image_thread(image, 1, 4712);
    thread->operations[0].code = TM_OPERATION_ALLOCATE;
    thread->operations[0].size = 640;
    ca_target_invalidate(target);
    ck_assert_int_eq(RUN("info"), CA_COMPLETE);
    ck_assert_ptr_nonnull(
        strstr(streams[1], "in flight: thread 4712 level 0: allocate, 640 bytes, shown as not done\n"));
    ck_assert_ptr_nonnull(strstr(streams[1], ", 1 in flight (thread 4712), every block traced\n"));
    ck_assert_int_eq(RUN("info", "--format", "json"), CA_COMPLETE);
    ck_assert_int_eq(number_at(NULL, "thread"), 4712);

    struct ca_error *error = NULL;
    struct ca_table *table = ca_target_table(target, &error);
    ck_assert_ptr_nonnull(table);
    table->in_flight[0].ambiguous = true;
    ck_assert_int_eq(RUN("info"), CA_PARTIAL);
    ck_assert_ptr_nonnull(strstr(streams[1], "(thread 4712; done or not cannot be told)"));
    ck_assert_int_eq(RUN("top", "--function", "nothing"), CA_PARTIAL);
    ck_assert_int_eq(RUN("traces", "--function", "nothing"), CA_PARTIAL);
    ck_assert_int_eq(RUN("report", "--function", "nothing"), CA_PARTIAL);
}
END_TEST

START_TEST(damaged_records)
{
    ((struct tm_stack *)image_element(image, TM_REGION_STACKS, 2))->check ^= 1;
    ca_target_invalidate(target);
    ck_assert_int_eq(RUN("top", "--format", "json"), CA_PARTIAL);
    ck_assert_int_gt(number_at("coverage", "rejected"), 0);
    ck_assert_int_eq(RUN("top"), CA_PARTIAL);
    ck_assert_ptr_nonnull(strstr(streams[1], " DAMAGED RECORDS LEFT OUT"));
}
END_TEST

START_TEST(tracer_states)
{
    static const struct {
        uint32_t state;
        const char *words;
    } states[] = {{TM_STATE_STOPPED, "The tracer is loaded but not tracing.\n"},
                  {TM_STATE_FAILED, "The tracer could not start: nothing was recorded.\n"},
                  {TM_STATE_TRACING,
                   "Traced since 2001-09-09 01:46:40 UTC: every block, up to 25 frames of its traceback.\n"}};
    image->root->state = states[_i].state;
    image->root->start_time = UINT64_C(1000000000) * 1000000000;
    ca_target_invalidate(target);
    ck_assert_int_ne(RUN("report"), CA_NOTHING);
    ck_assert_ptr_nonnull(strstr(streams[1], states[_i].words));
}
END_TEST

START_TEST(whole_command_lines)
{
    ck_assert_int_eq(RUN("coreanalyze", "top", "--help"), CA_COMPLETE);
    ck_assert_ptr_nonnull(strstr(streams[1], "Usage: coreanalyze top"));
    ck_assert_int_eq(RUN("coreanalyze", "--version"), CA_COMPLETE);
    ck_assert_ptr_nonnull(strstr(streams[1], ca_version()));
    ck_assert_int_eq(RUN("top", "--help"), CA_COMPLETE);
    ck_assert_int_eq(RUN("frobnicate"), CA_USAGE);
    ck_assert_str_eq(streams[2], "coreanalyze: there is no command 'frobnicate'; see coreanalyze --help\n");
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("commands");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, target_is_the_source);
    tcase_add_test(cases, difference_to_the_target);
    tcase_add_loop_test(cases, interrupted, 0, 4);
    tcase_add_test(cases, symbol_options_hold_for_one_command);
    tcase_add_test(cases, in_flight);
    tcase_add_test(cases, damaged_records);
    tcase_add_loop_test(cases, tracer_states, 0, 3);
    tcase_add_test(cases, whole_command_lines);
    Suite *suite = suite_create("commands");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
