/* test_format.c: tracemalloc's texts, with facts from CPython 3.11, and what becomes of names that would harm
 * a terminal. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coreanalyze/snapshot/texts.h"
#include "coreanalyze/util/unicode.h"
#include "traces.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct ca_text text;

static void text_end(void)
{
    ca_text_deinit(&text);
    text.escape_names = false;
}

/* ------------------------------------------------------------------------------------ sizes */

static const struct {
    double size;
    const char *plain, *with_sign;
} size_rows[] = {
    {0, "0 B", "+0 B"},
    {66, "66 B", "+66 B"},
    {-66, "-66 B", "-66 B"},
    {10239, "10239 B", "+10239 B"},
    {10240, "10.0 KiB", "+10.0 KiB"},
    {-10240, "-10.0 KiB", "-10.0 KiB"},
    {10496, "10.2 KiB", "+10.2 KiB"},
    {11008, "10.8 KiB", "+10.8 KiB"},
    {102399, "100.0 KiB", "+100.0 KiB"},
    {102400, "100 KiB", "+100 KiB"},
    {102912, "100 KiB", "+100 KiB"},
    {103936, "102 KiB", "+102 KiB"},
    {10485247, "10239 KiB", "+10239 KiB"},
    {10485248, "10240 KiB", "+10240 KiB"},
    {10485759, "10240 KiB", "+10240 KiB"},
    {10485760, "10.0 MiB", "+10.0 MiB"},
    {104857599, "100.0 MiB", "+100.0 MiB"},
    {104857600, "100 MiB", "+100 MiB"},
    {10737418239, "10240 MiB", "+10240 MiB"},
    {10737418240, "10.0 GiB", "+10.0 GiB"},
    {10995116277759, "10240 GiB", "+10240 GiB"},
    {10995116277760, "10.0 TiB", "+10.0 TiB"},
    {9223372036854775807.0, "8388608 TiB", "+8388608 TiB"},
    {18446744073709551615.0, "16777216 TiB", "+16777216 TiB"},
    {0.5, "0 B", "+0 B"},
    {1.5, "2 B", "+2 B"},
    {2.5, "2 B", "+2 B"},
    {10239.5, "10240 B", "+10240 B"},
    {10239.99, "10240 B", "+10240 B"},
};

START_TEST(sizes)
{
    char buffer[CA_SIZE_TEXT];
    for (size_t i = 0; i < COUNT(size_rows); i++) {
        ca_format_size(buffer, size_rows[i].size, false);
        ck_assert_str_eq(buffer, size_rows[i].plain);
        ca_format_size(buffer, size_rows[i].size, true);
        ck_assert_str_eq(buffer, size_rows[i].with_sign);
    }
    ca_format_size(buffer, -1.7976931348623157e308, false); /* fits */
    ck_assert_uint_gt(strlen(buffer), 290);
}
END_TEST

/* What Python's / gives for integers that a double does not hold: rounded once. */
START_TEST(averages_are_rounded_once)
{
    unsigned __int128 big = (unsigned __int128)1 << 54;
    ck_assert_double_eq(ca_average(3, 2), 1.5);
    ck_assert_double_eq(ca_average(1, 3), 1.0 / 3);
    ck_assert_double_eq(ca_average(0, 7), 0);
    ck_assert_double_eq(ca_average(UINT64_MAX, 1), 18446744073709551616.0);
    /* Half-way between two doubles, and above it by far less than a digit that (double)size / (double)count
     * keeps. */
    ck_assert_double_eq(ca_average(big + 2, 1), 18014398509481984.0);
    ck_assert_double_eq(ca_average((big + 2) * 3, 3), 18014398509481984.0);
    ck_assert_double_eq(ca_average((big + 2) * 3 + 1, 3), 18014398509481988.0);
    ck_assert_double_eq(ca_average(((big + 2) << 70) + 1, (unsigned __int128)1 << 70), 18014398509481988.0);
}
END_TEST

