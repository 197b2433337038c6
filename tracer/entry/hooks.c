/* hooks.c: the malloc family as the program calls it.
 *
 * reallocarray is done here, because libc's calls realloc by its public name; the aligned functions are those
 * of the allocator below, whatever they are.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "../host/system.h"
#include "call.h"

EXPORT void *malloc(size_t size);
EXPORT void *calloc(size_t count, size_t size);
EXPORT void *realloc(void *block, size_t size);
EXPORT void *reallocarray(void *block, size_t count, size_t size);
EXPORT void free(void *block);
EXPORT void cfree(void *block);
EXPORT void free_sized(void *block, size_t size);
EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size);
EXPORT int posix_memalign(void **ret_block, size_t alignment, size_t size);
EXPORT void *aligned_alloc(size_t alignment, size_t size);
EXPORT void *memalign(size_t alignment, size_t size);
EXPORT void *valloc(size_t size);
EXPORT void *pvalloc(size_t size);

/* ---------------------------------------------------------------------------------------------------------------
 * Allocating
 */

INLINE void *real_malloc(struct request *request)
{
    return tm_real.malloc(least(request->size));
}

INLINE void *real_calloc(struct request *request)
{
    return tm_real.calloc(1, least(request->size));
}

INLINE void *real_realloc_of_nothing(struct request *request)
{
    return tm_real.realloc(NULL, least(request->size));
}

INLINE void *real_posix_memalign(struct request *request)
{
    void *block = NULL;
    request->error = tm_real.posix_memalign(&block, request->alignment, least(request->size));
    return request->error ? NULL : block;
}

INLINE void *real_aligned_alloc(struct request *request)
{
    size_t size = request->size;
    if (size < tm_real_least) { /* still a multiple of the alignment */
        size = request->alignment > tm_real_least ? request->alignment : tm_real_least;
    }
    return tm_real.aligned_alloc(request->alignment, size);
}

INLINE void *real_memalign(struct request *request)
{
    return tm_real.memalign(request->alignment, least(request->size));
}

INLINE void *real_valloc(struct request *request)
{
    return tm_real.valloc(least(request->size));
}

INLINE void *real_pvalloc(struct request *request)
{
    return tm_real.pvalloc(least(request->size));
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *early_allocate(size_t size, size_t alignment)
{
    void *block = tm_early_allocate(size, alignment);
    return block ? block : no_memory();
}

JUMPED_TO void *malloc_in_full(size_t size)
{
    CALLER(caller);
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate(size, 16);
    }
    struct request request = {.size = size};
    return allocate(real_malloc, &request, &caller);
}

void *malloc(size_t size)
{
    return is_passed(size) ? tm_real.malloc(least(size)) : malloc_in_full(size);
}

void *calloc(size_t count, size_t size)
{
    CALLER(caller);
    struct request request = {0};
    if (TM_UNLIKELY(__builtin_mul_overflow(count, size, &request.size))) {
        return no_memory();
    }
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate(request.size, 16);
    }
    return allocate(real_calloc, &request, &caller);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    CALLER(caller);
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    struct request request = {.size = size, .alignment = alignment, .error = ENOMEM};
    void *block;
    if (TM_UNLIKELY(!is_awake())) {
        block = tm_early_allocate(size, alignment);
    } else {
        block = tm_real.posix_memalign ? allocate(real_posix_memalign, &request, &caller) : NULL;
    }
    if (!block) {
        return request.error;
    }
    *ret_block = block;
    return 0;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    CALLER(caller);
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate(size, alignment);
    }
    struct request request = {.size = size, .alignment = alignment};
    return tm_real.aligned_alloc ? allocate(real_aligned_alloc, &request, &caller) : no_memory();
}

void *memalign(size_t alignment, size_t size)
{
    CALLER(caller);
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate(size, alignment);
    }
    struct request request = {.size = size, .alignment = alignment};
    return tm_real.memalign ? allocate(real_memalign, &request, &caller) : no_memory();
}

void *valloc(size_t size)
{
    CALLER(caller);
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate(size, TM_PAGE_MAX);
    }
    struct request request = {.size = size};
    return tm_real.valloc ? allocate(real_valloc, &request, &caller) : no_memory();
}

void *pvalloc(size_t size)
{
    CALLER(caller);
    if (TM_UNLIKELY(!is_awake())) {
        return early_allocate((size + TM_PAGE_MAX - 1) & ~(size_t)(TM_PAGE_MAX - 1), TM_PAGE_MAX);
    }
    struct request request = {.size = size};
    return tm_real.pvalloc ? allocate(real_pvalloc, &request, &caller) : no_memory();
}

/* ---------------------------------------------------------------------------------------------------------------
 * Freeing
 */

INLINE void real_free(const struct request *request)
{
    tm_real.free(request->block);
}

INLINE void release_block(void *block, const struct tm_walk_start *caller)
{
    const struct request request = {.block = block};
    release(real_free, &request, caller);
}

JUMPED_TO void free_in_full(void *block)
{
    CALLER(caller);
    release_block(block, &caller);
}

