/* A block that a function held in a large frame; it has returned, and nothing was written there since.
 * EXPECT direct 1 72 indirect 0 0 */
#include "leaks.h"

static NOINLINE void forget(void)
{
    void *volatile frame[8192];
    frame[0] = allocate(72);
    frame[8191] = NULL;
}

int main(void)
{
    forget();
    scrub_registers();
    finish();
}
