/* bad_free.c: what must not be given to free.
 *
 * usage: bad_free double|inside|stack|global */
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static char table[256] __attribute__((aligned(64)));

NOINLINE static char *text_create(size_t size)
{
    return calloc(1, size); /* allocated */
}

NOINLINE static void text_drop(char *text)
{
    free(text); /* first */
}

NOINLINE static void text_drop_again(char *text)
{
    free(text); /* second */
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "double";
    char local[256] __attribute__((aligned(64)));
    char *volatile text = text_create(100);
    char *volatile other = text_create(100);
    memset(local, 0, sizeof local);
    if (strcmp(what, "double") == 0) {
        text_drop(text);
        text_drop_again(text);
    } else if (strcmp(what, "inside") == 0) {
        text_drop_again(text + 32);
    } else if (strcmp(what, "stack") == 0) {
        text_drop_again(local + 64);
    } else if (strcmp(what, "global") == 0) {
        text_drop_again(table + 64);
    }
    return other[0] + local[0];
}
