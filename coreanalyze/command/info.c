/* info.c: the command info: the state of the tracer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../output/coverage.h"
#include "problems.h"

/* What both formats show. */
struct info {
    struct ca_table *table;
    struct ca_source *source;
    struct ca_symbolizer *symbolizer;
    uint32_t *threads; /* ascending: the sources' orders differ */
    size_t thread_count;
    size_t freed_count; /* blocks in the history of freed ones */
};

struct feature {
    uint64_t bit;
    const char *word;
};

static const struct feature features[] = {
    {TM_FEATURE_DETAIL, "detail"},     {TM_FEATURE_STATS, "stats"},       {TM_FEATURE_SAMPLED, "sampled"},
    {TM_FEATURE_MMAP, "mmap"},         {TM_FEATURE_FREED, "freed"},       {TM_FEATURE_INHERITED, "inherited"},
    {TM_FEATURE_ATTACHED, "attached"}, {TM_FEATURE_BYPASSED, "bypassed"},
};

enum { FEATURE_COUNT = sizeof features / sizeof *features };

static const char *state_word(uint32_t state)
{
    static const char *const words[] = {
        [TM_STATE_INITIALISING] = "initialising",
        [TM_STATE_STOPPED] = "not tracing",
        [TM_STATE_TRACING] = "tracing",
        [TM_STATE_FAILED] = "failed",
    };
    return state < sizeof words / sizeof *words ? words[state] : "unknown";
}

static const char *route_word(enum ca_route route)
{
    switch (route) {
    case CA_ROUTE_PREFERRED:
        return "preferred address";
    case CA_ROUTE_SYMBOL:
        return "symbol tm_table";
    case CA_ROUTE_NOTE:
        return "ELF note";
    case CA_ROUTE_SCAN:
        return "scan of memory";
    default:
        return "unknown";
    }
}

static const char *symbols_word(enum ca_module_symbols status)
{
    static const char *const words[] = {
        [CA_SYMBOLS_NOT_ASKED] = "not looked at",
        [CA_SYMBOLS_LINES] = "lines",
        [CA_SYMBOLS_NAMES] = "names",
        [CA_SYMBOLS_NO_FILE] = "file missing",
        [CA_SYMBOLS_WRONG_BUILD_ID] = "file of another build",
        [CA_SYMBOLS_UNREADABLE] = "file unreadable",
        [CA_SYMBOLS_VIRTUAL] = "no file",
    };
    return status < sizeof words / sizeof *words ? words[status] : "unknown";
}

static const char *operation_word(uint32_t code)
{
    static const char *const words[] = {
        [TM_OPERATION_NONE] = "none",       [TM_OPERATION_ALLOCATE] = "allocate",
        [TM_OPERATION_FREE] = "free",       [TM_OPERATION_REALLOCATE] = "reallocate",
        [TM_OPERATION_TRACK] = "track",     [TM_OPERATION_UNTRACK] = "untrack",
        [TM_OPERATION_CONTROL] = "control",
    };
    return code < sizeof words / sizeof *words ? words[code] : "unknown";
}

static void time_format(char *buffer, size_t size, uint64_t nanoseconds)
{
    time_t seconds = (time_t)(nanoseconds / 1000000000);
    struct tm moment;
    if (!gmtime_r(&seconds, &moment) || strftime(buffer, size, "%Y-%m-%dT%H:%M:%SZ", &moment) == 0) {
        buffer[0] = '\0';
    }
}

