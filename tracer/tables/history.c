#include "history.h"

#include <time.h>

#include "region.h"

#define SEGMENT_SHIFT 10

_Static_assert(TM_HISTORY_CAPACITY_MAX *TM_HISTORY_SHARDS == UINT64_C(1) << (SEGMENT_SHIFT + 9 + 9),
               "the directories");

uint64_t tm_history_capacity;

static struct tm_region *history;

/* Records that each shard was given so far. */
static struct {
    uint64_t given;
    char others[56];
} shards[TM_HISTORY_SHARDS] __attribute__((aligned(64)));

bool tm_history_init(uint64_t capacity)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_HISTORY,
        .element_size = sizeof(struct tm_freed),
        .segment_shift = SEGMENT_SHIFT,
        .directory_bits = 9,
        .middle_bits = 9,
        .count = UINT64_MAX,
    };
    history = tm_region_create(&shape);
    if (history) {
        tm_publish(&tm_history_capacity, capacity);
    }
    return history != NULL;
}

static uint64_t time_now(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* One that another thread of the shard, or the code that this handler interrupted, is still writing after a
 * whole turn of the ring is left to it. */
static void element_write(struct tm_freed *element, const struct tm_freed *freed, uint64_t order)
{
    uint32_t before = tm_load(&element->check);
    if (before == TM_FREED_BUSY || !tm_swap_if(&element->check, before, TM_FREED_BUSY)) {
        return;
    }
    tm_barrier();
    element->order = order;
    element->address = freed->address;
    element->size = freed->size;
    element->allocated_time = freed->allocated_time;
    element->freed_time = time_now();
    element->allocated_thread = freed->allocated_thread;
    element->freed_thread = freed->freed_thread;
    element->allocated_stack = freed->allocated_stack;
    element->freed_stack = freed->freed_stack;
    element->domain = freed->domain;
    uint32_t check = tm_freed_check(element);
    tm_barrier();
    tm_publish(&element->check, check);
}

void tm_history_add(uint64_t thread, const struct tm_freed *freed)
{
    uint64_t shard = thread % TM_HISTORY_SHARDS;
    uint64_t number = tm_add(&shards[shard].given, 1);
    uint64_t index = shard * TM_HISTORY_CAPACITY_MAX + number % tm_history_capacity;
    struct tm_freed *element = tm_region_make(history, index);
    if (element) {
        element_write(element, freed, number + 1);
    }
}
