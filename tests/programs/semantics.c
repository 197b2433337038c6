/* semantics.c: what tracing promises, case by case, looked up in the tables of the process itself.
 *
 * Usage: semantics CASE under the tracer; semantics --list names the cases. Exits 0, or 1 with a line on
 * stderr. Built with -fno-builtin: else compilers take pairs of malloc and free away.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "../../tracer/tm.h"
#include "root.h"

#define NOINLINE __attribute__((noinline, noipa))

static void *volatile sink;

struct lookup {
    uint64_t address;
    uint32_t domain;
    bool found;
    struct root_block block;
};

static void lookup_visit(const struct root_block *block, void *context)
{
    struct lookup *lookup = context;
    if (block->address == lookup->address && block->domain == lookup->domain) {
        REQUIRE(!lookup->found);
        lookup->found = true;
        lookup->block = *block;
    }
}

static struct lookup look_up(uint32_t domain, uintptr_t address)
{
    struct lookup lookup = {.address = address, .domain = domain};
    root_each_block(lookup_visit, &lookup);
    return lookup;
}

static bool is_recorded(const void *block)
{
    return look_up(0, (uintptr_t)block).found;
}

static void require_size(const void *block, size_t size)
{
    struct lookup lookup = look_up(0, (uintptr_t)block);
    REQUIRE(lookup.found);
    if (lookup.block.size != size) {
        FAIL("%lu bytes are recorded, not %zu", lookup.block.size, size);
    }
}

static uint64_t count_now(void)
{
    return root_check().count;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Sizes
 */

static void sizes(void)
{
    void *aligned;
    sink = malloc(0), require_size(sink, 0), free(sink);
    sink = malloc(1), require_size(sink, 1), free(sink);
    sink = malloc(12345678), require_size(sink, 12345678), free(sink);
    sink = calloc(7, 13), require_size(sink, 91), free(sink);
    sink = calloc(0, 13), require_size(sink, 0), free(sink);
    sink = realloc(NULL, 33), require_size(sink, 33), free(sink);
    sink = reallocarray(NULL, 3, 5), require_size(sink, 15), free(sink);
    sink = aligned_alloc(64, 128), require_size(sink, 128), free(sink);
    sink = memalign(4096, 5), require_size(sink, 5), free(sink);
    sink = valloc(17), require_size(sink, 17), free(sink);
    REQUIRE(posix_memalign(&aligned, 1 << 20, 9) == 0);
    sink = aligned, require_size(sink, 9), free(sink);
    if (!dlopen("libjemalloc.so.2",
                RTLD_NOW | RTLD_NOLOAD)) { /* has none: libc's block would be freed by it */
        sink = pvalloc(17), require_size(sink, 17), free(sink);
    }
    REQUIRE(!is_recorded(sink));
    volatile size_t huge = SIZE_MAX / 2, many = 3;
    errno = 0;
    REQUIRE(!calloc(huge, many) && errno == ENOMEM);
    errno = 0;
    REQUIRE(!reallocarray(NULL, huge, many) && errno == ENOMEM);
    errno = 0;
    REQUIRE(!malloc(huge * 2) && (errno == ENOMEM || errno == 0)); /* mimalloc leaves it */
    errno = 5;
    REQUIRE(posix_memalign(&aligned, many, 8) == EINVAL && posix_memalign(&aligned, 64, huge * 2) == ENOMEM);
    free(NULL);
    REQUIRE(errno == 5 || errno == ENOMEM);
    root_check();
}

static NOINLINE void *grow(void *block, size_t size)
{
    void *result = realloc(block, size);
    __asm__ volatile("" ::: "memory");
    return result;
}

