/* totals.h: the memory that is traced, and its peak.
 *
 * Every thread counts in its slot; what readers show as current is the sum. The peak is stored when memory
 * falls after it was reached (until then current is the peak), and the epoch advances with it, so that each
 * stack can keep what it held then. While one thread has ever allocated, that thread's counters are the
 * process's and the peak is exact. With several, a thread folds what it has gained or lost into the root's
 * `current` whenever that is TM_FOLD_BYTES or more.
 */
#ifndef TM_TOTALS_H
#define TM_TOTALS_H

#include "../data.h"
#include "../tables/root.h"
#include "operation.h"
#include "sample.h"

#define TM_FOLD_BYTES (UINT64_C(64) << 10)

struct tm_totals {
    bool single;   /* one thread at most has ever had a slot */
    uint64_t base; /* bytes that other slots contribute while `single`: of the parent's threads, in a fork's
                      child */
};
TM_DATA struct tm_totals tm_totals;

/* A thread got a slot. The second one ends the exact mode. */
void tm_totals_attach(uint64_t index);

/* In the child of a fork: one thread again, whose slot is `index`. */
void tm_totals_forked(uint64_t index);

/* A generation begins: nothing is traced yet. */
void tm_totals_reset(void);

/* Makes the peak what is traced now. */
void tm_totals_reset_peak(void);

/* Sum over all threads of this generation. */
uint64_t tm_totals_current(void);

/* Bytes that the operations which the calling thread has completed in this generation leave. */
uint64_t tm_totals_of_thread(const struct tm_call *call);

void tm_totals_note_peak(uint64_t size);
/* Takes what the thread has gained or lost into the root's `current`; before it falls: the peak with it. */
void tm_totals_fold(const struct tm_call *call);
void tm_totals_fold_before_fall(const struct tm_call *call);
int64_t tm_totals_unfolded_slowly(const struct tm_call *call);

/* What the thread has gained or lost since it was folded. */
TM_HOT int64_t tm_totals_unfolded(const struct tm_call *call)
{
    const struct tm_local *local = call->local;
    if (TM_UNLIKELY(local->nested || tm_load(&local->private->folded_generation) != call->generation)) {
        return tm_totals_unfolded_slowly(call);
    }
    const struct tm_operation *operation = &local->thread->operations[0];
    return (int64_t)(operation->allocated_size - operation->freed_size - tm_load(&local->private->folded));
}

/* To be called when an operation that takes a block of this size away has begun, before the tables or the
 * counters tell so. */
static inline void tm_totals_before_fall(const struct tm_call *call, uint64_t size)
{
    if (TM_UNLIKELY(!tm_load(&tm_totals.single))) {
        int64_t change = tm_totals_unfolded(call) - (int64_t)(size * tm_sample_weight_of(size));
        if (TM_UNLIKELY(change <= -(int64_t)TM_FOLD_BYTES)) {
            tm_totals_fold_before_fall(call);
        }
        return;
    }
    const uint64_t *before = call->operation->before;
    uint64_t own = TM_LIKELY(!call->local->nested) ? before[1] - before[3] : tm_totals_of_thread(call);
    uint64_t current = tm_totals.base + own;
    if (TM_UNLIKELY((int64_t)(current - tm_load(&tm_root->peak)) > 0) &&
        tm_load(&tm_root->generation) == call->generation) {
        tm_totals_note_peak(current);
    }
}

/* To be called when the thread's counters have changed. */
static inline void tm_totals_changed(const struct tm_call *call)
{
    if (TM_UNLIKELY(!tm_load(&tm_totals.single))) {
        int64_t change = tm_totals_unfolded(call);
        if (TM_UNLIKELY(change >= (int64_t)TM_FOLD_BYTES || change <= -(int64_t)TM_FOLD_BYTES)) {
            tm_totals_fold(call);
        }
    }
}

#endif
