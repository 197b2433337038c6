/* statistics.h: tracemalloc's statistics, differences, filters and texts, exactly as CPython computes them. */
#ifndef CA_SNAPSHOT_STATISTICS_H
#define CA_SNAPSHOT_STATISTICS_H

#include "snapshot.h"

enum ca_key {
    CA_KEY_LINENO,
    CA_KEY_FILENAME,
    CA_KEY_TRACEBACK,
    CA_KEY_FUNCTION, /* label = the function, or the file name where that is unknown */
    CA_KEY_MODULE,   /* label = the module's path, or <unknown> */
    CA_KEY_DOMAIN,   /* label = "domain N" */
    CA_KEY_THREAD,   /* label = "thread TID" */
};

/* One group. For LINENO the group's frame has the file name and line, for FILENAME line 0, for the label keys the label as
 * file name and line 0. `function` and `module` are filled where all of a group agrees on them, else 0. */
struct ca_statistic {
    unsigned __int128 size;
    unsigned __int128 count;
    __int128 size_diff; /* compare_to only */
    __int128 count_diff;
    uint32_t *frames; /* frame ids, most recent first */
    size_t frame_count;
};

struct ca_statistics {
    struct ca_statistic *items; /* sorted as tracemalloc sorts */
    size_t count;
    unsigned __int128 total_size; /* over the weights, each once, whatever cumulative does */
    uint64_t total_count;
    enum ca_key key;
    struct ca_snapshot *snapshot; /* whose ids the frames are; borrowed */
};

/* cumulative: once per frame occurrence (CPython); with unique, once per trace and group (our named extension). */
enum ca_cumulative { CA_CUMULATIVE_OFF, CA_CUMULATIVE_ON, CA_CUMULATIVE_UNIQUE };

bool ca_statistics_compute(struct ca_snapshot *snapshot, const struct ca_weight *weights, size_t weight_count,
                           enum ca_key key, enum ca_cumulative cumulative, struct ca_statistics **ret_statistics,
                           struct ca_error **ret_error);
/* new.compare_to(old): ids of the result are those of `new_snapshot`. */
bool ca_statistics_compare(struct ca_snapshot *new_snapshot, const struct ca_weight *new_weights, size_t new_count,
                           struct ca_snapshot *old_snapshot, const struct ca_weight *old_weights, size_t old_count,
                           enum ca_key key, enum ca_cumulative cumulative, struct ca_statistics **ret_statistics,
                           struct ca_error **ret_error);
void ca_statistics_destroy(struct ca_statistics *statistics);

/* ------------------------------------------------------------------------------------------------------ filters */
struct ca_filter {
    bool inclusive;
    bool domain_only;    /* DomainFilter: only `domain` counts */
    const char *pattern; /* glob over file names, not yet normalised; borrowed */
    size_t pattern_size;
    bool has_lineno;
    uint64_t lineno;
    bool all_frames;
    bool has_domain;
    uint32_t domain;
};

/* Keeps of weights[0..*count) what the filters keep, in place and in order. */
bool ca_filter_weights(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                       struct ca_weight *weights, size_t *count, struct ca_error **ret_error);
/* The same decision for one trace. */
bool ca_filter_keeps(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count, uint32_t domain,
                     uint32_t traceback, bool *ret_keeps, struct ca_error **ret_error);

/* fnmatch.fnmatchcase over code points (invalid bytes count as one code point each, U+DC80 + byte - 0x80). */
bool ca_pattern_matches(const char *pattern, size_t pattern_size, const char *text, size_t text_size);

/* ------------------------------------------------------------------------------------------------------ text */

/* _format_size; buffer of at least 48 bytes. */
#define CA_SIZE_TEXT 48
void ca_format_size(char *buffer, double size, bool sign);

struct ca_text; /* util/text.h: a growing buffer */

/* "NAME:LINE: size=..., count=..., average=..." and its diff form, without newline; label keys without ":LINE". */
bool ca_statistic_format(struct ca_text *text, const struct ca_statistics *statistics, const struct ca_statistic *item,
                         bool diff);
/* Traceback.format(limit, most_recent_first): lines each ended by "\n", before each `indent`. has_limit false = None. */
bool ca_traceback_format(struct ca_text *text, struct ca_snapshot *snapshot, const uint32_t *frames, size_t frame_count,
                         bool has_limit, int64_t limit, bool most_recent_first, bool source);

/* linecache.getline(name, lineno).strip(): borrowed until ca_linecache_clear; "" = none. */
const char *ca_linecache_line(const char *filename, uint64_t lineno);
void ca_linecache_clear(void);

#endif