static void reallocs(void)
{
    uint64_t before = count_now();
    char *block = malloc(100);
    uint32_t first = look_up(0, (uintptr_t)block).block.stack;
    strcpy(block, "contents");
    block = grow(block, 100000);
    require_size(block, 100000);
    REQUIRE(strcmp(block, "contents") == 0 && look_up(0, (uintptr_t)block).block.stack != first);
    uint32_t grown = look_up(0, (uintptr_t)block).block.stack;
    block = grow(block, 10);
    require_size(block, 10);
    volatile size_t huge = SIZE_MAX / 2;
    REQUIRE(!realloc(block, huge));
    require_size(block, 10);
    REQUIRE(look_up(0, (uintptr_t)block).block.stack == grown ||
            look_up(0, (uintptr_t)block).block.stack != first);
    REQUIRE(count_now() == before + 1);
    void *result = realloc(block, 0); /* glibc frees it, jemalloc does not */
    REQUIRE(count_now() == before + (result ? 1 : 0));
    if (result) {
        require_size(result, 0);
        free(result);
    }
    REQUIRE(count_now() == before);
}

static void unrecorded(void)
{
    tm_stop();
    void *freed = malloc(10), *grown = malloc(20), *kept = malloc(30);
    REQUIRE(tm_start(5) == 0);
    uint64_t before = count_now();
    free(freed);
    REQUIRE(count_now() == before);
    grown = grow(grown, 200);
    require_size(grown, 200);
    REQUIRE(count_now() == before + 1 && !is_recorded(kept));
    free(grown);
    free(kept);
    REQUIRE(count_now() == before);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Control
 */

static void control(void)
{
    size_t current, peak;
    REQUIRE(tm_is_tracing() && tm_get_traceback_limit() == 25);
    REQUIRE(tm_start(7) == 0 && tm_get_traceback_limit() == 25); /* a second start is ignored */
    REQUIRE(tm_start(0) == -1 && tm_start(65536) == -1 && tm_start(-1) == -1);
    void *block = malloc(5000);
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current >= 5000 && peak >= current);
    tm_clear_traces();
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current == 0 && peak == 0 && !is_recorded(block));
    free(block);
    REQUIRE(count_now() == 0);
    block = malloc(100);
    tm_stop();
    REQUIRE(!tm_is_tracing() && tm_get_traceback_limit() == 25 && tm_get_tracemalloc_memory() > 0);
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current == 0 && peak == 0);
    tm_clear_traces();
    tm_reset_peak();
    REQUIRE(tm_track(3, 1, 1) == -2 && tm_untrack(3, 1) == -2);
    REQUIRE(tm_start(3) == 0 && tm_get_traceback_limit() == 3 && !is_recorded(block));
    free(block);
    void *large = malloc(1000), *small = malloc(10);
    free(large);
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current == 10 && peak == 1010);
    tm_reset_peak();
    tm_get_traced_memory(&current, &peak);
    REQUIRE(current == 10 && peak == 10);
    free(small);
}

static void object_traceback(void)
{
    uintptr_t frames[100];
    size_t total;
    void *block = malloc(1);
    size_t count = tm_get_object_traceback(block, frames, 100, &total);
    REQUIRE(count >= 3 && count <= 25 && (total == 0 || total >= count));
    Dl_info info, own;
    REQUIRE(dladdr((void *)frames[0], &info) && dladdr((void *)count_now, &own) &&
            info.dli_fbase == own.dli_fbase);
    REQUIRE(tm_get_object_traceback(block, NULL, 0, NULL) == count);
    REQUIRE(tm_get_object_traceback((char *)block + 16, frames, 100, &total) == 0 && total == 0);
    free(block);
    REQUIRE(tm_get_object_traceback(block, frames, 100, &total) == 0 && total == 0);
}

