/* golden.c: fills the tables with what tests/golden/expected.py says, whatever machine and compiler; then aborts.
 *
 * Its tables are kept for ever, so what is known of them comes from here: sizes, threads, and the functions of each traceback.
 * A thread is started and everything that happens only once has happened before the traces are cleared. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "tracer/tm.h"

#define NOINLINE __attribute__((noinline))
#define HERE()   __asm__ volatile("" : : : "memory") /* so that no call is a jump */

static char *kept[100];
static unsigned count;
static pthread_barrier_t turn;

NOINLINE char *leaf(size_t size)
{
    char *block = malloc(size);
    kept[count++ % 100] = block;
    HERE();
    return block;
}

NOINLINE char *grow(unsigned depth, size_t size)
{
    char *block = depth ? grow(depth - 1, size) : leaf(size);
    HERE();
    return block;
}

NOINLINE char *enlarge(char *block, size_t size)
{
    block = realloc(block, size);
    HERE();
    return block;
}

NOINLINE void track(void)
{
    tm_track(5, 0x10000, 77);
    tm_track(5, 0x123457, 3);
    tm_track(7, 0x10000, 4000);
    tm_track(7, 0x20000, 1);
    tm_untrack(7, 0x20000);
    tm_track(8, 0x30000, 6);
    tm_untrack(8, 0x30000);
    HERE();
}

NOINLINE void *work(void *unused)
{
    free(leaf(8)); /* whatever a thread's first malloc does */
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* cleared */
    for (unsigned i = 0; i < 3; i++) {
        grow(2, 2000);
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* for ever */
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_barrier_init(&turn, NULL, 2);
    pthread_create(&thread, NULL, work, NULL);
    pthread_barrier_wait(&turn);
    count = 0;
    tm_clear_traces();

    leaf(100);
    for (unsigned depth = 1; depth <= 40; depth++) {
        grow(depth, 1000 + depth);
    }
    free(leaf(300000)); /* the peak */
    enlarge(leaf(10), 50);
    for (unsigned depth = 31; depth <= 40; depth++) {
        free(kept[depth]);
    }
    leaf(0);
    track();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    abort();
}
