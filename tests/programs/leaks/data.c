/* Blocks held by variables: initialised, zero, constant after the start, and through a block of a block.
 * EXPECT direct 0 0 indirect 0 0 */
#include "leaks.h"

static HOLDER void *zero;
static HOLDER void *initialised = &zero;
static HOLDER void **nested;

int main(void)
{
    zero = allocate(100);
    initialised = allocate(101);
    nested = allocate(sizeof *nested);
    nested[0] = allocate(102);
    scrub();
    finish();
}