/* A debugger's request is obeyed at the next operation. */
static void requests(void)
{
    struct tm_root *root = (struct tm_root *)(uintptr_t)root_find();
    void *block = malloc(100);
    root->request = TM_REQUEST_CLEAR;
    sink = malloc(7);
    REQUIRE(root->request == 0 && !is_recorded(block) && is_recorded(sink));
    free(block);
    root->request = TM_REQUEST_STOP;
    free(sink);
    REQUIRE(root->request == 0 && root->state == TM_STATE_STOPPED);
    root->request_argument = 9;
    root->request = TM_REQUEST_START;
    sink = malloc(8);
    REQUIRE(root->request == 0 && root->state == TM_STATE_TRACING && tm_get_traceback_limit() == 9 &&
            is_recorded(sink));
    block = malloc(10000);
    free(block);
    root->request = TM_REQUEST_RESET_PEAK;
    free(sink);
    size_t current, peak;
    tm_get_traced_memory(&current, &peak);
    REQUIRE(root->request == 0 && peak == 8 && current == 0);
}

static void generations(void)
{
    void *blocks[300];
    for (int i = 0; i < 300; i++) {
        blocks[i] = malloc(100);
        tm_clear_traces();
        REQUIRE(count_now() == 0);
        sink = malloc(10);
        REQUIRE(count_now() == 1);
        free(sink);
        if (i >= 5) {
            free(blocks[i - 5]);
            REQUIRE(count_now() == 0);
        }
    }
}

static _Atomic bool is_over;

static void *churn(void *argument)
{
    (void)argument;
    void *blocks[50] = {0};
    for (unsigned i = 0; !is_over; i++) {
        void **slot = &blocks[i * 7 % 50];
        *slot = *slot && i % 3 ? realloc(*slot, i % 400 + 1) : (free(*slot), malloc(i % 300));
    }
    for (int i = 0; i < 50; i++) {
        free(blocks[i]);
    }
    return NULL;
}

static void clear_under_load(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    }
    for (int i = 0; i < 200; i++) {
        tm_clear_traces();
        if (i % 20 == 0) {
            tm_stop();
            REQUIRE(tm_start(10) == 0);
        }
        sched_yield();
    }
    is_over = true;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    root_check();
    tm_clear_traces();
    REQUIRE(count_now() == 0);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Domains
 */

static void domains(void)
{
    uint64_t before = count_now();
    REQUIRE(tm_track(5, 0x1234567, 100) == 0 && tm_track(6, 0x1234567, 200) == 0);
    REQUIRE(look_up(5, 0x1234567).block.size == 100 && look_up(6, 0x1234567).block.size == 200);
    REQUIRE(tm_track(5, 0x1234567, 300) == 0);
    REQUIRE(look_up(5, 0x1234567).block.size == 300 && count_now() == before + 2);
    REQUIRE(tm_untrack(5, 0x1234567) == 0 && tm_untrack(5, 0x1234567) == 0 && tm_untrack(7, 1) == 0);
    REQUIRE(!look_up(5, 0x1234567).found && count_now() == before + 1);
    REQUIRE(tm_untrack(6, 0x1234567) == 0 && count_now() == before);
    REQUIRE(tm_track(UINT32_MAX, 0, 0) == 0 && tm_track(2, UINTPTR_MAX, SIZE_MAX / 4) == 0);
    REQUIRE(look_up(UINT32_MAX, 0).found && look_up(2, UINTPTR_MAX).block.size == SIZE_MAX / 4);
    REQUIRE(tm_untrack(UINT32_MAX, 0) == 0 && tm_untrack(2, UINTPTR_MAX) == 0 && count_now() == before);
}

