/* written.c: leaks as text, JSON, CSV and folded stacks. */
#include <inttypes.h>
#include <string.h>

#include "../../output/coverage.h"
#include "../../output/csv.h"
#include "../../output/folded.h"
#include "../../output/json.h"
#include "../flames.h"
#include "found.h"

static const struct ca_samples *samples_of(const struct ca_leak_groups *groups,
                                           const struct ca_statistic *item)
{
    return &groups->samples[item->number];
}

/* ---------------------------------------------------------------------------------------------------- text
 */

static void add_size(struct ca_text *text, unsigned __int128 size)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, (double)size, false);
    enum ca_style before = text->style;
    ca_text_style(text, before == CA_STYLE_PLAIN ? CA_STYLE_SIZE : before);
    ca_text_add(text, buffer);
    ca_text_style(text, before);
}

static void add_count(struct ca_text *text, unsigned __int128 count, const char *what)
{
    ca_text_add_unsigned(text, count);
    ca_text_printf(text, " %s%s", what, count == 1 ? "" : "s");
}

/* How many addresses fit a line of the terminal, with what follows them. */
static size_t samples_shown(const struct ca_text *text, const struct ca_samples *samples)
{
    enum { ADDRESS = 16, AROUND = 24 }; /* columns */
    size_t columns = text->look ? text->look->columns : 0;
    size_t fitting = columns > AROUND + ADDRESS ? (columns - AROUND) / ADDRESS : 1;
    return columns && fitting < samples->count ? fitting : samples->count;
}

static void add_samples(struct ca_text *text, const struct ca_samples *samples, unsigned __int128 count)
{
    size_t shown = samples_shown(text, samples);
    for (size_t i = 0; i < shown; i++) {
        ca_text_add(text, i ? ", " : "    at ");
        ca_text_style(text, CA_STYLE_ADDRESS);
        ca_text_printf(text, "0x%" PRIx64, samples->addresses[i]);
        ca_text_style(text, CA_STYLE_PLAIN);
    }
    if (count > shown) {
        ca_text_add(text, " and ");
        ca_text_add_unsigned(text, count - shown);
        ca_text_add(text, " more");
    }
    ca_text_add(text, "\n");
}

static void add_source_line(const struct ca_leaks_found *found, struct ca_text *text,
                            const struct ca_statistic *item)
{
    if (found->run->options.no_source || item->frame_count == 0) {
        return;
    }
    const struct ca_frame *frame = ca_snapshot_frame(found->snapshot, item->frames[0]);
    const char *line = ca_linecache_line(ca_snapshot_string(found->snapshot, frame->filename), frame->lineno);
    if (line[0]) {
        ca_text_add(text, "    ");
        ca_text_add_line_bytes(text, line, strlen(line));
        ca_text_add(text, "\n");
    }
}

static bool add_item(const struct ca_leaks_found *found, struct ca_text *text, enum ca_leak kind,
                     const struct ca_statistic *item)
{
    const struct ca_options *options = &found->run->options;
    const struct ca_leak_groups *groups = &found->kinds[kind];
    ca_text_printf(text, "%s: ", ca_leak_words[kind]);
    if (groups->statistics->key != CA_KEY_TRACEBACK) {
        bool done = ca_statistic_format(text, groups->statistics, item, false);
        ca_text_add(text, "\n");
        add_source_line(found, text, item);
        add_samples(text, samples_of(groups, item), item->count);
        return done;
    }
    add_count(text, item->count, "memory block");
    ca_text_add(text, ": ");
    add_size(text, item->size);
    ca_text_add(text, "\n");
    add_samples(text, samples_of(groups, item), item->count);
    int64_t limit = options->nframe.value > INT64_MAX ? INT64_MAX : (int64_t)options->nframe.value;
    return ca_traceback_format(text, found->snapshot, item->frames, item->frame_count, options->nframe.given,
                               limit, false, !options->no_source);
}

