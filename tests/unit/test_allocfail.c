/* test_allocfail.c: every allocation of statistics, filters, differences and texts, and of whole commands on
 * tables, cores and snapshot files, fails once; then all from it on. Whatever fails, the call says so,
 * nothing is leaked, and what does not fail is right. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "coreanalyze/output/flames/template.h"
#include "coreanalyze/snapshot/statistics.h"
#include "coreanalyze/terminal/fit.h"
#include "coreanalyze/util/text.h"
#include "image.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED

int main(void)
{
    puts("the sanitizer's malloc cannot be replaced");
    return 77;
}

#else

/* ------------------------------------------------------------------------------------ malloc */

/* glibc's own, for programs that have another malloc. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static bool armed;
static bool all_after; /* fail every allocation from `failing` on, not that alone */
static unsigned long failing;
static unsigned long made;
static long alive; /* blocks allocated while armed and not freed */

static bool fails(void)
{
    if (!armed) {
        return false;
    }
    made++;
    if (made == failing || (all_after && made > failing)) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

static void *counted(void *block)
{
    alive += armed && block != NULL;
    return block;
}

/* libc's own calls (strdup, asprintf) and those of other libraries come here, too. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (fails()) {
        return NULL;
    }
    void *moved = __libc_realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

void free(void *block)
{
    alive -= armed && block != NULL;
    __libc_free(block);
}

#pragma GCC visibility pop

/* ------------------------------------------------------------------------------------ scenarios */

/* 200 tracebacks of three frames, so that every array and index has to grow. */
enum { STRINGS = 60, FRAMES = 240, TRACEBACKS = 200, TRACES = 600 };
static char string_bytes[STRINGS * 8];
static struct ca_string_span strings[STRINGS];
static struct ca_frame frames[FRAMES];
static uint32_t sequence[TRACEBACKS * 3];
static struct ca_traceback_span tracebacks[TRACEBACKS];
static struct ca_trace traces[TRACES];
static const struct ca_arrays arrays = {.string_bytes = string_bytes,
                                        .strings = strings,
                                        .string_count = STRINGS,
                                        .frames = frames,
                                        .frame_count = FRAMES,
                                        .traceback_frames = sequence,
                                        .traceback_frame_count = TRACEBACKS * 3,
                                        .tracebacks = tracebacks,
                                        .traceback_count = TRACEBACKS,
                                        .traces = traces,
                                        .trace_count = TRACES,
                                        .limit = 3};

static void arrays_fill(void)
{
    uint32_t offset = 0;
    for (uint32_t i = 1; i < STRINGS; i++) {
        strings[i] = (struct ca_string_span){.offset = offset};
        strings[i].size = (uint32_t)sprintf(string_bytes + offset, "f%u.c", i);
        offset += strings[i].size;
    }
    for (uint32_t i = 0; i < FRAMES; i++) {
        frames[i] = (struct ca_frame){
            .filename = 1 + i % (STRINGS - 1), .lineno = i, .function = i % 5, .module = i % 3};
    }
    for (uint32_t i = 0; i < TRACEBACKS; i++) {
        tracebacks[i] = (struct ca_traceback_span){.first = 3 * i, .count = 3, .total_nframe = 3};
        for (uint32_t f = 0; f < 3; f++) {
            sequence[3 * i + f] = (7 * i + 11 * f) % FRAMES;
        }
    }
    for (uint32_t i = 0; i < TRACES; i++) {
        traces[i] = (struct ca_trace){
            .size = i, .domain = i % 3, .traceback = i * 13 % TRACEBACKS, .thread = 1 + i % 4};
    }
}

/* A scenario returns false when something failed, and then *ret_error is set if it came from a call that has
 * one. It writes what it found to `result`. */
typedef bool scenario_function(struct ca_text *result, struct ca_error **ret_error);

static bool silent; /* a call failed and set no error */

/* For what is NULL when it failed. */
static bool succeeded(const void *object, struct ca_error *const *error)
{
    silent |= object == NULL && *error == NULL;
    return object != NULL;
}

static bool describe(struct ca_text *result, struct ca_statistics *statistics, bool diff)
{
    struct ca_groups groups;
    bool ok = ca_statistics_export(statistics, &groups);
    for (size_t i = 0; ok && i < statistics->count; i += 17) {
        ok = ca_statistic_format(result, statistics, &statistics->items[i], diff);
        ca_text_printf(result, " %zu\n", (size_t)groups.items[i].size.low);
    }
    return ok && !result->failed;
}

static bool all_keys(struct ca_text *result, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = ca_snapshot_create_from(&arrays, ret_error);
    bool ok = succeeded(snapshot, ret_error);
    for (int key = CA_KEY_LINENO; ok && key <= CA_KEY_THREAD; key++) {
        struct ca_statistics *statistics =
            ca_snapshot_statistics(snapshot, CA_VALUE_LIVE, (enum ca_key)key, CA_CUMULATIVE_OFF, ret_error);
        ok = succeeded(statistics, ret_error) && describe(result, statistics, false);
        ca_statistics_destroy(statistics);
    }
    for (int key = CA_KEY_LINENO; ok && key <= CA_KEY_FILENAME; key++) {
        struct ca_statistics *statistics =
            ca_snapshot_statistics(snapshot, CA_VALUE_LIVE, (enum ca_key)key, CA_CUMULATIVE_ON, ret_error);
        ok = succeeded(statistics, ret_error) && describe(result, statistics, false);
        ca_statistics_destroy(statistics);
    }
    ca_snapshot_destroy(snapshot);
    return ok;
}

static bool filter_and_compare(struct ca_text *result, struct ca_error **ret_error)
{
    const struct ca_filter filters[] = {
        {.inclusive = true, .all_frames = true, .pattern = "f[1-3]*.c", .pattern_size = 9},
        {.inclusive = false, .pattern = "*5*", .pattern_size = 3, .has_domain = true, .domain = 1}};
    struct ca_snapshot *snapshot = ca_snapshot_create_from(&arrays, ret_error);
    struct ca_snapshot *filtered =
        succeeded(snapshot, ret_error) ? ca_snapshot_filter(snapshot, filters, 2, ret_error) : NULL;
    struct ca_arrays view;
    bool ok = succeeded(filtered, ret_error) && ca_snapshot_export(filtered, true, &view, ret_error);
    for (int key = CA_KEY_LINENO; ok && key <= CA_KEY_TRACEBACK; key++) {
        struct ca_statistics *statistics = ca_snapshot_compare(
            filtered, snapshot, CA_VALUE_LIVE, (enum ca_key)key, CA_CUMULATIVE_OFF, ret_error);
        ok = succeeded(statistics, ret_error) && describe(result, statistics, true);
        ca_statistics_destroy(statistics);
    }
    ca_snapshot_destroy(filtered);
    ca_snapshot_destroy(snapshot);
    return ok;
}

static bool add_lines(struct ca_text *result, bool ok, struct ca_lines *lines)
{
    if (ok) {
        ca_text_printf(result, "%zu ", lines->count);
        ca_text_add_bytes(result, lines->bytes, lines->size);
        ca_lines_deinit(lines);
    }
    return ok && !result->failed;
}

static bool texts(struct ca_text *result, struct ca_error **ret_error)
{
    (void)ret_error;
    const struct ca_named_frame named[] = {{"latin", 5, 2},
                                           {"utf8", 4, 1},
                                           {"a\xff"
                                            "b",
                                            3, 9}};
    const struct ca_group group = {.size = {1, 2}, .count = {3, 0}};
    struct ca_lines lines;
    return add_lines(result, ca_frame_text(named, CA_FORM_REPR, &lines), &lines) &&
           add_lines(result, ca_traceback_text(named, 3, 4, CA_FORM_REPR, &lines), &lines) &&
           add_lines(result, ca_trace_text(1, 2, named, 3, 4, CA_FORM_REPR, &lines), &lines) &&
           add_lines(result, ca_statistic_text(&group, true, named, 3, 4, CA_FORM_STR, &lines), &lines);
}

/* A source line that cannot be had for want of memory is none: only what does not fail has them all. */
static bool sources(struct ca_text *result, struct ca_error **ret_error)
{
    (void)ret_error;
    const struct ca_named_frame named[] = {{"latin", 5, 2}, {"utf8", 4, 1}};
    struct ca_lines lines;
    bool ok = add_lines(result, ca_traceback_lines(named, 2, false, 0, false, &lines), &lines);
    ca_linecache_clear();
    return ok;
}

/* ------------------------------------------------------------------------------------ commands */

enum { ANSWER = 1 << 16 };

static struct {
    struct image *image;
    const char *words[12]; /* the command */
    bool by_callbacks;     /* on the image's memory; else a word is the path of a file */
    char answer[ANSWER];
    size_t answer_size;
    bool message;
} command;

static void command_write(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    command.message = command.message || stream == 2;
    if (stream == 1 && size < ANSWER - command.answer_size) {
        memcpy(command.answer + command.answer_size, bytes, size);
        command.answer_size += size;
    }
}

static bool run_command(struct ca_text *result, struct ca_error **ret_error)
{
    struct ca_callbacks callbacks = image_callbacks(command.image);
    struct ca_target *target = NULL;
    if (command.by_callbacks) {
        target = ca_target_create(&callbacks, NULL, ret_error);
        if (!succeeded(target, ret_error)) {
            return false;
        }
    }
    int count = 0;
    while (command.words[count]) {
        count++;
    }
    command.answer_size = 0;
    command.message = false;
    const struct ca_output output = {.write = command_write};
    enum ca_status status = ca_command_run(target, count, command.words, &output);
    ca_target_destroy(target);
    bool ok = status == CA_COMPLETE || status == CA_PARTIAL;
    silent |= !ok && !command.message;
    ca_text_add(result, ok ? "answer: " : "");
    ca_text_add_bytes(result, command.answer, ok ? command.answer_size : 0);
    return ok && !result->failed;
}

/* ------------------------------------------------------------------------------------ the tests */

struct outcome {
    bool ok;
    bool has_error;
    unsigned long allocations;
    struct ca_text result;
};

static struct outcome run(scenario_function *scenario, unsigned long number, bool and_after)
{
    struct outcome outcome = {0};
    struct ca_error *error = NULL;
    failing = number;
    all_after = and_after;
    made = 0;
    alive = 0;
    armed = true;
    outcome.ok = scenario(&outcome.result, &error);
    outcome.has_error = error != NULL;
    ca_error_destroy(error);
    armed = false;
    outcome.allocations = made;
    alive -= outcome.result.bytes != NULL;
    ck_assert_msg(!silent, "allocation %lu fails without an error", number);
    ck_assert_msg(alive == 0, "allocation %lu fails: %ld blocks leaked", number, alive);
    return outcome;
}

/* What qsort_r cannot allocate it does without, so that not every failure fails the call. */
static void fail_each(scenario_function *scenario, bool may_lack)
{
    struct outcome whole = run(scenario, 0, false);
    ck_assert(whole.ok && !whole.has_error && whole.allocations > 5);
    for (int mode = 0; mode < 2; mode++) {
        for (unsigned long number = 1; number <= whole.allocations; number++) {
            struct outcome part = run(scenario, number, mode == 1);
            if (part.ok && !may_lack) {
                ck_assert_str_eq(part.result.bytes, whole.result.bytes);
            }
            ck_assert(!(part.ok && part.has_error));
            ca_text_deinit(&part.result);
        }
    }
    ca_text_deinit(&whole.result);
}

START_TEST(statistics_fail)
{
    fail_each(all_keys, false);
}
END_TEST

START_TEST(filters_and_differences_fail)
{
    fail_each(filter_and_compare, false);
}
END_TEST

START_TEST(texts_fail)
{
    fail_each(texts, false);
}
END_TEST

static void write_file(const char *name, const char *string)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(string, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(sources_fail)
{
    char directory[] = "/tmp/tm-allocfail-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    write_file("latin", "# coding: latin-1\nsource \xe9\n");
    write_file("utf8", "source\n");
    fail_each(sources, true);
    ck_assert_int_eq(unlink("latin") | unlink("utf8") | chdir("/") | rmdir(directory), 0);
}
END_TEST

static const char *const command_lines[][10] = {
    {"top", "-n0", "--by", "traceback", NULL},
    {"top", "--value", "peak", "--format", "json", "--no-skip", NULL},
    {"top", "--by", "thread", "--include", "*server*", "--format", "csv", NULL},
    {"traces", "--format", "json", NULL},
    {"traces", "--format", "folded", "--min-size", "2", NULL},
    {"info", "--format", "json", NULL},
    {"report", NULL},
    {"top", "--format", "speedscope", NULL},
    {"top", "--by", "function", "--format", "html", NULL},
    {"top", "-n0", "--by", "traceback", "--width", "20", "--color", "always", NULL},
    {"leaks", "--suppressions", TM_SOURCE_DIR "/docs/examples/known-leaks.supp", "--width", "20", NULL},
};
enum { COMMAND_LINES = sizeof(command_lines) / sizeof(command_lines[0]) };

/* Without npm the library has no page. */
static bool is_there(const char *const *words)
{
    struct ca_page_template page;
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], "html") == 0) {
            return ca_page_template_find(&page);
        }
    }
    return true;
}

