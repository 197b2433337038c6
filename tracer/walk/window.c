#include "window.h"

#include "arch.h"

/* The smallest page of any Linux: on systems with larger ones the same page is asked about more than once. */
#define PAGE_BITS 12
#define PAGE      (UINT64_C(1) << PAGE_BITS)

/* A frame that is larger than this starts a window of its own. */
#define REACH (256 * PAGE)

#define WINDOW_COUNT 4

/* A window is one word, so that a signal handler that walks meanwhile sees it whole:
 * first page (45 bits: 57-bit addresses) and number of pages. */
#define COUNT_BITS 19
#define COUNT_MAX  ((UINT64_C(1) << COUNT_BITS) - 1)

static __thread uint64_t windows[WINDOW_COUNT];
static __thread unsigned next_window;

static struct tm_window window_unpack(uint64_t word)
{
    uintptr_t low = (word >> COUNT_BITS) << PAGE_BITS;
    return (struct tm_window){.low = low, .high = low + ((word & COUNT_MAX) << PAGE_BITS)};
}

static void window_store(unsigned index, const struct tm_window *window)
{
    uint64_t count = (window->high - window->low) >> PAGE_BITS;
    if (count <= COUNT_MAX) {
        __atomic_store_n(&windows[index], window->low >> PAGE_BITS << COUNT_BITS | count, __ATOMIC_RELAXED);
    }
}

/* Grows the window to [low, high), both at page bounds; stops at the first page that is not there. */
static bool window_stretch(struct tm_window *window, uintptr_t low, uintptr_t high)
{
    while (window->high < high) {
        if (!tm_arch_is_readable(window->high)) {
            return false;
        }
        window->high += PAGE;
    }
    while (window->low > low) {
        if (!tm_arch_is_readable(window->low - PAGE)) {
            return false;
        }
        window->low -= PAGE;
    }
    return true;
}

bool tm_window_move(struct tm_window *window, uintptr_t from, uintptr_t to)
{
    if (from >= to || to - from > REACH || to > UINTPTR_MAX - REACH - PAGE || from < REACH) {
        return false;
    }
    uintptr_t low = from & ~(PAGE - 1);
    uintptr_t high = (to + PAGE - 1) & ~(PAGE - 1);
    for (unsigned i = 0; i < WINDOW_COUNT; i++) {
        struct tm_window known = window_unpack(__atomic_load_n(&windows[i], __ATOMIC_RELAXED));
        if (known.high == 0 || low + REACH < known.low || high > known.high + REACH) {
            continue;
        }
        bool covered = window_stretch(&known, low, high);
        window_store(i, &known);
        if (covered) {
            *window = known;
            return true;
        }
    }
    struct tm_window fresh = {.low = low, .high = low};
    if (!window_stretch(&fresh, low, high)) {
        return false;
    }
    window_store(next_window++ % WINDOW_COUNT, &fresh);
    *window = fresh;
    return true;
}
