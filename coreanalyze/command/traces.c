/* traces.c: the command traces: every live block as data, written as it goes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../output/coverage.h"
#include "../output/csv.h"
#include "../output/folded.h"
#include "../terminal/fit.h"
#include "../terminal/progress.h"
#include "../util/grow.h"
#include "problems.h"
#include "selection.h"

struct traces {
    struct ca_run *run;
    struct ca_table *table;
    struct ca_snapshot *snapshot;
    struct ca_selection *selection;
    struct ca_json json;
    /* The last traceback as the format writes it: in canonical order neighbours have equal ones, though not
     * always with the same id: two call instructions of one line. */
    struct ca_text frames;
    uint32_t traceback; /* whose that is; UINT32_MAX = none yet */
    uint32_t total_nframe;
    uint32_t *ids; /* its frames */
    size_t id_count, id_capacity;
};

typedef bool trace_writer(struct traces *traces, const struct ca_trace *trace, struct ca_error **ret_error);

/* Calls `each` for the traces that the options mean. */
static bool traces_each(struct traces *traces, trace_writer *each, struct ca_error **ret_error)
{
    size_t count;
    const struct ca_trace *items = ca_snapshot_traces(traces->snapshot, &count, ret_error);
    if (!items) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        bool keeps;
        ca_progress_count("writing traces", i, count);
        if (!ca_selection_keeps(traces->selection, &items[i], &keeps, ret_error) ||
            (keeps && !each(traces, &items[i], ret_error))) {
            return false;
        }
        ca_sink_flush(&traces->run->sink);
    }
    return true;
}

/* Takes a traceback as the last one. *ret_equal: it is what the last one was. */
static bool frames_remember(struct traces *traces, const uint32_t *frames, size_t count,
                            uint32_t total_nframe, bool *ret_equal)
{
    *ret_equal = traces->traceback != UINT32_MAX && traces->id_count == count &&
                 traces->total_nframe == total_nframe &&
                 (count == 0 || memcmp(traces->ids, frames, count * sizeof *frames) == 0);
    if (*ret_equal) {
        return true;
    }
    if (!CA_GROW(traces->ids, traces->id_capacity, count + 1)) {
        return false;
    }
    memcpy(traces->ids, frames, count * sizeof *frames);
    traces->id_count = count;
    traces->total_nframe = total_nframe;
    return true;
}

/* Makes traces->frames the text of a traceback, by `format`, unless it is already. */
static bool frames_prepare(struct traces *traces, uint32_t traceback,
                           bool (*format)(struct traces *traces, const uint32_t *frames, size_t count),
                           struct ca_error **ret_error)
{
    if (traces->traceback == traceback) {
        return true;
    }
    uint32_t total_nframe = ca_snapshot_total_nframe(traces->snapshot, traceback);
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(traces->snapshot, traceback, SIZE_MAX, &count, ret_error);
    if (!frames) {
        return false;
    }
    bool equal;
    if (!frames_remember(traces, frames, count, total_nframe, &equal)) {
        return ca_fail_memory(ret_error);
    }
    traces->traceback = traceback;
    if (equal) {
        return true;
    }
    traces->frames.size = 0;
    ca_text_add(&traces->frames, "");
    bool done = format(traces, traces->ids, count);
    ca_text_fit(&traces->frames);
    return (done && !traces->frames.failed) || ca_fail_memory(ret_error);
}

static void add_frames(struct ca_text *text, const struct traces *traces)
{
    ca_text_add_bytes(text, traces->frames.bytes, traces->frames.size);
}

/* --------------------------------------------------------------------------------------------------- text */

static bool frames_text(struct traces *traces, const uint32_t *frames, size_t count)
{
    const struct ca_options *options = &traces->run->options;
    int64_t limit = options->nframe.value > INT64_MAX ? INT64_MAX : (int64_t)options->nframe.value;
    return ca_traceback_format(&traces->frames, traces->snapshot, frames, count, options->nframe.given, limit,
                               false, !options->no_source);
}

