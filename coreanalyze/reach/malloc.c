/* malloc.c: memory of glibc's malloc and its variables, known by their shape alone, which has been the same
 * since 2.26:
 *
 *   chunk        bytes of the chunk before, if that is free; own size | flags; the block   (16 bytes before a
 * block) heap_info    its malloc_state, heap before, size, ...; at multiples of 64 MiB          (heaps of
 * further arenas) malloc_state lists of free chunks: an empty list points to itself
 *
 * A list of free chunks points to chunks, and the first word of a chunk belongs to the block before it.
 */
#include "claims.h"

#include <elf.h>
#include <stdlib.h>

enum {
    HEADER = 16,
    FLAG_MMAPPED = 2,
    FLAG_ARENA = 4,
    FLAGS = 7,
    CHUNK_MIN = 32,
    PAGE = 4096,
    PROGRAMS_MAX = 64,
    BIN_COUNT = 127,
    BINS_OFFSET = 0x70,  /* in malloc_state */
    NEXT_OFFSET = 0x870, /* the next arena */
    STATE_SIZE = 0x898,
    SELF_PAIRS = 4, /* empty lists beside each other that make a malloc_state probable */
    STATES_MAX = 4096,
    CHAIN_MAX = 1 << 20, /* chunks of a heap without blocks */
    DATA_MAX = 1 << 20,  /* bytes of libc's variables looked at */
};

#define HEAP_SPACING (UINT64_C(64) << 20)

struct heap_info {
    uint64_t state, previous, size, protected_size;
};

/* --------------------------------------------------------------------------------------- by their blocks */

static bool is_page(uint64_t number)
{
    return number % PAGE == 0;
}

/* The heap of a further arena that begins here. */
static bool heap_read(struct ca_claims *claims, uint64_t start, struct heap_info *heap)
{
    return ca_claims_read(claims, start, heap, sizeof *heap) == sizeof *heap && heap->size >= PAGE &&
           is_page(heap->size) && heap->size <= HEAP_SPACING && heap->protected_size >= heap->size &&
           heap->protected_size <= HEAP_SPACING && heap->state % 16 == 0 &&
           heap->previous % HEAP_SPACING == 0 &&
           (heap->previous ? heap->state < start || heap->state >= start + HEAP_SPACING
                           : heap->state > start && heap->state < start + PAGE);
}

/* Claims what the chunk of a block lies in. *ret_end: its end, 0 = the chunk's header makes no sense. */
static bool claim_by_block(struct ca_claims *claims, const struct ca_extent *block,
                           const struct ca_mapping *mapping, uint64_t *ret_end)
{
    uint64_t chunk[2];
    struct heap_info heap;
    *ret_end = 0;
    if (ca_claims_read(claims, block->start - HEADER, chunk, sizeof chunk) != sizeof chunk) {
        return true;
    }
    uint64_t size = chunk[1] & ~(uint64_t)FLAGS, start = block->start - HEADER;
    if (size < CHUNK_MIN || size < ca_extent_size(block) || size % 16) {
        return true;
    }
    if (chunk[1] & FLAG_MMAPPED) {
        uint64_t from = start - chunk[0], to = start + size;
        if (!is_page(from) || !is_page(to) || from > start || from < mapping->start || to > mapping->end) {
            return true;
        }
        *ret_end = to;
        return ca_claim(claims, CA_AREA_HEAP, from, to, 0);
    }
    if (chunk[1] & FLAG_ARENA) {
        uint64_t from = start & ~(HEAP_SPACING - 1);
        if (!heap_read(claims, from, &heap) || from + heap.size <= start) {
            return true;
        }
        *ret_end = from + heap.size;
        return ca_claim(claims, CA_AREA_HEAP, from, *ret_end, 0);
    }
    *ret_end = mapping->end;
    return ca_claim(claims, CA_AREA_HEAP, mapping->start, mapping->end, 0);
}

static bool claim_by_blocks(struct ca_claims *claims)
{
    const struct ca_block_level *level = &claims->set->levels[0];
    for (size_t i = 0; i < level->count && !claims->error;) {
        const struct ca_extent *block = &level->blocks[i];
        const struct ca_mapping *mapping = ca_source_mapping_at(claims->source, block->start);
        uint64_t end = 0;
        if (!(block->size & CA_EXTENT_FOREIGN) && mapping && ca_mapping_is_anonymous(mapping) &&
            !ca_memory_image_at(claims->memory, block->start) &&
            !claim_by_block(claims, block, mapping, &end)) {
            return false;
        }
        i = end > block->start ? ca_block_level_from(level, end) : i + 1;
    }
    return true;
}

/* --------------------------------------------------------------------------------- heaps without blocks */

