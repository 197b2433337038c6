/* arena.h: memory that is freed all at once. */
#ifndef CA_PROFILE_ARENA_H
#define CA_PROFILE_ARENA_H

#include <stddef.h>

struct ca_arena_chunk;

/* Zero-initialise. */
struct ca_arena {
    struct ca_arena_chunk *chunks;
    size_t used; /* bytes of the newest chunk */
};

/* Memory for any type, not initialised; NULL when there is none. Lives until ca_arena_deinit. */
void *ca_arena_add(struct ca_arena *arena, size_t size);
void ca_arena_deinit(struct ca_arena *arena);

#endif
