/* format.c: tracemalloc's texts, to the byte. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "texts.h"

/* ------------------------------------------------------------------------------------ numbers */

void ca_format_size(char *buffer, double size, bool sign)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (unit < 4 && !(unit != 0 && fabs(size) < 100) && !(fabs(size) < 10 * 1024)) {
        size /= 1024;
        unit++;
    }
    int decimals = unit != 0 && fabs(size) < 100 ? 1 : 0;
    if (sign) {
        snprintf(buffer, CA_SIZE_TEXT, "%+.*f %s", decimals, size, units[unit]);
    } else {
        snprintf(buffer, CA_SIZE_TEXT, "%.*f %s", decimals, size, units[unit]);
    }
}

/* The quotient with 64 more binary digits, and a last one that stands for all that follow: more than the 53
 * of a double and the two that decide its rounding, but for quotients below 2^-9, which no text tells apart.
 */
double ca_average(unsigned __int128 size, unsigned __int128 count)
{
    unsigned __int128 quotient = size / count;
    unsigned __int128 rest = size % count;
    int scale = 0;
    while (scale > -64 && quotient >> 126 == 0) {
        /* 2 * rest may need 129 bits: it reaches count where rest >= count - rest. */
        bool one = rest >= count - rest;
        rest = one ? rest - (count - rest) : rest * 2;
        quotient = quotient << 1 | one;
        scale--;
    }
    return ldexp((double)(quotient | (rest != 0)), scale);
}

void ca_text_add_size(struct ca_text *text, double size, bool sign)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, size, sign);
    ca_text_add(text, buffer);
}

static void add_signed(struct ca_text *text, __int128 number)
{
    ca_text_add_integer(text, number, true);
}

static void add_numbers_repr(struct ca_text *text, const struct ca_numbers *numbers, bool diff)
{
    ca_text_add(text, " size=");
    ca_text_add_unsigned(text, numbers->size);
    if (diff) {
        ca_text_add(text, " (");
        add_signed(text, numbers->size_diff);
        ca_text_add(text, ")");
    }
    ca_text_add(text, " count=");
    ca_text_add_unsigned(text, numbers->count);
    if (diff) {
        ca_text_add(text, " (");
        add_signed(text, numbers->count_diff);
        ca_text_add(text, ")");
    }
}

void ca_text_add_numbers(struct ca_text *text, const struct ca_numbers *numbers, bool diff, enum ca_form form)
{
    if (form == CA_FORM_REPR) {
        add_numbers_repr(text, numbers, diff);
        return;
    }
    ca_text_add(text, ": size=");
    ca_text_style(text, CA_STYLE_SIZE);
    ca_text_add_size(text, (double)numbers->size, false);
    ca_text_style(text, CA_STYLE_PLAIN);
    if (diff) {
        ca_text_add(text, " (");
        ca_text_style(text, ca_style_of_change(numbers->size_diff));
        ca_text_add_size(text, (double)numbers->size_diff, true);
        ca_text_style(text, CA_STYLE_PLAIN);
        ca_text_add(text, ")");
    }
    ca_text_add(text, ", count=");
    ca_text_add_unsigned(text, numbers->count);
    if (diff) {
        ca_text_add(text, " (");
        ca_text_style(text, ca_style_of_change(numbers->count_diff));
        add_signed(text, numbers->count_diff);
        ca_text_style(text, CA_STYLE_PLAIN);
        ca_text_add(text, ")");
    }
    if (numbers->count != 0) {
        ca_text_add(text, ", average=");
        ca_text_add_size(text, ca_average(numbers->size, numbers->count), false);
    }
}

/* ------------------------------------------------------------------------------------ frames */

void ca_text_add_frame(struct ca_text *text, const struct ca_named_frame *frame, enum ca_form form)
{
    if (form == CA_FORM_REPR) {
        ca_text_add(text, "<Frame filename=");
        ca_text_add_repr(text, frame->filename, frame->filename_size);
        ca_text_add(text, " lineno=");
        ca_text_add_unsigned(text, frame->lineno);
        ca_text_add(text, ">");
    } else {
        ca_text_style(text, CA_STYLE_FILE);
        ca_text_add_target(text, frame->filename, frame->filename_size);
        ca_text_add(text, ":");
        ca_text_add_unsigned(text, frame->lineno);
        ca_text_style(text, CA_STYLE_PLAIN);
    }
}

