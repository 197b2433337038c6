/* selection.h: which blocks a command line is about. */
#ifndef CA_COMMAND_SELECTION_H
#define CA_COMMAND_SELECTION_H

#include "../table/table.h"
#include "../target.h"
#include "options.h"

struct ca_selection;

/* Options, table and snapshot are borrowed until ca_selection_destroy. Fails with CA_USAGE for an option that
 * needs what this process did not record. */
struct ca_selection *ca_selection_create(const struct ca_options *options, const struct ca_table *table,
                                         struct ca_snapshot *snapshot, struct ca_error **ret_error);
/* The same for a target whose table and snapshot were not read yet. *ret_snapshot: the target's. */
struct ca_selection *ca_selection_of_target(const struct ca_options *options, struct ca_target *target,
                                            struct ca_snapshot **ret_snapshot, struct ca_error **ret_error);

/* As struct ca_profile_choice asks; context: the selection. */
bool ca_selection_chooses(void *context, const struct ca_trace *trace, bool *ret_keeps,
                          struct ca_error **ret_error);

/* For --by type; borrowed. */
struct ca_types;
void ca_selection_set_types(struct ca_selection *selection, struct ca_types *types);
void ca_selection_destroy(struct ca_selection *selection); /* NULL is allowed */

/* Whether one block is meant. Cheapest for traces in canonical order: equal neighbours are decided once. */
bool ca_selection_keeps(struct ca_selection *selection, const struct ca_trace *trace, bool *ret_keeps,
                        struct ca_error **ret_error);

/* The label of a block for --by type: a string id of the snapshot; 0 without types. */
bool ca_selection_label(struct ca_selection *selection, const struct ca_trace *trace, uint32_t *ret_label,
                        struct ca_error **ret_error);

/* The weights of what is meant, for --value and --by. Blocks are visited one by one only where sizes or ages
 * are asked for. Caller frees with free(). */
bool ca_selection_weights(struct ca_selection *selection, struct ca_weight **ret_weights, size_t *ret_count,
                          struct ca_error **ret_error);

#endif
