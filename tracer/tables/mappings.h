/* mappings.h: which parts of the address space anonymous mappings of the program occupy: an ordered set of
 * ranges that do not overlap, for calls that name a piece of a block, or several. Private memory; the blocks
 * are in WIDE.
 *
 * Guarded by its lock, which the caller holds around everything that must stay together; signals are blocked
 * meanwhile.
 */
#ifndef TM_TABLES_MAPPINGS_H
#define TM_TABLES_MAPPINGS_H

#include <stdbool.h>
#include <stdint.h>

#define TM_DOMAIN_MMAP 1

static inline uintptr_t tm_page_end(uintptr_t address)
{
    return (address + 4095) & ~(uintptr_t)4095;
}

struct tm_mapping {
    uintptr_t start, end; /* whole pages */
};

/* Locks for work on this generation; ranges of older ones are forgotten. False when it is over already: then
 * nothing is locked. *ret_signals is for unlocking. */
bool tm_mappings_lock(uint64_t generation, uint64_t *ret_signals);
void tm_mappings_unlock(uint64_t signals);

/* The lowest range that has a byte of start..end; false when there is none. */
bool tm_mappings_find(uintptr_t start, uintptr_t end, struct tm_mapping *ret_mapping);

/* Adds a range that overlaps none; false when out of memory. */
bool tm_mappings_add(uintptr_t start, uintptr_t end);

/* Takes away the range that begins there. */
void tm_mappings_remove(uintptr_t start);

/* In the child of a fork, when all operations were settled: another thread may have been at work, then the
 * set is made anew from WIDE. */
void tm_mappings_forked(void);

#endif
