/* operation.h: how a thread takes part in tracing: its slot, the operation it is at, its counters.
 *
 * A hook calls tm_enter(), perhaps tm_walk(), then tm_begin() before it calls the allocator, changes the
 * tables, and ends with tm_leave(). Every store between is ordered so that a reader that stops the thread
 * anywhere sees the operation as not yet done or as done (layout.h, struct tm_operation).
 */
#ifndef TM_OPERATION_H
#define TM_OPERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../atomics.h"
#include "../data.h"
#include "../layout.h"
#include "../tables/root.h"
#include "../tables/threads.h"
#include "../unwind.h"
#include "proof.h"

/* tm_local.level of a thread that is busy inside the tracer: what it allocates is the tracer's own. */
#define TM_LEVEL_MUTED UINT32_MAX

/* What a thread knows of itself. */
struct tm_local {
    struct tm_thread *thread; /* its slot; NULL = none yet, or no more */
    struct tm_thread_private *private;
    uint64_t index;        /* of the slot */
    uint32_t level;        /* operations under way: 0, or more in a signal handler that interrupted one */
    uint8_t rounds;        /* how often the destructor of the thread has run */
    bool ended;            /* after that: the slot is taken for one operation at a time */
    bool nested;           /* operations of levels above 0 were completed */
    uint64_t sample_left;  /* bytes to allocate until the next sample (sample.h) */
    uint64_t sample_state; /* of the random numbers for it, 0 = none yet */
};
TM_DATA _Thread_local struct tm_local tm_local;

/* One call of a hook. */
struct tm_call {
    struct tm_local *local;
    struct tm_operation *operation;
    uint64_t generation;
    uint32_t level;
    uint32_t stack; /* set by tm_walk() */
    tm_known known; /* the same */
    bool lost;      /* tm_enter() refused an operation that should be traced */
};

/* libc's word for "this process has one thread"; one that is always 0 where libc has none. */
TM_DATA const char *tm_single_threaded;

/* Load range of the allocator below, when it is not libc's: what it allocates itself is not recorded. */
TM_DATA uintptr_t tm_allocator_start, tm_allocator_size;

/* Prepares thread exit. False when the process has no thread key left (then ended threads' slots stay in
 * use). */
bool tm_operation_init(void);

/* The rest of tm_enter(): everything that is not the common case. */
bool tm_enter_slowly(struct tm_call *call, const struct tm_walk_start *caller);
/* The rest of tm_leave() in a thread whose destructors have run. */
void tm_leave_ended(struct tm_local *local);

/* The rest of tm_walk(): sets call->known for a stack that is not one of those kept. */
void tm_walk_new(struct tm_call *call, const struct tm_walk_start *caller);

/* Sets call->stack and call->known to a stack that was interned before. */
void tm_call_set_stack(struct tm_call *call, uint32_t stack);

/* After tm_walk(): the stack is of blocks of this domain. */
void tm_walk_domain(struct tm_call *call, uint32_t domain);

/* Counts a block that could not be recorded. */
void tm_drop(uint64_t size);

/* Counts the removal of a block by a thread that could not enter. */
void tm_remove_lost(uint64_t size, uint64_t generation);

/* In the child of a fork: the calling thread's slot stays its own, those of all others have ended. */
void tm_operation_forked(void);

/* Begins a call: false when it is not to be traced, or cannot be (call->lost). */
static inline bool tm_enter(struct tm_call *call, const struct tm_walk_start *caller)
{
    struct tm_root *root = tm_root;
    struct tm_local *local = &tm_local;
    struct tm_thread *thread = local->thread;
    if (TM_UNLIKELY(tm_load(&root->state) != TM_STATE_TRACING || tm_load(&root->request) != 0 || !thread ||
                    local->level != 0 || local->private->limit != root->traceback_limit)) {
        return tm_enter_slowly(call, caller);
    }
    call->local = local;
    call->operation = &thread->operations[0];
    call->operation->stack_pointer = caller->sp;
    tm_barrier();
    local->level = 1;
    tm_barrier();
    call->level = 0;
    call->generation = tm_load(&root->generation);
    call->lost = false;
    return true;
}

/* Walks the stack of the hook's caller and sets call->stack and call->known. */
TM_HOT void tm_walk(struct tm_call *call, const struct tm_walk_start *caller)
{
    call->known = tm_memo_recall(&call->local->private->memos[call->level], caller);
    bool recalled = call->known != 0;
    if (TM_UNLIKELY(!recalled)) {
        tm_walk_new(call, caller);
    }
    call->stack = tm_known_stack(call->known);
    tm_proof_walk(call, caller, recalled);
}

/* Publishes the operation. `entry` and `flags` as in struct tm_operation. */
static inline void tm_begin(struct tm_call *call, uint32_t code, uint32_t domain, uint64_t address,
                            uint64_t size, uint64_t entry, uint32_t flags)
{
    struct tm_operation *operation = call->operation;
    if (TM_UNLIKELY(operation->generation != call->generation)) {
        tm_store(&operation->allocated_count, 0);
        tm_store(&operation->allocated_size, 0);
        tm_store(&operation->freed_count, 0);
        tm_store(&operation->freed_size, 0);
        tm_publish(&operation->generation, call->generation);
    }
    /* word by word: a wider load of words that were stored one by one would have to wait for them */
    tm_store(&operation->before[0], tm_load(&operation->allocated_count));
    tm_store(&operation->before[1], tm_load(&operation->allocated_size));
    tm_store(&operation->before[2], tm_load(&operation->freed_count));
    tm_store(&operation->before[3], tm_load(&operation->freed_size));
    operation->domain = domain;
    operation->address = address;
    operation->new_address = 0;
    operation->size = size;
    operation->entry = entry;
    operation->stack = call->stack;
    operation->flags = flags;
    tm_barrier();
    tm_publish(&operation->code, code);
    tm_barrier();
}

/* The tables and the counters contain the operation. */
static inline void tm_done(struct tm_call *call)
{
    tm_barrier();
    tm_publish(&call->operation->flags, call->operation->flags | TM_OPERATION_DONE);
    tm_barrier();
}

/* Ends the call; the operation, if one was begun, is over. */
static inline void tm_leave(struct tm_call *call)
{
    struct tm_local *local = call->local;
    tm_barrier();
    tm_publish(&call->operation->code, TM_OPERATION_NONE);
    tm_barrier();
    local->level = call->level;
    if (TM_UNLIKELY(local->ended)) {
        tm_leave_ended(local);
    }
}

#endif
