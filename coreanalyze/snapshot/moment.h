/* moment.h: what each stack held at one moment, kept while the process goes on.
 *
 * A moment is sums per stack and domain and no names: it costs time and memory by the number of stacks, not
 * of blocks. Stack ids stay valid as long as the process keeps its tables, so that the names can be had
 * later, from the tables as they then are.
 */
#ifndef CA_SNAPSHOT_MOMENT_H
#define CA_SNAPSHOT_MOMENT_H

#include "snapshot.h"

struct ca_moment;

/* Of the table that `snapshot` was made from. Fails with CA_NOTHING, without looking at a block, where the
 * sums would take a scan of more blocks than can be read at every stop. Caller frees with ca_moment_destroy.
 */
struct ca_moment *ca_moment_create(struct ca_table *table, struct ca_snapshot *snapshot,
                                   struct ca_error **ret_error);
/* void ca_moment_destroy(struct ca_moment *): coreanalyze.h */

/* Whether these are the tables that the moment's stack ids are of; CA_NOTHING if not. */
bool ca_moment_check(const struct ca_moment *moment, const struct ca_table *table,
                     struct ca_error **ret_error);
const struct ca_coverage *ca_moment_coverage(const struct ca_moment *moment);
/* What selections ask of a table: features, traceback limit and newest time stamp are written to *table. */
void ca_moment_describe(const struct ca_moment *moment, struct ca_table *table);
/* As ca_snapshot_weights, without threads. */
bool ca_moment_weights(const struct ca_moment *moment, enum ca_value value, struct ca_weight **ret_weights,
                       size_t *ret_count, struct ca_error **ret_error);
/* Fails with CA_USAGE: `what` is not known of a moment; says what to do. */
bool ca_moment_refuse(const char *what, struct ca_error **ret_error);

/* The moment as a snapshot: as ca_snapshot_from_table, with the moment's weights and coverage. The moment is
 * borrowed too. */
struct ca_snapshot *ca_snapshot_from_moment(const struct ca_moment *moment, struct ca_table *table,
                                            struct ca_symbolizer *symbolizer, const char *const *skip,
                                            size_t skip_count, bool no_skip, struct ca_error **ret_error);

#endif
