/* merge.h: the sum of several snapshots as one snapshot, as if all their blocks were one process's.
 *
 * What is added is copied, so that each source can be closed before the next one is opened. Tracebacks meet
 * by what they show (file names, lines, functions, modules), never by address: runs, hosts and ASLR do not
 * matter. The sum is what a snapshot file of it would be (loaded.h) and is used like one.
 */
#ifndef CA_PROFILE_MERGE_H
#define CA_PROFILE_MERGE_H

#include "profile.h"

struct ca_merge;

/* What the sum keeps of its sources. */
struct ca_merge_shape {
    bool tracebacks; /* false: all blocks have an empty one; then the sum has the keys domain, thread, type
                        and source alone */
    bool
        positions; /* addresses and modules of the code, as snapshot files have them: two builds stay apart */
    bool threads;  /* ids of threads; those of different processes that are equal are one */
    bool labels;   /* what the weights are labelled with, else the source's name */
};

/* skip, no_skip: as in ca_snapshot_from_table; copied. Caller frees with ca_merge_destroy. */
struct ca_merge *ca_merge_create(const struct ca_merge_shape *shape, const char *const *skip,
                                 size_t skip_count, bool no_skip, struct ca_error **ret_error);
void ca_merge_destroy(struct ca_merge *merge); /* NULL is allowed */

/* Adds weights of `from`, which are values of this kind. After an error the sum is not to be used. */
bool ca_merge_add_weights(struct ca_merge *merge, const char *name, struct ca_snapshot *from,
                          enum ca_value value, const struct ca_weight *weights, size_t count,
                          struct ca_error **ret_error);
/* Adds all that a snapshot file of `from` would hold: the live blocks by their sizes, and what the stacks
 * have of totals and peaks, which the sum has where all sources do. choice NULL = all. Likewise. */
bool ca_merge_add_blocks(struct ca_merge *merge, const char *name, struct ca_snapshot *from,
                         const struct ca_profile_choice *choice, struct ca_error **ret_error);
/* Once for each source, when it has been read: the sum rests on that as well. */
void ca_merge_add_coverage(struct ca_merge *merge, const struct ca_coverage *coverage,
                           uint32_t traceback_limit);
/* A source that could not be read. */
void ca_merge_add_unread(struct ca_merge *merge);

/* The sum; nothing can be added after it. Caller frees with ca_snapshot_destroy; NULL with an error. */
struct ca_snapshot *ca_merge_finish(struct ca_merge *merge, struct ca_error **ret_error);

#endif
