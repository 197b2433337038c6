/* compare.c: compare_to. Groups of two snapshots meet by what is printed, file name and line, never by id. */
#include <stdlib.h>

#include "groups.h"

/* Ids of the old snapshot in terms of the new one. */
struct translation {
    const struct ca_snapshot *old_snapshot;
    struct ca_snapshot *new_snapshot;
    uint32_t *frame_of; /* index = old frame id: new frame id + 1, 0 = not translated yet */
    size_t frame_count;
    uint32_t *frames; /* the sequence that was translated last; room for `longest` */
};

static uint32_t translate_string(const struct translation *translation, uint32_t string)
{
    return ca_snapshot_add_string(translation->new_snapshot,
                                  ca_snapshot_string(translation->old_snapshot, string),
                                  ca_snapshot_string_size(translation->old_snapshot, string));
}

static bool translate_frame(struct translation *translation, uint32_t frame, uint32_t *ret_frame)
{
    if (translation->frame_of[frame] == 0) {
        struct ca_frame copy = *ca_snapshot_frame(translation->old_snapshot, frame);
        copy.filename = translate_string(translation, copy.filename);
        copy.function = translate_string(translation, copy.function);
        copy.module = translate_string(translation, copy.module);
        if (copy.filename == UINT32_MAX || copy.function == UINT32_MAX || copy.module == UINT32_MAX) {
            return false;
        }
        uint32_t id = ca_snapshot_add_frame(translation->new_snapshot, &copy);
        if (id == UINT32_MAX) {
            return false;
        }
        translation->frame_of[frame] = id + 1;
    }
    *ret_frame = translation->frame_of[frame] - 1;
    return true;
}

static bool merge_group(struct translation *translation, const struct ca_grouping *old,
                        const struct ca_group_sum *group, struct ca_grouping *merged)
{
    for (size_t i = 0; i < group->frame_count; i++) {
        if (!translate_frame(translation, old->frames[group->first + i], &translation->frames[i])) {
            return false;
        }
    }
    struct ca_group_sum *sum = NULL;
    if (!ca_grouping_find(merged, translation->frames, group->frame_count, &sum)) {
        return false;
    }
    sum->old_size = group->size;
    sum->old_count = group->count;
    return true;
}

static size_t translation_extent(const struct ca_grouping *old, size_t *ret_longest)
{
    size_t frames = 0;
    for (size_t i = 0; i < old->frame_count; i++) {
        frames = old->frames[i] >= frames ? (size_t)old->frames[i] + 1 : frames;
    }
    *ret_longest = 0;
    for (size_t i = 0; i < old->count; i++) {
        *ret_longest = old->items[i].frame_count > *ret_longest ? old->items[i].frame_count : *ret_longest;
    }
    return frames;
}

/* Enters the groups of `old` as the old values of `merged`. */
static bool merge(struct ca_grouping *merged, const struct ca_grouping *old, struct ca_error **ret_error)
{
    size_t longest = 0;
    struct translation translation = {.old_snapshot = old->snapshot, .new_snapshot = merged->snapshot};
    translation.frame_count = translation_extent(old, &longest);
    translation.frame_of = calloc(translation.frame_count + 1, sizeof(*translation.frame_of));
    translation.frames = calloc(longest + 1, sizeof(*translation.frames));
    bool ok = translation.frame_of != NULL && translation.frames != NULL;
    for (size_t i = 0; ok && i < old->count; i++) {
        ok = merge_group(&translation, old, &old->items[i], merged);
    }
    free(translation.frame_of);
    free(translation.frames);
    return ok || ca_fail_memory(ret_error);
}

bool ca_statistics_compare(struct ca_snapshot *new_snapshot, const struct ca_weight *new_weights,
                           size_t new_count, struct ca_snapshot *old_snapshot,
                           const struct ca_weight *old_weights, size_t old_count, enum ca_key key,
                           enum ca_cumulative cumulative, struct ca_statistics **ret_statistics,
                           struct ca_error **ret_error)
{
    struct ca_grouping merged = {0};
    struct ca_grouping old = {0};
    bool ok = ca_grouping_init(&merged, new_snapshot, key, cumulative, ret_error) &&
              ca_grouping_init(&old, old_snapshot, key, cumulative, ret_error) &&
              ca_grouping_add(&merged, new_weights, new_count, ret_error) &&
              ca_grouping_add(&old, old_weights, old_count, ret_error) && merge(&merged, &old, ret_error) &&
              ca_grouping_finish(&merged, true, ret_statistics, ret_error);
    ca_grouping_deinit(&merged);
    ca_grouping_deinit(&old);
    return ok;
}
