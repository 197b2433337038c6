/* source_path.h: from the line table's file name to the one that is shown. */
#ifndef CA_SYMBOLS_SOURCE_PATH_H
#define CA_SYMBOLS_SOURCE_PATH_H

#include "pool.h"

/* Takes "." and ".." out textually, and doubled slashes: "/a/./b//../c" -> "/a/c". ".." at the start of a
 * relative name stays; behind the root it is dropped. Works in place and returns the new size. */
size_t ca_path_normalize(char *path);

/* Prefixes OLD=NEW; the first that fits is applied, once. OLD fits whole components only: /a fits /a/b and
 * /a, not /ab. Slashes at the ends of OLD and NEW are ignored; NEW may be empty. Borrows `rules`, "OLD=NEW"
 * each. */
struct ca_source_map {
    const char *const *rules;
    size_t count;
};

/* `name` as it is shown: normalised, then mapped. NULL only when out of memory. */
const char *ca_source_path(struct ca_pool *pool, const struct ca_source_map *map, const char *name);

#endif
