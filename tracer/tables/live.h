/* live.h: the LIVE region: one word per possible beginning of a block (layout.h, "Live blocks of domain 0").
 */
#ifndef TM_TABLES_LIVE_H
#define TM_TABLES_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"
#include "../walk/arch.h"
#include "region.h"

#define TM_LIVE_SEGMENT_SHIFT 13
#define TM_LIVE_ADDRESS_BITS  TM_ARCH_ADDRESS_BITS

/* The region's shape, in the form that the hooks read. Set once, before the first block. */
struct tm_live {
    struct tm_region *region;
    uint64_t *directory;
    uint32_t key_shift;
    uint32_t middle_shift;  /* of the address, gives the index in the directory */
    uint32_t segment_shift; /* of the address, gives the index in the middle table */
    uint32_t element_shift; /* log2 of the bytes of an element */
};
TM_DATA struct tm_live tm_live;

#define TM_LIVE_MIDDLE_BITS 15

/* key_shift 5 where blocks begin at least 32 bytes apart, else 4. */
bool tm_live_init(uint32_t key_shift, bool detail);

/* Makes the cell of an address that can have one; NULL when out of memory. */
uint64_t *tm_live_make(uintptr_t address);

/* Words that do not belong to this generation become 0. */
void tm_live_sweep(uint64_t generation);

/* Visits every word that is not 0. */
typedef void tm_live_visit(uint64_t *cell, uint64_t word, uint64_t generation);
void tm_live_each(tm_live_visit *visit, uint64_t generation);

/* Can a block at this address and of this size have a live word? */
static inline bool tm_live_fits(uintptr_t address, uint64_t size)
{
    return (address & 15) == 0 && address >> TM_LIVE_ADDRESS_BITS == 0 && size < TM_LIVE_SIZE_WIDE;
}

/* The cell of an address below 1 << TM_LIVE_ADDRESS_BITS; NULL while its segment does not exist. */
static inline uint64_t *tm_live_find(uintptr_t address)
{
    uint64_t *middle =
        (uint64_t *)(uintptr_t)tm_load_acquire(&tm_live.directory[address >> tm_live.middle_shift]);
    if (TM_UNLIKELY(!middle)) {
        return NULL;
    }
    uint64_t within = (address >> tm_live.segment_shift) & ((1u << TM_LIVE_MIDDLE_BITS) - 1);
    char *segment = (char *)(uintptr_t)tm_load_acquire(&middle[within]);
    if (TM_UNLIKELY(!segment)) {
        return NULL;
    }
    uint64_t element = (address >> tm_live.key_shift) & ((1u << TM_LIVE_SEGMENT_SHIFT) - 1);
    return (uint64_t *)(segment + (element << tm_live.element_shift));
}

static inline uint64_t tm_live_offset(uintptr_t address)
{
    return tm_live.key_shift == 5 && address & 16 ? TM_LIVE_OFFSET : 0;
}

static inline uint64_t tm_live_word(uintptr_t address, uint64_t size, uint32_t stack, uint64_t generation)
{
    return size | tm_live_offset(address) | (uint64_t)stack << TM_LIVE_STACK_SHIFT | generation << 63;
}

/* Is this the word of a block at this address, in this generation? */
static inline bool tm_live_is(uint64_t word, uintptr_t address, uint64_t generation)
{
    return word != 0 && (word ^ generation << 63) >> 63 == 0 &&
           (word & TM_LIVE_OFFSET) == tm_live_offset(address);
}

static inline uint64_t tm_live_size(uint64_t word)
{
    return word & TM_LIVE_SIZE_MASK;
}

static inline uint32_t tm_live_stack(uint64_t word)
{
    return (uint32_t)(word >> TM_LIVE_STACK_SHIFT) & TM_LIVE_STACK_MAX;
}

#endif
