/* test_profile.c: snapshots as profiles and back, profiles damaged in every byte, the order of traces, sums
 * of chosen traces. What the format is, and each refusal by name, is tested in
 * tests/e2e/test_snapshot_files.py. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/profile/merge.h"
#include "coreanalyze/profile/profile.h"
#include "coreanalyze/snapshot/internal.h"
#include "traces.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct test_trace traces[] = {
    {0, 10, "b.py:4 < a.py:2 @allocate %lib.so", 3, 0},
    {0, 10, "b.py:4 < a.py:2 @allocate %lib.so", 3, 0},
    {0, 10, "b.py:4 < a.py:2 @allocate %lib.so", 4, 0},
    {1, 2, "b.py:4 < a.py:5", CA_TOTAL_UNKNOWN, 77},
    {4000000000, 0, "b.py:1", 1, 0},
    {0, 10, "b.py:4 < a.py:2 @other %lib.so", 3, 4294967295},
    {3, 7, "<unknown>:0", 1, 0},
    {0, INT64_MAX, "na\xc3\xafve \xff\xfe.c:4294967295", 65535, 0},
};

static struct ca_snapshot *load(const struct ca_text *bytes, struct ca_error **ret_error)
{
    return ca_profile_load_bytes("a-file", bytes->bytes, bytes->size, NULL, 0, true, ret_error);
}

static struct ca_text encode(struct ca_snapshot *snapshot)
{
    struct ca_text bytes = {0};
    struct ca_error *error = NULL;
    ck_assert(ca_profile_encode_plain(snapshot, &bytes, &error));
    return bytes;
}

/* A trace with its traceback in words. */
static void add_trace(struct ca_text *text, struct ca_snapshot *snapshot, const struct ca_trace *trace)
{
    struct ca_error *error = NULL;
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, trace->traceback, SIZE_MAX, &count, &error);
    ck_assert_ptr_nonnull(frames);
    ca_text_printf(text, "%u %llu thread %u total %u:", trace->domain, (unsigned long long)trace->size,
                   trace->thread, ca_snapshot_total_nframe(snapshot, trace->traceback));
    for (size_t i = count; i-- > 0;) {
        const struct ca_frame *frame = ca_snapshot_frame(snapshot, frames[i]);
        ca_text_printf(text, " %s:%u", ca_snapshot_string(snapshot, frame->filename), frame->lineno);
        ca_text_printf(text, "@%s", ca_snapshot_string(snapshot, frame->function));
    }
    ca_text_add(text, "\n");
}

static struct ca_text describe(struct ca_snapshot *snapshot)
{
    struct ca_text text = {0};
    struct ca_error *error = NULL;
    size_t count;
    const struct ca_trace *items = ca_snapshot_traces(snapshot, &count, &error);
    ck_assert_ptr_nonnull(items);
    for (size_t i = 0; i < count; i++) {
        add_trace(&text, snapshot, &items[i]);
    }
    return text;
}

/* ------------------------------------------------------------------------------------ round trip */

START_TEST(a_snapshot_comes_back)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    ck_assert(ca_snapshot_sort_traces(snapshot, &error));
    struct ca_text bytes = encode(snapshot);
    struct ca_snapshot *loaded = load(&bytes, &error);
    ck_assert_ptr_nonnull(loaded);
    struct ca_text before = describe(snapshot), after = describe(loaded);
    ck_assert_str_eq(after.bytes, before.bytes);
    ck_assert_uint_eq(ca_snapshot_limit(loaded), ca_snapshot_limit(snapshot));
    ck_assert_uint_eq(ca_snapshot_coverage(loaded)->blocks, COUNT(traces));
    ck_assert(ca_profile_has_threads(loaded));

    struct ca_text again = encode(loaded);
    ck_assert_uint_eq(again.size, bytes.size);
    ck_assert_mem_eq(again.bytes, bytes.bytes, bytes.size);
    ca_text_deinit(&bytes);
    ca_text_deinit(&again);
    ca_text_deinit(&before);
    ca_text_deinit(&after);
    ca_snapshot_destroy(snapshot);
    ca_snapshot_destroy(loaded);
}
END_TEST

START_TEST(an_empty_snapshot_comes_back)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = traces_snapshot(NULL, 0);
    struct ca_text bytes = encode(snapshot);
    struct ca_snapshot *loaded = load(&bytes, &error);
    ck_assert_ptr_nonnull(loaded);
    size_t count;
    ck_assert_ptr_nonnull(ca_snapshot_traces(loaded, &count, &error));
    ck_assert_uint_eq(count, 0);
    struct ca_weight *weights;
    ck_assert(!ca_snapshot_weights(loaded, CA_VALUE_PEAK, false, &weights, &count, &error));
    ck_assert_int_eq(ca_error_status(error), CA_USAGE);
    ca_error_destroy(error);
    ca_text_deinit(&bytes);
    ca_snapshot_destroy(snapshot);
    ca_snapshot_destroy(loaded);
}
END_TEST

