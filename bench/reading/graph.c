/* graph.c BLOCKS [ORDER]: a table of records that point to each other, for measuring `coreanalyze leaks`.
 *
 * A third of the blocks are records in chains of a hash table, each with a name and a body of its own: 40, 17
 * to 48 and 100 to 660 bytes. Every hundredth record is unlinked and forgotten. ORDER = 1: records are linked
 * in random order.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
    struct record *next;
    char *name;
    char *body;
    uint64_t key, hits;
};

static struct record **table;
static size_t table_size;
static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        perror("malloc");
        exit(1);
    }
    return memory;
}

static struct record *record_create(uint64_t key)
{
    struct record *record = allocate(sizeof *record);
    record->name = allocate(17 + key % 32);
    record->body = allocate(100 + random_next() % 560);
    snprintf(record->name, 17, "record%llu", (unsigned long long)key);
    memset(record->body, 0x20 + (int)(key % 64), 100);
    record->key = key;
    record->hits = 0;
    return record;
}

int main(int argc, char **argv)
{
    size_t records = argc > 1 ? strtoull(argv[1], NULL, 10) / 3 : 1000;
    int shuffled = argc > 2 && argv[2][0] == '1';
    table_size = records / 2 + 1;
    table = calloc(table_size, sizeof *table);
    for (size_t i = 0; table && i < records; i++) {
        struct record *record = record_create(i);
        struct record **place = &table[(shuffled ? random_next() : i) % table_size];
        record->next = *place;
        if (i % 100 != 99) {
            *place = record;
        }
    }
    abort();
}
