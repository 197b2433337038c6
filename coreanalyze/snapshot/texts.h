/* texts.h: tracemalloc's texts of frames, tracebacks, traces and statistics, from values: what format.c gives
 * api.c. */
#ifndef CA_SNAPSHOT_TEXTS_H
#define CA_SNAPSHOT_TEXTS_H

#include "../util/text.h"
#include "statistics.h"

/* The numbers of a Statistic or StatisticDiff. */
struct ca_numbers {
    unsigned __int128 size;
    unsigned __int128 count;
    __int128 size_diff;
    __int128 count_diff;
};

/* Frames are most recent first. For str() there is one at least. */
void ca_text_add_frame(struct ca_text *text, const struct ca_named_frame *frame, enum ca_form form);
void ca_text_add_traceback(struct ca_text *text, const struct ca_named_frame *frames, size_t count,
                           uint32_t total_nframe, enum ca_form form);
void ca_text_add_size(struct ca_text *text, double size, bool sign);
/* What follows the traceback in str() or repr(): ": size=..." or " size=..." */
void ca_text_add_numbers(struct ca_text *text, const struct ca_numbers *numbers, bool diff,
                         enum ca_form form);

/* Which frames Traceback.format(limit, most_recent_first) prints, and in which order: the i-th (i < count) is
 * frames[i == 0 ? first : previous + step]. */
struct ca_selection {
    size_t first;
    size_t count;
    int step;
};
struct ca_selection ca_traceback_select(size_t frame_count, bool has_limit, int64_t limit,
                                        bool most_recent_first);
/* `  File "NAME", line N` without newline. */
void ca_text_add_location(struct ca_text *text, const struct ca_named_frame *frame);
/* `    SOURCE` without newline; false if there is no source line and nothing was added. */
bool ca_text_add_source(struct ca_text *text, const struct ca_named_frame *frame);

#endif
