/* test_target.c: targets and the snapshots that are read from tables, on made-up address spaces; and what
 * reading through callbacks costs and does when it is interrupted. */
#include <check.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coreanalyze/target.h"
#include "image.h"

static struct image *image;
static struct ca_target *target;

static void set_up(void)
{
    image = image_example(&(struct image_shape){0});
}

static void tear_down(void)
{
    ca_target_destroy(target);
    target = NULL;
    image_destroy(image);
}

static void set_up_shape(const struct image_shape *shape)
{
    image_destroy(image);
    image = image_example(shape);
}

static struct ca_snapshot *snapshot_of(const char *const *skip, size_t count, bool no_skip)
{
    struct ca_error *error = NULL;
    struct ca_snapshot *snapshot = ca_target_snapshot(target, skip, count, no_skip, &error);
    ck_assert_msg(snapshot != NULL, "%s", error ? ca_error_message(error) : "");
    return snapshot;
}

static struct ca_snapshot *read_snapshot(void)
{
    ca_target_destroy(target);
    target = image_target(image);
    return snapshot_of(NULL, 0, false);
}

/* The frames of a traceback are those whose file names end so, most recent first; ends with NULL. */
static void assert_traceback(struct ca_snapshot *snapshot, uint32_t traceback, uint32_t total,
                             const char *const *ends)
{
    size_t count = 0, i = 0;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, traceback, SIZE_MAX, &count, NULL);
    ck_assert_ptr_nonnull(frames);
    for (; ends[i]; i++) {
        ck_assert_uint_lt(i, count);
        const char *name = ca_snapshot_string(snapshot, ca_snapshot_frame(snapshot, frames[i])->filename);
        size_t length = strlen(name), wanted = strlen(ends[i]);
        ck_assert_msg(length >= wanted && strcmp(name + length - wanted, ends[i]) == 0, "%s instead of %s",
                      name, ends[i]);
    }
    ck_assert_uint_eq(count, i);
    ck_assert_uint_eq(ca_snapshot_total_nframe(snapshot, traceback), total);
}
#define TRACEBACK(snapshot, traceback, total, ...)                                                           \
    assert_traceback(snapshot, traceback, total, (const char *const[]){__VA_ARGS__, NULL})

/* -------------------------------------------------------------------------------------- tracebacks */

START_TEST(tracebacks)
{
    struct ca_snapshot *snapshot = read_snapshot();
    ck_assert_uint_eq(ca_snapshot_limit(snapshot), 25);
    TRACEBACK(snapshot, 1, 1, "<unknown>");
    TRACEBACK(snapshot, 2, 3, "server(+0x100)", "server(+0x200)", "server(+0x300)");
    TRACEBACK(snapshot, 3, 3, "server(+0x400)", "server(+0x200)", "server(+0x300)");
    TRACEBACK(snapshot, 5, 1, "server(+0x300)");
    /* Cut: inlined frames of the rest are not known, so the depth is not either. One frame lies in no module.
     */
    TRACEBACK(snapshot, 4, CA_TOTAL_UNKNOWN, "server(+0x500)", "<unknown>", "server(+0x300)");
}
END_TEST

/* A depth that the walk was not sure of is none. */
START_TEST(total_nframe)
{
    const uint16_t flags[] = {TM_STACK_BROKEN, TM_STACK_NO_DEPTH, TM_STACK_GUESSED, TM_STACK_TRUNCATED, 0};
    image_add_stack(image, 8, 0, 0, (const uint32_t[]){1, 2}, 2, _i == 4 ? 7 : 2, flags[_i]);
    TRACEBACK(read_snapshot(), 8, CA_TOTAL_UNKNOWN, "server(+0x100)", "server(+0x200)");
}
END_TEST

START_TEST(damaged_stacks_are_unknown)
{
    ((struct tm_stack *)image_element(image, TM_REGION_STACKS, 2))->check++;
    struct ca_snapshot *snapshot = read_snapshot();
    TRACEBACK(snapshot, 2, CA_TOTAL_UNKNOWN, "<unknown>");
}
END_TEST

START_TEST(interrupted_frames_are_looked_up_as_they_are)
{
    image_add_frame(image, 1,
                    (EXAMPLE_MODULE + 0x100) | (uint64_t)TM_FRAME_INTERRUPTED << TM_FRAME_KIND_SHIFT, 1);
    image_add_frame(image, 2, UINT64_C(99) << TM_FRAME_KIND_SHIFT | 5,
                    1); /* a kind that this reader does not know */
    TRACEBACK(read_snapshot(), 2, 3, "server(+0x100)", "<unknown>", "server(+0x300)");
}
END_TEST

