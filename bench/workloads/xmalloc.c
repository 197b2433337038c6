/* xmalloc: half of the threads allocate batches, the other half free them: every free is of another thread's
 * block (the pattern of Lever and Boreham's malloc-test). */
#include <pthread.h>

#include "workload.h"

enum { BATCH = 512, QUEUE = 64 };

struct batch {
    struct batch *next;
    void *blocks[BATCH];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct batch *queue;
static int queued, producers;

static void *produce(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    long batches = (long)(seed >> 8);
    seed = (seed & 0xff) + 1;
    for (long i = 0; i < batches; i++) {
        struct batch *batch = allocate(sizeof *batch);
        for (int b = 0; b < BATCH; b++) {
            batch->blocks[b] = allocate(16 + random_below(&seed, 240));
        }
        pthread_mutex_lock(&lock);
        while (queued >= QUEUE) {
            pthread_cond_wait(&changed, &lock);
        }
        batch->next = queue;
        queue = batch;
        queued++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    producers--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *consume(void *argument)
{
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!queue && producers > 0) {
            pthread_cond_wait(&changed, &lock);
        }
        struct batch *batch = queue;
        if (!batch) {
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        queue = batch->next;
        queued--;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        for (int b = 0; b < BATCH; b++) {
            free(batch->blocks[b]);
        }
        free(batch);
    }
}

int main(int argc, char **argv)
{
    long batches = work_amount(argc, argv, 4000);
    int pairs = argc > 2 ? atoi(argv[2]) / 2 : 1;
    pairs = pairs > 0 ? pairs : 1;
    producers = pairs;
    pthread_t *threads = calloc((size_t)pairs * 2, sizeof *threads);
    for (int p = 0; p < pairs; p++) {
        uintptr_t argument = ((uintptr_t)(batches / pairs) << 8) | (uintptr_t)(p & 0xff);
        if (pthread_create(&threads[2 * p], NULL, produce, (void *)argument) != 0 ||
            pthread_create(&threads[2 * p + 1], NULL, consume, NULL) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int t = 0; t < 2 * pairs; t++) {
        pthread_join(threads[t], NULL);
    }
    free(threads);
    puts("xmalloc done");
    return 0;
}
