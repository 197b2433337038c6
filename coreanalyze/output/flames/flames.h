/* flames.h: what the formats that flame graphs are drawn from have in common: speedscope (speedscope.h) and
 * html (page.h). */
#ifndef CA_OUTPUT_FLAMES_FLAMES_H
#define CA_OUTPUT_FLAMES_FLAMES_H

#include "../folded.h"
#include "../listing.h"

struct ca_flames_part {
    const char *name; /* the oldest frame of all its stacks: the kind of leaks; NULL = none */
    const struct ca_statistics *stacks; /* what the flames show */
    size_t stack_count;                 /* the first so many of them */
    const struct ca_statistics *rows;   /* html: what the table shows; may be the same */
    size_t row_count;
};

/* Everything is borrowed. */
struct ca_flames {
    const char *command; /* "top", "diff", "leaks" */
    bool diff;
    const char *title;     /* whose memory it is; nothing dangerous in it */
    const char *old_title; /* diff only, else NULL */
    enum ca_value value;
    struct ca_snapshot *snapshot;
    const struct ca_flames_part *parts;
    size_t part_count;

    enum ca_folded_label label; /* speedscope: what a frame is called */

    /* html */
    enum ca_key key; /* of the table */
    enum ca_cumulative cumulative;
    struct ca_sum total;
    struct ca_sum other; /* of the groups that the table leaves out */
    size_t other_groups;
    const char *notes; /* lines: coverage and the like */
    bool complete;     /* none of them is a warning */
    bool source;       /* source lines */
};

#endif