/* Whether chunks follow each other from here to the very end. */
static bool is_chain(struct ca_claims *claims, uint64_t start, uint64_t end)
{
    uint64_t at = start, size;
    for (size_t i = 0; i < CHAIN_MAX && at < end; i++) {
        if (!ca_claims_word(claims, at + 8, &size) || (size & (FLAG_MMAPPED | FLAG_ARENA)) ||
            (size & ~(uint64_t)FLAGS) < CHUNK_MIN || size % 16 > 1 || (at == start && !(size & 1))) {
            return false;
        }
        at += size & ~(uint64_t)FLAGS;
    }
    return at == end && end > start;
}

/* The heap that the program break ends, which may be one mapping with the program's variables. */
static bool claim_break(struct ca_claims *claims, const struct ca_mapping *mapping)
{
    uint64_t start = mapping->start;
    size_t count;
    const struct ca_image *images = ca_memory_images(claims->memory, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t end = (images[i].module.end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
        start = end > start && end <= mapping->end && images[i].module.start < mapping->end ? end : start;
    }
    return !is_chain(claims, start, mapping->end) || ca_claim(claims, CA_AREA_HEAP, start, mapping->end, 0);
}

static bool has_blocks(const struct ca_claims *claims, const struct ca_mapping *mapping)
{
    const struct ca_block_level *level = &claims->set->levels[0];
    size_t i = ca_block_level_from(level, mapping->start);
    return i < level->count && level->blocks[i].start < mapping->end;
}

static bool claim_by_shape(struct ca_claims *claims)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(claims->source, &count);
    for (size_t i = 0; i < count && !claims->error; i++) {
        const struct ca_mapping *mapping = &mappings[i];
        if (!ca_mapping_is_anonymous(mapping)) {
            continue;
        }
        if (!has_blocks(claims, mapping) && !claim_break(claims, mapping)) {
            return false;
        }
        uint64_t at = (mapping->start + HEAP_SPACING - 1) & ~(HEAP_SPACING - 1);
        for (; at >= mapping->start && at < mapping->end; at += HEAP_SPACING) {
            struct heap_info heap;
            if (heap_read(claims, at, &heap) && !ca_claim(claims, CA_AREA_HEAP, at, at + heap.size, 0)) {
                return false;
            }
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------- its state */

/* The malloc_state whose list number 0..126 is the empty one at `list`: the arena after it is known. */
static bool state_find(struct ca_claims *claims, uint64_t list, uint64_t *ret_state)
{
    for (size_t number = 0; number < BIN_COUNT; number++) {
        uint64_t state = list - BINS_OFFSET - 16 * number, next, back;
        if (!ca_claims_word(claims, state + NEXT_OFFSET, &next) || next == 0 || next % 16) {
            continue;
        }
        /* Arenas form a ring: this one alone, or some that lead back to it. */
        back = next;
        for (size_t i = 0; i < STATES_MAX && back != state; i++) {
            if (back % 16 || !ca_claims_word(claims, back + NEXT_OFFSET, &back)) {
                break;
            }
        }
        if (back == state) {
            *ret_state = state;
            return true;
        }
    }
    return false;
}

static bool claim_state(struct ca_claims *claims, uint64_t start, uint64_t end)
{
    size_t run = 0;
    for (uint64_t at = (start + 7) & ~UINT64_C(7); at + 16 <= end && !claims->error; at += 8) {
        uint64_t pair[2], state;
        if (ca_claims_read(claims, at, pair, sizeof pair) != sizeof pair) {
            at |= PAGE - 8;
            continue;
        }
        if (pair[0] != at - 16 || pair[1] != at - 16) {
            continue;
        }
        if (++run >= SELF_PAIRS && state_find(claims, at, &state)) {
            return ca_claim(claims, CA_AREA_MALLOC, state, state + STATE_SIZE, 0);
        }
    }
    return true;
}

/* It is a variable of libc. */
static bool claim_states(struct ca_claims *claims)
{
    size_t count;
    const struct ca_image *images = ca_memory_images(claims->memory, &count);
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr programs[PROGRAMS_MAX];
        bool is_libc = ca_image_is(&images[i], "libc.so") || ca_image_is(&images[i], "libc-");
        size_t program_count = is_libc ? ca_image_programs(claims, &images[i], programs, PROGRAMS_MAX) : 0;
        for (size_t p = 0; p < program_count; p++) {
            uint64_t start = images[i].module.bias + programs[p].p_vaddr;
            uint64_t size = programs[p].p_filesz < DATA_MAX ? programs[p].p_filesz : DATA_MAX;
            if (programs[p].p_type == PT_LOAD && (programs[p].p_flags & PF_W) &&
                !claim_state(claims, start, start + size)) {
                return false;
            }
        }
    }
    return true;
}

bool ca_claim_malloc(struct ca_claims *claims)
{
    return claim_by_blocks(claims) && claim_by_shape(claims) && claim_states(claims);
}
