/* freed.h: what the history of freed blocks is told of a block that goes. Nothing but a load and a branch
 * where no history is kept.
 *
 * A hook calls tm_freed_note() before it begins the operation, for the block's record and the stack are read
 * there, and tm_freed_keep() when the tables no longer have the block and before another one can take its
 * place (of a block that realloc has moved: as soon as it is known to have).
 */
#ifndef TM_FREED_H
#define TM_FREED_H

#include "../tables/history.h"
#include "blocks.h"

struct tm_going {
    bool wanted;
    struct tm_freed freed;
};

void tm_freed_note_slowly(struct tm_call *call, const struct tm_block *block, uint32_t domain,
                          uintptr_t address, const struct tm_walk_start *caller, struct tm_going *going);

/* caller: where the walk begins; NULL = the call's stack is known already. */
static inline void tm_freed_note(struct tm_call *call, const struct tm_block *block, uint32_t domain,
                                 uintptr_t address, const struct tm_walk_start *caller,
                                 struct tm_going *going)
{
    going->wanted = tm_history_capacity != 0;
    if (TM_UNLIKELY(going->wanted)) {
        tm_freed_note_slowly(call, block, domain, address, caller, going);
    }
}

static inline void tm_freed_keep(const struct tm_call *call, const struct tm_going *going)
{
    if (TM_UNLIKELY(going->wanted)) {
        tm_history_add(call->local->index, &going->freed);
    }
}

#endif
