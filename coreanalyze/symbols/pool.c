/* pool.c: see pool.h. */
#include "pool.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 65536

struct ca_pool_chunk {
    struct ca_pool_chunk *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char bytes[];
};

void ca_pool_deinit(struct ca_pool *pool)
{
    while (pool->chunks) {
        struct ca_pool_chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
    free(pool->strings);
    *pool = (struct ca_pool){0};
}

/* A large request gets a chunk of its own behind the current one, which stays in use. */
static struct ca_pool_chunk *chunk_create(struct ca_pool *pool, size_t size)
{
    size_t capacity = size > CHUNK_SIZE / 4 ? size : CHUNK_SIZE;
    struct ca_pool_chunk *chunk =
        capacity > SIZE_MAX - sizeof(*chunk) ? NULL : malloc(sizeof(*chunk) + capacity);
    if (!chunk) {
        pool->failed = true;
        return NULL;
    }
    chunk->used = 0;
    chunk->capacity = capacity;
    if (capacity != CHUNK_SIZE && pool->chunks) {
        chunk->next = pool->chunks->next;
        pool->chunks->next = chunk;
    } else {
        chunk->next = pool->chunks;
        pool->chunks = chunk;
    }
    return chunk;
}

static void *pool_take(struct ca_pool *pool, size_t size, size_t alignment)
{
    struct ca_pool_chunk *chunk = pool->chunks;
    size_t start = chunk ? (chunk->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!chunk || start > chunk->capacity || size > chunk->capacity - start) {
        chunk = chunk_create(pool, size);
        if (!chunk) {
            return NULL;
        }
        start = 0;
    }
    chunk->used = start + size;
    return chunk->bytes + start;
}

void *ca_pool_allocate(struct ca_pool *pool, size_t size)
{
    return pool_take(pool, size, alignof(max_align_t));
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0x9fb21c651e98df25u;
    value ^= value >> 28;
    return value;
}

static uint64_t string_hash(const char *bytes, size_t size)
{
    uint64_t hash = size;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word);
        bytes += 8;
        size -= 8;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, size);
    return mix(hash ^ rest);
}

static bool strings_grow(struct ca_pool *pool)
{
    size_t capacity = pool->string_capacity ? pool->string_capacity * 2 : 256;
    const char **strings = calloc(capacity, sizeof(*strings));
    if (!strings) {
        return false;
    }
    for (size_t i = 0; i < pool->string_capacity; i++) {
        const char *string = pool->strings[i];
        if (string) {
            size_t at = string_hash(string, strlen(string)) & (capacity - 1);
            while (strings[at]) {
                at = (at + 1) & (capacity - 1);
            }
            strings[at] = string;
        }
    }
    free(pool->strings);
    pool->strings = strings;
    pool->string_capacity = capacity;
    return true;
}

const char *ca_pool_string_bytes(struct ca_pool *pool, const char *bytes, size_t size)
{
    if (pool->string_count * 2 >= pool->string_capacity && !strings_grow(pool)) {
        pool->failed = true;
        return NULL;
    }
    size_t at = string_hash(bytes, size) & (pool->string_capacity - 1);
    for (const char *found; (found = pool->strings[at]); at = (at + 1) & (pool->string_capacity - 1)) {
        if (strncmp(found, bytes, size) == 0 && found[size] == '\0') {
            return found;
        }
    }
    char *copy = pool_take(pool, size + 1, 1);
    if (!copy) {
        return NULL;
    }
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    pool->strings[at] = copy;
    pool->string_count++;
    return copy;
}

const char *ca_pool_string(struct ca_pool *pool, const char *string)
{
    return ca_pool_string_bytes(pool, string, strlen(string));
}

void ca_map_deinit(struct ca_map *map)
{
    free(map->entries);
    *map = (struct ca_map){0};
}

/* The entry of a key, or the free one where it belongs. */
static struct ca_map_entry *map_slot(struct ca_map_entry *entries, size_t capacity, uint64_t first,
                                     uint64_t second)
{
    size_t at = mix(mix(first) ^ second) & (capacity - 1);
    while (entries[at].value && (entries[at].first != first || entries[at].second != second)) {
        at = (at + 1) & (capacity - 1);
    }
    return &entries[at];
}

const void *ca_map_get(const struct ca_map *map, uint64_t first, uint64_t second)
{
    return map->capacity ? map_slot(map->entries, map->capacity, first, second)->value : NULL;
}

bool ca_map_set(struct ca_map *map, uint64_t first, uint64_t second, const void *value)
{
    if (map->count * 2 >= map->capacity) {
        size_t capacity = map->capacity ? map->capacity * 2 : 256;
        struct ca_map_entry *entries = calloc(capacity, sizeof(*entries));
        if (!entries) {
            return false;
        }
        for (size_t i = 0; i < map->capacity; i++) {
            const struct ca_map_entry *entry = &map->entries[i];
            if (entry->value) {
                *map_slot(entries, capacity, entry->first, entry->second) = *entry;
            }
        }
        free(map->entries);
        map->entries = entries;
        map->capacity = capacity;
    }
    struct ca_map_entry *slot = map_slot(map->entries, map->capacity, first, second);
    map->count += slot->value ? 0 : 1;
    *slot = (struct ca_map_entry){first, second, value};
    return true;
}