static int compare_threads(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static bool info_read(struct info *info, struct ca_target *target, struct ca_error **ret_error)
{
    const char *file = ca_target_snapshot_file(target);
    if (file) {
        return ca_fail(ret_error, CA_USAGE,
                       "%s is a snapshot file, which holds traces alone; info needs a core file", file);
    }
    info->source = ca_target_source(target);
    info->table = ca_target_table(target, ret_error);
    info->symbolizer = info->table ? ca_target_symbolizer(target, ret_error) : NULL;
    if (!info->symbolizer || !ca_source_described(info->source, ret_error)) {
        return false;
    }
    const struct ca_freed *freed;
    if (!ca_table_history(info->table, &freed, &info->freed_count, ret_error)) {
        return false;
    }
    const struct ca_thread *threads = ca_source_threads(info->source, &info->thread_count);
    info->threads = calloc(info->thread_count + 1, sizeof *info->threads);
    if (!info->threads) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < info->thread_count; i++) {
        info->threads[i] = threads[i].tid;
    }
    qsort(info->threads, info->thread_count, sizeof *info->threads, compare_threads);
    return true;
}

/* Looks one address of each module up, so that its symbols are looked for. */
static bool modules_look_up(const struct info *info, struct ca_error **ret_error)
{
    for (uint32_t i = 1; i < info->table->module_count; i++) {
        size_t count;
        if (!ca_symbolizer_find(info->symbolizer, i, info->table->modules[i].start, 0, &count)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------- text */

static void add_size_line(struct ca_text *text, const char *what, uint64_t size, const char *rest)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, (double)size, false);
    ca_text_printf(text, "%s: %s (%" PRIu64 " bytes)%s\n", what, buffer, size, rest);
}

static void add_features(struct ca_text *text, const struct tm_root *root)
{
    ca_text_add(text, "features:");
    bool any = false;
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (root->features & features[i].bit) {
            ca_text_printf(text, "%s %s", any ? "," : "", features[i].word);
            any = true;
        }
    }
    ca_text_add(text, any ? "\n" : " none\n");
}

static void add_state(struct ca_text *text, const struct info *info)
{
    const struct tm_root *root = &info->table->root;
    const struct ca_process *process = ca_source_process(info->source);
    char since[32];
    time_format(since, sizeof since, root->start_time);
    ca_text_printf(text, "layout: %" PRIu32 ".%" PRIu32 " at 0x%" PRIx64 ", found by %s\n", root->major,
                   root->minor, info->table->address, route_word(info->table->route));
    ca_text_printf(text, "process: %" PRIu32, root->pid);
    if (process->program[0]) {
        ca_text_add(text, ", ");
        ca_text_add_name(text, process->program);
    }
    ca_text_printf(text, "\nstate: %s, started %s\n", state_word(root->state), since);
    ca_text_printf(text, "traceback limit: %" PRIu32 "\n", root->traceback_limit);
    add_features(text, root);
}

static void add_memory(struct ca_text *text, const struct info *info)
{
    const struct tm_root *root = &info->table->root;
    char size[CA_SIZE_TEXT], rest[CA_SIZE_TEXT + 64] = "";
    add_size_line(text, "current", info->table->current, "");
    if (root->fold_bytes) {
        ca_format_size(size, (double)root->fold_bytes, false);
        snprintf(rest, sizeof rest, ", short by at most %s per thread", size);
    }
    add_size_line(text, "peak", info->table->peak, rest);
    ca_format_size(size, (double)root->private_bytes, false);
    snprintf(rest, sizeof rest, ", of which %s are left out of core files", size);
    add_size_line(text, "tracer's own memory", root->committed_bytes, rest);
    if (root->max_bytes) {
        add_size_line(text, "its limit", root->max_bytes, "");
    }
    ca_text_printf(text, "tracebacks: %zu, distinct frames: %zu\n",
                   info->table->stack_count ? info->table->stack_count - 1 : 0,
                   info->table->frame_count ? info->table->frame_count - 1 : 0);
    if (root->freed_count) {
        ca_text_printf(text, "freed blocks remembered: %zu, at most %" PRIu64 " of each shard of threads\n",
                       info->freed_count, root->freed_count);
    }
    if (root->anomaly_count) {
        ca_text_printf(text, "frees that were missed: %" PRIu64 "\n", root->anomaly_count);
    }
}

