/* sources.c: blocks of known sizes, and what a reader does to a process that runs.
 *
 *   sources BLOCKS THREADS   keeps BLOCKS blocks of 100 bytes, and THREADS threads that count what they do;
 * says "ready"; then, for each line on standard input: "stand NS" (the longest time in which the first
 *                            counting thread did not run, since the last line), "counts N ..." or, at its
 * end, aborts
 *
 * SIGUSR1 is counted, SIGALRM comes a thousand times a second: "signals USR1 ALRM". */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static void **kept;
static volatile int64_t longest;
static volatile long counts[64];
static volatile long usr1, alarms;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *work(void *context)
{
    long thread = (long)context;
    int64_t last = now();
    void *ring[256] = {NULL};
    for (size_t i = 0;; i = (i + 1) % 256) {
        void *block =
            malloc(200 + (size_t)thread); /* after 256 steps: 256 blocks of this size, or one more */
        free(ring[i]);
        ring[i] = block;
        counts[thread]++;
        int64_t at = now();
        if (thread == 0 && at - last > longest) {
            longest = at - last;
        }
        last = at;
    }
    return NULL;
}

static void count_usr1(int signal)
{
    (void)signal;
    usr1++;
}

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

int main(int argc, char **argv)
{
    long blocks = argc > 1 ? atol(argv[1]) : 0, threads = argc > 2 ? atol(argv[2]) : 0;
    kept = calloc((size_t)blocks + 1, sizeof *kept);
    for (long i = 0; i < blocks; i++) {
        kept[i] = malloc(100); /* HERE */
    }
    signal(SIGUSR1, count_usr1);
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, (void *)i);
    }
    if (threads) {
        struct sigaction action = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
        struct itimerval timer = {{0, 1000}, {0, 1000}};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "stand\n") == 0) {
            printf("%lld\n", (long long)longest);
            longest = 0;
        } else if (strcmp(line, "signals\n") == 0) {
            printf("%ld %ld\n", usr1, alarms);
        } else if (strcmp(line, "counts\n") == 0) {
            for (long i = 0; i < threads; i++) {
                printf("%ld ", counts[i]);
            }
            printf("\n");
        } else {
            break;
        }
        fflush(stdout);
    }
    abort();
}
