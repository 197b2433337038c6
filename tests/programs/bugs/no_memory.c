/* no_memory.c: takes memory until there is none.
 *
 * usage: no_memory    The limit (ulimit -v) is the caller's. */
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static char *page_create(void)
{
    char *page = malloc(1 << 20); /* growing */
    if (!page) {
        abort();
    }
    memset(page, 1, 1 << 10);
    return page;
}

int main(void)
{
    char *volatile last;
    for (;;) {
        last = page_create();
        (void)last;
    }
}