static void add_threads(struct ca_text *text, const struct info *info)
{
    ca_text_printf(text, "threads: %zu", info->thread_count);
    for (size_t i = 0; i < info->thread_count; i++) {
        ca_text_printf(text, "%s%" PRIu32, i ? ", " : " (", info->threads[i]);
    }
    ca_text_add(text, info->thread_count ? ")\n" : "\n");
}

static void add_operations(struct ca_text *text, const struct ca_table *table)
{
    for (size_t i = 0; i < table->in_flight_count; i++) {
        const struct ca_in_flight *operation = &table->in_flight[i];
        ca_text_printf(text, "in flight: thread %" PRIu32 " level %" PRIu32 ": %s", operation->tid,
                       operation->level, operation_word(operation->code));
        if (operation->address) {
            ca_text_printf(text, " 0x%" PRIx64, operation->address);
        }
        if (operation->new_address) {
            ca_text_printf(text, " to 0x%" PRIx64, operation->new_address);
        }
        if (operation->code != TM_OPERATION_FREE && operation->code != TM_OPERATION_CONTROL) {
            ca_text_printf(text, ", %" PRIu64 " bytes", operation->size);
        }
        ca_text_printf(text, ", shown as %s%s\n", operation->after ? "done" : "not done",
                       operation->ambiguous ? ", which cannot be told" : "");
    }
}

static void add_modules(struct ca_text *text, const struct info *info)
{
    ca_text_add(text, "modules:\n");
    for (uint32_t i = 1; i < info->table->module_count; i++) {
        const struct ca_module *module = &info->table->modules[i];
        char build_id[CA_BUILD_ID_TEXT];
        ca_build_id_format(build_id, module);
        ca_text_printf(text, "  0x%" PRIx64 "-0x%" PRIx64 " ", module->start, module->end);
        ca_text_add_name(text, module->path[0] ? module->path : "<unknown>");
        ca_text_printf(text, ", build-id %s, symbols: %s%s\n", build_id,
                       symbols_word(ca_symbolizer_status(info->symbolizer, i)),
                       module->unloaded_time ? ", UNLOADED" : "");
    }
}

static void write_text(const struct info *info, struct ca_sink *sink)
{
    struct ca_text *text = &sink->text;
    add_state(text, info);
    add_memory(text, info);
    add_threads(text, info);
    add_operations(text, info->table);
    add_modules(text, info);
    ca_coverage_add_text(text, "coverage", info->table);
}

/* --------------------------------------------------------------------------------------------------- JSON */

static void write_layout(struct ca_json *json, const struct info *info)
{
    ca_json_line(json);
    ca_json_object_open(json, "layout");
    ca_json_unsigned(json, "major", info->table->root.major);
    ca_json_unsigned(json, "minor", info->table->root.minor);
    ca_json_address(json, "address", info->table->address);
    ca_json_string(json, "found_by", route_word(info->table->route));
    ca_json_object_close(json);
}

static void write_state(struct ca_json *json, const struct info *info)
{
    const struct tm_root *root = &info->table->root;
    const struct ca_process *process = ca_source_process(info->source);
    char since[32];
    time_format(since, sizeof since, root->start_time);
    ca_json_line(json);
    ca_json_unsigned(json, "pid", root->pid);
    ca_json_string(json, "program", process->program[0] ? process->program : NULL);
    ca_json_string(json, "arguments", process->arguments[0] ? process->arguments : NULL);
    ca_json_line(json);
    ca_json_string(json, "state", state_word(root->state));
    ca_json_string(json, "start_time", since);
    ca_json_unsigned(json, "traceback_limit", root->traceback_limit);
    ca_json_array_open(json, "features");
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        if (root->features & features[i].bit) {
            ca_json_string(json, NULL, features[i].word);
        }
    }
    ca_json_array_close(json);
}

