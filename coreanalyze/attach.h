/* attach.h: the tracer's tables of a process that runs: found while it runs, copied while it stands. */
#ifndef CA_ATTACH_H
#define CA_ATTACH_H

#include "source/source.h"
#include "table/table.h"

/* Address of the root, whose tables are copied (ca_live_copy); 0 with an error. The process stands still for
 * the copy alone; where it has run another program meanwhile everything is done again. */
uint64_t ca_attach(struct ca_source *source, const char *sysroot, enum ca_route *ret_route,
                   struct ca_error **ret_error);

#endif
