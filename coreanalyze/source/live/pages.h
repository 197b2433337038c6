/* pages.h: the pages of a process that it may write to and that hold something: what a core would have of it.
 * proc(5): /proc/PID/maps, /proc/PID/pagemap. */
#ifndef CA_SOURCE_LIVE_PAGES_H
#define CA_SOURCE_LIVE_PAGES_H

#include "image.h"

/* Adds the pages in use of all writable mappings to *ret_pages; to *ret_blank the mappings of which the pages
 * that are not in use are zero. `maps` is the text of /proc/PID/maps. Where the pages cannot be told, whole
 * mappings are added. False when out of memory. */
bool ca_pages_add(uint32_t pid, const char *maps, struct ca_ranges *ret_pages, struct ca_ranges *ret_blank);

#endif
