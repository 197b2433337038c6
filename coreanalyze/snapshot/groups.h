/* groups.h: weights added up by key, before they are sorted: what statistics.c and compare.c share.
 *
 * Whatever the key, a group is a sequence of frame ids, most recent first, and two sequences are the same
 * group if their file names and lines are: a label is the file name of a frame with line 0.
 */
#ifndef CA_SNAPSHOT_GROUPS_H
#define CA_SNAPSHOT_GROUPS_H

#include "index.h"
#include "statistics.h"

struct ca_group_sum {
    unsigned __int128 size;
    unsigned __int128 count;
    unsigned __int128 old_size; /* compare_to: of the old snapshot */
    unsigned __int128 old_count;
    unsigned __int128 heaviest; /* bytes of the heaviest weight, that of `traceback` */
    size_t first;               /* frame ids are groups.frames[first .. first + frame_count) */
    size_t visited;             /* number of the last weight that was added, from 1; 0 = none */
    uint32_t frame_count;
    uint32_t hash;
    uint32_t traceback; /* see struct ca_statistic */
};

struct ca_grouping {
    struct ca_snapshot *snapshot; /* whose ids the frames are; borrowed */
    enum ca_key key;
    enum ca_cumulative cumulative;
    struct ca_group_sum *items;
    size_t count, capacity;
    uint32_t *frames;
    size_t frame_count, frames_capacity;
    struct ca_index index;
    uint32_t *group_of_frame; /* index = frame id: group + 1, 0 = not looked up yet */
    size_t group_of_frame_count;
    uint32_t *members; /* where it is not NULL: weight -> its group, of those added by the next call */
    unsigned __int128 total_size; /* of the weights, each once */
    uint64_t total_count;
};

/* False with CA_USAGE if the key cannot be cumulative. The grouping is in the caller's storage. */
bool ca_grouping_init(struct ca_grouping *grouping, struct ca_snapshot *snapshot, enum ca_key key,
                      enum ca_cumulative cumulative, struct ca_error **ret_error);
void ca_grouping_deinit(struct ca_grouping *grouping);
bool ca_grouping_add(struct ca_grouping *grouping, const struct ca_weight *weights, size_t count,
                     struct ca_error **ret_error);
/* The group of these frames, made with zeros if there is none. False when out of memory. The pointer holds
 * until the next call. */
bool ca_grouping_find(struct ca_grouping *grouping, const uint32_t *frames, size_t count,
                      struct ca_group_sum **ret_group);

/* Sorted statistics of the grouping, whose frames they take over: call ca_grouping_deinit after it all the
 * same. */
bool ca_grouping_finish(struct ca_grouping *grouping, bool diff, struct ca_statistics **ret_statistics,
                        struct ca_error **ret_error);

#endif
