/* weights.c: a snapshot's traces, added up by traceback, domain and thread. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "internal.h"

struct weights {
    struct ca_weight *items;
    size_t count, capacity;
    struct ca_index index;
    uint32_t *recent; /* where it is not NULL: traceback id -> the weight that was found last for it;
                         UINT32_MAX = none */
};

static uint32_t hash_weight(const struct ca_weight *weight)
{
    uint32_t hash = ca_hash_combine(weight->thread, (uint64_t)weight->domain << 32 | weight->traceback);
    return weight->label ? ca_hash_combine(hash, weight->label) : hash;
}

static bool weight_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_weight *weight = &((const struct weights *)array)->items[element];
    const struct ca_weight *wanted = key;
    return weight->traceback == wanted->traceback && weight->domain == wanted->domain &&
           weight->thread == wanted->thread && weight->label == wanted->label;
}

static uint32_t weight_hash(const void *array, uint32_t element)
{
    return hash_weight(&((const struct weights *)array)->items[element]);
}

static const struct ca_index_type weight_type = {weight_equal, weight_hash};

/* The weight with the traceback, domain and thread of `key`, made when there is none. NULL when out of
 * memory. */
static struct ca_weight *weights_find(struct weights *weights, const struct ca_weight *key)
{
    uint32_t hash = hash_weight(key);
    uint32_t found = ca_index_find(&weights->index, &weight_type, weights, key, hash);
    if (found != CA_INDEX_NONE) {
        return &weights->items[found];
    }
    if (weights->count >= UINT32_MAX - 1 || !CA_GROW(weights->items, weights->capacity, weights->count + 1) ||
        !ca_index_reserve(&weights->index, &weight_type, weights)) {
        return NULL;
    }
    uint32_t element = (uint32_t)weights->count++;
    weights->items[element] = *key;
    ca_index_insert(&weights->index, element, hash);
    return &weights->items[element];
}

static bool weights_add(struct weights *weights, const struct ca_trace *traces, size_t count, bool by_thread)
{
    struct ca_weight *last = NULL;
    for (size_t i = 0; i < count; i++) {
        struct ca_weight key = {.traceback = traces[i].traceback,
                                .domain = traces[i].domain,
                                .thread = by_thread ? traces[i].thread : 0};
        if (last == NULL || last->traceback != key.traceback || last->domain != key.domain ||
            last->thread != key.thread) {
            last = weights_find(weights, &key);
        }
        if (last == NULL) {
            return false;
        }
        last->size += traces[i].size;
        last->count++;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * chosen traces */

struct choosing {
    struct weights weights;
    bool by_thread;
    bool (*keeps)(const void *context, const struct ca_trace *trace);
    const void *context;
    const struct ca_labeller *labeller; /* or NULL */
};

/* Blocks come in the order of their addresses, so that neighbours have nothing in common, but a traceback
 * mostly has one domain and one thread: recent saves most look-ups in the index. */
static bool choosing_visit(void *context, const struct ca_trace *trace, uint64_t count, uint32_t label)
{
    struct choosing *choosing = context;
    struct weights *weights = &choosing->weights;
    if (!choosing->keeps(choosing->context, trace)) {
        return true;
    }
    struct ca_weight key = {.traceback = trace->traceback,
                            .domain = trace->domain,
                            .thread = choosing->by_thread ? trace->thread : 0,
                            .label = label};
    if (choosing->labeller && !choosing->labeller->label(choosing->labeller->context, trace, &key.label)) {
        return false;
    }
    uint32_t *recent = &weights->recent[trace->traceback];
    struct ca_weight *weight = *recent == UINT32_MAX ? NULL : &weights->items[*recent];
    if (weight == NULL || weight->domain != key.domain || weight->thread != key.thread ||
        weight->label != key.label) {
        weight = weights_find(weights, &key);
        if (weight == NULL) {
            return false;
        }
        *recent = (uint32_t)(weight - weights->items);
    }
    if (weight->count >
        UINT64_MAX - count) { /* a file may claim that many: there may be several weights of one key */
        if (weights->count >= UINT32_MAX - 1 ||
            !CA_GROW(weights->items, weights->capacity, weights->count + 1)) {
            return false;
        }
        *recent = (uint32_t)weights->count++;
        weight = &weights->items[*recent];
        *weight = key;
    }
    weight->size += (unsigned __int128)trace->size * count;
    weight->count += count;
    return true;
}

bool ca_snapshot_each_trace(struct ca_snapshot *snapshot, const struct ca_trace_visitor *visitor,
                            struct ca_error **ret_error)
{
    if (snapshot->resolver != NULL && (!snapshot->traces_read || snapshot->resolver->visits_always)) {
        return snapshot->resolver->each_trace(snapshot, visitor, ret_error);
    }
    for (size_t i = 0; i < snapshot->trace_count; i++) {
        if (!visitor->visit(visitor->context, &snapshot->traces[i],
                            ca_trace_weight(snapshot, &snapshot->traces[i]), 0)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

bool ca_snapshot_weights_where(struct ca_snapshot *snapshot, bool by_thread,
                               bool (*keeps)(const void *context, const struct ca_trace *trace),
                               const void *context, const struct ca_labeller *labeller,
                               struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    struct choosing choosing = {
        .by_thread = by_thread, .keeps = keeps, .context = context, .labeller = labeller};
    struct weights *weights = &choosing.weights;
    size_t tracebacks = snapshot->traceback_count + 1;
    weights->recent = malloc(tracebacks * sizeof *weights->recent);
    bool done = weights->recent && CA_GROW(weights->items, weights->capacity, 1);
    if (!done) {
        ca_fail_memory(ret_error);
    } else {
        memset(weights->recent, 0xff, tracebacks * sizeof *weights->recent);
        const struct ca_trace_visitor visitor = {choosing_visit, &choosing};
        done = ca_snapshot_each_trace(snapshot, &visitor, ret_error);
    }
    ca_index_deinit(&weights->index);
    free(weights->recent);
    if (!done) {
        free(weights->items);
        return false;
    }
    *ret_weights = weights->items;
    *ret_count = weights->count;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ all
 * traces */

static bool knows_threads(const struct ca_trace *traces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (traces[i].thread != 0) {
            return true;
        }
    }
    return count == 0;
}

static bool weigh_traces(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                         struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    if (value != CA_VALUE_LIVE) {
        return ca_fail(ret_error, CA_USAGE, "this snapshot holds live traces only; leave --value out");
    }
    size_t count = 0;
    const struct ca_trace *traces = ca_snapshot_traces(snapshot, &count, ret_error);
    if (traces == NULL) {
        return false;
    }
    if (by_thread && !knows_threads(traces, count)) {
        return ca_fail(ret_error, CA_USAGE, "threads were not recorded; trace with detail=1");
    }
    struct weights weights = {0};
    bool ok = CA_GROW(weights.items, weights.capacity, 1) && weights_add(&weights, traces, count, by_thread);
    ca_index_deinit(&weights.index);
    if (!ok) {
        free(weights.items);
        return ca_fail_memory(ret_error);
    }
    *ret_weights = weights.items;
    *ret_count = weights.count;
    return true;
}

bool ca_snapshot_weights(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                         struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    if (snapshot->resolver != NULL && snapshot->resolver->weigh != NULL) {
        return snapshot->resolver->weigh(snapshot, value, by_thread, ret_weights, ret_count, ret_error);
    }
    return weigh_traces(snapshot, value, by_thread, ret_weights, ret_count, ret_error);
}