/* ------------------------------------------------------------------------------------ damage */

/* An answer or an error that names the file, never anything else; the sanitizers watch. */
static void try_bytes(const struct ca_text *bytes, size_t *refused)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *loaded = load(bytes, &error);
    if (!loaded) {
        ck_assert_ptr_nonnull(strstr(ca_error_message(error), "a-file"));
        ck_assert_ptr_null(strchr(ca_error_message(error), '\n'));
        ca_error_destroy(error);
        ++*refused;
        return;
    }
    struct ca_weight *weights;
    size_t count;
    ck_assert(ca_snapshot_weights(loaded, CA_VALUE_LIVE, false, &weights, &count, &error));
    for (size_t i = 0; i < count; i++) {
        size_t frames;
        ck_assert_ptr_nonnull(ca_snapshot_traceback(loaded, weights[i].traceback, SIZE_MAX, &frames, &error));
    }
    free(weights);
    ca_snapshot_destroy(loaded);
}

START_TEST(every_byte_damaged)
{
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_text bytes = encode(snapshot);
    size_t refused = 0;
    for (size_t at = 0; at < bytes.size; at++) {
        static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x40, 0x80, 0xff};
        for (size_t i = 0; i < COUNT(masks); i++) {
            bytes.bytes[at] = (char)(bytes.bytes[at] ^ masks[i]);
            try_bytes(&bytes, &refused);
            bytes.bytes[at] = (char)(bytes.bytes[at] ^ masks[i]);
        }
    }
    ck_assert_uint_gt(refused, bytes.size);
    ca_text_deinit(&bytes);
    ca_snapshot_destroy(snapshot);
}
END_TEST

START_TEST(cut_after_every_byte)
{
    struct ca_snapshot *snapshot = traces_snapshot(traces, COUNT(traces));
    struct ca_text bytes = encode(snapshot);
    size_t refused = 0, size = bytes.size;
    for (bytes.size = 0; bytes.size < size; bytes.size++) {
        try_bytes(&bytes, &refused);
    }
    ck_assert_uint_gt(refused, size / 2);
    ca_text_deinit(&bytes);
    ca_snapshot_destroy(snapshot);
}
END_TEST

/* ------------------------------------------------------------------------------------ order and sums */

static uint64_t random_state = 88172645463325252;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) % limit);
}

/* 3000 traces of 40 tracebacks, some of them equal in all that orders them; `domains` = how many. */
static struct ca_snapshot *random_snapshot(uint32_t domains)
{
    struct ca_snapshot *snapshot = traces_snapshot(NULL, 0);
    uint32_t ids[40];
    for (size_t i = 0; i < COUNT(ids); i++) {
        char frames[64];
        snprintf(frames, sizeof frames, "%c.c:%u < b.c:%u @%c", 'a' + (int)random_below(2), random_below(3),
                 random_below(3), 'f' + (int)random_below(3));
        ids[i] = traces_add_traceback(snapshot, frames, random_below(2) ? 2 : CA_TOTAL_UNKNOWN);
    }
    for (size_t i = 0; i < 3000; i++) {
        struct ca_trace trace = {.domain = random_below(domains) * 1000003,
                                 .size = random_below(5),
                                 .traceback = ids[random_below(COUNT(ids))],
                                 .thread = random_below(3),
                                 .address = 16 * i};
        ck_assert(ca_snapshot_add_trace(snapshot, &trace));
    }
    return snapshot;
}

static int order_of(struct ca_snapshot *snapshot, const struct ca_trace *left, const struct ca_trace *right)
{
    struct ca_error *error = NULL;
    size_t left_count, right_count;
    const uint32_t *left_frames =
        ca_snapshot_traceback(snapshot, left->traceback, SIZE_MAX, &left_count, &error);
    const uint32_t *right_frames =
        ca_snapshot_traceback(snapshot, right->traceback, SIZE_MAX, &right_count, &error);
    int frames = ca_frames_compare(snapshot, left_frames, left_count, right_frames, right_count);
    uint32_t left_total = ca_snapshot_total_nframe(snapshot, left->traceback);
    uint32_t right_total = ca_snapshot_total_nframe(snapshot, right->traceback);
    if (left->domain != right->domain) {
        return left->domain < right->domain ? -1 : 1;
    }
    if (frames != 0 || left_total != right_total) {
        return frames != 0 ? frames : left_total < right_total ? -1 : 1;
    }
    if (left->size != right->size) {
        return left->size < right->size ? -1 : 1;
    }
    if (left->thread != right->thread) {
        return left->thread < right->thread ? -1 : 1;
    }
    return (left->address > right->address) - (left->address < right->address);
}

