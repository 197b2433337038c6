#include "stats.h"

#include "region.h"

#define SEGMENT_SHIFT 9
#define RUN           64 /* 4 KiB */

static struct tm_region *records;

bool tm_stats_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_STATS,
        .element_size = sizeof(struct tm_stack_stats),
        .segment_shift = SEGMENT_SHIFT,
        .directory_bits = 7,
        .middle_bits = 10,
    };
    records = tm_region_create(&shape);
    return records != NULL;
}

struct tm_stack_stats *tm_stats_take(struct tm_stats_run *run, uint32_t stack)
{
    if (run->next == run->end) {
        uint64_t first = records ? tm_region_take(records, RUN) : TM_REGION_FULL;
        if (first == TM_REGION_FULL) {
            return NULL;
        }
        run->next = first;
        run->end = first + RUN;
    }
    struct tm_stack_stats *stats = tm_region_find(records, run->next++);
    tm_publish(&stats->stack, stack);
    return stats;
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

void tm_stats_recount(uint64_t generation)
{
    for (uint64_t i = 0; records && i < tm_load(&records->count); i++) {
        struct tm_stack_stats *stats = tm_region_find(records, i);
        if (stats && stats->generation == (uint32_t)generation) {
            stats->freed_count = stats->allocated_count;
            stats->freed_size = stats->allocated_size;
        }
    }
}
