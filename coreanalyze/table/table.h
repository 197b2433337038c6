/* table.h: the tracer's tables, checked: every address, index, size and hash of the layout is untrusted until
 * here. */
#ifndef CA_TABLE_TABLE_H
#define CA_TABLE_TABLE_H

#include "../../tracer/layout.h"
#include "../source/source.h"

enum ca_route { /* how the root was found; each can be tried alone */
                CA_ROUTE_PREFERRED = 1,
                CA_ROUTE_SYMBOL =
                    2,             /* the caller's hint, else .dynsym of the files of the target's modules */
                CA_ROUTE_NOTE = 4, /* ELF note in the dumped first page of a module */
                CA_ROUTE_SCAN = 8, /* page starts of all readable memory */
                CA_ROUTE_ALL = 15,
};

/* Address of a root whose magic, byte order, self address and sizes are right; 0 with an error (CA_NOTHING):
 * no tracer found, a newer major version (both versions named), ... */
uint64_t ca_table_find(struct ca_source *source, const char *sysroot, unsigned routes,
                       enum ca_route *ret_route, struct ca_error **ret_error);

struct ca_module {
    uint64_t start, end, bias;
    uint64_t loaded_time, unloaded_time; /* ns since the epoch; unloaded 0 = still loaded */
    char *path;                          /* as the process had it; may be "" */
    uint8_t build_id[TM_BUILD_ID_MAX];
    uint32_t build_id_length;
};

struct ca_block {
    uint64_t address, size;
    uint64_t time, order; /* 0 without detail */
    uint32_t domain, stack, thread;
};

/* How many blocks of its size a recorded one stands for: 1 unless only samples were recorded. */
static inline uint64_t ca_block_weight(uint64_t sample_bytes, uint64_t size)
{
    return sample_bytes ? tm_sample_count(size, sample_bytes) : 1;
}

/* An operation that was under way. */
struct ca_in_flight {
    uint32_t tid;
    uint32_t level;
    uint32_t code;  /* enum tm_operation_code */
    bool after;     /* shown as already done */
    bool ambiguous; /* cannot be told in full: the answer is partial */
    uint64_t address, new_address, size;
};

/* What the answer rests on; every command prints it. */
struct ca_coverage {
    uint64_t blocks;
    uint64_t dropped; /* blocks not recorded, counted by the tracer */
    uint64_t dropped_size;
    uint64_t in_flight;
    uint64_t sample_bytes;  /* 0 = every block */
    uint64_t untraced_time; /* ns of the process that were not traced: blocks from then are unknown; 0 = none */
    uint64_t rejected;      /* records whose checks failed */
    uint64_t missing_bytes; /* of tables that the source does not have */
    bool bypassed;          /* the program has a malloc of its own: what that does not hand on is unknown */
    bool truncated;         /* missing_bytes or a truncated source: totals are lower bounds */
    bool disagree;          /* records and counters contradict each other: sizes may be wrong */

    /* Of a sum of several sources (profile/merge.h), 0 elsewhere. */
    uint64_t sources;            /* that were added up */
    uint64_t unread;             /* that could not be read: what they held is missing */
    uint64_t sampled;            /* of the sources; sample_bytes is the largest of theirs then */
    uint64_t least_sample_bytes; /* the smallest of theirs */
};

/* The counters of one stack, of all threads together. */
struct ca_stack_stats {
    uint64_t live_count, live_size;
    uint64_t total_count, total_size; /* since start */
    uint64_t peak_count, peak_size;   /* live at the moment of the process's peak */
};

struct ca_table {
    struct tm_root root; /* as read; fields the writer did not have are 0 */
    uint64_t address;    /* of the root */
    enum ca_route route;
    struct ca_module *modules; /* index = module index; [0] is unused */
    size_t module_count;
    struct tm_frame *frames; /* index = frame id; [0] is unused */
    size_t frame_count;
    struct tm_stack *stacks; /* index = stack id; a record that failed its check (then 1), or has none (0), has
                                depth 0 and flag BROKEN */
    size_t stack_count;
    struct ca_stack_stats *stats; /* index = stack id; NULL without TM_FEATURE_STATS */
    struct ca_in_flight *in_flight;
    size_t in_flight_count;
    struct ca_coverage coverage; /* blocks: from counters until the blocks were read */
    uint64_t current, peak;      /* bytes, exact as design says; operations in flight as shown */
    uint64_t newest_time;        /* newest time stamp in the tables, ns; 0 without detail */
    struct ca_table_private *internal;
};

/* The parts of memory that reading the tables needs, for a source that copies them (source/live/live.h).
 * False with an error where no root is at the address any more. */
struct ca_ranges;
bool ca_table_add_ranges(struct ca_source *source, uint64_t root, struct ca_ranges *ranges,
                         struct ca_error **ret_error);
