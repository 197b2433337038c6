/* history.c: the blocks that were freed, from the HISTORY regions. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "internal.h"

static int compare_freed(const void *a, const void *b)
{
    const struct ca_freed *left = a, *right = b;
    if (left->block.address != right->block.address) {
        return left->block.address < right->block.address ? -1 : 1;
    }
    if (left->time != right->time) {
        return left->time < right->time ? -1 : 1;
    }
    return (left->order > right->order) - (left->order < right->order);
}

static uint32_t known_stack(const struct ca_table *table, uint32_t stack)
{
    return stack < table->stack_count ? stack : 1;
}

static bool freed_add(struct ca_table *table, const struct tm_freed *from, size_t *capacity)
{
    struct ca_table_private *internal = table->internal;
    uint64_t end;
    if (from->check == 0 || from->check == TM_FREED_BUSY) {
        return true; /* empty, or being written */
    }
    if (from->check != tm_freed_check(from) || __builtin_add_overflow(from->address, from->size, &end) ||
        from->address == 0) {
        table->coverage.rejected++;
        return true;
    }
    if (!CA_GROW(internal->freed, *capacity, internal->freed_count + 1)) {
        return false;
    }
    internal->freed[internal->freed_count++] = (struct ca_freed){
        .block =
            {
                .address = from->address,
                .size = from->size,
                .time = from->allocated_time,
                .domain = from->domain,
                .stack = known_stack(table, from->allocated_stack),
                .thread = from->allocated_thread,
            },
        .order = from->order,
        .time = from->freed_time,
        .thread = from->freed_thread,
        .stack = known_stack(table, from->freed_stack),
    };
    return true;
}

static bool freed_add_region(struct ca_table *table, struct ca_region *region, size_t *capacity,
                             struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    size_t size = region->header.element_size;
    for (size_t s = 0; s < region->segment_count; s++) {
        size_t got;
        void *owned;
        const uint8_t *bytes =
            ca_segment_map(internal->source, region, &region->segments[s], &got, &owned, ret_error);
        bool good = bytes != NULL;
        for (size_t at = 0; good && at + size <= got; at += size) {
            struct tm_freed freed = {0};
            memcpy(&freed, bytes + at, size < sizeof(freed) ? size : sizeof(freed));
            good = freed_add(table, &freed, capacity) ? true : ca_fail_memory(ret_error);
        }
        free(owned);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* For ca_table_freed_around: reach[i] is the largest end of the first i + 1 blocks. */
static bool reach_make(struct ca_table_private *internal)
{
    internal->freed_reach = malloc((internal->freed_count + 1) * sizeof(*internal->freed_reach));
    uint64_t reach = 0;
    for (size_t i = 0; internal->freed_reach && i < internal->freed_count; i++) {
        const struct ca_block *block = &internal->freed[i].block;
        uint64_t end = block->address + (block->size ? block->size : 1);
        reach = end > reach ? end : reach;
        internal->freed_reach[i] = reach;
    }
    return internal->freed_reach;
}

static bool history_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    size_t capacity = 0;
    for (size_t r = 0; r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_HISTORY &&
            !freed_add_region(table, &internal->regions[r], &capacity, ret_error)) {
            return false;
        }
    }
    if (internal->freed_count) {
        qsort(internal->freed, internal->freed_count, sizeof(*internal->freed), compare_freed);
    }
    return reach_make(internal) ? true : ca_fail_memory(ret_error);
}

bool ca_table_history(struct ca_table *table, const struct ca_freed **ret_freed, size_t *ret_count,
                      struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    if (!internal->freed_reach) {
        free(internal->freed);
        internal->freed = NULL;
        internal->freed_count = 0;
        if (!history_read(table, ret_error)) {
            return false;
        }
        ca_table_note_missing(table);
    }
    *ret_freed = internal->freed;
    *ret_count = internal->freed_count;
    return true;
}

static bool is_newer(const struct ca_freed *left, const struct ca_freed *right)
{
    return left->time != right->time ? left->time > right->time : left->order > right->order;
}

bool ca_table_freed_around(struct ca_table *table, uint64_t address, struct ca_freed *ret_freed,
                           bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_freed *freed, *best = NULL;
    size_t low = 0, high;
    *ret_found = false;
    if (!ca_table_history(table, &freed, &high, ret_error)) {
        return false;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (freed[middle].block.address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i-- > 0 && table->internal->freed_reach[i] > address;) {
        uint64_t offset = address - freed[i].block.address;
        if ((offset < freed[i].block.size || offset == 0) && (!best || is_newer(&freed[i], best))) {
            best = &freed[i];
        }
    }
    if (best) {
        *ret_freed = *best;
        *ret_found = true;
    }
    return true;
}