START_TEST(big_integers)
{
    unsigned __int128 most = ~(unsigned __int128)0;
    ca_text_add_unsigned(&text, most);
    ca_text_add(&text, " ");
    ca_text_add_integer(&text, (__int128)(most >> 1), true);
    ca_text_add(&text, " ");
    ca_text_add_integer(&text, -(__int128)(most >> 1) - 1, true);
    ca_text_add(&text, " ");
    ca_text_add_integer(&text, 0, true);
    ca_text_add_integer(&text, 7, false);
    traces_check_text(&text,
                      "340282366920938463463374607431768211455 +170141183460469231731687303715884105727 "
                      "-170141183460469231731687303715884105728 +07");
}
END_TEST

/* ------------------------------------------------------------------------------------ statistics */

/* Of CPython's documentation and its recipes. */
static const struct {
    struct ca_numbers numbers;
    bool diff;
    const char *expected;
} statistic_rows[] = {
    {{66, 1, 0, 0}, false, ": size=66 B, count=1, average=66 B"},
    {{4971520, 39328, 0, 0}, false, ": size=4855 KiB, count=39328, average=126 B"},
    {{90829, 347, 0, 0}, false, ": size=88.7 KiB, count=347, average=262 B"},
    {{49152, 1, 0, 0}, false, ": size=48.0 KiB, count=1, average=48.0 KiB"},
    {{0, 0, 0, 0}, false, ": size=0 B, count=0"},
    {{5002, 2, 5000, 1}, true, ": size=5002 B (+5000 B), count=2 (+1), average=2501 B"},
    {{0, 0, -66, -1}, true, ": size=0 B (-66 B), count=0 (-1)"},
    {{30, 3, 0, 0}, true, ": size=30 B (+0 B), count=3 (+0), average=10 B"},
    {{8369152, 71332, 4534272, 39369},
     true,
     ": size=8173 KiB (+4428 KiB), count=71332 (+39369), average=117 B"},
    {{98304, 1, 98304, 1}, true, ": size=96.0 KiB (+96.0 KiB), count=1 (+1), average=96.0 KiB"},
};

START_TEST(numbers_of_statistics)
{
    for (size_t i = 0; i < COUNT(statistic_rows); i++) {
        ca_text_add_numbers(&text, &statistic_rows[i].numbers, statistic_rows[i].diff, CA_FORM_STR);
        traces_check_text(&text, statistic_rows[i].expected);
    }
}
END_TEST

static void check_lines(bool made, struct ca_lines *lines, const char *expected)
{
    ck_assert(made);
    ck_assert_uint_eq(lines->count, 1);
    ck_assert_uint_eq(lines->ends[0], lines->size);
    ck_assert_str_eq(lines->bytes, expected);
    ca_lines_deinit(lines);
}

START_TEST(strings_and_reprs)
{
    const struct ca_named_frame frames[] = {{"f1", 2, 1}, {"f2", 2, 2}}; /* most recent first */
    const struct ca_group group = {
        .size = {5002, 0}, .count = {2, 0}, .size_diff = {5000, 0}, .count_diff = {UINT64_MAX, UINT64_MAX}};
    struct ca_lines lines;
    check_lines(ca_frame_text(frames, CA_FORM_STR, &lines), &lines, "f1:1");
    check_lines(ca_frame_text(frames, CA_FORM_REPR, &lines), &lines, "<Frame filename='f1' lineno=1>");
    check_lines(ca_traceback_text(frames, 2, 2, CA_FORM_STR, &lines), &lines, "f2:2");
    check_lines(
        ca_traceback_text(frames, 2, 2, CA_FORM_REPR, &lines), &lines,
        "<Traceback (<Frame filename='f2' lineno=2>, <Frame filename='f1' lineno=1>) total_nframe=2>");
    check_lines(ca_traceback_text(frames, 1, CA_TOTAL_UNKNOWN, CA_FORM_REPR, &lines), &lines,
                "<Traceback (<Frame filename='f1' lineno=1>,)>");
    check_lines(ca_traceback_text(frames, 0, CA_TOTAL_UNKNOWN, CA_FORM_REPR, &lines), &lines,
                "<Traceback ()>");
    check_lines(ca_traceback_text(frames, 0, 0, CA_FORM_REPR, &lines), &lines,
                "<Traceback () total_nframe=0>");
    check_lines(ca_trace_text(3, 10, frames, 2, 2, CA_FORM_STR, &lines), &lines, "f2:2: 10 B");
    check_lines(ca_trace_text(3, 10240, frames, 1, 1, CA_FORM_REPR, &lines), &lines,
                "<Trace domain=3 size=10.0 KiB, traceback=<Traceback (<Frame filename='f1' lineno=1>,) "
                "total_nframe=1>>");
    check_lines(ca_statistic_text(&group, false, frames, 1, CA_TOTAL_UNKNOWN, CA_FORM_REPR, &lines), &lines,
                "<Statistic traceback=<Traceback (<Frame filename='f1' lineno=1>,)> size=5002 count=2>");
    check_lines(ca_statistic_text(&group, true, frames, 1, CA_TOTAL_UNKNOWN, CA_FORM_REPR, &lines), &lines,
                "<StatisticDiff traceback=<Traceback (<Frame filename='f1' lineno=1>,)> size=5002 (+5000) "
                "count=2 (-1)>");
    check_lines(ca_statistic_text(&group, true, frames, 1, CA_TOTAL_UNKNOWN, CA_FORM_STR, &lines), &lines,
                "f1:1: size=5002 B (+5000 B), count=2 (-1), average=2501 B");
}
END_TEST

