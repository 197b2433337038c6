/* faults.c: faults that have nothing to do with freed blocks, although a stale pointer to one lies on the stack.
 *
 * usage: faults deep|mutual|thread|null|jump|constant|unmapped|trap */
#include <pthread.h>
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

/* Two functions in turn, that allocate now and then: the stack ends in one of them, in the tracer or in libc's malloc. */
static int now_and_then = 1000;
__attribute__((noinline)) static int list(int depth);
__attribute__((noinline)) static int item(int depth)
{
    char *volatile block = depth % now_and_then ? NULL : malloc(16);
    int sum = list(depth + 1); /* item */
    free(block);
    return sum + 1;
}

__attribute__((noinline)) static int list(int depth)
{
    volatile char room[100];
    room[0] = (char)depth;
    return item(depth + 1) + room[0]; /* list */
}

static void *mutual(void *unused)
{
    (void)unused;
    list(0);
    return NULL;
}

static int in_thread(void)
{
    pthread_t thread;
    pthread_attr_t small;
    now_and_then = 1;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    pthread_create(&thread, &small, mutual, NULL);
    pthread_join(thread, NULL);
    return 0;
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
    if (strcmp(what, "mutual") == 0) {
        return list(0);
    }
    if (strcmp(what, "thread") == 0) {
        return in_thread();
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