START_TEST(traces_are_ordered)
{
    static const uint32_t domains[] = {1, 2, 3, 3000};
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = random_snapshot(domains[_i]);
    ck_assert(ca_snapshot_sort_traces(snapshot, &error));
    ck_assert_uint_eq(snapshot->trace_count, 3000);
    bool seen[3000] = {false};
    for (size_t i = 0; i < snapshot->trace_count; i++) {
        size_t number = snapshot->traces[i].address / 16;
        ck_assert(!seen[number]);
        seen[number] = true;
        ck_assert(i == 0 || order_of(snapshot, &snapshot->traces[i - 1], &snapshot->traces[i]) < 0);
    }
    ca_snapshot_destroy(snapshot);
}
END_TEST

static bool is_odd(const void *context, const struct ca_trace *trace)
{
    (void)context;
    return trace->size % 2 == 1;
}

/* _i: threads apart; in memory or from a file. */
START_TEST(chosen_traces_are_added_up)
{
    struct ca_error *error = NULL;
    bool by_thread = _i & 1;
    struct ca_snapshot *snapshot = random_snapshot(3);
    if (_i & 2) {
        ck_assert(ca_snapshot_sort_traces(snapshot, &error));
        struct ca_text bytes = encode(snapshot);
        ca_snapshot_destroy(snapshot);
        snapshot = load(&bytes, &error);
        ck_assert_ptr_nonnull(snapshot);
        ca_text_deinit(&bytes);
    }
    struct ca_weight *weights;
    size_t count, trace_count;
    ck_assert(ca_snapshot_weights_where(snapshot, by_thread, is_odd, NULL, NULL, &weights, &count, &error));
    const struct ca_trace *items = ca_snapshot_traces(snapshot, &trace_count, &error);
    ck_assert_uint_eq(trace_count, 3000);
    uint64_t odd = 0, weighed = 0;
    for (size_t i = 0; i < trace_count; i++) {
        odd += is_odd(NULL, &items[i]);
    }
    for (size_t w = 0; w < count; w++) {
        weighed += weights[w].count;
        for (size_t i = 0; i < trace_count; i++) {
            bool mine = items[i].traceback == weights[w].traceback && items[i].domain == weights[w].domain &&
                        (by_thread ? items[i].thread : 0) == weights[w].thread && is_odd(NULL, &items[i]);
            weights[w].count -= mine;
            weights[w].size -= mine ? items[i].size : 0;
        }
        ck_assert_uint_eq(weights[w].count, 0);
        ck_assert(weights[w].size == 0);
        for (size_t other = 0; other < w; other++) {
            ck_assert(weights[w].traceback != weights[other].traceback ||
                      weights[w].domain != weights[other].domain ||
                      weights[w].thread != weights[other].thread);
        }
    }
    ck_assert_uint_gt(count, 100);
    ck_assert_uint_eq(weighed, odd);
    free(weights);
    ca_snapshot_destroy(snapshot);
}
END_TEST

/* ------------------------------------------------------------------------------------ sums */

static struct ca_merge *merge_create(bool labels)
{
    const struct ca_merge_shape shape = {
        .tracebacks = true, .positions = true, .threads = true, .labels = labels};
    struct ca_error *error = NULL;
    struct ca_merge *merge = ca_merge_create(&shape, NULL, 0, true, &error);
    ck_assert_ptr_nonnull(merge);
    return merge;
}

static struct ca_snapshot *merge_end(struct ca_merge *merge)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *sum = ca_merge_finish(merge, &error);
    ck_assert_ptr_nonnull(sum);
    ca_merge_destroy(merge);
    return sum;
}

static void merge_add(struct ca_merge *merge, const char *name, const struct test_trace *some, size_t count)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = traces_snapshot(some, count);
    ck_assert(ca_merge_add_blocks(merge, name, snapshot, NULL, &error));
    ca_merge_add_coverage(merge, ca_snapshot_coverage(snapshot), ca_snapshot_limit(snapshot));
    ca_snapshot_destroy(snapshot);
}

