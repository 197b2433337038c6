/* unwind.h: the walk up the calling thread's stack, behind one small interface.
 *
 * The walker is exact from .eh_frame (no frame pointers needed), takes no lock, allocates nothing, reads only memory that is
 * mapped, and ends after TM_WALK_MAX frames at the latest. Rules are cached by return address, together with the frame id.
 */
#ifndef TM_UNWIND_H
#define TM_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deepest walk; a stack that is deeper is cut and its depth unknown. */
#define TM_WALK_MAX 65535

/* Where a walk begins: the registers of the caller of the hook, as they will be after the hook returns. */
struct tm_walk_start {
    uintptr_t pc; /* return address of the hook */
    uintptr_t sp; /* stack pointer after the return */
    uintptr_t bp; /* frame pointer of the caller (rbp; x29) */
};

struct tm_walk {
    uint32_t *frames;  /* caller's storage for `limit` frame ids; filled most recent first */
    uint32_t limit;    /* 1..65535: the most recent frames are kept */
    uint32_t count;    /* frames filled */
    uint32_t total;    /* physical depth, saturating at 65535; valid unless TM_STACK_NO_DEPTH is set */
    uint16_t flags;    /* TM_STACK_* of layout.h */
};

/* Prepares the caches; false when memory cannot be had (then walks give no frames). Called once, before the first walk. */
bool tm_unwind_init(void);

/* Walks. Must be called from the hook itself or a function that it calls, so that the hook's frame is still there. */
void tm_unwind(const struct tm_walk_start *start, struct tm_walk *walk);

/* Forgets the cached rules, because code was unloaded. Safe while other threads walk. */
void tm_unwind_forget(void);

/* What the walker needs of the rest of the tracer:
 * id of the frame with this word (enum tm_frame_kind and address, layout.h), a new one at the first call; 0 when memory runs
 * out. code_address: an address inside the code (address - 1 for a return address), to find the module. frames.c */
uint32_t tm_frame_intern(uint64_t word, uintptr_t code_address);

/* Private (MADV_DONTDUMP) zeroed memory of the tracer, counted against `max`; NULL when it cannot be had. memory.c */
void *tm_private_allocate(size_t size);
void tm_private_free(void *memory, size_t size);

#endif
