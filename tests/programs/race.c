/* race.c: eight threads on the tracer's tables without its malloc hooks, for ThreadSanitizer: blocks of
 * several domains are tracked, replaced and untracked by whoever comes, while others clear, stop, start, ask
 * and reset.
 *
 * Linked with all of the tracer but entry/hooks.c. Exits 0 when the counters came to 0. No thread ends: the
 * tracer gives a slot back in the last round of a thread's destructors, when ThreadSanitizer has no record of
 * that thread any more. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tracer/tm.h"

enum { THREADS = 8, KEYS = 4096 };

static unsigned long rounds;
static pthread_barrier_t done;
static atomic_flag busy[3][KEYS + 1]; /* a key is one thread's at a time, as a block is */

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
    if (atomic_flag_test_and_set(&busy[domain][key])) {
        return;
    }
    if (random >> 40 & 1) {
        tm_track(domain, domain ? key : key << 20, random >> 50);
    } else {
        tm_untrack(domain, domain ? key : key << 20);
    }
    atomic_flag_clear(&busy[domain][key]);
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
    pthread_barrier_wait(&done);
    for (;;) {
        pause();
    }
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    pthread_t threads[THREADS];
    if (tm_start(12) != 0) {
        return 2;
    }
    pthread_barrier_init(&done, NULL, THREADS + 1);
    for (int life = 0; life < 2; life++) {
        for (uintptr_t i = 0; i < THREADS; i++) {
            if (pthread_create(&threads[i], NULL, work, (void *)i) != 0) {
                return 2;
            }
        }
        pthread_barrier_wait(&done);
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
