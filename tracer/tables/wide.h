/* wide.h: the WIDE region: blocks that have no live word: of other domains, of odd addresses, of huge sizes.
 *
 * An open-addressed table in levels, each twice as large as the one before; entries never move. A key is
 * looked for in a short run of entries of each level, until an entry that was never used ends the search.
 */
#ifndef TM_TABLES_WIDE_H
#define TM_TABLES_WIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"
#include "../layout.h"

bool tm_wide_init(void);

/* Entry of this key that is LIVE in this generation; NULL when there is none. */
struct tm_wide *tm_wide_find(uint32_t domain, uint64_t address, uint64_t generation);

/* Claims an entry for this key: BUSY, its domain and address filled, the rest for the caller; NULL when out
 * of memory. */
struct tm_wide *tm_wide_claim(uint32_t domain, uint64_t address, uint64_t generation);

/* The entry of a block whose realloc did not end: BUSY, or DEAD when its successor is there already; NULL
 * when it cannot be found. One that holds the new block, of this size and stack, is not meant. */
struct tm_wide *tm_wide_find_held(uint32_t domain, uint64_t address, uint64_t size, uint32_t stack);

/* BUSY to LIVE. */
void tm_wide_publish(struct tm_wide *entry, uint64_t generation);
/* LIVE to BUSY; false when another thread was faster. */
bool tm_wide_hold(struct tm_wide *entry, uint64_t generation);
/* LIVE to DEAD; false when another thread was faster. */
bool tm_wide_remove(struct tm_wide *entry, uint64_t generation);
/* BUSY to DEAD. */
void tm_wide_drop(struct tm_wide *entry);

/* Visits every entry that is LIVE in this generation. */
typedef void tm_wide_visit(const struct tm_wide *entry, uint64_t generation);
void tm_wide_each(tm_wide_visit *visit, uint64_t generation);

/* Was a block of domain 0 ever put here? (Almost never: then a free need not look.) */
TM_DATA bool tm_wide_has_malloc;

#endif
