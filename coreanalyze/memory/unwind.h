/* unwind.h: the calls on a stack, for memory.c alone. */
#ifndef CA_MEMORY_UNWIND_H
#define CA_MEMORY_UNWIND_H

#include "memory.h"

struct ca_unwound {
    struct ca_stack_frame *frames; /* most recent first; from malloc */
    size_t count;
};

/* At least one frame of a thread whose registers are known. */
bool ca_unwind(struct ca_memory *memory, const struct ca_thread_state *thread, struct ca_unwound *unwound,
               struct ca_error **ret_error);

#endif
