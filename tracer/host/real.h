/* real.h: the allocator below the tracer, and a small one for the time before it is known. */
#ifndef TM_HOST_REAL_H
#define TM_HOST_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../data.h"

struct tm_real {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
    int (*posix_memalign)(void **ret_block, size_t alignment, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void *(*memalign)(size_t alignment, size_t size);
    void *(*valloc)(size_t size);
    void *(*pvalloc)(size_t size);
};

/* All NULL before tm_real_find(); afterwards malloc, calloc, realloc and free are not, others may be. */
TM_DATA struct tm_real tm_real;

/* Least size that is asked of the allocator: 16 where it could otherwise put two blocks into 16 bytes, else
 * 0. */
TM_DATA size_t tm_real_least;

/* Was the tracer loaded into a process that ran already? Then no search order leads to the hooks, and what is
 * below is what the program finds. Set once, before tm_real_find(). */
TM_DATA bool tm_real_is_late;

/* A function of this name below the tracer, or NULL. A late tracer asks in its constructor only. */
void *tm_real_symbol(const char *name);

/* Finds the functions behind the tracer's own in the search order. False while that cannot be done: the
 * tracer is not relocated yet, or this thread or another is at it (dlsym may allocate). */
bool tm_real_find(void);

/* Is it libc's own? Then blocks begin at least 32 bytes apart. */
bool tm_real_is_libc(void);

/* Has the program a malloc of its own? Its calls lead there and not to the hooks. */
bool tm_real_is_bypassed(void);

/* Zeroed blocks until then, from a static buffer; NULL when it is used up. They are never given back. */
void *tm_early_allocate(size_t size, size_t alignment);
size_t tm_early_size(const void *block);

TM_DATA char tm_early_buffer[];
#define TM_EARLY_SIZE ((size_t)64 << 10)
static inline bool tm_early_owns(const void *block)
{
    return (uintptr_t)block - (uintptr_t)tm_early_buffer < TM_EARLY_SIZE;
}

#endif
