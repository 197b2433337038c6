/* caller.c: nearest callers with a name. */
#include "caller.h"

#include <stdlib.h>
#include <string.h>

#include "../symbols/symbols.h"
#include "../util/grow.h"

/* A statistic whose frame has no name, by what its group is known by. */
struct nameless {
    uint32_t filename;
    uint32_t lineno;
    size_t index; /* of the statistic */
};

/* Bytes that a caller accounts for in a statistic. */
struct share {
    size_t index;
    const char *filename;
    uint32_t lineno;
    uint32_t frame;
    unsigned __int128 size;
};

struct search {
    const struct ca_listing *listing;
    struct ca_snapshot *snapshot;
    struct nameless *nameless;
    size_t nameless_count;
    struct share *shares;
    size_t share_count, share_capacity;
};

static bool has_no_name(struct ca_snapshot *snapshot, const struct ca_frame *frame)
{
    size_t module_size;
    return frame->lineno == 0 &&
           ca_name_is_address(ca_snapshot_string(snapshot, frame->filename), &module_size);
}

static int nameless_compare(const void *left, const void *right)
{
    const struct nameless *a = left, *b = right;
    int order = (a->filename > b->filename) - (a->filename < b->filename);
    return order ? order : (a->lineno > b->lineno) - (a->lineno < b->lineno);
}

/* By statistic, then by caller. */
static int share_compare_caller(const void *left, const void *right)
{
    const struct share *a = left, *b = right;
    if (a->index != b->index) {
        return a->index < b->index ? -1 : 1;
    }
    int order = strcmp(a->filename, b->filename);
    return order ? order : (a->lineno > b->lineno) - (a->lineno < b->lineno);
}

static bool nameless_collect(struct search *search, struct ca_error **ret_error)
{
    const struct ca_listing *listing = search->listing;
    search->nameless = calloc(listing->shown ? listing->shown : 1, sizeof *search->nameless);
    if (!search->nameless) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < listing->shown; i++) {
        const struct ca_statistic *item = &listing->statistics->items[i];
        const struct ca_frame *frame =
            item->frame_count ? ca_snapshot_frame(search->snapshot, item->frames[0]) : NULL;
        if (frame && has_no_name(search->snapshot, frame)) {
            search->nameless[search->nameless_count++] = (struct nameless){frame->filename, frame->lineno, i};
        }
    }
    qsort(search->nameless, search->nameless_count, sizeof *search->nameless, nameless_compare);
    return true;
}

static bool share_add(struct search *search, const struct share *share, struct ca_error **ret_error)
{
    if (!CA_GROW(search->shares, search->share_capacity, search->share_count + 1)) {
        return ca_fail_memory(ret_error);
    }
    search->shares[search->share_count++] = *share;
    return true;
}

static bool is_allocator(struct search *search, const struct ca_frame *frame)
{
    const struct ca_listing *listing = search->listing;
    return !listing->no_skip && frame->function &&
           ca_is_allocator_function(ca_snapshot_string(search->snapshot, frame->function), listing->skip,
                                    listing->skip_count);
}

/* The nearest frame after `from` that says who it is for, as a frame id. Few frames are asked for at first,
 * because each that is looked at costs symbolising. */
static bool caller_find(struct search *search, uint32_t traceback, size_t from, uint32_t *ret_caller,
                        struct ca_error **ret_error)
{
    *ret_caller = CA_NO_CALLER;
    size_t looked = from + 1;
    for (size_t wanted = from + 3;; wanted *= 2) {
        size_t count;
        const uint32_t *frames =
            ca_snapshot_traceback(search->snapshot, traceback, wanted, &count, ret_error);
        if (!frames) {
            return false;
        }
        for (; looked < count; looked++) {
            const struct ca_frame *frame = ca_snapshot_frame(search->snapshot, frames[looked]);
            if (has_no_name(search->snapshot, frame)) {
                continue;
            }
            if (!is_allocator(search, frame)) {
                *ret_caller = frames[looked];
                return true;
            }
            if (*ret_caller == CA_NO_CALLER) {
                *ret_caller = frames[looked];
            }
        }
        if (count < wanted || wanted > SIZE_MAX / 4) {
            return true;
        }
    }
}

