/* The stack walker on stacks that no oracle knows: code made at run time, calls through null, overflowed and
 * corrupt stacks, limits, memory that runs out, forgotten rules, many threads. The rest of the tracer is
 * stood in for here. */
#include <check.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tracer/layout.h"
#include "tracer/unwind.h"
#include "tracer/walk/rules.h"
#include "tracer/walk/window.h"

#define NOINLINE   __attribute__((noinline))
#define FRAME_BITS 16

/* ---------------------------------------------------------------------------------------------------------------
 * In place of the tracer
 */
static uint64_t frame_words[1 << FRAME_BITS];
static unsigned interned;
static long frames_left = -1;      /* ids to give out, -1 = any number */
static long allocations_left = -1; /* the same for tables */

uint32_t tm_frame_intern(uint64_t word, uintptr_t code_address)
{
    ck_assert_uint_eq(code_address,
                      (word & TM_FRAME_ADDRESS_MASK) - (word >> TM_FRAME_KIND_SHIFT == TM_FRAME_RETURN));
    __atomic_fetch_add(&interned, 1, __ATOMIC_RELAXED);
    if (frames_left == 0) {
        return 0;
    }
    frames_left -= frames_left > 0;
    for (uint32_t i = (uint32_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - FRAME_BITS)) | 1;; i++) {
        i &= (1 << FRAME_BITS) - 1;
        uint64_t found = 0;
        if (i != 0 && (__atomic_compare_exchange_n(&frame_words[i], &found, word, false, __ATOMIC_RELAXED,
                                                   __ATOMIC_RELAXED) ||
                       found == word)) {
            return i;
        }
    }
}

