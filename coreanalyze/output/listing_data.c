/* listing_data.c: statistics as JSON, CSV and folded stacks. */
#include "listing.h"

#include <inttypes.h>
#include <string.h>

#include "coverage.h"
#include "csv.h"
#include "folded.h"
#include "json.h"

const char *const ca_key_words[] = {
    [CA_KEY_LINENO] = "lineno",     [CA_KEY_FILENAME] = "filename", [CA_KEY_TRACEBACK] = "traceback",
    [CA_KEY_FUNCTION] = "function", [CA_KEY_MODULE] = "module",     [CA_KEY_DOMAIN] = "domain",
    [CA_KEY_THREAD] = "thread",     [CA_KEY_TYPE] = "type",         [CA_KEY_SOURCE] = "source",
    [CA_KEY_SOURCE + 1] = NULL,
};
const char *const ca_value_words[] = {[CA_VALUE_LIVE] = "live",
                                      [CA_VALUE_PEAK] = "peak",
                                      [CA_VALUE_TOTAL] = "total",
                                      [CA_VALUE_TOTAL + 1] = NULL};

static const char *name_of(const struct ca_listing *listing, uint32_t string)
{
    return string ? ca_snapshot_string(listing->statistics->snapshot, string) : NULL;
}

/* Keys whose groups are named by something that is no file: one frame with the label as its file name. */
static bool is_label(enum ca_key key)
{
    return key != CA_KEY_LINENO && key != CA_KEY_FILENAME && key != CA_KEY_TRACEBACK;
}

/* --------------------------------------------------------------------------------------------------- JSON */

static void add_frame(struct ca_json *json, const struct ca_listing *listing, const struct ca_frame *frame)
{
    ca_json_object_open(json, NULL);
    ca_json_string(json, "filename", ca_snapshot_string(listing->statistics->snapshot, frame->filename));
    ca_json_unsigned(json, "lineno", frame->lineno);
    ca_json_string(json, "function", name_of(listing, frame->function));
    ca_json_string(json, "module", name_of(listing, frame->module));
    ca_json_object_close(json);
}

static void add_sum(struct ca_json *json, const struct ca_listing *listing, const struct ca_sum *sum)
{
    ca_json_unsigned(json, "size", sum->size);
    if (listing->diff) {
        ca_json_integer(json, "size_diff", sum->size_diff);
    }
    ca_json_unsigned(json, "count", sum->count);
    if (listing->diff) {
        ca_json_integer(json, "count_diff", sum->count_diff);
    }
}

static void add_item(struct ca_json *json, const struct ca_listing *listing, const struct ca_statistic *item)
{
    struct ca_sum sum = {item->size, item->count, item->size_diff, item->count_diff};
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    add_sum(json, listing, &sum);
    ca_json_array_open(json, "traceback");
    for (size_t i = item->frame_count; i-- > 0;) {
        add_frame(json, listing, ca_snapshot_frame(listing->statistics->snapshot, item->frames[i]));
    }
    ca_json_array_close(json);
    ca_json_object_close(json);
}

static void add_head(struct ca_json *json, const struct ca_listing *listing)
{
    ca_json_string(json, "command", listing->diff ? "diff" : "top");
    ca_json_string(json, "key_type", ca_key_words[listing->statistics->key]);
    if (listing->cumulative == CA_CUMULATIVE_UNIQUE) {
        ca_json_string(json, "cumulative", "unique");
    } else {
        ca_json_boolean(json, "cumulative", listing->cumulative == CA_CUMULATIVE_ON);
    }
    ca_json_string(json, "value", ca_value_words[listing->value]);
}

static void add_totals(struct ca_json *json, const struct ca_listing *listing)
{
    ca_json_line(json);
    ca_json_object_open(json, "other");
    add_sum(json, listing, &listing->other);
    ca_json_unsigned(json, "groups", listing->statistics->count - listing->shown);
    ca_json_object_close(json);
    ca_json_line(json);
    ca_json_object_open(json, "total");
    add_sum(json, listing, &listing->total);
    ca_json_object_close(json);
    ca_coverage_add_json(json, "coverage", &listing->table->coverage);
    if (listing->old_table) {
        ca_coverage_add_json(json, "old_coverage", &listing->old_table->coverage);
    }
}

