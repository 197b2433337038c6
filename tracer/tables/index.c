#include "index.h"

#include "memory.h"

static size_t table_size(uint64_t entries)
{
    return sizeof(struct tm_index_table) + entries * sizeof(uint64_t);
}

static struct tm_index_table *table_create(uint64_t entries, struct tm_index_table *older)
{
    struct tm_index_table *table = tm_memory_map(TM_MEMORY_PRIVATE, table_size(entries));
    if (table) {
        table->older = older;
        table->mask = entries - 1;
    }
    return table;
}

bool tm_index_init(struct tm_index *index, unsigned bits)
{
    index->newest = table_create(UINT64_C(1) << bits, NULL);
    return index->newest != NULL;
}

static void index_grow(struct tm_index *index, struct tm_index_table *newest)
{
    struct tm_index_table *table = table_create((newest->mask + 1) * 4, newest);
    if (table && !tm_swap_if(&index->newest, newest, table)) {
        tm_memory_unmap(TM_MEMORY_PRIVATE, table, table_size(table->mask + 1));
    }
}

static bool table_insert(struct tm_index_table *table, uint64_t hash, uint64_t entry)
{
    for (uint64_t probe = 0, slot = hash >> 32; probe <= table->mask; probe++, slot++) {
        if (tm_swap_if(&table->entries[slot & table->mask], 0, entry)) {
            tm_add(&table->used, 1);
            return true;
        }
    }
    return false;
}

void tm_index_insert(struct tm_index *index, uint64_t hash, uint32_t id)
{
    struct tm_index_table *newest = tm_load_acquire(&index->newest);
    if (tm_load(&newest->used) * 2 > newest->mask) {
        index_grow(index, newest);
        newest = tm_load_acquire(&index->newest);
    }
    table_insert(newest, hash, (hash & ~TM_INDEX_ID_MASK) | id);
}
