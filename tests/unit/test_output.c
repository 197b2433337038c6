/* test_output.c: how answers are written: JSON, CSV, folded stacks, coverage, crash words, callers, the file
 * of -o. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coreanalyze/command/report/crash.h"
#include "coreanalyze/output/caller.h"
#include "coreanalyze/output/coverage.h"
#include "coreanalyze/output/csv.h"
#include "coreanalyze/output/flames/numbers.h"
#include "coreanalyze/output/flames/page.h"
#include "coreanalyze/output/flames/speedscope.h"
#include "coreanalyze/output/flames/template.h"
#include "coreanalyze/output/folded.h"
#include "coreanalyze/output/json.h"
#include "coreanalyze/output/listing.h"

/* What went to streams 1 and 2. */
static struct ca_text streams[3];

static void stream_write(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    ca_text_add_bytes(&streams[stream], bytes, size);
}

static const struct ca_output output = {.write = stream_write};

static void streams_end(void)
{
    ca_text_deinit(&streams[1]);
    ca_text_deinit(&streams[2]);
}

static void assert_text(struct ca_text *text, const char *expected)
{
    ck_assert(!text->failed);
    ck_assert_str_eq(text->bytes ? text->bytes : "", expected);
    ca_text_deinit(text);
}

/* --------------------------------------------------------------------------------------------------- JSON */

static struct ca_text json_text;
static struct ca_json json = {.text = &json_text};

static void assert_json(const char *expected)
{
    assert_text(&json_text, expected);
    json = (struct ca_json){.text = &json_text};
}

static void assert_json_name(const char *name, const char *expected)
{
    ca_json_string(&json, NULL, name);
    assert_json(expected);
}

START_TEST(json_names)
{
    assert_json_name(NULL, "null");
    assert_json_name("", "\"\"");
    assert_json_name("/a b/\"c\"\\", "\"/a b/\\\"c\\\"\\\\\"");
    assert_json_name("\n\x1b[31m", "\"\\u000a\\u001b[31m\"");
    assert_json_name("gr\xc3\xb6\xc3\x9f"
                     "e",
                     "\"gr\xc3\xb6\xc3\x9f"
                     "e\"");
    assert_json_name("\xff/\"\x01\xc3\xb6\x80", "\"\\udcff/\\\"\\u0001\xc3\xb6\\udc80\"");
    assert_json_name("\x7f\xc2\x9b"
                     "31m\xe2\x80\xae\xc2\xa0",
                     "\"\\u007f\\u009b31m\\u202e\xc2\xa0\"");
    assert_json_name("\xed\xa0\x80", "\"\\udced\\udca0\\udc80\""); /* a surrogate is no UTF-8 */
}
END_TEST

START_TEST(json_in_markup)
{
    json.markup = true;
    assert_json_name("</script><!--&", "\"\\u003c/script>\\u003c!--&\"");
    assert_json_name("</script><!--&", "\"</script><!--&\"");
}
END_TEST

START_TEST(json_numbers)
{
    unsigned __int128 large = (unsigned __int128)UINT64_MAX + 1;
    ca_json_unsigned(&json, NULL, 0);
    assert_json("0");
    ca_json_unsigned(&json, NULL, UINT64_MAX);
    assert_json("18446744073709551615");
    ca_json_unsigned(&json, NULL, large);
    assert_json("18446744073709551616");
    ca_json_integer(&json, NULL, -(__int128)large);
    assert_json("-18446744073709551616");
    ca_json_address(&json, NULL, 0);
    assert_json("null");
    ca_json_address(&json, NULL, UINT64_MAX);
    assert_json("\"0xffffffffffffffff\"");
}
END_TEST

START_TEST(json_structure)
{
    struct ca_text members = {0};
    struct ca_json inner = {.text = &members};
    ca_json_unsigned(&inner, "x", 1);
    ca_json_null(&inner, "y");

    ca_json_object_open(&json, NULL);
    ca_json_array_open(&json, "none");
    ca_json_array_close(&json);
    ca_json_line(&json);
    ca_json_array_open(&json, "some");
    ca_json_line(&json);
    ca_json_unsigned(&json, NULL, 1);
    ca_json_line(&json);
    ca_json_object_open(&json, NULL);
    ca_json_object_close(&json);
    ca_json_object_open(&json, NULL);
    ca_json_boolean(&json, "a", false);
    ca_json_members(&json, &members);
    ca_json_object_close(&json);
    ca_json_array_close(&json);
    ca_json_boolean(&json, "last", true);
    ca_json_object_close(&json);
    assert_json(
        "{\"none\": [],\n \"some\": [\n 1,\n {}, {\"a\": false, \"x\": 1, \"y\": null}], \"last\": true}");
    ca_text_deinit(&members);
}
END_TEST

