/* listing.c: statistics as text, in tracemalloc's words. */
#include "listing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "coverage.h"

bool ca_name_is_address(const char *filename, size_t *ret_module_size)
{
    *ret_module_size = 0;
    if (strcmp(filename, "<unknown>") == 0) {
        return true;
    }
    size_t size = strlen(filename);
    if (size == 0 || filename[size - 1] != ')') {
        return false;
    }
    const char *open = strrchr(filename, '(');
    if (!open || strncmp(open, "(+0x", 4) != 0 ||
        strspn(open + 4, "0123456789abcdef") != (size_t)(filename + size - 1 - (open + 4))) {
        return false;
    }
    *ret_module_size = (size_t)(open - filename);
    return true;
}

void ca_listing_add_coverage(const struct ca_listing *listing, struct ca_text *text)
{
    if (listing->old_table) {
        ca_coverage_add_text(text, "coverage of the old", listing->old_table);
    }
    ca_coverage_add_text(text, "coverage", listing->table);
}

/* --------------------------------------------------------------------------------------------------- text */

static void add_heading(const struct ca_listing *listing, struct ca_text *text)
{
    static const char *const values[] = {
        [CA_VALUE_LIVE] = "", [CA_VALUE_PEAK] = " at the peak", [CA_VALUE_TOTAL] = " since the start"};
    uint64_t number = listing->asked ? listing->asked : listing->statistics->count;
    ca_text_style(text, CA_STYLE_TITLE);
    ca_text_printf(text, "[ Top %" PRIu64 "%s%s ]", number, listing->diff ? " differences" : "",
                   values[listing->value]);
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_text_add(text, "\n");
}

/* "%.1f KiB", and " (%+.1f KiB)" for a diff, as tracemalloc's recipes print sums. */
static void add_sum(const struct ca_listing *listing, struct ca_text *text, const struct ca_sum *sum)
{
    ca_text_style(text, CA_STYLE_SIZE);
    ca_text_printf(text, "%.1f KiB", (double)sum->size / 1024);
    ca_text_style(text, CA_STYLE_PLAIN);
    if (listing->diff) {
        ca_text_add(text, " (");
        ca_text_style(text, ca_style_of_change(sum->size_diff));
        ca_text_printf(text, "%+.1f KiB", (double)sum->size_diff / 1024);
        ca_text_style(text, CA_STYLE_PLAIN);
        ca_text_add(text, ")");
    }
}

static void add_source_line(const struct ca_listing *listing, struct ca_text *text,
                            const struct ca_frame *frame)
{
    if (frame->lineno == 0) { /* the name may be a label, such as the path of a core */
        return;
    }
    const char *line =
        ca_linecache_line(ca_snapshot_string(listing->statistics->snapshot, frame->filename), frame->lineno);
    if (line[0]) {
        ca_text_add(text, "    ");
        ca_text_add_line_bytes(text, line, strlen(line));
        ca_text_add(text, "\n");
    }
}

static void add_caller(const struct ca_listing *listing, struct ca_text *text, uint32_t caller)
{
    const struct ca_frame *frame = ca_snapshot_frame(listing->statistics->snapshot, caller);
    ca_text_add(text, "    called from ");
    ca_text_add_name(text, ca_snapshot_string(listing->statistics->snapshot, frame->filename));
    if (frame->lineno) {
        ca_text_printf(text, ":%" PRIu32, frame->lineno);
    }
    ca_text_add(text, "\n");
}

/* "903 memory blocks: 870.1 KiB", then Traceback.format(). */
static bool add_traceback(const struct ca_listing *listing, struct ca_text *text,
                          const struct ca_statistic *item)
{
    struct ca_sum sum = {item->size, item->count, item->size_diff, item->count_diff};
    ca_text_add_unsigned(text, item->count);
    ca_text_add(text, " memory blocks");
    if (listing->diff) {
        ca_text_add(text, " (");
        ca_text_style(text, ca_style_of_change(item->count_diff));
        ca_text_add_integer(text, item->count_diff, true);
        ca_text_style(text, CA_STYLE_PLAIN);
        ca_text_add(text, ")");
    }
    ca_text_add(text, ": ");
    add_sum(listing, text, &sum);
    ca_text_add(text, "\n");
    int64_t limit = listing->nframe > INT64_MAX ? INT64_MAX : (int64_t)listing->nframe;
    return ca_traceback_format(text, listing->statistics->snapshot, item->frames, item->frame_count,
                               listing->has_nframe, limit, false, listing->source);
}

static bool add_item(const struct ca_listing *listing, struct ca_text *text, const struct ca_statistic *item,
                     uint32_t caller)
{
    if (listing->statistics->key == CA_KEY_TRACEBACK) {
        return add_traceback(listing, text, item);
    }
    if (!ca_statistic_format(text, listing->statistics, item, listing->diff)) {
        return false;
    }
    ca_text_add(text, "\n");
    if (caller != CA_NO_CALLER) {
        add_caller(listing, text, caller);
    }
    if (listing->source && item->frame_count) {
        add_source_line(listing, text, ca_snapshot_frame(listing->statistics->snapshot, item->frames[0]));
    }
    return true;
}

static void add_totals(const struct ca_listing *listing, struct ca_text *text)
{
    static const char *const totals[] = {[CA_VALUE_LIVE] = "Total allocated size",
                                         [CA_VALUE_PEAK] = "Total size at the peak",
                                         [CA_VALUE_TOTAL] = "Total size allocated since the start"};
    size_t others = listing->statistics->count - listing->shown;
    if (others) {
        ca_text_printf(text, "%zu other: ", others);
        add_sum(listing, text, &listing->other);
        ca_text_add(text, "\n");
    }
    ca_text_printf(text, "%s: ", totals[listing->value]);
    add_sum(listing, text, &listing->total);
    ca_text_add(text, "\n");
    bool complete = ca_coverage_is_complete(listing->table) &&
                    (!listing->old_table || ca_coverage_is_complete(listing->old_table));
    ca_text_style(text, complete ? CA_STYLE_NOTE : CA_STYLE_ALARM);
    ca_listing_add_coverage(listing, text);
    ca_text_style(text, CA_STYLE_PLAIN);
}

bool ca_listing_write_text(const struct ca_listing *listing, struct ca_sink *sink,
                           struct ca_error **ret_error)
{
    uint32_t *callers = NULL;
    if (!ca_callers_find(listing, &callers, ret_error)) {
        return false;
    }
    add_heading(listing, &sink->text);
    bool done = true;
    for (size_t i = 0; i < listing->shown && done; i++) {
        done = add_item(listing, &sink->text, &listing->statistics->items[i],
                        callers ? callers[i] : CA_NO_CALLER) ||
               ca_fail_memory(ret_error);
        ca_sink_flush(sink);
    }
    free(callers);
    add_totals(listing, &sink->text);
    return done;
}
