/* coverage.h: what an answer rests on, in the words that every command uses. */
#ifndef CA_OUTPUT_COVERAGE_H
#define CA_OUTPUT_COVERAGE_H

#include "../table/table.h"
#include "../util/text.h"
#include "json.h"

/* One line, e.g. "coverage: 1234567 blocks, 0 dropped, 1 in flight (thread 4711), every block traced". `what`
 * names whose it is: "coverage" or "coverage of OLD". */
void ca_coverage_add_text(struct ca_text *text, const char *what, const struct ca_table *table);
/* The member "coverage" or as `key` says:
 * {"blocks","dropped","dropped_size","in_flight","truncated","missing_bytes","rejected","disagree","sample_bytes"}, of a sum also
 * {"sources","unread_sources","sampled_sources"} */
void ca_coverage_add_json(struct ca_json *json, const char *key, const struct ca_coverage *coverage);
/* False where the exit code says that the answer is partial. */
bool ca_coverage_is_complete(const struct ca_table *table);

#endif
