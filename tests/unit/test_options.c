/* test_options.c: command lines of coreanalyze, as parsed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coreanalyze/command/options.h"
#include "coreanalyze/output/flames/template.h"

enum { ARGUMENTS_MAX = 16 };

/* Parses "top" with words ended by NULL; the options are valid until the next call. */
static struct ca_options options;

static struct ca_error *parse_for(enum ca_command_bit command, const char *const *words)
{
    const char *argv[ARGUMENTS_MAX] = {"top"};
    int argc = 1;
    for (; words[argc - 1]; argc++) {
        argv[argc] = words[argc - 1];
    }
    struct ca_error *error = NULL;
    ca_options_deinit(&options);
    bool parsed = ca_options_parse(&options, command, argc, argv, &error);
    ck_assert_int_eq(parsed, error == NULL);
    return error;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PARSE(...) ck_assert_ptr_null(parse_for(CA_FOR_TOP, WORDS(__VA_ARGS__)))

static void assert_refused(enum ca_command_bit command, const char *message, const char *const *words)
{
    struct ca_error *error = parse_for(command, words);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(ca_error_status(error), CA_USAGE);
    ck_assert_str_eq(ca_error_message(error), message);
    ca_error_destroy(error);
}

#define REFUSED(message, ...) assert_refused(CA_FOR_TOP, message, WORDS(__VA_ARGS__))

START_TEST(defaults)
{
    PARSE("core");
    ck_assert_uint_eq(options.operands.count, 1);
    ck_assert_str_eq(options.operands.items[0], "core");
    ck_assert_uint_eq(options.limit.value, 10);
    ck_assert_int_eq(options.by, CA_KEY_LINENO);
    ck_assert_int_eq(options.cumulative, CA_CUMULATIVE_OFF);
    ck_assert_int_eq(options.value, CA_VALUE_LIVE);
    ck_assert_int_eq(options.format, CA_FORMAT_TEXT);
    ck_assert_uint_eq(options.filter_count, 0);
    ck_assert(!options.nframe.given && !options.fail_over.given && !options.min_size.given &&
              !options.max_size.given);
    ck_assert(!options.no_source && !options.no_skip && !options.all_frames && !options.help);
    ck_assert_ptr_null(options.output);
}
END_TEST

START_TEST(order_does_not_matter)
{
    PARSE("a", "--by", "filename", "b", "-n3", "c", "--no-source");
    ck_assert_uint_eq(options.operands.count, 3);
    ck_assert_str_eq(options.operands.items[0], "a");
    ck_assert_str_eq(options.operands.items[1], "b");
    ck_assert_str_eq(options.operands.items[2], "c");
    ck_assert_int_eq(options.by, CA_KEY_FILENAME);
    ck_assert_uint_eq(options.limit.value, 3);
    ck_assert(options.no_source);
}
END_TEST

/* POSIXLY_CORRECT ends options at the first operand in other programs: the same words must mean the same
 * everywhere. */
START_TEST(order_does_not_matter_to_posix)
{
    setenv("POSIXLY_CORRECT", "1", 1);
    PARSE("a", "--no-source", "b");
    ck_assert(options.no_source);
    ck_assert_uint_eq(options.operands.count, 2);
}
END_TEST

START_TEST(two_dashes_end_options)
{
    PARSE("-n", "0", "--", "--by", "-o", "-");
    ck_assert_uint_eq(options.operands.count, 3);
    ck_assert_str_eq(options.operands.items[0], "--by");
    ck_assert_str_eq(options.operands.items[1], "-o");
    ck_assert_str_eq(options.operands.items[2], "-");
    ck_assert_ptr_null(options.output);
    ck_assert_uint_eq(options.limit.value, 0);
}
END_TEST

START_TEST(gdb_writes_one_dash)
{
    PARSE("-by", "traceback", "-no-source", "-n", "7", "-cumulative", "-older=2");
    ck_assert_int_eq(options.by, CA_KEY_TRACEBACK);
    ck_assert(options.no_source);
    ck_assert_uint_eq(options.limit.value, 7);
    ck_assert_int_eq(options.cumulative, CA_CUMULATIVE_ON);
    ck_assert_uint_eq(options.older.value, 2000000000);
    ck_assert_ptr_null(options.output);
}
END_TEST

START_TEST(group_keys)
{
    static const char *const words[] = {"lineno", "filename", "traceback", "function", "module",
                                        "domain", "thread",   "type",      "source"};
    static const enum ca_key keys[] = {CA_KEY_LINENO, CA_KEY_FILENAME, CA_KEY_TRACEBACK,
                                       CA_KEY_FUNCTION, CA_KEY_MODULE,   CA_KEY_DOMAIN,
                                       CA_KEY_THREAD,   CA_KEY_TYPE,     CA_KEY_SOURCE};
    PARSE("--by", words[_i]);
    ck_assert_int_eq(options.by, keys[_i]);
}
END_TEST

START_TEST(cumulative)
{
    PARSE("--cumulative", "unique"); /* an operand: an optional argument is joined by '=' */
    ck_assert_int_eq(options.cumulative, CA_CUMULATIVE_ON);
    ck_assert_uint_eq(options.operands.count, 1);
    PARSE("--cumulative=unique");
    ck_assert_int_eq(options.cumulative, CA_CUMULATIVE_UNIQUE);
    REFUSED("--cumulative: 'twice' is not unique", "--cumulative=twice");
}
END_TEST

START_TEST(values)
{
    PARSE("--value", "peak");
    ck_assert_int_eq(options.value, CA_VALUE_PEAK);
    PARSE("--value=total");
    ck_assert_int_eq(options.value, CA_VALUE_TOTAL);
    REFUSED("--value: 'max' is none of live, peak, total", "--value", "max");
}
END_TEST

START_TEST(byte_sizes)
{
    static const struct {
        const char *text;
        uint64_t value;
    } sizes[] = {{"0", 0},
                 {"1023", 1023},
                 {"3K", UINT64_C(3) << 10},
                 {"5M", UINT64_C(5) << 20},
                 {"7G", UINT64_C(7) << 30},
                 {"18446744073709551615", UINT64_MAX}};
    PARSE("--min-size", sizes[_i].text, "--max-size", sizes[_i].text, "--fail-over", sizes[_i].text);
    ck_assert(options.min_size.given && options.max_size.given && options.fail_over.given);
    ck_assert_uint_eq(options.min_size.value, sizes[_i].value);
    ck_assert_uint_eq(options.max_size.value, sizes[_i].value);
    ck_assert_uint_eq(options.fail_over.value, sizes[_i].value);
}
END_TEST

START_TEST(sizes_refused)
{
    static const char *const texts[] = {"",
                                        "K",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1k",
                                        "1KB",
                                        "1KiB",
                                        "0x10",
                                        "1.5K",
                                        "18446744073709551616",
                                        "17179869184G"};
    char message[128];
    snprintf(message, sizeof message, "--min-size: '%s' is not a size: digits, then K, M, G or nothing",
             texts[_i]);
    REFUSED(message, "--min-size", texts[_i]);
}
END_TEST

START_TEST(seconds)
{
    PARSE("--older", "1.25", "--newer", "3600");
    ck_assert_uint_eq(options.older.value, 1250000000);
    ck_assert_uint_eq(options.newer.value, UINT64_C(3600000000000));
    PARSE("--older", "0.0000000019");
    ck_assert_uint_eq(options.older.value, 1);
    REFUSED("--older: '1,5' is not a number of seconds", "--older", "1,5");
    REFUSED("--older: '.5' is not a number of seconds", "--older", ".5");
    REFUSED("--older: '18446744074' is not a number of seconds", "--older", "18446744074");
    REFUSED("--newer: '-1' is not a number of seconds", "--newer=-1");
}
END_TEST

START_TEST(counts)
{
    PARSE("-n", "12", "--nframe", "0");
    ck_assert_uint_eq(options.limit.value, 12);
    ck_assert(options.nframe.given);
    ck_assert_uint_eq(options.nframe.value, 0);
    REFUSED("-n: '-5' is not a number", "-n-5");
    REFUSED("-n: '5x' is not a number", "-n", "5x");
    REFUSED("--nframe: '' is not a number", "--nframe=");
}
END_TEST

static void assert_filter(size_t index, bool inclusive, const char *pattern, bool has_lineno, uint64_t lineno)
{
    const struct ca_filter *filter = &options.filters[index];
    ck_assert_int_eq(filter->inclusive, inclusive);
    ck_assert_uint_eq(filter->pattern_size, strlen(pattern));
    ck_assert_int_eq(strncmp(filter->pattern, pattern, filter->pattern_size), 0);
    ck_assert_int_eq(filter->has_lineno, has_lineno);
    ck_assert_uint_eq(filter->lineno, lineno);
    ck_assert(!filter->domain_only && !filter->has_domain);
}

START_TEST(file_filters)
{
    PARSE("--include", "*/a.c", "--exclude", "b.c:0", "--include", "c:d:12", "--exclude", "e:", "--include",
          "f:1x", "--include", ":7");
    ck_assert_uint_eq(options.filter_count, 6);
    assert_filter(0, true, "*/a.c", false, 0);
    assert_filter(1, false, "b.c", true, 0);
    assert_filter(2, true, "c:d", true, 12);
    assert_filter(3, false, "e:", false, 0);
    assert_filter(4, true, "f:1x", false, 0);
    assert_filter(5, true, "", true, 7);
    REFUSED("--include: 'a:99999999999999999999' is not GLOB:LINE: the line number is too large", "--include",
            "a:99999999999999999999");
}
END_TEST

START_TEST(all_frames_holds_for_filters_before_and_after)
{
    PARSE("--include", "a", "--all-frames", "--exclude", "b");
    ck_assert(options.filters[0].all_frames && options.filters[1].all_frames);
    PARSE("--include", "a", "--exclude", "b");
    ck_assert(!options.filters[0].all_frames && !options.filters[1].all_frames);
}
END_TEST

START_TEST(domain_filters)
{
    PARSE("--include-domain", "1", "--exclude-domain", "4294967295");
    ck_assert_uint_eq(options.filter_count, 2);
    ck_assert(options.filters[0].domain_only && options.filters[0].inclusive);
    ck_assert_uint_eq(options.filters[0].domain, 1);
    ck_assert(options.filters[1].domain_only && !options.filters[1].inclusive);
    ck_assert_uint_eq(options.filters[1].domain, UINT32_MAX);
    REFUSED("--include-domain: 'x' is not a domain: a number", "--include-domain", "x");
}
END_TEST

START_TEST(lists)
{
    PARSE("--function", "f*", "--function", "g", "--module", "m", "--skip", "my_alloc", "--skip", "-x",
          "--thread", "12", "--thread", "13");
    ck_assert_uint_eq(options.functions.count, 2);
    ck_assert_str_eq(options.functions.items[1], "g");
    ck_assert_uint_eq(options.modules.count, 1);
    ck_assert_uint_eq(options.skip.count, 2);
    ck_assert_str_eq(options.skip.items[1], "-x");
    ck_assert_uint_eq(options.thread_count, 2);
    ck_assert_uint_eq(options.threads[0], 12);
    ck_assert_uint_eq(options.threads[1], 13);
    REFUSED("--thread: '0' is not a thread id", "--thread", "0");
}
END_TEST

START_TEST(folded_stacks_are_all_tracebacks)
{
    PARSE("--format", "folded");
    ck_assert_int_eq(options.by, CA_KEY_TRACEBACK);
    ck_assert_uint_eq(options.limit.value, 0);
    PARSE("--format", "folded", "--by", "module", "-n", "3");
    ck_assert_int_eq(options.by, CA_KEY_MODULE);
    ck_assert_uint_eq(options.limit.value, 3);
    PARSE("--format", "speedscope");
    ck_assert_int_eq(options.by, CA_KEY_TRACEBACK);
    ck_assert_uint_eq(options.limit.value, 0);
}
END_TEST

/* The table of the page is grouped as text is, all of it. */
START_TEST(pages)
{
    struct ca_page_template page;
    if (!ca_page_template_find(&page)) {
        struct ca_error *error = parse_for(CA_FOR_TOP, WORDS("--format", "html"));
        ck_assert_ptr_nonnull(strstr(ca_error_message(error), "without the page"));
        ca_error_destroy(error);
        return;
    }
    PARSE("--format", "html");
    ck_assert_int_eq(options.by, CA_KEY_LINENO);
    ck_assert_uint_eq(options.limit.value, 0);
    PARSE("--format", "html", "--by", "traceback", "-n", "3");
    ck_assert_int_eq(options.by, CA_KEY_TRACEBACK);
    ck_assert_uint_eq(options.limit.value, 3);
    assert_refused(CA_FOR_TRACES, "--format: 'html' is none of text, json, csv, folded, pprof",
                   WORDS("--format", "html"));
}
END_TEST

START_TEST(symbols)
{
    PARSE("--sysroot", "/r", "--debug-dir=/d", "--source-map", "/a=/b", "--source-map", "/c=");
    ck_assert_str_eq(options.sysroot, "/r");
    ck_assert_str_eq(options.debug_directory, "/d");
    ck_assert_uint_eq(options.source_map.count, 2);
    REFUSED("--source-map: '/a' is not of the form OLD=NEW", "--source-map", "/a");
    REFUSED("--source-map: '=/a' is not of the form OLD=NEW", "--source-map", "=/a");
}
END_TEST

START_TEST(mistakes)
{
    REFUSED("unknown option '--frobnicate'", "core", "--frobnicate", "x");
    REFUSED("unknown option '--frobnicate'", "--frobnicate=7");
    REFUSED("unknown option '-z'", "core", "-z");
    REFUSED("option '--by' needs an argument: KEY", "core", "--by");
    REFUSED("option '-n' needs an argument: N", "core", "-n");
    REFUSED("option '--no-source' takes no argument", "--no-source=yes");
    REFUSED("option '--in' is ambiguous", "--in", "x");
    REFUSED("--by: 'line' is none of lineno, filename, traceback, function, module, domain, thread, type, "
            "source",
            "--by", "line");
    REFUSED("--format: 'xml' is none of text, json, csv, folded, pprof, speedscope, html", "--format", "xml");
    REFUSED("--color: 'yes' is none of auto, always, never", "--color", "yes");
}
END_TEST

START_TEST(options_of_other_commands)
{
    assert_refused(CA_FOR_INFO, "unknown option '--by'", WORDS("--by", "lineno"));
    assert_refused(CA_FOR_TRACES, "unknown option '--fail-over'", WORDS("--fail-over", "1"));
    assert_refused(CA_FOR_REPORT, "unknown option '--format'", WORDS("core", "--format", "json"));
    assert_refused(CA_FOR_DIFF, "--format: a profile holds no difference; save both and use pprof -diff_base",
                   WORDS("--format", "pprof"));
    assert_refused(CA_FOR_SAVE, "unknown option '--by'", WORDS("--by", "lineno"));
    assert_refused(CA_FOR_INFO, "--format: 'csv' is none of text, json", WORDS("--format", "csv"));
    ck_assert_ptr_null(parse_for(CA_FOR_INFO, WORDS("--format", "json")));
    ck_assert_int_eq(options.format, CA_FORMAT_JSON);
}
END_TEST

START_TEST(help_wins_over_later_mistakes)
{
    PARSE("--help", "--frobnicate");
    ck_assert(options.help);
    REFUSED("unknown option '--frobnicate'", "--frobnicate", "--help");
}
END_TEST

START_TEST(help_names_the_options_of_its_command)
{
    struct ca_text text = {0};
    ca_options_help(&text, CA_FOR_TOP, "coreanalyze top", "CORE", "What it does.", "What comes last.");
    ck_assert(!text.failed);
    ck_assert_ptr_nonnull(strstr(text.bytes, "Usage: coreanalyze top [OPTION...] CORE\n"));
    ck_assert_ptr_nonnull(strstr(text.bytes, "What it does."));
    ck_assert_ptr_nonnull(strstr(text.bytes, "--cumulative[=unique]"));
    ck_assert_ptr_nonnull(strstr(text.bytes, "-n, --limit=N"));
    ck_assert_ptr_nonnull(strstr(text.bytes, "What comes last."));
    ca_text_deinit(&text);
    ca_options_help(&text, CA_FOR_INFO, "coreanalyze info", "CORE", "", "");
    ck_assert_ptr_null(strstr(text.bytes, "--by="));
    ca_text_deinit(&text);
}
END_TEST

/* The library prints nothing, whatever is wrong and whatever the environment tells argp. */
START_TEST(silence)
{
    setenv("ARGP_HELP_FMT", "nonsense=17,,x", 1);
    char path[] = "/tmp/tm-test-XXXXXX";
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    unlink(path);
    fflush(NULL);
    int out = dup(1), err = dup(2);
    dup2(descriptor, 1);
    dup2(descriptor, 2);
    struct ca_error *error = parse_for(CA_FOR_TOP, WORDS("--frobnicate"));
    struct ca_text text = {0};
    ca_options_help(&text, CA_FOR_TOP, "coreanalyze top", "CORE", "", "");
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    ck_assert_int_eq(lseek(descriptor, 0, SEEK_END), 0);
    ck_assert_ptr_nonnull(error);
    ca_error_destroy(error);
    ca_text_deinit(&text);
    close(out);
    close(err);
    close(descriptor);
}
END_TEST

static void options_end(void)
{
    ca_options_deinit(&options);
}

int main(void)
{
    TCase *cases = tcase_create("options");
    tcase_add_checked_fixture(cases, NULL, options_end);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, order_does_not_matter);
    tcase_add_test(cases, order_does_not_matter_to_posix);
    tcase_add_test(cases, two_dashes_end_options);
    tcase_add_test(cases, gdb_writes_one_dash);
    tcase_add_loop_test(cases, group_keys, 0, 9);
    tcase_add_test(cases, cumulative);
    tcase_add_test(cases, values);
    tcase_add_loop_test(cases, byte_sizes, 0, 6);
    tcase_add_loop_test(cases, sizes_refused, 0, 13);
    tcase_add_test(cases, seconds);
    tcase_add_test(cases, counts);
    tcase_add_test(cases, file_filters);
    tcase_add_test(cases, all_frames_holds_for_filters_before_and_after);
    tcase_add_test(cases, domain_filters);
    tcase_add_test(cases, lists);
    tcase_add_test(cases, folded_stacks_are_all_tracebacks);
    tcase_add_test(cases, pages);
    tcase_add_test(cases, symbols);
    tcase_add_test(cases, mistakes);
    tcase_add_test(cases, options_of_other_commands);
    tcase_add_test(cases, help_wins_over_later_mistakes);
    tcase_add_test(cases, help_names_the_options_of_its_command);
    tcase_add_test(cases, silence);
    Suite *suite = suite_create("options");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