void *tm_private_allocate(size_t size)
{
    if (allocations_left == 0) {
        return NULL;
    }
    allocations_left -= allocations_left > 0;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Walks
 */
#define LIMIT 300

struct seen {
    struct tm_walk walk;
    uint32_t frames[LIMIT];
};

static struct seen seen;

static uint64_t word_of(const struct seen *walked, uint32_t index)
{
    ck_assert_uint_lt(index, walked->walk.count);
    return frame_words[walked->frames[index]];
}

static uintptr_t pc_of(const struct seen *walked, uint32_t index)
{
    return word_of(walked, index) & TM_FRAME_ADDRESS_MASK;
}

/* Walks from its caller, as a hook does. */
NOINLINE static void walk_limited(struct seen *walked, uint32_t limit)
{
    const uintptr_t *frame = __builtin_frame_address(0);
    struct tm_walk_start start = {.pc = frame[1], .sp = (uintptr_t)(frame + 2), .bp = frame[0]};
    walked->walk = (struct tm_walk){.frames = walked->frames, .limit = limit};
    tm_unwind(&start, &walked->walk);
}

NOINLINE static void walk_here(void)
{
    walk_limited(&seen, LIMIT);
    __asm__ volatile("" : : : "memory");
}

static void walker_begin(void)
{
    ck_assert(tm_unwind_init());
}

#define CALLER_OF_TEST() ((uintptr_t)__builtin_return_address(0))

static int index_of(const struct seen *walked, uintptr_t pc)
{
    for (uint32_t i = 0; i < walked->walk.count; i++) {
        if (pc_of(walked, i) == pc) {
            return (int)i;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Code made at run time
 */
typedef void callback(void);
typedef void trampoline(callback *next);

static uint8_t *code_page(void)
{
    static uint8_t *page;
    if (!page) {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(page != MAP_FAILED);
    }
    return page;
}

/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret: the return address is at byte 6 */
static const uint8_t with_frame_pointer[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
/* push %rbp; xor %ebp, %ebp; call *%rdi; pop %rbp; ret: at byte 5 */
static const uint8_t zero_frame_pointer[] = {0x55, 0x31, 0xed, 0xff, 0xd7, 0x5d, 0xc3};
/* push %rbp; mov %rsi, %rbp; call *%rdi; pop %rbp; ret: at byte 6 */
static const uint8_t any_frame_pointer[] = {0x55, 0x48, 0x89, 0xf5, 0xff, 0xd7, 0x5d, 0xc3};

static trampoline *code_make(size_t at, const uint8_t *bytes, size_t size)
{
    memcpy(code_page() + at, bytes, size);
    return (trampoline *)(void *)(code_page() + at);
}

static trampoline *second_trampoline;

NOINLINE static void through_second(void)
{
    second_trampoline(walk_here);
    __asm__ volatile("" : : : "memory");
}

START_TEST(frame_pointers_are_followed_through_unknown_code)
{
    walker_begin();
    trampoline *first = code_make(0, with_frame_pointer, sizeof(with_frame_pointer));
    second_trampoline = code_make(64, with_frame_pointer, sizeof(with_frame_pointer));
    for (int i = 0; i < 3; i++) {
        first(through_second);
        ck_assert_uint_eq(seen.walk.flags, TM_STACK_GUESSED);
        ck_assert_uint_eq(pc_of(&seen, 1), (uintptr_t)code_page() + 64 + 6);
        ck_assert_uint_eq(pc_of(&seen, 3), (uintptr_t)code_page() + 6);
        ck_assert_int_gt(index_of(&seen, CALLER_OF_TEST()), 4);
        ck_assert_uint_eq(seen.walk.total, seen.walk.count);
    }
}
END_TEST

START_TEST(direct_calls_are_calls_too)
{
    walker_begin();
    (void)code_make(64, with_frame_pointer, sizeof(with_frame_pointer));
    /* push %rbp; mov %rsp, %rbp; call to byte 64; pop %rbp; ret: the return address is at byte 9 */
    static const uint8_t direct[] = {0x55, 0x48, 0x89, 0xe5, 0xe8, 64 - 9, 0, 0, 0, 0x5d, 0xc3};
    trampoline *first = code_make(0, direct, sizeof(direct));
    first(walk_here);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_GUESSED);
    ck_assert_uint_eq(pc_of(&seen, 1), (uintptr_t)code_page() + 64 + 6);
    ck_assert_uint_eq(pc_of(&seen, 2), (uintptr_t)code_page() + 9);
    ck_assert_int_eq(index_of(&seen, CALLER_OF_TEST()), 4);
}
END_TEST

START_TEST(unknown_code_without_frame_pointers_ends_the_walk)
{
    walker_begin();
    trampoline *first = code_make(0, zero_frame_pointer, sizeof(zero_frame_pointer));
    first(walk_here);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_BROKEN);
    ck_assert_uint_eq(seen.walk.count, 2);
    ck_assert_uint_eq(pc_of(&seen, 1), (uintptr_t)code_page() + 5);
    ck_assert_uint_eq(seen.walk.total, 2);
}
END_TEST

START_TEST(implausible_frame_pointers_are_not_followed)
{
    walker_begin();
    void (*code)(callback *, uintptr_t) =
        (void (*)(callback *, uintptr_t))(void *)code_make(0, any_frame_pointer, sizeof(any_frame_pointer));
    uintptr_t words[4] = {0};
    uint8_t *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    const uintptr_t frame_pointers[] = {
        1,
        8,
        4096,
        (uintptr_t)words - 4096,
        (uintptr_t)words + 4,
        (uintptr_t)words,
        (uintptr_t)page,
        (uintptr_t)page + 4088,
        (uintptr_t)page + 4096,
        (uintptr_t)code_page(),
        UINTPTR_MAX,
        UINTPTR_MAX - 7,
        UINTPTR_MAX / 2,
        UINTPTR_MAX / 2 + 1,
        (uintptr_t)words + (1 << 20),
        (uintptr_t)words + (UINT64_C(1) << 40),
    };
    for (size_t i = 0; i < sizeof(frame_pointers) / sizeof(frame_pointers[0]); i++) {
        code(walk_here, frame_pointers[i]);
        ck_assert_msg((seen.walk.flags & TM_STACK_BROKEN) != 0, "case %zu", i);
        ck_assert_uint_eq(seen.walk.count, 2);
    }
    munmap(page, 4096);
}
END_TEST

static void *elsewhere_run(void *frame)
{
    void (*code)(callback *, uintptr_t) =
        (void (*)(callback *, uintptr_t))(void *)code_make(0, any_frame_pointer, sizeof(any_frame_pointer));
    code(walk_here, (uintptr_t)frame);
    return NULL;
}

/* A frame that looks right, but lies above, on the stack of another thread. */
START_TEST(frame_pointers_to_other_stacks_are_not_followed)
{
    walker_begin();
    walk_here();
    uintptr_t frame[2] = {0, pc_of(&seen, 1)};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, elsewhere_run, frame), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_BROKEN);
    ck_assert_uint_eq(seen.walk.count, 2);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Signals
 */
static sigjmp_buf escape;

static void fault_walk(int number)
{
    (void)number;
    walk_here();
    siglongjmp(escape, 1);
}

static void fault_catch(void)
{
    static char alternate[64 << 10];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    ck_assert_int_eq(sigaltstack(&stack, NULL), 0);
    struct sigaction action = {.sa_handler = fault_walk, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
}

/* The index of the one interrupted frame. */
static uint32_t interrupted_index(void)
{
    int found = -1;
    for (uint32_t i = 0; i < seen.walk.count; i++) {
        if (word_of(&seen, i) >> TM_FRAME_KIND_SHIFT == TM_FRAME_INTERRUPTED) {
            ck_assert_msg(found < 0, "frames %d and %u are interrupted ones", found, i);
            found = (int)i;
        }
    }
    ck_assert_msg(found >= 0, "no interrupted frame");
    return (uint32_t)found;
}

START_TEST(a_call_through_null_keeps_its_caller)
{
    walker_begin();
    fault_catch();
    void (*volatile nothing)(void) = NULL;
    if (sigsetjmp(escape, 1) == 0) {
        nothing();
    }
    uint32_t index = interrupted_index();
    ck_assert_uint_eq(pc_of(&seen, index), 0);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_GUESSED);
    ck_assert_int_eq(index_of(&seen, CALLER_OF_TEST()), (int)index + 2);
}
END_TEST

NOINLINE static int overflow(volatile char *above)
{
    volatile char block[512];
    block[0] = above[0];
    return block[0] == 0 ? overflow(block) + block[0] : 1;
}

static void *overflow_run(void *argument)
{
    fault_catch();
    if (sigsetjmp(escape, 1) == 0) {
        (void)overflow(argument);
    }
    return NULL;
}

START_TEST(an_overflowed_stack_is_walked_to_its_end)
{
    walker_begin();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    pthread_t thread;
    char above = 0;
    ck_assert_int_eq(pthread_create(&thread, &attributes, overflow_run, &above), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_TRUNCATED);
    ck_assert_uint_eq(seen.walk.count, LIMIT);
    ck_assert_uint_gt(seen.walk.total, (128 << 10) / 600);
    ck_assert_uint_lt(interrupted_index(), 5);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Stacks that somebody made, or overwrote
 */
static ucontext_t here, there;
static int broken_walks;

NOINLINE static void ruin(void)
{
    /* what lies above this frame, on a stack with nothing but this test's frames on it */
    uintptr_t *words = (uintptr_t *)__builtin_frame_address(0) + 2;
    uintptr_t kept[64];
    memcpy(kept, words, sizeof(kept));
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        for (int i = 0; i < 64; i++) {
            if (random() % 4 == 0) {
                static const uintptr_t patterns[] = {
                    0, 1, 8, UINTPTR_MAX, 0x4141414141414141, 0x7fffffffe000, 0x1000};
                uintptr_t near = (uintptr_t)words + 8 * ((uintptr_t)random() % 4096);
                words[i] = random() % 2
                               ? near
                               : patterns[(size_t)random() % (sizeof(patterns) / sizeof(patterns[0]))];
            }
        }
        walk_limited(&seen, LIMIT);
        broken_walks += (seen.walk.flags & TM_STACK_BROKEN) != 0;
        memcpy(words, kept, sizeof(kept));
    }
}

NOINLINE static void ruin_below(int depth)
{
    volatile char *block = __builtin_alloca((size_t)depth * 16 + 16); /* makes the frame pointer the base */
    block[0] = 1;
    if (depth == 0) {
        ruin();
    } else {
        ruin_below(depth - 1);
    }
    block[0] = 2;
}

static void ruin_begin(void)
{
    ruin_below(12);
}

/* A stack of its own, between pages that cannot be read. */
static void *stack_make(size_t size)
{
    char *memory = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED);
    ck_assert_int_eq(mprotect(memory + 4096, size, PROT_READ | PROT_WRITE), 0);
    return memory + 4096;
}

static void context_run(void (*function)(void), size_t size)
{
    getcontext(&there);
    there.uc_stack.ss_sp = stack_make(size);
    there.uc_stack.ss_size = size;
    there.uc_link = &here;
    makecontext(&there, function, 0);
    swapcontext(&here, &there);
    munmap((char *)there.uc_stack.ss_sp - 4096, size + 8192);
}

START_TEST(corrupt_stacks_are_survived)
{
    walker_begin();
    context_run(ruin_begin, 16384);
    ck_assert_int_gt(broken_walks, 1000);
}
END_TEST

NOINLINE static void bottom_run(void)
{
    volatile uintptr_t *return_address = (uintptr_t *)__builtin_frame_address(0) + 1;
    uintptr_t kept = *return_address;
    *return_address = 0;
    walk_here();
    *return_address = kept;
}

START_TEST(a_zero_return_address_is_the_bottom)
{
    walker_begin();
    context_run(bottom_run, 65536);
    ck_assert_uint_eq(seen.walk.count, 2);
    ck_assert_uint_eq(seen.walk.flags, 0);
}
END_TEST

/* A function of this module without unwind information, that marks itself as the outermost. */
__asm__(".text\n"
        "outermost_call:\n\t"
        "push %rbp\n\t"
        "xor %ebp, %ebp\n\t"
        "call *%rdi\n\t"
        "pop %rbp\n\t"
        "ret");
void outermost_call(callback *next);

START_TEST(a_zero_frame_pointer_in_a_module_is_the_end)
{
    walker_begin();
    outermost_call(walk_here);
    ck_assert_uint_eq(seen.walk.count, 2);
    ck_assert_uint_eq(seen.walk.flags, 0);
}
END_TEST

START_TEST(a_coroutine_ends_at_its_bottom)
{
    walker_begin();
    for (int i = 0; i < 8; i++) {
        context_run(walk_here, 65536 - 4096 * (size_t)(i % 4));
        ck_assert_uint_eq(seen.walk.count, 2);
        ck_assert_uint_eq(seen.walk.flags, 0);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Limits
 */
NOINLINE static int deep(int depth, uint32_t limit)
{
    volatile int kept = depth;
    if (depth == 0) {
        walk_limited(&seen, limit);
        return 0;
    }
    return deep(depth - 1, limit) + kept;
}

START_TEST(the_limit_cuts_and_the_depth_is_known)
{
    walker_begin();
    (void)deep(200, LIMIT);
    struct seen whole = seen;
    ck_assert_uint_eq(whole.walk.flags, 0);
    ck_assert_uint_gt(whole.walk.total, 200);
    ck_assert_uint_eq(whole.walk.count, whole.walk.total);
    const uint32_t limits[] = {1, 2, 25, whole.walk.total - 1, whole.walk.total};
    for (int i = 0; i < 5; i++) {
        memset(seen.frames, 0xff, sizeof(seen.frames));
        (void)deep(200, limits[i]);
        ck_assert_uint_eq(seen.walk.count, limits[i]);
        ck_assert_uint_eq(seen.walk.total, whole.walk.total);
        ck_assert_uint_eq(seen.walk.flags, i < 4 ? TM_STACK_TRUNCATED : 0);
        /* all but the first two have the same callers */
        for (uint32_t k = 0; k + 1 < limits[i] && k < 199; k++) {
            ck_assert_uint_eq(seen.frames[k], whole.frames[k]);
        }
        ck_assert_uint_eq(seen.frames[limits[i]], UINT32_MAX);
    }
}
END_TEST

static void *deepest_run(void *argument)
{
    (void)deep(*(int *)argument, 25);
    return NULL;
}

START_TEST(the_depth_is_counted_to_65535)
{
    walker_begin();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 20);
    for (int depth = 65000; depth <= 66000; depth += 1000) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, &attributes, deepest_run, &depth), 0);
        pthread_join(thread, NULL);
        ck_assert_uint_eq(seen.walk.count, 25);
        ck_assert_uint_eq(seen.walk.flags & (TM_STACK_TRUNCATED | TM_STACK_BROKEN), TM_STACK_TRUNCATED);
        if (depth == 65000) {
            ck_assert_uint_eq(seen.walk.flags & TM_STACK_NO_DEPTH, 0);
            ck_assert_uint_gt(seen.walk.total, 65000);
        } else {
            ck_assert_uint_eq(seen.walk.flags & TM_STACK_NO_DEPTH, TM_STACK_NO_DEPTH);
            ck_assert_uint_eq(seen.walk.total, TM_WALK_MAX);
        }
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Memory
 */
START_TEST(without_memory_there_are_no_frames)
{
    walk_here();
    ck_assert_msg(seen.walk.count == 0, "before tm_unwind_init");
    allocations_left = 0;
    ck_assert(!tm_unwind_init());
    walk_here();
    ck_assert_uint_eq(seen.walk.count, 0);
    ck_assert_uint_eq(seen.walk.flags, TM_STACK_BROKEN | TM_STACK_NO_DEPTH);
}
END_TEST

START_TEST(without_frame_ids_there_are_no_frames)
{
    walker_begin();
    for (long left = 0; left < 4; left++) {
        frames_left = left;
        tm_unwind_forget();
        walk_here();
        ck_assert_uint_eq(seen.walk.count, 0);
        ck_assert_uint_eq(seen.walk.flags, TM_STACK_BROKEN | TM_STACK_NO_DEPTH);
    }
    frames_left = -1;
    walk_here();
    ck_assert_uint_eq(seen.walk.flags, 0);
}
END_TEST

static void tables_fill(struct tm_rules *rules, uintptr_t from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t key = from + 16 * i;
        if (tm_rules_find(rules, key) == 0) {
            ck_assert_uint_ne(tm_rules_fill(rules, key), 0);
        }
    }
}

