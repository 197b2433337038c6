/* found.h: the blocks that nothing reaches, grouped: what the formats of the command leaks write. */
#ifndef CA_COMMAND_LEAKS_FOUND_H
#define CA_COMMAND_LEAKS_FOUND_H

#include "../../reach/reach.h"
#include "../../snapshot/statistics.h"
#include "../run.h"
#include "suppressions.h"

#define CA_SAMPLES_MAX 10

/* Addresses of some blocks of a group: the lowest ones, ascending. */
struct ca_samples {
    uint64_t addresses[CA_SAMPLES_MAX];
    size_t count;
};

struct ca_leak_groups {
    struct ca_statistics *statistics;
    struct ca_statistics *stacks; /* by traceback, for the flames of --format html; NULL: statistics are */
    struct ca_samples *samples;   /* by statistic.number */
    size_t shown;                 /* the first so many statistics are printed */
    unsigned __int128 size, count;
};

struct ca_leaks_found {
    struct ca_run *run;
    struct ca_table *table;
    struct ca_snapshot *snapshot;
    struct ca_reach *reach;
    struct ca_leak_groups kinds[CA_LEAK_KINDS];
    unsigned __int128 size, count; /* of both kinds */
    size_t others;                 /* groups that are not printed */
    unsigned __int128 other_size, other_count;
    struct ca_suppressions suppressions;                 /* they know what each has suppressed */
    unsigned __int128 suppressed_size, suppressed_count; /* all of them */
    unsigned __int128 held_size, held_count; /* of others that suppressed ones hold, and that are no leaks */
};

/* "direct", "indirect" */
extern const char *const ca_leak_words[];

/* Looks for leaks in the run's target as its options say. Caller frees with ca_leaks_deinit, also after an
 * error. */
bool ca_leaks_find(struct ca_leaks_found *found, struct ca_run *run, struct ca_error **ret_error);
void ca_leaks_deinit(struct ca_leaks_found *found);

/* Lines about what the answer rests on, besides the coverage. Nothing where all was seen. */
void ca_leaks_add_notes(const struct ca_leaks_found *found, struct ca_text *text);

/* What --suppressions has left out. Nothing without it. */
void ca_leaks_add_suppressed(const struct ca_leaks_found *found, struct ca_text *text);

/* The whole answer, in each format. */
bool ca_leaks_write_text(const struct ca_leaks_found *found, struct ca_error **ret_error);
bool ca_leaks_write_json(const struct ca_leaks_found *found, struct ca_error **ret_error);
bool ca_leaks_write_csv(const struct ca_leaks_found *found, struct ca_error **ret_error);
bool ca_leaks_write_folded(const struct ca_leaks_found *found, struct ca_error **ret_error);
/* --format html and speedscope. */
bool ca_leaks_write_flames(const struct ca_leaks_found *found, struct ca_error **ret_error);

#endif