START_TEST(json_out_of_memory)
{
    struct ca_text failed = {.failed = true};
    ca_json_object_open(&json, NULL);
    ca_json_members(&json, &failed);
    ck_assert(json_text.failed);
    ca_text_deinit(&json_text);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- CSV */

START_TEST(csv_fields)
{
    struct ca_text text = {0};
    ca_csv_add_name(&text, NULL);
    ca_csv_add_name(&text, "plain name;");
    assert_text(&text, "plain name;");
    ca_csv_add_name(&text, "a,b");
    assert_text(&text, "\"a,b\"");
    ca_csv_add_name(&text, "\"a\"");
    assert_text(&text, "\"\"\"a\"\"\"");
    ca_csv_add_name(&text, "a\r\nb\x1b");
    assert_text(&text, "a\\x0d\\x0ab\\x1b");
}
END_TEST

/* -------------------------------------------------------------------------------------- snapshots by hand */

static struct ca_snapshot *snapshot;

static uint32_t string_id(const char *string)
{
    return string ? ca_snapshot_add_string(snapshot, string, strlen(string)) : 0;
}

static uint32_t frame_id(const char *filename, uint32_t lineno, const char *function)
{
    struct ca_frame frame = {
        .filename = string_id(filename), .lineno = lineno, .function = string_id(function)};
    return ca_snapshot_add_frame(snapshot, &frame);
}

static void trace_add(uint64_t size, const uint32_t *frames, size_t count)
{
    struct ca_trace trace = {
        .size = size, .traceback = ca_snapshot_add_traceback(snapshot, frames, count, (uint32_t)count)};
    ck_assert(ca_snapshot_add_trace(snapshot, &trace));
}

static void snapshot_begin(void)
{
    struct ca_error *error = NULL;
    snapshot = ca_snapshot_create(25, &error);
    ck_assert_ptr_nonnull(snapshot);
}

static void snapshot_end(void)
{
    ca_snapshot_destroy(snapshot);
}

static struct ca_table empty_table;

/* A listing of the snapshot that shows everything. */
static struct ca_weight *listing_begin(struct ca_listing *listing, enum ca_key key,
                                       enum ca_cumulative cumulative)
{
    struct ca_error *error = NULL;
    struct ca_weight *weights;
    size_t count;
    ck_assert(ca_snapshot_weights(snapshot, CA_VALUE_LIVE, false, &weights, &count, &error));
    *listing = (struct ca_listing){
        .weights = weights, .weight_count = count, .cumulative = cumulative, .table = &empty_table};
    ck_assert(ca_statistics_compute(snapshot, weights, count, key, cumulative, &listing->statistics, &error));
    listing->shown = listing->statistics->count;
    return weights;
}

static void listing_end(struct ca_listing *listing, struct ca_weight *weights)
{
    ca_statistics_destroy(listing->statistics);
    free(weights);
}

static const char *caller_name(const struct ca_listing *listing, size_t index)
{
    struct ca_error *error = NULL;
    uint32_t *callers;
    ck_assert(ca_callers_find(listing, &callers, &error));
    uint32_t caller = callers ? callers[index] : CA_NO_CALLER;
    free(callers);
    return caller == CA_NO_CALLER
               ? ""
               : ca_snapshot_string(snapshot, ca_snapshot_frame(snapshot, caller)->filename);
}

START_TEST(folded_names)
{
    uint32_t frames[] = {frame_id("/m(+0x12)", 0, NULL), frame_id("a.c", 7, "f;g\n"),
                         frame_id("b.c", 8, "main")};
    struct ca_text text = {0};
    ca_folded_add_frames(&text, snapshot, frames, 3, CA_FOLDED_FUNCTIONS);
    assert_text(&text, "main;f,g\\x0a;/m(+0x12)");
    ca_folded_add_frames(&text, snapshot, frames, 3, CA_FOLDED_LINES);
    assert_text(&text, "b.c:8;a.c:7;/m(+0x12):0");
    ca_folded_add_frames(&text, snapshot, frames, 1, CA_FOLDED_NAMES);
    assert_text(&text, "/m(+0x12)");
}
END_TEST

START_TEST(address_names)
{
    size_t size;
    ck_assert(ca_name_is_address("<unknown>", &size));
    ck_assert_uint_eq(size, 0);
    ck_assert(ca_name_is_address("/usr/bin/x(+0x12af)", &size));
    ck_assert_uint_eq(size, strlen("/usr/bin/x"));
    ck_assert(ca_name_is_address("/odd(+0x1)(+0x2)", &size));
    ck_assert_uint_eq(size, strlen("/odd(+0x1)"));
    ck_assert(!ca_name_is_address("/usr/bin/x(main)", &size));
    ck_assert(!ca_name_is_address("/usr/bin/x(+0x12ag)", &size));
    ck_assert(!ca_name_is_address("/usr/bin/x(+0x12", &size));
    ck_assert(!ca_name_is_address("", &size));
    ck_assert(!ca_name_is_address(")", &size));
}
END_TEST

START_TEST(callers_by_bytes)
{
    uint32_t bare = frame_id("/m(+0x1)", 0, NULL), other = frame_id("/m(+0x2)", 0, NULL);
    uint32_t small = frame_id("/m(small)", 0, "small"), large = frame_id("large.c", 3, "large");
    trace_add(600, (uint32_t[]){bare, small}, 2);
    trace_add(500, (uint32_t[]){bare, other, large}, 3);
    trace_add(500, (uint32_t[]){bare, large, small}, 3);
    trace_add(9000, (uint32_t[]){bare, other}, 2); /* nobody has a name there */
    trace_add(1, (uint32_t[]){small, large}, 2);
    struct ca_listing listing;
    struct ca_weight *weights = listing_begin(&listing, CA_KEY_LINENO, CA_CUMULATIVE_OFF);
    ck_assert_uint_eq(listing.shown, 2);
    ck_assert_str_eq(caller_name(&listing, 0), "large.c");
    ck_assert_str_eq(caller_name(&listing, 1), "");
    listing_end(&listing, weights);
    weights = listing_begin(&listing, CA_KEY_MODULE, CA_CUMULATIVE_OFF);
    ck_assert_str_eq(caller_name(&listing, 0), "");
    listing_end(&listing, weights);
}
END_TEST

START_TEST(callers_that_are_allocators)
{
    uint32_t bare = frame_id("/m(+0x1)", 0, NULL), allocator = frame_id("/m(xmalloc)", 0, "xmalloc");
    trace_add(10,
              (uint32_t[]){bare, allocator, frame_id("/m(mine)", 0, "mine"), frame_id("/m(main)", 0, "main")},
              4);
    struct ca_listing listing;
    struct ca_weight *weights = listing_begin(&listing, CA_KEY_LINENO, CA_CUMULATIVE_OFF);
    ck_assert_str_eq(caller_name(&listing, 0), "/m(mine)");
    listing.skip = (const char *const[]){"min?"};
    listing.skip_count = 1;
    ck_assert_str_eq(caller_name(&listing, 0), "/m(main)");
    listing.skip = (const char *const[]){"m*"};
    ck_assert_str_eq(caller_name(&listing, 0), "/m(xmalloc)"); /* nobody else is left */
    listing.skip_count = 0;
    listing.no_skip = true;
    ck_assert_str_eq(caller_name(&listing, 0), "/m(xmalloc)");
    listing_end(&listing, weights);
}
END_TEST

START_TEST(callers_at_a_tie)
{
    uint32_t bare = frame_id("<unknown>", 0, NULL);
    trace_add(10, (uint32_t[]){bare, frame_id("b.c", 1, "b")}, 2);
    trace_add(10, (uint32_t[]){bare, frame_id("a.c", 1, "a")}, 2);
    struct ca_listing listing;
    struct ca_weight *weights = listing_begin(&listing, CA_KEY_FILENAME, CA_CUMULATIVE_OFF);
    ck_assert_str_eq(caller_name(&listing, 0), "a.c");
    listing_end(&listing, weights);
}
END_TEST

START_TEST(callers_of_cumulative_groups)
{
    uint32_t bare = frame_id("/m(+0x1)", 0, NULL);
    trace_add(10, (uint32_t[]){frame_id("leaf.c", 1, "leaf"), bare, frame_id("up.c", 2, "up")}, 3);
    struct ca_listing listing;
    struct ca_weight *weights = listing_begin(&listing, CA_KEY_FILENAME, CA_CUMULATIVE_ON);
    for (size_t i = 0; i < listing.shown; i++) {
        bool is_bare =
            listing.statistics->items[i].frames[0] == bare ||
            strcmp(
                ca_snapshot_string(
                    snapshot, ca_snapshot_frame(snapshot, listing.statistics->items[i].frames[0])->filename),
                "/m(+0x1)") == 0;
        ck_assert_str_eq(caller_name(&listing, i), is_bare ? "up.c" : "");
    }
    listing_end(&listing, weights);
}
END_TEST

START_TEST(folded_listing_leaves_empty_groups_out)
{
    uint32_t line = frame_id("a.c", 1, "f"), empty = frame_id("b.c", 1, "g");
    trace_add(5, &line, 1);
    trace_add(0, &empty, 1);
    struct ca_listing listing;
    struct ca_weight *weights = listing_begin(&listing, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF);
    struct ca_sink sink;
    struct ca_error *error = NULL;
    ck_assert(ca_sink_open(&sink, &output, NULL, &error));
    ca_listing_write_folded(&listing, &sink);
    ck_assert(ca_sink_commit(&sink, &error));
    ck_assert_str_eq(streams[1].bytes, "f 5\n");
    listing_end(&listing, weights);
}
END_TEST

START_TEST(numbers_in_the_order_of_meeting)
{
    struct ca_numbers numbers = {0};
    ck_assert_uint_eq(ca_numbers_add(&numbers, 70000), 0);
    ck_assert_uint_eq(ca_numbers_add(&numbers, 3), 1);
    ck_assert_uint_eq(ca_numbers_add(&numbers, 70000), 0);
    ck_assert_uint_eq(ca_numbers_add(&numbers, 4000000), 2);
    ck_assert_uint_eq(ca_numbers_add(&numbers, 3), 1);
    ck_assert_uint_eq(numbers.count, 3);
    ck_assert_uint_eq(numbers.ids[1], 3);
    ca_numbers_deinit(&numbers);
}
END_TEST

/* Two blocks by f, a named part; an item without frames. */
static void flames_write(struct ca_listing *listing, bool page)
{
    const struct ca_flames_part part = {"direct", listing->statistics, listing->shown, listing->statistics,
                                        1};
    const struct ca_flames flames = {
        .command = "leaks",
        .title = "</p> (process 7)",
        .snapshot = snapshot,
        .parts = &part,
        .part_count = 1,
        .label = CA_FOLDED_FUNCTIONS,
        .key = CA_KEY_TRACEBACK,
        .total = {.size = 17, .count = 3},
        .notes = "coverage: all\n",
        .complete = true,
    };
    struct ca_sink sink;
    struct ca_error *error = NULL;
    ck_assert(ca_sink_open(&sink, &output, NULL, &error));
    if (page) {
        ck_assert(ca_page_write(&flames, &sink, &error));
    } else {
        ca_speedscope_write(&flames, &sink);
    }
    ck_assert(ca_sink_commit(&sink, &error));
}

static struct ca_weight *flames_begin(struct ca_listing *listing)
{
    uint32_t frames[] = {frame_id("/<a>.c", 12, "f"), frame_id("/m(+0x1)", 0, NULL)};
    trace_add(5, frames, 2);
    trace_add(5, frames, 2);
    trace_add(7, NULL, 0);
    return listing_begin(listing, CA_KEY_TRACEBACK, CA_CUMULATIVE_OFF);
}

START_TEST(speedscope_files)
{
    struct ca_listing listing;
    struct ca_weight *weights = flames_begin(&listing);
    flames_write(&listing, false);
    ck_assert_str_eq(streams[1].bytes,
                     "{\"$schema\": \"https://www.speedscope.app/file-format-schema.json\", \"exporter\": "
                     "\"coreanalyze " TM_VERSION
                     "\", \"name\": \"</p> (process 7)\", \"activeProfileIndex\": 0,\n"
                     " \"profiles\": [\n"
                     " {\"type\": \"sampled\", \"name\": \"bytes\", \"unit\": \"bytes\", \"startValue\": 0, "
                     "\"endValue\": 17,"
                     " \"samples\": [\n [0, 1, 2],\n [0]],\n \"weights\": [10, 7]},\n"
                     " {\"type\": \"sampled\", \"name\": \"blocks\", \"unit\": \"none\", \"startValue\": 0, "
                     "\"endValue\": 3,"
                     " \"samples\": [\n [0, 1, 2],\n [0]],\n \"weights\": [2, 1]}],\n"
                     " \"shared\": {\"frames\": [\n {\"name\": \"direct\"},\n {\"name\": \"/m(+0x1)\", "
                     "\"file\": \"/m(+0x1)\"},\n"
                     " {\"name\": \"f\", \"file\": \"/<a>.c\", \"line\": 12}]}}\n");
    listing_end(&listing, weights);
}
END_TEST

START_TEST(pages)
{
    struct ca_page_template page;
    if (!ca_page_template_find(&page)) {
        return; /* built without npm: test_options.c sees to that */
    }
    struct ca_listing listing;
    struct ca_weight *weights = flames_begin(&listing);
    flames_write(&listing, true);
    ck_assert_mem_eq(streams[1].bytes, page.head, page.head_size);
    const char *data = streams[1].bytes + page.head_size;
    const char *expected =
        "{\"version\": \"" TM_VERSION
        "\", \"command\": \"leaks\", \"diff\": false, \"title\": \"\\u003c/p> (process 7)\", "
        "\"old_title\": null, \"key\": \"traceback\", \"cumulative\": false, \"value\": \"live\", "
        "\"complete\": true, "
        "\"notes\": \"coverage: all\\u000a\", \"total\": {\"size\": 17, \"count\": 3, \"size_diff\": 0, "
        "\"count_diff\": 0}, "
        "\"other\": {\"size\": 0, \"count\": 0, \"size_diff\": 0, \"count_diff\": 0, \"groups\": 0},\n"
        " \"parts\": [{\"name\": \"direct\", \"stacks\": [\n [10, 2, 0, 1],\n [7, 1]], \"rows\": 1}],\n"
        " \"frames\": [\n [0, 1, 0, 0],\n [2, 3, 12, 0]],\n"
        " \"names\": [\n \"\",\n \"/m(+0x1)\",\n \"f\",\n \"/\\u003ca>.c\"]}";
    ck_assert_int_eq(strncmp(data, expected, strlen(expected)), 0);
    ck_assert_uint_eq(streams[1].size, page.head_size + strlen(expected) + page.tail_size);
    ck_assert_mem_eq(data + strlen(expected), page.tail, page.tail_size);
    listing_end(&listing, weights);
}
END_TEST

/* ----------------------------------------------------------------------------------------------- coverage */

START_TEST(coverage_lines)
{
    struct ca_in_flight operations[] = {{.tid = 4711}, {.tid = 12}};
    struct ca_table table = {.coverage = {.blocks = 104211}, .in_flight = operations};
    struct ca_text text = {0};
    ca_coverage_add_text(&text, "coverage", &table);
    assert_text(&text, "coverage: 104211 blocks, 0 dropped, 0 in flight, every block traced\n");
    ck_assert(ca_coverage_is_complete(&table));

    table.coverage.in_flight = table.in_flight_count = 1;
    ca_coverage_add_text(&text, "coverage", &table);
    assert_text(&text, "coverage: 104211 blocks, 0 dropped, 1 in flight (thread 4711), every block traced\n");
    ck_assert(ca_coverage_is_complete(&table));

    table.coverage.in_flight = table.in_flight_count = 2;
    operations[1].ambiguous = true;
    ca_coverage_add_text(&text, "coverage", &table);
    assert_text(&text, "coverage: 104211 blocks, 0 dropped, 2 in flight (threads 4711, 12; done or not "
                       "cannot be told), every block "
                       "traced\n");
    ck_assert(!ca_coverage_is_complete(&table));

    table = (struct ca_table){
        .coverage = {.blocks = 1, .dropped = 2, .dropped_size = 10240, .sample_bytes = 512 << 10}};
    ca_coverage_add_text(&text, "coverage of x", &table);
    assert_text(&text,
                "coverage of x: 1 blocks, 2 dropped (10.0 KiB), 0 in flight, one sample per 512 KiB\n");

    table = (struct ca_table){.coverage = {.blocks = 5, .untraced_time = UINT64_C(12340000000)}};
    ca_coverage_add_text(&text, "coverage", &table);
    assert_text(&text,
                "coverage: 5 blocks, 0 dropped, 0 in flight, every block traced since 12.3 seconds after the "
                "process started; blocks from before are unknown\n");
    ck_assert(ca_coverage_is_complete(&table));

    table = (struct ca_table){.coverage = {.truncated = true, .missing_bytes = 20 << 20, .rejected = 3}};
    ca_coverage_add_text(&text, "coverage", &table);
    assert_text(&text, "coverage: 0 blocks, 0 dropped, 0 in flight, every block traced, 3 DAMAGED RECORDS "
                       "LEFT OUT, TRUNCATED: 20.0 "
                       "MiB of tables missing, sizes are lower bounds\n");
    ck_assert(!ca_coverage_is_complete(&table));
}
END_TEST

/* -------------------------------------------------------------------------------------------------- crash */

static void assert_crash(int signal_number, siginfo_t information, const char *expected)
{
    struct ca_process process = {.pid = 100,
                                 .signal = signal_number,
                                 .siginfo = (const uint8_t *)&information,
                                 .siginfo_size = sizeof information};
    struct ca_text text = {0};
    information.si_signo = signal_number;
    ca_crash_add_text(&text, &process);
    assert_text(&text, expected);
}

START_TEST(crash_words)
{
    siginfo_t information = {.si_code = SEGV_MAPERR};
    information.si_addr = (void *)0x10;
    assert_crash(SIGSEGV, information, "crashed with SIGSEGV: address not mapped, 0x10");
    information.si_code = FPE_INTDIV;
    assert_crash(SIGFPE, information, "crashed with SIGFPE: integer division by zero, at 0x10");
    information.si_code = 99;
    assert_crash(SIGBUS, information, "crashed with SIGBUS: code 99, address 0x10");
    information = (siginfo_t){.si_code = SI_KERNEL};
    assert_crash(SIGSEGV, information,
                 "crashed with SIGSEGV: the kernel names no address (a pointer that cannot be an address, or "
                 "a forbidden instruction)");
    information = (siginfo_t){.si_code = SI_TKILL};
    information.si_pid = 100;
    assert_crash(SIGABRT, information, "crashed with SIGABRT: it aborted itself");
    information.si_code = SI_USER;
    information.si_pid = 7;
    information.si_uid = 33;
    assert_crash(SIGQUIT, information, "received SIGQUIT, sent by process 7 of user 33");
    assert_crash(SIGTRAP, information, "is stopped, it has not crashed");
    assert_crash(0, information, "is stopped, it has not crashed");
}
END_TEST

START_TEST(crash_without_siginfo)
{
    struct ca_process process = {.pid = 100, .signal = SIGSEGV};
    struct ca_text text = {0};
    ca_crash_add_text(&text, &process);
    assert_text(&text, "crashed with SIGSEGV");
    process.siginfo = (const uint8_t *)"short";
    process.siginfo_size = 5;
    ca_crash_add_text(&text, &process);
    assert_text(&text, "crashed with SIGSEGV");
}
END_TEST

/* --------------------------------------------------------------------------------------------------- sink */

static char directory[] = "/tmp/tm-test-XXXXXX";
static char path[64];

static void directory_begin(void)
{
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
}

static void directory_end(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0); /* no temporary file is left */
}

