/* case.h: what the parts of the report share: the crashed thread and what is known of it. */
#ifndef CA_COMMAND_CASE_H
#define CA_COMMAND_CASE_H

#include <signal.h>

#include "../address/told.h"

struct ca_case {
    struct ca_teller teller;
    const struct ca_process *process;
    const struct ca_thread_state *thread; /* that got the signal */
    size_t thread_number;                 /* among the memory's */
    const struct ca_stack_frame *frames;  /* its stack */
    size_t frame_count;
    siginfo_t information; /* all 0 = not known */
    /* The operation of the tracer from within which the thread crashed; NULL = none. Its code may be NONE:
     * then free was given something that is no block, its address. */
    const struct tm_operation *operation;
};

/* *ret_found false: the process has not crashed, or nothing is known of the thread. */
bool ca_case_open(struct ca_case *crash, struct ca_run *run, bool *ret_found, struct ca_error **ret_error);

/* "Stack of thread 4711:" and its calls, most recent last. */
bool ca_case_add_stack(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error);

/* What the fault, the registers and the stack say about blocks. */
bool ca_case_add_evidence(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error);
/* What the allocator says before it aborts, what it was doing, and what is wrong with its memory. */
bool ca_case_add_allocator(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error);
/* The first place where malloc's words between the blocks are overwritten, and by which blocks' neighbours.
 * extra: a block that is being freed, or NULL. *ret_count: such places, as far as they were looked for. */
bool ca_case_add_damages(const struct ca_case *crash, struct ca_text *text, const struct ca_block *extra,
                         size_t *ret_count, struct ca_error **ret_error);
/* Why there was no memory, when that is what it died of. */
bool ca_case_add_growth(const struct ca_case *crash, struct ca_run *run, struct ca_text *text,
                        struct ca_error **ret_error);

#endif
