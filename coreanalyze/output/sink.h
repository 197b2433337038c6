/* sink.h: where a command's answer goes: the caller's stream 1, or the file of -o, which changes only when
 * the answer is complete. */
#ifndef CA_OUTPUT_SINK_H
#define CA_OUTPUT_SINK_H

#include "../util/error.h"
#include "../util/text.h"

struct ca_sink {
    const struct ca_output *output;
    struct ca_text
        text; /* what is to be written: add here, then call ca_sink_flush; names are escaped (escape_names) */
    const char *path; /* as the user gave it; NULL = stream 1 */
    char *target;     /* the file that is replaced in the end; NULL: written to directly */
    char *temporary;  /* beside it */
    int descriptor;   /* of the file; -1 = none */
    int failure;      /* errno of the first write to the file that failed */
};

/* path: borrowed until the sink is closed; NULL or "-" = stream 1. A file that is there keeps its mode, a
 * symbolic link its target; what is no regular file (a pipe, /dev/null) is written to directly. On error
 * there is nothing to close. */
bool ca_sink_open(struct ca_sink *sink, const struct ca_output *output, const char *path,
                  struct ca_error **ret_error);
/* Hands on what was added. Cheap while little was, so that it can be called after every line. */
void ca_sink_flush(struct ca_sink *sink);
/* The answer is complete: writes the rest and puts the file in place. Closes the sink either way. */
bool ca_sink_commit(struct ca_sink *sink, struct ca_error **ret_error);
/* There is no answer: what was not handed on is forgotten, the file is left as it was. */
void ca_sink_abandon(struct ca_sink *sink);

#endif