/* tm_track in domain 0 overrides malloc's record; what cannot have a live word is in WIDE. */
static void domain_zero(void)
{
    void *block = malloc(100);
    uint64_t before = count_now();
    REQUIRE(tm_track(0, (uintptr_t)block, 50) == 0 && count_now() == before);
    require_size(block, 50);
    REQUIRE(tm_track(0, (uintptr_t)block, UINT64_C(1) << 40) == 0 && count_now() == before);
    require_size(block, UINT64_C(1) << 40);
    REQUIRE(tm_track(0, (uintptr_t)block, 60) == 0 && count_now() == before);
    require_size(block, 60);
    REQUIRE(tm_track(0, (uintptr_t)block + 16, 61) == 0 && tm_track(0, (uintptr_t)block + 3, 62) == 0);
    REQUIRE(count_now() == before + 2);
    require_size((char *)block + 16, 61);
    require_size((char *)block + 3, 62);
    require_size(block, 60);
    free(block);
    REQUIRE(!is_recorded(block) && count_now() == before + 1);
    REQUIRE(tm_untrack(0, (uintptr_t)block + 16) == 0 && tm_untrack(0, (uintptr_t)block + 3) == 0);
    REQUIRE(count_now() == before - 1);
    block = malloc(100);
    REQUIRE(tm_track(0, (uintptr_t)block, UINT64_C(1) << 40) == 0);
    block = realloc(block, 5000);
    require_size(block, 5000);
    REQUIRE(tm_track(0, (uintptr_t)block, UINT64_C(1) << 40) == 0);
    volatile size_t huge = SIZE_MAX / 2;
    REQUIRE(!realloc(block, huge));
    require_size(block, UINT64_C(1) << 40);
    free(block);
    REQUIRE(!is_recorded(block) && count_now() == before - 1);
}

static void many_tracked(void)
{
    enum { MANY = 100000 };
    uint64_t before = count_now();
    for (uintptr_t i = 0; i < MANY; i++) {
        REQUIRE(tm_track(9, i * 48, i) == 0);
    }
    REQUIRE(count_now() == before + MANY);
    for (uintptr_t i = 0; i < MANY; i += 2) {
        REQUIRE(tm_untrack(9, i * 48) == 0);
    }
    REQUIRE(count_now() == before + MANY / 2 && look_up(9, 48 * 77).block.size == 77 &&
            !look_up(9, 48 * 78).found);
    uint64_t committed = root_find()->committed_bytes;
    for (uintptr_t i = 0; i < MANY; i += 2) { /* dead entries are used again */
        REQUIRE(tm_track(9, i * 48, i) == 0);
    }
    REQUIRE(root_find()->committed_bytes - committed < 2 << 20);
    for (uintptr_t i = 0; i < MANY; i++) {
        REQUIRE(tm_untrack(9, i * 48) == 0);
    }
    REQUIRE(count_now() == before);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Peak
 */

enum { SITES = 4, KEYS = 200 };

static NOINLINE void track_at_0(uintptr_t key, size_t size)
{
    REQUIRE(tm_track(11, key, size) == 0);
}
static NOINLINE void track_at_1(uintptr_t key, size_t size)
{
    REQUIRE(tm_track(11, key, size) == 0);
}
static NOINLINE void track_at_2(uintptr_t key, size_t size)
{
    REQUIRE(tm_track(11, key, size) == 0);
}
static NOINLINE void track_at_3(uintptr_t key, size_t size)
{
    REQUIRE(tm_track(11, key, size) == 0);
}
static void (*const track_at[SITES])(uintptr_t, size_t) = {track_at_0, track_at_1, track_at_2, track_at_3};

struct model {
    size_t sizes[KEYS];
    int sites[KEYS]; /* -1 = not tracked */
    uint64_t current, peak;
    uint64_t live[SITES], at_peak[SITES];
};

static void model_change(struct model *model, int key, int site, size_t size)
{
    if (model->sites[key] >= 0) {
        model->live[model->sites[key]] -= model->sizes[key];
        model->current -= model->sizes[key];
    }
    model->sites[key] = site;
    model->sizes[key] = size;
    if (site >= 0) {
        model->live[site] += size;
        model->current += size;
    }
    if (model->current > model->peak) {
        model->peak = model->current;
        memcpy(model->at_peak, model->live, sizeof(model->live));
    }
}

/* What a reader takes for the value of a stack at the peak. */
static uint64_t peak_of_stack(uint32_t stack, uint64_t current)
{
    const struct tm_root *root = root_find();
    struct root_stats stats = root_stats(stack);
    return current <= root->peak ? stats.peak_size : stats.live_size;
}

static void model_check(const struct model *model, const uint32_t stacks[SITES])
{
    size_t current, peak;
    tm_get_traced_memory(&current, &peak);
    if (current != model->current || peak != model->peak) {
        FAIL("current %zu, not %lu; peak %zu, not %lu", current, model->current, peak, model->peak);
    }
    for (int site = 0; site < SITES; site++) {
        uint64_t at_peak = stacks[site] ? peak_of_stack(stacks[site], current) : 0;
        if (at_peak != model->at_peak[site]) {
            FAIL("site %d had %lu bytes at the peak, not %lu", site, model->at_peak[site], at_peak);
        }
    }
}

static void peak(void)
{
    static struct model model;
    uint32_t stacks[SITES] = {0};
    uint64_t random = 1234567;
    tm_clear_traces();
    memset(model.sites, -1, sizeof(model.sites));
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        int key = (int)(random >> 33) % KEYS, site = (int)(random >> 20 & 7);
        size_t size = random >> 45 & 1023;
        if (i % 4096 == 4095) {
            tm_reset_peak();
            model.peak = model.current;
            memcpy(model.at_peak, model.live, sizeof(model.live));
        } else if (site < SITES) {
            track_at[site]((uintptr_t)key, size);
            stacks[site] = look_up(11, (uintptr_t)key).block.stack;
            model_change(&model, key, site, size);
        } else {
            REQUIRE(tm_untrack(11, (uintptr_t)key) == 0);
            model_change(&model, key, -1, 0);
        }
        model_check(&model, stacks);
    }
    root_check();
}

