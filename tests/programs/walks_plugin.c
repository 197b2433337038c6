/* walks_plugin.c: loaded and unloaded by walks.cpp. Built more than once with another PADDING, so that other
 * code comes to stand where code was. */
#include <stdlib.h>
#include <string.h>

#ifndef PADDING
#define PADDING 64
#endif

int plugin(int depth);

int plugin(int depth)
{
    volatile char frame[PADDING];
    memset((char *)frame, depth, sizeof(frame));
    void *volatile block = malloc(16);
    free(block);
    return depth > 0 ? plugin(depth - 1) + frame[1] : frame[0];
}
