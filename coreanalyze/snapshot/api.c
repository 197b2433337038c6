/* api.c: tracemalloc's API as plain data, for Python: see coreanalyze.h. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "internal.h"
#include "texts.h"

/* ------------------------------------------------------------------------------------ snapshots in */

/* Ids of the caller's arrays in terms of the snapshot that is made. */
struct import {
    const struct ca_arrays *arrays;
    struct ca_snapshot *snapshot;
    uint32_t *strings, *frames, *tracebacks;
    uint32_t *sequence; /* the frames of a traceback */
    size_t sequence_capacity;
};

static bool import_fail(struct ca_error **ret_error, const char *what, size_t number, uint64_t value,
                        size_t count)
{
    return ca_fail(ret_error, CA_USAGE, "%s %zu refers to number %llu, but there are only %zu", what, number,
                   (unsigned long long)value, count);
}

static bool import_strings(struct import *import, struct ca_error **ret_error)
{
    const struct ca_arrays *arrays = import->arrays;
    for (size_t i = 0; i < arrays->string_count; i++) {
        const struct ca_string_span *string = &arrays->strings[i];
        const char *bytes = string->size != 0 ? arrays->string_bytes + string->offset : "";
        import->strings[i] = ca_snapshot_add_string(import->snapshot, bytes, string->size);
        if (import->strings[i] == UINT32_MAX) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

static bool import_frames(struct import *import, struct ca_error **ret_error)
{
    const struct ca_arrays *arrays = import->arrays;
    for (size_t i = 0; i < arrays->frame_count; i++) {
        struct ca_frame frame = arrays->frames[i];
        uint32_t *const names[] = {&frame.filename, &frame.function, &frame.module};
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            /* 0, unknown, needs no string 0 */
            if (*names[n] >= arrays->string_count && (*names[n] != 0 || n == 0)) {
                return import_fail(ret_error, "frame", i, *names[n], arrays->string_count);
            }
            *names[n] = n != 0 && *names[n] == 0 ? 0 : import->strings[*names[n]];
        }
        import->frames[i] = ca_snapshot_add_frame(import->snapshot, &frame);
        if (import->frames[i] == UINT32_MAX) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

static bool import_traceback(struct import *import, size_t number, struct ca_error **ret_error)
{
    const struct ca_arrays *arrays = import->arrays;
    const struct ca_traceback_span *span = &arrays->tracebacks[number];
    if (span->first > arrays->traceback_frame_count ||
        span->count > arrays->traceback_frame_count - span->first) {
        return import_fail(ret_error, "traceback", number, span->first + span->count,
                           arrays->traceback_frame_count);
    }
    if (!CA_GROW(import->sequence, import->sequence_capacity, (size_t)span->count + 1)) {
        return ca_fail_memory(ret_error);
    }
    for (uint32_t i = 0; i < span->count; i++) {
        uint32_t frame = arrays->traceback_frames[span->first + i];
        if (frame >= arrays->frame_count) {
            return import_fail(ret_error, "traceback", number, frame, arrays->frame_count);
        }
        import->sequence[i] = import->frames[frame];
    }
    import->tracebacks[number] =
        ca_snapshot_add_traceback(import->snapshot, import->sequence, span->count, span->total_nframe);
    return import->tracebacks[number] != UINT32_MAX || ca_fail_memory(ret_error);
}

static bool import_traces(struct import *import, struct ca_error **ret_error)
{
    const struct ca_arrays *arrays = import->arrays;
    for (size_t i = 0; i < arrays->trace_count; i++) {
        struct ca_trace trace = arrays->traces[i];
        if (trace.traceback >= arrays->traceback_count) {
            return import_fail(ret_error, "trace", i, trace.traceback, arrays->traceback_count);
        }
        trace.traceback = import->tracebacks[trace.traceback];
        if (!ca_snapshot_add_trace(import->snapshot, &trace)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

static bool import_all(struct import *import, struct ca_error **ret_error)
{
    const struct ca_arrays *arrays = import->arrays;
    import->strings = calloc(arrays->string_count + 1, sizeof(uint32_t));
    import->frames = calloc(arrays->frame_count + 1, sizeof(uint32_t));
    import->tracebacks = calloc(arrays->traceback_count + 1, sizeof(uint32_t));
    if (import->strings == NULL || import->frames == NULL || import->tracebacks == NULL) {
        return ca_fail_memory(ret_error);
    }
    if (!import_strings(import, ret_error) || !import_frames(import, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < arrays->traceback_count; i++) {
        if (!import_traceback(import, i, ret_error)) {
            return false;
        }
    }
    return import_traces(import, ret_error);
}

struct ca_snapshot *ca_snapshot_create_from(const struct ca_arrays *arrays, struct ca_error **ret_error)
{
    struct import import = {.arrays = arrays, .snapshot = ca_snapshot_create(arrays->limit, ret_error)};
    if (import.snapshot == NULL) {
        return NULL;
    }
    bool ok = import_all(&import, ret_error);
    free(import.strings);
    free(import.frames);
    free(import.tracebacks);
    free(import.sequence);
    if (!ok) {
        ca_snapshot_destroy(import.snapshot);
        return NULL;
    }
    return import.snapshot;
}

/* ------------------------------------------------------------------------------------ snapshots out */

/* Every trace read and every traceback of one resolved. */
static bool resolve_all(struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    size_t count = 0;
    if (ca_snapshot_traces(snapshot, &count, ret_error) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < snapshot->traceback_count; i++) {
        size_t frames = 0;
        if (ca_snapshot_traceback(snapshot, i, SIZE_MAX, &frames, ret_error) == NULL) {
            return false;
        }
    }
    return true;
}

bool ca_snapshot_export(struct ca_snapshot *snapshot, bool traces, struct ca_arrays *ret_arrays,
                        struct ca_error **ret_error)
{
    if (traces && !resolve_all(snapshot, ret_error)) {
        return false;
    }
    struct ca_arrays arrays = {.string_bytes = snapshot->string_bytes,
                               .strings = snapshot->strings,
                               .string_count = snapshot->string_count,
                               .frames = snapshot->frames,
                               .frame_count = snapshot->frame_count,
                               .limit = snapshot->limit};
    if (traces) {
        arrays.traceback_frames = snapshot->traceback_frames;
        arrays.traceback_frame_count = snapshot->traceback_frame_count;
        arrays.tracebacks = snapshot->tracebacks;
        arrays.traceback_count = snapshot->traceback_count;
        arrays.traces = snapshot->traces;
        arrays.trace_count = snapshot->trace_count;
    }
    *ret_arrays = arrays;
    return true;
}

/* ------------------------------------------------------------------------------------ filters */

/* A snapshot of some of another's traces; ids of the other in terms of the new one, + 1, 0 = not copied yet.
 */
struct extract {
    struct ca_snapshot *from;
    struct ca_snapshot *to;
    uint32_t *frames, *tracebacks;
    size_t frames_capacity;
    size_t tracebacks_capacity;
    uint32_t *sequence;
    size_t sequence_capacity;
};

/* The slot of `id`; NULL when out of memory. */
static uint32_t *extract_slot(uint32_t **map, size_t *capacity, uint32_t id)
{
    size_t old = *capacity;
    if (id >= old) {
        if (!CA_GROW(*map, *capacity, (size_t)id + 1)) {
            return NULL;
        }
        memset(*map + old, 0, (*capacity - old) * sizeof(**map));
    }
    return &(*map)[id];
}

static uint32_t extract_string(const struct extract *extract, uint32_t string)
{
    return ca_snapshot_add_string(extract->to, ca_snapshot_string(extract->from, string),
                                  ca_snapshot_string_size(extract->from, string));
}

static uint32_t extract_frame(struct extract *extract, uint32_t id)
{
    uint32_t *slot = extract_slot(&extract->frames, &extract->frames_capacity, id);
    if (slot == NULL) {
        return UINT32_MAX;
    }
    if (*slot == 0) {
        struct ca_frame frame = *ca_snapshot_frame(extract->from, id);
        frame.filename = extract_string(extract, frame.filename);
        frame.function = extract_string(extract, frame.function);
        frame.module = extract_string(extract, frame.module);
        if (frame.filename == UINT32_MAX || frame.function == UINT32_MAX || frame.module == UINT32_MAX) {
            return UINT32_MAX;
        }
        *slot = ca_snapshot_add_frame(extract->to, &frame) + 1; /* UINT32_MAX becomes 0: not copied */
    }
    return *slot - 1;
}

static bool extract_traceback(struct extract *extract, uint32_t id, uint32_t *ret_id,
                              struct ca_error **ret_error)
{
    uint32_t *slot = extract_slot(&extract->tracebacks, &extract->tracebacks_capacity, id);
    if (slot == NULL) {
        return ca_fail_memory(ret_error);
    }
    if (*slot == 0) {
        size_t count = 0;
        const uint32_t *frames = ca_snapshot_traceback(extract->from, id, SIZE_MAX, &count, ret_error);
        if (frames == NULL) {
            return false;
        }
        if (!CA_GROW(extract->sequence, extract->sequence_capacity, count + 1)) {
            return ca_fail_memory(ret_error);
        }
        for (size_t i = 0; i < count; i++) {
            extract->sequence[i] = extract_frame(extract, frames[i]);
            if (extract->sequence[i] == UINT32_MAX) {
                return ca_fail_memory(ret_error);
            }
        }
        uint32_t total_nframe = ca_snapshot_total_nframe(extract->from, id);
        *slot = ca_snapshot_add_traceback(extract->to, extract->sequence, count, total_nframe) + 1;
        if (*slot == 0) {
            return ca_fail_memory(ret_error);
        }
    }
    *ret_id = *slot - 1;
    return true;
}

static bool extract_traces(struct extract *extract, struct ca_filter_set *set, struct ca_error **ret_error)
{
    size_t count = 0;
    const struct ca_trace *traces = ca_snapshot_traces(extract->from, &count, ret_error);
    if (traces == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct ca_trace trace = traces[i];
        bool keeps = false;
        if (!ca_filter_set_keeps(set, trace.domain, trace.traceback, &keeps, ret_error)) {
            return false;
        }
        if (!keeps) {
            continue;
        }
        if (!extract_traceback(extract, trace.traceback, &trace.traceback, ret_error)) {
            return false;
        }
        if (!ca_snapshot_add_trace(extract->to, &trace)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

struct ca_snapshot *ca_snapshot_filter(struct ca_snapshot *snapshot, const struct ca_filter *filters,
                                       size_t filter_count, struct ca_error **ret_error)
{
    struct extract extract = {.from = snapshot, .to = ca_snapshot_create(snapshot->limit, ret_error)};
    if (extract.to == NULL) {
        return NULL;
    }
    struct ca_filter_set *set = ca_filter_set_create(snapshot, filters, filter_count, ret_error);
    bool ok = set != NULL && extract_traces(&extract, set, ret_error);
    ca_filter_set_destroy(set);
    free(extract.frames);
    free(extract.tracebacks);
    free(extract.sequence);
    if (!ok) {
        ca_snapshot_destroy(extract.to);
        return NULL;
    }
    uint64_t blocks = extract.to->coverage.blocks;
    extract.to->coverage = *ca_snapshot_coverage(snapshot);
    extract.to->coverage.blocks = blocks;
    return extract.to;
}

/* ------------------------------------------------------------------------------------ statistics */

struct ca_statistics *ca_snapshot_statistics(struct ca_snapshot *snapshot, enum ca_value value,
                                             enum ca_key key, enum ca_cumulative cumulative,
                                             struct ca_error **ret_error)
{
    struct ca_weight *weights = NULL;
    size_t count = 0;
    if (!ca_snapshot_weights(snapshot, value, key == CA_KEY_THREAD, &weights, &count, ret_error)) {
        return NULL;
    }
    struct ca_statistics *statistics = NULL;
    ca_statistics_compute(snapshot, weights, count, key, cumulative, &statistics, ret_error);
    free(weights);
    return statistics;
}

struct ca_statistics *ca_snapshot_compare(struct ca_snapshot *new_snapshot, struct ca_snapshot *old_snapshot,
                                          enum ca_value value, enum ca_key key, enum ca_cumulative cumulative,
                                          struct ca_error **ret_error)
{
    struct ca_weight *new_weights = NULL;
    struct ca_weight *old_weights = NULL;
    size_t new_count = 0;
    size_t old_count = 0;
    struct ca_statistics *statistics = NULL;
    bool by_thread = key == CA_KEY_THREAD;
    if (ca_snapshot_weights(new_snapshot, value, by_thread, &new_weights, &new_count, ret_error) &&
        ca_snapshot_weights(old_snapshot, value, by_thread, &old_weights, &old_count, ret_error)) {
        ca_statistics_compare(new_snapshot, new_weights, new_count, old_snapshot, old_weights, old_count, key,
                              cumulative, &statistics, ret_error);
    }
    free(new_weights);
    free(old_weights);
    return statistics;
}

/* ------------------------------------------------------------------------------------ texts */

void ca_lines_deinit(struct ca_lines *lines)
{
    free(lines->bytes);
    free(lines->ends);
    *lines = (struct ca_lines){0};
}

/* Lines while they are written. */
struct lines {
    struct ca_text text;
    size_t *ends;
    size_t count, capacity;
    bool failed;
};

static void lines_end(struct lines *lines)
{
    if (lines->failed || !CA_GROW(lines->ends, lines->capacity, lines->count + 1)) {
        lines->failed = true;
        return;
    }
    lines->ends[lines->count++] = lines->text.size;
}

static bool lines_finish(struct lines *lines, struct ca_lines *ret_lines)
{
    if (lines->failed || lines->text.failed) {
        free(lines->ends);
        ca_text_deinit(&lines->text);
        return false;
    }
    *ret_lines = (struct ca_lines){
        .bytes = lines->text.bytes, .size = lines->text.size, .ends = lines->ends, .count = lines->count};
    return true;
}

static bool one_line(struct lines *lines, struct ca_lines *ret_lines)
{
    lines_end(lines);
    return lines_finish(lines, ret_lines);
}

bool ca_frame_text(const struct ca_named_frame *frame, enum ca_form form, struct ca_lines *ret_lines)
{
    struct lines lines = {0};
    ca_text_add_frame(&lines.text, frame, form);
    return one_line(&lines, ret_lines);
}

bool ca_traceback_text(const struct ca_named_frame *frames, size_t count, uint32_t total_nframe,
                       enum ca_form form, struct ca_lines *ret_lines)
{
    struct lines lines = {0};
    ca_text_add_traceback(&lines.text, frames, count, total_nframe, form);
    return one_line(&lines, ret_lines);
}

bool ca_trace_text(uint32_t domain, uint64_t size, const struct ca_named_frame *frames, size_t count,
                   uint32_t total_nframe, enum ca_form form, struct ca_lines *ret_lines)
{
    struct lines lines = {0};
    struct ca_text *text = &lines.text;
    if (form == CA_FORM_REPR) {
        ca_text_printf(text, "<Trace domain=%u size=", domain);
        ca_text_add_size(text, (double)size, false);
        ca_text_add(text, ", traceback=");
        ca_text_add_traceback(text, frames, count, total_nframe, form);
        ca_text_add(text, ">");
    } else {
        ca_text_add_traceback(text, frames, count, total_nframe, form);
        ca_text_add(text, ": ");
        ca_text_add_size(text, (double)size, false);
    }
    return one_line(&lines, ret_lines);
}

static unsigned __int128 narrow(struct ca_wide number)
{
    return (unsigned __int128)number.high << 64 | number.low;
}

bool ca_statistic_text(const struct ca_group *group, bool diff, const struct ca_named_frame *frames,
                       size_t count, uint32_t total_nframe, enum ca_form form, struct ca_lines *ret_lines)
{
    struct lines lines = {0};
    struct ca_text *text = &lines.text;
    struct ca_numbers numbers = {.size = narrow(group->size),
                                 .count = narrow(group->count),
                                 .size_diff = (__int128)narrow(group->size_diff),
                                 .count_diff = (__int128)narrow(group->count_diff)};
    if (form == CA_FORM_REPR) {
        ca_text_add(text, diff ? "<StatisticDiff traceback=" : "<Statistic traceback=");
    }
    ca_text_add_traceback(text, frames, count, total_nframe, form);
    ca_text_add_numbers(text, &numbers, diff, form);
    if (form == CA_FORM_REPR) {
        ca_text_add(text, ">");
    }
    return one_line(&lines, ret_lines);
}

bool ca_traceback_lines(const struct ca_named_frame *frames, size_t count, bool has_limit, int64_t limit,
                        bool most_recent_first, struct ca_lines *ret_lines)
{
    struct lines lines = {0};
    struct ca_selection selection = ca_traceback_select(count, has_limit, limit, most_recent_first);
    size_t at = selection.first;
    for (size_t i = 0; i < selection.count; i++, at += (size_t)selection.step) {
        ca_text_add_location(&lines.text, &frames[at]);
        lines_end(&lines);
        if (ca_text_add_source(&lines.text, &frames[at])) {
            lines_end(&lines);
        }
    }
    return lines_finish(&lines, ret_lines);
}