static bool trace_text(struct traces *traces, const struct ca_trace *trace, struct ca_error **ret_error)
{
    if (!frames_prepare(traces, trace->traceback, frames_text, ret_error)) {
        return false;
    }
    struct ca_text *text = &traces->run->sink.text;
    ca_text_printf(text, "%" PRIu64 " bytes", trace->size);
    if (trace->address) { /* snapshot files hold none */
        ca_text_printf(text, " at 0x%" PRIx64, trace->address);
    }
    if (trace->domain) {
        ca_text_printf(text, ", domain %" PRIu32, trace->domain);
    }
    if (trace->thread) {
        ca_text_printf(text, ", thread %" PRIu32, trace->thread);
    }
    ca_text_add(text, "\n");
    add_frames(text, traces);
    return true;
}

static bool write_text(struct traces *traces, struct ca_error **ret_error)
{
    traces->frames.escape_names = true;
    traces->frames.short_names = traces->run->options.short_names;
    traces->frames.look = traces->run->sink.text.look;
    if (!traces_each(traces, trace_text, ret_error)) {
        return false;
    }
    ca_coverage_add_text(&traces->run->sink.text, "coverage", traces->table);
    return true;
}

/* --------------------------------------------------------------------------------------------------- JSON */

static bool frames_json(struct traces *traces, const uint32_t *frames, size_t count)
{
    struct ca_json json = {.text = &traces->frames};
    ca_json_array_open(&json, "frames");
    for (size_t i = count; i-- > 0;) {
        const struct ca_frame *frame = ca_snapshot_frame(traces->snapshot, frames[i]);
        ca_json_array_open(&json, NULL);
        ca_json_string(&json, NULL, ca_snapshot_string(traces->snapshot, frame->filename));
        ca_json_unsigned(&json, NULL, frame->lineno);
        ca_json_array_close(&json);
    }
    ca_json_array_close(&json);
    if (traces->total_nframe == CA_TOTAL_UNKNOWN) {
        ca_json_null(&json, "total_nframe");
    } else {
        ca_json_unsigned(&json, "total_nframe", traces->total_nframe);
    }
    return true;
}

static bool trace_json(struct traces *traces, const struct ca_trace *trace, struct ca_error **ret_error)
{
    if (!frames_prepare(traces, trace->traceback, frames_json, ret_error)) {
        return false;
    }
    struct ca_json *json = &traces->json;
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    ca_json_unsigned(json, "domain", trace->domain);
    ca_json_unsigned(json, "size", trace->size);
    ca_json_members(json, &traces->frames);
    if (trace->thread) {
        ca_json_unsigned(json, "thread", trace->thread);
    } else {
        ca_json_null(json, "thread");
    }
    ca_json_address(json, "address", trace->address);
    ca_json_object_close(json);
    return true;
}

static bool write_json(struct traces *traces, struct ca_error **ret_error)
{
    struct ca_json *json = &traces->json;
    json->text = &traces->run->sink.text;
    ca_json_object_open(json, NULL);
    ca_json_unsigned(json, "traceback_limit", ca_snapshot_limit(traces->snapshot));
    ca_json_line(json);
    ca_json_array_open(json, "traces");
    if (!traces_each(traces, trace_json, ret_error)) {
        return false;
    }
    ca_json_array_close(json);
    ca_coverage_add_json(json, "coverage", &traces->table->coverage);
    ca_json_object_close(json);
    ca_text_add(json->text, "\n");
    return true;
}

/* ----------------------------------------------------------------------------------------- CSV and folded */

static bool frames_csv(struct traces *traces, const uint32_t *frames, size_t count)
{
    struct ca_text field = {0};
    ca_folded_add_frames(&field, traces->snapshot, frames, count, CA_FOLDED_LINES);
    ca_csv_add_text(&traces->frames, &field);
    ca_text_deinit(&field);
    return true;
}