START_TEST(only_what_is_wanted_is_resolved)
{
    struct ca_snapshot *snapshot = read_snapshot();
    size_t count;
    ck_assert_ptr_nonnull(ca_snapshot_traceback(snapshot, 2, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_nonnull(ca_snapshot_traceback(snapshot, 2, 2, &count, NULL));
    ck_assert_uint_eq(count, 2);
    TRACEBACK(snapshot, 2, 3, "server(+0x100)", "server(+0x200)", "server(+0x300)");
}
END_TEST

/* ------------------------------------------------------------------------------------------------------
 * skipping
 *
 * Frames in functions of this program, found by its symbols. */

__attribute__((noinline, used)) static int xmalloc(int n)
{
    return n * 3 + (int)getpid();
}

__attribute__((noinline, used)) static int my_own_allocator(int n)
{
    return n * 5 + (int)getpid();
}

__attribute__((noinline, used)) static int business_code(int n)
{
    return n * 7 + (int)getpid();
}

struct own_range {
    uint64_t bias, start, end;
};

static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
    struct own_range *range = context;
    (void)size;
    *range = (struct own_range){info->dlpi_addr, UINT64_MAX, 0};
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + header->p_vaddr, end = start + header->p_memsz;
        if (header->p_type == PT_LOAD) {
            range->start = start < range->start ? start : range->start;
            range->end = end > range->end ? end : range->end;
        }
    }
    return 1;
}

/* Frames 1, 2, 3 are in xmalloc, my_own_allocator, business_code. */
static void add_own_frames(void)
{
    static char program[4096];
    struct own_range range;
    dl_iterate_phdr(find_program, &range);
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    ck_assert_int_gt(length, 0);
    uintptr_t functions[] = {(uintptr_t)xmalloc, (uintptr_t)my_own_allocator, (uintptr_t)business_code};
    image_add_module(image, 2, program, range.start, range.end, range.bias);
    for (uint32_t i = 0; i < 3; i++) {
        image_add_frame(image, 1 + i, functions[i] + 4, 2);
    }
}

static void assert_functions(struct ca_snapshot *snapshot, uint32_t total, const char *const *names)
{
    size_t count = 0, i = 0;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, 2, SIZE_MAX, &count, NULL);
    ck_assert_ptr_nonnull(frames);
    for (; names[i]; i++) {
        ck_assert_uint_lt(i, count);
        ck_assert_str_eq(ca_snapshot_string(snapshot, ca_snapshot_frame(snapshot, frames[i])->function),
                         names[i]);
    }
    ck_assert_uint_eq(count, i);
    ck_assert_uint_eq(ca_snapshot_total_nframe(snapshot, 2), total);
}
#define FUNCTIONS(snapshot, total, ...)                                                                      \
    assert_functions(snapshot, total, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(allocator_frames_are_skipped)
{
    add_own_frames();
    FUNCTIONS(read_snapshot(), 2, "my_own_allocator", "business_code");
    const char *const globs[] = {"nothing", "my_own_*"};
    FUNCTIONS(snapshot_of(globs, 2, false), 1, "business_code");
    FUNCTIONS(snapshot_of(globs, 2, true), 3, "xmalloc", "my_own_allocator", "business_code");
    /* the same options give the same snapshot */
    ck_assert_ptr_eq(snapshot_of(globs, 2, false), snapshot_of(globs, 2, false));
    ck_assert_ptr_ne(snapshot_of(globs, 2, false), snapshot_of(globs, 1, false));
    ck_assert_ptr_ne(snapshot_of(NULL, 0, false), snapshot_of(NULL, 0, true));
    /* one frame remains, the oldest */
    const char *const all[] = {"*"};
    FUNCTIONS(snapshot_of(all, 1, false), 1, "business_code");
    /* those that are skipped do not count as wanted */
    size_t count;
    struct ca_snapshot *fresh = read_snapshot();
    const uint32_t *frames = ca_snapshot_traceback(fresh, 2, 1, &count, NULL);
    ck_assert_uint_ge(count, 1);
    ck_assert_str_eq(ca_snapshot_string(fresh, ca_snapshot_frame(fresh, frames[0])->function),
                     "my_own_allocator");
}
END_TEST

/* The first byte of a function is its own when a signal interrupted it there, but the end of the call before
 * it when it is a return address. */
START_TEST(interrupted_at_the_first_byte)
{
    add_own_frames();
    uint64_t address = (uintptr_t)business_code;
    image_add_frame(image, 1, address | (uint64_t)TM_FRAME_INTERRUPTED << TM_FRAME_KIND_SHIFT, 2);
    image_add_frame(image, 2, address + 1, 2);
    image_add_stack(image, 2, 0, 0, (const uint32_t[]){1, 2}, 2, 2, 0);
    FUNCTIONS(read_snapshot(), 2, "business_code", "business_code");
}
END_TEST

START_TEST(other_places_for_symbols)
{
    add_own_frames();
    FUNCTIONS(read_snapshot(), 2, "my_own_allocator", "business_code");
    struct ca_symbol_options options = {.sysroot = "/nowhere"};
    ck_assert(ca_target_set_symbols(target, &options, NULL));
    FUNCTIONS(snapshot_of(NULL, 0, false), 3, "", "", ""); /* nothing has a name now, so nothing is skipped */
}
END_TEST

START_TEST(only_the_recent_end_is_skipped)
{
    add_own_frames();
    image_add_stack(image, 2, 0, 0, (const uint32_t[]){3, 1, 2}, 3, 3, 0);
    FUNCTIONS(read_snapshot(), 3, "business_code", "xmalloc", "my_own_allocator");
}
END_TEST

/* --------------------------------------------------------------------------------- traces, weights */

/* The total of the weights of one domain, or of all. */
static unsigned __int128 weighed(struct ca_snapshot *snapshot, enum ca_value value, uint32_t domain,
                                 uint64_t *ret_count)
{
    struct ca_weight *weights;
    size_t count;
    unsigned __int128 size = 0;
    ck_assert(ca_snapshot_weights(snapshot, value, false, &weights, &count, NULL));
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (domain == UINT32_MAX || weights[i].domain == domain) {
            size += weights[i].size;
            *ret_count += weights[i].count;
        }
    }
    free(weights);
    return size;
}

