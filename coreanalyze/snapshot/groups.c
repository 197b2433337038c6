#include "groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../terminal/progress.h"
#include "../util/grow.h"

/* What CPython calls them in its messages; the last six are ours. */
static const char *const key_names[] = {
    [CA_KEY_LINENO] = "lineno",     [CA_KEY_FILENAME] = "filename", [CA_KEY_TRACEBACK] = "traceback",
    [CA_KEY_FUNCTION] = "function", [CA_KEY_MODULE] = "module",     [CA_KEY_DOMAIN] = "domain",
    [CA_KEY_THREAD] = "thread",     [CA_KEY_TYPE] = "type",         [CA_KEY_SOURCE] = "source",
};

bool ca_grouping_init(struct ca_grouping *grouping, struct ca_snapshot *snapshot, enum ca_key key,
                      enum ca_cumulative cumulative, struct ca_error **ret_error)
{
    *grouping = (struct ca_grouping){.snapshot = snapshot, .key = key, .cumulative = cumulative};
    if ((size_t)key >= sizeof(key_names) / sizeof(key_names[0])) {
        return ca_fail(ret_error, CA_USAGE, "unknown key_type: %d", (int)key);
    }
    bool of_frames =
        key == CA_KEY_LINENO || key == CA_KEY_FILENAME || key == CA_KEY_FUNCTION || key == CA_KEY_MODULE;
    if (cumulative != CA_CUMULATIVE_OFF && !of_frames) {
        /* "by used": CPython's own words. */
        return ca_fail(ret_error, CA_USAGE, "cumulative mode cannot by used with key type '%s'",
                       key_names[key]);
    }
    if (!CA_GROW(grouping->frames, grouping->frames_capacity, 1)) {
        return ca_fail_memory(ret_error);
    }
    return true;
}

void ca_grouping_deinit(struct ca_grouping *grouping)
{
    free(grouping->items);
    free(grouping->frames);
    free(grouping->group_of_frame);
    ca_index_deinit(&grouping->index);
    *grouping = (struct ca_grouping){0};
}

/* ------------------------------------------------------------------------------------ groups */

struct group_key {
    const uint32_t *frames;
    size_t count;
    uint32_t hash;
};

static uint32_t hash_frames(const struct ca_snapshot *snapshot, const uint32_t *frames, size_t count)
{
    uint32_t hash = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const struct ca_frame *frame = ca_snapshot_frame(snapshot, frames[i]);
        hash = ca_hash_combine(hash, (uint64_t)frame->filename << 32 | frame->lineno);
    }
    return hash;
}

static bool group_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_grouping *grouping = array;
    const struct ca_group_sum *group = &grouping->items[element];
    const struct group_key *wanted = key;
    if (group->hash != wanted->hash || group->frame_count != wanted->count) {
        return false;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        uint32_t mine = grouping->frames[group->first + i];
        if (mine != wanted->frames[i]) {
            const struct ca_frame *left = ca_snapshot_frame(grouping->snapshot, mine);
            const struct ca_frame *right = ca_snapshot_frame(grouping->snapshot, wanted->frames[i]);
            if (left->filename != right->filename || left->lineno != right->lineno) {
                return false;
            }
        }
    }
    return true;
}

static uint32_t group_hash(const void *array, uint32_t element)
{
    return ((const struct ca_grouping *)array)->items[element].hash;
}

static const struct ca_index_type group_type = {group_equal, group_hash};

static bool group_create(struct ca_grouping *grouping, const struct group_key *key, uint32_t *ret_group)
{
    if (grouping->count >= UINT32_MAX - 1 ||
        !CA_GROW(grouping->items, grouping->capacity, grouping->count + 1) ||
        !CA_GROW(grouping->frames, grouping->frames_capacity, grouping->frame_count + key->count + 1) ||
        !ca_index_reserve(&grouping->index, &group_type, grouping)) {
        return false;
    }
    uint32_t group = (uint32_t)grouping->count++;
    grouping->items[group] = (struct ca_group_sum){.first = grouping->frame_count,
                                                   .frame_count = (uint32_t)key->count,
                                                   .hash = key->hash,
                                                   .traceback = UINT32_MAX};
    if (key->count != 0) {
        memcpy(grouping->frames + grouping->frame_count, key->frames, key->count * sizeof(*key->frames));
    }
    grouping->frame_count += key->count;
    ca_index_insert(&grouping->index, group, key->hash);
    *ret_group = group;
    return true;
}