static void file_put(const char *contents)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(contents, file);
    fclose(file);
}

static void assert_file(const char *expected)
{
    char contents[64] = "";
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    contents[fread(contents, 1, sizeof contents - 1, file)] = '\0';
    fclose(file);
    ck_assert_str_eq(contents, expected);
}

START_TEST(sink_replaces_a_file_in_the_end)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    file_put("old");
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert(ca_sink_open(&sink, &output, path, &error));
    ca_text_add(&sink.text, "new");
    assert_file("old");
    ck_assert(ca_sink_commit(&sink, &error));
    assert_file("new");
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0640);
    ck_assert_uint_eq(streams[1].size, 0);
}
END_TEST

START_TEST(sink_makes_a_file_as_the_umask_says)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    umask(027);
    ck_assert(ca_sink_open(&sink, &output, path, &error));
    ck_assert(ca_sink_commit(&sink, &error));
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0640);
}
END_TEST

START_TEST(sink_abandoned_leaves_the_file)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    file_put("old");
    ck_assert(ca_sink_open(&sink, &output, path, &error));
    ca_text_add(&sink.text, "new");
    ca_sink_abandon(&sink);
    assert_file("old");
}
END_TEST

START_TEST(sink_full_leaves_the_file)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    file_put("old");
    signal(SIGXFSZ, SIG_IGN);
    ck_assert(ca_sink_open(&sink, &output, path, &error));
    struct rlimit limit = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ca_text_add(&sink.text, "more than ten bytes");
    bool committed = ca_sink_commit(&sink, &error);
    limit.rlim_cur = RLIM_INFINITY; /* Check writes files, too */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(!committed);
    char expected[128];
    snprintf(expected, sizeof expected, "cannot write %s: %s", path, strerror(EFBIG));
    ck_assert_str_eq(ca_error_message(error), expected);
    ck_assert_int_eq(ca_error_status(error), CA_NOTHING);
    ca_error_destroy(error);
    assert_file("old");
}
END_TEST