START_TEST(traces_in_canonical_order)
{
    struct ca_snapshot *snapshot = read_snapshot();
    size_t count;
    const struct ca_trace *traces = ca_snapshot_traces(snapshot, &count, NULL);
    ck_assert_uint_eq(count, EXAMPLE_BLOCKS);
    /* domain 0 by traceback, oldest frame first: 5 is (300), 2 (300 200 100), 3 (300 200 400), 4 (300
     * <unknown> 500) */
    const struct {
        uint32_t domain, traceback;
        uint64_t size;
    } expected[] = {{0, 5, 1}, {0, 2, 20},   {0, 2, 100},   {0, 3, 0},
                    {0, 3, 7}, {0, 4, 5000}, {1, 6, 65536}, {7, 7, 9}};
    bool unknown_first = strcmp("<unknown>", "/no/such") < 0;
    ck_assert(!unknown_first); /* the order above rests on it */
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(traces[i].domain, expected[i].domain);
        ck_assert_uint_eq(traces[i].traceback, expected[i].traceback);
        ck_assert_uint_eq(traces[i].size, expected[i].size);
    }
}
END_TEST

START_TEST(live_weights)
{
    for (int with_stats = 0; with_stats < 2; with_stats++) {
        set_up_shape(&(struct image_shape){.features = with_stats ? TM_FEATURE_STATS : 0});
        struct ca_snapshot *snapshot = read_snapshot();
        uint64_t count;
        ck_assert(weighed(snapshot, CA_VALUE_LIVE, UINT32_MAX, &count) == EXAMPLE_SIZE);
        ck_assert_uint_eq(count, EXAMPLE_BLOCKS);
        ck_assert(weighed(snapshot, CA_VALUE_LIVE, 1, &count) == 65536);
        ck_assert_uint_eq(count, 1);
        ck_assert(weighed(snapshot, CA_VALUE_LIVE, 7, &count) == 9);
    }
}
END_TEST

START_TEST(total_and_peak_weights)
{
    struct ca_weight *weights;
    size_t weight_count;
    struct ca_error *error = NULL;
    ck_assert(!ca_snapshot_weights(read_snapshot(), CA_VALUE_TOTAL, false, &weights, &weight_count, &error));
    ck_assert_int_eq(ca_error_status(error), CA_USAGE);
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "stats=1"));
    ca_error_destroy(error);
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_STATS});
    struct ca_snapshot *snapshot = read_snapshot();
    uint64_t count;
    ck_assert(weighed(snapshot, CA_VALUE_TOTAL, UINT32_MAX, &count) == 2 * EXAMPLE_SIZE);
    ck_assert_uint_eq(count, 2 * EXAMPLE_BLOCKS);
    ck_assert(weighed(snapshot, CA_VALUE_PEAK, UINT32_MAX, &count) == 2 * EXAMPLE_SIZE);
}
END_TEST