static bool trace_csv(struct traces *traces, const struct ca_trace *trace, struct ca_error **ret_error)
{
    if (!frames_prepare(traces, trace->traceback, frames_csv, ret_error)) {
        return false;
    }
    struct ca_text *text = &traces->run->sink.text;
    ca_text_printf(text, "%" PRIu32 ",%" PRIu64 ",", trace->domain, trace->size);
    if (trace->address) {
        ca_text_printf(text, "0x%" PRIx64, trace->address);
    }
    ca_text_add(text, ",");
    if (trace->thread) {
        ca_text_printf(text, "%" PRIu32, trace->thread);
    }
    ca_text_add(text, ",");
    if (traces->total_nframe != CA_TOTAL_UNKNOWN) {
        ca_text_printf(text, "%" PRIu32, traces->total_nframe);
    }
    ca_text_add(text, ",");
    add_frames(text, traces);
    ca_text_add(text, "\r\n");
    return true;
}

static bool write_csv(struct traces *traces, struct ca_error **ret_error)
{
    ca_text_add(&traces->run->sink.text, "domain,size,address,thread,total_nframe,traceback\r\n");
    return traces_each(traces, trace_csv, ret_error);
}

static bool frames_folded(struct traces *traces, const uint32_t *frames, size_t count)
{
    ca_folded_add_frames(&traces->frames, traces->snapshot, frames, count, CA_FOLDED_FUNCTIONS);
    return true;
}

static bool trace_folded(struct traces *traces, const struct ca_trace *trace, struct ca_error **ret_error)
{
    if (!frames_prepare(traces, trace->traceback, frames_folded, ret_error)) {
        return false;
    }
    add_frames(&traces->run->sink.text, traces);
    ca_text_printf(&traces->run->sink.text, " %" PRIu64 "\n", trace->size);
    return true;
}

static bool write_folded(struct traces *traces, struct ca_error **ret_error)
{
    return traces_each(traces, trace_folded, ret_error);
}

/* ------------------------------------------------------------------------------------------------ command */

static bool write_traces(struct traces *traces, struct ca_error **ret_error)
{
    static bool (*const writers[])(struct traces *, struct ca_error **) = {
        [CA_FORMAT_TEXT] = write_text,
        [CA_FORMAT_JSON] = write_json,
        [CA_FORMAT_CSV] = write_csv,
        [CA_FORMAT_FOLDED] = write_folded,
    };
    struct ca_run *run = traces->run;
    if (!writers[run->options.format](traces, ret_error)) {
        return false;
    }
    if (run->options.format == CA_FORMAT_CSV || run->options.format == CA_FORMAT_FOLDED) {
        struct ca_text text = {0};
        ca_coverage_add_text(&text, "coverage", traces->table);
        ca_message_print(run->output, "%.*s", text.failed ? 0 : (int)text.size - 1,
                         text.failed ? "" : text.bytes);
        ca_text_deinit(&text);
    }
    run->partial = !ca_coverage_is_complete(traces->table);
    return true;
}

bool ca_run_traces(struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    struct ca_target *target = run->targets[0];
    if (options->format == CA_FORMAT_PPROF) {
        return ca_run_save(run, ret_error);
    }
    struct traces traces = {.run = run, .traceback = UINT32_MAX};
    traces.table = ca_target_table(target, ret_error);
    if (!traces.table) {
        return false;
    }
    traces.snapshot =
        ca_target_snapshot(target, options->skip.items, options->skip.count, options->no_skip, ret_error);
    if (!traces.snapshot) {
        return false;
    }
    traces.selection = ca_selection_create(options, traces.table, traces.snapshot, ret_error);
    bool done =
        traces.selection && write_traces(&traces, ret_error) && ca_problems_print_all(run, target, ret_error);
    ca_selection_destroy(traces.selection);
    ca_text_deinit(&traces.frames);
    free(traces.ids);
    return done;
}
