/* linked.c: uses tm.h; C and C++. Prints what the tracer answers, so that its presence shows. */
#include <stdio.h>
#include <stdlib.h>

#include "../../tracer/tm.h"

int main(void)
{
    size_t current = 1, peak = 1, total = 1;
    uintptr_t frames[10];
    printf("%d", tm_is_tracing());
    printf(" %d", tm_start(7));
    void *volatile block = malloc(100);
    tm_get_traced_memory(&current, &peak);
    printf(" %d %d %d", tm_is_tracing(), tm_get_traceback_limit(), current >= 100 && peak >= current);
    printf(" %d", tm_get_object_traceback(block, frames, 10, &total) != 0);
    printf(" %d %d", tm_track(3, 4, 5), tm_untrack(3, 4));
    tm_clear_traces();
    tm_reset_peak();
    free(block);
    printf(" %d", tm_get_tracemalloc_memory() != 0);
    tm_stop();
    printf(" %d\n", tm_is_tracing());
    return 0;
}
