/* strings.c: the strings of a snapshot, interned. */
#include <string.h>

#include "../util/grow.h"
#include "internal.h"

struct string_key {
    const char *bytes;
    size_t size;
    uint32_t hash;
};

static bool string_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_snapshot *snapshot = array;
    const struct ca_string_span *string = &snapshot->strings[element];
    const struct string_key *wanted = key;
    return string->hash == wanted->hash && string->size == wanted->size &&
           memcmp(snapshot->string_bytes + string->offset, wanted->bytes, wanted->size) == 0;
}

static uint32_t string_hash(const void *array, uint32_t element)
{
    return ((const struct ca_snapshot *)array)->strings[element].hash;
}

static const struct ca_index_type string_type = {string_equal, string_hash};

/* Copies to string_bytes; `bytes` may lie in there. */
static bool append_bytes(struct ca_snapshot *snapshot, const char *bytes, size_t size)
{
    const char *old = snapshot->string_bytes;
    size_t inside =
        old != NULL && bytes >= old && bytes < old + snapshot->string_size ? (size_t)(bytes - old) : SIZE_MAX;
    if (!CA_GROW(snapshot->string_bytes, snapshot->string_capacity, snapshot->string_size + size + 1)) {
        return false;
    }
    char *to = snapshot->string_bytes + snapshot->string_size;
    memmove(to, inside == SIZE_MAX ? bytes : snapshot->string_bytes + inside, size);
    to[size] = '\0';
    snapshot->string_size += size + 1;
    return true;
}

uint32_t ca_snapshot_add_string(struct ca_snapshot *snapshot, const char *bytes, size_t size)
{
    struct string_key key = {bytes, size, ca_hash_bytes(bytes, size)};
    uint32_t found = ca_index_find(&snapshot->string_index, &string_type, snapshot, &key, key.hash);
    if (found != CA_INDEX_NONE) {
        return found;
    }
    uint64_t offset = snapshot->string_size;
    if (size >= UINT32_MAX || snapshot->string_count >= UINT32_MAX - 1 ||
        !CA_GROW(snapshot->strings, snapshot->strings_capacity, snapshot->string_count + 1) ||
        !ca_index_reserve(&snapshot->string_index, &string_type, snapshot) ||
        !append_bytes(snapshot, bytes, size)) {
        return UINT32_MAX;
    }
    uint32_t id = (uint32_t)snapshot->string_count++;
    snapshot->strings[id] =
        (struct ca_string_span){.offset = offset, .size = (uint32_t)size, .hash = key.hash};
    ca_index_insert(&snapshot->string_index, id, key.hash);
    return id;
}

const char *ca_snapshot_string(const struct ca_snapshot *snapshot, uint32_t string)
{
    return snapshot->string_bytes + snapshot->strings[string].offset;
}

size_t ca_snapshot_string_size(const struct ca_snapshot *snapshot, uint32_t string)
{
    return snapshot->strings[string].size;
}