static void add_totals(const struct ca_leaks_found *found, struct ca_text *text)
{
    if (found->others) {
        ca_text_printf(text, "%zu other: ", found->others);
        add_size(text, found->other_size);
        ca_text_add(text, "\n");
    }
    ca_text_add(text, "Total leaked size: ");
    add_size(text, found->size);
    ca_text_add(text, " in ");
    add_count(text, found->count, "block");
    for (size_t kind = 0; found->count && kind < CA_LEAK_KINDS; kind++) {
        ca_text_printf(text, "%s%s: ", kind ? "; " : " (", ca_leak_words[kind]);
        add_size(text, found->kinds[kind].size);
        ca_text_add(text, " in ");
        ca_text_add_unsigned(text, found->kinds[kind].count);
    }
    ca_text_add(text, found->count ? ")\n" : "\n");
}

/* LeakSanitizer's summary, and a line with the sums. */
void ca_leaks_add_suppressed(const struct ca_leaks_found *found, struct ca_text *text)
{
    const struct ca_suppressions *suppressions = &found->suppressions;
    size_t used = 0;
    if (!found->run->options.suppressions.count) {
        return;
    }
    for (size_t i = 0; i < suppressions->count; i++) {
        const struct ca_suppression *item = &suppressions->items[i];
        if (item->count) {
            ca_text_add(text, used++ ? "" : "Suppressions used:\n  count      bytes template\n");
            ca_text_printf(text, "%7" PRIu64 " %10" PRIu64 " ", (uint64_t)item->count, (uint64_t)item->size);
            ca_text_add_name(text, item->pattern);
            ca_text_add(text, "\n");
        }
    }
    ca_text_add(text, "Suppressed size: ");
    add_size(text, found->suppressed_size);
    ca_text_add(text, " in ");
    add_count(text, found->suppressed_count, "block");
    ca_text_printf(text, " by %zu of %zu pattern%s", used, suppressions->count,
                   suppressions->count == 1 ? "" : "s");
    if (found->held_count) {
        ca_text_add(text, "; they hold ");
        add_size(text, found->held_size);
        ca_text_add(text, " in ");
        add_count(text, found->held_count, "block");
    }
    ca_text_add(text, "\n");
}

void ca_leaks_add_notes(const struct ca_leaks_found *found, struct ca_text *text)
{
    const struct ca_reach *reach = found->reach;
    if (reach->missing_bytes) {
        ca_text_add(text, "NOT SEEN: ");
        add_size(text, reach->missing_bytes);
        ca_text_add(text,
                    " of memory that may hold pointers is missing; blocks that are reached from there alone "
                    "count as leaks\n");
    }
    if (reach->areas.undumped) {
        ca_text_add(text, "not searched: ");
        add_size(text, reach->areas.undumped);
        ca_text_add(text, " of mappings that are not in the core: never written to, or kept out of dumps\n");
    }
    if (reach->set.left_out) {
        ca_text_printf(text,
                       "NOT CHECKED: %" PRIu64 " blocks whose addresses are not this process's memory\n",
                       reach->set.left_out);
    }
    if (reach->areas.other_allocator && found->run->options.roots == CA_ROOTS_ALL) {
        ca_text_add(text,
                    "the allocator is not glibc's: what the program maps itself cannot be told from the "
                    "allocator's memory and is not searched (as with --roots lsan)\n");
    }
}

bool ca_leaks_write_text(const struct ca_leaks_found *found, struct ca_error **ret_error)
{
    struct ca_sink *sink = &found->run->sink;
    struct ca_text *text = &sink->text;
    uint64_t asked = found->run->options.limit.value;
    size_t groups = found->kinds[0].statistics->count + found->kinds[1].statistics->count;
    ca_text_style(text, CA_STYLE_TITLE);
    ca_text_printf(text, "[ Top %" PRIu64 " leaks ]", asked ? asked : groups);
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_text_add(text, "\n");
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        const struct ca_leak_groups *of_kind = &found->kinds[kind];
        for (size_t i = 0; i < of_kind->shown; i++) {
            if (!add_item(found, text, (enum ca_leak)kind, &of_kind->statistics->items[i])) {
                return ca_fail_memory(ret_error);
            }
            ca_sink_flush(sink);
        }
    }
    add_totals(found, text);
    ca_leaks_add_suppressed(found, text);
    bool complete = ca_coverage_is_complete(found->table) && !found->reach->missing_bytes;
    ca_text_style(text, complete ? CA_STYLE_NOTE : CA_STYLE_ALARM);
    ca_leaks_add_notes(found, text);
    ca_coverage_add_text(text, "coverage", found->table);
    ca_text_style(text, CA_STYLE_PLAIN);
    return true;
}

