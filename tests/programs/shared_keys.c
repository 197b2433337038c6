/* shared_keys.c: all threads track and untrack the same few keys at once, of which each has one record at
 * most. Exits 0 when blocks and counters agree afterwards, and nothing is left when all is untracked. */
#include <pthread.h>
#include <string.h>

#include "root.h"

#include "../../tracer/tm.h"

enum { THREADS = 4, KEYS = 3 };

static unsigned long rounds;
static void *addresses[KEYS]; /* domain 0: nobody's, but as malloc's are */

static void change(uint64_t random)
{
    unsigned key = random % KEYS, domain = random >> 8 & 1 ? 0 : 5;
    uintptr_t address = domain ? 3 + key : (uintptr_t)addresses[key];
    if (random >> 16 & 1) {
        tm_track(domain, address, 1 + (random >> 24 & 0xffff));
    } else {
        tm_untrack(domain, address);
    }
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument * 2654435761u + 88172645463325252u;
    for (unsigned long i = 0; i < rounds; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        change(state >> 3);
    }
    return NULL;
}

struct found {
    unsigned count[2][KEYS];
};

static void count_key(const struct root_block *block, void *context)
{
    struct found *found = context;
    for (unsigned key = 0; key < KEYS; key++) {
        found->count[0][key] += block->domain == 0 && block->address == (uintptr_t)addresses[key];
        found->count[1][key] += block->domain == 5 && block->address == 3 + key;
    }
}

static void check(unsigned most)
{
    struct found found = {0};
    root_check();
    root_each_block(count_key, &found);
    for (unsigned key = 0; key < KEYS; key++) {
        REQUIRE(found.count[0][key] <= most && found.count[1][key] <= most);
    }
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    char *region = mmap(NULL, 4096 * KEYS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t threads[THREADS];
    REQUIRE(region != MAP_FAILED && tm_is_tracing());
    for (unsigned key = 0; key < KEYS; key++) {
        addresses[key] = region + (size_t)4096 * key;
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    check(1);
    for (unsigned key = 0; key < KEYS; key++) {
        tm_untrack(0, (uintptr_t)addresses[key]);
        tm_untrack(5, 3 + key);
    }
    check(0);
    puts("agreed");
    return 0;
}
