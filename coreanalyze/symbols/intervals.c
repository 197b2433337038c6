/* intervals.c: see intervals.h. The nested ranges are flattened once by a sweep with a stack, so that a
 * look-up is one binary search. */
#include "intervals.h"

#include <stdlib.h>

#include "../util/grow.h"

void ca_intervals_deinit(struct ca_intervals *intervals)
{
    free(intervals->items);
    free(intervals->segments);
    *intervals = (struct ca_intervals){0};
}

bool ca_intervals_add(struct ca_intervals *intervals, uint64_t low, uint64_t high, uint32_t value)
{
    if (low >= high) {
        return true;
    }
    if (!CA_GROW(intervals->items, intervals->capacity, intervals->count + 1)) {
        return false;
    }
    intervals->items[intervals->count++] = (struct ca_interval){low, high, value};
    return true;
}

/* Outer before inner. */
static int compare(const void *left_pointer, const void *right_pointer)
{
    const struct ca_interval *left = left_pointer, *right = right_pointer;
    if (left->low != right->low) {
        return left->low < right->low ? -1 : 1;
    }
    if (left->high != right->high) {
        return left->high > right->high ? -1 : 1;
    }
    return left->value < right->value ? -1 : left->value > right->value;
}

struct sweep {
    struct ca_segment *segments;
    size_t count;
    const struct ca_interval **stack;
    size_t depth;
};

static void sweep_emit(struct sweep *sweep, uint64_t start, uint32_t value)
{
    if (sweep->count > 0 && sweep->segments[sweep->count - 1].start == start) {
        sweep->count--;
    }
    if (sweep->count == 0 || sweep->segments[sweep->count - 1].value != value) {
        sweep->segments[sweep->count++] = (struct ca_segment){start, value};
    }
}

/* Closes everything that ends at or before `limit`. */
static void sweep_close(struct sweep *sweep, uint64_t limit)
{
    while (sweep->depth > 0 && sweep->stack[sweep->depth - 1]->high <= limit) {
        uint64_t end = sweep->stack[sweep->depth - 1]->high;
        while (sweep->depth > 0 && sweep->stack[sweep->depth - 1]->high <= end) {
            sweep->depth--;
        }
        sweep_emit(sweep, end, sweep->depth > 0 ? sweep->stack[sweep->depth - 1]->value : CA_NO_INTERVAL);
    }
}

bool ca_intervals_finish(struct ca_intervals *intervals)
{
    if (intervals->count == 0) {
        return true;
    }
    struct sweep sweep = {0};
    sweep.segments = calloc(intervals->count * 2, sizeof(*sweep.segments));
    sweep.stack = calloc(intervals->count, sizeof(*sweep.stack));
    if (!sweep.segments || !sweep.stack) {
        free(sweep.segments);
        free(sweep.stack);
        return false;
    }
    qsort(intervals->items, intervals->count, sizeof(*intervals->items), compare);
    for (size_t i = 0; i < intervals->count; i++) {
        const struct ca_interval *item = &intervals->items[i];
        sweep_close(&sweep, item->low);
        sweep.stack[sweep.depth++] = item;
        sweep_emit(&sweep, item->low, item->value);
    }
    sweep_close(&sweep, UINT64_MAX);
    free(sweep.stack);
    free(intervals->items);
    intervals->items = NULL;
    intervals->count = intervals->capacity = 0;
    struct ca_segment *shrunk = realloc(sweep.segments, sweep.count * sizeof(*shrunk));
    intervals->segments = shrunk ? shrunk : sweep.segments;
    intervals->segment_count = sweep.count;
    return true;
}

uint32_t ca_intervals_find(const struct ca_intervals *intervals, uint64_t address)
{
    size_t low = 0, high = intervals->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (intervals->segments[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? CA_NO_INTERVAL : intervals->segments[low - 1].value;
}
