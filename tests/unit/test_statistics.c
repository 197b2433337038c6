/* test_statistics.c: interning, statistics, compare_to, filters. The tables are those of CPython's
 * Lib/test/test_tracemalloc.py and what CPython 3.11 gave for more of the same; random input is compared in
 * tests/e2e/test_tracemalloc_oracle.py. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/snapshot/internal.h"
#include "traces.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct test_trace first_traces[] = {
    {0, 10, "b.py:4 < a.py:2", 3, 0}, {0, 10, "b.py:4 < a.py:2", 3, 0}, {0, 10, "b.py:4 < a.py:2", 3, 0},
    {1, 2, "b.py:4 < a.py:5", 3, 0},  {2, 66, "b.py:1", 1, 0},          {3, 7, "<unknown>:0", 1, 0},
};
static const struct test_trace second_traces[] = {
    {0, 10, "b.py:4 < a.py:2", 3, 0}, {0, 10, "b.py:4 < a.py:2", 3, 0},   {0, 10, "b.py:4 < a.py:2", 3, 0},
    {2, 2, "b.py:4 < a.py:5", 3, 0},  {2, 5000, "b.py:4 < a.py:5", 3, 0}, {4, 400, "c.py:578", 1, 0},
};
static struct ca_snapshot *first, *second;

static void snapshots_begin(void)
{
    first = traces_snapshot(first_traces, COUNT(first_traces));
    second = traces_snapshot(second_traces, COUNT(second_traces));
}

static void snapshots_end(void)
{
    ca_snapshot_destroy(first);
    ca_snapshot_destroy(second);
}

/* ------------------------------------------------------------------------------------ statistics */

START_TEST(statistics_by_lineno)
{
    traces_check(first, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF,
                 "b.py:1 66/1\na.py:2 30/3\n<unknown>:0 7/1\na.py:5 2/1\n");
    traces_check(second, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF,
                 "a.py:5 5002/2\nc.py:578 400/1\na.py:2 30/3\n");
    traces_check(first, NULL, CA_KEY_LINENO, CA_CUMULATIVE_ON,
                 "b.py:1 66/1\nb.py:4 32/4\na.py:2 30/3\n<unknown>:0 7/1\na.py:5 2/1\n");
    traces_check(second, NULL, CA_KEY_LINENO, CA_CUMULATIVE_ON,
                 "b.py:4 5032/5\na.py:5 5002/2\nc.py:578 400/1\na.py:2 30/3\n");
}
END_TEST

START_TEST(statistics_by_filename)
{
    traces_check(first, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_OFF,
                 "b.py:0 66/1\na.py:0 32/4\n<unknown>:0 7/1\n");
    traces_check(second, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_OFF, "a.py:0 5032/5\nc.py:0 400/1\n");
    traces_check(first, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_ON,
                 "b.py:0 98/5\na.py:0 32/4\n<unknown>:0 7/1\n");
    traces_check(second, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_ON,
                 "b.py:0 5032/5\na.py:0 5032/5\nc.py:0 400/1\n");
}
END_TEST

START_TEST(statistics_by_traceback)
{
    traces_check(first, NULL, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF,
                 "b.py:1 66/1\n[b.py:4<a.py:2] 30/3\n<unknown>:0 7/1\n[b.py:4<a.py:5] 2/1\n");
    traces_check(second, NULL, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF,
                 "[b.py:4<a.py:5] 5002/2\nc.py:578 400/1\n[b.py:4<a.py:2] 30/3\n");
}
END_TEST

