#include "operation.h"

#include <pthread.h>
#include <signal.h>

#include "../control.h"
#include "../host/system.h"
#include "../tables/stacks.h"
#include "blocks.h"
#include "totals.h"

/* glibc calls destructors at most this often, and ours wants to be the last: others may free. */
#define DESTRUCTOR_ROUNDS 4

_Thread_local struct tm_local tm_local;

uintptr_t tm_allocator_start, tm_allocator_size;

#pragma weak __libc_single_threaded
extern char __libc_single_threaded;
static const char never_single;
const char *tm_single_threaded = &never_single;

static pthread_key_t exit_key;
static bool has_exit_key;

static void local_detach(struct tm_local *local)
{
    uint64_t index = local->index;
    local->thread = NULL;
    tm_barrier();
    tm_thread_give(index);
}

static void thread_exits(void *value)
{
    struct tm_local *local = &tm_local;
    if (++local->rounds < DESTRUCTOR_ROUNDS) {
        pthread_setspecific(exit_key, value);
        return;
    }
    local->ended = true;
    if (local->thread && local->level == 0) {
        local_detach(local);
    }
}

bool tm_operation_init(void)
{
    if (&__libc_single_threaded) {
        tm_single_threaded = &__libc_single_threaded;
    }
    has_exit_key = pthread_key_create(&exit_key, thread_exits) == 0;
    return has_exit_key;
}

