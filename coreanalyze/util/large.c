/* large.c: see large.h. */
#include "large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)

void *ca_allocate_large(size_t size)
{
    if (size < 2 * HUGE_PAGE) {
        return malloc(size ? size : 1);
    }
    char *memory = malloc(size);
    if (memory) {
        uintptr_t start = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
        uintptr_t end = ((uintptr_t)memory + size) & ~(HUGE_PAGE - 1);
        if (start < end) {
            madvise((void *)start, end - start, MADV_HUGEPAGE); /* without it: the same, slower */
        }
    }
    return memory;
}
