/* speedscope.h: the file format of speedscope, https://www.speedscope.app/file-format-schema.json: sampled
 * profiles.
 *
 * Frames are named as in folded stacks, with file and line where they have one. Weights are bytes, in a
 * second profile blocks; a difference has four profiles, since weights have no sign: bytes grown, bytes
 * shrunk, blocks more, blocks fewer. */
#ifndef CA_OUTPUT_FLAMES_SPEEDSCOPE_H
#define CA_OUTPUT_FLAMES_SPEEDSCOPE_H

#include "flames.h"

/* Without coverage: the caller says it elsewhere. */
void ca_speedscope_write(const struct ca_flames *flames, struct ca_sink *sink);

#endif
