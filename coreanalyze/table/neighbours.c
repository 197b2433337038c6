/* neighbours.c: the live blocks next to an address. */
#include <stdlib.h>
#include <string.h>

#include "live.h"

/* The nearest blocks of a domain that were met so far. */
struct nearest {
    uint64_t address;
    uint32_t domain;
    struct ca_neighbours *found;
    bool detail;
};

static void nearest_offer(struct nearest *nearest, const struct ca_block *block)
{
    struct ca_neighbours *found = nearest->found;
    if (block->domain != nearest->domain) {
        return;
    }
    if (block->address <= nearest->address) {
        if (!found->has_before || block->address > found->before.address) {
            found->before = *block;
            found->has_before = true;
        }
    } else if (!found->has_after || block->address < found->after.address) {
        found->after = *block;
        found->has_after = true;
    }
}

/* Offers element i when it is a block; true then. */
static bool nearest_element(struct nearest *nearest, const struct ca_live_rules *rules,
                            const struct ca_live_segment *live, const uint8_t *bytes, size_t i, bool before)
{
    size_t stride = live->region->header.element_size;
    struct tm_live_detail element = {0};
    memcpy(&element.word, bytes + i * stride, sizeof(element.word));
    uint64_t address = ca_word_address(rules, live->segment->index + i, element.word);
    if (!ca_word_is_live(rules, element.word) || (element.word & TM_LIVE_SIZE_MASK) == TM_LIVE_SIZE_WIDE ||
        ca_word_stack(element.word) == 0 || (address <= nearest->address) != before) {
        return false;
    }
    if (nearest->detail && stride >= sizeof(element)) {
        memcpy(&element, bytes + i * stride, sizeof(element));
    }
    nearest_offer(nearest, &(struct ca_block){
                               .address = address,
                               .size = element.word & TM_LIVE_SIZE_MASK,
                               .time = element.time,
                               .order = element.order,
                               .stack = ca_word_stack(element.word),
                               .thread = element.thread,
                           });
    return true;
}

/* Looks for the nearest block in this segment, from the address down or from it up. */
static bool nearest_segment(struct nearest *nearest, const struct ca_live_segment *live, const uint8_t *bytes,
                            size_t count, bool before, const struct ca_table *table)
{
    struct ca_live_rules rules = ca_live_rules(table, live->region);
    uint64_t here = nearest->address >> rules.key_shift, first = live->segment->index;
    size_t middle = here < first ? 0 : here - first < count ? (size_t)(here - first) : count;
    if (before) {
        for (size_t i = middle < count ? middle + 1 : count; i-- > 0;) {
            if (nearest_element(nearest, &rules, live, bytes, i, true)) {
                return true;
            }
        }
        return false;
    }
    for (size_t i = middle; i < count; i++) {
        if (nearest_element(nearest, &rules, live, bytes, i, false)) {
            return true;
        }
    }
    return false;
}

static bool nearest_in(struct ca_table *table, struct nearest *nearest, const struct ca_live_segment *live,
                       bool before, bool *ret_ended, struct ca_error **ret_error)
{
    uint64_t shift = live->region->header.key_shift;
    uint64_t length = UINT64_C(1) << live->region->header.segment_shift;
    uint64_t here = nearest->address >> shift;
    if (before ? live->segment->index > here : live->segment->index + length <= here) {
        return true;
    }
    size_t got;
    void *owned;
    const uint8_t *bytes =
        ca_segment_map(table->internal->source, live->region, live->segment, &got, &owned, ret_error);
    if (bytes) {
        *ret_ended =
            nearest_segment(nearest, live, bytes, got / live->region->header.element_size, before, table);
    }
    free(owned);
    return bytes;
}

static bool nearest_live(struct ca_table *table, struct nearest *nearest, struct ca_error **ret_error)
{
    struct ca_live_segment *segments;
    size_t count;
    if (!ca_live_segments(table, &segments, &count, ret_error)) {
        return false;
    }
    bool good = true, ended = false;
    for (size_t i = count; good && !ended && i-- > 0;) {
        good = nearest_in(table, nearest, &segments[i], true, &ended, ret_error);
    }
    ended = false;
    for (size_t i = 0; good && !ended && i < count; i++) {
        good = nearest_in(table, nearest, &segments[i], false, &ended, ret_error);
    }
    free(segments);
    return good;
}

bool ca_table_neighbours(struct ca_table *table, uint32_t domain, uint64_t address,
                         struct ca_neighbours *ret_neighbours, struct ca_error **ret_error)
{
    const struct ca_table_private *internal = table->internal;
    struct nearest nearest = {
        .address = address,
        .domain = domain,
        .found = ret_neighbours,
        .detail = table->root.features & TM_FEATURE_DETAIL,
    };
    *ret_neighbours = (struct ca_neighbours){0};
    if (!ca_wide_read(table, ret_error) || (domain == 0 && !nearest_live(table, &nearest, ret_error))) {
        return false;
    }
    for (size_t i = 0; i < internal->wide_count; i++) {
        nearest_offer(&nearest, &internal->wide[i]);
    }
    for (size_t i = 0; i < internal->overlay_count; i++) {
        nearest_offer(&nearest, &internal->overlay[i]);
    }
    return true;
}