void ca_listing_write_json(const struct ca_listing *listing, struct ca_sink *sink)
{
    struct ca_json json = {.text = &sink->text};
    ca_json_object_open(&json, NULL);
    add_head(&json, listing);
    ca_json_line(&json);
    ca_json_array_open(&json, "statistics");
    for (size_t i = 0; i < listing->shown; i++) {
        add_item(&json, listing, &listing->statistics->items[i]);
        ca_sink_flush(sink);
    }
    ca_json_array_close(&json);
    add_totals(&json, listing);
    ca_json_object_close(&json);
    ca_text_add(&sink->text, "\n");
}

/* ---------------------------------------------------------------------------------------------------- CSV */

static void add_traceback_field(const struct ca_listing *listing, struct ca_text *text,
                                const struct ca_statistic *item)
{
    struct ca_text field = {.escape_names = true};
    ca_folded_add_frames(&field, listing->statistics->snapshot, item->frames, item->frame_count,
                         CA_FOLDED_LINES);
    ca_csv_add_text(text, &field);
    ca_text_deinit(&field);
}

static void add_row(const struct ca_listing *listing, struct ca_text *text, const struct ca_statistic *item)
{
    static const struct ca_frame none;
    const struct ca_frame *frame =
        item->frame_count ? ca_snapshot_frame(listing->statistics->snapshot, item->frames[0]) : &none;
    ca_text_add_unsigned(text, item->size);
    if (listing->diff) {
        ca_text_add(text, ",");
        ca_text_add_integer(text, item->size_diff, false);
    }
    ca_text_add(text, ",");
    ca_text_add_unsigned(text, item->count);
    if (listing->diff) {
        ca_text_add(text, ",");
        ca_text_add_integer(text, item->count_diff, false);
    }
    ca_text_add(text, ",");
    ca_csv_add_name(text, ca_snapshot_string(listing->statistics->snapshot, frame->filename));
    ca_text_printf(text, ",%" PRIu32 ",", frame->lineno);
    ca_csv_add_name(text, name_of(listing, frame->function));
    ca_text_add(text, ",");
    ca_csv_add_name(text, name_of(listing, frame->module));
    if (listing->statistics->key == CA_KEY_TRACEBACK) {
        ca_text_add(text, ",");
        add_traceback_field(listing, text, item);
    }
    ca_text_add(text, "\r\n");
}

void ca_listing_write_csv(const struct ca_listing *listing, struct ca_sink *sink)
{
    ca_text_printf(&sink->text, "%s,filename,lineno,function,module%s\r\n",
                   listing->diff ? "size,size_diff,count,count_diff" : "size,count",
                   listing->statistics->key == CA_KEY_TRACEBACK ? ",traceback" : "");
    for (size_t i = 0; i < listing->shown; i++) {
        add_row(listing, &sink->text, &listing->statistics->items[i]);
        ca_sink_flush(sink);
    }
}

/* ------------------------------------------------------------------------------------------------- folded */

void ca_listing_write_folded(const struct ca_listing *listing, struct ca_sink *sink)
{
    enum ca_key key = listing->statistics->key;
    enum ca_folded_label label = key == CA_KEY_TRACEBACK                   ? CA_FOLDED_FUNCTIONS
                                 : is_label(key) || key == CA_KEY_FILENAME ? CA_FOLDED_NAMES
                                                                           : CA_FOLDED_LINES;
    for (size_t i = 0; i < listing->shown; i++) {
        const struct ca_statistic *item = &listing->statistics->items[i];
        __int128 old = (__int128)item->size - item->size_diff;
        if (item->size == 0 && (!listing->diff || old == 0)) {
            continue;
        }
        ca_folded_add_frames(&sink->text, listing->statistics->snapshot, item->frames, item->frame_count,
                             label);
        ca_text_add(&sink->text, " ");
        if (listing->diff) {
            ca_text_add_integer(&sink->text, old, false);
            ca_text_add(&sink->text, " ");
        }
        ca_text_add_unsigned(&sink->text, item->size);
        ca_text_add(&sink->text, "\n");
        ca_sink_flush(sink);
    }
}
