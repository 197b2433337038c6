#include "region.h"

#include "memory.h"
#include "root.h"

static size_t middle_size(const struct tm_region *region)
{
    return sizeof(uint64_t) << region->middle_bits;
}

size_t tm_region_segment_size(const struct tm_region *region)
{
    return (size_t)region->element_size << region->segment_shift;
}

static struct tm_region *region_claim(void)
{
    struct tm_root *root = tm_root;
    uint32_t index = tm_load(&root->region_count);
    while (index < TM_REGION_MAX) {
        if (tm_swap_if(&root->region_count, index, index + 1)) {
            return &root->regions[index];
        }
        index = tm_load(&root->region_count);
    }
    return NULL;
}

struct tm_region *tm_region_create(const struct tm_region_shape *shape)
{
    size_t directory_size = sizeof(uint64_t) << shape->directory_bits;
    void *directory = tm_root_allocate(directory_size);
    struct tm_region *region = directory ? region_claim() : NULL;
    if (!region) {
        return NULL;
    }
    region->shard = shape->shard;
    region->element_size = shape->element_size;
    region->segment_shift = shape->segment_shift;
    region->directory = (uintptr_t)directory;
    region->directory_length = UINT32_C(1) << shape->directory_bits;
    region->middle_bits = shape->middle_bits;
    region->key_shift = shape->key_shift;
    region->count = shape->count;
    region->committed = directory_size;
    struct tm_region whole = *region;
    whole.kind = shape->kind;
    region->check = tm_region_check(&whole);
    tm_publish(&region->kind, shape->kind);
    return region;
}

/* What *word points to, made where it is 0; NULL when out of memory. */
static void *region_fill(struct tm_region *region, uint64_t *word, size_t size)
{
    uint64_t base = tm_load_acquire(word);
    if (base) {
        return (void *)(uintptr_t)base;
    }
    void *memory = tm_memory_map(TM_MEMORY_TABLES, size);
    if (!memory) {
        return NULL;
    }
    if (!tm_swap_if(word, 0, (uintptr_t)memory)) {
        tm_memory_unmap(TM_MEMORY_TABLES, memory, size);
        return (void *)(uintptr_t)tm_load_acquire(word);
    }
    tm_add(&region->committed, size);
    return memory;
}

void *tm_region_make(struct tm_region *region, uint64_t index)
{
    uint64_t segment = index >> region->segment_shift;
    if (segment >= tm_region_segments(region)) {
        return NULL;
    }
    uint64_t *words = (uint64_t *)(uintptr_t)region->directory;
    if (region->middle_bits) {
        words = region_fill(region, &words[segment >> region->middle_bits], middle_size(region));
        if (!words) {
            return NULL;
        }
        segment &= (UINT64_C(1) << region->middle_bits) - 1;
    }
    char *base = region_fill(region, &words[segment], tm_region_segment_size(region));
    uint64_t within = index & ((UINT64_C(1) << region->segment_shift) - 1);
    return base ? base + within * region->element_size : NULL;
}

uint64_t tm_region_take(struct tm_region *region, uint32_t length)
{
    uint64_t segment_length = UINT64_C(1) << region->segment_shift;
    uint64_t limit = tm_region_segments(region) << region->segment_shift;
    uint64_t count = tm_load(&region->count);
    for (;;) {
        uint64_t first = count;
        if ((first & (segment_length - 1)) + length > segment_length) {
            first = (first | (segment_length - 1)) + 1;
        }
        if (length > segment_length || first + length > limit || !tm_region_make(region, first)) {
            return TM_REGION_FULL;
        }
        if (tm_swap_if(&region->count, count, first + length)) {
            return first;
        }
        count = tm_load(&region->count);
    }
}
