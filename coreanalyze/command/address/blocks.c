/* blocks.c: the command blocks: live blocks one by one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../output/coverage.h"
#include "../../output/csv.h"
#include "../../util/grow.h"
#include "../problems.h"
#include "../selection.h"

struct entry {
    struct ca_trace trace;
    uint64_t number; /* in the order of the source */
};

struct blocks {
    struct ca_run *run;
    struct ca_table *table;
    struct ca_snapshot *snapshot;
    struct ca_selection *selection;
    struct entry *entries; /* the first ones, as far as they are known */
    size_t count, capacity;
    uint64_t limit; /* that are shown; UINT64_MAX = all */
    uint64_t total_count, shown_size;
    unsigned __int128 total_size;
    struct ca_error *error; /* of `take` */
};

/* ---------------------------------------------------------------------------------------------- choosing */

/* The lowest address first; the source's order where addresses are not known. */
static int compare_numbers(const struct entry *left, const struct entry *right)
{
    if (left->trace.address != right->trace.address) {
        return left->trace.address < right->trace.address ? -1 : 1;
    }
    return (left->number > right->number) - (left->number < right->number);
}

static int compare_sizes(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->trace.size != right->trace.size) {
        return left->trace.size > right->trace.size ? -1 : 1;
    }
    return compare_numbers(left, right);
}

static int compare_addresses(const void *a, const void *b)
{
    return compare_numbers(a, b);
}

static int compare_ages(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->trace.time != right->trace.time) {
        return left->trace.time < right->trace.time ? -1 : 1;
    }
    if (left->trace.order != right->trace.order) {
        return left->trace.order < right->trace.order ? -1 : 1;
    }
    return compare_numbers(left, right);
}

/* Leaves the first ones, in order. */
static void entries_cut(struct blocks *blocks)
{
    static int (*const compare[])(const void *, const void *) = {
        [CA_SORT_SIZE] = compare_sizes,
        [CA_SORT_ADDRESS] = compare_addresses,
        [CA_SORT_AGE] = compare_ages,
    };
    if (blocks->count) {
        qsort(blocks->entries, blocks->count, sizeof *blocks->entries, compare[blocks->run->options.sort]);
    }
    blocks->count = blocks->count < blocks->limit ? blocks->count : (size_t)blocks->limit;
}

/* Room for twice as many as are shown and some more: what is beyond goes when it is full. */
static bool entry_add(struct blocks *blocks, const struct ca_trace *trace)
{
    enum { SLACK = 4096 };
    if (blocks->limit < SIZE_MAX / 4 && blocks->count >= 2 * blocks->limit + SLACK) {
        entries_cut(blocks);
    }
    if (!CA_GROW(blocks->entries, blocks->capacity, blocks->count + 1)) {
        return false;
    }
    blocks->entries[blocks->count++] = (struct entry){*trace, blocks->total_count};
    blocks->total_count++;
    blocks->total_size += trace->size;
    return true;
}

static bool take_trace(struct blocks *blocks, const struct ca_trace *trace)
{
    bool keeps;
    if (!ca_selection_keeps(blocks->selection, trace, &keeps, &blocks->error)) {
        return false;
    }
    return !keeps || entry_add(blocks, trace) || ca_fail_memory(&blocks->error);
}

static bool take_block(void *context, const struct ca_block *block)
{
    struct ca_trace trace = ca_trace_of_block(block);
    return take_trace(context, &trace);
}