static void write_memory(struct ca_json *json, const struct info *info)
{
    const struct ca_table *table = info->table;
    ca_json_line(json);
    ca_json_unsigned(json, "current", table->current);
    ca_json_unsigned(json, "peak", table->peak);
    ca_json_unsigned(json, "peak_short_per_thread", table->root.fold_bytes);
    ca_json_line(json);
    ca_json_unsigned(json, "tracer_memory", table->root.committed_bytes);
    ca_json_unsigned(json, "tracer_private_memory", table->root.private_bytes);
    if (table->root.max_bytes) {
        ca_json_unsigned(json, "tracer_memory_limit", table->root.max_bytes);
    } else {
        ca_json_null(json, "tracer_memory_limit");
    }
    ca_json_line(json);
    ca_json_unsigned(json, "tracebacks", table->stack_count ? table->stack_count - 1 : 0);
    ca_json_unsigned(json, "frames", table->frame_count ? table->frame_count - 1 : 0);
    ca_json_unsigned(json, "freed_capacity", table->root.freed_count);
    ca_json_unsigned(json, "freed_blocks", info->freed_count);
    ca_json_unsigned(json, "missed_frees", table->root.anomaly_count);
}

static void write_threads(struct ca_json *json, const struct info *info)
{
    ca_json_line(json);
    ca_json_array_open(json, "threads");
    for (size_t i = 0; i < info->thread_count; i++) {
        ca_json_unsigned(json, NULL, info->threads[i]);
    }
    ca_json_array_close(json);
}

static void write_operations(struct ca_json *json, const struct ca_table *table)
{
    ca_json_line(json);
    ca_json_array_open(json, "in_flight");
    for (size_t i = 0; i < table->in_flight_count; i++) {
        const struct ca_in_flight *operation = &table->in_flight[i];
        ca_json_line(json);
        ca_json_object_open(json, NULL);
        ca_json_unsigned(json, "thread", operation->tid);
        ca_json_unsigned(json, "level", operation->level);
        ca_json_string(json, "operation", operation_word(operation->code));
        ca_json_address(json, "address", operation->address);
        ca_json_address(json, "new_address", operation->new_address);
        ca_json_unsigned(json, "size", operation->size);
        ca_json_boolean(json, "done", operation->after);
        ca_json_boolean(json, "ambiguous", operation->ambiguous);
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
}

static void write_modules(struct ca_json *json, const struct info *info)
{
    ca_json_line(json);
    ca_json_array_open(json, "modules");
    for (uint32_t i = 1; i < info->table->module_count; i++) {
        const struct ca_module *module = &info->table->modules[i];
        char build_id[CA_BUILD_ID_TEXT];
        ca_build_id_format(build_id, module);
        ca_json_line(json);
        ca_json_object_open(json, NULL);
        ca_json_string(json, "path", module->path);
        ca_json_address(json, "start", module->start);
        ca_json_address(json, "end", module->end);
        ca_json_string(json, "build_id", module->build_id_length ? build_id : NULL);
        ca_json_boolean(json, "unloaded", module->unloaded_time != 0);
        ca_json_string(json, "symbols", symbols_word(ca_symbolizer_status(info->symbolizer, i)));
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
}

static void write_json(const struct info *info, struct ca_sink *sink)
{
    struct ca_json json = {.text = &sink->text};
    ca_json_object_open(&json, NULL);
    ca_json_string(&json, "command", "info");
    write_layout(&json, info);
    write_state(&json, info);
    write_memory(&json, info);
    write_threads(&json, info);
    write_operations(&json, info->table);
    write_modules(&json, info);
    ca_coverage_add_json(&json, "coverage", &info->table->coverage);
    ca_json_object_close(&json);
    ca_text_add(&sink->text, "\n");
}

bool ca_run_info(struct ca_run *run, struct ca_error **ret_error)
{
    struct info info = {0};
    bool done = info_read(&info, run->targets[0], ret_error) && modules_look_up(&info, ret_error);
    if (done && run->options.format == CA_FORMAT_JSON) {
        write_json(&info, &run->sink);
    } else if (done) {
        write_text(&info, &run->sink);
    }
    run->partial = done && !ca_coverage_is_complete(info.table);
    free(info.threads);
    return done;
}
