/* blocks.c: live blocks from many stacks, then a core file of itself: `blocks BLOCKS STACKS`.
 *
 * A stack is one path through a tree of calls that has two call sites at every level: BLOCKS / STACKS blocks
 * for each of STACKS paths, of 16 to 143 bytes, allocated in turns (as a program does: neighbours in memory
 * come from different stacks). */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEVELS = 20 };

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static size_t random_size(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return 16 + (size_t)(random_state >> 33) % 128;
}

/* of bench/interposers/tables.c, where that is loaded */
void bench_report_tables(void) __attribute__((weak));

/* Blocks are kept in a list, so that nothing but they is live. */
struct block {
    struct block *next;
};
static struct block *blocks;

__attribute__((noinline)) static void keep(struct block *block)
{
    if (!block) {
        abort();
    }
    block->next = blocks;
    blocks = block;
}

__attribute__((noinline)) static void allocate(unsigned path)
{
    switch (path & 3) { /* four lines */
    case 0:
        keep(malloc(random_size()));
        break;
    case 1:
        keep(malloc(random_size()));
        break;
    case 2:
        keep(malloc(random_size()));
        break;
    default:
        keep(malloc(random_size()));
        break;
    }
    __asm__ volatile("");
}

__attribute__((noinline)) static void descend(unsigned path, int level)
{
    if (level == 0) {
        allocate(path);
    } else if (path >> level & 1) {
        descend(path, level - 1);
        __asm__ volatile(""); /* else the two sites would be merged */
    } else {
        descend(path, level - 1);
        __asm__ volatile("nop");
    }
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: blocks BLOCKS STACKS\n");
        return 64;
    }
    unsigned long count = strtoul(argv[1], NULL, 10), stacks = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 0; i < count; i++) {
        descend((unsigned)(i % stacks), LEVELS);
    }
    if (bench_report_tables) {
        bench_report_tables();
    }
    signal(SIGABRT, SIG_DFL);
    abort();
}