static void command_set(const char *const *words, const char *path)
{
    int count = 0;
    for (; words[count]; count++) {
        command.words[count] = words[count];
    }
    command.words[count] = path;
    command.words[count + 1] = NULL;
    command.by_callbacks = path == NULL;
}

/* An operation in flight and a block of a wide entry, so that their code is there, too. */
static void command_set_up(void)
{
    command.image = image_example(&(struct image_shape){.features = TM_FEATURE_DETAIL | TM_FEATURE_STATS});
    struct tm_operation *operation = &image_thread(command.image, 1, 4712)->operations[0];
    operation->code = TM_OPERATION_REALLOCATE;
    operation->address = 0x3000;
    operation->entry = image_word(command.image, 0x3000, 30, 2);
    operation->stack = 3;
    operation->before[0] = 1;
    operation->before[1] = 30;
}

START_TEST(commands_on_tables_fail)
{
    command_set_up();
    command_set(command_lines[_i], NULL);
    if (is_there(command_lines[_i])) {
        fail_each(run_command, false);
    }
    image_destroy(command.image);
}
END_TEST

START_TEST(commands_on_files_fail)
{
    command_set_up();
    uint8_t *bytes;
    size_t size = image_core(command.image, &bytes);
    const char *core = image_file(bytes, size);
    char saved[128];
    snprintf(saved, sizeof(saved), "%s.tm", core);
    if (_i < COMMAND_LINES) {
        command_set(command_lines[_i], core);
        if (is_there(command_lines[_i])) {
            fail_each(run_command, false);
        }
    } else if (_i == COMMAND_LINES) {
        command_set((const char *const[]){"save", core, NULL}, saved);
        fail_each(run_command, false);
    } else {
        command_set((const char *const[]){"save", core, NULL}, saved);
        struct outcome made_whole = run(run_command, 0, false);
        ck_assert(made_whole.ok);
        ca_text_deinit(&made_whole.result);
        command_set((const char *const[]){"diff", "-n0", core, NULL}, saved);
        fail_each(run_command, false);
        command_set((const char *const[]){"traces", "--format", "csv", NULL}, saved);
        fail_each(run_command, false);
        command_set((const char *const[]){"top", "-n0", "--by", "source", core, NULL}, saved);
        fail_each(run_command, false);
        command_set((const char *const[]){"top", "--format", "pprof", saved, core, NULL}, saved);
        fail_each(run_command, false);
        command_set((const char *const[]){"diff", "--format", "speedscope", core, NULL}, saved);
        fail_each(run_command, false);
    }
    unlink(saved);
    unlink(core);
    free(bytes);
    image_destroy(command.image);
}
END_TEST

/* That the failures take effect at all. */
START_TEST(failures_are_told)
{
    struct outcome part = run(all_keys, 1, true);
    ck_assert(!part.ok);
    ck_assert(part.has_error);
    ca_text_deinit(&part.result);
}
END_TEST

int main(void)
{
    arrays_fill();
    tzset(); /* keeps what it has allocated, and so does what follows */
    ca_text_columns("", 0);
    Suite *suite = suite_create("allocation failures");
    TCase *cases = tcase_create("each");
    tcase_add_test(cases, statistics_fail);
    tcase_add_test(cases, filters_and_differences_fail);
    tcase_add_test(cases, texts_fail);
    tcase_add_test(cases, sources_fail);
    tcase_add_loop_test(cases, commands_on_tables_fail, 0, COMMAND_LINES);
    tcase_add_loop_test(cases, commands_on_files_fail, 0, COMMAND_LINES + 2);
    tcase_add_test(cases, failures_are_told);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