/* Each of several threads may hide fold_bytes from the peak, and no more. */
static void *spike(void *argument)
{
    pthread_barrier_t *barrier = argument;
    void *block = malloc(1000000);
    pthread_barrier_wait(barrier);
    free(block);
    return NULL;
}

static void peak_of_threads(void)
{
    enum { COUNT = 6 };
    pthread_t threads[COUNT];
    pthread_barrier_t barrier;
    void *first = malloc(3000000); /* before there was a second thread */
    pthread_barrier_init(&barrier, NULL, COUNT);
    for (int i = 0; i < COUNT; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, spike, &barrier) == 0);
    }
    for (int i = 0; i < COUNT; i++) {
        pthread_join(threads[i], NULL);
    }
    free(first);
    size_t current, most;
    tm_get_traced_memory(&current, &most);
    const struct tm_root *root = root_find();
    uint64_t least = 3000000 + COUNT * 1000000 - (COUNT + 1) * root->fold_bytes;
    REQUIRE(root->fold_bytes != 0 && most >= least && most < 3000000 + COUNT * 1000000 + 1000000);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Processes and threads
 */

static void check_child(uint32_t parent)
{
    const struct tm_root *root = root_find();
    REQUIRE(root->pid == (uint32_t)getpid() && root->pid != parent &&
            (root->features & TM_FEATURE_INHERITED));
    uint64_t before = count_now();
    for (int i = 0; i < 100; i++) {
        sink = malloc(100);
    }
    REQUIRE(count_now() == before + 100);
    size_t current, most;
    tm_get_traced_memory(&current, &most);
    void *large = malloc(most + 1000000);
    free(large);
    size_t now;
    tm_get_traced_memory(&now, &most);
    REQUIRE(now == current && most >= current + 1000000);
}

static void forks(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    }
    for (int i = 0; i < 50; i++) {
        sink = malloc(1000);
        uint32_t parent = (uint32_t)getpid();
        pid_t child = fork();
        if (child == 0) {
            check_child(parent);
            _Exit(0);
        }
        int status;
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
        REQUIRE(root_find()->pid == parent && !(root_find()->features & TM_FEATURE_INHERITED));
    }
    is_over = true;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    root_check();
    pid_t child = vfork();
    if (child == 0) {
        sink = malloc(10);
        free(sink);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    root_check();
}

static pthread_key_t late_keys[3];

static void late_free(void *block)
{
    free(block);
    sink = malloc(20);
    free(sink);
}

