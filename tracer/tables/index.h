/* index.h: private lock-free hash index from a 64-bit hash to ids of at most 27 bits. Entries are only added.
 *
 * It grows by a larger table in front of the older ones, which stay readable; what is found in an older one moves to the
 * newest. Two threads that add equal keys at once may both succeed: then two ids stand for one thing, which is harmless.
 */
#ifndef TM_TABLES_INDEX_H
#define TM_TABLES_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../atomics.h"

#define TM_INDEX_ID_BITS 27
#define TM_INDEX_ID_MASK ((UINT64_C(1) << TM_INDEX_ID_BITS) - 1)

struct tm_index_table {
    struct tm_index_table *older;
    uint64_t mask;      /* entries - 1 */
    uint64_t used;      /* entries in use */
    uint64_t entries[]; /* hash with an id in its low bits; 0 = empty */
};

struct tm_index {
    struct tm_index_table *newest;
};

/* Makes the first table, of 1 << bits entries; false when out of memory. */
bool tm_index_init(struct tm_index *index, unsigned bits);

/* Adds an id (not 0). Without memory to grow it may fail once the tables are full: then the id is just not found. */
void tm_index_insert(struct tm_index *index, uint64_t hash, uint32_t id);

/* Is `id` the thing that `key` describes? */
typedef bool tm_index_match(const void *key, uint32_t id);

/* Id of the key, 0 = none. */
static inline __attribute__((always_inline)) uint32_t tm_index_find(struct tm_index *index, uint64_t hash,
                                                                    tm_index_match *match, const void *key)
{
    struct tm_index_table *newest = tm_load_acquire(&index->newest);
    for (struct tm_index_table *table = newest; table; table = table->older) {
        for (uint64_t probe = 0, slot = hash >> 32; probe <= table->mask; probe++, slot++) {
            uint64_t entry = tm_load_acquire(&table->entries[slot & table->mask]);
            if (entry == 0) {
                break;
            }
            uint32_t id = (uint32_t)(entry & TM_INDEX_ID_MASK);
            if (((entry ^ hash) & ~TM_INDEX_ID_MASK) == 0 && match(key, id)) {
                if (TM_UNLIKELY(table != newest)) {
                    tm_index_insert(index, hash, id);
                }
                return id;
            }
        }
    }
    return 0;
}

#endif
