/* listing.h: what top and diff show, in every format. */
#ifndef CA_OUTPUT_LISTING_H
#define CA_OUTPUT_LISTING_H

#include "../snapshot/statistics.h"
#include "../table/table.h"
#include "sink.h"

struct ca_sum {
    unsigned __int128 size;
    unsigned __int128 count;
    __int128 size_diff; /* 0 unless diff */
    __int128 count_diff;
};

struct ca_listing {
    bool diff;
    enum ca_cumulative cumulative;
    enum ca_value value;
    struct ca_statistics *statistics;
    size_t shown;                    /* the first so many statistics are printed */
    struct ca_sum other;             /* of the statistics that are not */
    struct ca_sum total;             /* over the blocks, each once */
    const struct ca_weight *weights; /* what the (new) statistics were computed from */
    size_t weight_count;
    const struct ca_table *table;     /* the (new) one */
    const struct ca_table *old_table; /* diff only, else NULL */
    struct ca_snapshot *old_snapshot; /* likewise */
    uint64_t asked;                   /* -n: what the heading says; 0 = all */

    /* Text only. */
    bool no_skip;            /* allocator functions are callers as good as others */
    const char *const *skip; /* more globs of allocator functions */
    size_t skip_count;
    bool source; /* source lines */
    bool has_nframe;
    uint64_t nframe; /* frames printed of a traceback, with has_nframe */
};

/* What users call keys and values; index = the enumerator, ended by NULL. */
extern const char *const ca_key_words[];
extern const char *const ca_value_words[];

/* Each adds the whole answer to the sink. */
bool ca_listing_write_text(const struct ca_listing *listing, struct ca_sink *sink,
                           struct ca_error **ret_error);
void ca_listing_write_json(const struct ca_listing *listing, struct ca_sink *sink);
/* Without coverage: the caller says it elsewhere. */
void ca_listing_write_csv(const struct ca_listing *listing, struct ca_sink *sink);
/* One line per statistic, "a;b;c SIZE", oldest frame first; of a diff "a;b;c OLD NEW" (as FlameGraph's
 * difffolded.pl). Frames are functions by traceback, else what --by groups by. Groups of size 0 are not
 * written. */
void ca_listing_write_folded(const struct ca_listing *listing, struct ca_sink *sink);

/* The coverage lines of the answer. */
void ca_listing_add_coverage(const struct ca_listing *listing, struct ca_text *text);

/* True for the names that stand for code of which nothing but the address is known: "<unknown>" and
 * "MODULE(+0xOFFSET)". ret_module_size: the bytes of MODULE, 0 for "<unknown>". */
bool ca_name_is_address(const char *filename, size_t *ret_module_size);

#endif
