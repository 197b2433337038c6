/* larson: the pattern of Larson and Krishnan's server simulation: each thread replaces random blocks of its
 * array, then hands the array to a new thread, so that most blocks are freed by another thread than the one
 * that allocated them. */
#include <pthread.h>

#include "workload.h"

enum { BLOCKS = 1000, GENERATIONS = 20, LARGEST = 1000 };

struct worker {
    unsigned char *blocks[BLOCKS];
    long replacements;
    int generation;
    uint64_t seed;
    uint64_t sum;
    pthread_mutex_t *lock;
    pthread_cond_t *ended;
    int *running;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (long i = 0; i < worker->replacements; i++) {
        size_t at = random_below(&worker->seed, BLOCKS);
        worker->sum += worker->blocks[at][0];
        free(worker->blocks[at]);
        size_t size = 8 + random_below(&worker->seed, LARGEST);
        worker->blocks[at] = allocate(size);
        worker->blocks[at][0] = (unsigned char)size;
    }
    pthread_t next;
    if (++worker->generation < GENERATIONS && pthread_create(&next, NULL, work, worker) == 0) {
        pthread_detach(next);
        return NULL;
    }
    pthread_mutex_lock(worker->lock);
    --*worker->running;
    pthread_cond_signal(worker->ended);
    pthread_mutex_unlock(worker->lock);
    return NULL;
}

int main(int argc, char **argv)
{
    long replacements = work_amount(argc, argv, 40000);
    int threads = argc > 2 ? atoi(argv[2]) : 2, running = threads;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    for (int t = 0; t < threads; t++) {
        workers[t] = (struct worker){.replacements = replacements,
                                     .seed = (uint64_t)t + 1,
                                     .lock = &lock,
                                     .ended = &ended,
                                     .running = &running};
        for (int i = 0; i < BLOCKS; i++) {
            workers[t].blocks[i] = allocate(64);
            workers[t].blocks[i][0] = 1;
        }
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, &workers[t]) != 0) {
            perror("pthread_create");
            return 1;
        }
        pthread_detach(thread);
    }
    pthread_mutex_lock(&lock);
    while (running > 0) {
        pthread_cond_wait(&ended, &lock);
    }
    pthread_mutex_unlock(&lock);
    uint64_t sum = 0;
    for (int t = 0; t < threads; t++) {
        sum += workers[t].sum;
    }
    printf("larson %llu\n", (unsigned long long)sum);
    return 0;
}