/* Functions and modules on which the group's frames and these do not agree become unknown. */
static bool group_agree(struct ca_grouping *grouping, const struct ca_group_sum *group,
                        const uint32_t *frames)
{
    for (size_t i = 0; i < group->frame_count; i++) {
        uint32_t *mine = &grouping->frames[group->first + i];
        if (*mine != frames[i]) {
            struct ca_frame agreed = *ca_snapshot_frame(grouping->snapshot, *mine);
            const struct ca_frame *other = ca_snapshot_frame(grouping->snapshot, frames[i]);
            agreed.function = agreed.function == other->function ? agreed.function : 0;
            agreed.module = agreed.module == other->module ? agreed.module : 0;
            *mine = ca_snapshot_add_frame(grouping->snapshot, &agreed);
            if (*mine == UINT32_MAX) {
                return false;
            }
        }
    }
    return true;
}

static bool group_find(struct ca_grouping *grouping, const uint32_t *frames, size_t count, bool agree,
                       uint32_t *ret_group)
{
    struct group_key key = {frames, count, hash_frames(grouping->snapshot, frames, count)};
    uint32_t found = ca_index_find(&grouping->index, &group_type, grouping, &key, key.hash);
    if (found == CA_INDEX_NONE) {
        return group_create(grouping, &key, ret_group);
    }
    *ret_group = found;
    return !agree || group_agree(grouping, &grouping->items[found], frames);
}

bool ca_grouping_find(struct ca_grouping *grouping, const uint32_t *frames, size_t count,
                      struct ca_group_sum **ret_group)
{
    uint32_t group = 0;
    if (!group_find(grouping, frames, count, false, &group)) {
        return false;
    }
    *ret_group = &grouping->items[group];
    return true;
}

/* ------------------------------------------------------------------------------------ keys */

/* The frame that stands for the group of `frame`. UINT32_MAX when out of memory. */
static uint32_t key_frame(struct ca_grouping *grouping, uint32_t frame)
{
    struct ca_snapshot *snapshot = grouping->snapshot;
    struct ca_frame wanted = *ca_snapshot_frame(snapshot, frame);
    switch (grouping->key) {
    case CA_KEY_FUNCTION:
        wanted.filename = wanted.function != 0 ? wanted.function : wanted.filename;
        wanted.lineno = 0;
        break;
    case CA_KEY_MODULE:
        wanted.filename =
            wanted.module != 0 ? wanted.module : ca_snapshot_add_string(snapshot, "<unknown>", 9);
        wanted.lineno = 0;
        break;
    case CA_KEY_FILENAME:
        wanted.lineno = 0;
        break;
    default:
        return frame;
    }
    return wanted.filename == UINT32_MAX ? UINT32_MAX : ca_snapshot_add_frame(snapshot, &wanted);
}

/* A resolver may have added frames since the last look-up. */
static bool reserve_frames(struct ca_grouping *grouping, uint32_t frame)
{
    size_t old = grouping->group_of_frame_count;
    if (frame < old) {
        return true;
    }
    if (!CA_GROW(grouping->group_of_frame, grouping->group_of_frame_count, (size_t)frame + 1)) {
        return false;
    }
    memset(grouping->group_of_frame + old, 0,
           (grouping->group_of_frame_count - old) * sizeof(*grouping->group_of_frame));
    return true;
}

static bool group_of_frame(struct ca_grouping *grouping, uint32_t frame, uint32_t *ret_group)
{
    if (!reserve_frames(grouping, frame)) {
        return false;
    }
    if (grouping->group_of_frame[frame] == 0) {
        uint32_t key = key_frame(grouping, frame);
        if (key == UINT32_MAX || !group_find(grouping, &key, 1, true, ret_group)) {
            return false;
        }
        grouping->group_of_frame[frame] = *ret_group + 1;
    }
    *ret_group = grouping->group_of_frame[frame] - 1;
    return true;
}

/* What the weight is labelled with. */
static bool group_of_own_label(struct ca_grouping *grouping, uint32_t label, uint32_t *ret_group,
                               struct ca_error **ret_error)
{
    if (label == 0) {
        return ca_fail(ret_error, CA_USAGE, "%s",
                       grouping->key == CA_KEY_TYPE
                           ? "types are known where the memory is: of a process or its core file"
                           : "sources are told apart where top is given several of them, and in what save "
                             "made of several");
    }
    uint32_t key = ca_snapshot_add_frame(grouping->snapshot, &(struct ca_frame){.filename = label});
    return (key != UINT32_MAX && group_find(grouping, &key, 1, false, ret_group)) ||
           ca_fail_memory(ret_error);
}

