/* race.c: eight threads on the tracer's tables without its malloc hooks, for ThreadSanitizer: blocks of several domains are
 * tracked, replaced and untracked by whoever comes, while others clear, stop, start, ask and reset.
 *
 * Linked with all of the tracer but entry/hooks.c and entry/operators.c. Exits 0 when the counters came to 0. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tracer/tm.h"

enum { THREADS = 8, KEYS = 4096 };

static unsigned long rounds;

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

__attribute__((noinline)) static void change(uint64_t random, unsigned depth)
{
    if (depth > 0) {
        change(random, depth - 1);
        __asm__ volatile("");
        return;
    }
    uintptr_t key = 1 + (random >> 8) % KEYS;
    unsigned domain = random % 3;
    if (random >> 40 & 1) {
        tm_track(domain, domain ? key : key << 20, random >> 50);
    } else {
        tm_untrack(domain, domain ? key : key << 20);
    }
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument * 2654435761u + 88172645463325252u;
    for (unsigned long i = 0; i < rounds; i++) {
        uint64_t random = random_next(&state);
        size_t current, peak;
        change(random, random >> 60);
        if (i % 512 == 511) {
            tm_get_traced_memory(&current, &peak);
        }
        if ((uintptr_t)argument == 0 && i % 4096 == 4095) {
            tm_clear_traces();
            tm_reset_peak();
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    pthread_t threads[THREADS];
    if (tm_start(12) != 0) {
        return 2;
    }
    for (int life = 0; life < 3; life++) { /* slots are taken over */
        for (uintptr_t i = 0; i < THREADS; i++) {
            pthread_create(&threads[i], NULL, work, (void *)i);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    for (uintptr_t key = 1; key <= KEYS; key++) {
        tm_untrack(0, key << 20);
        tm_untrack(1, key);
        tm_untrack(2, key);
    }
    size_t current, peak;
    tm_get_traced_memory(&current, &peak);
    printf("%zu left\n", current);
    return current != 0;
}