START_TEST(weights_by_thread)
{
    struct ca_weight *weights;
    size_t count;
    struct ca_error *error = NULL;
    ck_assert(!ca_snapshot_weights(read_snapshot(), CA_VALUE_LIVE, true, &weights, &count, &error));
    ck_assert_int_eq(ca_error_status(error), CA_USAGE);
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "detail=1"));
    ca_error_destroy(error);
    set_up_shape(&(struct image_shape){.features = TM_FEATURE_DETAIL});
    const uint64_t addresses[] = {0x1000, 0x1030, 0x1060};
    for (uint32_t i = 0; i < 3; i++) {
        ((struct tm_live_detail *)image_element(image, TM_REGION_LIVE, addresses[i] >> 5))->thread =
            70 + i / 2;
    }
    ck_assert(ca_snapshot_weights(read_snapshot(), CA_VALUE_LIVE, true, &weights, &count, NULL));
    uint64_t blocks = 0, size_of_70 = 0, count_of_71 = 0;
    for (size_t i = 0; i < count; i++) {
        blocks += weights[i].count;
        size_of_70 += weights[i].thread == 70 ? (uint64_t)weights[i].size : 0;
        count_of_71 += weights[i].thread == 71 ? weights[i].count : 0;
    }
    free(weights);
    ck_assert_uint_eq(blocks, EXAMPLE_BLOCKS);
    ck_assert_uint_eq(size_of_70, 120);
    ck_assert_uint_eq(count_of_71, 1);
}
END_TEST

START_TEST(coverage_follows_the_table)
{
    struct ca_snapshot *snapshot = read_snapshot();
    ck_assert_uint_eq(ca_snapshot_coverage(snapshot)->blocks, EXAMPLE_BLOCKS);
    ck_assert_ptr_eq(ca_snapshot_coverage(snapshot), &ca_target_table(target, NULL)->coverage);
}
END_TEST

/* A core of the same memory gives the same. */
START_TEST(core_and_callbacks_agree)
{
    struct ca_snapshot *live = read_snapshot();
    uint8_t *bytes;
    size_t size = image_core(image, &bytes), live_count, core_count;
    const char *path = image_file(bytes, size);
    struct ca_target *core = ca_target_open_core(path, NULL, NULL);
    unlink(path);
    ck_assert_ptr_nonnull(core);
    ck_assert(ca_target_is_core(core));
    ck_assert(!ca_target_is_core(target));
    struct ca_snapshot *dead = ca_target_snapshot(core, NULL, 0, false, NULL);
    const struct ca_trace *live_traces = ca_snapshot_traces(live, &live_count, NULL);
    const struct ca_trace *core_traces = ca_snapshot_traces(dead, &core_count, NULL);
    ck_assert_uint_eq(live_count, core_count);
    for (size_t i = 0; i < live_count; i++) {
        ck_assert_uint_eq(live_traces[i].address, core_traces[i].address);
        ck_assert_uint_eq(live_traces[i].size, core_traces[i].size);
        ck_assert_uint_eq(live_traces[i].traceback, core_traces[i].traceback);
    }
    ck_assert_int_eq(ca_target_table(core, NULL)->route, ca_target_table(target, NULL)->route);
    ca_target_destroy(core);
    free(bytes);
}
END_TEST

/* ----------------------------------------------------------------------------------------- keeping */

START_TEST(kept_until_invalidated)
{
    struct ca_snapshot *snapshot = read_snapshot();
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, NULL);
    size_t reads = image->calls.reads;
    ck_assert_ptr_eq(ca_target_snapshot(target, NULL, 0, false, NULL), snapshot);
    ck_assert_uint_eq(image->calls.reads, reads);
    image_set_live(image, 0x5000, 11, 2);
    image_count(image, 1, 11, 0, 0);
    ck_assert_uint_eq(ca_target_table(target, NULL)->current, EXAMPLE_SIZE);
    ca_target_invalidate(target);
    ck_assert_uint_eq(ca_target_table(target, NULL)->current, EXAMPLE_SIZE + 11);
    ck_assert_uint_eq(image->calls.mappings_described, 0); /* nothing needed them */
    size_t threads;
    ca_source_threads(ca_target_source(target), &threads);
    ck_assert_uint_eq(image->calls.mappings_described, 0);
    for (int i = 0; i < 2; i++) {
        size_t mappings;
        ca_source_mappings(ca_target_source(target), &mappings);
        ck_assert_uint_gt(mappings, 0);
        ck_assert_uint_eq(image->calls.mappings_described, 1);
    }
    ck_assert_ptr_eq(ca_target_symbolizer(target, NULL), symbolizer); /* no module came or went */
    ca_target_invalidate(target);
    image_add_module(image, 2, "/another", 0x900000, 0x910000, 0x900000);
    ca_target_symbolizer(target, NULL);
    TRACEBACK(snapshot_of(NULL, 0, false), 5, 1, "server(+0x300)");
}
END_TEST

