#include "control.h"

#include <linux/membarrier.h>

#include "attach/attach.h"
#include "attach/redirect.h"
#include "host/system.h"
#include "record/operation.h"
#include "record/totals.h"
#include "tables/frames.h"
#include "tables/history.h"
#include "tables/live.h"
#include "tables/modules.h"
#include "tables/stacks.h"
#include "tables/stats.h"
#include "tables/strings.h"
#include "tables/wide.h"

static uint32_t live_key_shift = 4;
static bool tables_are_made;

static uint32_t lock_owner; /* tid; 0 = nobody */
static bool sweep_is_owed;  /* words of older generations may still stand in LIVE */

void tm_control_init(uint32_t key_shift)
{
    live_key_shift = key_shift;
}

/* False for a thread that has the lock already: a signal handler that interrupted it. */
static bool control_lock(void)
{
    uint32_t tid = tm_system_tid();
    while (!tm_swap_if(&lock_owner, 0, tid)) {
        if (tm_load(&lock_owner) == tid) {
            return false;
        }
        tm_system_yield();
    }
    return true;
}

static void control_unlock(void)
{
    tm_publish(&lock_owner, 0);
}

static bool tables_make(void)
{
    uint64_t features = tm_root->features;
    if (!tables_are_made) {
        tables_are_made = tm_threads_init() && tm_modules_init() && tm_strings_init() && tm_frames_init() &&
                          tm_stacks_init() && tm_live_init(live_key_shift, features & TM_FEATURE_DETAIL) &&
                          tm_wide_init() && (!(features & TM_FEATURE_STATS) || tm_stats_init()) && tm_unwind_init() &&
                          (!(features & TM_FEATURE_FREED) || tm_history_init(tm_root->freed_count));
    }
    return tables_are_made;
}

/* Every thread of the process has passed a full memory barrier when this returns: what it stored before is seen here, and
 * what it loads afterwards is what was stored here. Without the system call (before Linux 4.14, or forbidden) a word that
 * was stored at that very moment may be missed by the sweep. */
static void threads_synchronise(void)
{
    if (tm_system(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0) < 0) {
        tm_system(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
        tm_system(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* May this operation of an older generation still be changing tables and counters? That takes some instructions; before and
 * after, while the allocator is at work, it looks at the generation again before it changes anything. */
static bool operation_is_changing(const struct tm_operation *operation, uint64_t generation)
{
    uint32_t code = tm_load_acquire(&operation->code);
    if (code == TM_OPERATION_NONE || code == TM_OPERATION_CONTROL || tm_load(&operation->generation) == generation ||
        (tm_load(&operation->flags) & TM_OPERATION_DONE)) {
        return false;
    }
    bool asks_allocator = code == TM_OPERATION_ALLOCATE || code == TM_OPERATION_REALLOCATE;
    return !asks_allocator || tm_load(&operation->new_address) != 0;
}

/* Waits, but not for ever, until no other thread changes anything for an older generation. */
static void threads_wait(void)
{
    uint64_t generation = tm_root->generation;
    const struct tm_thread *thread;
    unsigned patience = 10000;
    for (uint64_t i = 0; (thread = tm_thread_at(i)); i++) {
        for (int level = 0; level < TM_OPERATION_LEVELS && thread != tm_local.thread; level++) {
            while (patience && operation_is_changing(&thread->operations[level], generation)) {
                tm_system_yield();
                patience--;
            }
        }
    }
}

static void sweep(void)
{
    if (sweep_is_owed) {
        threads_synchronise();
        threads_wait();
        tm_live_sweep(tm_root->generation);
        sweep_is_owed = false;
    }
}

/* Makes all records void. Those of two generations ago must be swept, for the parity is all that live words have. */
static void forget(uint32_t state)
{
    struct tm_root *root = tm_root;
    uint64_t generation = root->generation + 1;
    sweep();
    tm_threads_prepare(generation);
    sweep_is_owed = true;
    tm_store(&root->state, state);
    tm_barrier();
    tm_publish(&root->generation, generation);
    tm_totals_reset();
    sweep();
}

/* The calling thread's slot shows that a control operation is under way, where it has a slot and is not in an operation. */
static struct tm_operation *control_begin(uint32_t request)
{
    struct tm_local *local = &tm_local;
    if (!local->thread || local->level != 0) {
        return NULL;
    }
    struct tm_operation *operation = &local->thread->operations[0];
    operation->stack_pointer = (uintptr_t)__builtin_frame_address(0);
    tm_barrier();
    local->level = 1;
    tm_barrier();
    memcpy(operation->before, &operation->allocated_count, sizeof(operation->before));
    operation->address = request;
    operation->flags = 0;
    tm_barrier();
    tm_publish(&operation->code, TM_OPERATION_CONTROL);
    tm_barrier();
    return operation;
}

static void control_end(struct tm_operation *operation)
{
    tm_barrier();
    if (operation) {
        tm_publish(&operation->code, TM_OPERATION_NONE);
        tm_barrier();
        tm_local.level = 0;
    }
}

/* What is asked for, under the lock. */
static bool control_do(uint32_t request, uint32_t argument)
{
    struct tm_root *root = tm_root;
    bool tracing = root->state == TM_STATE_TRACING;
    switch (request) {
    case TM_REQUEST_START:
        if (tracing || argument < 1 || argument > 65535) {
            return tracing;
        }
        if (root->state != TM_STATE_STOPPED || !tables_make()) {
            tm_root_fail();
            return false;
        }
        root->traceback_limit = argument;
        forget(TM_STATE_STOPPED);
        if (tm_attached) { /* first every call comes here, then they are recorded: no free is missed */
            tm_redirect_begin();
            tm_store(&root->untraced_time, tm_attach_process_age());
        }
        tm_publish(&root->state, TM_STATE_TRACING);
        return true;
    case TM_REQUEST_STOP:
        if (tracing) {
            forget(TM_STATE_STOPPED);
        }
        if (tm_attached) {
            tm_redirect_end();
        }
        return true;
    case TM_REQUEST_CLEAR:
        if (tracing) {
            forget(TM_STATE_TRACING);
        }
        return true;
    case TM_REQUEST_RESET_PEAK:
        if (tracing) {
            tm_totals_reset_peak();
        }
        return true;
    default:
        return false;
    }
}

/* A handler that interrupted the work of another request leaves its own to the next operation. */
static bool control(uint32_t request, uint32_t argument)
{
    if (!control_lock()) {
        tm_root->request_argument = argument;
        tm_publish(&tm_root->request, request);
        return request == TM_REQUEST_START ? tm_root->state != TM_STATE_FAILED : true;
    }
    struct tm_operation *operation = control_begin(request);
    bool done = control_do(request, argument);
    control_end(operation);
    control_unlock();
    return done;
}

bool tm_control_start(uint32_t traceback_limit)
{
    return control(TM_REQUEST_START, traceback_limit);
}

void tm_control_stop(void)
{
    control(TM_REQUEST_STOP, 0);
}

void tm_control_clear(void)
{
    control(TM_REQUEST_CLEAR, 0);
}

void tm_control_reset_peak(void)
{
    control(TM_REQUEST_RESET_PEAK, 0);
}

void tm_control_obey(void)
{
    struct tm_root *root = tm_root;
    uint32_t request = tm_load_acquire(&root->request);
    if (request == TM_REQUEST_NONE || root->state == TM_STATE_INITIALISING || tm_load(&lock_owner) != 0) {
        return;
    }
    control(request, root->request_argument);
    tm_swap_if(&root->request, request, TM_REQUEST_NONE);
}

void tm_control_forked(void)
{
    lock_owner = 0;
}
