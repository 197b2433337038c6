#include "totals.h"

#include "../host/system.h"

struct tm_totals tm_totals = {.single = true};

static uint32_t attached;

static uint64_t operation_sum(const struct tm_operation *operation, uint64_t generation)
{
    if (tm_load(&operation->generation) != generation) {
        return 0;
    }
    return tm_load(&operation->allocated_size) - tm_load(&operation->freed_size);
}

static uint64_t thread_sum(const struct tm_thread *thread, uint64_t generation)
{
    uint64_t sum = 0;
    for (int level = 0; level < TM_OPERATION_LEVELS; level++) {
        sum += operation_sum(&thread->operations[level], generation);
    }
    return sum;
}

static uint64_t folded_of(const struct tm_thread_private *private, uint64_t generation)
{
    return tm_load(&private->folded_generation) == generation ? tm_load(&private->folded) : 0;
}

static void folded_set(struct tm_thread_private *private, uint64_t generation, uint64_t folded)
{
    tm_store(&private->folded, folded); /* once on behalf of another thread: totals_share() */
    tm_store(&private->folded_generation, generation);
}

/* Takes every slot's counters into `current` on behalf of its thread, which does not do so while `single`. */
static void totals_share(void)
{
    uint64_t generation = tm_load(&tm_root->generation);
    uint64_t current = 0;
    const struct tm_thread *thread;
    for (uint64_t i = 0; (thread = tm_thread_at(i)); i++) {
        struct tm_thread_private *private = tm_thread_private_of(i);
        uint64_t sum = thread_sum(thread, generation);
        if (private) {
            folded_set(private, generation, sum);
        }
        current += sum;
    }
    tm_store(&tm_root->current, current);
    tm_store(&tm_root->fold_bytes, TM_FOLD_BYTES);
    tm_publish(&tm_totals.single, false);
}

void tm_totals_attach(uint64_t index)
{
    (void)index;
    if (tm_add(&attached, 1) == 1) {
        totals_share();
    }
}

void tm_totals_forked(uint64_t index)
{
    uint64_t generation = tm_root->generation;
    const struct tm_thread *thread = tm_thread_at(index);
    uint64_t own = thread ? thread_sum(thread, generation) : 0;
    attached = thread ? 1 : 0;
    tm_totals.base = tm_totals_current() - own;
    tm_root->fold_bytes = 0;
    tm_totals.single = true;
}

void tm_totals_reset(void)
{
    tm_totals.base = 0;
    tm_store(&tm_root->current, 0);
    tm_store(&tm_root->peak, 0);
    tm_add(&tm_root->peak_epoch, 1);
}

void tm_totals_reset_peak(void)
{
    uint64_t current = tm_totals_current();
    tm_add(&tm_root->peak_epoch, 1);
    tm_barrier();
    tm_store(&tm_root->peak, current);
}

uint64_t tm_totals_current(void)
{
    uint64_t generation = tm_load(&tm_root->generation);
    uint64_t current = 0;
    const struct tm_thread *thread;
    for (uint64_t i = 0; tm_threads && (thread = tm_thread_at(i)); i++) {
        current += thread_sum(thread, generation);
    }
    return (int64_t)current < 0 ? 0 : current;
}

uint64_t tm_totals_of_thread(const struct tm_call *call)
{
    const struct tm_local *local = call->local;
    if (TM_LIKELY(!local->nested)) {
        return operation_sum(&local->thread->operations[0], call->generation);
    }
    return thread_sum(local->thread, call->generation);
}

/* The epoch goes first: what every stack holds now is what it holds at the peak. */
void tm_totals_note_peak(uint64_t size)
{
    uint64_t peak = tm_load(&tm_root->peak);
    if (size <= peak) {
        return;
    }
    tm_add(&tm_root->peak_epoch, 1);
    tm_barrier();
    while (size > peak && !tm_swap_if(&tm_root->peak, peak, size)) {
        peak = tm_load(&tm_root->peak);
    }
}

int64_t tm_totals_unfolded_slowly(const struct tm_call *call)
{
    return (int64_t)(tm_totals_of_thread(call) - folded_of(call->local->private, call->generation));
}

/* The fold that this fall would bring comes before it: what the stacks hold now is then the peak's
 * composition, and lacks no more than what threads have not folded yet, however large the block is. */
void tm_totals_fold_before_fall(const struct tm_call *call)
{
    if (tm_load(&tm_root->generation) != call->generation) {
        return;
    }
    uint64_t change = (uint64_t)tm_totals_unfolded(call);
    uint64_t current = tm_add(&tm_root->current, change) + change;
    folded_set(call->local->private, call->generation, tm_totals_of_thread(call));
    if ((int64_t)current > 0) {
        tm_totals_note_peak(current);
    }
}

void tm_totals_fold(const struct tm_call *call)
{
    if (tm_load(&tm_root->generation) != call->generation) {
        return;
    }
    int64_t change = tm_totals_unfolded(call);
    uint64_t before = tm_add(&tm_root->current, (uint64_t)change);
    folded_set(call->local->private, call->generation, tm_totals_of_thread(call));
    if (change < 0 && (int64_t)before > 0) {
        tm_totals_note_peak(before);
    }
}