START_TEST(symbol_options)
{
    struct ca_snapshot *snapshot = read_snapshot();
    const char *const map[] = {"/a=/b"};
    struct ca_symbol_options options = {.sysroot = "/nowhere", .source_map = map, .source_map_count = 1};
    ck_assert_ptr_null(ca_target_symbols(target)->sysroot);
    ck_assert(ca_target_set_symbols(target, NULL, NULL)); /* as it was: nothing is dropped */
    ck_assert_ptr_eq(ca_target_snapshot(target, NULL, 0, false, NULL), snapshot);
    ck_assert(ca_target_set_symbols(target, &options, NULL));
    ck_assert_str_eq(ca_target_symbols(target)->sysroot, "/nowhere");
    ck_assert_str_eq(ca_target_symbols(target)->source_map[0], "/a=/b");
    TRACEBACK(snapshot_of(NULL, 0, false), 5, 1, "server(+0x300)");
}
END_TEST

START_TEST(errors_are_kept)
{
    image->root->major = 99;
    target = image_target(image);
    struct ca_error *first = NULL, *second = NULL;
    ck_assert_ptr_null(ca_target_table(target, &first));
    size_t reads = image->calls.reads;
    ck_assert_ptr_null(ca_target_snapshot(target, NULL, 0, false, &second));
    ck_assert_uint_eq(image->calls.reads, reads);
    ck_assert_str_eq(ca_error_message(first), ca_error_message(second));
    ca_error_destroy(first);
    ca_error_destroy(second);
    image->root->major = TM_LAYOUT_MAJOR;
    ck_assert_ptr_null(ca_target_table(target, NULL));
    ca_target_invalidate(target);
    ck_assert_ptr_nonnull(ca_target_table(target, NULL));
}
END_TEST

/* Whichever read is interrupted, the command ends with that, and the next one works. */
START_TEST(interrupts_are_not_kept)
{
    for (size_t at = 1;; at++) {
        target = image_target(image);
        image->calls.reads = 0;
        image->calls.interrupt_at = at;
        struct ca_error *error = NULL;
        struct ca_snapshot *snapshot = ca_target_snapshot(target, NULL, 0, false, &error);
        size_t count;
        bool done = snapshot && ca_snapshot_traces(snapshot, &count, &error);
        if (!done) {
            ck_assert_str_eq(ca_error_message(error), "interrupted");
            ca_error_destroy(error);
            image->calls.interrupt_at = 0;
            snapshot = snapshot_of(NULL, 0, false);
            ck_assert_ptr_nonnull(ca_snapshot_traces(snapshot, &count, NULL));
        }
        ck_assert_uint_eq(count, EXAMPLE_BLOCKS);
        ca_target_destroy(target);
        target = NULL;
        if (done) {
            ck_assert_uint_gt(at, 5);
            return;
        }
    }
}
END_TEST

/* --------------------------------------------------------------------------------------- callbacks */

START_TEST(calls_are_few_and_small)
{
    read_snapshot();
    ck_assert_uint_le(image->calls.reads, 40); /* hundreds of words were read */
    struct ca_source *source = ca_target_source(target);
    image_add(image, 0x10000000, 5 << 20, 3, NULL, 0);
    ca_target_invalidate(target);
    image->calls.reads = 0;
    void *owned;
    ck_assert_ptr_nonnull(ca_source_map(source, 0x10000000 + 100, (5 << 20) - 100, &owned, NULL));
    free(owned);
    ck_assert_uint_le(image->calls.largest, 1 << 20);
    ck_assert_uint_le(image->calls.reads, 12);
    image->calls.reads = 0;
    for (uint64_t at = 0; at < 60000; at += 8) {
        uint64_t word;
        ck_assert(ca_source_read(source, 0x10000000 + at, &word, sizeof(word), NULL));
    }
    ck_assert_uint_le(image->calls.reads, 1);
}
END_TEST

