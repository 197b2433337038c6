/* subject.c: what steps.c steps through; one scenario for each name on the command line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"

#define NOINLINE __attribute__((noinline))
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            dprintf(2, "subject: line %d: " #condition "\n", __LINE__);                                      \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

extern int tm_track(unsigned domain, uintptr_t address, size_t size);
extern int tm_untrack(unsigned domain, uintptr_t address);
extern void tm_clear_traces(void);
extern void tm_reset_peak(void);
#pragma weak tm_track
#pragma weak tm_untrack
#pragma weak tm_clear_traces
#pragma weak tm_reset_peak

static struct control *control;
static void *volatile kept[64];

/* How many instructions to leave out: none where there is time. */
static uint32_t stride(uint32_t usual)
{
    return getenv("STEPS_ALL") ? 1 : usual;
}

static void mode_set(enum mode mode)
{
    control->mode = mode;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Every function
 */

NOINLINE static void family_once(void)
{
    volatile size_t times = 8;
    void *block = NULL;
    kept[0] = malloc(100);
    kept[1] = calloc(3, 50);
    kept[2] = realloc(NULL, 60);
    kept[2] = realloc(kept[2], 62);   /* in its place */
    kept[2] = realloc(kept[2], 4000); /* moved, or grown into what is free behind it */
    kept[3] = malloc(10);             /* in the way */
    kept[2] = realloc(kept[2], 9000); /* moved */
    kept[2] = realloc(kept[2], 20);   /* shrunk */
    REQUIRE(!realloc(kept[2], SIZE_MAX / 4) && errno == ENOMEM);
    REQUIRE(!malloc(SIZE_MAX / 4) && !calloc(SIZE_MAX / 4, 1) && !calloc(SIZE_MAX / 4, times));
    kept[4] = reallocarray(NULL, 5, 7);
    kept[4] = reallocarray(kept[4], 50, 7);
    REQUIRE(posix_memalign(&block, 64, 200) == 0);
    kept[5] = block;
    kept[6] = aligned_alloc(256, 512);
    kept[7] = memalign(4096, 30);
    kept[8] = valloc(40);
    kept[9] = malloc(0);
    kept[10] = malloc(300000); /* a mapping of its own */
    kept[10] = realloc(kept[10], 900000);
    for (int i = 10; i >= 0; i--) {
        free(kept[i]);
    }
    kept[0] = malloc(50);
    REQUIRE(!realloc(kept[0], 0)); /* glibc frees */
    free(NULL);
}

static void family(void)
{
    mode_set(MODE_STEP);
    family_once(); /* code positions that the walker sees for the first time */
    family_once();
}

/* ---------------------------------------------------------------------------------------------------------------
 * Blocks that the program reports
 */

NOINLINE static void tracks_once(void)
{
    for (uintptr_t i = 1; i <= 3; i++) {
        REQUIRE(tm_track(7, i, 100 * i) == 0);
        REQUIRE(tm_track(0, 0x7000 + 33 * i, 10 * i) == 0); /* odd addresses: no live word */
    }
    REQUIRE(tm_track(7, 2, 5000) == 0 && tm_track(7, 2, 50) == 0 && tm_track(7, 2, 50) == 0);
    REQUIRE(tm_track(0, 0x8000, 64) == 0 && tm_track(0, 0x8000, 128) == 0);
    REQUIRE(tm_track(0, 0x8000, (size_t)1 << 40) == 0 &&
            tm_track(0, 0x8000, 7) == 0); /* to a wide record and back */
    REQUIRE(tm_untrack(7, 1) == 0 && tm_untrack(7, 1) == 0 && tm_untrack(0, 0x8000) == 0);
    REQUIRE(tm_untrack(0, 0x7000 + 33) == 0 && tm_untrack(7, 77) == 0);
}

static void tracks(void)
{
    mode_set(MODE_STEP);
    tracks_once();
    tm_reset_peak();
    tracks_once();
    kept[0] = malloc(10);
    tm_clear_traces();
    free(kept[0]); /* its record is void */
    kept[0] = malloc(20);
    kept[0] = realloc(kept[0], 30);
    free(kept[0]);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Threads
 */

static void *passed_on;

static void *first_use(void *argument)
{
    mode_set(MODE_STEP);
    trap(TRAP_STEP); /* to the thread's end */
    free(passed_on); /* another thread's */
    passed_on = malloc(70);
    return argument;
}

static void thread_run(void *(*function)(void *))
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, function, NULL) == 0);
    pthread_join(thread, NULL);
}

