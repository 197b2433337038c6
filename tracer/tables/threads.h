/* threads.h: the THREADS region: the slots in which threads note the operation that they are at, and count.
 */
#ifndef TM_TABLES_THREADS_H
#define TM_TABLES_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"
#include "../layout.h"
#include "memo.h"
#include "region.h"

/* What belongs to a slot and is nobody else's business. Passed on with the slot. */
struct tm_thread_private {
    uint32_t *frames;  /* room for TM_OPERATION_LEVELS walks, private memory */
    uint32_t capacity; /* frames of one walk */
    uint32_t limit;    /* of the tracebacks that memos holds */
    uint64_t folded; /* what the root's `current` contains of the slot's counters, in folded_generation */
    uint64_t folded_generation;
    struct tm_memo memos[TM_OPERATION_LEVELS];
};

/* The region; NULL before tm_threads_init(). */
TM_DATA struct tm_region *tm_threads;

/* The slot that no thread owns. It counts what no thread's own slot can. */
#define TM_THREAD_SPARE 0

bool tm_threads_init(void);

/* Counters of the spare slot start at 0 in this generation, which is about to begin. */
void tm_threads_prepare(uint64_t generation);

/* A slot for the calling thread: one that an ended thread left, else a new one; its index, or TM_REGION_FULL
 * when out of memory. */
uint64_t tm_thread_take(uint32_t tid);

/* Gives it back. No operation may be under way in it. */
void tm_thread_give(uint64_t index);

/* Slot `index`; NULL from the first that was never used on. */
static inline struct tm_thread *tm_thread_at(uint64_t index)
{
    return index < tm_load_acquire(&tm_threads->count) ? tm_region_find(tm_threads, index) : NULL;
}

/* NULL when out of memory; never for a slot that was taken. */
struct tm_thread_private *tm_thread_private_of(uint64_t index);

/* Room for walks of `limit` frames, old contents lost; false when out of memory (then the room is as it was).
 */
bool tm_thread_make_room(struct tm_thread_private *private, uint32_t limit);

#endif
