/* A block held by a register alone; r15 keeps its value across calls. EXPECT direct 0 0 indirect 0 0 */
#include "leaks.h"

static void *volatile handed;

int main(void)
{
    handed = allocate(56);
    scrub();
    __asm__ volatile("mov %0, %%r15\n\tmovq $0, %0"
#ifndef LSAN
                     "\n\tud2"
#endif
                     : "+m"(handed)
                     :
                     : "r15", "memory");
    finish();
}