static void threads(void)
{
    mode_set(MODE_STEP);
    passed_on = malloc(60);
    thread_run(first_use);
    thread_run(first_use); /* takes over the slot */
    free(passed_on);
}

static volatile int frozen_kind;

static void *freezes(void *argument)
{
    void *block = malloc(90);
    trap(TRAP_RUN);
    mode_set(MODE_FREEZE);
    if (frozen_kind == 0) {
        kept[20] = malloc(111);
    } else if (frozen_kind == 1) {
        free(block);
    } else {
        kept[20] = realloc(block, 222);
    }
    mode_set(MODE_WATCH);
    return argument;
}

/* Waits for the thread to stand still in the tracer, or to get through. */
static pthread_t thread_freeze(int kind, uint32_t instruction)
{
    pthread_t thread;
    frozen_kind = kind;
    control->instruction = instruction;
    control->reached = 0;
    mode_set(MODE_WATCH);
    REQUIRE(pthread_create(&thread, NULL, freezes, NULL) == 0);
    while (!control->reached && pthread_tryjoin_np(thread, NULL) == EBUSY) {
        sched_yield();
    }
    return thread;
}

static void thread_thaw(pthread_t thread)
{
    trap(TRAP_THAW);
    pthread_join(thread, NULL);
}

/* While another thread stands still in the tracer this one allocates, and forks. */
static void forks(void)
{
    for (int kind = 0; kind < 3; kind++) {
        thread_freeze(kind, UINT32_MAX); /* once all the way, so that the walker knows the code */
        for (uint32_t instruction = 5;; instruction += stride(83)) {
            pthread_t thread = thread_freeze(kind, instruction);
            if (!control->reached) {
                break;
            }
            mode_set(instruction % 8 == 0 ? MODE_STEP : MODE_WATCH);
            kept[21] = malloc(33);
            mode_set(instruction % 8 == 5 ? MODE_STEP : MODE_WATCH);
            pid_t child = fork();
            if (child == 0) {
                free(kept[21]);
                kept[21] = malloc(44);
                _exit(0);
            }
            mode_set(MODE_WATCH);
            REQUIRE(waitpid(child, NULL, 0) == child);
            free(kept[21]);
            thread_thaw(thread);
        }
    }
}