START_TEST(a_table_that_cannot_grow_goes_on)
{
    walker_begin();
    allocations_left = 0;
    struct tm_rules rules = tm_rules_open();
    tables_fill(&rules, 0x10000, 5000);
    for (int i = 0; i < 3; i++) {
        walk_here();
        ck_assert_uint_eq(seen.walk.flags, 0);
    }
}
END_TEST

START_TEST(rules_are_computed_once)
{
    walker_begin();
    unsigned before = 0;
    for (volatile int i = 0; i < 9; i = i + 1) {
        if (i == 6) {
            ck_assert_msg(interned == before, "%u frames interned again", interned - before);
            tm_unwind_forget();
        }
        if (i == 3 || i == 6) {
            before = interned;
        }
        (void)deep(20, LIMIT);
    }
    ck_assert_uint_gt(interned, before + 2);
}
END_TEST

START_TEST(a_larger_table_holds_what_the_smaller_did)
{
    walker_begin();
    struct tm_rules rules = tm_rules_open();
    tables_fill(&rules, 0x10000, 20000);
    unsigned before = interned;
    rules = tm_rules_open();
    tables_fill(&rules, 0x10000, 20000);
    ck_assert_uint_eq(interned, before);
}
END_TEST

START_TEST(what_was_forgotten_stays_forgotten)
{
    walker_begin();
    struct tm_rules before = tm_rules_open();
    uint64_t key = (uintptr_t)walk_here + 1;
    ck_assert_uint_ne(tm_rules_fill(&before, key), 0);
    ck_assert_uint_ne(tm_rules_find(&before, key), 0);
    for (uint64_t i = 1; i <= 2 * (TM_RULE_GENERATION_MASK + 1); i++) {
        tm_unwind_forget();
        struct tm_rules after = tm_rules_open();
        ck_assert_msg(tm_rules_find(&after, key) == 0, "after %lu times", i);
        if (i == 1) {
            /* a thread that began before it stores what it found */
            ck_assert_uint_ne(tm_rules_fill(&before, key), 0);
            ck_assert_uint_eq(tm_rules_find(&after, key), 0);
        }
    }
}
END_TEST