static void *short_life(void *argument)
{
    for (int i = 0; i < 3; i++) {
        pthread_setspecific(late_keys[i], malloc(100));
    }
    sink = strdup("a block of its own");
    free(sink);
    return argument;
}

static void many_threads(void)
{
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_key_create(&late_keys[i], late_free) == 0);
    }
    root_check();
    for (int i = 0; i < 2000; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, short_life, NULL) == 0);
        pthread_join(thread, NULL);
    }
    root_check();
    REQUIRE(root_region(TM_REGION_THREADS, 0)->count < 10);
    REQUIRE(root_find()->dropped_count == 0);
}

/* Each thread's slot is the next one's; some have the smallest stack that is sensible. */
static void ten_thousand_threads(void)
{
    pthread_attr_t small;
    REQUIRE(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 << 10) == 0);
    for (int i = 0; i < 5000; i++) {
        pthread_t pair[2];
        for (int j = 0; j < 2; j++) {
            REQUIRE(pthread_create(&pair[j], i % 2 ? &small : NULL, short_life, NULL) == 0);
        }
        pthread_join(pair[0], NULL);
        pthread_join(pair[1], NULL);
    }
    root_check();
    REQUIRE(root_region(TM_REGION_THREADS, 0)->count < 10 && root_find()->dropped_count == 0);
}

/* Programs started in every way run, and leave this one's records alone. */
static void spawns(void)
{
    char *arguments[] = {"/bin/true", NULL};
    uint64_t before = count_now();
    for (int i = 0; i < 20; i++) {
        int status = -1;
        pid_t child = vfork();
        if (child == 0) {
            execv(arguments[0], arguments);
            _exit(127);
        }
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
        REQUIRE(posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) == 0);
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    }
    REQUIRE(system("true") == 0 && count_now() == before);
    root_check();
}

/* A daemon is the child of a fork whose parent ends at once. */
static void daemons(void)
{
    int pipes[2], status;
    char answer = 0;
    sink = malloc(500);
    REQUIRE(pipe(pipes) == 0);
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(daemon(1, 1) == 0);
        const struct tm_root *root = root_find();
        REQUIRE(root->pid == (uint32_t)getpid() && (root->features & TM_FEATURE_INHERITED) && is_recorded(sink));
        free(sink);
        sink = malloc(600);
        REQUIRE(is_recorded(sink));
        root_check();
        REQUIRE(write(pipes[1], "y", 1) == 1);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    close(pipes[1]);
    REQUIRE(read(pipes[0], &answer, 1) == 1 && answer == 'y' && is_recorded(sink));
    root_check();
}

/* Coroutines that leave each other in the middle, on stacks of 64 KiB. */
enum { COROUTINES = 8 };
static ucontext_t contexts[COROUTINES + 1];
static void *volatile held[COROUTINES];

static void coroutine(int number)
{
    for (int i = 0; i < 200; i++) {
        held[number] = malloc((size_t)(i + 1));
        REQUIRE(swapcontext(&contexts[number], &contexts[(number + 1) % COROUTINES]) == 0);
        REQUIRE(is_recorded(held[number]));
        free(held[number]);
    }
}

static void coroutines(void)
{
    static char stacks[COROUTINES][64 << 10];
    for (int i = 0; i < COROUTINES; i++) {
        REQUIRE(getcontext(&contexts[i]) == 0);
        contexts[i].uc_stack = (stack_t){.ss_sp = stacks[i], .ss_size = sizeof(stacks[i])};
        contexts[i].uc_link = &contexts[i + 1 < COROUTINES ? i + 1 : COROUTINES];
        makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
    }
    REQUIRE(swapcontext(&contexts[COROUTINES], &contexts[0]) == 0);
    root_check();
    REQUIRE(root_find()->dropped_count == 0);
}

