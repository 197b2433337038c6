/* live.h: the words of the LIVE regions, and what scans of them have in common. Used within this folder
 * alone. */
#ifndef CA_TABLE_LIVE_H
#define CA_TABLE_LIVE_H

#include "internal.h"

/* ------------------------------------------------------------------------------------------- words */

struct ca_live_rules {
    uint64_t generation; /* TM_LIVE_GENERATION as it must be */
    uint32_t key_shift;
};

static inline struct ca_live_rules ca_live_rules(const struct ca_table *table, const struct ca_region *region)
{
    return (struct ca_live_rules){
        .generation = table->root.generation & 1 ? TM_LIVE_GENERATION : 0,
        .key_shift = region->header.key_shift,
    };
}

static inline bool ca_word_is_live(const struct ca_live_rules *rules, uint64_t word)
{
    return (word != 0) & ((word & TM_LIVE_GENERATION) == rules->generation);
}

static inline uint32_t ca_word_stack(uint64_t word)
{
    return (uint32_t)(word >> TM_LIVE_STACK_SHIFT) & TM_LIVE_STACK_MAX;
}

static inline uint64_t ca_word_address(const struct ca_live_rules *rules, uint64_t index, uint64_t word)
{
    return (index << rules->key_shift) + (word & TM_LIVE_OFFSET ? 16 : 0);
}

/* ---------------------------------------------------------------------------------------- segments */

struct ca_live_segment {
    struct ca_region *region;
    struct ca_segment *segment;
};

/* The segments of every LIVE region by the addresses that they describe; caller frees with free(). */
bool ca_live_segments(const struct ca_table *table, struct ca_live_segment **ret_segments, size_t *ret_count,
                      struct ca_error **ret_error);
/* Calls `each` with the bytes of every LIVE segment; stops when it returns false. */
typedef bool (*ca_segment_visitor)(void *context, const struct ca_region *region, uint64_t index,
                                   const uint8_t *bytes, size_t count);
bool ca_live_visit(struct ca_table *table, ca_segment_visitor each, void *context,
                   struct ca_error **ret_error);
/* The LIVE element for an address; false in *ret_found = its segment does not exist or cannot be read. */
bool ca_live_element(struct ca_table *table, uint64_t address, struct tm_live_detail *element,
                     struct ca_live_rules *rules, bool *ret_found, struct ca_error **ret_error);

/* ---------------------------------------------------------------------------------------- scanning */

/* What a scan has met. */
struct ca_scan {
    struct ca_table *table;
    uint64_t blocks;
    uint64_t size; /* bytes in them */
    uint64_t rejected;
};

/* The stack under which a block is counted: "unknown" where there is no record, which a tracer never leaves:
 * it was not handed out, or nothing is missing and it is not there all the same. */
static inline uint32_t ca_scan_stack(struct ca_scan *scan, uint32_t stack)
{
    const struct ca_table *table = scan->table;
    if (stack < table->stack_count) {
        return stack;
    }
    scan->rejected += stack >= table->internal->stack_limit || table->coverage.missing_bytes == 0;
    return 1;
}

/* True for a stack that a block names although it was never published. */
static inline bool ca_stack_is_void(const struct ca_table *table, uint32_t stack)
{
    return stack > 1 && table->stacks[stack].check == 0 && table->coverage.missing_bytes == 0;
}

/* True where the block's domain is not that of its stack: one of the two was overwritten. */
static inline bool ca_stack_is_foreign(const struct ca_table *table, uint32_t stack, uint32_t domain)
{
    return stack > 1 && stack < table->stack_count && table->stacks[stack].check > 1 &&
           table->stacks[stack].domain != domain;
}

/* The first scan of all blocks counts them for the coverage, and sees whether the counters agree. */
void ca_scan_finish(const struct ca_scan *scan);

#endif