/* Code comes to stand where none was when its address was first met. */
START_TEST(code_loaded_later_gets_its_rules)
{
    walker_begin();
    struct tm_rules rules = tm_rules_open();
    /* as if this function had not been there: its rule says that there is no module */
    struct tm_rule_table *table = (struct tm_rule_table *)(uintptr_t)rules.table;
    (void)deep(3, LIMIT);
    uint32_t whole = seen.walk.total;
    int changed = 0;
    for (size_t i = 0; i < (size_t)1 << (64 - table->shift); i++) {
        if (table->slots[i].key != 0 && tm_rule_kind(table->slots[i].value) == TM_RULE_SP) {
            table->slots[i].value &=
                ~(UINT64_C(7) << TM_RULE_KIND_SHIFT | TM_RULE_PLACE_MAX << TM_RULE_PLACE_SHIFT);
            table->slots[i].value |= (uint64_t)TM_RULE_NONE << TM_RULE_KIND_SHIFT;
            changed++;
        }
    }
    ck_assert_int_gt(changed, 0);
    (void)deep(3, LIMIT);
    ck_assert_uint_eq(seen.walk.flags, 0);
    ck_assert_uint_eq(seen.walk.total, whole);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Threads
 */
static int stop;

NOINLINE static void thread_walk(struct seen *walked, int depth)
{
    volatile int kept = depth;
    if (depth == 0) {
        walk_limited(walked, LIMIT);
    } else {
        thread_walk(walked, depth - 1);
    }
    kept = kept + 1;
}

static void *thread_run(void *argument)
{
    struct seen walked;
    intptr_t bad = 0;
    thread_walk(&walked, 5);
    uint32_t total = walked.walk.total;
    for (int i = 0; i < 100000; i++) {
        thread_walk(&walked, i % 50);
        bad += walked.walk.flags != 0 || walked.walk.total != total - 5 + (uint32_t)(i % 50);
        if (i % 64 == 0) {
            struct tm_rules rules = tm_rules_open();
            (void)tm_rules_fill(&rules, (uintptr_t)argument + 32 * (uintptr_t)i);
        }
    }
    return (void *)bad;
}

static void *forgetter_run(void *argument)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        tm_unwind_forget();
        sched_yield();
    }
    return argument;
}

