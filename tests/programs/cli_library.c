/* cli_library.c: holds more than the rest of cli.c together; stripped, only its exported functions have
 * names. */
#include "cli_library.h"

#include <stdlib.h>

static void *blocks[64];
static volatile size_t count;

static __attribute__((noinline)) void allocate(size_t size)
{
    blocks[count % 64] = malloc(size); /* LIBRARY */
    count++;
}

static __attribute__((noinline)) void allocate_twice(size_t size)
{
    allocate(size);
    allocate(size);
    count++;
}

__attribute__((noinline)) void cli_library_allocate_less(void)
{
    allocate_twice(1000);
    count++;
}

void cli_library_allocate(void)
{
    cli_library_allocate_less();
    allocate_twice(500000);
    count++;
}
