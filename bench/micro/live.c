/* live: COUNT live blocks of 16 to 143 bytes, all written: `live COUNT`. Prints the process's resident memory
 * in bytes. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../workloads/workload.h"

struct block {
    struct block *next; /* so that nothing but the blocks is live */
};

/* The second number of /proc/self/statm is in pages. */
static long resident(void)
{
    char text[128] = "";
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0) {
        perror("/proc/self/statm");
        exit(1);
    }
    close(file);
    const char *second = strchr(text, ' ');
    return second ? strtol(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

int main(int argc, char **argv)
{
    long count = work_amount(argc, argv, 1000000);
    uint64_t seed = 1;
    struct block *blocks = NULL;
    for (long i = 0; i < count; i++) {
        size_t size = 16 + random_below(&seed, 128);
        struct block *block = allocate(size);
        memset(block, 1, size);
        block->next = blocks;
        blocks = block;
    }
    printf("%ld\n", resident());
    return blocks == NULL;
}
