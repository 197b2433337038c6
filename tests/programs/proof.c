/* proof.c: stacks that look like the one before and are not, for a tracer that compares every walk with a
 * full one (tracer/record/proof.h).
 *
 * usage: proof WHAT [ROUNDS [PLUGIN]]
 * WHAT: twins, frames, limits, threads, reloads (of PLUGIN, which has `int plugin(int)`), fork, jumps or deep
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracer/tm.h"

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
#define KEEP() __asm__ volatile("" ::: "memory")

NOINLINE static void allocate(size_t size)
{
    void *volatile block = malloc(size);
    free(block);
}

static unsigned long seed = 12345;

static unsigned draw(unsigned bound)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(seed >> 33) % bound;
}

/* ---- the same frames' sizes, other return addresses ---- */
static void twin(int depth, unsigned long path);

#define TWIN(name)                                                                                           \
    NOINLINE static void name(int depth, unsigned long path)                                                 \
    {                                                                                                        \
        twin(depth - 1, path / 4);                                                                           \
        KEEP();                                                                                              \
    }
TWIN(twin_a)
TWIN(twin_b)
TWIN(twin_c)
TWIN(twin_d)

NOINLINE static void twin(int depth, unsigned long path)
{
    static void (*const others[])(int, unsigned long) = {twin_a, twin_b, twin_c, twin_d};
    if (depth > 0) {
        others[path % 4](depth, path);
    }
    allocate(8);
    KEEP();
}

/* Depths around the limits of tracebacks, the outer part of the path often as it was. */
static void twins(int rounds)
{
    unsigned long path = 0;
    for (int i = 0; i < rounds; i++) {
        path ^= 1UL << draw(40);
        twin(1 + (int)draw(18), path);
    }
}

/* ---- the same stack pointer, another frame pointer; what the frame before left is still there ---- */
NOINLINE static int plain(void)
{
    allocate(8);
    return 1;
}

/* gcc reaches the arguments through a word of the frame. */
NOINLINE static double realigned(int count, ...)
{
    __attribute__((aligned(64))) double values[8];
    char *volatile unused = alloca((size_t)count * 16);
    values[count & 7] = count;
    __asm__ volatile("" : : "r"(values) : "memory");
    allocate(8);
    (void)unused;
    return values[count & 7];
}

/* Calls in two places, so that a frame which is taken for an older one leads elsewhere. */
#define EITHER(site, call)                                                                                   \
    if (site) {                                                                                              \
        (void)(call);                                                                                        \
        __asm__ volatile("nop" ::: "memory");                                                                \
    } else {                                                                                                 \
        (void)(call);                                                                                        \
        __asm__ volatile("nop\n\tnop" ::: "memory");                                                         \
    }

NOINLINE static int lower(size_t room, int kind, int site)
{
    char *volatile unused = alloca(room);
    (void)unused;
    if (kind == 0) {
        void *volatile block = malloc(8);
        free(block);
    } else if (kind == 1) {
        EITHER(site, plain())
    } else {
        EITHER(site, realigned(kind, 1, 2, 3))
    }
    return kind;
}

NOINLINE static void upper(size_t room, size_t rest, int kind, int sites)
{
    char *volatile unused = alloca(room);
    (void)unused;
    EITHER(sites & 1, lower(rest, kind, sites >> 1))
}

NOINLINE static void top(size_t extra, size_t room, size_t rest, int kind, int sites)
{
    char *volatile unused = alloca(extra);
    (void)unused;
    EITHER(sites & 1, (upper(room, rest, kind, sites >> 1), 0))
}

/* The sum of all three is the same, or differs by less than a realigned frame is moved. */
static void frames(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        size_t extra = draw(4) * 16;
        size_t room = i % 2 ? 64 - extra : draw(4) * 16;
        size_t shift = draw(8) == 0 ? draw(4) * 16 : 0;
        top(extra, room, 256 - extra - room + shift, (int)draw(4), (int)draw(8));
    }
}

/* ---- other limits ---- */
static void limits(int rounds)
{
    static const int all[] = {1, 2, 3, 7, 25, 60, 2, 300};
    for (int i = 0; i < rounds / 100; i++) {
        tm_stop();
        tm_start(all[i % 8]);
        twins(50);
        twin(12, 0x123456);
    }
}

/* ---- threads that end, and others that get their slots and stacks ---- */
static void *thread_run(void *argument)
{
    seed = (unsigned long)(uintptr_t)argument;
    twin(3, (unsigned long)(uintptr_t)argument);
    frames(20);
    twins(20);
    return NULL;
}

static void threads(int rounds)
{
    for (int i = 0; i < rounds / 50; i++) {
        pthread_t running[3];
        for (int j = 0; j < 3; j++) {
            if (pthread_create(&running[j], NULL, thread_run, (void *)(uintptr_t)(i * 3 + j)) != 0) {
                abort();
            }
        }
        for (int j = 0; j < 3; j++) {
            pthread_join(running[j], NULL);
        }
    }
}

