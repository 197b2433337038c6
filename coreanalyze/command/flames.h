/* flames.h: what --format speedscope and --format html write of top, diff and leaks. */
#ifndef CA_COMMAND_FLAMES_H
#define CA_COMMAND_FLAMES_H

#include "../output/flames/flames.h"
#include "listings.h"

/* Writes in the format asked for; fills in title and old_title of *flames, and drops them again. */
bool ca_flames_write(struct ca_flames *flames, struct ca_run *run, struct ca_error **ret_error);

/* Of top and diff. Sets owner->stacks where the page has its flames by traceback and its table by something
 * else. */
bool ca_flames_write_listing(struct ca_listing_owner *owner, struct ca_run *run, struct ca_error **ret_error);

/* What a frame is called where stacks are grouped by `key`. */
enum ca_folded_label ca_flames_label(enum ca_key key);

#endif
