/* view.h: what the engine reads of a stopped process, in the form in which the ledger is kept. */
#ifndef STEPS_VIEW_H
#define STEPS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coreanalyze/coreanalyze.h"

struct view_block {
    uint64_t address, size;
    uint64_t traceback; /* hash of its files and lines */
    uint32_t domain;
};

/* Counters of all stacks with the same traceback. */
struct view_sum {
    uint64_t traceback;
    uint64_t count, size;
};

struct view_sums {
    struct view_sum *items;
    size_t count, capacity;
};

struct view {
    struct view_block *blocks;
    size_t block_count, block_capacity;
    struct view_sums live, total, peak;
    uint64_t current_bytes, peak_bytes;
    uint64_t covered, dropped, in_flight; /* of the coverage line */
    bool ambiguous;                       /* it says that an operation cannot be told */
    bool damaged;                         /* ... that records are damaged, or contradict each other */
    bool peak_damaged;                    /* ... so of the peak's composition */
    char error[500];                      /* what went wrong; "" = nothing */
};

/* A target of the engine over /proc/PID/mem. */
struct view_source {
    int memory; /* open /proc/PID/mem */
    uint32_t pid;
    uint32_t thread; /* whose registers are known */
    uint64_t registers[27];
    struct ca_target *target;

    /* What the engine read for the last view. */
    struct view_range {
        uint64_t start, end;
    } * ranges;
    size_t range_count, range_capacity;
};

bool view_source_open(struct view_source *source, uint32_t pid);
void view_source_close(struct view_source *source);

/* Reads everything. `thread` stands still with these registers (struct user_regs_struct). False with
 * view->error. */
bool view_read(struct view_source *source, uint32_t thread, const void *registers, struct view *view);

/* What the command "block" says of an address in the last view's process: the size of a freed block that
 * begins there; false where it says something else. */
bool view_freed_at(struct ca_target *target, uint64_t address, uint64_t *ret_size);

/* Did the engine read any of [start, end) for the last view? */
bool view_has_read(const struct view_source *source, uint64_t start, uint64_t end);

/* The same as view_read of any target. */
bool view_read_target(struct ca_target *target, struct view *view);

void view_deinit(struct view *view);

void view_sum_add(struct view_sums *sums, uint64_t traceback, uint64_t count, uint64_t size);

/* The sum of a traceback; zeros where it has none. */
struct view_sum view_sum_of(const struct view_sums *sums, uint64_t traceback);

#endif
