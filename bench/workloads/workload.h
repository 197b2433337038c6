/* workload.h: what the allocation workloads share. Each prints one line with a checksum, so that two runs can
 * be compared, and takes its amount of work as the first argument. */
#ifndef TM_BENCH_WORKLOAD_H
#define TM_BENCH_WORKLOAD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* xorshift64*: the same sequence everywhere. The state must not be 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)random_next(state) * limit) >> 64);
}

static inline long work_amount(int argc, char **argv, long amount)
{
    return argc > 1 ? strtol(argv[1], NULL, 10) : amount;
}

static inline void *allocate(size_t size)
{
    void *block = malloc(size);
    if (!block) {
        perror("malloc");
        exit(1);
    }
    return block;
}

#endif
