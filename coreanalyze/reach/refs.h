/* refs.h: where pointers to a block are. */
#ifndef CA_REACH_REFS_H
#define CA_REACH_REFS_H

#include "areas.h"

enum ca_holder {
    CA_HOLDER_REGISTER,
    CA_HOLDER_AREA,  /* a word of a root */
    CA_HOLDER_BLOCK, /* of a live block */
};

/* A word that points to the block. */
struct ca_reference {
    enum ca_holder holder;
    uint64_t value;
    uint64_t address; /* of the word; of a register: its number */
    uint32_t tid;     /* of registers, stacks, TLS; else 0 */
    enum ca_area_kind area;
    struct ca_extent block; /* that holds the word */
};

/* Calls `each` for every word that points into [start, start + size), of 0 bytes to start: registers, then
 * roots and then blocks by address, not those of the block itself. Stops when it returns false. *ret_missing:
 * bytes that the source does not have. `within` not NULL: only words of that block. */
bool ca_refs_find(struct ca_memory *memory, const struct ca_areas *areas, const struct ca_block_set *set,
                  uint64_t start, uint64_t size, const struct ca_extent *within,
                  bool (*each)(void *context, const struct ca_reference *reference), void *context,
                  uint64_t *ret_missing, struct ca_error **ret_error);

#endif
