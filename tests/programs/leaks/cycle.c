/* A ring of three, and a block that points to itself: of a ring each block is held by another one.
 * EXPECT direct 1 40 indirect 3 96 */
#include "leaks.h"

static NOINLINE void make(void)
{
    void **first = allocate(32), **second = allocate(32), **third = allocate(32), **self = allocate(40);
    memset(first, 0, 32);
    memset(second, 0, 32);
    memset(third, 0, 32);
    memset(self, 0, 40);
    first[1] = second;
    second[2] = third;
    third[3] = first;
    self[4] = self;
    escape(first);
    escape(self);
}

int main(void)
{
    make();
    scrub();
    finish();
}
