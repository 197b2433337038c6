/* folded.h: tracebacks as one line, "main;load;parse", oldest frame first, for flame graphs. */
#ifndef CA_OUTPUT_FOLDED_H
#define CA_OUTPUT_FOLDED_H

#include "../snapshot/snapshot.h"
#include "../util/text.h"

enum ca_folded_label {
    CA_FOLDED_FUNCTIONS, /* the function, or the file name where that is unknown */
    CA_FOLDED_LINES,     /* FILE:LINE */
    CA_FOLDED_NAMES,     /* the file name */
};

/* frames: frame ids, most recent first. ';' in a name becomes ',', control characters are escaped as for a
 * terminal. */
void ca_folded_add_frames(struct ca_text *text, struct ca_snapshot *snapshot, const uint32_t *frames,
                          size_t count, enum ca_folded_label label);

#endif
