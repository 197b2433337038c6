#include "memory.h"

#include <errno.h>
#include <unistd.h>

#include "../atomics.h"
#include "../host/system.h"
#include "../unwind.h"
#include "root.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* How far to go on where something of the host is in the way, and how often. */
#define SKIP     (UINT64_C(64) << 20)
#define ATTEMPTS 64

long (*tm_memory_source)(uintptr_t address, size_t size, int flags) = tm_system_mmap;

/* The first address of each kind that was never asked for. */
static uint64_t next_address[] = { TM_PREFERRED_ADDRESS, TM_PRIVATE_ADDRESS };

static uint64_t size_in_pages(size_t size)
{
    return ((uint64_t)size + TM_PAGE_MAX - 1) & ~(TM_PAGE_MAX - 1);
}

static bool memory_account(enum tm_memory kind, uint64_t size)
{
    struct tm_root *root = tm_root;
    uint64_t committed = tm_add(&root->committed_bytes, size) + size;
    if (root->max_bytes && committed > root->max_bytes) {
        tm_add(&root->committed_bytes, -size);
        return false;
    }
    if (kind == TM_MEMORY_PRIVATE) {
        tm_add(&root->private_bytes, size);
    }
    return true;
}

static void memory_unaccount(enum tm_memory kind, uint64_t size)
{
    tm_add(&tm_root->committed_bytes, -size);
    if (kind == TM_MEMORY_PRIVATE) {
        tm_add(&tm_root->private_bytes, -size);
    }
}

/* The kernel's answer for a piece behind the last one, or behind what is in its way. */
static long memory_map_in_order(enum tm_memory kind, uint64_t size)
{
    long answer = -ENOMEM;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t address = tm_add(&next_address[kind], size);
        answer = tm_memory_source(address, size, MAP_FIXED_NOREPLACE);
        if (answer == (long)address) {
            return answer;
        }
        if (!tm_system_failed(answer)) { /* kernels before 4.17 take the address as a hint */
            tm_system_munmap((void *)answer, size);
            answer = -EEXIST;
        }
        if (answer != -EEXIST) {
            tm_swap_if(&next_address[kind], address + size, address);
            return answer;
        }
        tm_swap_if(&next_address[kind], address + size, address + SKIP);
    }
    return answer;
}

void *tm_memory_map(enum tm_memory kind, size_t size)
{
    size = size_in_pages(size);
    if (size == 0 || !memory_account(kind, size)) {
        return NULL;
    }
    long answer = memory_map_in_order(kind, size);
    if (tm_system_failed(answer)) {
        answer = tm_memory_source(0, size, 0);
    }
    if (tm_system_failed(answer)) {
        memory_unaccount(kind, size);
        return NULL;
    }
    if (kind == TM_MEMORY_PRIVATE) {
        tm_system_madvise((void *)answer, size, MADV_DONTDUMP);
    }
    return (void *)answer;
}

void tm_memory_unmap(enum tm_memory kind, void *memory, size_t size)
{
    tm_system_munmap(memory, size_in_pages(size));
    memory_unaccount(kind, size_in_pages(size));
}

void *tm_private_allocate(size_t size)
{
    return tm_memory_map(TM_MEMORY_PRIVATE, size);
}

void tm_private_free(void *memory, size_t size)
{
    tm_memory_unmap(TM_MEMORY_PRIVATE, memory, size);
}
