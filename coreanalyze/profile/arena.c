#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_SIZE = 1 << 18 };

struct ca_arena_chunk {
    struct ca_arena_chunk *next;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void *ca_arena_add(struct ca_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct ca_arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - arena->used < size) {
        size_t wanted = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        chunk = malloc(sizeof *chunk + wanted);
        if (!chunk) {
            return NULL;
        }
        *chunk = (struct ca_arena_chunk){.next = arena->chunks, .size = wanted};
        arena->chunks = chunk;
        arena->used = 0;
    }
    void *added = chunk->bytes + arena->used;
    arena->used += size;
    return added;
}

void ca_arena_deinit(struct ca_arena *arena)
{
    while (arena->chunks) {
        struct ca_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->used = 0;
}
