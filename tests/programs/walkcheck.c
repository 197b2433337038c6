/* walkcheck.c: a library to preload that walks the stack at every allocation with the tracer's walker, with
 * its kept walk (trail.h), and with another one (libunwind's unw_backtrace; on aarch64, for which Debian has
 * no libunwind to cross-compile with, libgcc's _Unwind_Backtrace), compares, and appends one line of totals
 * per process to the file that WALKCHECK names.
 *
 * It stands in for the rest of the tracer: frame ids are places in a table, memory comes from mmap. With
 * WALKCHECK_ALONE=1 it walks, but compares nothing; with WALKCHECK_BENCH=N it times N walks of each kind at
 * every 1000th allocation instead.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tracer/host/linked.h"
#include "tracer/layout.h"
#include "tracer/unwind.h"
#include "tracer/walk/arch.h"
#include "tracer/walk/rules.h"
#include "tracer/walk/trail.h"

#define PUBLIC     __attribute__((visibility("default")))
#define DEPTH_MAX  4096
#define FRAME_BITS 20

#if defined(__aarch64__)
#include <unwind.h>

struct backtrace {
    void **buffer;
    int size;
    int count;
};

static _Unwind_Reason_Code frame_visit(struct _Unwind_Context *context, void *argument)
{
    struct backtrace *backtrace = argument;
    if (backtrace->count == backtrace->size) {
        return _URC_END_OF_STACK;
    }
    backtrace->buffer[backtrace->count++] = (void *)_Unwind_GetIP(context);
    return _URC_NO_REASON;
}

static int unw_backtrace(void **buffer, int size)
{
    struct backtrace backtrace = {.buffer = buffer, .size = size};
    _Unwind_Backtrace(frame_visit, &backtrace);
    return backtrace.count;
}
#else
/* libunwind's; declared here because its header conflicts with LLVM's package of the same name */
extern int unw_backtrace(void **buffer, int size);
#endif

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* ---------------------------------------------------------------------------------------------------------------
 * In place of the tracer
 */
static uint64_t frame_words[1 << FRAME_BITS];

uint32_t tm_frame_intern(uint64_t word, uintptr_t code_address)
{
    (void)code_address;
    for (uint32_t i = (uint32_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - FRAME_BITS)) | 1;; i++) {
        i &= (1 << FRAME_BITS) - 1;
        if (i == 0) {
            continue;
        }
        uint64_t found = 0;
        if (__atomic_compare_exchange_n(&frame_words[i], &found, word, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED) ||
            found == word) {
            return i;
        }
    }
}