void free(void *block)
{
    if (is_passed_block(block)) {
        tm_real.free(block);
    } else {
        free_in_full(block);
    }
}

void cfree(void *block)
{
    CALLER(caller);
    release_block(block, &caller);
}

void free_sized(void *block, size_t size)
{
    CALLER(caller);
    (void)size;
    release_block(block, &caller);
}

void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    CALLER(caller);
    (void)alignment;
    (void)size;
    release_block(block, &caller);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Reallocating
 */

/* Size 0 is passed on as it is: some allocators free then. */
INLINE void *real_realloc(void *block, size_t size)
{
    return tm_real.realloc(block, size ? least(size) : 0);
}

static void *reallocate_lost(void *block, size_t size, bool lost, uint64_t generation)
{
    struct tm_block record;
    bool taken = lost && tm_block_find(0, (uintptr_t)block, generation, &record) &&
                 tm_block_take_out(&record, generation);
    void *result = real_realloc(block, size);
    if (taken && !result && size) {
        tm_block_put_back(&record, generation);
    } else if (taken) {
        tm_block_drop(&record);
        tm_remove_lost(record.size, generation);
    }
    if (lost && result) {
        tm_drop(size);
    }
    return result;
}

/* A block that has a record. Without a stack in the call the new block gets none: it was not chosen. */
static void *reallocate_recorded(struct tm_call *call, const struct tm_block *record, void *block,
                                 size_t size)
{
    bool keeps = call->stack != 0;
    struct tm_going going;
    tm_freed_note(call, record, 0, (uintptr_t)block, NULL, &going);
    tm_begin(call, TM_OPERATION_REALLOCATE, 0, (uintptr_t)block, size, record->word, 0);
    bool taken = tm_block_take_out(record, call->generation);
    void *result = real_realloc(block, size);
    if (size < record->size) {
        tm_totals_before_fall(call, record->size);
    }
    if (result != block && (result || !size)) {
        tm_freed_keep(call, &going);
    }
    if (!result && size) {
        if (taken) {
            tm_block_put_back(record, call->generation);
        }
    } else if (result && keeps && tm_block_add(call, (uintptr_t)result)) {
        tm_block_count_replaced(call, record);
        tm_block_drop(record);
    } else {
        tm_totals_before_fall(call, record->size);
        tm_block_drop(record);
        tm_block_count_removed(call, record);
        tm_done(call);
    }
    return result;
}

/* A block from before start, or from elsewhere: it becomes recorded. */
static void *reallocate_unrecorded(struct tm_call *call, void *block, size_t size)
{
    tm_begin(call, TM_OPERATION_ALLOCATE, 0, (uintptr_t)block, size, 0, 0);
    void *result = real_realloc(block, size);
    if (result && tm_block_add(call, (uintptr_t)result)) {
        tm_block_count_added(call);
    }
    return result;
}

INLINE void *reallocate(void *block, size_t size, const struct tm_walk_start *caller)
{
    struct tm_call call;
    struct tm_block record;
    bool chosen = is_chosen(size), may_be_recorded = may_have_record(block);
    if (!chosen && !may_be_recorded) {
        return real_realloc(block, size);
    }
    if (TM_UNLIKELY(!tm_enter(&call, caller))) {
        return reallocate_lost(block, size, call.lost, call.generation);
    }
    call.stack = 0;
    if (chosen) {
        tm_walk(&call, caller);
    }
    void *result;
    if (tm_block_find(0, (uintptr_t)block, call.generation, &record)) {
        result = reallocate_recorded(&call, &record, block, size);
        if (TM_UNLIKELY(tm_sample_bytes != 0) && (result || !size)) {
            tm_sample_unmark((uintptr_t)block);
        }
    } else {
        result = chosen ? reallocate_unrecorded(&call, block, size) : real_realloc(block, size);
    }
    tm_leave(&call);
    return result;
}

/* A block of the early buffer moves to the allocator. */
INLINE void *reallocate_early(void *block, size_t size, const struct tm_walk_start *caller)
{
    struct request request = {.size = size};
    void *result = is_awake() ? allocate(real_malloc, &request, caller) : early_allocate(size, 16);
    if (result && block) {
        size_t old_size = tm_early_size(block);
        memcpy(result, block, old_size < size ? old_size : size);
    }
    return result;
}

INLINE void *reallocate_any(void *block, size_t size, const struct tm_walk_start *caller)
{
    if (TM_UNLIKELY(!is_awake()) || TM_UNLIKELY(tm_early_owns(block))) {
        return reallocate_early(block, size, caller);
    }
    if (!block) {
        struct request request = {.size = size};
        return allocate(real_realloc_of_nothing, &request, caller);
    }
    return reallocate(block, size, caller);
}

void *realloc(void *block, size_t size)
{
    CALLER(caller);
    return reallocate_any(block, size, &caller);
}

void *reallocarray(void *block, size_t count, size_t size)
{
    CALLER(caller);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return no_memory();
    }
    return reallocate_any(block, bytes, &caller);
}
