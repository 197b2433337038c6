/* decode.h: from the bytes of a profile to a snapshot's strings, frames and tracebacks. */
#ifndef CA_PROFILE_DECODE_H
#define CA_PROFILE_DECODE_H

#include "loaded.h"

/* Fills the empty snapshot and *loaded. The error names loaded->path and what in the profile is wrong. */
bool ca_profile_decode(struct ca_snapshot *snapshot, struct ca_loaded *loaded, const uint8_t *bytes,
                       size_t size, struct ca_error **ret_error);

#endif
