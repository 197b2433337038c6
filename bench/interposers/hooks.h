/* hooks.h: stands in for the malloc family and hands every call on to the allocator below, as any tracer
 * must.
 *
 * The including file defines the two functions declared here and is a shared library of its own, for
 * LD_PRELOAD. A failed allocation is none, and free(NULL) frees nothing. malloc_usable_size and the like need
 * no hook.
 */
#ifndef TM_BENCH_HOOKS_H
#define TM_BENCH_HOOKS_H

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Called after each successful malloc, calloc, realloc, reallocarray, and aligned allocation. */
static inline void note_allocation(void);
/* Called before each free of a block. */
static inline void note_free(void);

#define HOOK       __attribute__((visibility("default")))
#define PER_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void (*free)(void *);
} next;

/* What the loader itself asks for while it looks up the functions above: never freed. */
static char early[16384] __attribute__((aligned(16)));
static size_t early_used;
static bool resolving;

static bool is_early(const void *block)
{
    return (uintptr_t)block - (uintptr_t)early < sizeof early;
}

static void *early_allocate(size_t size)
{
    size_t at = early_used;
    if (size > sizeof early - at) {
        return NULL;
    }
    early_used = at + ((size + 15) & ~(size_t)15);
    return early + at;
}

static __attribute__((noinline, cold)) void resolve(void)
{
    resolving = true;
    next.calloc = dlsym(RTLD_NEXT, "calloc");
    next.realloc = dlsym(RTLD_NEXT, "realloc");
    next.memalign = dlsym(RTLD_NEXT, "memalign");
    next.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    next.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next.free = dlsym(RTLD_NEXT, "free");
    next.malloc = dlsym(RTLD_NEXT, "malloc");
    resolving = false;
}

/* True when the functions below can be called. */
static inline bool ready(void)
{
    if (__builtin_expect(!next.malloc, 0) && !resolving) {
        resolve();
    }
    return next.malloc != NULL;
}

static inline void *noted(void *block)
{
    if (block) {
        note_allocation();
    }
    return block;
}

HOOK void *malloc(size_t size)
{
    return ready() ? noted(next.malloc(size)) : early_allocate(size);
}

HOOK void *calloc(size_t count, size_t size)
{
    return ready() ? noted(next.calloc(count, size)) : early_allocate(count * size);
}

static void *early_move(const void *block, size_t size)
{
    void *moved = next.malloc(size);
    size_t left = (size_t)(early + sizeof early - (const char *)block);
    return moved ? memcpy(moved, block, size < left ? size : left) : NULL;
}

HOOK void *realloc(void *block, size_t size)
{
    if (!ready()) {
        return early_allocate(size);
    }
    return noted(is_early(block) ? early_move(block, size) : next.realloc(block, size));
}

HOOK void *reallocarray(void *block, size_t count, size_t size)
{
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, product);
}

HOOK void *memalign(size_t alignment, size_t size)
{
    return ready() ? noted(next.memalign(alignment, size)) : NULL;
}

HOOK void *aligned_alloc(size_t alignment, size_t size)
{
    return ready() ? noted(next.aligned_alloc(alignment, size)) : NULL;
}

HOOK int posix_memalign(void **block, size_t alignment, size_t size)
{
    int error = ready() ? next.posix_memalign(block, alignment, size) : ENOMEM;
    if (error == 0) {
        note_allocation();
    }
    return error;
}

HOOK void free(void *block)
{
    if (!block || is_early(block) || !ready()) {
        return;
    }
    note_free();
    next.free(block);
}

#endif