struct ca_table *ca_table_read(struct ca_source *source, uint64_t root, struct ca_error **ret_error);
/* One without anything but an unused first module, frame and stack. */
struct ca_table *ca_table_create_empty(struct ca_error **ret_error);
void ca_table_destroy(struct ca_table *table);

/* Frame ids of a stack, most recent first, at most `capacity`; returns the depth. */
size_t ca_table_stack(const struct ca_table *table, uint32_t stack, uint32_t *frames, size_t capacity);

/* Live count and size per stack (index = stack id, stack_count elements, caller frees with free()), domain by
 * domain: of every domain when domain is UINT32_MAX. Exact: from the live words, operations in flight as
 * shown. */
struct ca_stack_weight {
    uint64_t count, size;
};
bool ca_table_weigh(struct ca_table *table, uint32_t domain, struct ca_stack_weight **ret_weights,
                    struct ca_error **ret_error);
/* True when ca_table_weigh needs counters alone, whose number is that of the stacks, and looks at no block of
 * domain 0. */
bool ca_table_has_counters(const struct ca_table *table);
/* Makes totals and peaks in `stats` exact where operations are in flight: as these are shown. Where that cannot be
 * told, they are marked as ambiguous. To be called before they are used. */
bool ca_table_settle_counters(struct ca_table *table, struct ca_error **ret_error);
/* Bytes that were allocated since start. */
uint64_t ca_table_allocated(const struct ca_table *table);
/* Compares the counters of the stacks, settled, with those of the threads; sets coverage.disagree. peak: the
 * peaks, too. For answers that rest on them alone; the table must have `stats`. */
void ca_agreement_check_counters(struct ca_table *table, bool peak);
/* The innermost live block that `address` lies in, of any domain: from its first byte to its last; of a block
 * of 0 bytes the address itself. *ret_found false: none. */
bool ca_table_block_around(struct ca_table *table, uint64_t address, struct ca_block *ret_block,
                           bool *ret_found, struct ca_error **ret_error);
/* The live block that begins at `address` and has that size; foreign: of any domain but 0. For blocks that
 * ca_table_each_block gave. */
bool ca_table_block_at(struct ca_table *table, uint64_t address, uint64_t size, bool foreign,
                       struct ca_block *ret_block, bool *ret_found, struct ca_error **ret_error);
/* The live blocks of a domain that begin nearest to an address: at or before it, and after it. */
struct ca_neighbours {
    struct ca_block before, after;
    bool has_before, has_after;
};
bool ca_table_neighbours(struct ca_table *table, uint32_t domain, uint64_t address,
                         struct ca_neighbours *ret_neighbours, struct ca_error **ret_error);

/* A block that was freed, untracked, or moved by realloc. */
struct ca_freed {
    struct ca_block block; /* as it was when it lived; time and thread 0 without detail, order 0 */
    uint64_t order;        /* of the free among those of its shard */
    uint64_t time;         /* of the free, ns since the epoch */
    uint32_t thread;       /* that freed it */
    uint32_t stack;        /* of the free; 1 = unknown */
};
/* All that the history has, by address and time of the free; borrowed until the table is destroyed. None
 * without TM_FEATURE_FREED. */
bool ca_table_history(struct ca_table *table, const struct ca_freed **ret_freed, size_t *ret_count,
                      struct ca_error **ret_error);
/* The one freed last of those that `address` lies in. Nothing is said about what lives there now. */
bool ca_table_freed_around(struct ca_table *table, uint64_t address, struct ca_freed *ret_freed,
                           bool *ret_found, struct ca_error **ret_error);

/* The TM_OPERATION_LEVELS operations that the slot of a thread shows: those that are under way, and what the
 * last ones left. NULL = it has no slot. Borrowed until the table is destroyed. */
const struct tm_operation *ca_table_operations(const struct ca_table *table, uint32_t tid);
/* Whether glibc's malloc is the allocator below the tracer. */
bool ca_table_is_glibc(const struct ca_table *table);

/* Whether the address lies in the tracer's root, in one of its tables or in a directory of them. */
bool ca_table_owns(const struct ca_table *table, uint64_t address);
/* Calls `each` with these ranges, in no order; stops when it returns false, which it returns then. */
bool ca_table_each_range(const struct ca_table *table,
                         bool (*each)(void *context, uint64_t start, uint64_t end), void *context);

/* Every live block in order of domain and address; stops when `each` returns false. */
bool ca_table_each_block(struct ca_table *table, bool (*each)(void *context, const struct ca_block *block),
                         void *context, struct ca_error **ret_error);
/* Domains in use, ascending; caller frees with free(). */
bool ca_table_domains(struct ca_table *table, uint32_t **ret_domains, size_t *ret_count,
                      struct ca_error **ret_error);

#endif