/* What mlockall locks, the tables too, is there; the host goes on where its limit is met. */
static void locked_memory(void)
{
    struct rlimit limit = {UINT64_C(256) << 20, UINT64_C(256) << 20};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        limit.rlim_max = 0; /* not allowed here: the rest is a test all the same */
    }
    for (int i = 0; i < 20000; i++) {
        void *block = malloc((size_t)(i % 3000));
        REQUIRE(block);
        if (i % 2) {
            free(block);
        }
    }
    munlockall();
    root_check();
}

/* ---------------------------------------------------------------------------------------------------------------
 * Signals
 */

static uintptr_t tracer_start, tracer_end;
static void *volatile from_handler[64];
static volatile unsigned handled, handled_inside, jumps;
static sigjmp_buf way_out;
static volatile bool may_jump;

static void tracer_find(void)
{
    Dl_info info;
    REQUIRE(dladdr(&tm_table, &info));
    tracer_start = (uintptr_t)info.dli_fbase;
    tracer_end = (uintptr_t)&tm_table;
}

static uintptr_t interrupted_at(const ucontext_t *context)
{
#if defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#endif
}

/* The allocator itself must not be interrupted by malloc: only when the tracer's own code was. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    uintptr_t pc = interrupted_at(context);
    handled++;
    if (pc < tracer_start || pc >= tracer_end) {
        return;
    }
    unsigned slot = handled_inside++ % 64;
    void *block = from_handler[slot];
    from_handler[slot] = NULL;
    free(block);
    from_handler[slot] = malloc(slot);
    if (may_jump && handled_inside % 3 == 0) {
        jumps++;
        siglongjmp(way_out, 1);
    }
}

#ifndef SIGNAL_EVERY
#define SIGNAL_EVERY 50 /* microseconds; emulated processors need more */
#endif

static void signals_begin(int flags)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    struct itimerval often = {{0, SIGNAL_EVERY}, {0, SIGNAL_EVERY}};
    tracer_find();
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static void signals_end(void)
{
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
}

static void churn_until_handled(unsigned times)
{
    static void *volatile blocks[100];
    for (unsigned i = 0; handled_inside < times; i++) {
        void *volatile *slot = &blocks[i % 100];
        void *block = *slot;
        if (block) {
            *slot = NULL; /* a jump may come after the block is freed */
            free(block);
        } else {
            *slot = malloc(i % 500);
        }
    }
}

static void signals(void)
{
    signals_begin(0);
    churn_until_handled(500);
    signals_end();
    root_check();
    REQUIRE(root_find()->dropped_count == 0);
}

static void signals_on_alternate_stack(void)
{
    static char memory[64 << 10];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    signals_begin(SA_ONSTACK);
    churn_until_handled(500);
    signals_end();
    root_check();
}

/* The slot that a handler left by longjmp is free again, and the thread goes on being traced. */
static void jumps_out(void)
{
    signals_begin(0);
    if (sigsetjmp(way_out, 1) == 0) {
        may_jump = true;
    }
    churn_until_handled(300);
    may_jump = false;
    signals_end();
    REQUIRE(jumps > 10);
    void *block = malloc(77);
    REQUIRE(is_recorded(block));
    free(block);
    REQUIRE(!is_recorded(block) && root_find()->dropped_count == 0);
    root_check();
}

/* ---------------------------------------------------------------------------------------------------------------
 * Code that goes
 */

static uint32_t plugin_frame(const char *path, void **ret_handle)
{
    void *handle = dlopen(path, RTLD_NOW);
    REQUIRE(handle);
    void *(*allocate)(void) = (void *(*)(void))dlsym(handle, "plugin_allocate");
    REQUIRE(allocate);
    const struct tm_stack *stack = root_stack(look_up(0, (uintptr_t)allocate()).block.stack);
    *ret_handle = handle;
    REQUIRE(stack->own);
    return *(uint32_t *)region_element(root_region(TM_REGION_STACK_FRAMES, 0), stack->frames);
}

