#include "index.h"

#include <stdlib.h>
#include <string.h>

void ca_index_deinit(struct ca_index *index)
{
    free(index->slots);
    *index = (struct ca_index){0};
}

uint32_t ca_index_find(const struct ca_index *index, const struct ca_index_type *type, const void *array,
                       const void *key, uint32_t hash)
{
    if (index->capacity == 0) {
        return CA_INDEX_NONE;
    }
    size_t mask = index->capacity - 1;
    for (size_t at = hash & mask; index->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t element = index->slots[at] - 1;
        if (type->equal(array, element, key)) {
            return element;
        }
    }
    return CA_INDEX_NONE;
}

static void place(struct ca_index *index, uint32_t element, uint32_t hash)
{
    size_t mask = index->capacity - 1;
    size_t at = hash & mask;
    while (index->slots[at] != 0) {
        at = (at + 1) & mask;
    }
    index->slots[at] = element + 1;
}

bool ca_index_reserve(struct ca_index *index, const struct ca_index_type *type, const void *array)
{
    if ((index->used + 1) * 2 <= index->capacity) {
        return true;
    }
    struct ca_index larger = {.capacity = index->capacity == 0 ? 64 : index->capacity * 2,
                              .used = index->used};
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->slots[i] != 0) {
            place(&larger, index->slots[i] - 1, type->hash(array, index->slots[i] - 1));
        }
    }
    free(index->slots);
    *index = larger;
    return true;
}

void ca_index_insert(struct ca_index *index, uint32_t element, uint32_t hash)
{
    place(index, element, hash);
    index->used++;
}

/* The finalizer of MurmurHash3 (public domain, Austin Appleby). */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

uint32_t ca_hash_combine(uint32_t hash, uint64_t number)
{
    return (uint32_t)mix(number + (uint64_t)hash * 0x9e3779b97f4a7c15u);
}

uint32_t ca_hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = size;
    for (; size >= sizeof(hash); size -= sizeof(hash), at += sizeof(hash)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        hash = mix(hash ^ word) * 0x9e3779b97f4a7c15u;
    }
    uint64_t rest = 0;
    if (size != 0) {
        memcpy(&rest, at, size);
    }
    return (uint32_t)mix(hash ^ rest);
}