/* Gives the calling thread a slot. pthread_setspecific may call calloc: hence the mute. */
static bool local_attach(struct tm_local *local)
{
    uint32_t level = local->level;
    local->level = TM_LEVEL_MUTED;
    uint64_t index = tm_thread_take(tm_system_tid());
    bool taken = index != TM_REGION_FULL;
    if (taken) {
        local->index = index;
        local->private = tm_thread_private_of(index);
        struct tm_thread *thread = tm_thread_at(index);
        local->nested = thread->operations[1].generation != 0; /* by the slot's owner before */
        for (int i = 0; i < TM_OPERATION_LEVELS; i++) {
            tm_memo_recover(&local->private->memos[i]); /* a fork may have cut its owner short */
        }
        tm_barrier();
        local->thread = thread;
        if (has_exit_key && !local->ended) {
            pthread_setspecific(exit_key, local);
        }
        tm_totals_attach(index);
    }
    local->level = level;
    return taken;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Nesting
 */

static bool stack_has(const stack_t *stack, uintptr_t address)
{
    return address - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* Was the operation left by longjmp? It was, when the caller's frame that it noted is below the one that
 * calls now: a handler that interrupted it would be lower still. Stacks other than the one that is in use
 * cannot be compared. */
static bool operation_is_abandoned(const struct tm_operation *operation, uintptr_t sp)
{
    stack_t stack = {.ss_flags = SS_DISABLE};
    tm_system(SYS_sigaltstack, 0, (long)&stack, 0, 0, 0, 0);
    bool has_alternate = (stack.ss_flags & SS_DISABLE) == 0;
    bool was_alternate = has_alternate && stack_has(&stack, operation->stack_pointer);
    bool is_alternate = has_alternate && stack_has(&stack, sp);
    if (was_alternate != is_alternate) {
        return was_alternate;
    }
    return sp >= operation->stack_pointer;
}

/* Level of an operation that begins now; operations that were left by longjmp are settled. */
static uint32_t level_now(struct tm_local *local, uintptr_t sp)
{
    uint32_t level = local->level;
    while (level > 0) {
        struct tm_operation *operation = &local->thread->operations[level - 1];
        if (!operation_is_abandoned(operation, sp)) {
            break;
        }
        if (tm_operation_settle(operation) && *tm_single_threaded) {
            tm_blocks_recount(operation);
        }
        tm_memo_recover(&local->private->memos[level - 1]);
        level--;
    }
    return level;
}

static bool has_room(struct tm_local *local, uint32_t level)
{
    struct tm_thread_private *private = local->private;
    uint32_t limit = tm_root->traceback_limit;
    if (level > 0 && private->memos[level].limit != limit) { /* while the level below is at its operation */
        tm_memo_forget_walks(&private->memos[level]);
    }
    if (private->limit != limit && level == 0) {
        if (private->capacity < limit) {
            tm_thread_make_room(private, limit);
        }
        for (int i = 0; i < TM_OPERATION_LEVELS; i++) {
            tm_memo_forget_walks(&private->memos[i]);
        }
        private->limit = private->capacity != 0 ? limit : 0;
    }
    return private->capacity != 0;
}

bool tm_enter_slowly(struct tm_call *call, const struct tm_walk_start *caller)
{
    struct tm_root *root = tm_root;
    struct tm_local *local = &tm_local;
    call->lost = false;
    if (local->level == TM_LEVEL_MUTED) {
        return false;
    }
    if (tm_load(&root->request) != TM_REQUEST_NONE) {
        tm_control_obey();
    }
    if (tm_load_acquire(&root->state) != TM_STATE_TRACING) {
        return false;
    }
    call->lost = true;
    call->generation = tm_load(&root->generation);
    if (!local->thread && !local_attach(local)) {
        return false;
    }
    uint32_t level = local->level ? level_now(local, caller->sp) : 0;
    if (level > 0 && caller->pc - tm_allocator_start < tm_allocator_size) {
        call->lost = false;
        return false;
    }
    if (level >= TM_OPERATION_LEVELS || !has_room(local, level)) {
        return false;
    }
    call->local = local;
    call->operation = &local->thread->operations[level];
    call->operation->stack_pointer = caller->sp;
    tm_barrier();
    local->level = level + 1;
    tm_barrier();
    local->nested = local->nested || level > 0;
    call->level = level;
    call->generation = tm_load(&root->generation);
    call->lost = false;
    return true;
}

void tm_leave_ended(struct tm_local *local)
{
    if (local->level == 0 && local->thread) {
        local_detach(local);
    }
}

void tm_walk_new(struct tm_call *call, const struct tm_walk_start *caller)
{
    struct tm_thread_private *private = call->local->private;
    uint32_t limit = tm_root->traceback_limit;
    uint32_t *frames = private->frames + (size_t)call->level * private->capacity;
    limit = limit < private->capacity ? limit : private->capacity;
    call->known = tm_memo_walk(&private->memos[call->level], caller, frames, limit);
}

void tm_call_set_stack(struct tm_call *call, uint32_t stack)
{
    const struct tm_stack_stats *stats = tm_memo_stats(&call->local->private->memos[call->level], stack);
    call->stack = stack;
    call->known = stats ? (uintptr_t)stats : (tm_known)stack << 1 | 1;
}

void tm_walk_domain(struct tm_call *call, uint32_t domain)
{
    if (domain != 0) {
        tm_call_set_stack(call, tm_stack_of_domain(call->stack, domain));
    }
}

void tm_drop(uint64_t size)
{
    struct tm_thread *thread = tm_local.thread;
    tm_add(thread ? &thread->dropped_count : &tm_root->dropped_count, 1);
    tm_add(thread ? &thread->dropped_size : &tm_root->dropped_size, size);
}

void tm_remove_lost(uint64_t size, uint64_t generation)
{
    uint64_t weight = tm_sample_weight_of(size);
    struct tm_operation *operation = &tm_thread_at(TM_THREAD_SPARE)->operations[0];
    if (tm_load(&operation->generation) == generation) {
        tm_add(&operation->freed_count, weight);
        tm_add(&operation->freed_size, weight * size);
    }
}

/* What was settled as done. */
struct settled {
    const struct tm_operation *last;
    unsigned count;
    unsigned adding; /* a block each */
};

static void thread_settle(struct tm_thread *thread, struct settled *settled)
{
    for (int level = TM_OPERATION_LEVELS - 1; level >= 0; level--) {
        struct tm_operation *operation = &thread->operations[level];
        if (tm_operation_settle(operation)) {
            settled->count++;
            settled->adding += operation->stack != 0;
            settled->last = operation->stack ? operation : settled->last;
        }
    }
}

void tm_operation_forked(void)
{
    struct tm_local *local = &tm_local;
    struct tm_thread *thread;
    struct settled settled = {0};
    for (uint64_t i = TM_THREAD_SPARE + 1; (thread = tm_thread_at(i)); i++) {
        if (thread == local->thread) {
            tm_store(&thread->tid, tm_system_tid());
        } else if (tm_load(&thread->state) == TM_THREAD_USED) {
            thread_settle(thread, &settled);
            tm_thread_give(i);
        }
    }
    if (settled.count) {
        tm_blocks_recount(settled.adding == 1 ? settled.last : NULL);
    }
}
