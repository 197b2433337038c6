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

/* A piece of a traceback, in positions from its most recent frame. */
struct piece {
    const struct tm_stack *stack;
    uint32_t begin, end;
};

/* The own frames in the piece, which then becomes the rest of it, in the parent's positions; *ret_count is 0
 * when nothing is left. */
static const uint32_t *piece_next(struct piece *piece, uint32_t *ret_count)
{
    const struct tm_stack *stack = piece->stack;
    uint32_t begin = piece->begin, end = piece->end, own = stack->own;
    uint32_t own_end = end < own ? end : own;
    const uint32_t *frames = begin < own_end ? tm_region_find(stack_frames, stack->frames + begin) : NULL;
    *ret_count = frames ? own_end - begin : 0;
    begin = begin > own ? begin : own;
    if (end <= own || !stack->parent) {
        piece->begin = piece->end = 0;
        return frames;
    }
    piece->stack = tm_region_find(stacks, stack->parent);
    uint32_t first = tm_stack_depth(piece->stack) - stack->omitted - stack->shared;
    piece->begin = begin - own + first;
    piece->end = end - own + first;
    return frames;
}

uint32_t tm_stack_frame(const struct tm_stack *stack, size_t i)
{
    struct piece piece = {stack, (uint32_t)i, (uint32_t)i + 1};
    while (piece.begin < piece.end) {
        uint32_t count;
        const uint32_t *own = piece_next(&piece, &count);
        if (count) {
            return *own;
        }
    }
    return 0;
}

static uint64_t hash_step(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 32);
}

static uint64_t traceback_hash(const struct tm_traceback *traceback)
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
    const struct tm_traceback *traceback = key;
    const struct tm_stack *stack = tm_region_find(stacks, id);
    if (!stack || stack->domain != 0 || tm_stack_depth(stack) != traceback->count ||
        stack->total_nframe != traceback->total_nframe || stack->flags != traceback->flags) {
        return false;
    }
    struct piece piece = {stack, 0, traceback->count};
    const uint32_t *frames = traceback->frames;
    while (piece.begin < piece.end) {
        uint32_t count;
        const uint32_t *own = piece_next(&piece, &count);
        if (count && memcmp(own, frames, count * sizeof(*own)) != 0) {
            return false;
        }
        frames += count;
    }
    return true;
}

/* Makes the parent one that has some of the shared frames as its own, so that a walk up takes no more steps
 * than it yields frames. */
static void parent_settle(struct tm_stack *stack)
{
    while (stack->parent) {
        const struct tm_stack *parent = tm_region_find(stacks, stack->parent);
        if (stack->shared + stack->omitted > parent->shared) {
            return;
        }
        stack->omitted = (uint16_t)(stack->omitted + parent->omitted);
        stack->parent = stack->shared ? parent->parent : 0;
    }
    stack->omitted = 0;
}

static uint32_t stack_add(const struct tm_traceback *traceback)
{
    uint32_t own = traceback->parent ? traceback->own : traceback->count;
    uint64_t first = own ? tm_region_take(stack_frames, own) : 0;
    if (first == TM_REGION_FULL || first > UINT32_MAX) {
        return 0;
    }
    if (own) {
        memcpy(tm_region_find(stack_frames, first), traceback->frames, own * sizeof(uint32_t));
    }
    uint64_t id = tm_region_take(stacks, 1);
    if (id == TM_REGION_FULL || id > TM_LIVE_STACK_MAX) {
        return 0;
    }
    struct tm_stack *stack = tm_region_find(stacks, id);
    stack->frames = (uint32_t)first;
    stack->parent = traceback->parent;
    stack->own = (uint16_t)own;
    stack->shared = (uint16_t)(traceback->count - own);
    stack->omitted = traceback->parent ? traceback->omitted : 0;
    stack->total_nframe = traceback->total_nframe;
    stack->flags = traceback->flags;
    parent_settle(stack);
    tm_publish(&stack->check, tm_stack_check(stack, traceback->frames));
    return (uint32_t)id;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Of other domains
 */

/* The record of domain 0's stack `id` for another domain: it has all its frames from that one. */
static struct tm_stack domain_stack(uint32_t id, const struct tm_stack *of, uint32_t domain)
{
    struct tm_stack stack = {
        .parent = id,
        .shared = (uint16_t)tm_stack_depth(of),
        .total_nframe = of->total_nframe,
        .flags = of->flags,
        .domain = domain,
    };
    parent_settle(&stack);
    stack.check = tm_stack_check(&stack, NULL);
    return stack;
}

/* They have no own frames: the same fields are the same traceback. */
static bool domain_stack_matches(const void *key, uint32_t id)
{
    const struct tm_stack *stack = tm_region_find(stacks, id);
    return stack && memcmp(stack, key, sizeof(*stack)) == 0;
}

uint32_t tm_stack_of_domain(uint32_t id, uint32_t domain)
{
    const struct tm_stack *of = tm_stack_find(id);
    if (domain == 0 || !of) {
        return id;
    }
    struct tm_stack key = domain_stack(id, of, domain);
    uint64_t hash = hash_step(hash_step(domain, id), 0);
    uint32_t found = tm_index_find(&by_content, hash, domain_stack_matches, &key);
    if (found) {
        return found;
    }
    uint64_t new_id = tm_region_take(stacks, 1);
    if (new_id == TM_REGION_FULL || new_id > TM_LIVE_STACK_MAX) {
        return TM_STACK_UNKNOWN;
    }
    struct tm_stack *stack = tm_region_find(stacks, new_id);
    uint32_t check = key.check;
    key.check = 0;
    *stack = key;
    tm_publish(&stack->check, check);
    tm_index_insert(&by_content, hash, (uint32_t)new_id);
    return (uint32_t)new_id;
}

uint32_t tm_stack_intern(const struct tm_traceback *traceback, bool *ret_added)
{
    *ret_added = false;
    if (traceback->count == 0) {
        return TM_STACK_UNKNOWN;
    }
    uint64_t hash = traceback_hash(traceback);
    uint32_t id = tm_index_find(&by_content, hash, stack_matches, traceback);
    if (!id) {
        id = stack_add(traceback);
        if (id) {
            tm_index_insert(&by_content, hash, id);
            *ret_added = true;
        }
    }
    return id ? id : TM_STACK_UNKNOWN;
}
