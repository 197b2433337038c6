/* page.c: see page.h. */
#include "page.h"

#include <string.h>

#include "../json.h"
#include "numbers.h"
#include "template.h"

enum { SOURCE_LINE_MAX = 300 }; /* longer ones are no lines that somebody wrote */

struct writer {
    const struct ca_flames *flames;
    struct ca_sink *sink;
    struct ca_json json;
    struct ca_numbers frames;
    struct ca_numbers names;
    struct ca_text scratch;
};

/* -------------------------------------------------------------------------------------------------- items */

static void add_number(struct writer *writer, struct ca_numbers *numbers, uint32_t id)
{
    uint32_t number = ca_numbers_add(numbers, id);
    writer->json.text->failed |= number == CA_NO_NUMBER;
    ca_json_unsigned(&writer->json, NULL, number);
}

static void add_item(struct writer *writer, const struct ca_statistic *item)
{
    struct ca_json *json = &writer->json;
    ca_json_line(json);
    ca_json_array_open(json, NULL);
    ca_json_unsigned(json, NULL, item->size);
    ca_json_unsigned(json, NULL, item->count);
    if (writer->flames->diff) {
        ca_json_integer(json, NULL, item->size_diff);
        ca_json_integer(json, NULL, item->count_diff);
    }
    for (size_t i = item->frame_count; i-- > 0;) {
        add_number(writer, &writer->frames, item->frames[i]);
    }
    ca_json_array_close(json);
}

static void add_items(struct writer *writer, const char *key, const struct ca_statistics *statistics,
                      size_t count)
{
    ca_json_array_open(&writer->json, key);
    for (size_t i = 0; i < count; i++) {
        add_item(writer, &statistics->items[i]);
        ca_sink_flush(writer->sink);
    }
    ca_json_array_close(&writer->json);
}

static void add_parts(struct writer *writer)
{
    struct ca_json *json = &writer->json;
    ca_json_line(json);
    ca_json_array_open(json, "parts");
    for (size_t i = 0; i < writer->flames->part_count; i++) {
        const struct ca_flames_part *part = &writer->flames->parts[i];
        ca_json_object_open(json, NULL);
        ca_json_string(json, "name", part->name);
        add_items(writer, "stacks", part->stacks, part->stack_count);
        if (part->rows == part->stacks) {
            ca_json_unsigned(json, "rows", part->row_count);
        } else {
            add_items(writer, "rows", part->rows, part->row_count);
        }
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
}

/* -------------------------------------------------------------------------------------------------- names */

static void scratch_begin(struct writer *writer)
{
    writer->scratch.size = 0;
    ca_text_add(&writer->scratch, "");
}

static void scratch_end(struct writer *writer)
{
    writer->json.text->failed |= writer->scratch.failed;
    ca_json_string(&writer->json, NULL, writer->scratch.failed ? "" : writer->scratch.bytes);
}

static void add_source_line(struct writer *writer, const struct ca_frame *frame)
{
    const char *line =
        ca_linecache_line(ca_snapshot_string(writer->flames->snapshot, frame->filename), frame->lineno);
    size_t size = strlen(line);
    if (size == 0 || size > SOURCE_LINE_MAX) {
        return;
    }
    scratch_begin(writer);
    ca_text_add_line_bytes(&writer->scratch, line, size);
    scratch_end(writer);
}

static void add_frames(struct writer *writer)
{
    struct ca_json *json = &writer->json;
    ca_json_line(json);
    ca_json_array_open(json, "frames");
    for (size_t i = 0; i < writer->frames.count; i++) {
        const struct ca_frame *frame = ca_snapshot_frame(writer->flames->snapshot, writer->frames.ids[i]);
        ca_json_line(json);
        ca_json_array_open(json, NULL);
        add_number(writer, &writer->names, frame->function);
        add_number(writer, &writer->names, frame->filename);
        ca_json_unsigned(json, NULL, frame->lineno);
        add_number(writer, &writer->names, frame->module);
        if (writer->flames->source && frame->lineno) {
            add_source_line(writer, frame);
        }
        ca_json_array_close(json);
        ca_sink_flush(writer->sink);
    }
    ca_json_array_close(json);
}

static void add_names(struct writer *writer)
{
    ca_json_line(&writer->json);
    ca_json_array_open(&writer->json, "names");
    for (size_t i = 0; i < writer->names.count; i++) {
        scratch_begin(writer);
        ca_text_add_name(&writer->scratch,
                         ca_snapshot_string(writer->flames->snapshot, writer->names.ids[i]));
        ca_json_line(&writer->json);
        scratch_end(writer);
        ca_sink_flush(writer->sink);
    }
    ca_json_array_close(&writer->json);
}

/* --------------------------------------------------------------------------------------------------- head */

static void add_sum(struct ca_json *json, const struct ca_sum *sum)
{
    ca_json_unsigned(json, "size", sum->size);
    ca_json_unsigned(json, "count", sum->count);
    ca_json_integer(json, "size_diff", sum->size_diff);
    ca_json_integer(json, "count_diff", sum->count_diff);
}

static void add_head(struct ca_json *json, const struct ca_flames *flames)
{
    ca_json_string(json, "version", TM_VERSION);
    ca_json_string(json, "command", flames->command);
    ca_json_boolean(json, "diff", flames->diff);
    ca_json_string(json, "title", flames->title);
    ca_json_string(json, "old_title", flames->old_title);
    ca_json_string(json, "key", ca_key_words[flames->key]);
    if (flames->cumulative == CA_CUMULATIVE_UNIQUE) {
        ca_json_string(json, "cumulative", "unique");
    } else {
        ca_json_boolean(json, "cumulative", flames->cumulative == CA_CUMULATIVE_ON);
    }
    ca_json_string(json, "value", ca_value_words[flames->value]);
    ca_json_boolean(json, "complete", flames->complete);
    ca_json_string(json, "notes", flames->notes);
    ca_json_object_open(json, "total");
    add_sum(json, &flames->total);
    ca_json_object_close(json);
    ca_json_object_open(json, "other");
    add_sum(json, &flames->other);
    ca_json_unsigned(json, "groups", flames->other_groups);
    ca_json_object_close(json);
}

bool ca_page_write(const struct ca_flames *flames, struct ca_sink *sink, struct ca_error **ret_error)
{
    struct ca_page_template page;
    if (!ca_page_template_find(&page)) {
        return ca_fail(ret_error, CA_USAGE, "--format html: this build of tm has no page");
    }
    struct writer writer = {
        .flames = flames,
        .sink = sink,
        .json = {.text = &sink->text, .markup = true},
        .scratch = {.short_names = sink->text.short_names},
    };
    ca_text_add_bytes(&sink->text, page.head, page.head_size);
    ca_json_object_open(&writer.json, NULL);
    add_head(&writer.json, flames);
    add_parts(&writer);
    add_frames(&writer);
    add_names(&writer);
    ca_json_object_close(&writer.json);
    ca_text_add_bytes(&sink->text, page.tail, page.tail_size);
    ca_numbers_deinit(&writer.frames);
    ca_numbers_deinit(&writer.names);
    ca_text_deinit(&writer.scratch);
    return true;
}
