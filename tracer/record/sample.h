/* sample.h: which blocks are recorded when not all are (sample=BYTES).
 *
 * Samples are a Poisson process over the bytes that each thread allocates (layout.h, tm_sample_inverse). A
 * recorded block stands for tm_sample_count() blocks of its size; the counters hold these numbers. A free
 * that has nothing to do costs a look at one byte.
 */
#ifndef TM_SAMPLE_H
#define TM_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "operation.h"

/* Mean bytes between samples; 0 = every block is recorded. Set once, before the first block. */
TM_DATA uint64_t tm_sample_bytes;

/* How many recorded blocks of domain 0 have addresses that fall on a place; 255 = too many to be counted.
 * Neighbours share a place, so that a program's frees look at few cache lines. */
#define TM_SAMPLE_PLACE_BITS  15
#define TM_SAMPLE_PLACE_SHIFT 10
TM_DATA uint8_t tm_sample_places[1 << TM_SAMPLE_PLACE_BITS];

/* The rest of tm_sample_takes(): the next sample lies in this block, or where it lies is not known yet. */
bool tm_sample_draw(size_t size);

void tm_sample_mark(uintptr_t address);
void tm_sample_unmark(uintptr_t address);

/* Is the next sample known to lie behind the block that is about to be allocated? Where it is not, nothing
 * has happened. */
TM_HOT bool tm_sample_passes(size_t size)
{
    struct tm_local *local = &tm_local;
    size += size == 0;
    uint64_t left = tm_load(&local->sample_left);
    if (TM_LIKELY(size < left && size < tm_sample_bytes)) {
        tm_store(&local->sample_left,
                 left - size); /* not below 0, whatever a signal handler does meanwhile */
        return true;
    }
    return false;
}

/* Is the block that is about to be allocated recorded? Must be asked once for each block. */
TM_HOT bool tm_sample_takes(size_t size)
{
    return !tm_sample_passes(size) && tm_sample_draw(size + (size == 0));
}

static inline uint8_t *tm_sample_place(uintptr_t address)
{
    uint64_t at = (uint64_t)address >> TM_SAMPLE_PLACE_SHIFT;
    return &tm_sample_places[(at ^ at >> TM_SAMPLE_PLACE_BITS) & ((1U << TM_SAMPLE_PLACE_BITS) - 1)];
}

/* False: the block at this address is certainly not recorded. */
TM_HOT bool tm_sample_may_hold(uintptr_t address)
{
    return *(const volatile uint8_t *)tm_sample_place(address) != 0;
}

/* How many blocks a recorded one stands for. */
TM_HOT uint64_t tm_sample_weight_of(uint64_t size)
{
    return TM_LIKELY(tm_sample_bytes == 0) ? 1 : tm_sample_count(size, tm_sample_bytes);
}

#endif
