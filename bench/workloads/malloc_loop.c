/* malloc_loop.c: a tight loop of small blocks: allocate into random slots, free what was there. argv[1] = rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS 10000

static void *slots[SLOTS];

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Recursion, so that tracebacks have some depth: each level is a call of its own. */
__attribute__((noinline)) static void *allocate(size_t size, int depth)
{
    void *block = depth > 0 ? allocate(size, depth - 1) : malloc(size);
    __asm__ volatile("" ::: "memory");
    return block;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    uint32_t random = 2463534242u;
    for (long i = 0; i < rounds; i++) {
        uint32_t bits = next_random(&random);
        void **slot = &slots[bits % SLOTS];
        free(*slot);
        *slot = allocate(16 + (bits >> 20) % 128, 5);
    }
    return 0;
}