/* Tables are looked through without their blocks being kept; a snapshot file has nothing but its traces. */
static bool entries_collect(struct blocks *blocks, struct ca_error **ret_error)
{
    if (!ca_target_snapshot_file(blocks->run->targets[0])) {
        if (!ca_table_each_block(blocks->table, take_block, blocks, ret_error)) {
            return false;
        }
    } else {
        size_t count;
        const struct ca_trace *traces = ca_snapshot_traces(blocks->snapshot, &count, ret_error);
        if (!traces) {
            return false;
        }
        for (size_t i = 0; i < count && take_trace(blocks, &traces[i]); i++) {
        }
    }
    if (blocks->error) {
        *ret_error = blocks->error;
        return false;
    }
    entries_cut(blocks);
    for (size_t i = 0; i < blocks->count; i++) {
        blocks->shown_size += blocks->entries[i].trace.size;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------- one block */

static uint64_t age_of(const struct blocks *blocks, const struct ca_trace *trace)
{
    uint64_t newest = blocks->table->newest_time;
    return newest > trace->time ? newest - trace->time : 0;
}

/* Its most recent frame. NULL with an error. */
static const struct ca_frame *frame_of(struct blocks *blocks, const struct ca_trace *trace,
                                       struct ca_error **ret_error)
{
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(blocks->snapshot, trace->traceback, 1, &count, ret_error);
    return frames ? ca_snapshot_frame(blocks->snapshot, frames[0]) : NULL;
}

static const char *name_of(const struct blocks *blocks, uint32_t string)
{
    return string ? ca_snapshot_string(blocks->snapshot, string) : NULL;
}

static void add_position(struct ca_text *text, const struct blocks *blocks, const struct ca_frame *frame)
{
    ca_text_add_name(text, ca_snapshot_string(blocks->snapshot, frame->filename));
    ca_text_printf(text, ":%" PRIu32 "\n", frame->lineno);
}

static bool entry_text(struct blocks *blocks, const struct ca_trace *trace, struct ca_error **ret_error)
{
    struct ca_text *text = &blocks->run->sink.text;
    const struct ca_frame *frame = frame_of(blocks, trace, ret_error);
    if (!frame) {
        return false;
    }
    char address[32] = "-", age[48] = "-", thread[16] = "-";
    if (trace->address) {
        snprintf(address, sizeof address, "0x%" PRIx64, trace->address);
    }
    if (trace->time) {
        uint64_t nanoseconds = age_of(blocks, trace);
        snprintf(age, sizeof age, "%" PRIu64 ".%03" PRIu64, nanoseconds / 1000000000,
                 nanoseconds / 1000000 % 1000);
    }
    if (trace->thread) {
        snprintf(thread, sizeof thread, "%" PRIu32, trace->thread);
    }
    ca_text_style(text, CA_STYLE_ADDRESS);
    ca_text_printf(text, "%-16s", address);
    ca_text_style(text, CA_STYLE_SIZE);
    ca_text_printf(text, " %12" PRIu64, trace->size);
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_text_printf(text, " %10s %8s  ", age, thread);
    if (trace->domain) {
        ca_text_printf(text, "domain %" PRIu32 ", ", trace->domain);
    }
    add_position(text, blocks, frame);
    return true;
}

static bool entry_csv(struct blocks *blocks, const struct ca_trace *trace, struct ca_error **ret_error)
{
    struct ca_text *text = &blocks->run->sink.text;
    const struct ca_frame *frame = frame_of(blocks, trace, ret_error);
    if (!frame) {
        return false;
    }
    if (trace->address) {
        ca_text_printf(text, "0x%" PRIx64, trace->address);
    }
    ca_text_printf(text, ",%" PRIu64 ",%" PRIu32 ",", trace->size, trace->domain);
    if (trace->thread) {
        ca_text_printf(text, "%" PRIu32, trace->thread);
    }
    ca_text_add(text, ",");
    if (trace->time) {
        uint64_t age = age_of(blocks, trace);
        ca_text_printf(text, "%" PRIu64 ".%09" PRIu64, age / 1000000000, age % 1000000000);
    }
    ca_text_add(text, ",");
    ca_csv_add_name(text, ca_snapshot_string(blocks->snapshot, frame->filename));
    ca_text_printf(text, ",%" PRIu32 ",", frame->lineno);
    ca_csv_add_name(text, name_of(blocks, frame->function));
    ca_text_add(text, "\r\n");
    return true;
}

static bool entry_json(struct blocks *blocks, struct ca_json *json, const struct ca_trace *trace,
                       struct ca_error **ret_error)
{
    const struct ca_frame *frame = frame_of(blocks, trace, ret_error);
    if (!frame) {
        return false;
    }
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    ca_json_address(json, "address", trace->address);
    ca_json_unsigned(json, "size", trace->size);
    ca_json_unsigned(json, "domain", trace->domain);
    if (trace->thread) {
        ca_json_unsigned(json, "thread", trace->thread);
    } else {
        ca_json_null(json, "thread");
    }
    if (trace->time) {
        ca_json_seconds(json, "age_seconds", age_of(blocks, trace));
    } else {
        ca_json_null(json, "age_seconds");
    }
    ca_json_string(json, "filename", ca_snapshot_string(blocks->snapshot, frame->filename));
    ca_json_unsigned(json, "lineno", frame->lineno);
    ca_json_string(json, "function", name_of(blocks, frame->function));
    ca_json_string(json, "module", name_of(blocks, frame->module));
    ca_json_object_close(json);
    return true;
}

/* --------------------------------------------------------------------------------------------- all blocks */

static void add_size(struct ca_text *text, unsigned __int128 size)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, (double)size, false);
    ca_text_add(text, buffer);
}

