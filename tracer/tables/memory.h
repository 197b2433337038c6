/* memory.h: memory of the tracer. Every piece is a mapping of its own, asked for right behind the one before,
 * so that the kernel merges them: no range is reserved that is not used, nothing is locked, and a piece is
 * whole or not there.
 */
#ifndef TM_TABLES_MEMORY_H
#define TM_TABLES_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "../data.h"

enum tm_memory {
    TM_MEMORY_TABLES,  /* from TM_PREFERRED_ADDRESS: dumped in cores */
    TM_MEMORY_PRIVATE, /* from TM_PRIVATE_ADDRESS: MADV_DONTDUMP */
};

/* Zeroed memory, whole pages, counted in the root and against its cap; NULL when it cannot be had. */
void *tm_memory_map(enum tm_memory kind, size_t size);

/* Gives back what tm_memory_map gave. */
void tm_memory_unmap(enum tm_memory kind, void *memory, size_t size);

/* The system call behind it, replaceable by tests: maps `size` bytes at `address` with the further mmap
 * `flags`. */
TM_DATA long (*tm_memory_source)(uintptr_t address, size_t size, int flags);

#endif
