/* page.h: a flame graph and a table in one HTML file, which needs nothing else.
 *
 * The page reads its data from one JSON object:
 *
 *   {"version", "command", "diff", "title", "old_title", "key", "cumulative": false|true|"unique", "value",
 * "complete", "notes": lines, "total": {"size", "count", "size_diff", "count_diff"}, "other": {the same,
 * "groups"}, "parts": [{"name": "direct"|"indirect"|null, "stacks": [ITEM, ...], "rows": [ITEM, ...] or N:
 * the first N stacks}], "frames": [[function, filename, line, module, source line], ...], "names": [...]}
 *
 * ITEM is [size, count, frame, ...], of a difference [size, count, size_diff, count_diff, frame, ...]:
 * indexes of frames, oldest first. function, filename and module are indexes of names; "" = unknown. Names
 * are written as for a terminal (ca_text_add_name), so that the page shows what the other formats show. */
#ifndef CA_OUTPUT_FLAMES_PAGE_H
#define CA_OUTPUT_FLAMES_PAGE_H

#include "flames.h"

/* False without the template. */
bool ca_page_write(const struct ca_flames *flames, struct ca_sink *sink, struct ca_error **ret_error);

#endif