/* Two libraries of the same shape that lie at the same address one after the other. */
static void plugins(void)
{
    const char *directory = getenv("PLUGINS");
    char paths[2][4096];
    uint32_t last = 0, same_address = 0;
    uint64_t last_word = 0;
    REQUIRE(directory);
    snprintf(paths[0], sizeof(paths[0]), "%s/plugin_a.so", directory);
    snprintf(paths[1], sizeof(paths[1]), "%s/plugin_b.so", directory);
    for (int i = 0; i < 10; i++) {
        void *handle;
        uint32_t id = plugin_frame(paths[i % 2], &handle);
        const struct tm_frame *frame = region_element(root_region(TM_REGION_FRAMES, 0), id);
        const struct tm_module *module = root_module(frame->module);
        REQUIRE(strcmp(root_module_path(frame->module), paths[i % 2]) == 0 && module->unloaded_time == 0);
        REQUIRE(id != last);
        same_address += frame->word == last_word;
        last = id;
        last_word = frame->word;
        dlclose(handle);
        REQUIRE(module->unloaded_time >= module->loaded_time);
    }
    REQUIRE(same_address != 0); /* else this proved nothing */
}

/* ---------------------------------------------------------------------------------------------------------------
 * Limits. `dropped` and `untraceable` are run with max= in TRACEMALLOC.
 */

static void dropped(void)
{
    enum { MANY = 200000 };
    static void *blocks[MANY];
    const struct tm_root *root = root_find();
    for (int i = 0; i < MANY; i++) {
        REQUIRE((blocks[i] = malloc(100)));
    }
    const struct tm_region *threads = root_region(TM_REGION_THREADS, 0);
    uint64_t lost = root->dropped_count;
    for (uint64_t i = 0; i < threads->count; i++) {
        lost += ((const struct tm_thread *)region_element(threads, i))->dropped_count;
    }
    REQUIRE(lost > MANY / 10 && lost < MANY && root->committed_bytes <= root->max_bytes && root->max_bytes);
    struct root_sums sums = root_check();
    REQUIRE(sums.count + lost >= MANY);
    for (int i = 0; i < MANY; i++) {
        free(blocks[i]);
    }
    REQUIRE(root_check().count <= sums.count + lost - MANY);
}

static void untraceable(void)
{
    const struct tm_root *root = root_find();
    REQUIRE(root->state == TM_STATE_FAILED && !tm_is_tracing() && tm_start(5) == -2);
    sink = malloc(100);
    free(sink);
}

/* The host's limit, set while it is being traced. */
static void address_space(void)
{
    struct rlimit limit = {UINT64_C(200) << 20, RLIM_INFINITY};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    uint64_t count = 0;
    void **list = NULL;
    for (void **block; (block = malloc(1000)); count++) {
        *block = list;
        list = block;
    }
    REQUIRE(count > 50000);
    while (list) {
        void **next = *list;
        free(list);
        list = next;
    }
    limit.rlim_cur = RLIM_INFINITY;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    root_check();
}

/* -------------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"sizes", sizes},
    {"reallocs", reallocs},
    {"unrecorded", unrecorded},
    {"control", control},
    {"object_traceback", object_traceback},
    {"requests", requests},
    {"generations", generations},
    {"clear_under_load", clear_under_load},
    {"domains", domains},
    {"domain_zero", domain_zero},
    {"many_tracked", many_tracked},
    {"peak", peak},
    {"peak_of_threads", peak_of_threads},
    {"forks", forks},
    {"many_threads", many_threads},
    {"ten_thousand_threads", ten_thousand_threads},
    {"spawns", spawns},
    {"daemons", daemons},
    {"coroutines", coroutines},
    {"locked_memory", locked_memory},
    {"signals", signals},
    {"signals_on_alternate_stack", signals_on_alternate_stack},
    {"jumps_out", jumps_out},
    {"plugins", plugins},
    {"dropped", dropped},
    {"untraceable", untraceable},
    {"address_space", address_space},
};

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], "--list") == 0) {
            puts(cases[i].name);
        } else if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
