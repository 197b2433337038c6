/* oracle.c: fills the tracer's tables with a bit of everything, then dies: what two readers are compared on.
 *
 * usage: oracle END [MIDDLE]
 * END: abort; free, malloc, realloc: inside that function of glibc's, whose memory was overwritten; handler: in a signal handler that
 * interrupted such a malloc; child: in the child of a fork. MIDDLE: none, clear, reset (the peak), stop. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracer/tm.h"

#define NOINLINE __attribute__((noinline))
enum { BLOCKS = 600, STEPS = 4000, WORKERS = 3 };

static char *blocks[WORKERS + 1][BLOCKS];
static char *handed_over[WORKERS + 1];
static pthread_barrier_t working, idle;
static char *volatile kept;
static volatile int *volatile nowhere = (volatile int *)0x10;

static uint64_t next(uint64_t *state, uint64_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % limit;
}

/* Tracebacks of many depths that share their old ends. */
NOINLINE static char *allocate(unsigned depth, size_t size)
{
    char *block = depth ? allocate(depth - 1, size) : size % 7 ? malloc(size) : calloc(1, size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

NOINLINE static char *allocate_otherwise(unsigned depth, size_t size)
{
    char *block = depth ? allocate(depth / 2, size) : aligned_alloc(64, (size + 64) / 64 * 64);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static void work(unsigned number, unsigned steps)
{
    uint64_t state = 1 + number;
    for (unsigned i = 0; i < steps; i++) {
        char **block = &blocks[number][next(&state, BLOCKS)];
        size_t size = next(&state, next(&state, 50) ? 300 : 40000);
        unsigned depth = (unsigned)next(&state, 40);
        if (!*block) {
            *block = depth % 3 ? allocate(depth, size) : allocate_otherwise(depth, size);
        } else if (depth % 4 == 0) {
            *block = realloc(*block, size + 1);
        } else {
            free(*block);
            *block = NULL;
        }
    }
    handed_over[number] = allocate(number, 777);
}

static void *worker(void *number)
{
    work((unsigned)(uintptr_t)number, STEPS);
    pthread_barrier_wait(&working);
    if ((uintptr_t)number == 1) {
        return NULL; /* its slot is free for another thread */
    }
    pthread_barrier_wait(&idle); /* for ever */
    return NULL;
}

static void track(void)
{
    for (unsigned i = 0; i < 20; i++) {
        tm_track(5, UINT64_C(0x10000) * (i + 1), 1000 + i);
    }
    tm_track(5, 0x123457, 3);                          /* no multiple of 16 */
    tm_track(5, UINT64_C(0x800000000010), 11);         /* beyond user space */
    tm_track(9, UINT64_C(0x10000), UINT64_C(1) << 40); /* a key of its own; larger than a live word's size */
    tm_track(0, 0x7654321, 33);                        /* domain 0, and no malloc gives it */
    tm_track(5, 0x30000, 5);                           /* replaces */
    tm_untrack(5, 0x40000);
}

/* What glibc keeps before a block says nonsense from now on. */
static void overwrite_header(char *block)
{
    size_t *header = (size_t *)(void *)block - 1;
    __asm__ volatile("" : "+r"(header));
    *header = ~(size_t)14;
}

/* The same for what is left of the heap; the next large malloc aborts. */
static void overwrite_top(void)
{
    char *last = malloc(100000);
    size_t *header = (size_t *)(void *)(last + malloc_usable_size(last));
    __asm__ volatile("" : "+r"(header));
    *header = ~(size_t)14;
}

static void handle(int number)
{
    (void)number;
    kept = malloc(40); /* of those that were freed: glibc looks at nothing else */
    *nowhere = 1;
}

static void die_in_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        kept = malloc(4242);
        abort();
    }
    waitpid(child, NULL, 0);
    kill(getpid(), SIGKILL);
}

static void end(const char *how)
{
    if (strcmp(how, "child") == 0) {
        die_in_child();
    } else if (strcmp(how, "free") == 0) {
        char *block = malloc(2000);
        overwrite_header(block);
        free(block);
    } else if (strcmp(how, "realloc") == 0) {
        char *block = malloc(3000);
        overwrite_header(block);
        kept = realloc(block, 5000);
    } else if (strcmp(how, "malloc") == 0 || strcmp(how, "handler") == 0) {
        free(malloc(40));
        overwrite_top();
        if (strcmp(how, "handler") == 0) {
            signal(SIGABRT, handle);
        }
        kept = malloc(99999);
    }
    abort();
}

int main(int argc, char **argv)
{
    const char *middle = argc > 2 ? argv[2] : "none";
    pthread_barrier_init(&working, NULL, WORKERS + 1);
    pthread_barrier_init(&idle, NULL, WORKERS + 1);
    work(0, STEPS / 2);
    if (strcmp(middle, "clear") == 0) {
        tm_clear_traces();
    } else if (strcmp(middle, "reset") == 0) {
        tm_reset_peak();
    }
    track();
    for (uintptr_t i = 1; i <= WORKERS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, worker, (void *)i);
    }
    pthread_barrier_wait(&working);
    for (unsigned i = 1; i <= WORKERS; i++) {
        free(handed_over[i]);
    }
    work(0, STEPS / 2);
    if (strcmp(middle, "stop") == 0) {
        tm_stop();
    }
    end(argc > 1 ? argv[1] : "abort");
}
