/* loaded.c: see loaded.h. */
#include "loaded.h"

#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

struct traceback_key {
    const uint32_t *locations;
    uint32_t count, total;
};

static uint32_t key_hash(const struct traceback_key *key)
{
    return ca_hash_combine(ca_hash_bytes(key->locations, key->count * sizeof *key->locations), key->total);
}

static struct traceback_key key_of(const struct ca_loaded *loaded, uint32_t element)
{
    const struct ca_loaded_traceback *traceback = &loaded->tracebacks[element];
    return (struct traceback_key){loaded->traceback_locations + traceback->first, traceback->count,
                                  traceback->total};
}

static bool traceback_equal(const void *array, uint32_t element, const void *key)
{
    struct traceback_key left = key_of(array, element);
    const struct traceback_key *right = key;
    return left.count == right->count && left.total == right->total &&
           memcmp(left.locations, right->locations, left.count * sizeof *left.locations) == 0;
}

static uint32_t traceback_hash(const void *array, uint32_t element)
{
    struct traceback_key key = key_of(array, element);
    return key_hash(&key);
}

static const struct ca_index_type traceback_type = {traceback_equal, traceback_hash};

uint32_t ca_loaded_add_traceback(struct ca_loaded *loaded, size_t count, uint32_t total)
{
    size_t first = loaded->traceback_location_count - count;
    /* No file need have a location; an array without elements is compared and hashed all the same. */
    if (!CA_GROW(loaded->traceback_locations, loaded->traceback_locations_capacity, 1)) {
        return UINT32_MAX;
    }
    struct traceback_key key = {loaded->traceback_locations + first, (uint32_t)count, total};
    uint32_t hash = key_hash(&key);
    uint32_t found = ca_index_find(&loaded->traceback_index, &traceback_type, loaded, &key, hash);
    if (found != CA_INDEX_NONE) {
        loaded->traceback_location_count = first;
        return found;
    }
    if (loaded->traceback_count >= UINT32_MAX - 1 ||
        !CA_GROW(loaded->tracebacks, loaded->tracebacks_capacity, loaded->traceback_count + 1) ||
        !ca_index_reserve(&loaded->traceback_index, &traceback_type, loaded)) {
        return UINT32_MAX;
    }
    found = (uint32_t)loaded->traceback_count++;
    loaded->tracebacks[found] = (struct ca_loaded_traceback){first, (uint32_t)count, total};
    ca_index_insert(&loaded->traceback_index, found, hash);
    return found;
}

void ca_loaded_destroy(struct ca_loaded *loaded)
{
    if (!loaded) {
        return;
    }
    for (size_t i = 1; i < loaded->mapped_count; i++) {
        free((char *)(uintptr_t)loaded->mapped[i].path);
        free((char *)(uintptr_t)loaded->mapped[i].build_id);
    }
    for (size_t i = 0; i < loaded->skip_count; i++) {
        free(loaded->skip[i]);
    }
    ca_index_deinit(&loaded->traceback_index);
    free(loaded->skip);
    free(loaded->path);
    free(loaded->mapped);
    free(loaded->locations);
    free(loaded->location_frames);
    free(loaded->tracebacks);
    free(loaded->traceback_locations);
    free(loaded->samples);
    free(loaded);
}
