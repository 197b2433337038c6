/* claims.h: what the finders of areas have in common: each claims ranges for kinds of memory, in any order
 * and overlapping; within this folder alone. */
#ifndef CA_REACH_CLAIMS_H
#define CA_REACH_CLAIMS_H

#include "areas.h"

struct ca_claims {
    struct ca_source *source;
    struct ca_memory *memory;
    const struct ca_block_set *set;
    struct ca_area *items;
    size_t count, capacity;
    struct ca_areas *areas; /* for its words */
    struct ca_error *error; /* of the first read that was interrupted */
};

/* False when out of memory. Empty ranges are left out. */
bool ca_claim(struct ca_claims *claims, enum ca_area_kind kind, uint64_t start, uint64_t end, uint32_t tid);

/* What the source has of a range, from its start; 0 also once a read was interrupted. */
size_t ca_claims_read(struct ca_claims *claims, uint64_t address, void *buffer, size_t size);
/* The word at an address; false: the source does not have it. */
bool ca_claims_word(struct ca_claims *claims, uint64_t address, uint64_t *ret_word);

/* A mapping that can be written and is no file's. */
bool ca_mapping_is_anonymous(const struct ca_mapping *mapping);
/* Whether the name of the image's file, without its directory, begins so. */
bool ca_image_is(const struct ca_image *image, const char *prefix);
/* The program headers of an image as they lie in memory, at most `capacity`; returns how many. */
size_t ca_image_programs(struct ca_claims *claims, const struct ca_image *image, void *programs,
                         size_t capacity);

/* Memory of glibc's malloc, and its variables (malloc.c). */
bool ca_claim_malloc(struct ca_claims *claims);
/* Mappings in which any allocator keeps blocks. */
bool ca_claim_blocks(struct ca_claims *claims);
/* Stacks and thread-local storage (threads.c). */
bool ca_claim_threads(struct ca_claims *claims);

#endif
