#include "real.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "../atomics.h"
#include "linked.h"
#include "objects.h"

struct tm_real tm_real;
size_t tm_real_least;

#pragma weak gnu_get_libc_version
extern const char *gnu_get_libc_version(void);

/* Holds its own address once the dynamic loader has relocated this object. */
static void *volatile relocated = (void *)&relocated;

enum { UNKNOWN, SEARCHING, FOUND };
static uint32_t stage = UNKNOWN;

bool tm_real_is_late;

/* RTLD_DEFAULT also searches the library that asks. */
static bool is_own(const void *symbol)
{
    struct tm_object own, object;
    return tm_object_find((uintptr_t)&tm_real, &own) && tm_object_find((uintptr_t)symbol, &object) &&
           object.start == own.start;
}

/* Is it the program's own stub for a function of a library? That is what the function's address is in a
 * program at a fixed address, so that dlsym finds it first. */
static bool is_stub(void *address)
{
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    return dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
           symbol->st_shndx == SHN_UNDEF;
}

/* The function that this object itself has. */
static void *symbol_of_object(const struct link_map *map, const char *name)
{
    struct tm_object object;
    void *library = map->l_name[0] == '/' ? tm_object_open(map->l_name) : NULL;
    void *symbol = library ? dlsym(library, name) : NULL;
    if (library) {
        dlclose(library);
    }
    return symbol && tm_object_find((uintptr_t)symbol, &object) && object.name == map->l_name ? symbol : NULL;
}

/* In the order in which objects were loaded, that of the global scope. The caller has the loader's lock. */
static void *symbol_behind_stubs(const char *name)
{
    void *symbol = NULL;
    for (const struct link_map *map = _r_debug.r_map; map && !symbol; map = map->l_next) {
        symbol = symbol_of_object(map, name);
    }
    return symbol;
}

void *tm_real_symbol(const char *name)
{
    if (tm_linked_with_libc()) {
        return NULL;
    }
    if (!tm_real_is_late) {
        return dlsym(RTLD_NEXT, name);
    }
    void *symbol = dlsym(RTLD_DEFAULT, name);
    if (symbol && is_stub(symbol)) {
        symbol = symbol_behind_stubs(name);
    }
    return symbol && is_own(symbol) ? NULL : symbol;
}

static struct tm_real real_search(void)
{
    struct tm_real real;
#define FIND(name) *(void **)&real.name = tm_real_symbol(#name)
    FIND(malloc);
    FIND(calloc);
    FIND(realloc);
    FIND(free);
    FIND(posix_memalign);
    FIND(aligned_alloc);
    FIND(memalign);
    FIND(valloc);
    FIND(pvalloc);
#undef FIND
    return real;
}

/* Not by __libc_malloc: tcmalloc defines that, too. */
static bool is_in_libc(uintptr_t function)
{
    struct tm_object libc, allocator;
    return gnu_get_libc_version && tm_object_find((uintptr_t)&gnu_get_libc_version, &libc) &&
           tm_object_find(function, &allocator) && allocator.start == libc.start;
}

bool tm_real_is_libc(void)
{
    return tm_real_least == 0;
}

bool tm_real_is_bypassed(void)
{
    struct tm_object object;
    if (tm_real_is_late || tm_linked_with_libc()) {
        return false;
    }
    void *first = dlsym(RTLD_DEFAULT, "malloc");
    return first && tm_object_find((uintptr_t)first, &object) && object.name[0] == '\0' && !is_own(first) &&
           !is_stub(first);
}

bool tm_real_find(void)
{
    if (relocated != (void *)&relocated || !tm_swap_if(&stage, UNKNOWN, SEARCHING)) {
        return tm_load_acquire(&stage) == FOUND;
    }
    struct tm_real real = tm_linked_with_libc() ? tm_linked_real() : real_search();
    if (!real.malloc || !real.calloc || !real.realloc || !real.free) {
        return false; /* stays SEARCHING: there is no allocator to be had, the static buffer has to do */
    }
    void *(*real_malloc)(size_t) = real.malloc;
    real.malloc = NULL;
    tm_real = real;
    tm_real_least = is_in_libc((uintptr_t)real_malloc) ? 0 : 16;
    tm_publish(&tm_real.malloc, real_malloc); /* the hooks look at this one */
    tm_publish(&stage, FOUND);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------
 * The early buffer: blocks of 16-byte granules, each behind one granule that holds its size.
 */
char tm_early_buffer[TM_EARLY_SIZE] __attribute__((aligned(64)));
static uint64_t early_used;

void *tm_early_allocate(size_t size, size_t alignment)
{
    if (size > TM_EARLY_SIZE || alignment > 4096) {
        return NULL;
    }
    if (alignment < 16) {
        alignment = 16;
    }
    uint64_t used = tm_load(&early_used);
    for (;;) {
        uintptr_t base = (uintptr_t)tm_early_buffer;
        uintptr_t block = (base + used + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1);
        uint64_t end = (block - base + size + 15) & ~UINT64_C(15);
        if (end > TM_EARLY_SIZE) {
            return NULL;
        }
        if (tm_swap_if(&early_used, used, end)) {
            memcpy((char *)block - 16, &size, sizeof(size));
            return (void *)block;
        }
        used = tm_load(&early_used);
    }
}

size_t tm_early_size(const void *block)
{
    size_t size;
    memcpy(&size, (const char *)block - 16, sizeof(size));
    return size;
}