START_TEST(sink_writes_to_what_is_no_file)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    ck_assert(ca_sink_open(&sink, &output, path, &error));
    ca_text_add(&sink.text, "piped");
    ck_assert(ca_sink_commit(&sink, &error));
    char bytes[8];
    ck_assert_int_eq(read(reader, bytes, sizeof bytes), 5);
    close(reader);
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert(S_ISFIFO(status.st_mode));
}
END_TEST

START_TEST(sink_keeps_a_symbolic_link)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    char link_path[80];
    snprintf(link_path, sizeof link_path, "%s/link", directory);
    file_put("old");
    ck_assert_int_eq(symlink("file", link_path), 0);
    ck_assert(ca_sink_open(&sink, &output, link_path, &error));
    ca_text_add(&sink.text, "new");
    ck_assert(ca_sink_commit(&sink, &error));
    struct stat status;
    ck_assert_int_eq(lstat(link_path, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    assert_file("new");
    unlink(link_path);
}
END_TEST

START_TEST(sink_without_directory)
{
    struct ca_sink sink;
    struct ca_error *error = NULL;
    char missing[80], expected[160];
    snprintf(missing, sizeof missing, "%s/none/file", directory);
    snprintf(expected, sizeof expected, "cannot write %s: %s", missing, strerror(ENOENT));
    ck_assert(!ca_sink_open(&sink, &output, missing, &error));
    ck_assert_str_eq(ca_error_message(error), expected);
    ca_error_destroy(error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output");
    TCase *cases = tcase_create("formats");
    tcase_add_checked_fixture(cases, NULL, streams_end);
    tcase_add_test(cases, json_names);
    tcase_add_test(cases, json_in_markup);
    tcase_add_test(cases, json_numbers);
    tcase_add_test(cases, json_structure);
    tcase_add_test(cases, json_out_of_memory);
    tcase_add_test(cases, csv_fields);
    tcase_add_test(cases, address_names);
    tcase_add_test(cases, coverage_lines);
    tcase_add_test(cases, crash_words);
    tcase_add_test(cases, crash_without_siginfo);
    suite_add_tcase(suite, cases);

    cases = tcase_create("listings");
    tcase_add_checked_fixture(cases, snapshot_begin, snapshot_end);
    tcase_add_checked_fixture(cases, NULL, streams_end);
    tcase_add_test(cases, folded_names);
    tcase_add_test(cases, callers_by_bytes);
    tcase_add_test(cases, callers_that_are_allocators);
    tcase_add_test(cases, callers_at_a_tie);
    tcase_add_test(cases, callers_of_cumulative_groups);
    tcase_add_test(cases, folded_listing_leaves_empty_groups_out);
    tcase_add_test(cases, numbers_in_the_order_of_meeting);
    tcase_add_test(cases, speedscope_files);
    tcase_add_test(cases, pages);
    suite_add_tcase(suite, cases);

    cases = tcase_create("sink");
    tcase_add_checked_fixture(cases, directory_begin, directory_end);
    tcase_add_checked_fixture(cases, NULL, streams_end);
    tcase_add_test(cases, sink_replaces_a_file_in_the_end);
    tcase_add_test(cases, sink_makes_a_file_as_the_umask_says);
    tcase_add_test(cases, sink_abandoned_leaves_the_file);
    tcase_add_test(cases, sink_full_leaves_the_file);
    tcase_add_test(cases, sink_writes_to_what_is_no_file);
    tcase_add_test(cases, sink_keeps_a_symbolic_link);
    tcase_add_test(cases, sink_without_directory);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