START_TEST(statistics_of_recursion)
{
    static const struct test_trace traces[] = {{0, 100, "m.c:1 < r.c:7 < r.c:7 < r.c:7", 4, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_ON, "r.c:7 300/3\nm.c:1 100/1\n");
    traces_check(snapshot, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_ON, "r.c:0 300/3\nm.c:0 100/1\n");
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_UNIQUE, "r.c:7 100/1\nm.c:1 100/1\n");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(ties_are_broken_by_names_then_lines)
{
    /* U+D7FF < an invalid byte (U+DCFF) < U+E000, whatever their bytes; a prefix is smaller. */
    static const struct test_trace traces[] = {
        {0, 1, "\xed\x9f\xbf:1", 1, 0}, {0, 1, "\xff:1", 1, 0}, {0, 1, "\xee\x80\x80:1", 1, 0},
        {0, 1, "a:10", 1, 0},           {0, 1, "a:9", 1, 0},    {0, 1, "ab:1", 1, 0},
        {0, 1, "b:1 < a:1", 2, 0},      {0, 1, "b:1", 1, 0},
    };
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    traces_check(snapshot, NULL, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF,
                 "\xee\x80\x80:1 1/1\n\xff:1 1/1\n\xed\x9f\xbf:1 1/1\n[b:1<a:1] 1/1\nb:1 1/1\nab:1 1/1\na:10 "
                 "1/1\na:9 1/1\n");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(statistics_by_our_own_keys)
{
    static const struct test_trace traces[] = {{0, 10, "m.c:1 @main %x < a.c:2 @f %y", 2, 7},
                                               {9, 20, "m.c:1 @main %x < a.c:9 @f %z", 2, 8},
                                               {10, 4, "n.c:3", 1, 7}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    traces_check(snapshot, NULL, CA_KEY_FUNCTION, CA_CUMULATIVE_OFF, "f:0 30/2\nn.c:0 4/1\n");
    traces_check(snapshot, NULL, CA_KEY_FUNCTION, CA_CUMULATIVE_ON, "main:0 30/2\nf:0 30/2\nn.c:0 4/1\n");
    traces_check(snapshot, NULL, CA_KEY_MODULE, CA_CUMULATIVE_OFF, "z:0 20/1\ny:0 10/1\n<unknown>:0 4/1\n");
    traces_check(snapshot, NULL, CA_KEY_DOMAIN, CA_CUMULATIVE_OFF,
                 "domain 9:0 20/1\ndomain 0:0 10/1\ndomain 10:0 4/1\n");
    traces_check(snapshot, NULL, CA_KEY_THREAD, CA_CUMULATIVE_OFF, "thread 8:0 20/1\nthread 7:0 14/2\n");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(functions_and_modules_where_all_agree)
{
    static const struct test_trace traces[] = {{0, 1, "a.c:2 @f %y", 1, 0}, {0, 5, "a.c:2 @f %z", 1, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_statistics *statistics =
        ca_snapshot_statistics(snapshot, CA_VALUE_LIVE, CA_KEY_LINENO, CA_CUMULATIVE_OFF, NULL);
    ck_assert_ptr_nonnull(statistics);
    ck_assert_uint_eq(statistics->count, 1);
    const struct ca_frame *frame = ca_snapshot_frame(snapshot, statistics->items[0].frames[0]);
    ck_assert_str_eq(ca_snapshot_string(snapshot, frame->function), "f");
    ck_assert_uint_eq(frame->module, 0);
    /* The representative is the heaviest. */
    ck_assert_uint_eq(statistics->items[0].traceback, 1);
    ck_assert_uint_eq((uint64_t)statistics->total_size, 6);
    ck_assert_uint_eq(statistics->total_count, 2);
    ca_statistics_destroy(statistics);
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(sums_have_128_bits)
{
    static const struct test_trace traces[] = {{0, UINT64_MAX, "a:1 < a:1 < a:1", 3, 0},
                                               {0, UINT64_MAX, "a:1", 1, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_snapshot *none = traces_snapshot(NULL, 0);
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_ON, "a:1 73786976294838206460/4\n");
    traces_check(none, snapshot, CA_KEY_LINENO, CA_CUMULATIVE_ON, "a:1 0 (-73786976294838206460)/0 (-4)\n");
    ca_snapshot_destroy(snapshot);
    ca_snapshot_destroy(none);
}
END_TEST

static void check_error(struct ca_snapshot *snapshot, enum ca_value value, enum ca_key key,
                        enum ca_cumulative cumulative, const char *message)
{
    struct ca_error *error = NULL;
    ck_assert_ptr_null(ca_snapshot_statistics(snapshot, value, key, cumulative, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(ca_error_status(error), CA_USAGE);
    ck_assert_str_eq(ca_error_message(error), message);
    ca_error_destroy(error);
}

START_TEST(statistics_refused)
{
    static const struct test_trace traces[] = {{0, 1, "", 0, 0}};
    struct ca_snapshot *empty = traces_snapshot(NULL, 0);
    struct ca_snapshot *frameless = traces_snapshot(traces, COUNT(traces));
    check_error(empty, CA_VALUE_LIVE, CA_KEY_TRACEBACK, CA_CUMULATIVE_ON,
                "cumulative mode cannot by used with key type 'traceback'");
    check_error(first, CA_VALUE_LIVE, CA_KEY_THREAD, CA_CUMULATIVE_OFF,
                "threads were not recorded; trace with detail=1");
    check_error(first, CA_VALUE_PEAK, CA_KEY_LINENO, CA_CUMULATIVE_OFF,
                "this snapshot holds live traces only; leave --value out");
    check_error(frameless, CA_VALUE_LIVE, CA_KEY_FILENAME, CA_CUMULATIVE_OFF, "tuple index out of range");
    traces_check(empty, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF, "");
    traces_check(frameless, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF, " 1/1\n"); /* Traceback(()) */
    traces_check(frameless, NULL, CA_KEY_FILENAME, CA_CUMULATIVE_ON, "");
    ca_snapshot_destroy(empty);
    ca_snapshot_destroy(frameless);
}
END_TEST

/* ------------------------------------------------------------------------------------ compare_to */

START_TEST(differences)
{
    traces_check(second, first, CA_KEY_LINENO, CA_CUMULATIVE_OFF,
                 "a.py:5 5002 (+5000)/2 (+1)\nc.py:578 400 (+400)/1 (+1)\nb.py:1 0 (-66)/0 (-1)\n"
                 "<unknown>:0 0 (-7)/0 (-1)\na.py:2 30 (+0)/3 (+0)\n");
    traces_check(second, first, CA_KEY_FILENAME, CA_CUMULATIVE_OFF,
                 "a.py:0 5032 (+5000)/5 (+1)\nc.py:0 400 (+400)/1 (+1)\nb.py:0 0 (-66)/0 (-1)\n<unknown>:0 0 "
                 "(-7)/0 (-1)\n");
    traces_check(second, first, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF,
                 "[b.py:4<a.py:5] 5002 (+5000)/2 (+1)\nc.py:578 400 (+400)/1 (+1)\nb.py:1 0 (-66)/0 (-1)\n"
                 "<unknown>:0 0 (-7)/0 (-1)\n[b.py:4<a.py:2] 30 (+0)/3 (+0)\n");
    traces_check(first, second, CA_KEY_LINENO, CA_CUMULATIVE_OFF,
                 "a.py:5 2 (-5000)/1 (-1)\nc.py:578 0 (-400)/0 (-1)\nb.py:1 66 (+66)/1 (+1)\n"
                 "<unknown>:0 7 (+7)/1 (+1)\na.py:2 30 (+0)/3 (+0)\n");
    traces_check(first, first, CA_KEY_FILENAME, CA_CUMULATIVE_OFF,
                 "b.py:0 66 (+0)/1 (+0)\na.py:0 32 (+0)/4 (+0)\n<unknown>:0 7 (+0)/1 (+0)\n");
}
END_TEST

START_TEST(differences_cumulative)
{
    traces_check(second, first, CA_KEY_LINENO, CA_CUMULATIVE_ON,
                 "b.py:4 5032 (+5000)/5 (+1)\na.py:5 5002 (+5000)/2 (+1)\nc.py:578 400 (+400)/1 (+1)\n"
                 "b.py:1 0 (-66)/0 (-1)\n<unknown>:0 0 (-7)/0 (-1)\na.py:2 30 (+0)/3 (+0)\n");
    traces_check(second, first, CA_KEY_FILENAME, CA_CUMULATIVE_ON,
                 "a.py:0 5032 (+5000)/5 (+1)\nb.py:0 5032 (+4934)/5 (+0)\nc.py:0 400 (+400)/1 (+1)\n"
                 "<unknown>:0 0 (-7)/0 (-1)\n");
}
END_TEST

/* ------------------------------------------------------------------------------------ filters */

static struct ca_filter name_filter(bool inclusive, const char *pattern)
{
    return (struct ca_filter){.inclusive = inclusive, .pattern = pattern, .pattern_size = strlen(pattern)};
}

static struct ca_filter line_filter(bool inclusive, const char *pattern, uint64_t lineno)
{
    struct ca_filter filter = name_filter(inclusive, pattern);
    filter.has_lineno = true;
    filter.lineno = lineno;
    return filter;
}

static struct ca_filter all_filter(bool inclusive, const char *pattern)
{
    struct ca_filter filter = name_filter(inclusive, pattern);
    filter.all_frames = true;
    return filter;
}

static struct ca_filter domain_filter(bool inclusive, const char *pattern, uint64_t domain)
{
    struct ca_filter filter = name_filter(inclusive, pattern != NULL ? pattern : "");
    filter.domain_only = pattern == NULL;
    filter.has_domain = true;
    filter.domain = domain;
    return filter;
}

/* expected: one digit per trace, its number. */
static void check_kept(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                       const char *expected)
{
    char kept[32] = "";
    size_t length = 0;
    size_t count = 0;
    const struct ca_trace *traces = ca_snapshot_traces(snapshot, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        bool keeps = false;
        ck_assert(ca_filter_keeps(snapshot, filters, filter_count, traces[i].domain, traces[i].traceback,
                                  &keeps, NULL));
        if (keeps) {
            kept[length++] = (char)('0' + i);
        }
    }
    ck_assert_str_eq(kept, expected);
    struct ca_snapshot *filtered = ca_snapshot_filter(snapshot, filters, filter_count, NULL);
    ca_snapshot_traces(filtered, &count, NULL);
    ck_assert_uint_eq(count, length);
    ck_assert_uint_eq(ca_snapshot_coverage(filtered)->blocks, length);
    ck_assert_uint_eq(ca_snapshot_limit(filtered), 2);
    ca_snapshot_destroy(filtered);
}

START_TEST(filters_of_the_table)
{
    struct ca_filter filters[] = {name_filter(false, "b.py"), line_filter(true, "a.py", 2),
                                  line_filter(true, "a.py", 5)};
    check_kept(first, filters, 1, "01235");
    check_kept(first, filters, 3, "0123");
    filters[0] = domain_filter(false, "a.py", 1);
    check_kept(first, filters, 1, "01245");
    filters[0] = domain_filter(true, "a.py", 1);
    check_kept(first, filters, 1, "3");
    filters[0] = domain_filter(false, NULL, 3);
    check_kept(first, filters, 1, "01234");
    filters[0] = domain_filter(true, NULL, 3);
    check_kept(first, filters, 1, "5");
    check_kept(first, filters, 0, "012345");
    filters[0] = domain_filter(true, NULL, (uint64_t)1 << 32); /* not domain 0 */
    check_kept(first, filters, 1, "");
}
END_TEST

START_TEST(filters_of_any_kind_are_ored)
{
    struct ca_filter filters[] = {line_filter(true, "a.py", 2), domain_filter(true, NULL, 3)};
    check_kept(first, filters, 2, "0125");
}
END_TEST

START_TEST(filters_by_line)
{
    static const struct test_trace traces[] = {
        {0, 1, "abc:0", 1, 0}, {0, 1, "abc:5", 1, 0}, {0, 1, "abc:10", 1, 0}, {0, 1, "12356:0", 1, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_filter filter = name_filter(true, "abc");
    check_kept(snapshot, &filter, 1, "012");
    filter.inclusive = false;
    check_kept(snapshot, &filter, 1, "3");
    filter = line_filter(true, "abc", 5);
    check_kept(snapshot, &filter, 1, "1");
    filter = line_filter(true, "abc", 0);
    check_kept(snapshot, &filter, 1, "0");
    filter = line_filter(false, "abc", 0);
    check_kept(snapshot, &filter, 1, "123");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(filters_over_all_frames)
{
    static const struct test_trace traces[] = {{0, 1, "b.py:3 < a.py:2", 2, 0},
                                               {0, 1, "b.py:5 < b.py:4", 2, 0},
                                               {0, 1, "<unknown>:0 < c.py:5", 2, 0},
                                               {0, 1, "<unknown>:0", 1, 0}};
    static const struct {
        bool inclusive, all;
        const char *pattern, *expected;
    } rows[] = {{true, true, "b.py", "01"},         {true, false, "b.py", "1"},
                {false, true, "b.py", "23"},        {false, false, "b.py", "023"},
                {false, false, "<unknown>", "012"}, {true, true, "<unknown>", "23"},
                {false, true, "<unknown>", "01"},   {true, false, "a.py?", ""}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ca_filter filter = all_filter(rows[i].inclusive, rows[i].pattern);
        filter.all_frames = rows[i].all;
        check_kept(snapshot, &filter, 1, rows[i].expected);
    }
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(pyc_stands_for_py)
{
    static const struct test_trace traces[] = {
        {0, 1, "a.pyc:1", 1, 0}, {0, 1, "a.py:1", 1, 0}, {0, 1, "a.pyo:1", 1, 0}, {0, 1, "a.PYC:1", 1, 0}};
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_filter filter = name_filter(true, "a.py");
    check_kept(snapshot, &filter, 1, "01");
    filter = name_filter(true, "*.pyc");
    check_kept(snapshot, &filter, 1, "01");
    filter = name_filter(true, "a.py?");
    check_kept(snapshot, &filter, 1, "2");
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(weights_are_filtered_in_place)
{
    struct ca_weight *weights = NULL;
    size_t count = 0;
    struct ca_filter filter = name_filter(true, "a.py");
    ck_assert(ca_snapshot_weights(first, CA_VALUE_LIVE, false, &weights, &count, NULL));
    ck_assert_uint_eq(count, 4);
    ck_assert(ca_filter_weights(first, &filter, 1, weights, &count, NULL));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq((uint64_t)weights[0].size, 30);
    ck_assert_uint_eq(weights[0].count, 3);
    ck_assert_uint_eq((uint64_t)weights[1].size, 2);
    free(weights);
}
END_TEST

/* ------------------------------------------------------------------------------------ snapshots */

START_TEST(equal_things_have_equal_ids)
{
    uint32_t a = ca_snapshot_add_string(first, "a.py", 4);
    ck_assert_uint_eq(ca_snapshot_add_string(first, "a.py?", 4), a);
    ck_assert_uint_ne(ca_snapshot_add_string(first, "a\0b", 3), ca_snapshot_add_string(first, "a", 1));
    ck_assert_uint_eq(ca_snapshot_add_string(first, "", 0), 0);
    uint32_t b = traces_add_traceback(first, "b.py:4 < a.py:2", 3);
    ck_assert_uint_eq(traces_add_traceback(first, "b.py:4 < a.py:2", 3), b);
    ck_assert_uint_ne(traces_add_traceback(first, "b.py:4 < a.py:2", 2), b); /* total_nframe is part of it */
    ck_assert_uint_eq(ca_snapshot_total_nframe(first, b), 3);
}
END_TEST

START_TEST(interning_many)
{
    enum { MANY = 300000 };
    struct ca_snapshot *snapshot = ca_snapshot_create(1, NULL);
    bool as_expected = true; /* an assertion of Check's costs microseconds */
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            char name[16];
            int size = snprintf(name, sizeof(name), "%u", i);
            struct ca_frame frame = {.filename = ca_snapshot_add_string(snapshot, name, (size_t)size),
                                     .lineno = i % 7};
            uint32_t id = ca_snapshot_add_frame(snapshot, &frame);
            as_expected &=
                frame.filename == i + 1 && id == i && ca_snapshot_add_traceback(snapshot, &id, 1, 1) == i;
        }
    }
    ck_assert(as_expected);
    ck_assert_str_eq(ca_snapshot_string(snapshot, MANY), "299999");
    /* A part of a string that is there already, while the place of all strings moves. */
    for (uint32_t i = 1; i < 5000; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "%u", (299999 - i) / 10);
        uint32_t prefix = ca_snapshot_add_string(snapshot, ca_snapshot_string(snapshot, MANY - i), 5);
        ck_assert_str_eq(ca_snapshot_string(snapshot, prefix), expected);
    }
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(arrays_are_checked)
{
    struct ca_frame frame = {.filename = 1};
    uint32_t sequence[] = {0};
    struct ca_string_span strings[] = {{0, 0, 0}, {0, 1, 0}};
    struct ca_traceback_span traceback = {.first = 0, .count = 1};
    struct ca_trace trace = {.size = 5};
    struct ca_arrays good = {.string_bytes = "a",
                             .strings = strings,
                             .string_count = 2,
                             .frames = &frame,
                             .frame_count = 1,
                             .traceback_frames = sequence,
                             .traceback_frame_count = 1,
                             .tracebacks = &traceback,
                             .traceback_count = 1,
                             .traces = &trace,
                             .trace_count = 1,
                             .limit = 4};
    struct ca_snapshot *snapshot = ca_snapshot_create_from(&good, NULL);
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF, "a:0 5/1\n");
    ca_snapshot_destroy(snapshot);

    struct ca_arrays bad[] = {good, good, good, good};
    bad[0].string_count = 1;
    bad[1].frame_count = 0;
    bad[2].traceback_frame_count = 0;
    bad[3].traceback_count = 0;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct ca_error *error = NULL;
        ck_assert_ptr_null(ca_snapshot_create_from(&bad[i], &error));
        ck_assert_int_eq(ca_error_status(error), CA_USAGE);
        ca_error_destroy(error);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------ resolvers */

static size_t resolved;    /* calls */
static size_t most_wanted; /* but for SIZE_MAX */
static size_t all_wanted;

static bool three_frames(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                         struct ca_error **ret_error)
{
    uint32_t frames[3];
    resolved++;
    all_wanted += wanted == SIZE_MAX;
    most_wanted = wanted != SIZE_MAX && wanted > most_wanted ? wanted : most_wanted;
    for (uint32_t i = 0; i < 3; i++) {
        struct ca_frame frame = {.filename = ca_snapshot_add_string(snapshot, "x", 1),
                                 .lineno = 10 * i + traceback};
        frames[i] = ca_snapshot_add_frame(snapshot, &frame);
    }
    size_t count = wanted < 3 ? wanted : 3;
    return ca_snapshot_set_traceback(snapshot, traceback, frames, count, count == 3, 3, ret_error);
}

static bool two_weights(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                        struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    (void)snapshot, (void)value, (void)by_thread, (void)ret_error;
    struct ca_weight *weights = calloc(2, sizeof(*weights));
    weights[0] = (struct ca_weight){.size = 5, .count = 1, .traceback = 0};
    weights[1] = (struct ca_weight){.size = 6, .count = 2, .traceback = 1};
    *ret_weights = weights;
    *ret_count = 2;
    return true;
}

static void destroy_nothing(struct ca_snapshot *snapshot)
{
    (void)snapshot;
}

START_TEST(only_frames_that_are_needed_are_resolved)
{
    static const struct ca_resolver resolver = {
        .resolve = three_frames, .weigh = two_weights, .destroy = destroy_nothing};
    struct ca_snapshot *snapshot = ca_snapshot_create(3, NULL);
    ck_assert(ca_snapshot_reserve_tracebacks(snapshot, 2, NULL));
    snapshot->resolver = &resolver;
    traces_check(snapshot, NULL, CA_KEY_DOMAIN, CA_CUMULATIVE_OFF, "domain 0:0 11/3\n");
    ck_assert_uint_eq(resolved, 0);
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_OFF, "x:1 6/2\nx:0 5/1\n");
    ck_assert_uint_eq(resolved, 2);
    ck_assert_uint_eq(most_wanted, 1);
    ck_assert_uint_eq(all_wanted, 0);
    traces_check(snapshot, NULL, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF,
                 "[x:21<x:11<x:1] 6/2\n[x:20<x:10<x:0] 5/1\n");
    ck_assert_uint_eq(all_wanted, 2);
    traces_check(snapshot, NULL, CA_KEY_LINENO, CA_CUMULATIVE_ON,
                 "x:21 6/2\nx:11 6/2\nx:1 6/2\nx:20 5/1\nx:10 5/1\nx:0 5/1\n");
    ck_assert_uint_eq(resolved, 4);
    ca_snapshot_destroy(snapshot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statistics");
    TCase *cases = tcase_create("statistics");
    tcase_add_checked_fixture(cases, snapshots_begin, snapshots_end);
    tcase_add_test(cases, statistics_by_lineno);
    tcase_add_test(cases, statistics_by_filename);
    tcase_add_test(cases, statistics_by_traceback);
    tcase_add_test(cases, statistics_of_recursion);
    tcase_add_test(cases, ties_are_broken_by_names_then_lines);
    tcase_add_test(cases, statistics_by_our_own_keys);
    tcase_add_test(cases, functions_and_modules_where_all_agree);
    tcase_add_test(cases, sums_have_128_bits);
    tcase_add_test(cases, statistics_refused);
    tcase_add_test(cases, differences);
    tcase_add_test(cases, differences_cumulative);
    tcase_add_test(cases, filters_of_the_table);
    tcase_add_test(cases, filters_of_any_kind_are_ored);
    tcase_add_test(cases, filters_by_line);
    tcase_add_test(cases, filters_over_all_frames);
    tcase_add_test(cases, pyc_stands_for_py);
    tcase_add_test(cases, weights_are_filtered_in_place);
    tcase_add_test(cases, equal_things_have_equal_ids);
    tcase_add_test(cases, interning_many);
    tcase_add_test(cases, arrays_are_checked);
    tcase_add_test(cases, only_frames_that_are_needed_are_resolved);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
