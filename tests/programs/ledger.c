/* ledger.c: threads allocate and free by every function of the malloc family, keep a ledger of their own
 * outside of malloc, and hand blocks to each other; then the program holds the tracer's tables against the
 * ledger.
 *
 * Usage: ledger THREADS OPERATIONS KEY_SHIFT (of the LIVE region). Exits 0 when all is right, else 1 with a
 * line on stderr.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../tracer/tm.h"
#include "root.h"

#define SLOTS 2000

struct entry {
    void *block;
    size_t size;
    uint32_t thread;
    uint32_t seen;
};

static struct entry *entries; /* SLOTS for each thread */
static unsigned thread_count;
static unsigned long operations;
static _Atomic(struct entry *) exchange[64];

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *allocate(uint64_t pick, size_t size)
{
    void *block = NULL;
    switch (pick % 9) {
    case 0:
        return calloc(1, size);
    case 1:
        return realloc(NULL, size);
    case 2:
        return reallocarray(NULL, 1, size);
    case 3:
        return posix_memalign(&block, 64, size) == 0 ? block : NULL;
    case 4:
        return aligned_alloc(32, size);
    case 5:
        return memalign(256, size);
    case 6:
        return valloc(size);
    default:
        return malloc(size);
    }
}

static size_t size_pick(uint64_t random)
{
    size_t size = random % 300;
    if ((random >> 32 & 15) == 0) {
        return size % 3; /* allocators have ways of their own with nothing */
    }
    return random >> 40 & 127 ? size : size * 5000;
}

static void entry_fill(struct entry *entry, void *block, size_t size)
{
    REQUIRE(block || size == 0);
    *entry = (struct entry){block, size, (uint32_t)syscall(SYS_gettid), 0};
}

static void entry_free(struct entry *entry)
{
    int before = errno = 77;
    free(entry->block);
    REQUIRE(errno == before);
    *entry = (struct entry){0};
}

static void step(struct entry *own, uint64_t *state)
{
    uint64_t random = random_next(state);
    struct entry *entry = &own[random % SLOTS];
    size_t size = size_pick(random >> 20);
    if (!entry->block) {
        entry_fill(entry, allocate(random >> 50, size), size);
    } else if (random >> 60 < 4) {
        size_t more = size ? size : 1;
        entry_fill(entry, realloc(entry->block, more), more);
    } else if (random >> 60 == 5) {
        errno = 0;
        REQUIRE(!realloc(entry->block, SIZE_MAX / 4) && errno == ENOMEM);
    } else if (random >> 60 < 8) { /* to whom it may concern; what comes back is freed here */
        struct entry *package = malloc(sizeof(*package));
        *package = *entry;
        *entry = (struct entry){0};
        package = atomic_exchange(&exchange[random >> 8 & 63], package);
        if (package) {
            free(package->block);
            free(package);
        }
    } else {
        entry_free(entry);
    }
}

static void *work(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    uint64_t state = 88172645463325252u + number * 7919;
    for (unsigned long i = 0; i < operations; i++) {
        step(entries + (size_t)number * SLOTS, &state);
    }
    return NULL;
}

static void exchange_empty(void)
{
    for (int i = 0; i < 64; i++) {
        struct entry *package = atomic_exchange(&exchange[i], NULL);
        if (package) {
            free(package->block);
            free(package);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Checks
 */

static uint64_t matched;

static int entry_compare(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)((const struct entry *)left)->block,
              b = (uintptr_t)((const struct entry *)right)->block;
    return a < b ? -1 : a > b;
}

/* Blocks that are not in the ledger are libc's own: of thread descriptors, for example. */
static void check_foreign(const struct root_block *block)
{
    const struct tm_stack *stack = root_stack(block->stack);
    if (root_depth(stack)) {
        const char *path = root_module_path(root_frame(stack, 0)->module);
        if (!strstr(path, "/ld-linux") && !strstr(path, "/libc.so") && !strstr(path, "malloc")) {
            FAIL("unknown block %#lx of %lu bytes from %s", block->address, block->size, path);
        }
    }
}

static void check_block(const struct root_block *block, void *context)
{
    const struct tm_root *root = context;
    struct entry key = {.block = (void *)(uintptr_t)block->address};
    struct entry *entry = bsearch(&key, entries, thread_count * SLOTS, sizeof(*entry), entry_compare);
    if (!entry) {
        check_foreign(block);
        return;
    }
    matched++;
    if (entry->seen++ || entry->size != block->size) {
        FAIL("block %#lx: %lu bytes, not %zu (seen %u)", block->address, block->size, entry->size,
             entry->seen);
    }
    if (root->features & TM_FEATURE_DETAIL) {
        REQUIRE(block->thread == entry->thread && block->order != 0);
    }
    const struct tm_stack *stack = root_stack(block->stack);
    REQUIRE(root_depth(stack) >= (root->traceback_limit < 2 ? 1 : 2));
    REQUIRE(stack->flags & TM_STACK_NO_DEPTH || stack->total_nframe >= root_depth(stack));
}

static void fail_for_wide(const struct root_block *block, void *context)
{
    (void)context;
    FAIL("block %#lx of %lu bytes in domain %u has no live word", block->address, block->size, block->domain);
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return memory;
}

static void check(void)
{
    const struct tm_root *root = root_find();
    uint64_t blocks = 0;
    size_t current, peak;
    qsort(entries, thread_count * SLOTS, sizeof(*entries), entry_compare);
    for (unsigned i = 0; i < thread_count * SLOTS; i++) {
        blocks += entries[i].block != NULL;
    }
    root_each_block(check_block, (void *)(uintptr_t)root);
    root_each_wide(fail_for_wide, NULL);
    if (matched != blocks) {
        FAIL("%lu blocks of %lu are in the tables", matched, blocks);
    }
    struct root_sums sums = root_check();
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current == sums.size && peak >= current);
    REQUIRE(root->dropped_count == 0 && root->anomaly_count == 0);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 4 && tm_is_tracing());
    REQUIRE(root_region(TM_REGION_LIVE, 0)->key_shift == (uint32_t)atoi(argv[3]));
    thread_count = (unsigned)atoi(argv[1]);
    operations = strtoul(argv[2], NULL, 10);
    entries = map(thread_count * SLOTS * sizeof(*entries));
    pthread_t *threads = map(thread_count * sizeof(*threads));
    tm_clear_traces();
    for (unsigned i = 1; i < thread_count; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    }
    work(NULL);
    for (unsigned i = 1; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    exchange_empty();
    check();
    return 0;
}
