/* order.c: the order of tracebacks and of traces. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "../util/unicode.h"
#include "internal.h"

static int compare_frames(const struct ca_snapshot *snapshot, uint32_t left_id, uint32_t right_id)
{
    if (left_id == right_id) {
        return 0;
    }
    const struct ca_frame *left = ca_snapshot_frame(snapshot, left_id);
    const struct ca_frame *right = ca_snapshot_frame(snapshot, right_id);
    if (left->filename != right->filename) {
        return ca_name_compare(ca_snapshot_string(snapshot, left->filename),
                               ca_snapshot_string_size(snapshot, left->filename),
                               ca_snapshot_string(snapshot, right->filename),
                               ca_snapshot_string_size(snapshot, right->filename));
    }
    return (left->lineno > right->lineno) - (left->lineno < right->lineno);
}

int ca_frames_compare(const struct ca_snapshot *snapshot, const uint32_t *left, size_t left_count,
                      const uint32_t *right, size_t right_count)
{
    while (left_count > 0 && right_count > 0) {
        int order = compare_frames(snapshot, left[--left_count], right[--right_count]);
        if (order != 0) {
            return order;
        }
    }
    return (left_count > 0) - (right_count > 0);
}

/* Equal frames are ordered by total_nframe, unknown last. */
static int compare_tracebacks(const void *a, const void *b, void *context)
{
    const struct ca_snapshot *snapshot = context;
    const struct ca_traceback_span *left = &snapshot->tracebacks[*(const uint32_t *)a];
    const struct ca_traceback_span *right = &snapshot->tracebacks[*(const uint32_t *)b];
    int order = ca_frames_compare(snapshot, snapshot->traceback_frames + left->first, left->count,
                                  snapshot->traceback_frames + right->first, right->count);
    return order ? order
                 : (left->total_nframe > right->total_nframe) - (left->total_nframe < right->total_nframe);
}

/* rank[traceback] for all tracebacks that a trace has; equal ones get equal ranks. */
static bool rank_tracebacks(struct ca_snapshot *snapshot, uint32_t *rank, uint32_t *used,
                            struct ca_error **ret_error)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->trace_count; i++) {
        uint32_t traceback = snapshot->traces[i].traceback;
        size_t frames;
        if (rank[traceback] != 0) {
            continue;
        }
        rank[traceback] = 1;
        used[count++] = traceback;
        if (!ca_snapshot_traceback(snapshot, traceback, SIZE_MAX, &frames, ret_error) && frames > 0) {
            return false;
        }
    }
    qsort_r(used, count, sizeof *used, compare_tracebacks, snapshot);
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++) {
        next += i == 0 || compare_tracebacks(&used[i - 1], &used[i], snapshot) != 0;
        rank[used[i]] = next;
    }
    return true;
}

/* Within one domain and one traceback. */
static int compare_blocks(const void *a, const void *b)
{
    const struct ca_trace *left = a, *right = b;
    if (left->size != right->size) {
        return left->size < right->size ? -1 : 1;
    }
    if (left->thread != right->thread) {
        return left->thread < right->thread ? -1 : 1;
    }
    return (left->address > right->address) - (left->address < right->address);
}

/* What a distribution goes by: a number below `limit` for each trace. */
struct distribution {
    uint32_t (*number)(const struct distribution *distribution, const struct ca_trace *trace);
    const uint32_t *rank;    /* of tracebacks */
    const uint32_t *domains; /* ascending */
    size_t domain_count;
    size_t limit;
};

static uint32_t number_of_rank(const struct distribution *distribution, const struct ca_trace *trace)
{
    return distribution->rank[trace->traceback];
}

static uint32_t number_of_domain(const struct distribution *distribution, const struct ca_trace *trace)
{
    size_t low = 0, high = distribution->domain_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (distribution->domains[middle] <= trace->domain) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint32_t)low;
}

/* Copies the traces in the order of their numbers, equal ones in the order that they have. */
static bool distribute(const struct distribution *distribution, const struct ca_trace *from,
                       struct ca_trace *to, size_t count)
{
    size_t *next = calloc(distribution->limit + 1, sizeof *next);
    if (!next) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        next[distribution->number(distribution, &from[i]) + 1]++;
    }
    for (size_t i = 1; i < distribution->limit; i++) {
        next[i] += next[i - 1];
    }
    for (size_t i = 0; i < count; i++) {
        to[next[distribution->number(distribution, &from[i])]++] = from[i];
    }
    free(next);
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* The domains that traces have, ascending; NULL when out of memory. */
static uint32_t *list_domains(const struct ca_snapshot *snapshot, size_t *ret_count)
{
    uint32_t *domains = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < snapshot->trace_count; i++) {
        uint32_t domain = snapshot->traces[i].domain;
        if (count > 0 && domains[count - 1] == domain) {
            continue;
        }
        if (!CA_GROW(domains, capacity, count + 1)) {
            free(domains);
            return NULL;
        }
        domains[count++] = domain;
    }
    qsort(domains, count, sizeof *domains, compare_numbers);
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        if (domains[i] != domains[kept]) {
            domains[++kept] = domains[i];
        }
    }
    *ret_count = kept + 1;
    return domains;
}

static void sort_blocks(struct ca_snapshot *snapshot, const uint32_t *rank)
{
    struct ca_trace *traces = snapshot->traces;
    for (size_t begin = 0, end; begin < snapshot->trace_count; begin = end) {
        for (end = begin + 1; end < snapshot->trace_count && traces[end].domain == traces[begin].domain &&
                              rank[traces[end].traceback] == rank[traces[begin].traceback];
             end++) {
        }
        qsort(traces + begin, end - begin, sizeof *traces, compare_blocks);
    }
}

/* By distribution, because comparing ten million traces takes seconds: tracebacks first, domains last. */
static bool sort_by_rank(struct ca_snapshot *snapshot, const uint32_t *rank, size_t rank_limit)
{
    size_t count = snapshot->trace_count;
    struct ca_trace *sorted = malloc(count * sizeof *sorted);
    struct distribution distribution = {.number = number_of_rank, .rank = rank, .limit = rank_limit};
    uint32_t *domains = sorted ? list_domains(snapshot, &distribution.domain_count) : NULL;
    bool done = domains && distribute(&distribution, snapshot->traces, sorted, count);
    if (done && distribution.domain_count > 1) {
        distribution.number = number_of_domain;
        distribution.domains = domains;
        distribution.limit = distribution.domain_count;
        done = distribute(&distribution, sorted, snapshot->traces, count);
    } else if (done) {
        struct ca_trace *unsorted = snapshot->traces;
        snapshot->traces = sorted;
        snapshot->traces_capacity = count;
        sorted = unsorted;
    }
    free(domains);
    free(sorted);
    if (done) {
        sort_blocks(snapshot, rank);
    }
    return done;
}

bool ca_snapshot_sort_traces(struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    size_t tracebacks = snapshot->traceback_count + 1;
    uint32_t *rank = calloc(tracebacks, sizeof *rank), *used = malloc(tracebacks * sizeof *used);
    bool done = rank && used ? rank_tracebacks(snapshot, rank, used, ret_error) : ca_fail_memory(ret_error);
    if (done && snapshot->trace_count > 0) {
        done = sort_by_rank(snapshot, rank, tracebacks) || ca_fail_memory(ret_error);
    }
    free(rank);
    free(used);
    return done;
}
