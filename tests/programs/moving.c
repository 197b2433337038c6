/* moving.c: pointers that never stand still: at each moment each block is held by a word of two arrays, and
 * none is leaked. Who looks at one array now and at the other one later misses some. `held` is a block that
 * is known by its size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 100000

static struct {
    void *volatile left[BLOCKS];
    char between[32 << 20]; /* so that a reader is a while on its way */
    void *volatile right[BLOCKS];
} arrays;

static void move(void *volatile *from, void *volatile *to)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        to[i] = from[i];
        from[i] = NULL;
    }
}

int main(void)
{
    memset(arrays.between, 1, sizeof arrays.between);
    for (size_t i = 0; i < BLOCKS; i++) {
        arrays.left[i] = malloc(i == BLOCKS / 2 ? 4321 : 16);
        if (!arrays.left[i]) {
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        move(arrays.left, arrays.right);
        move(arrays.right, arrays.left);
    }
}
