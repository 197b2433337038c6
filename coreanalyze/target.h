/* target.h: a process or core as the commands see it. Everything is had when it is first asked for and kept
 * until the target is invalidated or destroyed. Opened and described by the functions in coreanalyze.h. */
#ifndef CA_TARGET_H
#define CA_TARGET_H

#include "coreanalyze.h"
#include "memory/memory.h"
#include "snapshot/moment.h"
#include "snapshot/snapshot.h"
#include "source/source.h"
#include "symbols/symbols.h"
#include "table/table.h"
#include "util/error.h"
#include "util/text.h"

/* What follows is borrowed until ca_target_invalidate, ca_target_set_symbols or ca_target_destroy. An error
 * of finding or reading the table is kept too: asking again gives it again (a new object) without reading
 * again; "interrupted" is not kept. */

/* Lives as long as the target; NULL for a snapshot file or a moment, which have no memory. */
struct ca_source *ca_target_source(struct ca_target *target);
/* The path of a snapshot file or the name of what was kept, NULL for everything else. A snapshot file has a
 * table without stacks and blocks, for its coverage, and a symbolizer without modules; its names are in the
 * snapshot. */
const char *ca_target_snapshot_file(const struct ca_target *target);
/* NULL with an error: no tracer found, a newer layout, ... */
struct ca_table *ca_target_table(struct ca_target *target, struct ca_error **ret_error);
/* Before anything is asked for: memory will be, so that of a process that runs all of it is copied at the
 * moment at which the tables are. Of other targets nothing is copied. */
void ca_target_want_memory(struct ca_target *target);
/* Over ca_target_table()->modules. */
struct ca_symbolizer *ca_target_symbolizer(struct ca_target *target, struct ca_error **ret_error);
/* Its object files, threads and stacks. NULL with an error, always so for what has no memory. */
struct ca_memory *ca_target_memory(struct ca_target *target, struct ca_error **ret_error);
/* Allocator frames are left out as `skip` (extra function globs, copied) and no_skip say. The snapshots of
 * different skip options are kept beside each other. */
struct ca_snapshot *ca_target_snapshot(struct ca_target *target, const char *const *skip, size_t skip_count,
                                       bool no_skip, struct ca_error **ret_error);

/* Other places to look for symbols, for a command line that names some; copied. Drops symbolizer and
 * snapshots when they differ from what is set. */
bool ca_target_set_symbols(struct ca_target *target, const struct ca_symbol_options *options,
                           struct ca_error **ret_error);
/* What is set now; borrowed. */
const struct ca_symbol_options *ca_target_symbols(const struct ca_target *target);

/* A snapshot file that is in memory: plain bytes of a profile (takes ownership, also on error; from malloc).
 * name: copied. */
struct ca_target *ca_target_create_kept(const char *name, char *bytes, size_t size,
                                        struct ca_error **ret_error);
/* A moment of the process that `base` is; both are borrowed until base changes, and it must be destroyed
 * before. */
struct ca_target *ca_target_create_moment(const struct ca_moment *moment, struct ca_target *base,
                                          struct ca_error **ret_error);
/* The sum of several targets (profile/merge.h), which was made with these skip options and answers no others;
 * takes ownership of it, also on error. */
struct ca_target *ca_target_create_sum(const char *name, struct ca_snapshot *sum, const char *const *skip,
                                       size_t skip_count, bool no_skip, struct ca_error **ret_error);
/* Whatever the target is, as the bytes of a snapshot file before compression, added to *text. */
bool ca_target_snapshot_bytes(struct ca_target *target, struct ca_text *text, struct ca_error **ret_error);

/* True for a core file: its process will not run again. */
bool ca_target_is_core(const struct ca_target *target);

#endif
