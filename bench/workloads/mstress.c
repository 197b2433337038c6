/* mstress: threads that allocate in bursts, keep some blocks to the end of the round and swap others through
 * a shared array, sizes mostly small with a long tail: the pattern of mimalloc's stress test. */
#include <pthread.h>
#include <stdatomic.h>

#include "workload.h"

enum { EXCHANGED = 1000 };

static _Atomic(uint64_t *) exchanged[EXCHANGED];
static long burst;

static uint64_t *make(uint64_t *seed)
{
    size_t words = 1 + random_below(seed, 32);
    if (random_below(seed, 100) == 0) {
        words *= 100;
    } else if (random_below(seed, 1000) == 0) {
        words *= 1000;
    }
    uint64_t *block = allocate(words * sizeof *block);
    block[0] = words;
    block[words - 1] = words;
    return block;
}

static uint64_t drop(uint64_t *block)
{
    if (!block) {
        return 0;
    }
    uint64_t words = block[0];
    if (block[words - 1] != words) {
        fprintf(stderr, "mstress: a block changed\n");
        abort();
    }
    free(block);
    return words;
}

static void *work(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument + 1;
    uint64_t **kept = calloc((size_t)burst, sizeof *kept);
    for (long i = 0; i < burst; i++) {
        uint64_t kind = random_below(&seed, 100);
        if (kind < 50) {
            drop(make(&seed));
        } else if (kind < 75) {
            drop(kept[i]);
            kept[i] = NULL;
            long at = (long)random_below(&seed, (uint64_t)burst);
            drop(kept[at]);
            kept[at] = make(&seed);
        } else {
            drop(atomic_exchange(&exchanged[random_below(&seed, EXCHANGED)], make(&seed)));
        }
    }
    for (long i = 0; i < burst; i++) {
        drop(kept[i]);
    }
    free(kept);
    return NULL;
}

int main(int argc, char **argv)
{
    burst = work_amount(argc, argv, 50000);
    int threads = argc > 2 ? atoi(argv[2]) : 2;
    pthread_t *started = calloc((size_t)threads, sizeof *started);
    for (int round = 0; round < 10; round++) {
        for (int t = 0; t < threads; t++) {
            if (pthread_create(&started[t], NULL, work, (void *)(uintptr_t)(round * threads + t)) != 0) {
                perror("pthread_create");
                return 1;
            }
        }
        for (int t = 0; t < threads; t++) {
            pthread_join(started[t], NULL);
        }
    }
    for (int i = 0; i < EXCHANGED; i++) {
        drop(exchanged[i]);
    }
    free(started);
    puts("mstress done");
    return 0;
}
