/* suppressions.h: leaks that are known, as the suppression files of LeakSanitizer name them.
 *
 * A line is "leak:PATTERN", empty, or a comment that begins with '#'; blanks before it and after it do not
 * count. A pattern matches a name that it is part of. '*' stands for any characters, '^' at its beginning and
 * '$' at its end for those of the name. Names are the function, the source file and the module (path) of any
 * frame of the block's traceback, allocator functions too. Functions have no parameters here: those of a
 * pattern do not count. */
#ifndef CA_COMMAND_LEAKS_SUPPRESSIONS_H
#define CA_COMMAND_LEAKS_SUPPRESSIONS_H

#include "../../snapshot/snapshot.h"
#include "../options.h"

struct ca_suppression {
    char *pattern;                 /* as it is written */
    char *glob;                    /* of the whole name, '*' being any characters */
    char *function;                /* glob of functions; NULL = as the others */
    const char *file;              /* where it stands, as the user named it; borrowed from the options */
    size_t line;                   /* from 1 */
    unsigned __int128 size, count; /* that it has suppressed, for the caller */
};

struct ca_suppressions {
    struct ca_suppression *items; /* in the order of the files */
    size_t count, capacity;
    uint32_t *verdicts; /* by frame id of one snapshot: 0 = not known, 1 = none matches, else number + 2 */
    size_t verdict_count;
};

/* Adds those of a file. Fails with CA_USAGE and FILE:LINE. Caller frees with ca_suppressions_deinit, also
 * after an error. */
bool ca_suppressions_read(struct ca_suppressions *suppressions, const char *file,
                          struct ca_error **ret_error);
void ca_suppressions_deinit(struct ca_suppressions *suppressions);

/* The suppression that matches the most recent of the frames that one matches; NULL = none does. It is always
 * the same snapshot, with allocator functions. */
bool ca_suppressions_find(struct ca_suppressions *suppressions, struct ca_snapshot *snapshot,
                          uint32_t traceback, struct ca_suppression **ret_found, struct ca_error **ret_error);

/* The glob matches the whole of a name that is not empty. */
bool ca_suppression_matches(const char *glob, const char *name);

#endif
