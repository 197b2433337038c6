/* early.c: blocks from before main and before the tracer's own constructor: in a preinit function, in a
 * constructor, and (in a library, with -DLIBRARY) in the resolver of an indirect function, which the loader
 * calls while it relocates.
 *
 * Prints the requested sizes of the blocks that are recorded, of those made here.
 */
#include <stdlib.h>

void *early_resolved(void);

#ifdef LIBRARY

static void *block;

static void *answer(void)
{
    return block;
}

static void *(*resolve(void))(void)
{
    block = malloc(1001);
    block = realloc(block, 1002);
    free(malloc(1003));
    return answer;
}

void *early_resolved(void) __attribute__((ifunc("resolve")));

#else

#include <dlfcn.h>

#include "root.h"

static void *blocks[3];

static void before_constructors(void)
{
    blocks[0] = malloc(2001);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = before_constructors;

__attribute__((constructor)) static void construct(void)
{
    blocks[1] = malloc(2002);
}

static void print_ours(const struct root_block *block, void *context)
{
    (void)context;
    for (int i = 0; i < 3; i++) {
        if (block->address == (uintptr_t)blocks[i]) {
            printf("%lu\n", block->size);
        }
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    REQUIRE(!dlerror()); /* the tracer asked the loader questions of its own */
    blocks[2] = early_resolved();
    blocks[2] = realloc(blocks[2], 2003);
    root_each_block(print_ours, NULL);
    root_check();
    for (int i = 0; i < 3; i++) {
        free(blocks[i]);
    }
    return 0;
}

#endif
