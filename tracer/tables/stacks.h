/* stacks.h: the STACKS and STACK_FRAMES regions: every distinct traceback once. */
#ifndef TM_TABLES_STACKS_H
#define TM_TABLES_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../layout.h"

#define TM_STACK_UNKNOWN 1

bool tm_stacks_init(void);

/* Id of this traceback (frame ids, most recent first, at most 65535); TM_STACK_UNKNOWN for an empty one and when out of
 * memory. */
uint32_t tm_stack_intern(const uint32_t *frames, uint32_t count, uint16_t total_nframe, uint16_t flags);

/* The record; NULL where there is none. */
const struct tm_stack *tm_stack_find(uint32_t id);

/* Frame id `i` of a stack, the most recent being 0; less than stack->own. */
uint32_t tm_stack_frame(const struct tm_stack *stack, size_t i);

#endif
