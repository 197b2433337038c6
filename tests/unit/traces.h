/* traces.h: snapshots from a few words, and statistics as text, for the tests of statistics and texts. */
#ifndef TEST_TRACES_H
#define TEST_TRACES_H

#include "coreanalyze/snapshot/statistics.h"
#include "coreanalyze/util/text.h"

/* frames: "b.py:4 < a.py:2", oldest first; " @function" and " %module" may follow a line: "a.c:1 @main
 * %a.so". */
struct test_trace {
    uint32_t domain;
    uint64_t size;
    const char *frames;
    uint32_t total_nframe;
    uint32_t thread;
};

/* Traceback id of such frames. */
uint32_t traces_add_traceback(struct ca_snapshot *snapshot, const char *frames, uint32_t total_nframe);
/* Destroyed by the caller. */
struct ca_snapshot *traces_snapshot(const struct test_trace *traces, size_t count);

/* One line per group: "[oldest:1<recent:2] 30/3" or "a.py:5 5002 (+5000)/2 (+1)", line 0 written; the
 * brackets only around more than one frame. */
void traces_write_groups(struct ca_text *text, const struct ca_statistics *statistics, bool diff);

/* traces_write_groups of statistics or, if `old` is not NULL, of new.compare_to(old), against the expected
 * text. */
void traces_check(struct ca_snapshot *snapshot, struct ca_snapshot *old, enum ca_key key,
                  enum ca_cumulative cumulative, const char *expected);

/* The text is what was expected; it is emptied. */
void traces_check_text(struct ca_text *text, const char *expected);

#endif