/* The traces of two snapshots, some of them in both, are those of one that has them all; _i: labelled. */
START_TEST(a_sum_has_the_traces_of_all)
{
    struct ca_error *error = NULL;
    struct ca_merge *merge = merge_create(_i);
    merge_add(merge, "second", traces + 3, COUNT(traces) - 3);
    merge_add(merge, "first", traces, 6);
    struct ca_snapshot *sum = merge_end(merge), *all = traces_snapshot(traces, COUNT(traces));
    for (size_t i = 3; i < 6; i++) { /* those that both have */
        struct ca_trace again = all->traces[i];
        ck_assert(ca_snapshot_add_trace(all, &again));
    }
    ck_assert(ca_snapshot_sort_traces(all, &error));
    struct ca_text expected = describe(all), found = describe(sum);
    ck_assert_str_eq(found.bytes, expected.bytes);
    ck_assert_uint_eq(ca_snapshot_coverage(sum)->blocks, COUNT(traces) + 3);
    ck_assert_uint_eq(ca_snapshot_coverage(sum)->sources, 2);

    struct ca_text bytes = encode(sum);
    struct ca_snapshot *loaded = load(&bytes, &error);
    ck_assert_ptr_nonnull(loaded);
    struct ca_text again = encode(loaded), after = describe(loaded);
    ck_assert_str_eq(after.bytes, expected.bytes);
    ck_assert_uint_eq(again.size, bytes.size);
    ck_assert_mem_eq(again.bytes, bytes.bytes, bytes.size);
    struct ca_text *texts[] = {&expected, &found, &bytes, &again, &after};
    for (size_t i = 0; i < COUNT(texts); i++) {
        ca_text_deinit(texts[i]);
    }
    ca_snapshot_destroy(all);
    ca_snapshot_destroy(sum);
    ca_snapshot_destroy(loaded);
}
END_TEST

/* Groups of the sources' names, in the sum and in a file of it. */
START_TEST(a_sum_knows_its_sources)
{
    struct ca_error *error = NULL;
    struct ca_merge *merge = merge_create(true);
    merge_add(merge, "b", traces, 3);
    merge_add(merge, "a", traces + 3, 4);
    merge_add(merge, "b", traces, 1);
    struct ca_snapshot *sum = merge_end(merge);
    traces_check(sum, NULL, CA_KEY_SOURCE, CA_CUMULATIVE_OFF, "b:0 40/4\na:0 19/4\n");
    struct ca_text bytes = encode(sum);
    struct ca_snapshot *loaded = load(&bytes, &error);
    ck_assert_ptr_nonnull(loaded);
    traces_check(loaded, NULL, CA_KEY_SOURCE, CA_CUMULATIVE_OFF, "b:0 40/4\na:0 19/4\n");
    ca_text_deinit(&bytes);
    ca_snapshot_destroy(sum);
    ca_snapshot_destroy(loaded);
}
END_TEST

/* What files claim may be more than 64 bits hold: nothing wraps around. */
START_TEST(sums_do_not_overflow)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = traces_snapshot(traces, 1);
    struct ca_merge *merge = merge_create(false);
    struct ca_weight weight = {
        .size = UINT64_MAX, .count = UINT64_MAX, .traceback = snapshot->traces[0].traceback};
    for (int i = 0; i < 3; i++) {
        ck_assert(ca_merge_add_weights(merge, "x", snapshot, CA_VALUE_LIVE, &weight, 1, &error));
    }
    const struct ca_coverage coverage = {.blocks = UINT64_MAX, .dropped = 1};
    ca_merge_add_coverage(merge, &coverage, 1);
    ca_merge_add_coverage(merge, &coverage, 1);
    weight.size++;
    ck_assert(!ca_merge_add_weights(merge, "x", snapshot, CA_VALUE_LIVE, &weight, 1, &error));
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "x holds blocks of more than 2^64 bytes"));
    ca_error_destroy(error);
    struct ca_snapshot *sum = merge_end(merge);
    ck_assert_uint_eq(ca_snapshot_coverage(sum)->blocks, UINT64_MAX);
    ck_assert_uint_eq(ca_snapshot_coverage(sum)->dropped, 2);
    struct ca_weight *weights;
    size_t count;
    unsigned __int128 size = 0, blocks = 0;
    ck_assert(ca_snapshot_weights(sum, CA_VALUE_LIVE, false, &weights, &count, &error));
    for (size_t i = 0; i < count; i++) {
        size += weights[i].size;
        blocks += weights[i].count;
    }
    ck_assert(size == (unsigned __int128)UINT64_MAX * 3 && blocks == size);
    free(weights);
    ca_snapshot_destroy(sum);
    ca_snapshot_destroy(snapshot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, a_snapshot_comes_back);
    tcase_add_test(cases, an_empty_snapshot_comes_back);
    tcase_add_test(cases, every_byte_damaged);
    tcase_add_test(cases, cut_after_every_byte);
    tcase_add_loop_test(cases, traces_are_ordered, 0, 4);
    tcase_add_loop_test(cases, chosen_traces_are_added_up, 0, 4);
    tcase_add_loop_test(cases, a_sum_has_the_traces_of_all, 0, 2);
    tcase_add_test(cases, a_sum_knows_its_sources);
    tcase_add_test(cases, sums_do_not_overflow);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
