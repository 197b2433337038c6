/* trail.h: the last walk of a thread, kept so that the next one pays for the frames that changed.
 *
 * A walk is a chain of states: program counter, stack pointer and, where what follows depends on it, frame
 * pointer. What comes after a state is decided by that state, by the rules of the code, and by the words of
 * the stack that the rules name. So when a new walk comes upon a state that the last one had, it need not go
 * on: if those words are still what they were, so is the rest. Nothing is assumed about calls, returns,
 * longjmp, exceptions or coroutines, nothing on the stack is changed, and no word is read that a full walk
 * would not read.
 *
 * Only stacks of plain calls are kept, realigned frames among them; one with a signal frame, a guessed frame
 * or a rule that needs other registers is walked in full each time (unwind.h).
 */
#ifndef TM_TRAIL_H
#define TM_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "../unwind.h"
#include "rules.h"

/* A word that the rest of a walk depends on. */
struct tm_trail_check {
    uintptr_t address;
    uintptr_t value;
};

struct tm_trail_state {
    uintptr_t sp;
    uintptr_t pc;
    uintptr_t bp;    /* right only if needs_bp */
    uint64_t rule;   /* of pc, with the frame's id: tm_rules_find() */
    uint64_t hash;   /* of the frames from the outermost to this one */
    uint32_t holder; /* id of a stack that holds the frames up to this one, 0 = none is known */
    uint32_t checks; /* how many words the walk from here on depends on, all of them the first ones */
    bool needs_bp;   /* does the walk from here on depend on bp? */
    uint64_t known;  /* what the owner knows of the traceback that begins here; 0 = nothing yet */
};

struct tm_trail_fresh;

/* The kept walk, outermost state first. All memory is private and stays with the thread's slot. */
struct tm_trail {
    struct tm_trail_state *states;
    struct tm_trail_check *checks;
    struct tm_trail_fresh *fresh; /* of the walk under way, innermost first */
    uint32_t capacity;            /* states that there is room for */
    uint32_t count;
    uint32_t kept;   /* states that the last walk found unchanged */
    uint32_t likely; /* states among which the next walk looks for one that it has, too: as many as the last
                      * walk had of the one before, all where there was none before */
    uint64_t generation; /* of the rules */
    uintptr_t low, high; /* the stack as far as it is known to be mapped */
};

/* Forgets the walk: the stack is another thread's, or a signal handler left a walk half-way. */
void tm_trail_reset(struct tm_trail *trail);

/* Walks; true when the trail then holds the whole stack. False where it must be walked in full. */
bool tm_trail_walk(struct tm_trail *trail, const struct tm_walk_start *start);

/* Ids of the most recent frames, most recent first, at most `limit`; returns how many. */
uint32_t tm_trail_frames(const struct tm_trail *trail, uint32_t *frames, uint32_t limit);

static inline struct tm_trail_state *tm_trail_top(const struct tm_trail *trail)
{
    return &trail->states[trail->count - 1];
}

static inline uintptr_t tm_trail_word(uintptr_t address)
{
    return *(const volatile uintptr_t *)address;
}

static inline bool tm_trail_state_is(const struct tm_trail_state *state, uintptr_t pc, uintptr_t sp,
                                     uintptr_t bp)
{
    return state->sp == sp && state->pc == pc && (!state->needs_bp || state->bp == bp);
}

/* The last of these words that is not what it was; -1 = none. They are read in the order in which a walk
 * would: each is a walk's next one only if those before are the same. */
static inline int64_t tm_trail_check_changed(const struct tm_trail_check *checks, uint32_t count)
{
    const struct tm_trail_check *check = checks + count;
    while (check != checks) {
        check--;
        if (__builtin_expect(tm_trail_word(check->address) != check->value, false)) {
            return check - checks;
        }
    }
    return -1;
}

#endif
