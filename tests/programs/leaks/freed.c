/* Blocks that only a freed block points to, and one that the allocator's own lists point into: the
 * first word of a free chunk's header is the last one of a block of 1032 bytes before it.
 *
 * EXPECT direct 2 1082 indirect 0 0 */
#include "leaks.h"

static HOLDER void *fence;

static NOINLINE void make(void)
{
    void **holder = allocate(200);
    holder[20] = allocate(50);
    escape(holder);
    void *before = allocate(1032), *chunk = allocate(2000);
    memset(before, 0, 1032);
    fence = allocate(16);
    escape(before);
    free(chunk);
    free(holder);
}

int main(void)
{
    make();
    scrub();
    finish();
}
