/* call.h: what all hooks have in common.
 *
 * Each hook notes its caller's registers, as they will be after it returns, and is the frame from which the
 * walk begins: all of this is therefore inlined into it. What the allocator below answers is passed on
 * unchanged, and so is errno.
 */
#ifndef TM_ENTRY_CALL_H
#define TM_ENTRY_CALL_H

#include <stddef.h>

#include "../host/real.h"
#include "../host/startup.h"
#include "../record/blocks.h"
#include "../record/freed.h"
#include "../record/totals.h"
#include "../tables/modules.h"
#include "../walk/arch.h"

#define EXPORT __attribute__((visibility("default"), noinline))
#define INLINE static inline __attribute__((always_inline))

/* __builtin_frame_address gives the hook a frame pointer whatever the compiler's options are. */
#define CALLER(name)                                                                                         \
    const struct tm_walk_start name = {                                                                      \
        .pc = (uintptr_t)__builtin_return_address(0),                                                        \
        .sp = tm_arch_caller_sp(),                                                                           \
        .bp = *(const uintptr_t *)__builtin_frame_address(0),                                                \
    }

/* What a hook asks of the allocator below. */
struct request {
    size_t size; /* in bytes, all elements together */
    size_t alignment;
    void *block; /* to be freed */
    int error;   /* posix_memalign's answer */
    const struct operator_below *operator_below;
    uintptr_t arguments[2]; /* of a C++ operator, behind size or block */
};

typedef void *real_allocation(struct request *request);
typedef void real_release(const struct request *request);

/* Is the allocator below known? */
INLINE bool is_awake(void)
{
    return TM_LIKELY(tm_real.malloc) || tm_wake();
}

/* The size to ask for. */
INLINE size_t least(size_t size)
{
    return size < tm_real_least ? tm_real_least : size;
}

/* Is a block of this size to be recorded? Asked once for each. */
INLINE bool is_chosen(size_t size)
{
    return TM_LIKELY(tm_sample_bytes == 0) || tm_sample_takes(size);
}

/* With sampling nearly all calls have nothing to record. Such a one goes to the allocator below at once; any
 * other one to the function that does the work, by a jump, so that this has the frame of the hook. Without
 * optimisation a compiler makes no jumps. */
#ifdef __OPTIMIZE__
#define TM_HAS_SHORT_WAY 1
#else
#define TM_HAS_SHORT_WAY 0
#endif
#define JUMPED_TO static __attribute__((noinline))

/* Is it certain that a block of this size is not to be recorded? Counts it as passed. */
INLINE bool is_passed(size_t size)
{
    return TM_HAS_SHORT_WAY && TM_UNLIKELY(tm_sample_bytes != 0) && tm_real.malloc && tm_sample_passes(size);
}

/* Is it certain that freeing this block does nothing but that? */
INLINE bool is_passed_block(const void *block)
{
    return TM_HAS_SHORT_WAY && TM_UNLIKELY(tm_sample_bytes != 0) && block && tm_real.free &&
           !tm_early_owns(block) && !tm_is_loader((uintptr_t)__builtin_return_address(0)) &&
           !tm_sample_may_hold((uintptr_t)block);
}

/* May this block have a record? */
INLINE bool may_have_record(const void *block)
{
    return TM_LIKELY(tm_sample_bytes == 0) || tm_sample_may_hold((uintptr_t)block);
}

/* Asks for a block and records it. */
INLINE void *allocate(real_allocation *real, struct request *request, const struct tm_walk_start *caller)
{
    if (!is_chosen(request->size)) {
        return real(request);
    }
    struct tm_call call;
    if (TM_UNLIKELY(!tm_enter(&call, caller))) {
        void *block = real(request);
        if (call.lost && block) {
            tm_drop(request->size);
        }
        return block;
    }
    tm_walk(&call, caller);
    tm_begin(&call, TM_OPERATION_ALLOCATE, 0, 0, request->size, 0, 0);
    void *block = real(request);
    if (TM_LIKELY(block) && TM_LIKELY(tm_block_add(&call, (uintptr_t)block))) {
        tm_block_count_added(&call);
    }
    tm_leave(&call);
    return block;
}

/* Without an operation to show: the record must go all the same, for another block may come to its place. */
static inline void remove_lost(uintptr_t address, uint64_t generation)
{
    struct tm_block block;
    if (tm_block_find(0, address, generation, &block) && tm_block_remove(&block, generation)) {
        tm_remove_lost(block.size, generation);
    }
}

/* Takes the record of request->block away and has it freed. */
INLINE void release(real_release *real, const struct request *request, const struct tm_walk_start *caller)
{
    void *block = request->block;
    struct tm_call call;
    struct tm_block record;
    if (!block || TM_UNLIKELY(tm_early_owns(block)) || TM_UNLIKELY(!is_awake())) {
        return;
    }
    __builtin_prefetch((const char *)block -
                       sizeof(size_t)); /* libc's header: while the record is looked up */
    if (TM_UNLIKELY(tm_is_loader(caller->pc))) {
        tm_modules_check();
    }
    if (!may_have_record(block)) {
        real(request);
        return;
    }
    if (TM_UNLIKELY(!tm_enter(&call, caller))) {
        if (call.lost) {
            remove_lost((uintptr_t)block, call.generation);
        }
        real(request);
        return;
    }
    call.stack = 0;
    if (TM_LIKELY(tm_block_find(0, (uintptr_t)block, call.generation, &record))) {
        struct tm_going going;
        tm_freed_note(&call, &record, 0, (uintptr_t)block, caller, &going);
        tm_begin(&call, TM_OPERATION_FREE, 0, (uintptr_t)block, record.size, record.word, 0);
        tm_totals_before_fall(&call, record.size);
        if (TM_LIKELY(tm_block_remove(&record, call.generation))) {
            tm_block_count_removed(&call, &record);
            tm_freed_keep(&call, &going);
        }
        if (TM_UNLIKELY(tm_sample_bytes != 0)) {
            tm_sample_unmark((uintptr_t)block);
        }
        tm_done(&call);
    } else {
        call.operation->address = (uintptr_t)block; /* for whoever explains what real() says of it */
    }
    real(request);
    tm_leave(&call);
}

#endif
