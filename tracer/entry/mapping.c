/* mapping.c: anonymous mappings as blocks of domain 1 (mmap=1).
 *
 * mmap, mmap64, mremap and munmap as the program calls them; without mmap=1 they are the system calls and
 * nothing else. Recorded is what the program maps with MAP_ANONYMOUS, private or shared. Not what the
 * allocator below maps for itself, nor what libc maps (thread stacks, large blocks of malloc), which does not
 * pass by here.
 *
 *   - The size is what was asked for; the kernel gives whole pages.
 *   - munmap, and whatever is mapped over a block (MAP_FIXED), takes away what it covers. What remains of a
 * block, one part or two, is recorded with the block's traceback and its exact bytes: those of the block's
 * size that lie in it. In total values each part counts as one more allocation.
 *   - mremap of a block, or of a part, is recorded as realloc is: with the traceback of the mremap. While the
 * kernel moves it, it is not shown. Of memory without a record it makes none: that may be a file's.
 *   - A record goes before the memory does, and is put back when the call fails (of several blocks the first
 * one).
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "../host/system.h"
#include "../tables/mappings.h"
#include "call.h"

EXPORT void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
EXPORT int munmap(void *address, size_t size);
EXPORT void *mremap(void *old_address, size_t old_size, size_t new_size, int flags, ...);

#define PAGE UINT64_C(4096)

/* A mapping as it was asked for. */
struct area {
    uintptr_t start;
    size_t size;
};

/* One call's work on records. */
struct work {
    struct tm_call call;
    bool is_recorded; /* tm_enter() let the call in: its operations are shown */
    bool is_wanted;   /* records change at all */
    uint64_t generation;
};

/* ---------------------------------------------------------------------------------------------------------------
 * System calls
 */

static void *answered(long answer)
{
    if (tm_system_failed(answer)) {
        errno = (int)-answer;
        return MAP_FAILED;
    }
    return (void *)answer;
}

