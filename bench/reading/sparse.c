/* sparse.c: a core file that is nearly all holes: `sparse GIBIBYTES` maps that much, writes one page of each
 * 64 MiB, keeps a thousand blocks and aborts. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* of bench/interposers/tables.c, where that is loaded */
void bench_report_tables(void) __attribute__((weak));

enum { BLOCKS = 1000 };

static void *blocks[BLOCKS];

static void touch(size_t size)
{
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    for (size_t at = 0; at < size; at += (size_t)64 << 20) {
        memory[at] = 1;
    }
}

int main(int argc, char **argv)
{
    size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 10) << 30;
    if (size > 0) {
        touch(size);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(16 + i % 128);
    }
    if (bench_report_tables) {
        bench_report_tables();
    }
    signal(SIGABRT, SIG_DFL);
    abort();
}