/* ---------------------------------------------------------------------------------------------------- data
 */

static const char *name_of(const struct ca_leaks_found *found, uint32_t string)
{
    return string ? ca_snapshot_string(found->snapshot, string) : NULL;
}

static void add_item_json(const struct ca_leaks_found *found, struct ca_json *json, enum ca_leak kind,
                          const struct ca_statistic *item)
{
    const struct ca_samples *samples = samples_of(&found->kinds[kind], item);
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    ca_json_unsigned(json, "size", item->size);
    ca_json_unsigned(json, "count", item->count);
    ca_json_string(json, "kind", ca_leak_words[kind]);
    ca_json_array_open(json, "traceback");
    for (size_t i = item->frame_count; i-- > 0;) {
        const struct ca_frame *frame = ca_snapshot_frame(found->snapshot, item->frames[i]);
        ca_json_object_open(json, NULL);
        ca_json_string(json, "filename", ca_snapshot_string(found->snapshot, frame->filename));
        ca_json_unsigned(json, "lineno", frame->lineno);
        ca_json_string(json, "function", name_of(found, frame->function));
        ca_json_string(json, "module", name_of(found, frame->module));
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
    ca_json_array_open(json, "addresses");
    for (size_t i = 0; i < samples->count; i++) {
        ca_json_address(json, NULL, samples->addresses[i]);
    }
    ca_json_array_close(json);
    ca_json_object_close(json);
}

static void add_sum_json(struct ca_json *json, const char *key, unsigned __int128 size,
                         unsigned __int128 count)
{
    ca_json_object_open(json, key);
    ca_json_unsigned(json, "size", size);
    ca_json_unsigned(json, "count", count);
    ca_json_object_close(json);
}

static void add_suppressed_json(const struct ca_leaks_found *found, struct ca_json *json)
{
    ca_json_line(json);
    ca_json_object_open(json, "suppressed");
    ca_json_unsigned(json, "size", found->suppressed_size);
    ca_json_unsigned(json, "count", found->suppressed_count);
    add_sum_json(json, "held", found->held_size, found->held_count);
    ca_json_array_open(json, "patterns");
    for (size_t i = 0; i < found->suppressions.count; i++) {
        const struct ca_suppression *item = &found->suppressions.items[i];
        ca_json_line(json);
        ca_json_object_open(json, NULL);
        ca_json_string(json, "pattern", item->pattern);
        ca_json_string(json, "file", item->file);
        ca_json_unsigned(json, "line", item->line);
        ca_json_unsigned(json, "size", item->size);
        ca_json_unsigned(json, "count", item->count);
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
    ca_json_object_close(json);
}

static void add_totals_json(const struct ca_leaks_found *found, struct ca_json *json)
{
    ca_json_line(json);
    ca_json_object_open(json, "other");
    ca_json_unsigned(json, "size", found->other_size);
    ca_json_unsigned(json, "count", found->other_count);
    ca_json_unsigned(json, "groups", found->others);
    ca_json_object_close(json);
    ca_json_line(json);
    ca_json_object_open(json, "total");
    ca_json_unsigned(json, "size", found->size);
    ca_json_unsigned(json, "count", found->count);
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        add_sum_json(json, ca_leak_words[kind], found->kinds[kind].size, found->kinds[kind].count);
    }
    ca_json_object_close(json);
}

bool ca_leaks_write_json(const struct ca_leaks_found *found, struct ca_error **ret_error)
{
    (void)ret_error;
    const struct ca_options *options = &found->run->options;
    struct ca_sink *sink = &found->run->sink;
    struct ca_json json = {.text = &sink->text};
    bool mappings = options->roots == CA_ROOTS_ALL && !found->reach->areas.other_allocator;
    ca_json_object_open(&json, NULL);
    ca_json_string(&json, "command", "leaks");
    ca_json_string(&json, "key_type", ca_key_words[options->by]);
    ca_json_string(&json, "roots", mappings ? "all" : "lsan");
    ca_json_line(&json);
    ca_json_array_open(&json, "leaks");
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        for (size_t i = 0; i < found->kinds[kind].shown; i++) {
            add_item_json(found, &json, (enum ca_leak)kind, &found->kinds[kind].statistics->items[i]);
            ca_sink_flush(sink);
        }
    }
    ca_json_array_close(&json);
    add_totals_json(found, &json);
    add_suppressed_json(found, &json);
    ca_json_line(&json);
    ca_json_unsigned(&json, "missing_bytes", found->reach->missing_bytes);
    ca_json_unsigned(&json, "undumped_bytes", found->reach->areas.undumped);
    ca_coverage_add_json(&json, "coverage", &found->table->coverage);
    ca_json_object_close(&json);
    ca_text_add(&sink->text, "\n");
    return true;
}

