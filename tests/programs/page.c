/* Holds memory at four places, then aborts: page STEADY GROWING SHRINKING, numbers of blocks. What each holds is STEADY blocks
 * of 64 bytes, GROWING of 1000, SHRINKING of 3000, and HOSTILE one of 512, allocated in a file and by a function
 * whose names would be markup in a page: the function's is given by objcopy. Ten blocks of 48 bytes are leaked. */
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

void *held[10000]; /* for all to see: else the compiler would leave it out */
int count;

static NOINLINE void hold(void *block)
{
    held[count++] = block;
}

NOINLINE void steady(int blocks)
{
    for (int i = 0; i < blocks; i++) {
        hold(malloc(64));
    }
}

NOINLINE void growing(int blocks)
{
    for (int i = 0; i < blocks; i++) {
        hold(malloc(1000));
    }
}

NOINLINE void shrinking(int blocks)
{
    for (int i = 0; i < blocks; i++) {
        hold(malloc(3000));
    }
}

NOINLINE void leaking(void)
{
    for (int i = 0; i < 10; i++) {
        void *volatile lost = malloc(48);
        lost = NULL;
        (void)lost;
    }
}

void hostile(void);

int main(int argc, char **argv)
{
    if (argc > 3) {
        leaking();
        steady(atoi(argv[1]));
        growing(atoi(argv[2]));
        shrinking(atoi(argv[3]));
        hostile();
    }
    abort();
}

/* The line of the malloc below is 102. */
#line 100 "/</script><script>document.documentElement.dataset.owned=1</script>&lt;\342\200\250\377.c"
NOINLINE void hostile(void)
{
    hold(malloc(512));
}
