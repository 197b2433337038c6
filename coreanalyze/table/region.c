/* region.c: from a region descriptor to the segments that exist, and from those to elements.
 *
 * Nothing is allocated by what a descriptor says, only by what the source has: a directory word costs 8 bytes
 * there before it costs a struct ca_segment here, and segments may not lie on each other, so that their sum
 * is no more than the source's memory. */
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "internal.h"

#define ELEMENT_SIZE_MAX 65536u
#define SHIFT_MAX        40u
#define MIDDLE_BITS_MAX  30u

void ca_region_deinit(struct ca_region *region)
{
    free(region->segments);
    region->segments = NULL;
    region->segment_count = 0;
}

/* Smallest element that has all the fields that readers need. */
static uint32_t least_element_size(uint32_t kind)
{
    switch (kind) {
    case TM_REGION_THREADS:
        return sizeof(struct tm_thread);
    case TM_REGION_MODULES:
        return offsetof(struct tm_module, reserved);
    case TM_REGION_STRINGS:
        return 1;
    case TM_REGION_FRAMES:
        return sizeof(struct tm_frame);
    case TM_REGION_STACKS:
        return sizeof(struct tm_stack);
    case TM_REGION_STACK_FRAMES:
        return sizeof(uint32_t);
    case TM_REGION_LIVE:
        return sizeof(uint64_t);
    case TM_REGION_STATS:
        return sizeof(struct tm_stack_stats);
    case TM_REGION_WIDE:
        return offsetof(struct tm_wide, reserved);
    case TM_REGION_HISTORY:
        return sizeof(struct tm_freed);
    default:
        return UINT32_MAX;
    }
}

static bool header_is_sane(const struct tm_region *header)
{
    return header->element_size >= least_element_size(header->kind) &&
           header->element_size <= ELEMENT_SIZE_MAX && header->segment_shift <= SHIFT_MAX &&
           header->middle_bits <= MIDDLE_BITS_MAX && header->key_shift <= 16;
}

/* --------------------------------------------------------------------------------------- directory */

/* A word of a directory or middle table that is not 0. */
struct word {
    uint64_t index;
    uint64_t value;
};

struct words {
    struct word *items;
    size_t count, capacity;
};

/* Adds the words of the table of `length` words at `address`, numbered from `first`. */
static bool words_read(struct ca_source *source, uint64_t address, uint64_t length, uint64_t first,
                       struct words *words, uint64_t *missing, struct ca_error **ret_error)
{
    size_t got;
    void *owned;
    const uint8_t *bytes = ca_source_map_some(source, address, (size_t)length * 8, &got, &owned, ret_error);
    if (!bytes) {
        return false;
    }
    *missing += length * 8 - got;
    for (size_t i = 0; i < got / 8; i++) {
        uint64_t value;
        memcpy(&value, bytes + 8 * i, sizeof(value));
        if (value == 0) {
            continue;
        }
        if (!CA_GROW(words->items, words->capacity, words->count + 1)) {
            free(owned);
            return ca_fail_memory(ret_error);
        }
        words->items[words->count++] = (struct word){first + i, value};
    }
    free(owned);
    return true;
}

static int compare_values(const void *a, const void *b)
{
    const struct word *left = a, *right = b;
    if (left->value != right->value) {
        return left->value < right->value ? -1 : 1;
    }
    return (left->index > right->index) - (left->index < right->index);
}

static int compare_indexes(const void *a, const void *b)
{
    const struct word *left = a, *right = b;
    return (left->index > right->index) - (left->index < right->index);
}

/* Drops words whose pieces of `size` bytes wrap around or lie on another's; orders the rest by index. */
static void words_drop_overlaps(struct words *words, uint64_t size, uint64_t *rejected)
{
    if (words->count == 0) {
        return;
    }
    qsort(words->items, words->count, sizeof(*words->items), compare_values);
    size_t kept = 0;
    uint64_t covered = 0;
    for (size_t i = 0; i < words->count; i++) {
        uint64_t end;
        if (words->items[i].value < covered || __builtin_add_overflow(words->items[i].value, size, &end)) {
            (*rejected)++;
            continue;
        }
        covered = end;
        words->items[kept++] = words->items[i];
    }
    words->count = kept;
    qsort(words->items, words->count, sizeof(*words->items), compare_indexes);
}

static bool directory_read(struct ca_source *source, const struct tm_region *header, struct words *segments,
                           uint64_t *rejected, uint64_t *missing, struct ca_error **ret_error)
{
    if (header->middle_bits == 0) {
        return words_read(source, header->directory, header->directory_length, 0, segments, missing,
                          ret_error);
    }
    struct words middles = {0};
    uint64_t length = UINT64_C(1) << header->middle_bits;
    bool good =
        words_read(source, header->directory, header->directory_length, 0, &middles, missing, ret_error);
    if (good) {
        words_drop_overlaps(&middles, length * 8, rejected);
    }
    for (size_t i = 0; good && i < middles.count; i++) {
        good = words_read(source, middles.items[i].value, length,
                          middles.items[i].index << header->middle_bits, segments, missing, ret_error);
    }
    free(middles.items);
    return good;
}

/* Bytes of [address, address + size) that are there: all of them, as far as is known, of a live target, whose
 * list of mappings need not be complete. */
static uint64_t available(struct ca_source *source, uint64_t address, uint64_t size)
{
    uint64_t got = 0;
    while (ca_source_in_memory(source) && got < size) {
        const struct ca_mapping *mapping = ca_source_mapping_at(source, address + got);
        if (!mapping || address + got - mapping->start >= mapping->present) {
            return got;
        }
        got += mapping->present - (address + got - mapping->start);
    }
    return size;
}