static void fork_alone(void)
{
    mode_set(MODE_STEP);
    kept[0] = malloc(10);
    pid_t child = fork();
    if (child == 0) {
        kept[0] = realloc(kept[0], 100);
        kept[1] = malloc(5);
        _exit(0);
    }
    REQUIRE(waitpid(child, NULL, 0) == child);
    free(kept[0]);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Code that comes and goes
 */

static void plugin_use(const char *name)
{
    char path[1000];
    snprintf(path, sizeof(path), "%s/%s", getenv("PLUGINS"), name);
    mode_set(MODE_WATCH);
    void *handle = dlopen(path, RTLD_NOW);
    REQUIRE(handle);
    void *(*allocate)(void) = (void *(*)(void))dlsym(handle, "plugin_allocate");
    mode_set(MODE_STEP);
    kept[0] = allocate();
    mode_set(MODE_STEP);
    dlclose(handle);
    free(kept[0]);
}

static void plugins(void)
{
    plugin_use("plugin_a.so");
    plugin_use("plugin_b.so");
}

/* ---------------------------------------------------------------------------------------------------------------
 * Growth of the tables
 */

/* Each number has a way of its own through these two. */
NOINLINE static void *left(unsigned number, unsigned depth);
NOINLINE static void *right(unsigned number, unsigned depth)
{
    void *block = depth == 0   ? malloc(24)
                  : number & 1 ? left(number / 2, depth - 1)
                               : right(number / 2, depth - 1);
    __asm__ volatile("" : "+r"(block));
    return block;
}

NOINLINE static void *left(unsigned number, unsigned depth)
{
    void *block = depth == 0   ? malloc(40)
                  : number & 1 ? left(number / 2, depth - 1)
                               : right(number / 2, depth - 1);
    __asm__ volatile("" : "+r"(block));
    return block;
}

/* 1 << 12 stacks, a thread for each slot of a segment, blocks far apart, many blocks without a live word. */
static void growth(void)
{
    mode_set(MODE_COUNT);
    for (unsigned i = 0; i < 1U << 12; i++) {
        mode_set(i % 512 >= 509 || i < 4 ? MODE_GROWTH : MODE_COUNT);
        free(right(i, 12));
    }
    mode_set(MODE_GROWTH);
    for (int i = 0; i < 4; i++) {
        kept[i] = malloc((size_t)200 << 20); /* a mapping: its live word is far from the others' */
    }
    for (int i = 0; i < 4; i++) {
        free(kept[i]);
    }
    for (uintptr_t i = 1; i <= 1200; i++) {
        mode_set(i > 100 && i % 64 != 0 ? MODE_COUNT : i > 20 && i % 16 != 0 ? MODE_COUNT : MODE_GROWTH);
        REQUIRE(tm_track(9, i << 20, 3) == 0);
    }
    mode_set(MODE_WATCH);
    kept[0] = malloc(10);
    free(kept[0]);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Signals
 */

static sigjmp_buf way_out;
static volatile int does_jump;

static void on_signal(int number)
{
    (void)number;
    void *volatile block = malloc(17);
    block = realloc(block, 34);
    free(block);
    if (does_jump) {
        siglongjmp(way_out, 1);
    }
}

static void interrupted(int kind, uint32_t instruction)
{
    kept[31] = NULL;
    if (kind != 0) {
        kept[30] = malloc(51);
    }
    control->instruction = instruction;
    control->reached = 0;
    if (sigsetjmp(way_out, 1) == 0) {
        mode_set(MODE_SIGNAL);
        if (kind == 0) {
            kept[31] = malloc(53);
        } else if (kind == 1) {
            free(kept[30]);
        } else if (kind == 2) {
            kept[31] = realloc(kept[30], 57);
        } else {
            tm_track(5, 1000 + kind, 10 + instruction);
        }
    }
    mode_set(MODE_WATCH);
    if (control->reached) {
        kept[32] = malloc(61); /* the thread goes on */
        free(kept[32]);
    }
}

static void signals_every(int jump, uint32_t step)
{
    struct sigaction action = {.sa_handler = on_signal};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    does_jump = jump;
    for (int kind = 0; kind < 4; kind++) {
        interrupted(kind, UINT32_MAX); /* once all the way, so that the walker knows the code */
        uint32_t instruction = 0;
        do {
            interrupted(kind, instruction);
            instruction += step;
        } while (control->reached);
    }
}

static void signals(void)
{
    signals_every(0, stride(37));
}

static void jumps(void)
{
    signals_every(1, stride(37));
}

/* ---------------------------------------------------------------------------------------------------------------
 * The history of freed blocks, of which the last three are kept
 */

static void history(void)
{
    mode_set(MODE_WATCH);
    for (int i = 0; i < 4; i++) {
        kept[i] = malloc(100 + 1000 * i);
    }
    mode_set(MODE_STEP);
    free(kept[0]);
    kept[1] = realloc(kept[1], 300000); /* moved to a mapping of its own */
    mode_set(MODE_WATCH);
    REQUIRE(tm_track(7, 0x1000, 30) == 0 && tm_untrack(7, 0x1000) == 0);
    mode_set(MODE_STEP);
    free(kept[2]); /* the first one of them goes */
    REQUIRE(tm_untrack(7, 77) == 0);
    free(kept[1]);
    mode_set(MODE_WATCH);
    kept[0] = malloc(100); /* where the first one was */
    mode_set(MODE_STEP);
    free(kept[0]);
    free(kept[3]);
}

/* ---------------------------------------------------------------------------------------------------------------
 * An operator new that throws through the tracer (thrower.cpp)
 */

#pragma weak throw_once
extern int throw_once(void);

static void throws(void)
{
    mode_set(MODE_STEP);
    REQUIRE(throw_once && throw_once() == 1);
    kept[0] = malloc(71); /* the thread goes on */
    free(kept[0]);
}

/* ---------------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"family", family},         {"tracks", tracks},   {"threads", threads}, {"forks", forks},
    {"fork_alone", fork_alone}, {"plugins", plugins}, {"growth", growth},   {"signals", signals},
    {"jumps", jumps},           {"history", history}, {"throws", throws},
};

int main(int argc, char **argv)
{
    const char *page = getenv(CONTROL_VARIABLE);
    REQUIRE(argc == 2 && page);
    control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(page), 0);
    REQUIRE(control != MAP_FAILED);
    void *volatile first = malloc(1);
    free(first);
    trap(TRAP_READY);
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            scenarios[i].run();
            mode_set(MODE_WATCH);
            return 0;
        }
    }
    return 2;
}
