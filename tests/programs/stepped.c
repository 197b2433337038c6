/* stepped.c: allocates in a signal handler after every single instruction of a piece of code with prologues,
 * epilogues, PLT stubs, the lazy binder and assembler of libc, for tests of the stack walker.
 *
 * usage: stepped [realigned]    Prints how many instructions it stepped. x86-64 only (the trap flag).
 *
 * realigned: a realigned frame, too. In its epilogue, between `leave` and `ret`, gcc's CFI (seen with 12.2)
 * still says that the frame pointer is saved where the frame pointer points to: any unwinder goes astray
 * there, libunwind crashes.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#define NOINLINE  __attribute__((noinline))
#define TRAP_FLAG 0x100

static volatile int stopping;
static volatile long steps;

/* Bound at their first call: those are stepped. */
extern long labs(long);
extern div_t div(int, int);

static void step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ucontext_t *interrupted = context;
    void *volatile block = malloc(24);
    free(block);
    steps = steps + 1;
    if (stopping) {
        interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    }
}

/* With -z lazy this runs below the lazy binder, whose CFA is counted from rbx. */
static long (*chosen(void))(long)
{
    void *volatile block = malloc(24);
    free(block);
    return labs;
}

long choose(long value) __attribute__((ifunc("chosen")));

NOINLINE static void stepping_begin(void)
{
    __asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "i"(TRAP_FLAG) : "memory", "cc");
}

NOINLINE static long leaf(long a, long b)
{
    return a * 31 + b;
}

NOINLINE static long many(long a, long b, long c, long d, long e, long f)
{
    long x = leaf(a, b), y = leaf(c, d), z = leaf(e, f), w = leaf(a, f);
    return x + leaf(y, z) * w + leaf(x, w) + leaf(z, y);
}

NOINLINE static double realigned(int depth, double a, double b, double c, double d, double e, double f,
                                 double g, double h, double i)
{
    __attribute__((aligned(64))) double values[8];
    for (int k = 0; k < 8; k++) {
        values[k] = a + i * k;
    }
    __asm__ volatile("" : : "r"(values) : "memory");
    double deeper = depth > 0 ? realigned(depth - 1, b, c, d, e, f, g, h, i, a) : 0;
    return values[depth] + deeper;
}

NOINLINE static int variable(int size)
{
    volatile char memory[size];
    memory[0] = 1;
    return size > 8 ? variable(size / 2) + memory[0] : memory[0];
}

static int compare(const void *left, const void *right)
{
    return *(const char *)left - *(const char *)right;
}

NOINLINE static long stepped(int with_realigned)
{
    char text[64] = "the quick brown fox";
    char copy[64];
    long sum = many(1, 2, 3, 4, 5, 6);
    sum += labs(-sum) + div((int)sum, 3).quot;
    sum += variable(40);
    if (with_realigned) {
        sum += (long)realigned(2, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    }
    memcpy(copy, text, sizeof(copy));
    sum += (long)strlen(copy) + strcmp(text, copy) + strtol("123", NULL, 10);
    qsort(copy, 8, 1, compare);
    struct timespec now;
    sum += clock_gettime(CLOCK_MONOTONIC, &now);
    return sum;
}

int main(int argc, char **argv)
{
    void *volatile first = malloc(24); /* what malloc does once, it does now */
    free(first);
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    long sum = choose(-1);
    stepping_begin();
    sum += stepped(argc > 1 && strcmp(argv[1], "realigned") == 0);
    stopping = 1;
    printf("%ld steps\n", steps);
    return sum == 42;
}
