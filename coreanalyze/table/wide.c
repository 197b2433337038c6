/* wide.c: the blocks of the WIDE region. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "live.h"

int ca_blocks_compare(const void *a, const void *b)
{
    const struct ca_block *left = a, *right = b;
    if (left->domain != right->domain) {
        return left->domain < right->domain ? -1 : 1;
    }
    return (left->address > right->address) - (left->address < right->address);
}

static bool wide_is_live(const struct ca_table *table, const struct tm_wide *wide)
{
    return (wide->state & 0xff) == TM_WIDE_LIVE &&
           wide->state >> 8 == (table->root.generation & (UINT64_MAX >> 8));
}

static bool wide_add_region(struct ca_table *table, struct ca_region *region, size_t *capacity,
                            struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    bool detail = table->root.features & TM_FEATURE_DETAIL;
    void *array;
    size_t count;
    if (!ca_region_copy(internal->source, region, sizeof(struct tm_wide), &array, &count, ret_error)) {
        return false;
    }
    const struct tm_wide *elements = array;
    for (size_t i = 0; i < count; i++) {
        const struct tm_wide *wide = &elements[i];
        if (!wide_is_live(table, wide)) {
            continue;
        }
        if (wide->stack == 0) {
            table->coverage.rejected++;
            continue;
        }
        table->coverage.rejected += ca_stack_is_foreign(table, wide->stack, wide->domain);
        if (!CA_GROW(internal->wide, *capacity, internal->wide_count + 1)) {
            free(array);
            return ca_fail_memory(ret_error);
        }
        internal->wide[internal->wide_count++] = (struct ca_block){
            .address = wide->address,
            .size = wide->size,
            .time = detail ? wide->time : 0,
            .order = detail ? wide->order : 0,
            .domain = wide->domain,
            .stack = wide->stack,
            .thread = detail ? wide->thread : 0,
        };
    }
    free(array);
    return true;
}

bool ca_wide_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    size_t capacity = 0;
    if (internal->wide_read) {
        return true;
    }
    free(internal->wide);
    internal->wide = NULL;
    internal->wide_count = 0;
    for (size_t r = 0; internal->traced && r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_WIDE &&
            !wide_add_region(table, &internal->regions[r], &capacity, ret_error)) {
            return false;
        }
    }
    if (internal->wide_count) {
        qsort(internal->wide, internal->wide_count, sizeof(*internal->wide), ca_blocks_compare);
    }
    internal->wide_read = true;
    return true;
}

/* Elements that are not live bear no generation. A realloc in place claims a second one for the same address:
 * that is known by what the operation writes into it. */
static bool held_in_region(struct ca_table *table, struct ca_region *region,
                           const struct tm_operation *operation, uint32_t state, struct ca_block *ret_block,
                           bool *ret_found, struct ca_error **ret_error)
{
    void *array;
    size_t count;
    if (!ca_region_copy(table->internal->source, region, sizeof(struct tm_wide), &array, &count, ret_error)) {
        return false;
    }
    const struct tm_wide *elements = array;
    for (size_t i = 0; i < count; i++) {
        const struct tm_wide *wide = &elements[i];
        bool own = wide->size == operation->size && wide->stack == operation->stack;
        if ((wide->state & 0xff) == state && wide->domain == operation->domain &&
            wide->address == operation->address && wide->stack && (!*ret_found || !own)) {
            *ret_block = (struct ca_block){
                .address = wide->address, .size = wide->size, .domain = wide->domain, .stack = wide->stack};
            *ret_found = true;
        }
    }
    free(array);
    return true;
}

bool ca_wide_held(struct ca_table *table, const struct tm_operation *operation, uint32_t state,
                  struct ca_block *ret_block, bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    *ret_found = false;
    for (size_t r = 0; r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_WIDE &&
            !held_in_region(table, &internal->regions[r], operation, state, ret_block, ret_found,
                            ret_error)) {
            return false;
        }
    }
    return true;
}
