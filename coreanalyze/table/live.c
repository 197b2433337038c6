/* live.c: the LIVE regions, segment by segment and word by word. */
#include "live.h"

#include <stdlib.h>
#include <string.h>

#include "../terminal/progress.h"
#include "../util/grow.h"

void ca_scan_finish(const struct ca_scan *scan)
{
    struct ca_table *table = scan->table;
    ca_table_note_missing(table);
    if (!table->internal->scanned) {
        table->coverage.blocks = scan->blocks;
        table->coverage.rejected += scan->rejected;
        table->internal->scanned = true;
        ca_agreement_check_scan(table, scan->blocks, scan->size);
    }
}

static int compare_live_segments(const void *a, const void *b)
{
    const struct ca_live_segment *left = a, *right = b;
    uint64_t left_key = left->segment->index << left->region->header.key_shift;
    uint64_t right_key = right->segment->index << right->region->header.key_shift;
    return (left_key > right_key) - (left_key < right_key);
}

bool ca_live_segments(const struct ca_table *table, struct ca_live_segment **ret_segments, size_t *ret_count,
                      struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    struct ca_live_segment *segments = NULL;
    size_t count = 0, capacity = 0;
    for (size_t r = 0; internal->traced && r < internal->region_count; r++) {
        struct ca_region *region = &internal->regions[r];
        for (size_t i = 0; region->header.kind == TM_REGION_LIVE && i < region->segment_count; i++) {
            if (!CA_GROW(segments, capacity, count + 1)) {
                free(segments);
                return ca_fail_memory(ret_error);
            }
            segments[count++] = (struct ca_live_segment){region, &region->segments[i]};
        }
    }
    if (count) {
        qsort(segments, count, sizeof(*segments), compare_live_segments);
    }
    *ret_segments = segments;
    *ret_count = count;
    return true;
}

bool ca_live_visit(struct ca_table *table, ca_segment_visitor each, void *context,
                   struct ca_error **ret_error)
{
    struct ca_live_segment *segments;
    size_t count;
    bool good = true, more = true;
    if (!ca_live_segments(table, &segments, &count, ret_error)) {
        return false;
    }
    for (size_t i = 0; good && more && i < count; i++) {
        size_t got;
        void *owned;
        struct ca_region *region = segments[i].region;
        ca_progress_report(
            &(struct ca_progress){.phase = "reading the live blocks", .done = i, .total = count});
        const uint8_t *bytes =
            ca_segment_map(table->internal->source, region, segments[i].segment, &got, &owned, ret_error);
        good = bytes != NULL;
        if (good) {
            more =
                each(context, region, segments[i].segment->index, bytes, got / region->header.element_size);
        }
        free(owned);
    }
    free(segments);
    return good;
}

/* The segment that has element `index`; NULL = it does not exist. */
static const struct ca_segment *segment_of(const struct ca_region *region, uint64_t index)
{
    uint64_t first = index >> region->header.segment_shift << region->header.segment_shift;
    size_t low = 0, high = region->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (region->segments[middle].index < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < region->segment_count && region->segments[low].index == first ? &region->segments[low]
                                                                               : NULL;
}

bool ca_live_element(struct ca_table *table, uint64_t address, struct tm_live_detail *element,
                     struct ca_live_rules *rules, bool *ret_found, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    *ret_found = false;
    for (size_t r = 0; internal->traced && !*ret_found && r < internal->region_count; r++) {
        const struct ca_region *region = &internal->regions[r];
        size_t stride = region->header.element_size, got = 0;
        size_t size = stride < sizeof(*element) ? stride : sizeof(*element);
        uint64_t index = address >> region->header.key_shift;
        const struct ca_segment *segment =
            region->header.kind == TM_REGION_LIVE ? segment_of(region, index) : NULL;
        if (!segment) {
            continue;
        }
        memset(element, 0, sizeof(*element));
        uint64_t at = segment->base + (index - segment->index) * stride;
        if (!ca_source_read_some(internal->source, at, element, size, &got, ret_error)) {
            return false;
        }
        *rules = ca_live_rules(table, region);
        *ret_found = got == size && ca_word_is_live(rules, element->word) &&
                     ca_word_address(rules, index, element->word) == address;
    }
    return true;
}

bool ca_live_word(struct ca_table *table, uint64_t address, uint64_t *ret_word, struct ca_error **ret_error)
{
    struct tm_live_detail element;
    struct ca_live_rules rules;
    bool found;
    if (!ca_live_element(table, address, &element, &rules, &found, ret_error)) {
        return false;
    }
    *ret_word = found ? element.word : 0;
    return true;
}
