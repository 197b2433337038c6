/* process.h: the program and the command line of the target, read from the target's own memory, so that they are
 * the same whether a core file or a live process is looked at. */
#ifndef CA_SOURCE_PROCESS_H
#define CA_SOURCE_PROCESS_H

#include "internal.h"

/* Sets program and arguments of source->process where the target tells them; what it does not tell stays. The
 * memory, the mappings and the auxiliary vector are there already. False when interrupted. */
bool ca_process_complete(struct ca_source *source);

#endif
