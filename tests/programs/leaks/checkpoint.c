/* Preloaded into a program that knows nothing of it: at its exit LeakSanitizer, where that is loaded, looks
 * for leaks; else it dumps core. */
#include <stdlib.h>
#include <unistd.h>

void __lsan_do_leak_check(void) __attribute__((weak));

static void check(void)
{
    if (__lsan_do_leak_check) {
        __lsan_do_leak_check();
        _exit(0);
    }
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    atexit(check);
}
