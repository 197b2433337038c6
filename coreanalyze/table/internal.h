/* internal.h: what the files of this folder share. */
#ifndef CA_TABLE_INTERNAL_H
#define CA_TABLE_INTERNAL_H

#include "../source/live/image.h"
#include "table.h"

/* ----------------------------------------------------------------------------------- root (find.c) */

enum ca_root_check {
    CA_ROOT_NONE, /* no root here */
    CA_ROOT_GOOD,
    CA_ROOT_BAD,    /* a root that cannot be read: the error says why */
    CA_ROOT_FAILED, /* interrupted or out of memory: the error says so */
};

/* Reads the root at `address` as far as the writer had it; the rest is 0. */
enum ca_root_check ca_root_read(struct ca_source *source, uint64_t address, struct tm_root *root,
                                struct ca_error **ret_error);

/* ------------------------------------------------------------------------------ regions (region.c) */

/* A piece of a region that exists. */
struct ca_segment {
    uint64_t index;   /* of its first element */
    uint64_t base;    /* address */
    uint64_t missing; /* thereof in region.missing */
};

struct ca_region {
    struct tm_region header;
    uint64_t missing;            /* bytes of directories and segments that the source does not have */
    uint64_t segment_bytes;      /* size of each */
    struct ca_segment *segments; /* by index, not overlapping in memory */
    size_t segment_count;
};

/* Reads the directory. Segments that lie on each other or wrap around are left out and counted in *rejected.
 * What is missing of a core is known from here on; of a live target, as the segments are read. */
bool ca_region_read(struct ca_source *source, const struct tm_region *header, struct ca_region *region,
                    uint64_t *rejected, struct ca_error **ret_error);
void ca_region_deinit(struct ca_region *region);

/* Adds the parts of memory that reading the region needs. */
bool ca_region_add_ranges(struct ca_source *source, const struct tm_region *header, struct ca_ranges *ranges,
                          struct ca_error **ret_error);

/* Bytes of a segment: from its start, as many as there are. Free *ret_owned with free(). */
const uint8_t *ca_segment_map(struct ca_source *source, struct ca_region *region, struct ca_segment *segment,
                              size_t *ret_size, void **ret_owned, struct ca_error **ret_error);

/* Elements 0..*ret_count of a dense region as an array of `size` bytes each: the writer's larger elements are
 * cut, smaller ones filled with 0; elements that cannot be read are 0. Caller frees with free(). At least one
 * element (number 0) is always there. */
bool ca_region_copy(struct ca_source *source, struct ca_region *region, size_t size, void **ret_array,
                    size_t *ret_count, struct ca_error **ret_error);

/* ----------------------------------------------------------------------------------- private state */

struct ca_table_private {
    struct ca_source *source;
    struct ca_region *regions; /* every region of a known kind, in the root's order */
    size_t region_count;
    bool traced;          /* there are traces: state is tracing and no clear is asked for */
    bool peak_is_now;     /* the peak is to be reset, or is being so */
    bool is_controlled;   /* a start, stop or clear is in flight */
    uint64_t stack_limit; /* stack ids below were handed out by the tracer, whether or not they can be read */

    struct tm_thread *threads;
    size_t thread_count;
    uint32_t *stack_frames; /* STACK_FRAMES, flat */
    size_t stack_frame_count;

    struct ca_block *wide; /* live blocks of WIDE by domain and address, once wide_read */
    size_t wide_count;
    bool wide_read;

    struct ca_freed *freed; /* of the history, by address and time, once freed_reach is there */
    size_t freed_count;
    uint64_t *freed_reach;

    struct ca_block *overlay; /* blocks that are live although no record says so: of operations in flight */
    size_t overlay_count;
    bool busy; /* some thread's slot has an operation that is not done, in flight or left by longjmp */

    struct ca_change {  /* by an operation that is not DONE and is shown as done */
        uint32_t stack; /* 0 = not known, of a block in WIDE that goes */
        bool removes;
        uint64_t count, size; /* as counters count */
    } * changes;
    size_t change_count;
    uint64_t allocated_count, allocated_size; /* since start, by the threads' counters, operations in flight
                                                 as shown */
    bool settled;                             /* ca_table_settle_counters is done */

    uint64_t count_now; /* live blocks by the threads' counters, operations in flight as shown */
    bool scanned;       /* coverage.blocks and coverage.rejected hold what a scan of the blocks found */
};

/* ---------------------------------------------------- blocks (blocks.c, live.c, wide.c, weights.c) */

/* The live block (domain, address) as its word or WIDE element says, operations in flight left aside. */
bool ca_block_at(struct ca_table *table, uint32_t domain, uint64_t address, struct ca_block *ret_block,
                 bool *ret_found, struct ca_error **ret_error);
/* The live word of an address; 0 = none, not readable, or of an older generation. */
bool ca_live_word(struct ca_table *table, uint64_t address, uint64_t *ret_word, struct ca_error **ret_error);
/* Fills in internal->wide. */
bool ca_wide_read(struct ca_table *table, struct ca_error **ret_error);
/* struct ca_block by domain and address, for qsort. */
int ca_blocks_compare(const void *a, const void *b);
/* The WIDE element in this state (enum tm_wide_state) that a realloc has in its hands: the old block of its
 * address, if it had no live word. */
bool ca_wide_held(struct ca_table *table, const struct tm_operation *operation, uint32_t state,
                  struct ca_block *ret_block, bool *ret_found, struct ca_error **ret_error);
/* Newest time stamp of blocks and of the history of freed ones. */
bool ca_blocks_newest(struct ca_table *table, uint64_t *ret_time, struct ca_error **ret_error);

/* True while the peak is what is live now. */
static inline bool ca_peak_is_now(const struct ca_table *table)
{
    return table->current > table->root.peak || table->internal->peak_is_now;
}

/* The two ways to ca_table_weigh. Counters: *ret_usable false when they cannot be had or do not add up to the
 * totals. */
bool ca_weigh_by_scan(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                      struct ca_error **ret_error);
bool ca_weigh_by_counters(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                          bool *ret_usable, struct ca_error **ret_error);

/* --------------------------------------------------------------------------- operations (flight.c) */

/* Decides every operation in flight; fills in in_flight, overlay, busy, current, peak, count_now and
 * coverage. */
bool ca_flight_read(struct ca_table *table, struct ca_error **ret_error);

/* ------------------------------------------------------------------------ agreement (agreement.c) */

/* Compares what a scan of all blocks found, in all domains, with the threads' counters; sets
 * coverage.disagree. */
void ca_agreement_check_scan(struct ca_table *table, uint64_t blocks, uint64_t size);
/* What a scan found of each stack (stack_count elements, all domains) with its counters, which must be usable
 * (ca_table_has_counters). */
void ca_agreement_check_stacks(struct ca_table *table, const struct ca_stack_weight *weights);
/* The root's numbers with the threads'. */
void ca_agreement_check_root(struct ca_table *table);

/* ------------------------------------------------------------------------------- stacks (stacks.c) */

/* Copies and checks modules, frames and stacks. */
bool ca_stacks_read(struct ca_table *table, struct ca_error **ret_error);
/* Brings the coverage up to date with what the regions miss. */
void ca_table_note_missing(struct ca_table *table);
/* The region of this kind, from which elements are copied; NULL = none. */
struct ca_region *ca_table_region(const struct ca_table *table, uint32_t kind);
bool ca_table_copy(struct ca_table *table, uint32_t kind, size_t size, void **ret_array, size_t *ret_count,
                   struct ca_error **ret_error);

#endif
