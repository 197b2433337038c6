/* sample_types.h: the names that snapshot files use, for the writer and the reader. */
#ifndef CA_PROFILE_SAMPLE_TYPES_H
#define CA_PROFILE_SAMPLE_TYPES_H

struct ca_sample_type {
    const char *type;
    const char *unit;
};

/* In this order in every snapshot file. */
enum {
    CA_SAMPLE_TOTAL_COUNT,
    CA_SAMPLE_TOTAL_SIZE,
    CA_SAMPLE_LIVE_COUNT,
    CA_SAMPLE_LIVE_SIZE,
    CA_SAMPLE_PEAK_COUNT,
    CA_SAMPLE_PEAK_SIZE,
    CA_SAMPLE_TYPES,
};

extern const struct ca_sample_type ca_sample_types[CA_SAMPLE_TYPES];

#define CA_LABEL_BYTES  "bytes" /* size of one block; its absence: the sample holds totals and peak */
#define CA_LABEL_DOMAIN "domain"
#define CA_LABEL_THREAD "thread"
#define CA_LABEL_TOTAL                                                                                       \
    "total_nframe" /* frames of the uncut traceback, skipped ones counted; its absence: not known */

#define CA_LABEL_SOURCE "source" /* in a sum of several sources: the name of the one; a string */

/* The comment that tells our files from those of other tools. */
#define CA_PROFILE_MARK "tm: snapshot 1"

#endif
