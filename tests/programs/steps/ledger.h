/* ledger.h: what a process holds, known from the arguments and results of its calls of the malloc family
 * alone, and what a view of it may look like while some of these calls are under way. */
#ifndef STEPS_LEDGER_H
#define STEPS_LEDGER_H

#include "view.h"

enum call_kind {
    CALL_ALLOCATE,
    CALL_FREE,
    CALL_REALLOCATE,
    CALL_TRACK,
    CALL_UNTRACK,
    CALL_CLEAR,
    CALL_RESET_PEAK
};

/* A call under way. */
struct call {
    enum call_kind kind;
    uint32_t domain;
    uint64_t address; /* of the block that goes or moves, or of the one that is tracked */
    uint64_t size;    /* of the new block */
    bool known;       /* address is in the ledger */
    bool after;       /* was shown as done: never as undone again */
};

enum { CALLS_MAX = 8, FREED_MAX = 8 };

struct ledger {
    struct view_block *blocks;
    size_t count, capacity;
    struct view_sums total, peak; /* by traceback; peak: what was live at the peak */
    uint64_t current_bytes;
    uint64_t peak_least, peak_most; /* the same unless a call returned while another was under way */
    bool has_fallen; /* since the peak: what comes to the same height is not the peak's composition */
    struct call *calls[CALLS_MAX]; /* under way, in any thread and at any level */
    size_t call_count;
    uint32_t threads;                   /* that ever allocated: the peak is exact with one */
    struct view_block freed[FREED_MAX]; /* the last ones, oldest first */
    size_t freed_count;
    size_t left;         /* calls that were left by an exception: the tracer notices when it is called by the
                            function that caught it, or by one of its callers, and shows them in flight until then */
    bool peak_is_unsure; /* ... or a call was left by longjmp, or this is a fork's child: its composition is
                            not compared */
};

/* Takes what the view holds for true: everything is compared with it from then on. */
void ledger_begin(struct ledger *ledger, const struct view *view);
void ledger_copy(struct ledger *to, const struct ledger *from);
void ledger_deinit(struct ledger *ledger);

bool ledger_has(const struct ledger *ledger, uint32_t domain, uint64_t address, struct view_block *ret_block);

void ledger_call_begin(struct ledger *ledger, struct call *call);

/* Holds the view against the ledger; false with a line in view->error. `resting`: no call is under way in the
 * thread that was stopped, at any level. */
bool ledger_check(struct ledger *ledger, struct view *view, bool resting);

/* The freed blocks that a history of the last `kept` ones must give for their addresses (of a single thread,
 * and of untracked ones, too): those that neither a block nor a later one nor a call under way may stand for.
 */
size_t ledger_freed(const struct ledger *ledger, const struct view *view, size_t kept,
                    struct view_block ret_freed[FREED_MAX]);

/* The call has returned `result` (an address, or tm_track's answer). The view, read after that, must show it
 * done. */
bool ledger_call_end(struct ledger *ledger, struct call *call, uint64_t result, struct view *view);

/* The call will never return: it was done or not, whichever the view shows. */
bool ledger_call_abandon(struct ledger *ledger, struct call *call, struct view *view);

/* Follows a call without a view. Totals and peaks by traceback are not known after it: see ledger_resume. */
void ledger_call_count(struct ledger *ledger, struct call *call, uint64_t result);
/* Blocks and sums must be those of the ledger; their tracebacks are taken from the view. */
bool ledger_resume(struct ledger *ledger, struct view *view);

#endif
