/* pool.h: memory of one symbolizer that is freed all at once, strings that are kept once, and maps from
 * numbers to pointers. */
#ifndef CA_SYMBOLS_POOL_H
#define CA_SYMBOLS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ca_pool_chunk;

/* Zero-initialise. After a failed allocation `failed` stays set: callers may go on and look at it once at the
 * end. */
struct ca_pool {
    struct ca_pool_chunk *chunks;
    const char **strings; /* open addressing, power of two, NULL = free */
    size_t string_count;
    size_t string_capacity;
    bool failed;
};

void ca_pool_deinit(struct ca_pool *pool);
/* Memory aligned for any type that lives until the pool is deinitialised; NULL when there is none. */
void *ca_pool_allocate(struct ca_pool *pool, size_t size);
/* The pool's copy of a string: equal strings give equal pointers. NULL when out of memory. */
const char *ca_pool_string(struct ca_pool *pool, const char *string);
const char *ca_pool_string_bytes(struct ca_pool *pool, const char *bytes, size_t size);

/* A map from two numbers to a pointer; keys are compared whole. Zero-initialise. */
struct ca_map_entry {
    uint64_t first, second;
    const void *value; /* NULL = free */
};
struct ca_map {
    struct ca_map_entry *entries;
    size_t count;
    size_t capacity;
};

void ca_map_deinit(struct ca_map *map);
const void *ca_map_get(const struct ca_map *map, uint64_t first, uint64_t second);
/* value != NULL. False when out of memory: the map is unchanged. */
bool ca_map_set(struct ca_map *map, uint64_t first, uint64_t second, const void *value);

#endif
