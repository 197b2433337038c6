/* overflow.c: writes outside of a block.
 *
 * usage: overflow over-one|over-many|under-one|under-many|run-away
 *
 * The first block's neighbour is freed afterwards, which glibc finds out; run-away writes until the memory ends. */
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

NOINLINE static char *first_create(void)
{
    return malloc(2024); /* first */
}

NOINLINE static char *second_create(void)
{
    return malloc(2040); /* second */
}

NOINLINE static char *third_create(void)
{
    return malloc(2056); /* third */
}

NOINLINE static void fill(char *from, long count)
{
    for (long i = 0; i < count; i++) {
        ((volatile char *)from)[i] = 'A'; /* written */
    }
}

NOINLINE static void drop(char *block)
{
    free(block); /* dropped */
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "over-one";
    char *first = first_create(), *second = second_create(), *third = third_create();
    if (strcmp(what, "over-one") == 0) {
        fill(first, 2025);
        drop(second);
    } else if (strcmp(what, "over-many") == 0) {
        fill(first, 2048);
        drop(second);
    } else if (strcmp(what, "under-one") == 0) {
        fill(second - 8, 1);
        drop(second);
    } else if (strcmp(what, "under-many") == 0) {
        fill(second - 24, 24);
        drop(second);
    } else if (strcmp(what, "run-away") == 0) {
        fill(first, 1L << 40);
    }
    return first[0] + third[0];
}
