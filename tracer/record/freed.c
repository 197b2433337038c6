#include "freed.h"

void tm_freed_note_slowly(struct tm_call *call, const struct tm_block *block, uint32_t domain,
                          uintptr_t address, const struct tm_walk_start *caller, struct tm_going *going)
{
    if (caller) {
        tm_walk(call, caller);
    }
    going->freed = (struct tm_freed){
        .address = address,
        .size = block->size,
        .allocated_stack = block->stack,
        .freed_stack = call->stack,
        .freed_thread = call->local->thread->tid,
        .domain = domain,
    };
    if (caller) {
        call->stack = 0; /* an operation that frees shows none */
    }
    if (block->wide) {
        going->freed.allocated_time = block->wide->time;
        going->freed.allocated_thread = block->wide->thread;
    } else if (tm_root->features & TM_FEATURE_DETAIL) {
        const struct tm_live_detail *detail = (const struct tm_live_detail *)block->cell;
        going->freed.allocated_time = detail->time;
        going->freed.allocated_thread = detail->thread;
    }
}
