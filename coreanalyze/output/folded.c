/* folded.c: one line per traceback. */
#include "folded.h"

#include <inttypes.h>
#include <string.h>

static void add_label(struct ca_text *text, const char *name)
{
    size_t start = text->size;
    ca_text_add_name(text, name);
    if (text->failed || text->size == start) {
        return;
    }
    for (char *at = text->bytes + start; (at = strchr(at, ';'));) {
        *at = ',';
    }
}

void ca_folded_add_frames(struct ca_text *text, struct ca_snapshot *snapshot, const uint32_t *frames,
                          size_t count, enum ca_folded_label label)
{
    for (size_t i = count; i-- > 0;) {
        const struct ca_frame *frame = ca_snapshot_frame(snapshot, frames[i]);
        bool by_function = label == CA_FOLDED_FUNCTIONS && frame->function;
        add_label(text, ca_snapshot_string(snapshot, by_function ? frame->function : frame->filename));
        if (label == CA_FOLDED_LINES) {
            ca_text_printf(text, ":%" PRIu32, frame->lineno);
        }
        ca_text_add(text, i ? ";" : "");
    }
}
