/* statistics.c: groups as sorted statistics. */
#include "statistics.h"

#include <stdlib.h>

#include "groups.h"
#include "internal.h"

/* What ca_statistics_destroy gets is the first member of this. */
struct statistics_owner {
    struct ca_statistics statistics;
    uint32_t *frames; /* of all items */
    size_t frame_count;
    struct ca_group *groups; /* made by ca_statistics_export */
};

static int compare_unsigned(unsigned __int128 left, unsigned __int128 right)
{
    return (left > right) - (left < right);
}

static unsigned __int128 magnitude(__int128 number)
{
    return number < 0 ? 0 - (unsigned __int128)number : (unsigned __int128)number;
}

static int compare_tracebacks(const struct ca_snapshot *snapshot, const struct ca_statistic *left,
                              const struct ca_statistic *right)
{
    return ca_frames_compare(snapshot, left->frames, left->frame_count, right->frames, right->frame_count);
}

/* Both descending, for qsort_r; `context` is the snapshot. Keys are unique, so no two items are equal. */
static int compare_statistics(const void *left_item, const void *right_item, void *context)
{
    const struct ca_statistic *left = left_item;
    const struct ca_statistic *right = right_item;
    int order = compare_unsigned(right->size, left->size);
    order = order != 0 ? order : compare_unsigned(right->count, left->count);
    return order != 0 ? order : compare_tracebacks(context, right, left);
}

static int compare_diffs(const void *left_item, const void *right_item, void *context)
{
    const struct ca_statistic *left = left_item;
    const struct ca_statistic *right = right_item;
    int order = compare_unsigned(magnitude(right->size_diff), magnitude(left->size_diff));
    order = order != 0 ? order : compare_unsigned(right->size, left->size);
    order = order != 0 ? order : compare_unsigned(magnitude(right->count_diff), magnitude(left->count_diff));
    order = order != 0 ? order : compare_unsigned(right->count, left->count);
    return order != 0 ? order : compare_tracebacks(context, right, left);
}

bool ca_grouping_finish(struct ca_grouping *grouping, bool diff, struct ca_statistics **ret_statistics,
                        struct ca_error **ret_error)
{
    struct statistics_owner *owner = calloc(1, sizeof(*owner));
    struct ca_statistic *items = calloc(grouping->count + 1, sizeof(*items));
    if (owner == NULL || items == NULL) {
        free(owner);
        free(items);
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < grouping->count; i++) {
        const struct ca_group_sum *group = &grouping->items[i];
        items[i] = (struct ca_statistic){.size = group->size,
                                         .count = group->count,
                                         .traceback = group->traceback,
                                         .number = (uint32_t)i,
                                         .frames = grouping->frames + group->first,
                                         .frame_count = group->frame_count};
        if (diff) {
            items[i].size_diff = (__int128)(group->size - group->old_size);
            items[i].count_diff = (__int128)(group->count - group->old_count);
        }
    }
    qsort_r(items, grouping->count, sizeof(*items), diff ? compare_diffs : compare_statistics,
            grouping->snapshot);
    owner->frames = grouping->frames;
    owner->frame_count = grouping->frame_count;
    grouping->frames = NULL;
    grouping->frames_capacity = 0;
    owner->statistics = (struct ca_statistics){.items = items,
                                               .count = grouping->count,
                                               .key = grouping->key,
                                               .total_size = grouping->total_size,
                                               .total_count = grouping->total_count,
                                               .snapshot = grouping->snapshot};
    *ret_statistics = &owner->statistics;
    return true;
}

static bool compute(struct ca_snapshot *snapshot, const struct ca_weight *weights, size_t weight_count,
                    enum ca_key key, enum ca_cumulative cumulative, uint32_t *members,
                    struct ca_statistics **ret_statistics, struct ca_error **ret_error)
{
    struct ca_grouping grouping;
    bool ok = ca_grouping_init(&grouping, snapshot, key, cumulative, ret_error);
    grouping.members = members;
    ok = ok && ca_grouping_add(&grouping, weights, weight_count, ret_error) &&
         ca_grouping_finish(&grouping, false, ret_statistics, ret_error);
    ca_grouping_deinit(&grouping);
    return ok;
}

bool ca_statistics_compute(struct ca_snapshot *snapshot, const struct ca_weight *weights, size_t weight_count,
                           enum ca_key key, enum ca_cumulative cumulative,
                           struct ca_statistics **ret_statistics, struct ca_error **ret_error)
{
    return compute(snapshot, weights, weight_count, key, cumulative, NULL, ret_statistics, ret_error);
}

bool ca_statistics_compute_members(struct ca_snapshot *snapshot, const struct ca_weight *weights,
                                   size_t weight_count, enum ca_key key, uint32_t *members,
                                   struct ca_statistics **ret_statistics, struct ca_error **ret_error)
{
    return compute(snapshot, weights, weight_count, key, CA_CUMULATIVE_OFF, members, ret_statistics,
                   ret_error);
}

void ca_statistics_destroy(struct ca_statistics *statistics)
{
    if (statistics != NULL) {
        struct statistics_owner *owner = (struct statistics_owner *)statistics;
        free(owner->statistics.items);
        free(owner->frames);
        free(owner->groups);
        free(owner);
    }
}

static struct ca_wide wide(unsigned __int128 number)
{
    return (struct ca_wide){.low = (uint64_t)number, .high = (uint64_t)(number >> 64)};
}

bool ca_statistics_export(struct ca_statistics *statistics, struct ca_groups *ret_groups)
{
    struct statistics_owner *owner = (struct statistics_owner *)statistics;
    if (owner->groups == NULL) {
        owner->groups = calloc(statistics->count + 1, sizeof(*owner->groups));
        if (owner->groups == NULL) {
            return false;
        }
        for (size_t i = 0; i < statistics->count; i++) {
            const struct ca_statistic *item = &statistics->items[i];
            owner->groups[i] = (struct ca_group){.size = wide(item->size),
                                                 .count = wide(item->count),
                                                 .size_diff = wide((unsigned __int128)item->size_diff),
                                                 .count_diff = wide((unsigned __int128)item->count_diff),
                                                 .first = (uint64_t)(item->frames - owner->frames),
                                                 .frame_count = (uint32_t)item->frame_count};
        }
    }
    *ret_groups = (struct ca_groups){.items = owner->groups,
                                     .count = statistics->count,
                                     .frames = owner->frames,
                                     .frame_count = owner->frame_count};
    return true;
}