START_TEST(threads_walk_while_rules_come_and_go)
{
    walker_begin();
    pthread_t threads[4];
    pthread_t forgetter;
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, thread_run, (void *)(0x100000 * (i + 1)));
    }
    pthread_create(&forgetter, NULL, forgetter_run, NULL);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        ck_assert_ptr_null(bad);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(forgetter, NULL);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Windows
 */
START_TEST(windows_cover_what_can_be_read)
{
    char *memory = stack_make(16 * 4096);
    uintptr_t low = (uintptr_t)memory;
    uintptr_t high = low + 16 * 4096;
    struct tm_window window = {0, 0};
    ck_assert(tm_window_cover(&window, low + 4096, low + 4104));
    ck_assert_uint_eq(window.low, low + 4096);
    ck_assert_uint_eq(window.high, low + 8192);
    ck_assert(tm_window_cover(&window, high - 8, high));
    ck_assert_uint_eq(window.low, low + 4096);
    ck_assert_uint_eq(window.high, high);
    ck_assert(tm_window_cover(&window, low, low + 8));
    ck_assert_uint_eq(window.low, low);
    ck_assert(!tm_window_cover(&window, high - 4, high + 4));
    ck_assert(!tm_window_cover(&window, high, high + 8));
    ck_assert(!tm_window_cover(&window, low - 8, low));
    ck_assert(!tm_window_cover(&window, low + 8, low + 8));
    ck_assert(!tm_window_cover(&window, low + 8, low));
    ck_assert(!tm_window_cover(&window, UINTPTR_MAX - 8, UINTPTR_MAX));
    ck_assert(!tm_window_cover(&window, 0, 8));
    ck_assert(!tm_window_cover(&window, UINT64_C(0x8000000000000000), UINT64_C(0x8000000000000008)));
    ck_assert_uint_eq(window.low, low);
    ck_assert_uint_eq(window.high, high);
}
END_TEST

