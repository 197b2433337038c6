#include "threads.h"

#include "memory.h"

#define SEGMENT_SHIFT  7
#define DIRECTORY_BITS 9

struct tm_region *tm_threads;

static struct tm_thread_private *privates[1 << DIRECTORY_BITS]; /* one piece per segment of the region */

static uint64_t ended_count; /* slots in state ENDED, about */
static uint64_t ended_hint;  /* one of them, perhaps */

bool tm_threads_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_THREADS,
        .element_size = sizeof(struct tm_thread),
        .segment_shift = SEGMENT_SHIFT,
        .directory_bits = DIRECTORY_BITS,
    };
    struct tm_region *region = tm_region_create(&shape);
    if (!region || tm_region_take(region, 1) != TM_THREAD_SPARE) {
        return false;
    }
    struct tm_thread *spare = tm_region_find(region, TM_THREAD_SPARE);
    spare->state = TM_THREAD_USED;
    tm_publish(&tm_threads, region);
    return true;
}

void tm_threads_prepare(uint64_t generation)
{
    struct tm_operation *operation = &tm_thread_at(TM_THREAD_SPARE)->operations[0];
    operation->freed_count = 0;
    operation->freed_size = 0;
    tm_publish(&operation->generation, generation);
}

struct tm_thread_private *tm_thread_private_of(uint64_t index)
{
    struct tm_thread_private **piece = &privates[index >> SEGMENT_SHIFT];
    size_t size = sizeof(struct tm_thread_private) << SEGMENT_SHIFT;
    struct tm_thread_private *base = tm_load_acquire(piece);
    if (!base) {
        base = tm_memory_map(TM_MEMORY_PRIVATE, size);
        if (base && !tm_swap_if(piece, NULL, base)) {
            tm_memory_unmap(TM_MEMORY_PRIVATE, base, size);
            base = tm_load_acquire(piece);
        }
    }
    return base ? &base[index & ((1 << SEGMENT_SHIFT) - 1)] : NULL;
}

static bool thread_reuse_at(uint64_t index)
{
    struct tm_thread *thread = tm_thread_at(index);
    if (thread && tm_load(&thread->state) == TM_THREAD_ENDED &&
        tm_swap_if(&thread->state, TM_THREAD_ENDED, TM_THREAD_USED)) {
        tm_add(&ended_count, -UINT64_C(1));
        return true;
    }
    return false;
}

/* Index of a slot that an ended thread left, now the caller's; TM_REGION_FULL when there is none. */
static uint64_t thread_reuse(void)
{
    if (tm_load(&ended_count) == 0) {
        return TM_REGION_FULL;
    }
    uint64_t hint = tm_load(&ended_hint);
    if (thread_reuse_at(hint)) {
        return hint;
    }
    uint64_t count = tm_load_acquire(&tm_threads->count);
    for (uint64_t i = 0; i < count; i++) {
        if (thread_reuse_at(i)) {
            return i;
        }
    }
    return TM_REGION_FULL;
}

uint64_t tm_thread_take(uint32_t tid)
{
    uint64_t index = thread_reuse();
    if (index == TM_REGION_FULL) {
        index = tm_region_take(tm_threads, 1);
    }
    if (index == TM_REGION_FULL) {
        return TM_REGION_FULL;
    }
    struct tm_thread *thread = tm_region_find(tm_threads, index);
    tm_store(&thread->tid, tid);
    tm_publish(&thread->state, TM_THREAD_USED);
    if (!tm_thread_private_of(index)) {
        tm_thread_give(index);
        return TM_REGION_FULL;
    }
    return index;
}

void tm_thread_give(uint64_t index)
{
    struct tm_thread *thread = tm_region_find(tm_threads, index);
    tm_publish(&thread->state, TM_THREAD_ENDED);
    tm_store(&ended_hint, index);
    tm_add(&ended_count, 1);
}

bool tm_thread_make_room(struct tm_thread_private *private, uint32_t limit)
{
    uint32_t capacity = (limit + 255) & ~255u;
    size_t frame_size = sizeof(uint32_t) * TM_OPERATION_LEVELS;
    uint32_t *frames = tm_memory_map(TM_MEMORY_PRIVATE, capacity * frame_size);
    if (!frames) {
        return false;
    }
    uint32_t *old = private->frames;
    size_t old_size = private->capacity * frame_size;
    private->frames = frames; /* before the old ones go: a signal handler may come here, too */
    tm_barrier();
    private->capacity = capacity;
    tm_barrier();
    if (old) {
        tm_memory_unmap(TM_MEMORY_PRIVATE, old, old_size);
    }
    return true;
}
