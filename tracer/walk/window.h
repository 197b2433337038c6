/* window.h: which stack memory is known to be mapped.
 *
 * A walk over a live stack whose unwind information is right reads mapped words only, but a corrupt stack,
 * assembler with wrong CFI or a guessed frame may send it anywhere. So the walker reads inside a window only:
 * pages of the stack in use that a cheap system call (tm_arch_is_readable) has answered for. A page is asked
 * about once: each thread keeps its last windows, and a stack stays mapped from the page in use up to its end
 * while the thread runs on it. Asking page by page needs no name of the stack, so it serves main, thread,
 * signal and coroutine stacks alike; /proc/self/maps would have to be parsed for every new stack and
 * pthread_getattr_np allocates.
 */
#ifndef TM_WINDOW_H
#define TM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct tm_window {
    uintptr_t low;  /* first mapped address */
    uintptr_t high; /* the one after the last */
};

/* Makes the window cover [from, to): grown if that is near, else another window. At most 257 pages are asked
 * about. False if there is memory that cannot be read, or the range is empty, wraps or is longer than 1 MiB.
 */
bool tm_window_move(struct tm_window *window, uintptr_t from, uintptr_t to);

static inline bool tm_window_cover(struct tm_window *window, uintptr_t from, uintptr_t to)
{
    if (__builtin_expect(from < to && from >= window->low && to <= window->high, true)) {
        return true;
    }
    return tm_window_move(window, from, to);
}

#endif
