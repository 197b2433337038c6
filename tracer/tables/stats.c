#include "stats.h"

#include "region.h"

#define SEGMENT_SHIFT 9
#define RUN           64 /* 4 KiB */

struct tm_region *tm_stats_region;

bool tm_stats_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_STATS,
        .element_size = sizeof(struct tm_stack_stats),
        .segment_shift = SEGMENT_SHIFT,
        .directory_bits = 7,
        .middle_bits = 8,
        .count = RUN, /* number 0 is none */
    };
    tm_stats_region = tm_region_create(&shape);
    return tm_stats_region != NULL;
}

uint32_t tm_stats_take(struct tm_stats_run *run, uint32_t stack)
{
    if (run->next == run->end) {
        uint64_t first = tm_stats_region ? tm_region_take(tm_stats_region, RUN) : TM_REGION_FULL;
        if (first == TM_REGION_FULL) {
            return 0;
        }
        run->next = first;
        run->end = first + RUN;
    }
    uint32_t number = (uint32_t)run->next++;
    tm_publish(&tm_stats_at(number)->stack, stack);
    return number;
}

/* The stack held nothing when the epoch began. */
void tm_stats_begin(struct tm_stack_stats *stats, uint64_t generation, uint64_t epoch)
{
    tm_store(&stats->generation, 0);
    tm_barrier();
    tm_store(&stats->allocated_count, 0);
    tm_store(&stats->allocated_size, 0);
    tm_store(&stats->freed_count, 0);
    tm_store(&stats->freed_size, 0);
    tm_store(&stats->peak_count, 0);
    tm_store(&stats->peak_size, 0);
    tm_store(&stats->peak_epoch, epoch);
    tm_barrier();
    tm_publish(&stats->generation, (uint32_t)generation);
    tm_barrier();
}

/* What the stack held at the peak, before it changes for the first time since. */
void tm_stats_keep_peak(struct tm_stack_stats *stats, uint64_t epoch)
{
    tm_store(&stats->peak_count, stats->allocated_count - stats->freed_count);
    tm_store(&stats->peak_size, stats->allocated_size - stats->freed_size);
    tm_barrier();
    tm_publish(&stats->peak_epoch, epoch);
    tm_barrier();
}

void tm_stats_allocated(uint64_t generation, uint64_t *ret_count, uint64_t *ret_size)
{
    *ret_count = *ret_size = 0;
    for (uint64_t i = 0; tm_stats_region && i < tm_load(&tm_stats_region->count); i++) {
        const struct tm_stack_stats *stats = tm_region_find(tm_stats_region, i);
        if (stats && stats->generation == (uint32_t)generation) {
            *ret_count += stats->allocated_count;
            *ret_size += stats->allocated_size;
        }
    }
}

void tm_stats_recount(uint64_t generation, uint64_t epoch)
{
    for (uint64_t i = 0; tm_stats_region && i < tm_load(&tm_stats_region->count); i++) {
        struct tm_stack_stats *stats = tm_region_find(tm_stats_region, i);
        if (stats && stats->generation == (uint32_t)generation) {
            tm_stats_turn(stats, generation, epoch); /* what it held at the peak stays */
            stats->freed_count = stats->allocated_count;
            stats->freed_size = stats->allocated_size;
        }
    }
}
