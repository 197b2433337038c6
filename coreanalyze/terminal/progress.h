/* progress.h: how far the command that runs on this thread has come, for who called it (ca_output.progress).
 *
 * The work is done in layers that know nothing of commands: whom they report to belongs to the thread.
 * Reporting where nobody listens costs a load. */
#ifndef CA_TERMINAL_PROGRESS_H
#define CA_TERMINAL_PROGRESS_H

#include "../coreanalyze.h"

/* Who is told from now on, NULL = nobody; borrowed until the next call. Returns who was told before. */
const struct ca_output *ca_progress_listen(const struct ca_output *output);

void ca_progress_report(const struct ca_progress *progress);

/* `done` of `total` things; for loops: it tells every 1024th. */
void ca_progress_count(const char *phase, uint64_t done, uint64_t total);

#endif
