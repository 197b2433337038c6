#include "live.h"

#include "root.h"

struct tm_live tm_live;

bool tm_live_init(uint32_t key_shift, bool detail)
{
    uint32_t key_bits = TM_LIVE_ADDRESS_BITS - key_shift;
    struct tm_region_shape shape = {
        .kind = TM_REGION_LIVE,
        .element_size = detail ? sizeof(struct tm_live_detail) : sizeof(uint64_t),
        .segment_shift = TM_LIVE_SEGMENT_SHIFT,
        .directory_bits = key_bits - TM_LIVE_SEGMENT_SHIFT - TM_LIVE_MIDDLE_BITS,
        .middle_bits = TM_LIVE_MIDDLE_BITS,
        .key_shift = key_shift,
        .count = UINT64_MAX,
    };
    struct tm_region *region = tm_region_create(&shape);
    if (!region) {
        return false;
    }
    tm_live = (struct tm_live){
        .region = region,
        .directory = (uint64_t *)(uintptr_t)region->directory,
        .key_shift = key_shift,
        .middle_shift = key_shift + TM_LIVE_SEGMENT_SHIFT + TM_LIVE_MIDDLE_BITS,
        .segment_shift = key_shift + TM_LIVE_SEGMENT_SHIFT,
        .element_shift = detail ? 5 : 3,
    };
    return true;
}

uint64_t *tm_live_make(uintptr_t address)
{
    return tm_region_make(tm_live.region, address >> tm_live.key_shift);
}

static void segment_each(char *segment, tm_live_visit *visit, uint64_t generation)
{
    for (uint64_t i = 0; i < UINT64_C(1) << TM_LIVE_SEGMENT_SHIFT; i++) {
        uint64_t *cell = (uint64_t *)(segment + (i << tm_live.element_shift));
        uint64_t word = tm_load(cell);
        if (word != 0) {
            visit(cell, word, generation);
        }
    }
}

void tm_live_each(tm_live_visit *visit, uint64_t generation)
{
    for (uint32_t i = 0; i < tm_live.region->directory_length; i++) {
        if (!tm_load_acquire(&tm_live.directory[i])) {
            continue;
        }
        for (uint64_t j = 0; j < UINT64_C(1) << TM_LIVE_MIDDLE_BITS; j++) {
            char *segment = tm_region_segment(tm_live.region, (uint64_t)i << TM_LIVE_MIDDLE_BITS | j);
            if (segment) {
                segment_each(segment, visit, generation);
            }
        }
    }
}

static void word_sweep(uint64_t *cell, uint64_t word, uint64_t generation)
{
    if (word >> 63 != (generation & 1)) {
        tm_swap_if(cell, word, 0);
    }
}

void tm_live_sweep(uint64_t generation)
{
    tm_live_each(word_sweep, generation);
}
