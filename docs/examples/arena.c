/* arena.c: an arena allocator that tells the tracer about its blocks; docs/c-api.md walks through it.
 *
 *     cc -g -o arena arena.c && tm-run ./arena       # tm.h is found by pkg-config --cflags tm
 *
 * It runs the same without the tracer: then the tm_ calls cost a load and a branch. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tm.h>

enum {
    ARENA_DOMAIN = 7, /* any number that is not 0 or 1 and that no other allocator of the program uses */
    ARENA_CHUNK = 64 * 1024,
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    char bytes[ARENA_CHUNK];
};

/* Every block is tracked by its address; to untrack them in bulk the arena keeps a list of what it handed out. */
struct arena_block {
    struct arena_block *next;
    char bytes[];
};

struct arena {
    struct arena_chunk *chunks;
    struct arena_block *blocks;
};

static void *arena_allocate(struct arena *arena, size_t size)
{
    size_t needed = (sizeof(struct arena_block) + size + 15) & ~(size_t)15;
    if (needed > ARENA_CHUNK) {
        return NULL;
    }
    if (!arena->chunks || arena->chunks->used + needed > ARENA_CHUNK) {
        struct arena_chunk *chunk = malloc(sizeof *chunk);
        if (!chunk) {
            return NULL;
        }
        chunk->next = arena->chunks;
        chunk->used = 0;
        arena->chunks = chunk;
    }
    struct arena_block *block = (struct arena_block *)(arena->chunks->bytes + arena->chunks->used);
    arena->chunks->used += needed;
    block->next = arena->blocks;
    arena->blocks = block;
    tm_track(ARENA_DOMAIN, (uintptr_t)block->bytes, size);
    return block->bytes;
}

/* Frees everything at once: first the traces, then the memory, as free() does. */
static void arena_clear(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks; block; block = block->next) {
        tm_untrack(ARENA_DOMAIN, (uintptr_t)block->bytes);
    }
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->blocks = NULL;
}

static char *parse_word(struct arena *arena, const char *word)
{
    char *copy = arena_allocate(arena, strlen(word) + 1);
    return copy ? strcpy(copy, word) : NULL;
}

static void parse_line(struct arena *arena, const char *line)
{
    char words[256];
    strncpy(words, line, sizeof words - 1);
    words[sizeof words - 1] = '\0';
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        parse_word(arena, word);
    }
}

int main(void)
{
    struct arena request = {0}, cache = {0};
    for (int i = 0; i < 1000; i++) {
        parse_line(&request, "the arena of one request is cleared when the request is done");
        if (i % 10 == 0) {
            parse_line(&cache, "but somebody put these words into the cache");
        }
        arena_clear(&request);
    }
    size_t current, peak;
    tm_get_traced_memory(&current, &peak);
    printf("traced now: %zu bytes, at most: %zu bytes\n", current, peak);
    fflush(stdout);
    abort(); /* for the core */
}
