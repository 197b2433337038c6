#include "stats.h"

#include <string.h>

#include "region.h"

static struct tm_region *shards[2];

bool tm_stats_init(void)
{
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct tm_region_shape shape = {
            .kind = TM_REGION_STATS,
            .shard = shard,
            .element_size = sizeof(struct tm_stack_stats),
            .segment_shift = 10,
            .directory_bits = 7,
            .middle_bits = 10,
            .count = UINT64_MAX,
        };
        shards[shard] = tm_region_create(&shape);
        if (!shards[shard]) {
            return false;
        }
    }
    return true;
}

typedef void segment_change(struct tm_stack_stats *segment, size_t length);

static void shard_each_segment(struct tm_region *region, segment_change *change)
{
    for (uint64_t i = 0; region && i < tm_region_segments(region); i++) {
        char *segment = tm_region_segment(region, i);
        if (segment) {
            change((struct tm_stack_stats *)segment, (size_t)1 << region->segment_shift);
        }
    }
}

static void segment_clear(struct tm_stack_stats *segment, size_t length)
{
    memset(segment, 0, length * sizeof(*segment));
}

void tm_stats_prepare(uint64_t generation)
{
    shard_each_segment(shards[generation & 1], segment_clear);
}

static void segment_clear_live(struct tm_stack_stats *segment, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        segment[i].live_count = 0;
        segment[i].live_size = 0;
    }
}

void tm_stats_recount(uint64_t generation)
{
    shard_each_segment(shards[generation & 1], segment_clear_live);
}

void tm_stats_recount_add(uint32_t stack, uint64_t size, uint64_t generation)
{
    struct tm_stack_stats *stats = tm_stats_find(stack, generation);
    if (stats) {
        stats->live_count++;
        stats->live_size += size;
    }
}

struct tm_stack_stats *tm_stats_find(uint32_t stack, uint64_t generation)
{
    struct tm_region *region = shards[generation & 1];
    if (TM_UNLIKELY(!region)) {
        return NULL;
    }
    struct tm_stack_stats *stats = tm_region_find(region, stack);
    if (TM_UNLIKELY(!stats)) {
        stats = tm_region_make(region, stack);
    }
    if (TM_LIKELY(stats) && TM_UNLIKELY(tm_load(&stats->generation) != generation)) {
        tm_publish(&stats->generation, generation);
    }
    return stats;
}

/* Keeps what the stack held at the peak, before it changes for the first time since. */
static void stats_keep_peak(struct tm_stack_stats *stats, uint64_t epoch)
{
    if (tm_load(&stats->peak_epoch) != epoch) {
        tm_store(&stats->peak_count, tm_load(&stats->live_count));
        tm_store(&stats->peak_size, tm_load(&stats->live_size));
        tm_publish(&stats->peak_epoch, epoch);
    }
}

void tm_stats_add(struct tm_stack_stats *stats, uint64_t size, uint64_t epoch, bool alone)
{
    stats_keep_peak(stats, epoch);
    if (alone) {
        tm_add_alone(&stats->live_count, 1);
        tm_add_alone(&stats->live_size, size);
        tm_add_alone(&stats->total_count, 1);
        tm_add_alone(&stats->total_size, size);
    } else {
        tm_add(&stats->live_count, 1);
        tm_add(&stats->live_size, size);
        tm_add(&stats->total_count, 1);
        tm_add(&stats->total_size, size);
    }
}

void tm_stats_remove(struct tm_stack_stats *stats, uint64_t size, uint64_t epoch, bool alone)
{
    stats_keep_peak(stats, epoch);
    if (alone) {
        tm_add_alone(&stats->live_count, -UINT64_C(1));
        tm_add_alone(&stats->live_size, -size);
    } else {
        tm_add(&stats->live_count, -UINT64_C(1));
        tm_add(&stats->live_size, -size);
    }
}