START_TEST(reprs_of_names)
{
    static const struct {
        const char *name, *expected;
    } rows[] = {
        {"", "''"},
        {"a'b", "\"a'b\""},
        {"a'b\"", "'a\\'b\"'"},
        {"\\", "'\\\\'"},
        {"\n\r\t\x1b\x7f", "'\\n\\r\\t\\x1b\\x7f'"},
        {"\xc3\xa9\xe6\x97\xa5", "'\xc3\xa9\xe6\x97\xa5'"},
        {"\xc2\x85\xc2\xa0\xc2\xad", "'\\x85\\xa0\\xad'"},
        {"\xe2\x80\xa8\xef\xbb\xbf\xee\x80\x80", "'\\u2028\\ufeff\\ue000'"},
        {"\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", "'\xf0\x9f\x98\x80\\U0010ffff'"},
        {"\xff\xc3", "'\\udcff\\udcc3'"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ca_text_add_repr(&text, rows[i].name, strlen(rows[i].name));
        traces_check_text(&text, rows[i].expected);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------ tracebacks */

/* Frames 1 (oldest) to 5 of file "x" that does not exist; expected: their lines. */
static void check_selection(bool has_limit, int64_t limit, bool most_recent_first, const char *expected)
{
    struct ca_selection selection = ca_traceback_select(5, has_limit, limit, most_recent_first);
    char found[8] = "";
    for (size_t i = 0; i < selection.count; i++) {
        found[i] = (char)('0' + (5 - (selection.first + i * (size_t)selection.step)));
    }
    ck_assert_str_eq(found, expected);
}

START_TEST(limits)
{
    check_selection(false, 0, false, "12345");
    check_selection(false, 0, true, "54321");
    check_selection(true, 2, false, "45");
    check_selection(true, 2, true, "54");
    check_selection(true, 9, false, "12345");
    check_selection(true, INT64_MAX, false, "12345");
    check_selection(true, 0, false, "");
    check_selection(true, 0, true, "");
    check_selection(true, -1, false, "1234");
    check_selection(true, -1, true, "4321");
    check_selection(true, -4, false, "1");
    check_selection(true, -5, false, "");
    check_selection(true, -6, true, "");
    check_selection(true, INT64_MIN, false, "");
    ck_assert_uint_eq(ca_traceback_select(0, true, 3, true).count, 0);
    ck_assert_uint_eq(ca_traceback_select(0, false, 0, false).count, 0);
}
END_TEST

static char directory[32];

static void directory_begin(void)
{
    strcpy(directory, "/tmp/tm-format-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void write_file(const char *name, const char *bytes, size_t size)
{
    FILE *file = fopen(name, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static void directory_end(void)
{
    ca_linecache_clear();
    text_end();
    ck_assert_int_eq(chdir("/"), 0);
    char command[sizeof(directory) + 16];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(tracebacks_with_source)
{
    static const char a_py[] = "\n\t<a.py, 2>  \n";
    static const char b_py[] = "1\n2\n3\n  <b.py,\x1b 4>\n";
    write_file("a.py", a_py, sizeof(a_py) - 1);
    write_file("b.py", b_py, sizeof(b_py) - 1);
    struct ca_snapshot *snapshot = ca_snapshot_create(2, NULL);
    size_t count = 0;
    uint32_t id = traces_add_traceback(snapshot, "b.py:4 < gone\n.py:2 < a.py:2", 3);
    const uint32_t *frames = ca_snapshot_traceback(snapshot, id, SIZE_MAX, &count, NULL);
    ck_assert(ca_traceback_format(&text, snapshot, frames, count, false, 0, false, true));
    traces_check_text(&text, "  File \"b.py\", line 4\n    <b.py,\x1b 4>\n  File \"gone\n.py\", line 2\n"
                             "  File \"a.py\", line 2\n    <a.py, 2>\n");
    ck_assert(ca_traceback_format(&text, snapshot, frames, count, true, -1, true, false));
    traces_check_text(&text, "  File \"gone\n.py\", line 2\n  File \"b.py\", line 4\n");
    text.escape_names = true;
    ck_assert(ca_traceback_format(&text, snapshot, frames, count, false, 0, false, true));
    traces_check_text(&text, "  File \"b.py\", line 4\n    <b.py,\\x1b 4>\n  File \"gone\\x0a.py\", line 2\n"
                             "  File \"a.py\", line 2\n    <a.py, 2>\n");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(source_lines)
{
    static const char mixed[] =
        "one\r\n\xe2\x80\x83two\xe2\x80\x83\rthree\n\n\f\n\v x \xc2\x85\xe2\x80\xa8y\nlast";
    write_file("mixed", mixed, sizeof(mixed) - 1);
    write_file("latin", "# coding: latin-1\n\xe9\n", 20);
    write_file("second", "\n#coding=latin-1\n\xe9\n", 19);
    write_file("third", "x\n#coding=latin-1\n\xe9\n", 20);
    write_file("mark", "\xef\xbb\xbfx\n", 5);
    write_file("quarrel", "\xef\xbb\xbf# coding: latin-1\n", 21);
    write_file("unknown", "# coding: no-such-codec\nx\n", 26);
    write_file("bad", "good line\n\xff\n", 12);
    write_file("<x>", "hidden\n", 7);
    write_file("empty", "", 0);
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    static const struct {
        const char *name;
        uint64_t lineno;
        const char *expected;
    } rows[] = {
        {"mixed", 0, ""},
        {"mixed", 1, "one"},
        {"mixed", 2, "two"},
        {"mixed", 3, "three"},
        {"mixed", 4, ""},
        {"mixed", 5, ""},
        {"mixed", 6, "x \xc2\x85\xe2\x80\xa8y"},
        {"mixed", 7, "last"},
        {"mixed", 8, ""},
        {"mixed", UINT64_MAX, ""},
        {"latin", 2, "\xc3\xa9"},
        {"second", 3, "\xc3\xa9"},
        {"third", 1, ""},
        {"mark", 1, "x"},
        {"quarrel", 1, ""},
        {"unknown", 2, ""},
        {"bad", 1, ""},
        {"<x>", 1, ""},
        {"empty", 1, ""},
        {"gone", 1, ""},
        {"", 1, ""},
        {".", 1, ""},
        {"fifo", 1, ""},
    };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(rows); i++) {
            ck_assert_msg(strcmp(ca_linecache_line(rows[i].name, rows[i].lineno), rows[i].expected) == 0,
                          "%s:%u", rows[i].name, (unsigned)rows[i].lineno);
        }
    }
}
END_TEST

START_TEST(changes_on_disk_are_not_noticed)
{
    write_file("a", "old\n", 4);
    ck_assert_str_eq(ca_linecache_line("a", 1), "old");
    ck_assert_str_eq(ca_linecache_line("b", 1), "");
    write_file("a", "new\n", 4);
    write_file("b", "new\n", 4);
    ck_assert_str_eq(ca_linecache_line("a", 1), "old");
    ck_assert_str_eq(ca_linecache_line("b", 1), "new"); /* it was not there */
    ca_linecache_clear();
    ck_assert_str_eq(ca_linecache_line("a", 1), "new");
}
END_TEST

/* ------------------------------------------------------------------------------------ names */

static void check_name(const char *name, const char *expected)
{
    ca_text_add_name(&text, name);
    traces_check_text(&text, expected);
}

START_TEST(names_for_terminals)
{
    check_name("/usr/src/\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80.c",
               "/usr/src/\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80.c");
    check_name("a\\x1b", "a\\x1b");
    check_name("\x1b[31m\n\r\t\x7f", "\\x1b[31m\\x0a\\x0d\\x09\\x7f");
    check_name("\xc2\x9b\x31m", "\\u009b1m");                 /* C1: CSI */
    check_name("\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82"); /* no UTF-8 */
    check_name("\x9b\x31m", "\\x9b1m");                       /* C1 to a terminal of 8 bits */
    check_name("\xed\xa0\x80", "\\xed\\xa0\\x80");            /* a surrogate */
    check_name("\xe2\x80\xae\xd8\x9c\xe2\x81\xa6\xe2\x80\x8e", "\\u202e\\u061c\\u2066\\u200e");
    check_name("\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029");
    ca_text_add_line_bytes(&text, "a\tb\x07", 4);
    traces_check_text(&text, "a\tb\\x07");
}
END_TEST

START_TEST(statistics_of_labels)
{
    static const struct test_trace traces[] = {{0, 1536, "a.c:1 @f\x1b", 1, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    static const enum ca_key keys[] = {CA_KEY_LINENO, CA_KEY_FILENAME, CA_KEY_FUNCTION};
    static const char *const expected[][2] = {
        {"a.c:1: size=1536 B, count=1, average=1536 B", "a.c:1: size=1536 B, count=1, average=1536 B"},
        {"a.c:0: size=1536 B, count=1, average=1536 B", "a.c:0: size=1536 B, count=1, average=1536 B"},
        {"f\x1b: size=1536 B, count=1, average=1536 B", "f\\x1b: size=1536 B, count=1, average=1536 B"}};
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct ca_statistics *statistics =
            ca_snapshot_statistics(snapshot, CA_VALUE_LIVE, keys[i], CA_CUMULATIVE_OFF, NULL);
        for (int escape = 0; escape < 2; escape++) {
            text.escape_names = escape;
            ck_assert(ca_statistic_format(&text, statistics, &statistics->items[0], false));
            traces_check_text(&text, expected[i][escape]);
        }
        ca_statistics_destroy(statistics);
    }
    ca_snapshot_destroy(snapshot);
}
END_TEST

static int order(const char *left, const char *right)
{
    return ca_name_compare(left, strlen(left), right, strlen(right));
}

START_TEST(names_in_order)
{
    /* Ascending as Python's str; the bytes are not. */
    static const char *const names[] = {"",
                                        "a",
                                        "ab",
                                        "b",
                                        "\xc3\xa9",
                                        "\xed\x9f\xbf",
                                        "\x80",
                                        "\xc3",
                                        "\xff",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80"};
    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t j = 0; j < COUNT(names); j++) {
            ck_assert_int_eq(order(names[i], names[j]), (i > j) - (i < j));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("format");
    TCase *cases = tcase_create("texts");
    tcase_add_checked_fixture(cases, NULL, text_end);
    tcase_add_test(cases, sizes);
    tcase_add_test(cases, averages_are_rounded_once);
    tcase_add_test(cases, big_integers);
    tcase_add_test(cases, numbers_of_statistics);
    tcase_add_test(cases, strings_and_reprs);
    tcase_add_test(cases, reprs_of_names);
    tcase_add_test(cases, limits);
    tcase_add_test(cases, names_for_terminals);
    tcase_add_test(cases, statistics_of_labels);
    tcase_add_test(cases, names_in_order);
    suite_add_tcase(suite, cases);

    cases = tcase_create("sources");
    tcase_add_checked_fixture(cases, directory_begin, directory_end);
    tcase_add_test(cases, tracebacks_with_source);
    tcase_add_test(cases, source_lines);
    tcase_add_test(cases, changes_on_disk_are_not_noticed);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
