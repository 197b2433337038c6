/* blocks.h: which live block an address lies in, for every word of a process's memory: two or three loads
 * each.
 *
 * Blocks of malloc lie beside each other. Those that a program tracks itself (tm_track) may lie in them: a
 * block that overlaps one before it goes to a further level, so that within a level none overlap.
 */
#ifndef CA_REACH_BLOCKS_H
#define CA_REACH_BLOCKS_H

#include "../table/table.h"

#define CA_NO_BLOCK   UINT32_MAX
#define CA_LEVELS_MAX 8

/* Bits of struct ca_extent.size. */
#define CA_EXTENT_FOREIGN (UINT64_C(1) << 63) /* of another domain than malloc's */
#define CA_EXTENT_SIZE    (CA_EXTENT_FOREIGN - 1)

struct ca_extent {
    uint64_t start;
    uint64_t size; /* bytes as requested, with CA_EXTENT_FOREIGN */
};

static inline uint64_t ca_extent_size(const struct ca_extent *extent)
{
    return extent->size & CA_EXTENT_SIZE;
}

static inline uint64_t ca_extent_end(const struct ca_extent *extent)
{
    return extent->start + ca_extent_size(extent);
}

/* Blocks that do not overlap, and a directory of them in three steps: 1 GiB, 2 MiB, 1 << shift bytes. An
 * entry is the number of blocks that begin before its piece of memory; with CA_NO_MORE none begins in it,
 * else an entry of the first two steps is the number of the table of the next. */
#define CA_NO_MORE UINT32_C(0x80000000)

struct ca_block_level {
    struct ca_extent *blocks; /* by start */
    size_t count;
    uint32_t first;     /* id of blocks[0]; ids are without gaps over the levels */
    uint64_t low, span; /* every block lies in [low, low + span); span 0 = there is none */
    unsigned shift;
    uint32_t *top, *middles, *leaves;
};

struct ca_block_set {
    struct ca_block_level levels[CA_LEVELS_MAX];
    size_t level_count; /* at least 1 */
    size_t count;       /* blocks in all levels */
    uint64_t left_out;  /* blocks whose addresses no pointer can have, or that overlap too many others */
    uint64_t low, span; /* of all levels */
};

/* Reads every live block of the table. Memory: 16 bytes per block and about 4 per `1 << shift` bytes of
 * memory with blocks. Caller frees with ca_block_set_deinit, also after an error. */
bool ca_block_set_init(struct ca_block_set *set, struct ca_table *table, struct ca_error **ret_error);
void ca_block_set_deinit(struct ca_block_set *set);

/* The block with this id. */
const struct ca_extent *ca_block_set_get(const struct ca_block_set *set, uint32_t id);

/* The id of the block with this start and size; CA_NO_BLOCK = none. */
uint32_t ca_block_set_find(const struct ca_block_set *set, uint64_t start, uint64_t size);

/* The number of the first block of a level that ends behind `address` or begins there or behind; count =
 * none. */
size_t ca_block_level_from(const struct ca_block_level *level, uint64_t address);

/* ------------------------------------------------------------------------------------------- looking up */

#define CA_TOP_SHIFT    30
#define CA_MIDDLE_SHIFT 21
#define CA_MIDDLE_COUNT (1u << (CA_TOP_SHIFT - CA_MIDDLE_SHIFT))
#define CA_ADDRESS_BITS 47 /* of user space on x86-64 */

/* Where the entry is that decides about `address`, which lies in the level's span. */
static inline const uint32_t *ca_block_entry(const struct ca_block_level *level, uint64_t address)
{
    const uint32_t *entry = &level->top[address >> CA_TOP_SHIFT];
    if (*entry & CA_NO_MORE) {
        return entry;
    }
    entry = &level->middles[(size_t)*entry * CA_MIDDLE_COUNT +
                            (address >> CA_MIDDLE_SHIFT & (CA_MIDDLE_COUNT - 1))];
    if (*entry & CA_NO_MORE) {
        return entry;
    }
    uint64_t within = address & ((UINT64_C(1) << CA_MIDDLE_SHIFT) - 1);
    return &level->leaves[((size_t)*entry << (CA_MIDDLE_SHIFT - level->shift)) + (within >> level->shift)];
}

/* The last block that begins at or before `address`, by the value of its entry; count = none. */
static inline size_t ca_block_before(const struct ca_block_level *level, uint64_t address, uint32_t entry)
{
    size_t next = entry & ~CA_NO_MORE;
    while (next < level->count && level->blocks[next].start <= address) {
        next++;
    }
    return next ? next - 1 : level->count;
}

/* The number within the level of the block that `address` lies in: from its first byte to its last, of a
 * block of 0 bytes the address itself; CA_NO_BLOCK = none. */
static inline uint32_t ca_block_find(const struct ca_block_level *level, uint64_t address)
{
    if (address - level->low >= level->span) {
        return CA_NO_BLOCK;
    }
    size_t number = ca_block_before(level, address, *ca_block_entry(level, address));
    if (number == level->count) {
        return CA_NO_BLOCK;
    }
    uint64_t offset = address - level->blocks[number].start;
    return offset < ca_extent_size(&level->blocks[number]) || offset == 0 ? (uint32_t)number : CA_NO_BLOCK;
}

#endif