static long real_mmap(const struct area *area, int protection, int flags, int file, off_t offset)
{
    return tm_system(SYS_mmap, (long)area->start, (long)area->size, protection, flags, file, offset);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Operations: several in one call of a hook, one after the other. The lock of the ranges is held.
 */

static void operation_end(struct work *work)
{
    tm_barrier();
    tm_publish(&work->call.operation->code, TM_OPERATION_NONE);
    tm_barrier();
}

/* stack: one that was walked now, or that of a block that was there. */
static void record_add(struct work *work, const struct area *area, uint32_t stack)
{
    uintptr_t end = tm_page_end(area->start + area->size);
    if (!work->is_recorded || !tm_mappings_add(area->start, end)) {
        tm_drop(area->size);
        return;
    }
    tm_call_set_stack(&work->call, stack);
    tm_begin(&work->call, TM_OPERATION_TRACK, TM_DOMAIN_MMAP, area->start, area->size, 0, 0);
    if (tm_block_add(&work->call, area->start)) {
        tm_block_count_added(&work->call);
    } else {
        tm_mappings_remove(area->start);
    }
    operation_end(work);
}

static void record_remove(struct work *work, const struct tm_block *block, uintptr_t address)
{
    tm_mappings_remove(address);
    if (!work->is_recorded) {
        if (tm_block_remove(block, work->generation)) {
            tm_remove_lost(block->size, work->generation);
        }
        return;
    }
    work->call.stack = 0;
    tm_begin(&work->call, TM_OPERATION_UNTRACK, TM_DOMAIN_MMAP, address, block->size, block->word, 0);
    tm_totals_before_fall(&work->call, block->size);
    if (tm_block_remove(block, work->generation)) {
        tm_block_count_removed(&work->call, block);
    }
    tm_done(&work->call);
    operation_end(work);
}

/* The bytes of an area from start to end. */
static struct area area_part(const struct area *area, uintptr_t start, uintptr_t end)
{
    uintptr_t last = area->start + area->size;
    uintptr_t first = start > area->start ? start : area->start;
    last = end < last ? end : last;
    return (struct area){first, last > first ? last - first : 0};
}

/* Takes start..end out of a block. */
static void block_cut(struct work *work, const struct tm_mapping *mapping, uintptr_t start, uintptr_t end)
{
    struct tm_block block;
    if (!tm_block_find(TM_DOMAIN_MMAP, mapping->start, work->generation, &block)) {
        tm_mappings_remove(mapping->start);
        return;
    }
    struct area area = {mapping->start, block.size};
    struct area before = area_part(&area, area.start, start), after = area_part(&area, end, UINTPTR_MAX);
    uint32_t stack = block.stack;
    record_remove(work, &block, area.start);
    if (before.size) {
        record_add(work, &before, stack);
    }
    if (after.size) {
        record_add(work, &after, stack);
    }
}

static void range_cut(struct work *work, uintptr_t start, uintptr_t end)
{
    struct tm_mapping mapping;
    while (tm_mappings_find(start, end, &mapping)) {
        block_cut(work, &mapping, start, end);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Calls
 */

static bool is_on(void)
{
    return TM_UNLIKELY(tm_load(&tm_root->features) & TM_FEATURE_MMAP);
}

/* False where nothing is to be recorded: then there is nothing to end. */
INLINE bool work_begin(struct work *work, const struct tm_walk_start *caller)
{
    if (caller->pc - tm_allocator_start < tm_allocator_size) {
        return false;
    }
    work->is_recorded = tm_enter(&work->call, caller);
    work->generation = work->call.generation;
    return work->is_recorded || work->call.lost;
}

static void work_end(struct work *work)
{
    if (work->is_recorded) {
        tm_leave(&work->call);
    }
}

static void work_add(struct work *work, uintptr_t start, size_t size, uint32_t stack)
{
    struct area area = {start, size};
    uint64_t signals;
    if (tm_mappings_lock(work->generation, &signals)) {
        range_cut(work, start, tm_page_end(start + size)); /* who unmapped that did not come by here */
        record_add(work, &area, stack);
        tm_mappings_unlock(signals);
    }
}

/* The first block of a range of which something was taken out, to be put back whole when the call fails. */
struct taken {
    struct area area; /* size 0 = nothing */
    uint32_t stack;
};

/* Takes start..start + size out of all blocks that it lies over. */
static struct taken work_take(struct work *work, uintptr_t start, size_t size)
{
    struct taken taken = {{0, 0}, 0};
    struct tm_mapping mapping;
    struct tm_block block;
    uintptr_t end = tm_page_end(start + size);
    uint64_t signals;
    if (!tm_mappings_lock(work->generation, &signals)) {
        return taken;
    }
    if (tm_mappings_find(start, end, &mapping) &&
        tm_block_find(TM_DOMAIN_MMAP, mapping.start, work->generation, &block)) {
        taken = (struct taken){{mapping.start, block.size}, block.stack};
    }
    range_cut(work, start, end);
    tm_mappings_unlock(signals);
    return taken;
}

static void work_put_back(struct work *work, const struct taken *taken)
{
    if (taken->area.size) {
        work_add(work, taken->area.start, taken->area.size, taken->stack);
    }
}

INLINE uint32_t work_walk(struct work *work, const struct tm_walk_start *caller)
{
    if (!work->is_recorded) {
        return 0;
    }
    tm_walk(&work->call, caller);
    tm_walk_domain(&work->call, TM_DOMAIN_MMAP);
    return work->call.stack;
}

/* Would the kernel refuse these arguments before it changes anything? */
static bool is_range(uintptr_t start, size_t size)
{
    return start % PAGE == 0 && size && tm_page_end(start + size) > start;
}

INLINE void *map(const struct area *area, int protection, int flags, int file, off_t offset,
                 const struct tm_walk_start *caller)
{
    struct work work;
    bool is_fixed = (flags & MAP_FIXED) && is_range(area->start, area->size);
    if (!((flags & MAP_ANONYMOUS) || is_fixed) || !work_begin(&work, caller)) {
        return answered(real_mmap(area, protection, flags, file, offset));
    }
    uint32_t stack = flags & MAP_ANONYMOUS ? work_walk(&work, caller) : 0;
    struct taken taken = {{0, 0}, 0};
    if (is_fixed) {
        taken = work_take(&work, area->start, area->size);
    }
    long answer = real_mmap(area, protection, flags, file, offset);
    if (tm_system_failed(answer)) {
        work_put_back(&work, &taken);
    } else if (flags & MAP_ANONYMOUS) {
        work_add(&work, (uintptr_t)answer, area->size, stack);
    }
    work_end(&work);
    return answered(answer);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    struct area area = {(uintptr_t)address, size};
    if (!is_on()) {
        return answered(real_mmap(&area, protection, flags, file, offset));
    }
    CALLER(caller);
    return map(&area, protection, flags, file, offset, &caller);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    struct area area = {(uintptr_t)address, size};
    if (!is_on()) {
        return answered(real_mmap(&area, protection, flags, file, offset));
    }
    CALLER(caller);
    return map(&area, protection, flags, file, offset, &caller);
}

int munmap(void *address, size_t size)
{
    struct work work;
    struct taken taken = {{0, 0}, 0};
    CALLER(caller);
    bool is_traced = is_on() && is_range((uintptr_t)address, size) && work_begin(&work, &caller);
    if (is_traced) {
        taken = work_take(&work, (uintptr_t)address, size);
    }
    long answer = tm_system_munmap(address, size);
    if (is_traced) {
        if (tm_system_failed(answer)) {
            work_put_back(&work, &taken);
        }
        work_end(&work);
    }
    return answered(answer) == MAP_FAILED ? -1 : 0;
}

static long real_mremap(const struct area *old, const struct area *new, int flags)
{
    return tm_system(SYS_mremap, (long)old->start, (long)old->size, (long)new->size, flags, (long)new->start,
                     0);
}

/* new->start counts with MREMAP_FIXED. */
INLINE void *remap(const struct area *old, const struct area *new, int flags,
                   const struct tm_walk_start *caller)
{
    struct work work;
    if (!is_range(old->start, old->size) || !work_begin(&work, caller)) {
        return answered(real_mremap(old, new, flags));
    }
    uint32_t stack = work_walk(&work, caller);
    struct taken taken = work_take(&work, old->start, old->size), covered = {{0, 0}, 0};
    if ((flags & MREMAP_FIXED) && is_range(new->start, new->size)) {
        covered = work_take(&work, new->start, new->size);
    }
    long answer = real_mremap(old, new, flags);
    bool failed = tm_system_failed(answer);
    if (failed || (flags & MREMAP_DONTUNMAP)) {
        work_put_back(&work, &taken);
    }
    if (failed) {
        work_put_back(&work, &covered);
    } else if (taken.area.size) {
        work_add(&work, (uintptr_t)answer, new->size, stack);
    }
    work_end(&work);
    return answered(answer);
}

void *mremap(void *old_address, size_t old_size, size_t new_size, int flags, ...)
{
    struct area old = {(uintptr_t)old_address, old_size}, new = {0, new_size};
    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
        va_list arguments;
        va_start(arguments, flags);
        new.start = (uintptr_t)va_arg(arguments, void *);
        va_end(arguments);
    }
    if (!is_on()) {
        return answered(real_mremap(&old, &new, flags));
    }
    CALLER(caller);
    return remap(&old, &new, flags, &caller);
}