static bool write_text(struct blocks *blocks, struct ca_error **ret_error)
{
    struct ca_text *text = &blocks->run->sink.text;
    ca_text_style(text, CA_STYLE_TITLE);
    ca_text_printf(text, "%-16s %12s %10s %8s  %s", "address", "size", "age", "thread", "line");
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_text_add(text, "\n");
    for (size_t i = 0; i < blocks->count; i++) {
        if (!entry_text(blocks, &blocks->entries[i].trace, ret_error)) {
            return false;
        }
        ca_sink_flush(&blocks->run->sink);
    }
    if (blocks->count < blocks->total_count) {
        ca_text_printf(text, "%" PRIu64 " other: ", blocks->total_count - blocks->count);
        add_size(text, blocks->total_size - blocks->shown_size);
        ca_text_add(text, "\n");
    }
    ca_text_add(text, "Total allocated size: ");
    add_size(text, blocks->total_size);
    ca_text_printf(text, " in %" PRIu64 " block%s\n", blocks->total_count,
                   blocks->total_count == 1 ? "" : "s");
    ca_coverage_add_text(text, "coverage", blocks->table);
    return true;
}

static bool write_csv(struct blocks *blocks, struct ca_error **ret_error)
{
    ca_text_add(&blocks->run->sink.text,
                "address,size,domain,thread,age_seconds,filename,lineno,function\r\n");
    for (size_t i = 0; i < blocks->count; i++) {
        if (!entry_csv(blocks, &blocks->entries[i].trace, ret_error)) {
            return false;
        }
        ca_sink_flush(&blocks->run->sink);
    }
    struct ca_text coverage = {0};
    ca_coverage_add_text(&coverage, "coverage", blocks->table);
    ca_message_print(blocks->run->output, "%.*s", coverage.failed ? 0 : (int)coverage.size - 1,
                     coverage.failed ? "" : coverage.bytes);
    ca_text_deinit(&coverage);
    return true;
}

static void add_sum_json(struct ca_json *json, const char *key, uint64_t count, unsigned __int128 size)
{
    ca_json_object_open(json, key);
    ca_json_unsigned(json, "size", size);
    ca_json_unsigned(json, "count", count);
    ca_json_object_close(json);
}

static bool write_json(struct blocks *blocks, struct ca_error **ret_error)
{
    struct ca_json json = {.text = &blocks->run->sink.text};
    ca_json_object_open(&json, NULL);
    ca_json_string(&json, "command", "blocks");
    ca_json_array_open(&json, "blocks");
    for (size_t i = 0; i < blocks->count; i++) {
        if (!entry_json(blocks, &json, &blocks->entries[i].trace, ret_error)) {
            return false;
        }
        ca_sink_flush(&blocks->run->sink);
    }
    ca_json_array_close(&json);
    ca_json_line(&json);
    add_sum_json(&json, "other", blocks->total_count - blocks->count,
                 blocks->total_size - blocks->shown_size);
    add_sum_json(&json, "total", blocks->total_count, blocks->total_size);
    ca_coverage_add_json(&json, "coverage", &blocks->table->coverage);
    ca_json_object_close(&json);
    ca_text_add(json.text, "\n");
    return true;
}

static bool blocks_write(struct blocks *blocks, struct ca_error **ret_error)
{
    switch (blocks->run->options.format) {
    case CA_FORMAT_JSON:
        return write_json(blocks, ret_error);
    case CA_FORMAT_CSV:
        return write_csv(blocks, ret_error);
    default:
        return write_text(blocks, ret_error);
    }
}

static bool order_check(const struct blocks *blocks, struct ca_error **ret_error)
{
    if (blocks->run->options.sort != CA_SORT_AGE || (blocks->table->root.features & TM_FEATURE_DETAIL)) {
        return true;
    }
    return ca_fail(ret_error, CA_USAGE,
                   "--sort age needs thread and time of every block, which this process did not record; run "
                   "it with detail=1 (tm-run -o detail=1)");
}

bool ca_run_blocks(struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    struct ca_target *target = run->targets[0];
    struct blocks blocks = {
        .run = run,
        .limit = options->limit.value ? options->limit.value : UINT64_MAX,
        .table = ca_target_table(target, ret_error),
    };
    if (!blocks.table || !order_check(&blocks, ret_error)) {
        return false;
    }
    blocks.snapshot =
        ca_target_snapshot(target, options->skip.items, options->skip.count, options->no_skip, ret_error);
    blocks.selection =
        blocks.snapshot ? ca_selection_create(options, blocks.table, blocks.snapshot, ret_error) : NULL;
    bool done = blocks.selection && entries_collect(&blocks, ret_error) && blocks_write(&blocks, ret_error) &&
                ca_problems_print_all(run, target, ret_error);
    run->partial = run->partial || (done && !ca_coverage_is_complete(blocks.table));
    ca_selection_destroy(blocks.selection);
    free(blocks.entries);
    return done;
}