static void add_traceback_field(const struct ca_leaks_found *found, struct ca_text *text,
                                const struct ca_statistic *item)
{
    struct ca_text field = {.escape_names = true};
    ca_folded_add_frames(&field, found->snapshot, item->frames, item->frame_count, CA_FOLDED_LINES);
    ca_csv_add_text(text, &field);
    ca_text_deinit(&field);
}

static void add_row(const struct ca_leaks_found *found, struct ca_text *text, enum ca_leak kind,
                    const struct ca_statistic *item)
{
    static const struct ca_frame none;
    const struct ca_frame *frame =
        item->frame_count ? ca_snapshot_frame(found->snapshot, item->frames[0]) : &none;
    const struct ca_samples *samples = samples_of(&found->kinds[kind], item);
    ca_text_printf(text, "%s,", ca_leak_words[kind]);
    ca_text_add_unsigned(text, item->size);
    ca_text_add(text, ",");
    ca_text_add_unsigned(text, item->count);
    ca_text_add(text, ",");
    ca_csv_add_name(text, ca_snapshot_string(found->snapshot, frame->filename));
    ca_text_printf(text, ",%" PRIu32 ",", frame->lineno);
    ca_csv_add_name(text, name_of(found, frame->function));
    ca_text_add(text, ",");
    ca_csv_add_name(text, name_of(found, frame->module));
    ca_text_add(text, ",");
    for (size_t i = 0; i < samples->count; i++) {
        ca_text_printf(text, "%s0x%" PRIx64, i ? " " : "", samples->addresses[i]);
    }
    if (found->kinds[kind].statistics->key == CA_KEY_TRACEBACK) {
        ca_text_add(text, ",");
        add_traceback_field(found, text, item);
    }
    ca_text_add(text, "\r\n");
}

bool ca_leaks_write_csv(const struct ca_leaks_found *found, struct ca_error **ret_error)
{
    (void)ret_error;
    struct ca_sink *sink = &found->run->sink;
    ca_text_printf(&sink->text, "kind,size,count,filename,lineno,function,module,addresses%s\r\n",
                   found->run->options.by == CA_KEY_TRACEBACK ? ",traceback" : "");
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        for (size_t i = 0; i < found->kinds[kind].shown; i++) {
            add_row(found, &sink->text, (enum ca_leak)kind, &found->kinds[kind].statistics->items[i]);
            ca_sink_flush(sink);
        }
    }
    return true;
}

/* The kind is the oldest frame. */
bool ca_leaks_write_folded(const struct ca_leaks_found *found, struct ca_error **ret_error)
{
    (void)ret_error;
    struct ca_sink *sink = &found->run->sink;
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        const struct ca_leak_groups *groups = &found->kinds[kind];
        for (size_t i = 0; i < groups->shown; i++) {
            const struct ca_statistic *item = &groups->statistics->items[i];
            if (item->size == 0) {
                continue;
            }
            ca_text_printf(&sink->text, "%s%s", ca_leak_words[kind], item->frame_count ? ";" : "");
            ca_folded_add_frames(&sink->text, found->snapshot, item->frames, item->frame_count,
                                 ca_flames_label(groups->statistics->key));
            ca_text_add(&sink->text, " ");
            ca_text_add_unsigned(&sink->text, item->size);
            ca_text_add(&sink->text, "\n");
            ca_sink_flush(sink);
        }
    }
    return true;
}
