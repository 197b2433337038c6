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
    [CA_KEY_THREAD] = "thread",     [CA_KEY_THREAD + 1] = NULL,
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

static struct json_object *frame_json(struct ca_json *json, const struct ca_listing *listing,
                                      const struct ca_frame *frame)
{
    struct json_object *object = ca_json_object(json);
    ca_json_set(json, object, "filename",
                ca_json_name(json, ca_snapshot_string(listing->statistics->snapshot, frame->filename)));
    ca_json_set(json, object, "lineno", ca_json_unsigned(json, frame->lineno));
    ca_json_set(json, object, "function", ca_json_name(json, name_of(listing, frame->function)));
    ca_json_set(json, object, "module", ca_json_name(json, name_of(listing, frame->module)));
    return object;
}

static struct json_object *sum_json(struct ca_json *json, const struct ca_listing *listing,
                                    const struct ca_sum *sum)
{
    struct json_object *object = ca_json_object(json);
    ca_json_set(json, object, "size", ca_json_unsigned(json, sum->size));
    if (listing->diff) {
        ca_json_set(json, object, "size_diff", ca_json_integer(json, sum->size_diff));
    }
    ca_json_set(json, object, "count", ca_json_unsigned(json, sum->count));
    if (listing->diff) {
        ca_json_set(json, object, "count_diff", ca_json_integer(json, sum->count_diff));
    }
    return object;
}

static struct json_object *item_json(struct ca_json *json, const struct ca_listing *listing,
                                     const struct ca_statistic *item)
{
    struct ca_sum sum = {item->size, item->count, item->size_diff, item->count_diff};
    struct json_object *object = sum_json(json, listing, &sum);
    struct json_object *frames = ca_json_array(json);
    for (size_t i = item->frame_count; i-- > 0;) {
        ca_json_append(
            json, frames,
            frame_json(json, listing, ca_snapshot_frame(listing->statistics->snapshot, item->frames[i])));
    }
    ca_json_set(json, object, "traceback", frames);
    return object;
}

static void write_head(struct ca_json *json, const struct ca_listing *listing)
{
    ca_json_member(json, "command", ca_json_name(json, listing->diff ? "diff" : "top"));
    ca_json_member(json, "key_type", ca_json_name(json, ca_key_words[listing->statistics->key]));
    ca_json_member(json, "cumulative",
                   listing->cumulative == CA_CUMULATIVE_UNIQUE
                       ? ca_json_name(json, "unique")
                       : ca_json_boolean(json, listing->cumulative == CA_CUMULATIVE_ON));
    ca_json_member(json, "value", ca_json_name(json, ca_value_words[listing->value]));
}

bool ca_listing_write_json(const struct ca_listing *listing, struct ca_sink *sink,
                           struct ca_error **ret_error)
{
    struct ca_json json;
    ca_json_open(&json, sink);
    write_head(&json, listing);
    ca_json_list_open(&json, "statistics");
    for (size_t i = 0; i < listing->shown; i++) {
        ca_json_list_add(&json, item_json(&json, listing, &listing->statistics->items[i]));
    }
    ca_json_list_close(&json);
    struct json_object *other = sum_json(&json, listing, &listing->other);
    ca_json_set(&json, other, "groups", ca_json_unsigned(&json, listing->statistics->count - listing->shown));
    ca_json_member(&json, "other", other);
    ca_json_member(&json, "total", sum_json(&json, listing, &listing->total));
    ca_json_member(&json, "coverage", ca_coverage_json(&json, &listing->table->coverage));
    if (listing->old_table) {
        ca_json_member(&json, "old_coverage", ca_coverage_json(&json, &listing->old_table->coverage));
    }
    return ca_json_close(&json, ret_error);
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

bool ca_listing_write_csv(const struct ca_listing *listing, struct ca_sink *sink, struct ca_error **ret_error)
{
    (void)ret_error;
    ca_text_printf(&sink->text, "%s,filename,lineno,function,module%s\r\n",
                   listing->diff ? "size,size_diff,count,count_diff" : "size,count",
                   listing->statistics->key == CA_KEY_TRACEBACK ? ",traceback" : "");
    for (size_t i = 0; i < listing->shown; i++) {
        add_row(listing, &sink->text, &listing->statistics->items[i]);
        ca_sink_flush(sink);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------- folded */

bool ca_listing_write_folded(const struct ca_listing *listing, struct ca_sink *sink,
                             struct ca_error **ret_error)
{
    (void)ret_error;
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
    return true;
}
