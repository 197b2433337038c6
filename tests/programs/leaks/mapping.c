/* A block held by a page that the program maps itself, right below memory that malloc maps: the kernel makes
 * one mapping of both.
 *
 * EXPECT direct 0 0 indirect 0 0
 * EXPECT lsan direct 1 80 indirect 1 16 */
#include <sys/mman.h>

#include "leaks.h"

static HOLDER void *large;

static NOINLINE void make(void)
{
    large = allocate(1 << 20); /* mapped */
    void **page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    void **block = allocate(80);
    memset(block, 0, 80);
    block[5] = allocate(16);
    page[100] = block;
    escape(page);
}

int main(void)
{
    make();
    scrub();
    finish();
}
