/* proof.h: a build for tests (CPPFLAGS=-DTM_PROVE_WALKS) that walks every stack in full as well, and
 * compares.
 *
 * Whatever tm_walk() answers, recalled, kept or walked, must be what tm_unwind() finds in the same place:
 * frames, depth and flags. At the first difference the process says what it is and aborts. When it ends, it
 * adds a line of totals to the file that TM_PROOF names.
 */
#ifndef TM_PROOF_H
#define TM_PROOF_H

#include <stdbool.h>

struct tm_call;
struct tm_walk_start;

#ifdef TM_PROVE_WALKS

/* The stack of the call was found; recalled: by tm_memo_recall(). */
void tm_proof_walk(struct tm_call *call, const struct tm_walk_start *caller, bool recalled);

#else

static inline void tm_proof_walk(struct tm_call *call, const struct tm_walk_start *caller, bool recalled)
{
    (void)call;
    (void)caller;
    (void)recalled;
}

#endif
#endif
