/* tm.h: tracemalloc for native programs, from inside the traced program.
 *
 * Link with -ltm, or not at all: without the tracer every function below answers "not tracing" and costs a load and a
 * branch. So a program can ship these calls and be traced when it is started by tm-run or with LD_PRELOAD=libtm.so. (The
 * functions are weak references. Where -ltm is there for them only, and the linker drops libraries that it holds to be
 * unneeded, say -Wl,--no-as-needed -ltm; a program without position-independent code also needs
 * -Wl,-z,dynamic-undefined-weak to be traced by preloading.)
 *
 * The functions are tracemalloc's; all may be called from any thread at any time, also from signal handlers, and leave errno
 * alone.
 */
#ifndef TM_H
#define TM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest traceback that can be asked for. */
#define TM_NFRAME_MAX 65535

/* The tracer's own names. */
#define TM_API(result, name, parameters) \
    extern result tm_weak_##name parameters __asm__("tm_" #name) __attribute__((weak)); \
    static __inline__ result tm_##name parameters __asm__("tm_inlined_" #name); /* clang: one name, one symbol */ \
    static __inline__ __attribute__((unused, always_inline)) result tm_##name parameters

/* Starts to trace, at most nframe (1..65535) frames of each traceback. 0 also when it is tracing already: then nothing
 * changes. -1: nframe is out of range. -2: there is no tracer, or it has no memory for its tables. */
TM_API(int, start, (int nframe))
{
    return tm_weak_start ? tm_weak_start(nframe) : -2;
}

/* Stops and forgets all traces. No effect when not tracing. */
TM_API(void, stop, (void))
{
    if (tm_weak_stop) {
        tm_weak_stop();
    }
}

/* 1 while tracing, else 0. */
TM_API(int, is_tracing, (void))
{
    return tm_weak_is_tracing ? tm_weak_is_tracing() : 0;
}

/* Forgets all traces and goes on: the blocks that are allocated now stay unknown. No effect when not tracing. */
TM_API(void, clear_traces, (void))
{
    if (tm_weak_clear_traces) {
        tm_weak_clear_traces();
    }
}

/* The nframe of the last start; 1 before the first. */
TM_API(int, get_traceback_limit, (void))
{
    return tm_weak_get_traceback_limit ? tm_weak_get_traceback_limit() : 1;
}

/* Bytes of all traced blocks now, and at most since start, clear or reset; both 0 when not tracing. The peak is exact while
 * one thread allocates, else it may be short by 64 KiB per thread. Either pointer may be NULL. */
TM_API(void, get_traced_memory, (size_t *current, size_t *peak))
{
    if (tm_weak_get_traced_memory) {
        tm_weak_get_traced_memory(current, peak);
        return;
    }
    if (current) {
        *current = 0;
    }
    if (peak) {
        *peak = 0;
    }
}

/* Makes the peak what is traced now. No effect when not tracing. */
TM_API(void, reset_peak, (void))
{
    if (tm_weak_reset_peak) {
        tm_weak_reset_peak();
    }
}

/* Bytes of the tracer's own memory; 0 without a tracer. */
TM_API(size_t, get_tracemalloc_memory, (void))
{
    return tm_weak_get_tracemalloc_memory ? tm_weak_get_tracemalloc_memory() : 0;
}

/* The traceback of the block that begins at ptr: addresses of code, most recent first, at most `capacity`, go to frames. They
 * are return addresses, except where a signal interrupted. Returns how many the traceback has; 0 when not tracing or the
 * block is not traced (or when its traceback is empty). *ret_total_nframe, unless NULL, is how deep the stack was; 0 when
 * that is not known. Addresses in libraries that were unloaded since mean nothing. */
TM_API(size_t, get_object_traceback, (const void *ptr, uintptr_t *frames, size_t capacity, size_t *ret_total_nframe))
{
    if (tm_weak_get_object_traceback) {
        __asm__("" : "+r"(ptr)); /* only the address is used: compilers need not warn that nothing was written there */
        return tm_weak_get_object_traceback(ptr, frames, capacity, ret_total_nframe);
    }
    if (ret_total_nframe) {
        *ret_total_nframe = 0;
    }
    return 0;
}

/* Records a block of another allocator: the key is (domain, ptr), any values are good, and an older record of the same key is
 * replaced. Domain 0 is malloc's, 1 is meant for mmap. Calls for one key must follow one another, as an allocator's for one
 * address do: two threads that track or untrack the same key at the same moment may leave it counted twice or not at all.
 * 0 on success, -1 when it could not be stored, -2 when not tracing. */
TM_API(int, track, (unsigned domain, uintptr_t ptr, size_t size))
{
    return tm_weak_track ? tm_weak_track(domain, ptr, size) : -2;
}

/* Takes the record away. 0 also when there was none, -2 when not tracing. */
TM_API(int, untrack, (unsigned domain, uintptr_t ptr))
{
    return tm_weak_untrack ? tm_weak_untrack(domain, ptr) : -2;
}

#undef TM_API

#ifdef __cplusplus
}
#endif

#endif
