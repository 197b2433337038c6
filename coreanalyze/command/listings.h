/* listings.h: the work that report, top and diff share. */
#ifndef CA_COMMAND_LISTINGS_H
#define CA_COMMAND_LISTINGS_H

#include "run.h"

/* What a target gives for the options of a run. */
struct ca_side {
    struct ca_table *table;       /* the target's */
    struct ca_snapshot *snapshot; /* the target's */
    struct ca_weight *weights;    /* caller frees with free() */
    size_t weight_count;
};

/* On an error there is nothing to free. */
bool ca_side_read(struct ca_side *side, const struct ca_run *run, struct ca_target *target,
                  struct ca_error **ret_error);

/* A listing with what it owns. */
struct ca_listing_owner {
    struct ca_listing listing;
    struct ca_weight *weights;
    struct ca_weight *old_weights; /* diff only */
    size_t old_weight_count;
    struct ca_statistics *stacks; /* by traceback, of --format html, where the listing is not; else NULL */
};

/* The listing of a target as the options say; of two, of what changed from old to new. Caller frees with
 * ca_listing_deinit, also after an error. The targets are borrowed until then. */
bool ca_listing_init(struct ca_listing_owner *owner, struct ca_run *run, struct ca_target *target,
                     struct ca_error **ret_error);
bool ca_listing_init_diff(struct ca_listing_owner *owner, struct ca_run *run, struct ca_target *old_target,
                          struct ca_target *new_target, struct ca_error **ret_error);
void ca_listing_deinit(struct ca_listing_owner *owner);

/* What --fail-over says about it. */
void ca_listing_check(const struct ca_listing_owner *owner, struct ca_run *run);

/* Writes it in the format asked for, with the messages that belong to it, and sets run->partial and
 * run->over. Where the format has no place for coverage, that is a message. */
bool ca_listing_write(struct ca_listing_owner *owner, struct ca_run *run, struct ca_error **ret_error);

#endif
