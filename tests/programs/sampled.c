/* sampled.c: known amounts of memory, for sample=BYTES: blocks that live, that were freed and that moved.
 * argv[1] != "": abort at the end. */
#include <stdlib.h>
#include <string.h>

static void *volatile sink;

static void small(void)
{
    for (int i = 0; i < 400000; i++) {
        sink = malloc(32); /* LIVE 400000 x 32 */
    }
}

static void mixed(void)
{
    for (int i = 0; i < 90000; i++) {
        void *block = malloc(1000); /* LIVE 30000 x 1000, TOTAL 90000 x 1000 */
        sink = block;
        if (i % 3) {
            free(block);
        }
    }
}

static void large(void)
{
    for (int i = 0; i < 100; i++) {
        sink = malloc(70000); /* LIVE 100 x 70000 */
    }
    for (int i = 0; i < 3000; i++) {
        void *block = malloc(50000);  /* TOTAL 3000 x 50000 */
        sink = realloc(block, 60000); /* LIVE 3000 x 60000 */
        if (!sink) {
            abort();
        }
    }
}

int main(int argc, char **argv)
{
    small();
    mixed();
    large();
    if (argc > 1 && strcmp(argv[1], "crash") == 0) {
        abort();
    }
    return 0;
}
