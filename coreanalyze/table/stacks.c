/* stacks.c: modules, frames and tracebacks, checked so that nobody after this file has to. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define PATH_LENGTH_MAX 65535u

struct ca_region *ca_table_region(const struct ca_table *table, uint32_t kind)
{
    const struct ca_table_private *internal = table->internal;
    for (size_t i = 0; i < internal->region_count; i++) {
        if (internal->regions[i].header.kind == kind) {
            return &internal->regions[i];
        }
    }
    return NULL;
}

/* The elements of a dense region; one empty element when there is no such region. */
bool ca_table_copy(struct ca_table *table, uint32_t kind, size_t size, void **ret_array, size_t *ret_count,
                   struct ca_error **ret_error)
{
    struct ca_region none = {0};
    struct ca_region *region = ca_table_region(table, kind);
    return ca_region_copy(table->internal->source, region ? region : &none, size, ret_array, ret_count,
                          ret_error);
}

/* ----------------------------------------------------------------------------------------- modules */

/* NULL only when out of memory; "" when the bytes are not there, which nothing but a cut core explains, or
 * are not those that were written. */
static char *path_copy(struct ca_table *table, const struct tm_module *module, const char *strings,
                       size_t string_size)
{
    size_t length = module->path_length;
    if (length > PATH_LENGTH_MAX || module->path > string_size || length > string_size - module->path ||
        tm_text_check(strings + module->path, (uint32_t)length) != module->path_check) {
        length = 0;
        table->coverage.rejected += table->coverage.missing_bytes == 0;
    }
    return strndup(length ? strings + module->path : "", length);
}

static bool module_copy(struct ca_table *table, const struct tm_module *from, const char *strings,
                        size_t string_size, struct ca_module *module)
{
    bool sane = from->check == tm_module_check(from) && from->end >= from->start &&
                from->build_id_length <= TM_BUILD_ID_MAX;
    if (from->start == 0 || !sane) {
        table->coverage.rejected += from->start != 0;
        module->path = strdup("");
        return module->path;
    }
    module->start = from->start;
    module->end = from->end;
    module->bias = from->bias;
    module->loaded_time = from->loaded_time;
    module->unloaded_time = from->unloaded_time;
    module->build_id_length = from->build_id_length;
    memcpy(module->build_id, from->build_id, sizeof(module->build_id));
    module->path = path_copy(table, from, strings, string_size);
    return module->path;
}

static bool modules_read(struct ca_table *table, struct ca_error **ret_error)
{
    void *strings = NULL, *records = NULL;
    size_t string_size, count;
    bool good =
        ca_table_copy(table, TM_REGION_STRINGS, 1, &strings, &string_size, ret_error) &&
        ca_table_copy(table, TM_REGION_MODULES, sizeof(struct tm_module), &records, &count, ret_error);
    if (good) {
        table->modules = calloc(count, sizeof(*table->modules));
        good = table->modules ? true : ca_fail_memory(ret_error);
    }
    for (size_t i = 0; good && i < count; i++) {
        struct tm_module from = i ? ((const struct tm_module *)records)[i] : (struct tm_module){0};
        table->module_count = i + 1;
        good = module_copy(table, &from, strings, string_size, &table->modules[i])
                   ? true
                   : ca_fail_memory(ret_error);
    }
    free(strings);
    free(records);
    return good;
}

/* ------------------------------------------------------------------------------------------ frames */

/* Code lies in its module, whose record was there before. A return address may be the first behind it: the
 * call is what counts. */
static bool frame_is_sane(const struct ca_table *table, const struct tm_frame *frame)
{
    if (frame->module >= table->module_count || frame->check != tm_frame_check(frame->word, frame->module)) {
        return false;
    }
    const struct ca_module *module = &table->modules[frame->module];
    if (module->start == 0) {
        return frame->module == 0 || table->coverage.missing_bytes;
    }
    uint64_t address = frame->word & TM_FRAME_ADDRESS_MASK, kind = frame->word >> TM_FRAME_KIND_SHIFT;
    uint64_t call = kind == TM_FRAME_RETURN ? address - 1 : address;
    bool is_address = kind == TM_FRAME_RETURN || kind == TM_FRAME_INTERRUPTED;
    return !is_address || (call >= module->start && call < module->end);
}

