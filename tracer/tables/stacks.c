#include "stacks.h"

#include <string.h>

#include "index.h"
#include "region.h"

static struct tm_region *stacks;
static struct tm_region *stack_frames;
static struct tm_index by_content;

static bool unknown_init(void)
{
    struct tm_stack *unknown = tm_region_make(stacks, TM_STACK_UNKNOWN);
    if (!unknown) {
        return false;
    }
    unknown->flags = TM_STACK_NO_DEPTH;
    unknown->check = tm_stack_check(unknown, NULL);
    return true;
}

bool tm_stacks_init(void)
{
    static const struct tm_region_shape stacks_shape = {
        .kind = TM_REGION_STACKS,
        .element_size = sizeof(struct tm_stack),
        .segment_shift = 11,
        .directory_bits = 7,
        .middle_bits = 9,
        .count = TM_STACK_UNKNOWN + 1,
    };
    static const struct tm_region_shape frames_shape = {
        .kind = TM_REGION_STACK_FRAMES,
        .element_size = sizeof(uint32_t),
        .segment_shift = 16,
        .directory_bits = 7,
        .middle_bits = 9,
    };
    stacks = tm_region_create(&stacks_shape);
    stack_frames = tm_region_create(&frames_shape);
    return stacks && stack_frames && unknown_init() && tm_index_init(&by_content, 12);
}

const struct tm_stack *tm_stack_find(uint32_t id)
{
    const struct tm_stack *stack = tm_region_find(stacks, id);
    return stack && tm_load_acquire(&stack->check) ? stack : NULL;
}

uint32_t tm_stack_frame(const struct tm_stack *stack, size_t i)
{
    const uint32_t *frame = tm_region_find(stack_frames, stack->frames + i);
    return *frame;
}

struct traceback {
    const uint32_t *frames;
    uint32_t count;
    uint16_t total_nframe;
    uint16_t flags;
};

static uint64_t hash_step(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 32);
}

static uint64_t traceback_hash(const struct traceback *traceback)
{
    uint64_t hash = hash_step(traceback->count, (uint64_t)traceback->flags << 16 | traceback->total_nframe);
    uint32_t i = 0;
    for (; i + 2 <= traceback->count; i += 2) {
        hash = hash_step(hash, (uint64_t)traceback->frames[i + 1] << 32 | traceback->frames[i]);
    }
    if (i < traceback->count) {
        hash = hash_step(hash, traceback->frames[i]);
    }
    return hash_step(hash, 0);
}

static bool stack_matches(const void *key, uint32_t id)
{
    const struct traceback *traceback = key;
    const struct tm_stack *stack = tm_region_find(stacks, id);
    return stack && stack->own == traceback->count && stack->total_nframe == traceback->total_nframe &&
           stack->flags == traceback->flags &&
           memcmp(tm_region_find(stack_frames, stack->frames), traceback->frames,
                  traceback->count * sizeof(uint32_t)) == 0;
}

static uint32_t stack_add(const struct traceback *traceback)
{
    uint64_t first = tm_region_take(stack_frames, traceback->count);
    if (first == TM_REGION_FULL) {
        return 0;
    }
    memcpy(tm_region_find(stack_frames, first), traceback->frames, traceback->count * sizeof(uint32_t));
    uint64_t id = tm_region_take(stacks, 1);
    if (id == TM_REGION_FULL || id > TM_LIVE_STACK_MAX) {
        return 0;
    }
    struct tm_stack *stack = tm_region_find(stacks, id);
    stack->frames = (uint32_t)first;
    stack->own = (uint16_t)traceback->count;
    stack->total_nframe = traceback->total_nframe;
    stack->flags = traceback->flags;
    tm_publish(&stack->check, tm_stack_check(stack, traceback->frames));
    return (uint32_t)id;
}

uint32_t tm_stack_intern(const uint32_t *frames, uint32_t count, uint16_t total_nframe, uint16_t flags)
{
    if (count == 0) {
        return TM_STACK_UNKNOWN;
    }
    struct traceback traceback = { frames, count, total_nframe, flags };
    uint64_t hash = traceback_hash(&traceback);
    uint32_t id = tm_index_find(&by_content, hash, stack_matches, &traceback);
    if (!id) {
        id = stack_add(&traceback);
        if (id) {
            tm_index_insert(&by_content, hash, id);
        }
    }
    return id ? id : TM_STACK_UNKNOWN;
}
