/* statistics.h: tracemalloc's statistics, differences, filters and texts, exactly as CPython computes them.
 */
#ifndef CA_SNAPSHOT_STATISTICS_H
#define CA_SNAPSHOT_STATISTICS_H

#include "snapshot.h"

/* enum ca_key, enum ca_cumulative, struct ca_filter, ca_pattern_matches, ca_format_size, ca_linecache_*: see
 * coreanalyze.h. */

/* One group. For LINENO the group's frame has the file name and line, for FILENAME line 0, for the label keys
 * the label as file name and line 0. `function` and `module` are filled where all of a group agrees on them,
 * else 0. A group of traces with an empty traceback has no frames. */
struct ca_statistic {
    unsigned __int128 size;
    unsigned __int128 count;
    __int128 size_diff; /* compare_to only */
    __int128 count_diff;
    const uint32_t *frames; /* frame ids, most recent first; never NULL */
    size_t frame_count;
    uint32_t traceback; /* id of the group's traceback that holds most; UINT32_MAX: the group is in the old
                           snapshot only */
    uint32_t number;    /* by which `members` of ca_statistics_compute_members names the group */
};

struct ca_statistics {
    struct ca_statistic *items; /* sorted as tracemalloc sorts */
    size_t count;
    unsigned __int128 total_size; /* over the weights, each once, whatever cumulative does */
    uint64_t total_count;
    enum ca_key key;
    struct ca_snapshot *snapshot; /* whose ids the frames are; borrowed */
};

bool ca_statistics_compute(struct ca_snapshot *snapshot, const struct ca_weight *weights, size_t weight_count,
                           enum ca_key key, enum ca_cumulative cumulative,
                           struct ca_statistics **ret_statistics, struct ca_error **ret_error);
/* The same; members[i], of weight_count elements, is the number of the group that weight i went to. Not for
 * cumulative keys. */
bool ca_statistics_compute_members(struct ca_snapshot *snapshot, const struct ca_weight *weights,
                                   size_t weight_count, enum ca_key key, uint32_t *members,
                                   struct ca_statistics **ret_statistics, struct ca_error **ret_error);
/* new.compare_to(old): ids of the result are those of `new_snapshot`. */
bool ca_statistics_compare(struct ca_snapshot *new_snapshot, const struct ca_weight *new_weights,
                           size_t new_count, struct ca_snapshot *old_snapshot,
                           const struct ca_weight *old_weights, size_t old_count, enum ca_key key,
                           enum ca_cumulative cumulative, struct ca_statistics **ret_statistics,
                           struct ca_error **ret_error);

/* ------------------------------------------------------------------------------------ filters */
/* Keeps of weights[0..*count) what the filters keep, in place and in order. */
bool ca_filter_weights(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                       struct ca_weight *weights, size_t *count, struct ca_error **ret_error);
/* The same decision for one trace. */
bool ca_filter_keeps(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                     uint32_t domain, uint32_t traceback, bool *ret_keeps, struct ca_error **ret_error);

/* Filters made ready for many decisions about one snapshot: each pattern meets each name once, each traceback
 * is decided once. The filters are borrowed; the set refers to the snapshot. Caller frees with
 * ca_filter_set_destroy. */
struct ca_filter_set;
struct ca_filter_set *ca_filter_set_create(struct ca_snapshot *snapshot, const struct ca_filter *filters,
                                           size_t filter_count, struct ca_error **ret_error);
void ca_filter_set_destroy(struct ca_filter_set *set); /* NULL is allowed */
bool ca_filter_set_keeps(struct ca_filter_set *set, uint32_t domain, uint32_t traceback, bool *ret_keeps,
                         struct ca_error **ret_error);

/* ------------------------------------------------------------------------------------ text */

struct ca_text; /* util/text.h: a growing buffer */

/* All of these write names and source lines as text->escape_names says (util/text.h): byte for byte as
 * CPython, or made safe for a terminal. They return false when out of memory; text->failed is set then, too.
 */

/* size / count as Python divides integers: correctly rounded. count > 0. */
double ca_average(unsigned __int128 size, unsigned __int128 count);

/* "NAME:LINE: size=..., count=..., average=..." and its diff form, without newline; label keys without
 * ":LINE". */
bool ca_statistic_format(struct ca_text *text, const struct ca_statistics *statistics,
                         const struct ca_statistic *item, bool diff);
/* Traceback.format(limit, most_recent_first): lines each ended by "\n". has_limit false = None. source: with
 * source lines. */
bool ca_traceback_format(struct ca_text *text, struct ca_snapshot *snapshot, const uint32_t *frames,
                         size_t frame_count, bool has_limit, int64_t limit, bool most_recent_first,
                         bool source);

/* As ca_linecache_line; *ret_size: the line may contain NULs. */
const char *ca_linecache_find(const char *filename, size_t filename_size, uint64_t lineno, size_t *ret_size);

#endif
