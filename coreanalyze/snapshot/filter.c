/* filter.c: which traces the filters keep. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "statistics.h"

enum known { UNKNOWN = 0, NO = 1, YES = 2 };

/* A filter and what is known of it: one byte per string id, whether the name matches, and one per traceback
 * id, whether its frames do. */
struct filter_memory {
    const struct ca_filter *filter;
    size_t pattern_size; /* normalised */
    uint8_t *names, *tracebacks;
    size_t names_capacity, tracebacks_capacity;
};

struct ca_filter_set {
    struct ca_snapshot *snapshot;
    size_t count;
    bool any_inclusive;
    struct filter_memory filters[];
};

/* tracemalloc._normalize_filename on POSIX: the size of the name without the last character of ".pyc". */
static size_t normalized_size(const char *name, size_t size)
{
    return size >= 4 && memcmp(name + size - 4, ".pyc", 4) == 0 ? size - 1 : size;
}

struct ca_filter_set *ca_filter_set_create(struct ca_snapshot *snapshot, const struct ca_filter *filters,
                                           size_t filter_count, struct ca_error **ret_error)
{
    struct ca_filter_set *set = calloc(1, sizeof(*set) + filter_count * sizeof(set->filters[0]));
    if (set == NULL) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    set->snapshot = snapshot;
    set->count = filter_count;
    for (size_t i = 0; i < filter_count; i++) {
        set->filters[i].filter = &filters[i];
        set->any_inclusive |= filters[i].inclusive;
        if (!filters[i].domain_only) {
            set->filters[i].pattern_size = normalized_size(filters[i].pattern, filters[i].pattern_size);
        }
    }
    return set;
}

void ca_filter_set_destroy(struct ca_filter_set *set)
{
    if (set != NULL) {
        for (size_t i = 0; i < set->count; i++) {
            free(set->filters[i].names);
            free(set->filters[i].tracebacks);
        }
        free(set);
    }
}

/* What is known about id `index`; NULL when out of memory. */
static uint8_t *memory_slot(uint8_t **memory, size_t *capacity, uint32_t index)
{
    size_t old = *capacity;
    if (index >= old) {
        if (!CA_GROW(*memory, *capacity, (size_t)index + 1)) {
            return NULL;
        }
        memset(*memory + old, UNKNOWN, *capacity - old);
    }
    return &(*memory)[index];
}

static bool name_hits(const struct ca_filter_set *set, struct filter_memory *memory, uint32_t name,
                      bool *ret_hits)
{
    uint8_t *known = memory_slot(&memory->names, &memory->names_capacity, name);
    if (known == NULL) {
        return false;
    }
    if (*known == UNKNOWN) {
        const char *text = ca_snapshot_string(set->snapshot, name);
        size_t size = normalized_size(text, ca_snapshot_string_size(set->snapshot, name));
        *known = ca_pattern_matches(memory->filter->pattern, memory->pattern_size, text, size) ? YES : NO;
    }
    *ret_hits = *known == YES;
    return true;
}

/* Some candidate frame has a matching name and, in the same frame, a matching line. */
static bool frames_hit(struct ca_filter_set *set, struct filter_memory *memory, uint32_t traceback,
                       bool *ret_hits, struct ca_error **ret_error)
{
    const struct ca_filter *filter = memory->filter;
    size_t count = 0;
    const uint32_t *frames =
        ca_snapshot_traceback(set->snapshot, traceback, filter->all_frames ? SIZE_MAX : 1, &count, ret_error);
    if (frames == NULL) {
        return false;
    }
    if (count == 0 && !filter->all_frames) {
        return ca_fail(ret_error, CA_USAGE, "tuple index out of range");
    }
    size_t candidates = filter->all_frames ? count : 1;
    *ret_hits = false;
    for (size_t i = 0; i < candidates && !*ret_hits; i++) {
        const struct ca_frame *frame = ca_snapshot_frame(set->snapshot, frames[i]);
        if ((!filter->has_lineno || frame->lineno == filter->lineno) &&
            !name_hits(set, memory, frame->filename, ret_hits)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

static bool traceback_hits(struct ca_filter_set *set, struct filter_memory *memory, uint32_t traceback,
                           bool *ret_hits, struct ca_error **ret_error)
{
    uint8_t *known = memory_slot(&memory->tracebacks, &memory->tracebacks_capacity, traceback);
    if (known == NULL) {
        return ca_fail_memory(ret_error);
    }
    if (*known == UNKNOWN) {
        if (!frames_hit(set, memory, traceback, ret_hits, ret_error)) {
            return false;
        }
        *known = *ret_hits ? YES : NO;
    }
    *ret_hits = *known == YES;
    return true;
}

static bool filter_hits(struct ca_filter_set *set, struct filter_memory *memory, uint32_t domain,
                        uint32_t traceback, bool *ret_hits, struct ca_error **ret_error)
{
    const struct ca_filter *filter = memory->filter;
    if (filter->domain_only) {
        *ret_hits = domain == filter->domain;
        return true;
    }
    if (!traceback_hits(set, memory, traceback, ret_hits, ret_error)) {
        return false;
    }
    *ret_hits &= !filter->has_domain || domain == filter->domain;
    return true;
}

bool ca_filter_set_keeps(struct ca_filter_set *set, uint32_t domain, uint32_t traceback, bool *ret_keeps,
                         struct ca_error **ret_error)
{
    bool included = !set->any_inclusive;
    for (size_t i = 0; i < set->count && !included; i++) {
        if (set->filters[i].filter->inclusive &&
            !filter_hits(set, &set->filters[i], domain, traceback, &included, ret_error)) {
            return false;
        }
    }
    bool excluded = !included;
    for (size_t i = 0; i < set->count && !excluded; i++) {
        if (!set->filters[i].filter->inclusive &&
            !filter_hits(set, &set->filters[i], domain, traceback, &excluded, ret_error)) {
            return false;
        }
    }
    *ret_keeps = !excluded;
    return true;
}

bool ca_filter_keeps(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                     uint32_t domain, uint32_t traceback, bool *ret_keeps, struct ca_error **ret_error)
{
    struct ca_filter_set *set = ca_filter_set_create(snapshot, filters, filter_count, ret_error);
    bool ok = set != NULL && ca_filter_set_keeps(set, domain, traceback, ret_keeps, ret_error);
    ca_filter_set_destroy(set);
    return ok;
}

bool ca_filter_weights(struct ca_snapshot *snapshot, const struct ca_filter *filters, size_t filter_count,
                       struct ca_weight *weights, size_t *count, struct ca_error **ret_error)
{
    struct ca_filter_set *set = ca_filter_set_create(snapshot, filters, filter_count, ret_error);
    if (set == NULL) {
        return false;
    }
    size_t kept = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < *count; i++) {
        bool keeps = false;
        ok = ca_filter_set_keeps(set, weights[i].domain, weights[i].traceback, &keeps, ret_error);
        if (ok && keeps) {
            weights[kept++] = weights[i];
        }
    }
    if (ok) {
        *count = kept;
    }
    ca_filter_set_destroy(set);
    return ok;
}
