/* cli.c: what the tests of the command line crash: blocks from several lines, files, depths and a library,
 * then a signal.
 *
 *     cli HOW [EXTRA]     HOW: segv, divide, abort or quit; EXTRA: more blocks on one line, for differences
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_header.h"
#include "cli_library.h"

static void *kept[8192];
static size_t kept_count;
static volatile int zero;

void *cli_keep(void *block)
{
    kept[kept_count++ % 8192] = block;
    return block;
}

/* A traceback of any depth, whose recursive frame occurs as often. */
static __attribute__((noinline)) void allocate_deep(int depth)
{
    if (depth > 0) {
        allocate_deep(depth - 1);
        kept_count += (size_t)zero;
    } else {
        cli_keep(malloc(777));
    }
}

static __attribute__((noinline)) void allocate_here(long extra)
{
    for (int i = 0; i < 40; i++) {
        cli_keep(malloc((size_t)(i * i) + 1));
    }
    cli_keep(calloc(3, 1000));
    cli_keep(malloc(3000));
    cli_keep(strdup("a string of twenty-eight bytes"));
    for (long i = 0; i < extra; i++) {
        cli_keep(malloc(64)); /* EXTRA */
    }
    free(cli_keep(malloc(12345)));
    cli_keep(malloc(0));
}

static void *run_thread(void *argument)
{
    cli_keep(malloc(5000)); /* THREAD */
    return argument;
}

static __attribute__((noinline)) void crash(const char *how)
{
    if (strcmp(how, "segv") == 0) {
        *(volatile int *)(uintptr_t)(16 + zero) = 1; /* SEGV */
    } else if (strcmp(how, "divide") == 0) {
        zero = 100 / zero; /* DIVIDE */
    } else if (strcmp(how, "abort") == 0) {
        abort();
    }
    raise(SIGQUIT);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_thread, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        return 3;
    }
    allocate_here(argc > 2 ? atol(argv[2]) : 0);
    for (int depth = 0; depth < 12; depth++) {
        allocate_deep(depth);
    }
    cli_header_allocate();
    cli_library_allocate();
    crash(argc > 1 ? argv[1] : "segv");
    return 3;
}