START_TEST(small_reads_give_what_is_there)
{
    uint8_t *bytes = image_add(image, 0x10000000, 0x3000, 3, NULL, 0);
    for (size_t i = 0; i < 0x3000; i++) {
        bytes[i] = (uint8_t)(i * 11);
    }
    target = image_target(image);
    uint8_t buffer[0x3000];
    for (size_t at = 0; at < 0x3000; at += 501) {
        size_t got;
        ck_assert(ca_source_read_some(ca_target_source(target), 0x10000000 + at, buffer, sizeof(buffer), &got,
                                      NULL));
        ck_assert_uint_eq(got, 0x3000 - at);
        ck_assert_mem_eq(buffer, bytes + at, got);
    }
    size_t got;
    ck_assert(ca_source_read_some(ca_target_source(target), 0x10000000 - 8, buffer, 64, &got, NULL));
    ck_assert_uint_eq(got, 0);
}
END_TEST

/* More pages than are kept. */
START_TEST(the_cache_is_bounded_and_right)
{
    uint8_t *bytes = image_add(image, 0x10000000, 64 << 20, 3, NULL, 0);
    for (size_t i = 0; i < 64 << 20; i += 4096) {
        memcpy(bytes + i, &i, sizeof(i));
    }
    target = image_target(image);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 64 << 20; i += 4096 * 3) {
            size_t word;
            ck_assert(ca_source_read(ca_target_source(target), 0x10000000 + i, &word, sizeof(word), NULL));
            ck_assert_uint_eq(word, i);
        }
    }
}
END_TEST

START_TEST(callbacks_that_are_not_there)
{
    struct ca_callbacks callbacks = {.context = image, .read_memory = image_callbacks(image).read_memory};
    target = ca_target_create(&callbacks, NULL, NULL);
    struct ca_table *table = ca_target_table(target, NULL);
    ck_assert_ptr_nonnull(table);
    ck_assert_uint_eq(table->current, EXAMPLE_SIZE);
    ck_assert_uint_eq(table->coverage.missing_bytes, 0);
    ck_assert_str_eq(ca_source_process(ca_target_source(target))->program, "");
    ck_assert_str_eq(ca_source_name(ca_target_source(target)), "the process");
}
END_TEST

START_TEST(errors_by_hand)
{
    struct ca_error *error = ca_error_create(CA_PARTIAL, "%s %d", "number", 5);
    ck_assert_str_eq(ca_error_message(error), "number 5");
    ck_assert_int_eq(ca_error_status(error), CA_PARTIAL);
    ca_error_destroy(error);
    ca_error_destroy(NULL);
    ck_assert(!ca_fail(NULL, CA_USAGE, "nobody listens"));
    ck_assert(!ca_fail_memory(&error));
    ck_assert_str_eq(ca_error_message(error), "out of memory");
    ca_error_destroy(error);
    ca_error_destroy(error); /* it is nobody's */
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("target");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, tracebacks);
    tcase_add_loop_test(cases, total_nframe, 0, 5);
    tcase_add_test(cases, damaged_stacks_are_unknown);
    tcase_add_test(cases, interrupted_frames_are_looked_up_as_they_are);
    tcase_add_test(cases, only_what_is_wanted_is_resolved);
    tcase_add_test(cases, allocator_frames_are_skipped);
    tcase_add_test(cases, interrupted_at_the_first_byte);
    tcase_add_test(cases, other_places_for_symbols);
    tcase_add_test(cases, only_the_recent_end_is_skipped);
    tcase_add_test(cases, traces_in_canonical_order);
    tcase_add_test(cases, live_weights);
    tcase_add_test(cases, total_and_peak_weights);
    tcase_add_test(cases, weights_by_thread);
    tcase_add_test(cases, coverage_follows_the_table);
    tcase_add_test(cases, core_and_callbacks_agree);
    tcase_add_test(cases, kept_until_invalidated);
    tcase_add_test(cases, symbol_options);
    tcase_add_test(cases, errors_are_kept);
    tcase_add_test(cases, interrupts_are_not_kept);
    tcase_add_test(cases, calls_are_few_and_small);
    tcase_add_test(cases, small_reads_give_what_is_there);
    tcase_add_test(cases, the_cache_is_bounded_and_right);
    tcase_add_test(cases, callbacks_that_are_not_there);
    tcase_add_test(cases, errors_by_hand);
    Suite *suite = suite_create("target");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
