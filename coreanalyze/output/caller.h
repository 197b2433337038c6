/* caller.h: who calls code that has no name. Debian's sqlite3 allocates from two nameless addresses: without
 * their callers its top 10 would be one line of hex. */
#ifndef CA_OUTPUT_CALLER_H
#define CA_OUTPUT_CALLER_H

#include "listing.h"

#define CA_NO_CALLER UINT32_MAX

/* For each of the statistics shown whose most recent frame has no name: the nearest caller that has one and
 * is no allocator function (else the nearest that has one), as a frame id; of several tracebacks' callers the
 * one with most bytes, then the first by name. CA_NO_CALLER elsewhere. *ret_callers has listing->shown
 * elements, caller frees with free(), or is NULL when there are none to find. */
bool ca_callers_find(const struct ca_listing *listing, uint32_t **ret_callers, struct ca_error **ret_error);

#endif