void ca_text_add_traceback(struct ca_text *text, const struct ca_named_frame *frames, size_t count,
                           uint32_t total_nframe, enum ca_form form)
{
    if (form == CA_FORM_STR) {
        ca_text_add_frame(text, &frames[count - 1], form);
        return;
    }
    ca_text_add(text, "<Traceback (");
    for (size_t i = count; i-- > 0;) {
        ca_text_add_frame(text, &frames[i], form);
        ca_text_add(text, i > 0 ? ", " : count == 1 ? "," : "");
    }
    ca_text_add(text, ")");
    if (total_nframe != CA_TOTAL_UNKNOWN) {
        ca_text_printf(text, " total_nframe=%u", total_nframe);
    }
    ca_text_add(text, ">");
}

/* Of L frames, oldest first, a limit n > 0 takes the last n, and n <= 0 the first L + n. Most recent first,
 * the last n are those before n, and the first L + n those from -n on. */
struct ca_selection ca_traceback_select(size_t frame_count, bool has_limit, int64_t limit,
                                        bool most_recent_first)
{
    size_t low = 0;
    size_t high = frame_count;
    if (has_limit && limit > 0) {
        high = (uint64_t)limit < high ? (size_t)limit : high;
    } else if (has_limit) {
        uint64_t dropped = 0 - (uint64_t)limit;
        low = limit == 0 || dropped >= frame_count ? frame_count : (size_t)dropped;
    }
    struct ca_selection selection = {
        .first = most_recent_first ? low : high - 1, .count = high - low, .step = most_recent_first ? 1 : -1};
    return selection;
}

void ca_text_add_location(struct ca_text *text, const struct ca_named_frame *frame)
{
    ca_text_add(text, "  File \"");
    ca_text_add_target(text, frame->filename, frame->filename_size);
    ca_text_add(text, "\", line ");
    ca_text_add_unsigned(text, frame->lineno);
}

bool ca_text_add_source(struct ca_text *text, const struct ca_named_frame *frame)
{
    size_t size = 0;
    const char *line = ca_linecache_find(frame->filename, frame->filename_size, frame->lineno, &size);
    if (size == 0) {
        return false;
    }
    ca_text_add(text, "    ");
    if (text->escape_names) {
        ca_text_add_line_bytes(text, line, size);
    } else {
        ca_text_add_bytes(text, line, size);
    }
    return true;
}

/* ------------------------------------------------------------------------------------ of snapshots */

static struct ca_named_frame named_frame(const struct ca_snapshot *snapshot, uint32_t id)
{
    const struct ca_frame *frame = ca_snapshot_frame(snapshot, id);
    return (struct ca_named_frame){.filename = ca_snapshot_string(snapshot, frame->filename),
                                   .filename_size = ca_snapshot_string_size(snapshot, frame->filename),
                                   .lineno = frame->lineno};
}

bool ca_statistic_format(struct ca_text *text, const struct ca_statistics *statistics,
                         const struct ca_statistic *item, bool diff)
{
    if (item->frame_count != 0) {
        struct ca_named_frame oldest = named_frame(statistics->snapshot, item->frames[item->frame_count - 1]);
        if (statistics->key <= CA_KEY_TRACEBACK) {
            ca_text_add_frame(text, &oldest, CA_FORM_STR);
        } else {
            ca_text_style(text, statistics->key == CA_KEY_FUNCTION || statistics->key == CA_KEY_TYPE
                                    ? CA_STYLE_FUNCTION
                                    : CA_STYLE_FILE);
            ca_text_add_target(text, oldest.filename, oldest.filename_size);
            ca_text_style(text, CA_STYLE_PLAIN);
        }
    }
    struct ca_numbers numbers = {item->size, item->count, item->size_diff, item->count_diff};
    ca_text_add_numbers(text, &numbers, diff, CA_FORM_STR);
    return !text->failed;
}

bool ca_traceback_format(struct ca_text *text, struct ca_snapshot *snapshot, const uint32_t *frames,
                         size_t frame_count, bool has_limit, int64_t limit, bool most_recent_first,
                         bool source)
{
    struct ca_selection selection = ca_traceback_select(frame_count, has_limit, limit, most_recent_first);
    size_t at = selection.first;
    for (size_t i = 0; i < selection.count; i++, at += (size_t)selection.step) {
        struct ca_named_frame frame = named_frame(snapshot, frames[at]);
        ca_text_add_location(text, &frame);
        ca_text_add(text, "\n");
        if (source && ca_text_add_source(text, &frame)) {
            ca_text_add(text, "\n");
        }
    }
    return !text->failed;
}
