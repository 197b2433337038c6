/* walks_plugin.c: loaded and unloaded by walks.cpp and reloads.c. Built with PADDING 200 and with 400, the return
 * addresses are the same and the frames are not: what was cached for the one is wrong for the other. */
#include <stdlib.h>

#ifndef PADDING
#define PADDING 200
#endif

int plugin(int depth);

int plugin(int depth)
{
    volatile char frame[PADDING];
    frame[0] = (char)depth;
    frame[PADDING - 1] = (char)depth;
    void *volatile block = malloc(16);
    free(block);
    return depth > 0 ? plugin(depth - 1) + frame[0] : frame[PADDING - 1];
}