/* A frame that is damaged stays in its tracebacks, as one of unknown code. */
static bool frames_read(struct ca_table *table, struct ca_error **ret_error)
{
    void *frames;
    if (!ca_table_copy(table, TM_REGION_FRAMES, sizeof(struct tm_frame), &frames, &table->frame_count,
                       ret_error)) {
        return false;
    }
    table->frames = frames;
    memset(&table->frames[0], 0, sizeof(table->frames[0]));
    for (size_t i = 1; i < table->frame_count; i++) {
        if (table->frames[i].word && !frame_is_sane(table, &table->frames[i])) {
            table->frames[i].module = 0;
            table->coverage.rejected++;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------ stacks */

static unsigned depth_of(const struct tm_stack *stack)
{
    return (unsigned)stack->own + stack->shared;
}

static bool frames_are_sane(const struct ca_table *table, const uint32_t *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (frames[i] == 0 || frames[i] >= table->frame_count || table->frames[frames[i]].word == 0) {
            return false;
        }
    }
    return true;
}

static bool stack_is_sane(const struct ca_table *table, uint32_t id)
{
    const struct ca_table_private *internal = table->internal;
    const struct tm_stack *stack = &table->stacks[id];
    if (stack->frames > internal->stack_frame_count ||
        stack->own > internal->stack_frame_count - stack->frames) {
        return false;
    }
    const uint32_t *own = internal->stack_frames + stack->frames;
    if (stack->check != tm_stack_check(stack, own) || depth_of(stack) > UINT16_MAX) {
        return false;
    }
    /* Stack 0 stands for no parent; it has no frames to share. */
    return stack->parent < id &&
           (unsigned)stack->shared + stack->omitted <= depth_of(&table->stacks[stack->parent]) &&
           frames_are_sane(table, own, stack->own);
}

/* Makes the parent the nearest ancestor that gives a frame of its own, so that a walk up takes no more hops
 * than it yields frames, whatever the records say. Parents come before their children and are settled. */
static void settle_parent(struct ca_table *table, struct tm_stack *stack)
{
    while (stack->parent) {
        const struct tm_stack *parent = &table->stacks[stack->parent];
        if (stack->shared && (unsigned)stack->shared + stack->omitted > parent->shared) {
            return;
        }
        stack->omitted = (uint16_t)(stack->omitted + parent->omitted);
        stack->parent = stack->shared ? parent->parent : 0;
    }
}

/* A record that is not published yet is no error, nor is one whose frames the source does not have; both are
 * as unknown as a damaged one. The former keeps a check of 0. */
static void stack_check(struct ca_table *table, uint32_t id)
{
    struct tm_stack *stack = &table->stacks[id];
    if (stack->check != 0 && stack_is_sane(table, id)) {
        settle_parent(table, stack);
        return;
    }
    table->coverage.rejected += stack->check != 0 && table->coverage.missing_bytes == 0;
    *stack = (struct tm_stack){.check = stack->check != 0, .flags = TM_STACK_BROKEN | TM_STACK_NO_DEPTH};
}

static bool stacks_read(struct ca_table *table, struct ca_error **ret_error)
{
    void *frames, *stacks;
    struct ca_table_private *internal = table->internal;
    if (!ca_table_copy(table, TM_REGION_STACK_FRAMES, sizeof(uint32_t), &frames, &internal->stack_frame_count,
                       ret_error)) {
        return false;
    }
    internal->stack_frames = frames;
    if (!ca_table_copy(table, TM_REGION_STACKS, sizeof(struct tm_stack), &stacks, &table->stack_count,
                       ret_error)) {
        return false;
    }
    table->stacks = stacks;
    if (table->stack_count < 2) { /* "unknown" is always there: what has no record is counted under it */
        struct tm_stack *enlarged = realloc(table->stacks, 2 * sizeof(*enlarged));
        if (!enlarged) {
            return ca_fail_memory(ret_error);
        }
        table->stacks = enlarged;
        table->stack_count = 2;
    }
    memset(table->stacks, 0, 2 * sizeof(*table->stacks));
    for (size_t i = 2; i < table->stack_count; i++) {
        stack_check(table, (uint32_t)i);
    }
    return true;
}

bool ca_stacks_read(struct ca_table *table, struct ca_error **ret_error)
{
    return modules_read(table, ret_error) && frames_read(table, ret_error) && stacks_read(table, ret_error);
}

/* The walk goes from the recent end to the old one: of each record the own frames within the piece that is
 * wanted, begin to end by position from its most recent one, then the rest of it from its parent. */
size_t ca_table_stack(const struct ca_table *table, uint32_t id, uint32_t *frames, size_t capacity)
{
    if (id >= table->stack_count) {
        return 0;
    }
    const struct tm_stack *stack = &table->stacks[id];
    size_t depth = depth_of(stack), begin = 0, end = depth, filled = 0;
    while (begin < end && filled < capacity) {
        const uint32_t *own = table->internal->stack_frames + stack->frames;
        size_t shared = stack->shared, omitted = stack->omitted, behind = stack->own;
        for (; begin < behind && begin < end && filled < capacity; begin++) {
            frames[filled++] = own[begin];
        }
        if (begin < behind || end <= behind) {
            break;
        }
        stack = &table->stacks[stack->parent]; /* with a frame of its own: see settle_parent */
        size_t first = depth_of(stack) - omitted - shared;
        begin += first - behind;
        end += first - behind;
    }
    return depth;
}
