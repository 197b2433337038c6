/* heap.h: glibc's word before each block, held against what the program asked for. */
#ifndef CA_COMMAND_HEAP_H
#define CA_COMMAND_HEAP_H

#include "../../memory/memory.h"

/* A size word that cannot be: that of the chunk at `where` (an address of a block, 8 bytes after the word).
 */
struct ca_damage {
    uint64_t where;
    uint64_t word;          /* what stands there */
    struct ca_block block;  /* whose word that is; only with is_live */
    bool is_live;           /* else it belongs to memory that is not in use */
    struct ca_block before; /* the block before it, past whose end somebody may have written */
    bool has_before;
};

/* Looks at the words before and after every live block of glibc's malloc (malloc/malloc.c, struct
 * malloc_chunk: size and three flags in the 8 bytes before a block), and of `extra`, a block that is being
 * freed (size 0 and address 0 = none). Gives the first `capacity` damages by address. Nothing for other
 * allocators. */
bool ca_heap_check(struct ca_memory *memory, const struct ca_block *extra, struct ca_damage *damages,
                   size_t capacity, size_t *ret_count, struct ca_error **ret_error);

#endif
