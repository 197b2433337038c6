/* index.h: a hash index over the elements of an array that somebody else owns. */
#ifndef CA_SNAPSHOT_INDEX_H
#define CA_SNAPSHOT_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open addressing, linear probing, at most half full. Zero-initialise; ca_index_deinit frees. */
struct ca_index {
    uint32_t *slots; /* element number + 1, 0 = empty */
    size_t capacity; /* power of two, or 0 before the first element */
    size_t used;
};

/* How the elements of an array compare and hash. `key` is what is looked for. */
struct ca_index_type {
    bool (*equal)(const void *array, uint32_t element, const void *key);
    uint32_t (*hash)(const void *array, uint32_t element);
};

#define CA_INDEX_NONE UINT32_MAX

void ca_index_deinit(struct ca_index *index);
/* The element that equals `key`, or CA_INDEX_NONE. */
uint32_t ca_index_find(const struct ca_index *index, const struct ca_index_type *type, const void *array,
                       const void *key, uint32_t hash);
/* Room for one more, so that the next ca_index_insert cannot fail. False when out of memory. */
bool ca_index_reserve(struct ca_index *index, const struct ca_index_type *type, const void *array);
/* `element` must not be in the index. */
void ca_index_insert(struct ca_index *index, uint32_t element, uint32_t hash);

uint32_t ca_hash_bytes(const void *bytes, size_t size);
uint32_t ca_hash_combine(uint32_t hash, uint64_t number);

#endif
