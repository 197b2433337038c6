/* refs.c: see refs.h. */
#include "refs.h"

#include "reader.h"

enum { WORD = 8, PAGE = 4096 };

struct search {
    struct ca_reader reader;
    const struct ca_block_set *set;
    uint64_t start, size;          /* size at least 1 */
    struct ca_reference reference; /* what all words of the range that is searched have in common */
    bool (*each)(void *context, const struct ca_reference *reference);
    void *context;
    bool ended;
    uint64_t missing;
};

static void word_offer(struct search *search, uint64_t value, uint64_t address)
{
    if (value - search->start < search->size && !search->ended) {
        search->reference.value = value;
        search->reference.address = address;
        search->ended = !search->each(search->context, &search->reference);
    }
}

static bool words_search(struct search *search, uint64_t start, uint64_t end, struct ca_error **ret_error)
{
    uint64_t at = (start + WORD - 1) & ~(uint64_t)(WORD - 1);
    while (at + WORD <= end && !search->ended) {
        size_t has = ca_reader_has(&search->reader, at);
        if (has < WORD && !ca_reader_fill(&search->reader, at, at + CA_READER_CHUNK, &has, ret_error)) {
            return false;
        }
        if (has < WORD) {
            uint64_t next = (at | (PAGE - 1)) + 1;
            next = next < end ? next : end;
            search->missing += next - at;
            at = next;
            continue;
        }
        uint64_t size = (end - at < has ? end - at : has) & ~(uint64_t)(WORD - 1);
        const uint8_t *bytes = ca_reader_at(&search->reader, at);
        for (uint64_t i = 0; i < size; i += WORD) {
            uint64_t value;
            memcpy(&value, bytes + i, WORD);
            if (value - search->start < search->size) {
                word_offer(search, value, at + i);
            }
        }
        at += size;
    }
    return true;
}

/* What lies in blocks of this level or a further one is theirs. */
static bool range_search(struct search *search, size_t at_level, uint64_t start, uint64_t end,
                         struct ca_error **ret_error)
{
    if (at_level >= search->set->level_count) {
        return words_search(search, start, end, ret_error);
    }
    const struct ca_block_level *level = &search->set->levels[at_level];
    uint64_t at = start;
    for (size_t i = ca_block_level_from(level, start); i < level->count && level->blocks[i].start < end;
         i++) {
        const struct ca_extent *block = &level->blocks[i];
        if (block->start > at && !range_search(search, at_level + 1, at, block->start, ret_error)) {
            return false;
        }
        at = ca_extent_end(block) > at ? ca_extent_end(block) : at;
    }
    return at >= end || range_search(search, at_level + 1, at, end, ret_error);
}

static bool block_search(struct search *search, size_t at_level, const struct ca_extent *block,
                         struct ca_error **ret_error)
{
    search->reference = (struct ca_reference){.holder = CA_HOLDER_BLOCK, .block = *block};
    bool is_itself = block->start == search->start &&
                     (ca_extent_size(block) == search->size || ca_extent_size(block) == 0);
    return is_itself || range_search(search, at_level + 1, block->start, ca_extent_end(block), ret_error);
}

static bool blocks_search(struct search *search, const struct ca_extent *within, struct ca_error **ret_error)
{
    for (size_t at = 0; at < search->set->level_count; at++) {
        const struct ca_block_level *level = &search->set->levels[at];
        size_t first = within ? ca_block_level_from(level, within->start) : 0;
        for (size_t i = first; i < level->count && !search->ended; i++) {
            const struct ca_extent *block = &level->blocks[i];
            if (within && block->start > within->start) {
                break;
            }
            if ((!within || (block->start == within->start && block->size == within->size)) &&
                !block_search(search, at, block, ret_error)) {
                return false;
            }
        }
    }
    return true;
}

static void registers_search(struct search *search, const struct ca_memory *memory)
{
    size_t count;
    const struct ca_thread_state *threads = ca_memory_threads(memory, &count);
    for (size_t i = 0; i < count; i++) {
        search->reference = (struct ca_reference){.holder = CA_HOLDER_REGISTER, .tid = threads[i].tid};
        for (size_t number = 0; number < threads[i].register_count; number++) {
            word_offer(search, threads[i].registers[number], number);
        }
    }
}

static bool roots_search(struct search *search, const struct ca_areas *areas, struct ca_error **ret_error)
{
    for (size_t i = 0; i < areas->count && !search->ended; i++) {
        const struct ca_area *area = &areas->items[i];
        search->reference =
            (struct ca_reference){.holder = CA_HOLDER_AREA, .tid = area->tid, .area = area->kind};
        if (!range_search(search, 0, area->start, area->end, ret_error)) {
            return false;
        }
    }
    return true;
}

bool ca_refs_find(struct ca_memory *memory, const struct ca_areas *areas, const struct ca_block_set *set,
                  uint64_t start, uint64_t size, const struct ca_extent *within,
                  bool (*each)(void *context, const struct ca_reference *reference), void *context,
                  uint64_t *ret_missing, struct ca_error **ret_error)
{
    struct search search = {
        .reader = {.source = ca_memory_source(memory)},
        .set = set,
        .start = start,
        .size = size ? size : 1,
        .each = each,
        .context = context,
    };
    bool good = true;
    if (!within) {
        registers_search(&search, memory);
        good = roots_search(&search, areas, ret_error);
    }
    good = good && blocks_search(&search, within, ret_error);
    ca_reader_deinit(&search.reader);
    *ret_missing = search.missing;
    return good;
}