bool ca_region_read(struct ca_source *source, const struct tm_region *header, struct ca_region *region,
                    uint64_t *rejected, struct ca_error **ret_error)
{
    memset(region, 0, sizeof(*region));
    region->header = *header;
    if (!header_is_sane(header)) { /* kind NONE from here on: nobody computes with its numbers */
        region->header = (struct tm_region){0};
        (*rejected)++;
        return true;
    }
    region->segment_bytes = (uint64_t)header->element_size << header->segment_shift;
    struct words words = {0};
    if (!directory_read(source, header, &words, rejected, &region->missing, ret_error)) {
        free(words.items);
        return false;
    }
    words_drop_overlaps(&words, region->segment_bytes, rejected);
    region->segments = malloc((words.count ? words.count : 1) * sizeof(*region->segments));
    if (!region->segments) {
        free(words.items);
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < words.count; i++) {
        uint64_t index = words.items[i].index << header->segment_shift;
        if (index >> header->segment_shift != words.items[i].index) {
            (*rejected)++;
            continue;
        }
        struct ca_segment segment = {.index = index, .base = words.items[i].value};
        segment.missing = region->segment_bytes - available(source, segment.base, region->segment_bytes);
        region->missing += segment.missing;
        region->segments[region->segment_count++] = segment;
    }
    free(words.items);
    return true;
}

/* ------------------------------------------------------------------------------------------ ranges */

static bool words_add_ranges(const struct words *words, uint64_t size, struct ca_ranges *ranges,
                             struct ca_error **ret_error)
{
    for (size_t i = 0; i < words->count; i++) {
        if (!ca_ranges_add(ranges, words->items[i].value, size)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

bool ca_region_add_ranges(struct ca_source *source, const struct tm_region *header, struct ca_ranges *ranges,
                          struct ca_error **ret_error)
{
    if (!header_is_sane(header)) {
        return true;
    }
    uint64_t ignored = 0, segment_bytes = (uint64_t)header->element_size << header->segment_shift;
    struct words middles = {0}, segments = {0};
    bool good = ca_ranges_add(ranges, header->directory, (uint64_t)header->directory_length * 8) ||
                ca_fail_memory(ret_error);
    if (good && header->middle_bits) {
        uint64_t middle_bytes = UINT64_C(8) << header->middle_bits;
        good =
            words_read(source, header->directory, header->directory_length, 0, &middles, &ignored, ret_error);
        words_drop_overlaps(&middles, middle_bytes, &ignored);
        good = good && words_add_ranges(&middles, middle_bytes, ranges, ret_error);
    }
    good = good && directory_read(source, header, &segments, &ignored, &ignored, ret_error);
    words_drop_overlaps(&segments, segment_bytes, &ignored);
    good = good && words_add_ranges(&segments, segment_bytes, ranges, ret_error);
    free(middles.items);
    free(segments.items);
    return good;
}

/* ---------------------------------------------------------------------------------------- elements */

const uint8_t *ca_segment_map(struct ca_source *source, struct ca_region *region, struct ca_segment *segment,
                              size_t *ret_size, void **ret_owned, struct ca_error **ret_error)
{
    const uint8_t *bytes = ca_source_map_some(source, segment->base, (size_t)region->segment_bytes, ret_size,
                                              ret_owned, ret_error);
    if (bytes && *ret_size < region->segment_bytes - segment->missing) {
        region->missing += region->segment_bytes - segment->missing - *ret_size;
        segment->missing = region->segment_bytes - *ret_size;
    }
    return bytes;
}

/* Puts the elements of one segment where they belong; the array grows to the last one that is there. `spare`
 * bounds the gaps between segments: a dense region has none, save those that were cut. */
static bool copy_segment(const struct ca_region *region, const struct ca_segment *segment,
                         const uint8_t *bytes, size_t bytes_size, size_t size, uint8_t **array,
                         size_t *capacity, size_t *count, uint64_t *spare)
{
    size_t stride = region->header.element_size;
    uint64_t there = bytes_size / stride;
    uint64_t limit = region->header.count;
    if (there == 0 || segment->index >= limit) {
        return true;
    }
    there = there < limit - segment->index ? there : limit - segment->index;
    *spare += 4 * there;
    uint64_t end = segment->index + there;
    if (end > *count + *spare) {
        return true;
    }
    if (end > SIZE_MAX / size || !(*array = ca_grow(*array, capacity, (size_t)end, size))) {
        return false;
    }
    memset(*array + *count * size, 0, ((size_t)end - *count) * size);
    size_t copied = stride < size ? stride : size;
    if (stride == size) {
        memcpy(*array + segment->index * size, bytes, (size_t)there * size);
    } else {
        for (size_t i = 0; i < there; i++) {
            memcpy(*array + (segment->index + i) * size, bytes + i * stride, copied);
        }
    }
    *count = (size_t)end;
    return true;
}

bool ca_region_copy(struct ca_source *source, struct ca_region *region, size_t size, void **ret_array,
                    size_t *ret_count, struct ca_error **ret_error)
{
    size_t capacity = 1, count = 1;
    uint64_t spare = (UINT64_C(1) << 24) / size;
    uint8_t *array = calloc(1, size);
    if (!array) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < region->segment_count; i++) {
        size_t got;
        void *owned;
        const uint8_t *bytes = ca_segment_map(source, region, &region->segments[i], &got, &owned, ret_error);
        if (!bytes) {
            free(array);
            return false;
        }
        uint8_t *grown = array;
        bool good =
            copy_segment(region, &region->segments[i], bytes, got, size, &grown, &capacity, &count, &spare);
        free(owned);
        if (!good) {
            free(array);
            return ca_fail_memory(ret_error);
        }
        array = grown;
    }
    *ret_array = array;
    *ret_count = count;
    return true;
}
