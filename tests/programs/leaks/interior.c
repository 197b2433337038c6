/* Blocks held by a pointer to their first, a middle and their last byte: not leaked. By one to the byte after
 * the last: leaked; but new T[0] gives that byte of a block that holds 0. EXPECT direct 2 56 indirect 0 0 */
#include "leaks.h"

static HOLDER char *first, *middle, *last, *past, *past_number;
static HOLDER char *empty;

static NOINLINE void make(void)
{
    first = allocate(200);
    middle = (char *)allocate(200) + 100;
    last = (char *)allocate(200) + 199;
    past = (char *)allocate(48) + 48;
    past_number = allocate(8);
    memset(past_number, 1, 8);
    past_number += 8;
    empty = allocate(8);
    memset(empty, 0, 8);
    empty += 8;
}

int main(void)
{
    make();
    scrub();
    finish();
}
