/* peaks: allocates and frees at random from several lines, keeps a ledger of its own, and prints what the peak was made of
 * before it aborts: one line "LINE live_count live_size peak_count peak_size total_count total_size" for each, then
 * "current SIZE" and "peak SIZE". Arguments: seed, steps, and what happens in the middle: none, reset or clear. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracer/tm.h"

enum { SITES = 6, BLOCKS = 400 };

struct site {
    int line;
    uint64_t live_count, live_size, peak_count, peak_size, total_count, total_size;
};

struct block {
    char *address; /* NULL = none */
    size_t size;
    struct site *site;
};

static struct site sites[SITES];
static struct block blocks[BLOCKS];
static uint64_t current, peak;
static int fallen;
static uint64_t state;

static uint64_t next(uint64_t limit)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (state >> 33) % limit;
}

#define SITE(number)                                                                          \
    static __attribute__((noinline)) char *site_##number(char *old, size_t size)              \
    {                                                                                         \
        sites[number].line = __LINE__;                                                        \
        char *made = old ? realloc(old, size) : malloc(size);                                 \
        __asm__ volatile("" : "+r"(made));                                                    \
        return made;                                                                          \
    }

/* One line each: a macro's code has the line of its use. */
SITE(0)
SITE(1)
SITE(2)
SITE(3)
SITE(4)
SITE(5)

static char *(*const makers[SITES])(char *, size_t) = {site_0, site_1, site_2, site_3, site_4, site_5};

/* After each operation. The composition is that of the last moment before memory fell: several moments may have held as much. */
static void note_peak(void)
{
    if (current > peak) {
        peak = current;
        fallen = 0;
    }
    fallen = fallen || current < peak;
    for (int i = 0; i < SITES && !fallen; i++) {
        sites[i].peak_count = sites[i].live_count;
        sites[i].peak_size = sites[i].live_size;
    }
}

static void leave(struct block *block)
{
    block->site->live_count--;
    block->site->live_size -= block->size;
    current -= block->size;
}

static void join(struct block *block, struct site *site, size_t size)
{
    block->site = site;
    block->size = size;
    site->live_count++;
    site->live_size += size;
    site->total_count++;
    site->total_size += size;
    current += size;
}

static void forget(int clear)
{
    if (!clear) {
        tm_reset_peak();
        peak = current;
        fallen = 0;
        note_peak();
        return;
    }
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i].address);
    }
    tm_clear_traces();
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < SITES; i++) {
        sites[i] = (struct site){.line = sites[i].line};
    }
    current = peak = 0;
    fallen = 0;
}

static void step(void)
{
    struct block *block = &blocks[next(BLOCKS)];
    int number = (int)next(SITES);
    size_t size = next(next(10) == 0 ? 20000 : 300);
    if (block->address && next(3) == 0) {
        leave(block);
        block->address = makers[number](block->address, size + 1);
        join(block, &sites[number], size + 1);
    } else if (block->address) {
        free(block->address);
        block->address = NULL;
        leave(block);
    } else {
        block->address = makers[number](NULL, size);
        join(block, &sites[number], size);
    }
    note_peak();
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16]; /* stdio's own, so that it allocates nothing */
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long steps = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
    const char *middle = argc > 3 ? argv[3] : "none";
    tm_clear_traces(); /* the start-up's blocks are not ours */
    for (long i = 0; i < steps; i++) {
        if (i == steps / 2 && strcmp(middle, "none") != 0) {
            forget(strcmp(middle, "clear") == 0);
        }
        step();
    }
    for (int i = 0; i < SITES; i++) {
        printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sites[i].line,
               sites[i].live_count, sites[i].live_size, sites[i].peak_count, sites[i].peak_size, sites[i].total_count,
               sites[i].total_size);
    }
    printf("current %" PRIu64 "\npeak %" PRIu64 "\n", current, peak);
    fflush(stdout);
    abort();
}
