/* crash.h: what happened to the process, in words. */
#ifndef CA_COMMAND_CRASH_H
#define CA_COMMAND_CRASH_H

#include "../../source/source.h"
#include "../../util/text.h"

/* True for a signal that says that the process is in trouble, false for none and for those with which it is
 * merely stopped. */
bool ca_signal_is_crash(int32_t signal);

/* "crashed with SIGSEGV: address not mapped, 0x10", "received SIGQUIT, sent by process 12", or "is stopped,
 * it has not crashed". The same for a stopped process and for its core. */
void ca_crash_add_text(struct ca_text *text, const struct ca_process *process);

#endif
