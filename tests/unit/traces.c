#include "traces.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uint32_t add_word(struct ca_snapshot *snapshot, const char *frame, size_t size, char mark)
{
    const char *at = memchr(frame, mark, size);
    if (at == NULL) {
        return 0;
    }
    const char *end = memchr(at, ' ', size - (size_t)(at - frame));
    end = end != NULL ? end : frame + size;
    uint32_t id = ca_snapshot_add_string(snapshot, at + 1, (size_t)(end - at) - 1);
    ck_assert_uint_ne(id, UINT32_MAX);
    return id;
}

static uint32_t add_frame(struct ca_snapshot *snapshot, const char *text, size_t size)
{
    const char *colon = memrchr(text, ':', size);
    ck_assert_ptr_nonnull(colon);
    struct ca_frame frame = {.filename = ca_snapshot_add_string(snapshot, text, (size_t)(colon - text)),
                             .lineno = (uint32_t)strtoul(colon + 1, NULL, 10),
                             .function = add_word(snapshot, text, size, '@'),
                             .module = add_word(snapshot, text, size, '%')};
    uint32_t id = ca_snapshot_add_frame(snapshot, &frame);
    ck_assert_uint_ne(id, UINT32_MAX);
    return id;
}

uint32_t traces_add_traceback(struct ca_snapshot *snapshot, const char *frames, uint32_t total_nframe)
{
    uint32_t ids[16];
    size_t count = 0;
    while (*frames != '\0') {
        const char *end = strstr(frames, " < ");
        size_t size = end != NULL ? (size_t)(end - frames) : strlen(frames);
        ck_assert_uint_lt(count, 16);
        memmove(ids + 1, ids, count * sizeof(*ids)); /* most recent first */
        ids[0] = add_frame(snapshot, frames, size);
        count++;
        frames += end != NULL ? size + 3 : size;
    }
    uint32_t id = ca_snapshot_add_traceback(snapshot, ids, count, total_nframe);
    ck_assert_uint_ne(id, UINT32_MAX);
    return id;
}

struct ca_snapshot *traces_snapshot(const struct test_trace *traces, size_t count)
{
    struct ca_snapshot *snapshot = ca_snapshot_create(2, NULL);
    ck_assert_ptr_nonnull(snapshot);
    for (size_t i = 0; i < count; i++) {
        struct ca_trace trace = {
            .size = traces[i].size, .domain = traces[i].domain, .thread = traces[i].thread};
        trace.traceback = traces_add_traceback(snapshot, traces[i].frames, traces[i].total_nframe);
        ck_assert(ca_snapshot_add_trace(snapshot, &trace));
    }
    return snapshot;
}

void traces_write_groups(struct ca_text *text, const struct ca_statistics *statistics, bool diff)
{
    for (size_t i = 0; i < statistics->count; i++) {
        const struct ca_statistic *item = &statistics->items[i];
        ca_text_add(text, item->frame_count > 1 ? "[" : "");
        for (size_t f = item->frame_count; f-- > 0;) {
            const struct ca_frame *frame = ca_snapshot_frame(statistics->snapshot, item->frames[f]);
            ca_text_printf(text, "%s:%u%s", ca_snapshot_string(statistics->snapshot, frame->filename),
                           frame->lineno,
                           f > 0                   ? "<"
                           : item->frame_count > 1 ? "]"
                                                   : "");
        }
        ca_text_add(text, " ");
        ca_text_add_unsigned(text, item->size);
        if (diff) {
            ca_text_add(text, " (");
            ca_text_add_integer(text, item->size_diff, true);
            ca_text_add(text, ")");
        }
        ca_text_add(text, "/");
        ca_text_add_unsigned(text, item->count);
        if (diff) {
            ca_text_add(text, " (");
            ca_text_add_integer(text, item->count_diff, true);
            ca_text_add(text, ")");
        }
        ca_text_add(text, "\n");
    }
}

void traces_check_text(struct ca_text *text, const char *expected)
{
    ck_assert(!text->failed);
    ck_assert_str_eq(text->bytes != NULL ? text->bytes : "", expected);
    ca_text_deinit(text);
}

void traces_check(struct ca_snapshot *snapshot, struct ca_snapshot *old, enum ca_key key,
                  enum ca_cumulative cumulative, const char *expected)
{
    struct ca_error *error = NULL;
    struct ca_statistics *statistics =
        old == NULL ? ca_snapshot_statistics(snapshot, CA_VALUE_LIVE, key, cumulative, &error)
                    : ca_snapshot_compare(snapshot, old, CA_VALUE_LIVE, key, cumulative, &error);
    ck_assert_msg(statistics != NULL, "%s", error != NULL ? ca_error_message(error) : "no error");
    struct ca_text text = {0};
    traces_write_groups(&text, statistics, old != NULL);
    traces_check_text(&text, expected);
    ca_statistics_destroy(statistics);
}
