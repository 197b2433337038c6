/* heap.c: see heap.h. */
#include "heap.h"

#include <string.h>

enum {
    HEADER = 16, /* bytes of a chunk before its block */
    CHUNK_MIN = 32,
    FLAGS = 7, /* previous in use, mapped, not of the main arena */
    MAPPED = 2,
    PAGE = 4096,
};

struct check {
    struct ca_memory *memory;
    const struct ca_block *extra;
    bool extra_done;
    struct ca_damage *damages;
    size_t count, capacity;
    struct ca_block last, previous; /* the block before, and the one before that */
    bool has_last, has_previous;
    uint64_t end_word; /* address of the block that would begin where the last chunk ends; 0 = not known */
    struct ca_error *error;
};

static bool word_read(struct check *check, uint64_t block, uint64_t *ret_word, bool *ret_found)
{
    size_t got = 0;
    if (!ca_source_read_some(ca_memory_source(check->memory), block - 8, ret_word, sizeof *ret_word, &got,
                             &check->error)) {
        return false;
    }
    *ret_found = got == sizeof *ret_word;
    return true;
}

static void damage_add(struct check *check, uint64_t where, uint64_t word, const struct ca_block *block,
                       const struct ca_block *before)
{
    bool known = check->count && check->damages[check->count - 1].where == where;
    if (check->count == check->capacity || known) {
        return;
    }
    struct ca_damage *damage = &check->damages[check->count++];
    *damage = (struct ca_damage){.where = where, .word = word, .is_live = block != NULL};
    if (block) {
        damage->block = *block;
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(ca_memory_source(check->memory), where);
    damage->has_before = before && mapping && before->address >= mapping->start;
    if (damage->has_before) {
        damage->before = *before;
    }
}

/* What lies behind the last chunk, when the block that comes now does not begin there. */
static bool gap_check(struct check *check, uint64_t next)
{
    uint64_t where = check->end_word, word;
    bool found = false;
    check->end_word = 0;
    if (where == 0 || where >= next) {
        return true;
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(ca_memory_source(check->memory), where);
    if (!mapping || where >= mapping->end) {
        return true;
    }
    if (!word_read(check, where, &word, &found)) {
        return false;
    }
    uint64_t size = word & ~(uint64_t)FLAGS, room = mapping->end - (where - HEADER);
    /* A fencepost, which ends an arena's part, is smaller. */
    bool fencepost = size <= HEADER && room - size <= 2 * PAGE && (word & 1);
    if (found && !fencepost && (size < CHUNK_MIN || size % 16 || size > room || (word & MAPPED))) {
        damage_add(check, where, word, NULL, &check->last);
    }
    return true;
}

static uint64_t chunk_needed(uint64_t size)
{
    uint64_t chunk = (size + 8 + 15) & ~(uint64_t)15;
    return chunk < CHUNK_MIN ? CHUNK_MIN : chunk;
}

static bool block_check(struct check *check, const struct ca_block *block)
{
    uint64_t word = 0;
    bool found = false;
    if (!gap_check(check, block->address) || !word_read(check, block->address, &word, &found)) {
        return false;
    }
    uint64_t size = word & ~(uint64_t)FLAGS;
    const struct ca_mapping *mapping = ca_source_mapping_at(ca_memory_source(check->memory), block->address);
    uint64_t room = mapping ? mapping->end - (block->address - HEADER) : 0;
    bool mapped = word & MAPPED;
    bool sound = size >= chunk_needed(block->size) && size % 16 == 0 && size <= room;
    if (found && mapped) { /* a mapping of its own, which begins `offset` bytes before the chunk */
        uint64_t offset = 0;
        if (!word_read(check, block->address - 8, &offset, &found)) {
            return false;
        }
        sound = sound && (size + offset) % PAGE == 0;
    }
    if (found && mapping && !sound) {
        damage_add(check, block->address, word, block, check->has_last ? &check->last : NULL);
    }
    check->end_word = found && sound && !mapped ? block->address + size : 0;
    check->previous = check->last;
    check->has_previous = check->has_last;
    check->last = *block;
    check->has_last = true;
    return true;
}

/* Blocks come by address; the extra one where it belongs. */
static bool visit(void *context, const struct ca_block *block)
{
    struct check *check = context;
    if (block->domain != 0) {
        return false; /* those of malloc come first */
    }
    if (check->extra->address && !check->extra_done && check->extra->address <= block->address) {
        check->extra_done = true;
        if (check->extra->address < block->address && !block_check(check, check->extra)) {
            return false;
        }
    }
    /* The chunk before may not reach into this one. */
    if (check->end_word > block->address && check->has_last) {
        uint64_t word = 0;
        bool found = false;
        if (!word_read(check, check->last.address, &word, &found)) {
            return false;
        }
        damage_add(check, check->last.address, word, &check->last,
                   check->has_previous ? &check->previous : NULL);
        check->end_word = 0;
    }
    return check->count < check->capacity && block_check(check, block);
}

bool ca_heap_check(struct ca_memory *memory, const struct ca_block *extra, struct ca_damage *damages,
                   size_t capacity, size_t *ret_count, struct ca_error **ret_error)
{
    struct ca_table *table = ca_memory_table(memory);
    struct check check = {.memory = memory, .extra = extra, .damages = damages, .capacity = capacity};
    *ret_count = 0;
    if (!ca_table_is_glibc(table)) {
        return true;
    }
    if (!ca_table_each_block(table, visit, &check, ret_error)) {
        return false;
    }
    bool good = true;
    if (!check.error && extra->address && !check.extra_done) {
        good = block_check(&check, extra);
    }
    good = good && !check.error && gap_check(&check, UINT64_MAX);
    if (check.error) {
        *ret_error = check.error;
        return false;
    }
    *ret_count = check.count;
    return good;
}