static Suite *unwind_suite(void)
{
    Suite *suite = suite_create("unwind");
    TCase *walks = tcase_create("walks");
    tcase_add_test(walks, frame_pointers_are_followed_through_unknown_code);
    tcase_add_test(walks, direct_calls_are_calls_too);
    tcase_add_test(walks, unknown_code_without_frame_pointers_ends_the_walk);
    tcase_add_test(walks, implausible_frame_pointers_are_not_followed);
    tcase_add_test(walks, frame_pointers_to_other_stacks_are_not_followed);
    tcase_add_test(walks, a_call_through_null_keeps_its_caller);
    tcase_add_test(walks, an_overflowed_stack_is_walked_to_its_end);
    tcase_add_test(walks, corrupt_stacks_are_survived);
    tcase_add_test(walks, a_coroutine_ends_at_its_bottom);
    tcase_add_test(walks, a_zero_return_address_is_the_bottom);
    tcase_add_test(walks, a_zero_frame_pointer_in_a_module_is_the_end);
    tcase_add_test(walks, the_limit_cuts_and_the_depth_is_known);
    tcase_add_test(walks, the_depth_is_counted_to_65535);
    suite_add_tcase(suite, walks);
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, without_memory_there_are_no_frames);
    tcase_add_test(rules, without_frame_ids_there_are_no_frames);
    tcase_add_test(rules, a_table_that_cannot_grow_goes_on);
    tcase_add_test(rules, rules_are_computed_once);
    tcase_add_test(rules, a_larger_table_holds_what_the_smaller_did);
    tcase_add_test(rules, what_was_forgotten_stays_forgotten);
    tcase_add_test(rules, code_loaded_later_gets_its_rules);
    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, threads_walk_while_rules_come_and_go);
    suite_add_tcase(suite, rules);
    TCase *windows = tcase_create("windows");
    tcase_add_test(windows, windows_cover_what_can_be_read);
    suite_add_tcase(suite, windows);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(unwind_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
