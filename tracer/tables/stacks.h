/* stacks.h: the STACKS and STACK_FRAMES regions: every distinct traceback once. */
#ifndef TM_TABLES_STACKS_H
#define TM_TABLES_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../layout.h"

#define TM_STACK_UNKNOWN 1

bool tm_stacks_init(void);

struct tm_traceback {
    const uint32_t *frames; /* ids, most recent first */
    uint32_t count;         /* at most 65535 */
    uint16_t total_nframe;
    uint16_t flags;
    /* Where the caller knows a stack that has the frames behind the first `own` ones, all of them: its id,
     * and how many of its oldest frames come after those. 0 = it knows none. */
    uint32_t parent;
    uint16_t own;
    uint16_t omitted;
};

/* Id of this traceback; TM_STACK_UNKNOWN for an empty one and when out of memory. *ret_added: it was not
 * there before. */
uint32_t tm_stack_intern(const struct tm_traceback *traceback, bool *ret_added);

/* Id of the same traceback for blocks of another domain: the stack is one of domain 0. TM_STACK_UNKNOWN when
 * out of memory. */
uint32_t tm_stack_of_domain(uint32_t stack, uint32_t domain);

/* The record; NULL where there is none. */
const struct tm_stack *tm_stack_find(uint32_t id);

/* Frame id `i` of a stack, the most recent being 0; less than its depth. */
uint32_t tm_stack_frame(const struct tm_stack *stack, size_t i);

static inline uint32_t tm_stack_depth(const struct tm_stack *stack)
{
    return (uint32_t)stack->own + stack->shared;
}

#endif
