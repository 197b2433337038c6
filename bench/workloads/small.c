/* small: a loop over small blocks, sizes 16 to 143 bytes, freed in batches: nothing but the allocator. */
#include "workload.h"

enum { SLOTS = 200 };

int main(int argc, char **argv)
{
    long rounds = work_amount(argc, argv, 20000);
    unsigned char *slots[SLOTS];
    uint64_t seed = 1, sum = 0;
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < SLOTS; i++) {
            size_t size = 16 + random_below(&seed, 128);
            slots[i] = allocate(size);
            slots[i][0] = (unsigned char)size;
        }
        for (int i = 0; i < SLOTS; i++) {
            sum += slots[i][0];
            free(slots[i]);
        }
    }
    printf("small %llu\n", (unsigned long long)sum);
    return 0;
}
