/* realigned.c: allocates from functions that realign their stack and reach their arguments through a saved
 * pointer (gcc's DRAP frames: the CFA is a word of the frame), nested with plain ones, for tests of the stack
 * walker. */
#include <alloca.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

NOINLINE static void allocate(int size)
{
    void *volatile block = malloc((size_t)size + 8);
    free(block);
}

NOINLINE static double variable(int depth, ...)
{
    __attribute__((aligned(64))) double values[16];
    char *memory = alloca((size_t)depth * 16 + 16);
    memset(memory, depth, (size_t)depth * 16);
    for (int i = 0; i < 16; i++) {
        values[i] = i * depth;
    }
    __asm__ volatile("" : : "r"(values), "r"(memory) : "memory");
    allocate(depth);
    double deeper = depth > 0 ? variable(depth - 1, 1, 2) : 0;
    allocate(1);
    return deeper + values[depth & 15] + memory[0];
}

NOINLINE static double arguments(int depth, double a, double b, double c, double d, double e, double f,
                                 double g, double h, double i, double j)
{
    __attribute__((aligned(64))) double values[16];
    for (int k = 0; k < 16; k++) {
        values[k] = k * depth + i + j;
    }
    __asm__ volatile("" : : "r"(values) : "memory");
    allocate(depth);
    double deeper = depth > 0 ? arguments(depth - 1, a, b, c, d, e, f, g, h, i, j + 1) : variable(3);
    allocate(2);
    return deeper + values[depth & 15] + a * b + c * d + e * f + g * h;
}

/* Another value of the saved pointer at the same stack pointer, frame pointer and return addresses. */
NOINLINE static double shifted(int depth, int shift)
{
    char *memory = alloca((size_t)shift * 8 + 8);
    memory[0] = (char)depth;
    __asm__ volatile("" : : "r"(memory) : "memory");
    return arguments(depth, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) + memory[0];
}

static void handler(int number)
{
    (void)arguments(number % 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
}

int main(void)
{
    signal(SIGUSR1, handler);
    double sum = 0;
    for (int i = 0; i < 200; i++) {
        sum += variable(i % 15);
        sum += arguments(i % 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
        sum += shifted(i % 5, i % 8);
        raise(SIGUSR1);
    }
    return sum > 1e300;
}