void *tm_private_allocate(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* No program of these tests is a static one. */
bool tm_linked_find(uintptr_t address, struct tm_object *ret_object, const uint8_t **ret_unwind)
{
    (void)address;
    (void)ret_object;
    (void)ret_unwind;
    return false;
}

void tm_private_free(void *memory, size_t size)
{
    munmap(memory, size);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Comparing
 */
static uint64_t walks, frames_compared, different, shorter, longer, broken, guessed, missed, bench_frames;
static uint64_t trails, trail_frames, trail_kept, trail_different, stubs;
static uint64_t bench_own, bench_other;
static long bench_count;
static bool ready;
static bool alone;
static __thread bool busy;
static __thread uint32_t ids[DEPTH_MAX];
static __thread uint32_t outermost;
static __thread struct tm_trail trail;
static __thread void *others[DEPTH_MAX + 16];

static void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static void output(const char *text, int length)
{
    const char *path = getenv("WALKCHECK");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (file >= 0) {
        if (write(file, text, (size_t)length) != length) {
            abort();
        }
        close(file);
    }
}

static void difference_print(const char *what, const struct tm_walk *walk, void *const *other,
                             int other_count)
{
    static int printed;
    if (__atomic_fetch_add(&printed, 1, __ATOMIC_RELAXED) >= 5) {
        return;
    }
    static char text[1 << 16];
    int length = snprintf(text, sizeof(text), "# %s: own %u flags %x, the other %d\n", what, walk->count,
                          walk->flags, other_count);
    for (int i = 0; i < other_count || i < (int)walk->count; i++) {
        uintptr_t own = i < (int)walk->count ? frame_words[ids[i]] & TM_FRAME_ADDRESS_MASK : 0;
        uintptr_t theirs = i < other_count ? (uintptr_t)other[i] : 0;
        Dl_info info = {0};
        dladdr((void *)(own ? own : theirs), &info);
        if (length < (int)sizeof(text) - 400) {
            length += snprintf(
                text + length, sizeof(text) - (size_t)length, "#   %3d %#18lx %#18lx %.60s+%#lx %.60s\n", i,
                own, theirs, info.dli_fname ? info.dli_fname : "?",
                (own ? own : theirs) - (uintptr_t)info.dli_fbase, info.dli_sname ? info.dli_sname : "?");
        }
    }
    output(text, length);
}

/* A linkage stub of aarch64 has no CFI: the other one ends there. All that can be said is that this one comes
 * to the same outermost frame as the walks of this thread that they agreed on. */
static bool ends_at_stub(const struct tm_walk *walk, void *const *other, int other_count)
{
    uintptr_t pushed;
    return other_count > 0 && tm_arch_is_stub((uintptr_t)other[other_count - 1], &pushed) &&
           ids[walk->count - 1] == outermost;
}

static void walks_compare(const struct tm_walk_start *start, const struct tm_walk *walk)
{
    int count = unw_backtrace(others, DEPTH_MAX + 16);
    int first = 0;
    while (first < count && (uintptr_t)others[first] != start->pc) {
        first++;
    }
    if (first == count) {
        add(&missed, 1); /* the other one did not find its way out of this library */
        return;
    }
    void **other = others + first;
    int other_count = count - first;
    while (other_count > 0 && other[other_count - 1] == NULL) {
        other_count--; /* it shows the zero that ends a stack */
    }
    int common = other_count < (int)walk->count ? other_count : (int)walk->count;
    for (int i = 0; i < common; i++) {
        if ((frame_words[ids[i]] & TM_FRAME_ADDRESS_MASK) != (uintptr_t)other[i]) {
            add(&different, 1);
            difference_print("different", walk, other, other_count);
            return;
        }
    }
    add(&frames_compared, (uint64_t)common);
    if ((int)walk->count < other_count) {
        add(&shorter, 1);
        difference_print("shorter", walk, other, other_count);
    } else if ((int)walk->count > other_count && walk->count < DEPTH_MAX) {
        bool stub = ends_at_stub(walk, other, other_count);
        add(stub ? &stubs : &longer, 1);
        if (!stub) {
            difference_print("longer", walk, other, other_count);
        }
    } else {
        outermost = ids[walk->count - 1];
    }
}

/* The kept walk must be what the full walk is, in every frame. */
static void trail_compare(const struct tm_walk_start *start, const struct tm_walk *walk)
{
    if (!tm_trail_walk(&trail, start)) {
        return;
    }
    bool equal = trail.count == walk->total;
    for (uint32_t i = 0; equal && i < walk->count; i++) {
        equal = tm_rule_id(trail.states[trail.count - 1 - i].rule) == ids[i];
    }
    add(&trails, 1);
    add(&trail_frames, trail.count);
    add(&trail_kept, trail.kept);
    add(&trail_different, !equal);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void walks_time(const struct tm_walk_start *start, struct tm_walk *walk)
{
    if (walks % 1000 != 0) {
        return;
    }
    uint64_t begun = now();
    for (long i = 0; i < bench_count; i++) {
        tm_unwind(start, walk);
    }
    uint64_t between = now();
    for (long i = 0; i < bench_count; i++) {
        (void)unw_backtrace(others, DEPTH_MAX);
    }
    add(&bench_own, between - begun);
    add(&bench_other, now() - between);
    add(&bench_frames, (uint64_t)bench_count * walk->count);
}

static __attribute__((noinline)) void allocation_walk(const struct tm_walk_start *start)
{
    if (!ready || busy) {
        return;
    }
    int saved = errno;
    busy = true;
    struct tm_walk walk = {.frames = ids, .limit = DEPTH_MAX};
    tm_unwind(start, &walk);
    trail_compare(start, &walk);
    add(&walks, 1);
    add(&broken, (walk.flags & TM_STACK_BROKEN) != 0);
    add(&guessed, (walk.flags & TM_STACK_GUESSED) != 0);
    if (bench_count > 0) {
        walks_time(start, &walk);
    } else if (!alone) {
        walks_compare(start, &walk);
    }
    busy = false;
    errno = saved;
}

#define ALLOCATION_WALK()                                                                                    \
    allocation_walk(&(const struct tm_walk_start){                                                           \
        .pc = (uintptr_t)__builtin_return_address(0),                                                        \
        .sp = tm_arch_caller_sp(),                                                                           \
        .bp = *(const uintptr_t *)__builtin_frame_address(0),                                                \
    })

PUBLIC void *malloc(size_t size)
{
    ALLOCATION_WALK();
    return __libc_malloc(size);
}

PUBLIC void *calloc(size_t count, size_t size)
{
    ALLOCATION_WALK();
    return __libc_calloc(count, size);
}

PUBLIC void *realloc(void *block, size_t size)
{
    ALLOCATION_WALK();
    return __libc_realloc(block, size);
}

PUBLIC void *memalign(size_t alignment, size_t size)
{
    ALLOCATION_WALK();
    return __libc_memalign(alignment, size);
}

PUBLIC int dlclose(void *handle)
{
    static int (*next)(void *);
    if (!next) {
        next = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");
    }
    int result = next(handle);
    tm_unwind_forget();
    return result;
}

__attribute__((constructor)) static void begin(void)
{
    const char *bench = getenv("WALKCHECK_BENCH");
    bench_count = bench ? atol(bench) : 0;
    alone = getenv("WALKCHECK_ALONE") != NULL;
    busy = true;
    (void)unw_backtrace(others, 4);
    ready = tm_unwind_init();
    busy = false;
}

__attribute__((destructor)) static void end(void)
{
    busy = true;
    char text[512];
    int length;
    if (bench_count > 0) {
        length = snprintf(
            text, sizeof(text), "%s walks=%lu frames=%lu own_ns=%.2f libunwind_ns=%.2f ratio=%.2f\n",
            program_invocation_short_name, walks, bench_frames, (double)bench_own / (double)bench_frames,
            (double)bench_other / (double)bench_frames, (double)bench_own / (double)bench_other);
    } else {
        length = snprintf(text, sizeof(text),
                          "%s walks=%lu frames=%lu different=%lu shorter=%lu longer=%lu broken=%lu "
                          "guessed=%lu missed=%lu trails=%lu trail_frames=%lu trail_kept=%lu "
                          "trail_different=%lu stubs=%lu\n",
                          program_invocation_short_name, walks, frames_compared, different, shorter, longer,
                          broken, guessed, missed, trails, trail_frames, trail_kept, trail_different, stubs);
    }
    output(text, length);
}
