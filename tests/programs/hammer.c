/* hammer.c: eight threads allocate and free, each other's blocks too, threads come and go; what each slot
 * holds stands in memory that a reader shares, so that it can be compared at any moment, also after the
 * program died.
 *
 * usage: hammer FILE SECONDS    FILE is mapped and holds struct slot[SLOTS]; the program ends by itself
 *        hammer FILE SECONDS crash    a thread aborts in the end, after a time that depends on the process id
 *
 * A slot's word `state` changes BEFORE and AFTER each call: where it is SETTLED the slot's block is there, or
 * not, exactly. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hammer.h"

static struct slot *slots;
static double seconds;
static struct timespec begin;

static double elapsed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) * 1e-9;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *allocate(uint64_t pick, size_t size)
{
    switch (pick % 4) {
    case 0:
        return calloc(1, size);
    case 1:
        return aligned_alloc(64, size & ~(size_t)63);
    default:
        return malloc(size);
    }
}

static void change(struct slot *slot, uint64_t random)
{
    uint64_t expected = SETTLED, size = 64 + (random >> 20) % 2000;
    if (!atomic_compare_exchange_strong(&slot->state, &expected, BUSY)) {
        return;
    }
    void *block = (void *)(uintptr_t)atomic_load(&slot->address);
    atomic_store(&slot->previous, (uintptr_t)block);
    if (!block) {
        size = random >> 60 & 1 ? size & ~(uint64_t)63 : size;
        size = (random & 3) == 1 ? size & ~(uint64_t)63 : size;
        block = allocate(random, size);
    } else if (random >> 58 & 1) {
        block = realloc(block, size);
    } else {
        free(block);
        block = NULL;
    }
    atomic_store(&slot->address, (uintptr_t)block);
    atomic_store(&slot->size, block ? size : 0);
    atomic_store(&slot->state, SETTLED);
}

/* A thread that works for a little while and ends. */
static void *work(void *argument)
{
    uint64_t state = (uint64_t)(uintptr_t)argument * 2654435761u + 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        uint64_t random = random_next(&state);
        change(&slots[random % SLOTS], random_next(&state));
    }
    return NULL;
}

static void *begin_threads(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    while (elapsed() < seconds) {
        pthread_t thread;
        number += THREADS;
        if (pthread_create(&thread, NULL, work, (void *)number) != 0) {
            abort();
        }
        pthread_join(thread, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 64;
    }
    int file = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct slot) * SLOTS) != 0) {
        return 1;
    }
    slots = mmap(NULL, sizeof(struct slot) * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    seconds = atof(argv[2]);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, begin_threads, (void *)i) != 0) {
            return 1;
        }
    }
    if (argc > 3) {
        struct timespec nap = {0, 20000000 + getpid() % 1000 * 30000};
        nanosleep(&nap, NULL);
        abort(); /* while the others are anywhere */
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
