/* region.h: growing tables whose elements never move, found by index through one or two levels of directory
 * (layout.h, struct tm_region). Lock-free; a segment is there in full or not at all.
 */
#ifndef TM_TABLES_REGION_H
#define TM_TABLES_REGION_H

#include <stddef.h>
#include <stdint.h>

#include "../atomics.h"
#include "../layout.h"

#define TM_REGION_FULL UINT64_MAX

struct tm_region_shape {
    uint32_t kind;
    uint32_t shard;
    uint32_t element_size;
    uint32_t segment_shift;
    uint32_t directory_bits; /* log2 of the words of the directory */
    uint32_t middle_bits;
    uint32_t key_shift;
    uint64_t count; /* elements that count as handed out at the start, or UINT64_MAX = sparse */
};

/* A new region in the root's table; NULL when out of memory or of descriptors. */
struct tm_region *tm_region_create(const struct tm_region_shape *shape);

/* Makes the segment of element `index` and returns the element; NULL when out of memory or of range. */
void *tm_region_make(struct tm_region *region, uint64_t index);

/* Hands out `length` consecutive elements of one segment, which exists then: the index of the first, or TM_REGION_FULL. */
uint64_t tm_region_take(struct tm_region *region, uint32_t length);

/* Bytes of a segment as mapped. */
size_t tm_region_segment_size(const struct tm_region *region);

/* Segments that the directory has room for. */
static inline uint64_t tm_region_segments(const struct tm_region *region)
{
    return (uint64_t)region->directory_length << region->middle_bits;
}

/* Base of a segment; NULL where there is none. `segment` is less than tm_region_segments(). */
static inline char *tm_region_segment(const struct tm_region *region, uint64_t segment)
{
    uint64_t *directory = (uint64_t *)(uintptr_t)region->directory;
    if (region->middle_bits == 0) {
        return (char *)(uintptr_t)tm_load_acquire(&directory[segment]);
    }
    uint64_t *middle = (uint64_t *)(uintptr_t)tm_load_acquire(&directory[segment >> region->middle_bits]);
    uint64_t within = segment & ((UINT64_C(1) << region->middle_bits) - 1);
    return middle ? (char *)(uintptr_t)tm_load_acquire(&middle[within]) : NULL;
}

/* The element; NULL where its segment does not exist. */
static inline void *tm_region_find(const struct tm_region *region, uint64_t index)
{
    uint64_t segment = index >> region->segment_shift;
    if (TM_UNLIKELY(segment >= tm_region_segments(region))) {
        return NULL;
    }
    char *base = tm_region_segment(region, segment);
    uint64_t within = index & ((UINT64_C(1) << region->segment_shift) - 1);
    return base ? base + within * region->element_size : NULL;
}

#endif