static bool group_of_label(struct ca_grouping *grouping, const char *kind, uint32_t number,
                           uint32_t *ret_group)
{
    char label[32];
    int size = snprintf(label, sizeof(label), "%s %u", kind, number);
    struct ca_frame frame = {.filename = ca_snapshot_add_string(grouping->snapshot, label, (size_t)size)};
    uint32_t key =
        frame.filename == UINT32_MAX ? UINT32_MAX : ca_snapshot_add_frame(grouping->snapshot, &frame);
    return key != UINT32_MAX && group_find(grouping, &key, 1, false, ret_group);
}

/* ------------------------------------------------------------------------------------ sums */

/* `number`: of the weight, from 1. */
static void group_visit(struct ca_grouping *grouping, uint32_t group, const struct ca_weight *weight,
                        size_t number)
{
    struct ca_group_sum *sum = &grouping->items[group];
    if (grouping->cumulative == CA_CUMULATIVE_UNIQUE && sum->visited == number) {
        return;
    }
    sum->visited = number;
    sum->size += weight->size;
    sum->count += weight->count;
    if (sum->traceback == UINT32_MAX || weight->size > sum->heaviest) {
        sum->traceback = weight->traceback;
        sum->heaviest = weight->size;
    }
}

/* The group that a weight belongs to when the key is not cumulative. */
static bool group_of_weight(struct ca_grouping *grouping, const struct ca_weight *weight, uint32_t *ret_group,
                            struct ca_error **ret_error)
{
    if (grouping->key == CA_KEY_DOMAIN || grouping->key == CA_KEY_THREAD) {
        bool domain = grouping->key == CA_KEY_DOMAIN;
        return group_of_label(grouping, domain ? "domain" : "thread",
                              domain ? weight->domain : weight->thread, ret_group) ||
               ca_fail_memory(ret_error);
    }
    if (grouping->key == CA_KEY_TYPE || grouping->key == CA_KEY_SOURCE) {
        return group_of_own_label(grouping, weight->label, ret_group, ret_error);
    }
    bool whole = grouping->key == CA_KEY_TRACEBACK;
    size_t count = 0;
    const uint32_t *frames =
        ca_snapshot_traceback(grouping->snapshot, weight->traceback, whole ? SIZE_MAX : 1, &count, ret_error);
    if (frames == NULL) {
        return false;
    }
    if (count == 0 && !whole && grouping->key != CA_KEY_LINENO) {
        return ca_fail(ret_error, CA_USAGE, "tuple index out of range");
    }
    bool found = whole || count == 0 ? group_find(grouping, frames, count, true, ret_group)
                                     : group_of_frame(grouping, frames[0], ret_group);
    return found || ca_fail_memory(ret_error);
}

static bool add_cumulative(struct ca_grouping *grouping, const struct ca_weight *weight, size_t number,
                           struct ca_error **ret_error)
{
    size_t count = 0;
    const uint32_t *frames =
        ca_snapshot_traceback(grouping->snapshot, weight->traceback, SIZE_MAX, &count, ret_error);
    if (frames == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) { /* adding frames and strings leaves tracebacks where they are */
        uint32_t group = 0;
        if (!group_of_frame(grouping, frames[i], &group)) {
            return ca_fail_memory(ret_error);
        }
        group_visit(grouping, group, weight, number);
    }
    return true;
}

bool ca_grouping_add(struct ca_grouping *grouping, const struct ca_weight *weights, size_t count,
                     struct ca_error **ret_error)
{
    for (size_t i = 0; i < count; i++) {
        ca_progress_count("naming and grouping", i, count);
        if (grouping->cumulative != CA_CUMULATIVE_OFF) {
            if (!add_cumulative(grouping, &weights[i], i + 1, ret_error)) {
                return false;
            }
        } else {
            uint32_t group = 0;
            if (!group_of_weight(grouping, &weights[i], &group, ret_error)) {
                return false;
            }
            group_visit(grouping, group, &weights[i], i + 1);
            if (grouping->members) {
                grouping->members[i] = group;
            }
        }
        grouping->total_size += weights[i].size;
        grouping->total_count += weights[i].count;
    }
    return true;
}