/* ---- code that another thread replaces: the same addresses, another module ---- */
static const char *plugin_path;
static int (*volatile plugin)(int);
static volatile int turn; /* 0: of whom calls the code, 1: of whom loads it anew, 2: over */

static void *thread_reload(void *argument)
{
    void *library = NULL;
    (void)argument;
    while (turn != 2) {
        if (turn == 1) {
            if (library) {
                dlclose(library);
            }
            library = dlopen(plugin_path, RTLD_NOW);
            plugin = library ? (int (*)(int))dlsym(library, "plugin") : NULL;
            if (!plugin) {
                abort();
            }
            turn = 0;
        }
        sched_yield();
    }
    return NULL;
}

static void reloads(int rounds)
{
    pthread_t loading;
    if (pthread_create(&loading, NULL, thread_reload, NULL) != 0) {
        abort();
    }
    for (int i = 0; i < rounds / 100; i++) {
        turn = 1;
        while (turn == 1) {
            sched_yield();
        }
        plugin(3);
        if (i % 2) {
            twins(3);
        }
    }
    turn = 2;
    pthread_join(loading, NULL);
}

/* ---- children of a process with threads ---- */
static volatile int stop;

static void *thread_busy(void *argument)
{
    (void)argument;
    for (unsigned long path = 1; !stop; path++) {
        twin((int)(path % 30), path * 0x9e3779b97f4a7c15UL);
    }
    return NULL;
}

static int children(int rounds)
{
    pthread_t busy;
    if (pthread_create(&busy, NULL, thread_busy, NULL) != 0) {
        abort();
    }
    int failed = 0;
    for (int i = 0; i < rounds / 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            threads(100);
            twins(100);
            exit(0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        failed |= status;
    }
    stop = 1;
    pthread_join(busy, NULL);
    return failed != 0;
}

/* ---- longjmp out of the tracer, wherever it is ---- */
static sigjmp_buf out;
static volatile sig_atomic_t armed, jumped, ticks;
static uintptr_t tracer_low, tracer_high;

static void tick(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    const ucontext_t *interrupted = context;
#if defined(__x86_64__)
    uintptr_t pc = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
#else
    uintptr_t pc = (uintptr_t)interrupted->uc_mcontext.pc;
#endif
    ticks++;
    twin((int)(ticks % 5), (unsigned long)ticks);
    if (armed && pc >= tracer_low && pc < tracer_high) {
        jumped++;
        siglongjmp(out, 1);
    }
}

static void tracer_find(void)
{
    Dl_info info;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps || !dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info)) {
        abort();
    }
    while (fgets(line, sizeof(line), maps)) {
        unsigned long low, high;
        if (strstr(line, info.dli_fname) && sscanf(line, "%lx-%lx r-x", &low, &high) == 2 &&
            strstr(line, " r-xp ")) {
            tracer_low = low;
            tracer_high = high;
        }
    }
    fclose(maps);
}

/* Ends when the tracer was left so often. */
static int jumps(int rounds)
{
    tracer_find();
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    sigaction(SIGPROF, &action, NULL);
    const struct itimerval every = {{0, 100}, {0, 100}};
    setitimer(ITIMER_PROF, &every, NULL);
    while (jumped < rounds / 500 && ticks < rounds) {
        if (sigsetjmp(out, 1) == 0) {
            armed = 1;
            for (;;) {
                twins(100);
                frames(10);
                if (jumped >= rounds / 500 || ticks >= rounds) {
                    break;
                }
            }
        }
        armed = 0;
        twins(5);
    }
    const struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_PROF, &never, NULL);
    armed = 0;
    return jumped == 0;
}

/* ---- more frames than are kept ---- */
NOINLINE static int dive(int depth, int floor)
{
    int result = depth > 0 ? dive(depth - 1, floor) : 0;
    if (depth < floor) {
        allocate(8);
    }
    KEEP();
    return result + 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int rounds = argc > 2 ? atoi(argv[2]) : 20000;
    int result = 0;
    if (strcmp(what, "twins") == 0) {
        twins(rounds);
    } else if (strcmp(what, "frames") == 0) {
        frames(rounds);
    } else if (strcmp(what, "limits") == 0) {
        limits(rounds);
    } else if (strcmp(what, "threads") == 0) {
        threads(rounds);
    } else if (strcmp(what, "reloads") == 0 && argc > 3) {
        plugin_path = argv[3];
        reloads(rounds);
    } else if (strcmp(what, "fork") == 0) {
        result = children(rounds);
    } else if (strcmp(what, "jumps") == 0) {
        result = jumps(rounds);
    } else if (strcmp(what, "deep") == 0) {
        for (int depth = 32740; depth < 32790; depth += 7) {
            dive(depth, 3);
        }
        dive(70000, 2);
        twins(1000);
    } else {
        result = 2;
    }
    return result;
}