static bool weight_share(struct search *search, const struct ca_weight *weight, size_t position,
                         uint32_t frame_id, struct ca_error **ret_error)
{
    const struct ca_frame *frame = ca_snapshot_frame(search->snapshot, frame_id);
    struct nameless key = {.filename = frame->filename, .lineno = frame->lineno};
    struct nameless *found =
        bsearch(&key, search->nameless, search->nameless_count, sizeof *search->nameless, nameless_compare);
    if (!found) {
        return true;
    }
    uint32_t caller;
    if (!caller_find(search, weight->traceback, position, &caller, ret_error)) {
        return false;
    }
    if (caller == CA_NO_CALLER) {
        return true;
    }
    struct share share = {.index = found->index, .frame = caller, .size = weight->size};
    return share_add(search, &share, ret_error);
}

/* A weight counts where its most recent frame has no name; cumulative ones wherever such a frame occurs. */
static bool weight_visit(struct search *search, const struct ca_weight *weight, struct ca_error **ret_error)
{
    size_t wanted = search->listing->cumulative == CA_CUMULATIVE_OFF ? 1 : SIZE_MAX;
    size_t count;
    const uint32_t *frames =
        ca_snapshot_traceback(search->snapshot, weight->traceback, wanted, &count, ret_error);
    if (!frames) {
        return false;
    }
    for (size_t i = 0; i < count && i < wanted; i++) {
        if (!weight_share(search, weight, i, frames[i], ret_error)) {
            return false;
        }
        if (i + 1 < count && i + 1 < wanted) {
            frames = ca_snapshot_traceback(search->snapshot, weight->traceback, wanted, &count, ret_error);
            if (!frames) {
                return false;
            }
        }
    }
    return true;
}

static void shares_choose(struct search *search, uint32_t *callers)
{
    /* Strings move while frames are added: only now do they stand still. */
    for (size_t i = 0; i < search->share_count; i++) {
        const struct ca_frame *frame = ca_snapshot_frame(search->snapshot, search->shares[i].frame);
        search->shares[i].filename = ca_snapshot_string(search->snapshot, frame->filename);
        search->shares[i].lineno = frame->lineno;
    }
    if (search->share_count == 0) {
        return;
    }
    qsort(search->shares, search->share_count, sizeof *search->shares, share_compare_caller);
    const struct share *shares = search->shares;
    size_t best_index = SIZE_MAX;
    unsigned __int128 best = 0;
    for (size_t i = 0; i < search->share_count;) {
        unsigned __int128 size = 0;
        size_t first = i;
        for (; i < search->share_count && share_compare_caller(&shares[first], &shares[i]) == 0; i++) {
            size += shares[i].size;
        }
        if (shares[first].index != best_index || size > best) {
            best_index = shares[first].index;
            best = size;
            callers[best_index] = shares[first].frame;
        }
    }
}

static bool callers_search(struct search *search, uint32_t **ret_callers, struct ca_error **ret_error)
{
    const struct ca_listing *listing = search->listing;
    if (!nameless_collect(search, ret_error)) {
        return false;
    }
    if (search->nameless_count == 0) {
        return true;
    }
    for (size_t i = 0; i < listing->weight_count; i++) {
        if (!weight_visit(search, &listing->weights[i], ret_error)) {
            return false;
        }
    }
    uint32_t *callers = malloc(listing->shown * sizeof *callers);
    if (!callers) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < listing->shown; i++) {
        callers[i] = CA_NO_CALLER;
    }
    shares_choose(search, callers);
    *ret_callers = callers;
    return true;
}

bool ca_callers_find(const struct ca_listing *listing, uint32_t **ret_callers, struct ca_error **ret_error)
{
    enum ca_key key = listing->statistics->key;
    *ret_callers = NULL;
    if (key != CA_KEY_LINENO && key != CA_KEY_FILENAME && key != CA_KEY_FUNCTION) {
        return true;
    }
    struct search search = {.listing = listing, .snapshot = listing->statistics->snapshot};
    bool done = callers_search(&search, ret_callers, ret_error);
    free(search.nameless);
    free(search.shares);
    return done;
}
