/* faults.c: faults that have nothing to do with freed blocks, although a stale pointer to one lies on the stack.
 *
 * usage: faults deep|null|jump|constant|unmapped|trap */
#include <stdlib.h>
#include <string.h>

static const char constant[64] = "constant";
static int (*volatile function)(int);

__attribute__((noinline)) static int deep(int depth)
{
    volatile char room[200];
    room[0] = (char)depth;
    return deep(depth + 1) + room[0];
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "null";
    char *volatile stale = malloc(64), *volatile mapped = malloc(1 << 20);
    int *volatile null = NULL;
    free(stale);
    if (strcmp(what, "deep") == 0) {
        return deep(0);
    }
    if (strcmp(what, "null") == 0) {
        return null[3];
    }
    if (strcmp(what, "jump") == 0) {
        return function(1);
    }
    if (strcmp(what, "constant") == 0) {
        *(char *volatile)((char *)constant + 5) = 'x';
    }
    if (strcmp(what, "unmapped") == 0) {
        free(mapped);
        return mapped[100];
    }
    if (strcmp(what, "trap") == 0) {
        __builtin_trap();
    }
    return 0;
}
