/* The tracer's tables one by one: memory, regions, index, stacks, live words, wide entries, counters, field
 * table. */
#include <check.h>
#include <math.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tracer/tables/fields.h"
#include "tracer/tables/history.h"
#include "tracer/tables/index.h"
#include "tracer/tables/live.h"
#include "tracer/tables/memory.h"
#include "tracer/tables/region.h"
#include "tracer/tables/root.h"
#include "tracer/tables/stacks.h"
#include "tracer/tables/memo.h"
#include "tracer/tables/stats.h"
#include "tracer/tables/threads.h"
#include "tracer/tables/wide.h"
#include "tracer/unwind.h"

#define THREADS 8

static void root_make(void)
{
    static const struct tm_root_options options = {.features = TM_FEATURE_STATS};
    tm_root_create(&options);
    ck_assert_uint_eq(tm_root->state, TM_STATE_STOPPED);
}

static void root_make_capped(uint64_t max)
{
    const struct tm_root_options options = {.max_bytes = max};
    tm_root_create(&options);
}

static void threads_run(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Memory and root
 */

START_TEST(root_describes_itself)
{
    root_make();
    const struct tm_root *root = tm_root;
    ck_assert_uint_eq((uintptr_t)root, TM_PREFERRED_ADDRESS);
    ck_assert_mem_eq(root->magic, TM_ROOT_MAGIC, TM_MAGIC_SIZE);
    ck_assert_uint_eq(root->self, (uintptr_t)root);
    ck_assert_uint_eq(root->header_size, sizeof(*root));
    ck_assert_uint_eq(root->byte_order, TM_BYTE_ORDER_PROBE);
    ck_assert_uint_eq(root->check, tm_root_check(root));
    ck_assert_uint_eq(root->field_count, sizeof(tm_fields) / sizeof(tm_fields[0]));
    ck_assert_mem_eq((const void *)(uintptr_t)root->fields, tm_fields, sizeof(tm_fields));
}
END_TEST

/* Every structure from its first byte to its last, in the header's order. */
START_TEST(fields_cover_the_structures)
{
    static const size_t sizes[] = {
        [TM_STRUCTURE_ROOT] = sizeof(struct tm_root),
        [TM_STRUCTURE_REGION] = sizeof(struct tm_region),
        [TM_STRUCTURE_THREAD] = sizeof(struct tm_thread),
        [TM_STRUCTURE_OPERATION] = sizeof(struct tm_operation),
        [TM_STRUCTURE_MODULE] = sizeof(struct tm_module),
        [TM_STRUCTURE_FRAME] = sizeof(struct tm_frame),
        [TM_STRUCTURE_STACK] = sizeof(struct tm_stack),
        [TM_STRUCTURE_STATS] = sizeof(struct tm_stack_stats),
        [TM_STRUCTURE_LIVE_DETAIL] = sizeof(struct tm_live_detail),
        [TM_STRUCTURE_WIDE] = sizeof(struct tm_wide),
        [TM_STRUCTURE_FREED] = sizeof(struct tm_freed),
    };
    size_t count = sizeof(tm_fields) / sizeof(tm_fields[0]), at = 0;
    for (uint16_t structure = TM_STRUCTURE_ROOT; structure <= TM_STRUCTURE_FREED; structure++) {
        size_t end = 0;
        for (uint16_t field = 0; at < count && tm_fields[at].structure == structure; field++, at++) {
            ck_assert_uint_eq(tm_fields[at].field, field);
            ck_assert_uint_eq(tm_fields[at].offset, end);
            end += tm_fields[at].size;
        }
        ck_assert_uint_eq(end, sizes[structure]);
    }
    ck_assert_uint_eq(at, count);
}
END_TEST

START_TEST(pieces_adjoin)
{
    root_make();
    char *first = tm_memory_map(TM_MEMORY_TABLES, 5000), *second = tm_memory_map(TM_MEMORY_TABLES, 1);
    ck_assert_ptr_eq(second, first + 8192);
    ck_assert_uint_eq(tm_root->private_bytes, 0);
    uint64_t committed = tm_root->committed_bytes;
    char *private = tm_private_allocate(100);
    ck_assert_uint_eq((uintptr_t) private, TM_PRIVATE_ADDRESS);
    ck_assert_uint_eq(tm_root->private_bytes, 4096);
    ck_assert_uint_eq(tm_root->committed_bytes, committed + 4096);
    tm_memory_unmap(TM_MEMORY_PRIVATE, private, 100);
    ck_assert_uint_eq(tm_root->committed_bytes, committed);
    ck_assert_uint_eq(tm_root->private_bytes, 0);
}
END_TEST

static bool mapping_has_flag(const void *address, const char *flag)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[1000];
    bool here = false, found = false;
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            here = (uintptr_t)address >= start && (uintptr_t)address < end;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, flag) != NULL;
        }
    }
    ck_assert_ptr_nonnull(file);
    fclose(file);
    return found;
}

START_TEST(private_memory_is_not_dumped)
{
    root_make();
    ck_assert(mapping_has_flag(tm_private_allocate(1), " dd "));
    ck_assert(mapping_has_flag(tm_private_allocate(100000), " dd "));
    ck_assert(!mapping_has_flag(tm_memory_map(TM_MEMORY_TABLES, 1), " dd "));
}
END_TEST

START_TEST(pieces_go_around_what_is_there)
{
    void *host = mmap((void *)TM_PREFERRED_ADDRESS, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_uint_eq((uintptr_t)host, TM_PREFERRED_ADDRESS);
    root_make();
    ck_assert_ptr_ne(tm_root, host);
    char *first = tm_memory_map(TM_MEMORY_TABLES, 4096);
    void *next = mmap(first + 4096, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_eq(next, first + 4096);
    char *second = tm_memory_map(TM_MEMORY_TABLES, 8192);
    ck_assert_ptr_nonnull(second);
    memset(second, 1, 8192);
    ck_assert(second + 8192 <= (char *)next || second >= (char *)next + (1 << 20));
}
END_TEST

START_TEST(cap_is_kept)
{
    root_make_capped(200000);
    ck_assert_uint_eq(tm_root->state, TM_STATE_STOPPED);
    ck_assert_ptr_null(tm_memory_map(TM_MEMORY_TABLES, 200000));
    ck_assert_ptr_nonnull(tm_private_allocate(100000));
    ck_assert_ptr_null(tm_private_allocate(100000));
    ck_assert(tm_root->committed_bytes <= 200000);
}
END_TEST

START_TEST(root_without_memory_says_so)
{
    root_make_capped(1000);
    ck_assert_uint_eq(tm_root->state, TM_STATE_FAILED);
    ck_assert_mem_eq(tm_root->magic, TM_ROOT_MAGIC, TM_MAGIC_SIZE);
    ck_assert_uint_eq(tm_root->self, (uintptr_t)tm_root);
}
END_TEST

static long no_fixed_address(uintptr_t address, size_t size, int flags)
{
    if (address) {
        return -EPERM;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return memory == MAP_FAILED ? -errno : (long)memory;
}

START_TEST(any_address_will_do)
{
    tm_memory_source = no_fixed_address;
    root_make();
    ck_assert_ptr_nonnull(tm_private_allocate(1));
    ck_assert_uint_eq(tm_root->self, (uintptr_t)tm_root);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Regions
 */

static void *element_by_the_book(const struct tm_region *region, uint64_t index)
{
    uint64_t segment = index >> region->segment_shift, within = index & ((1u << region->segment_shift) - 1);
    const uint64_t *directory = (const uint64_t *)(uintptr_t)region->directory;
    uint64_t base;
    if (region->middle_bits == 0) {
        base = directory[segment];
    } else {
        const uint64_t *middle = (const uint64_t *)(uintptr_t)directory[segment >> region->middle_bits];
        base = middle ? middle[segment & ((1u << region->middle_bits) - 1)] : 0;
    }
    return base ? (void *)(uintptr_t)(base + within * region->element_size) : NULL;
}

static const struct tm_region_shape shapes[] = {
    {.kind = 100, .element_size = 24, .segment_shift = 4, .directory_bits = 3},
    {.kind = 101, .element_size = 4, .segment_shift = 10, .directory_bits = 3, .middle_bits = 2},
    {.kind = 102, .element_size = 1, .segment_shift = 3, .directory_bits = 2, .middle_bits = 5, .count = 1},
};

START_TEST(elements_are_where_the_layout_says)
{
    root_make();
    const struct tm_region_shape *shape = &shapes[_i];
    struct tm_region *region = tm_region_create(shape);
    uint64_t length = UINT64_C(1) << (shape->directory_bits + shape->middle_bits + shape->segment_shift);
    ck_assert_uint_eq(tm_root->region_count, 1);
    ck_assert_uint_eq(tm_root->regions[0].kind, shape->kind);
    ck_assert_ptr_null(tm_region_find(region, 0));
    for (uint64_t index = 0; index < length; index += 7) {
        void *element = tm_region_make(region, index);
        ck_assert_ptr_nonnull(element);
        ck_assert_ptr_eq(element, element_by_the_book(region, index));
        ck_assert_ptr_eq(element, tm_region_find(region, index));
    }
    ck_assert_ptr_null(tm_region_make(region, length));
    ck_assert_ptr_null(tm_region_find(region, length));
    ck_assert_ptr_null(tm_region_find(region, UINT64_MAX));
}
END_TEST

START_TEST(taken_elements_lie_in_one_segment)
{
    root_make();
    struct tm_region *region = tm_region_create(&shapes[1]);
    uint64_t end = 0;
    for (uint32_t length = 1; length < 700; length += 3) {
        uint64_t first = tm_region_take(region, length);
        if (first == TM_REGION_FULL) {
            break;
        }
        ck_assert(first >= end);
        ck_assert_uint_eq(first >> 10, (first + length - 1) >> 10);
        ck_assert_ptr_nonnull(tm_region_find(region, first + length - 1));
        end = first + length;
        ck_assert_uint_eq(region->count, end);
    }
    ck_assert_uint_eq(tm_region_take(region, 1025), TM_REGION_FULL);
    while (tm_region_take(region, 1) != TM_REGION_FULL) {
    }
    ck_assert_uint_eq(region->count, 1 << 15);
}
END_TEST

enum { TAKES = 2000 };
static struct tm_region *shared_region;
static uint8_t *taken;

static void *take_many(void *argument)
{
    for (uint32_t i = 0; i < TAKES; i++) {
        uint32_t length = 1 + (i + (uint32_t)(uintptr_t)argument) % 3;
        uint64_t first = tm_region_take(shared_region, length);
        for (uint32_t j = 0; j < length; j++) {
            __atomic_fetch_add(&taken[first + j], 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

START_TEST(threads_take_different_elements)
{
    static const struct tm_region_shape shape = {
        .kind = 103, .element_size = 4, .segment_shift = 8, .directory_bits = 9};
    root_make();
    shared_region = tm_region_create(&shape);
    taken = calloc(1, 1 << 17);
    threads_run(take_many);
    unsigned total = 0;
    for (unsigned i = 0; i < 1 << 17; i++) {
        ck_assert_uint_le(taken[i], 1);
        total += taken[i];
    }
    ck_assert_uint_ge(total, THREADS * TAKES);
    free(taken);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Stacks
 */

static void stacks_make(void)
{
    root_make();
    ck_assert(tm_stacks_init());
}

static void require_stack(uint32_t id, const uint32_t *frames, uint32_t count, uint16_t total, uint16_t flags)
{
    const struct tm_stack *stack = tm_stack_find(id);
    ck_assert_ptr_nonnull(stack);
    ck_assert_uint_eq(stack->own, count);
    ck_assert_uint_eq(stack->total_nframe, total);
    ck_assert_uint_eq(stack->flags, flags);
    ck_assert_uint_eq(stack->check, tm_stack_check(stack, frames));
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(tm_stack_frame(stack, i), frames[i]);
    }
}

static uint32_t intern(const uint32_t *frames, uint32_t count, uint16_t total, uint16_t flags)
{
    bool added;
    struct tm_traceback traceback = {.frames = frames, .count = count, .total_nframe = total, .flags = flags};
    return tm_stack_intern(&traceback, &added);
}

START_TEST(equal_stacks_have_one_id)
{
    static const uint32_t frames[] = {1, 2, 3, 4, 5}, other[] = {1, 2, 3, 4, 6};
    stacks_make();
    ck_assert_uint_eq(intern(frames, 0, 0, 0), TM_STACK_UNKNOWN);
    uint32_t id = intern(frames, 5, 5, 0);
    ck_assert_uint_gt(id, TM_STACK_UNKNOWN);
    ck_assert_uint_eq(intern(frames, 5, 5, 0), id);
    ck_assert_uint_ne(intern(frames, 4, 5, 0), id);
    ck_assert_uint_ne(intern(frames, 5, 6, 0), id);
    ck_assert_uint_ne(intern(frames, 5, 5, TM_STACK_TRUNCATED), id);
    ck_assert_uint_ne(intern(other, 5, 5, 0), id);
    ck_assert_uint_eq(intern(frames, 5, 5, 0), id);
    require_stack(id, frames, 5, 5, 0);
    require_stack(intern(other, 5, 9, TM_STACK_TRUNCATED), other, 5, 9, TM_STACK_TRUNCATED);
    require_stack(TM_STACK_UNKNOWN, NULL, 0, 0, TM_STACK_NO_DEPTH);
}
END_TEST

static uint32_t intern_child(const uint32_t *frames, uint32_t count, uint16_t total, uint32_t parent, uint16_t own,
                             uint16_t omitted)
{
    bool added;
    struct tm_traceback traceback = {.frames = frames,
                                     .count = count,
                                     .total_nframe = total,
                                     .parent = parent,
                                     .own = own,
                                     .omitted = omitted};
    uint32_t id = tm_stack_intern(&traceback, &added);
    ck_assert(added);
    return id;
}

static void require_frames(uint32_t id, const uint32_t *frames, uint32_t count)
{
    const struct tm_stack *stack = tm_stack_find(id);
    ck_assert_ptr_nonnull(stack);
    ck_assert_uint_eq(tm_stack_depth(stack), count);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(tm_stack_frame(stack, i), frames[i]);
    }
}

START_TEST(frames_are_shared)
{
    static const uint32_t first[] = {5, 4, 3, 2, 1}, second[] = {7, 6, 3, 2, 1}, third[] = {9, 6, 3, 2},
                          fourth[] = {8, 3, 2}, fifth[] = {3, 2};
    stacks_make();
    uint32_t a = intern(first, 5, 5, 0);
    uint32_t b = intern_child(second, 5, 5, a, 2, 0);
    uint32_t c = intern_child(third, 4, 5, b, 1, 1); /* the oldest frame was cut off */
    uint32_t d = intern_child(fourth, 3, 4, c, 1, 0);
    uint32_t e = intern_child(fifth, 2, 3, d, 0, 0);
    require_frames(a, first, 5);
    require_frames(b, second, 5);
    require_frames(c, third, 4);
    require_frames(d, fourth, 3);
    require_frames(e, fifth, 2);
    ck_assert_uint_eq(tm_stack_find(c)->parent, b); /* 6 is b's own */
    ck_assert_uint_eq(tm_stack_find(d)->parent, a); /* 3 and 2 are nobody's but a's */
    ck_assert_uint_eq(tm_stack_find(d)->omitted, 1);
    ck_assert_uint_eq(tm_stack_find(e)->parent, a);
    ck_assert_uint_eq(intern(third, 4, 5, 0), c); /* however it is stored */
    ck_assert_uint_eq(intern(fifth, 2, 3, 0), e);
    ck_assert_uint_ne(intern(fourth, 2, 4, 0), d);
}
END_TEST

START_TEST(stacks_of_other_domains)
{
    static const uint32_t first[] = {5, 4, 3}, second[] = {3};
    stacks_make();
    uint32_t a = intern(first, 3, 7, TM_STACK_TRUNCATED), b = intern_child(second, 1, 1, a, 0, 0);
    ck_assert_uint_eq(tm_stack_of_domain(a, 0), a);
    uint32_t c = tm_stack_of_domain(a, 5), d = tm_stack_of_domain(a, 6), e = tm_stack_of_domain(b, 5);
    uint32_t unknown = tm_stack_of_domain(TM_STACK_UNKNOWN, 5);
    ck_assert(c != a && d != a && c != d && e != b && e != c && unknown != TM_STACK_UNKNOWN);
    ck_assert_uint_eq(tm_stack_of_domain(a, 5), c);
    ck_assert_uint_eq(tm_stack_of_domain(b, 5), e);
    ck_assert_uint_eq(tm_stack_of_domain(TM_STACK_UNKNOWN, 5), unknown);
    ck_assert_uint_eq(intern(first, 3, 7, TM_STACK_TRUNCATED), a);
    ck_assert_uint_eq(intern(second, 1, 1, 0), b);
    require_frames(c, first, 3);
    require_frames(d, first, 3);
    require_frames(e, second, 1);
    require_frames(unknown, NULL, 0);
    const struct tm_stack *stack = tm_stack_find(d);
    ck_assert_uint_eq(stack->domain, 6);
    ck_assert_uint_eq(stack->own, 0);
    ck_assert_uint_eq(stack->total_nframe, 7);
    ck_assert_uint_eq(stack->flags, TM_STACK_TRUNCATED);
    ck_assert_uint_eq(stack->check, tm_stack_check(stack, NULL));
}
END_TEST

START_TEST(longest_stack)
{
    stacks_make();
    uint32_t *frames = malloc(65535 * sizeof(*frames));
    for (uint32_t i = 0; i < 65535; i++) {
        frames[i] = i * 3 + 1;
    }
    uint32_t id = intern(frames, 65535, 65535, 0);
    require_stack(id, frames, 65535, 65535, 0);
    ck_assert_uint_eq(intern(frames, 65535, 65535, 0), id);
    free(frames);
}
END_TEST

/* The index grows several times over this. */
enum { MANY_STACKS = 50000 };

static uint32_t frames_of(uint32_t number, uint32_t frames[16])
{
    uint32_t count = 1 + number % 16;
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = i + 1 < count ? i + 1 : number + 100;
    }
    return count;
}

static uint32_t ids[THREADS][MANY_STACKS];

static void *intern_many(void *argument)
{
    uint32_t *own = ids[(uintptr_t)argument];
    uint32_t frames[16];
    for (uint32_t i = 0; i < MANY_STACKS; i++) {
        uint32_t number = (uintptr_t)argument % 2 ? i : MANY_STACKS - 1 - i;
        uint32_t count = frames_of(number, frames);
        own[number] = intern(frames, count, (uint16_t)count, 0);
    }
    return NULL;
}

START_TEST(many_stacks)
{
    uint32_t frames[16];
    stacks_make();
    intern_many((void *)0);
    intern_many((void *)1);
    for (uint32_t i = 0; i < MANY_STACKS; i++) {
        uint32_t count = frames_of(i, frames);
        require_stack(ids[0][i], frames, count, (uint16_t)count, 0);
        ck_assert_uint_eq(ids[0][i], ids[1][i]);
    }
}
END_TEST

/* Two threads may give one stack two ids when they meet; but each is right, and that is rare. */
START_TEST(many_stacks_of_threads)
{
    uint32_t frames[16], largest = 0;
    stacks_make();
    threads_run(intern_many);
    for (uint32_t thread = 0; thread < THREADS; thread++) {
        for (uint32_t i = 0; i < MANY_STACKS; i++) {
            uint32_t count = frames_of(i, frames);
            require_stack(ids[thread][i], frames, count, (uint16_t)count, 0);
            largest = ids[thread][i] > largest ? ids[thread][i] : largest;
        }
    }
    ck_assert_uint_lt(largest, MANY_STACKS + MANY_STACKS / 4);
}
END_TEST

START_TEST(stacks_without_memory_are_unknown)
{
    stacks_make();
    tm_root->max_bytes = tm_root->committed_bytes;
    uint32_t frames[16], known = 0;
    for (uint32_t i = 0; i < MANY_STACKS; i++) {
        uint32_t id = intern(frames, frames_of(i, frames), 3, 0);
        known += id != TM_STACK_UNKNOWN;
    }
    ck_assert_uint_lt(known, MANY_STACKS);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Live words
 */

START_TEST(live_words)
{
    root_make();
    uint32_t key_shift = _i ? 5 : 4;
    ck_assert(tm_live_init(key_shift, _i & 1));
    const struct tm_region *region = tm_live.region;
    uintptr_t addresses[] = {16, 0x555555560010, 0x7fffffffffe0, 0x7ffffffffff0, 0x20000040, 0};
    for (unsigned i = 0; addresses[i]; i++) {
        uintptr_t address = addresses[i];
        ck_assert(i != 0 || !tm_live_find(address));
        uint64_t *cell = tm_live_make(address);
        ck_assert_ptr_eq(cell, element_by_the_book(region, address >> key_shift));
        ck_assert_ptr_eq(cell, tm_live_find(address));
        uint64_t word = tm_live_word(address, 12345, 77, 3);
        ck_assert_uint_eq(tm_live_size(word), 12345);
        ck_assert_uint_eq(tm_live_stack(word), 77);
        ck_assert(tm_live_is(word, address, 3) && tm_live_is(word, address, 5) &&
                  !tm_live_is(word, address, 4));
        ck_assert(!tm_live_is(0, address, 2));
        uint64_t start = (address >> key_shift << key_shift) + (word & TM_LIVE_OFFSET ? 16 : 0);
        ck_assert_uint_eq(start, address);
        ck_assert_uint_eq(tm_live_is(word, address ^ 16, 3), key_shift == 4);
    }
    ck_assert(tm_live_fits(16, TM_LIVE_SIZE_WIDE - 1) && !tm_live_fits(16, TM_LIVE_SIZE_WIDE));
    ck_assert(!tm_live_fits(8, 1) && !tm_live_fits(UINT64_C(1) << 47, 1) && tm_live_fits(0x7ffffffffff0, 1));
    ck_assert_uint_eq(tm_live_stack(tm_live_word(16, 1, TM_LIVE_STACK_MAX, 1)), TM_LIVE_STACK_MAX);
}
END_TEST

START_TEST(sweep_takes_the_other_generation)
{
    root_make();
    ck_assert(tm_live_init(5, true));
    for (uintptr_t i = 1; i < 20000; i++) {
        *tm_live_make(i * 4096) = tm_live_word(i * 4096, i, 1, i);
    }
    tm_live_sweep(3);
    for (uintptr_t i = 1; i < 20000; i++) {
        ck_assert_int_eq(*tm_live_find(i * 4096) != 0, i & 1);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Wide entries
 */

static void wide_add(uint32_t domain, uint64_t address, uint64_t size, uint64_t generation)
{
    struct tm_wide *entry = tm_wide_claim(domain, address, generation);
    ck_assert_ptr_nonnull(entry);
    ck_assert_ptr_null(tm_wide_find(domain, address, generation));
    entry->size = size;
    tm_wide_publish(entry, generation);
    ck_assert_ptr_eq(tm_wide_find(domain, address, generation), entry);
}

START_TEST(wide_entries)
{
    root_make();
    ck_assert(tm_wide_init());
    ck_assert_ptr_null(tm_wide_find(1, 2, 1));
    for (uint64_t i = 0; i < 30000; i++) {
        wide_add((uint32_t)(i % 3), i / 3 * 8, i, 1);
    }
    ck_assert(tm_wide_has_malloc);
    for (uint64_t i = 0; i < 30000; i++) {
        struct tm_wide *entry = tm_wide_find((uint32_t)(i % 3), i / 3 * 8, 1);
        ck_assert_uint_eq(entry->size, i);
        if (i % 2) {
            ck_assert(tm_wide_remove(entry, 1) && !tm_wide_remove(entry, 1));
            ck_assert_ptr_null(tm_wide_find((uint32_t)(i % 3), i / 3 * 8, 1));
        }
    }
    uint64_t committed = tm_root->committed_bytes;
    for (uint64_t i = 1; i < 30000; i += 2) {
        wide_add((uint32_t)(i % 3), i / 3 * 8, i, 1);
    }
    ck_assert_uint_le(tm_root->committed_bytes, committed + committed / 4);
    ck_assert_ptr_null(tm_wide_find(0, 0, 2));
    committed = tm_root->committed_bytes;
    for (uint64_t i = 0; i < 30000; i++) { /* entries of an older generation are free */
        wide_add((uint32_t)(i % 3), i / 3 * 8, i, 2);
    }
    ck_assert_uint_le(tm_root->committed_bytes, committed + committed / 4);
}
END_TEST

START_TEST(wide_entries_are_held)
{
    root_make();
    ck_assert(tm_wide_init());
    wide_add(0, 24, 100, 1);
    struct tm_wide *entry = tm_wide_find(0, 24, 1);
    entry->stack = 5;
    ck_assert(tm_wide_hold(entry, 1) && !tm_wide_hold(entry, 1));
    ck_assert_ptr_null(tm_wide_find(0, 24, 1));
    ck_assert_ptr_eq(tm_wide_find_held(0, 24, 200, 6), entry);
    ck_assert_ptr_null(tm_wide_find_held(0, 24, 100, 5));
    tm_wide_publish(entry, 1);
    ck_assert_ptr_eq(tm_wide_find(0, 24, 1), entry);
    ck_assert(tm_wide_hold(entry, 1));
    tm_wide_drop(entry);
    ck_assert_ptr_null(tm_wide_find(0, 24, 1));
}
END_TEST

static void *wide_churn(void *argument)
{
    uint32_t domain = 1 + (uint32_t)(uintptr_t)argument % 4;
    uint64_t base = (uintptr_t)argument << 20;
    for (int round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 3000; i++) {
            struct tm_wide *entry = tm_wide_claim(domain, base + i, 1);
            entry->size = base + i;
            tm_wide_publish(entry, 1);
        }
        for (uint64_t i = 0; i < 3000; i++) {
            struct tm_wide *entry = tm_wide_find(domain, base + i, 1);
            if (!entry || entry->size != base + i || !tm_wide_remove(entry, 1)) {
                return (void *)1;
            }
        }
    }
    return NULL;
}

START_TEST(wide_entries_of_threads)
{
    pthread_t threads[THREADS];
    root_make();
    ck_assert(tm_wide_init());
    for (uintptr_t i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wide_churn, (void *)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Counters of stacks
 */

static struct tm_memo memo;

static struct tm_stack_stats *stats_make(uint32_t stack)
{
    root_make();
    tm_root->features |= TM_FEATURE_STATS;
    ck_assert_ptr_null(tm_memo_stats(&memo, stack)); /* not made yet */
    ck_assert(tm_stats_init());
    return tm_memo_stats(&memo, stack);
}

static uint64_t live_size(const struct tm_stack_stats *stats)
{
    return stats->allocated_size - stats->freed_size;
}

START_TEST(peak_is_kept_before_a_change)
{
    struct tm_stack_stats *stats = stats_make(5);
    ck_assert_uint_eq(stats->stack, 5);
    for (uint64_t epoch = 10; epoch <= 20; epoch += 10) {
        uint64_t base = live_size(stats);
        tm_stats_add(stats, 1, 100, 1, epoch);
        ck_assert_uint_eq(stats->peak_size, base);
        tm_stats_add(stats, 1, 50, 1, epoch);
        ck_assert_uint_eq(stats->peak_size, base);
        tm_stats_remove(stats, 1, 100, 1, epoch + 1);
        ck_assert_uint_eq(stats->peak_size, base + 150);
        ck_assert_uint_eq(stats->peak_epoch, epoch + 1);
        tm_stats_remove(stats, 1, 50, 1, epoch + 1);
        tm_stats_add(stats, 1, 7, 1, epoch + 1);
        ck_assert_uint_eq(stats->peak_size, base + 150);
        ck_assert_uint_eq(live_size(stats), base + 7);
    }
    ck_assert_uint_eq(stats->allocated_count - stats->freed_count, 2);
    ck_assert_uint_eq(stats->allocated_count, 6);
    ck_assert_uint_eq(stats->allocated_size, 2 * 157);
}
END_TEST

START_TEST(counters_begin_anew_with_a_generation)
{
    struct tm_stack_stats *stats = stats_make(9);
    tm_stats_add(stats, 1, 10, 1, 1);
    ck_assert_ptr_eq(tm_memo_stats(&memo, 9), stats);
    tm_stats_add(stats, 1, 30, 2, 5);
    ck_assert_uint_eq(stats->generation, 2);
    ck_assert_uint_eq(stats->allocated_count, 1);
    ck_assert_uint_eq(stats->allocated_size, 30);
    ck_assert_uint_eq(stats->peak_epoch, 5); /* it held nothing when the epoch began */
    ck_assert_uint_eq(stats->peak_size, 0);
    tm_stats_recount(2, 6);
    ck_assert_uint_eq(live_size(stats), 0);
    ck_assert_uint_eq(stats->allocated_size, 30);
    ck_assert_uint_eq(stats->peak_epoch, 6); /* what it held then stays */
    ck_assert_uint_eq(stats->peak_size, 30);
    uint64_t count, size;
    tm_stats_allocated(2, &count, &size);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(size, 30);
}
END_TEST

/* Against the formula, with the library's exp(). */
START_TEST(samples_stand_for_whole_numbers)
{
    static const uint64_t means[] = {1, 2, 1000, 4096, 524288, UINT64_C(1) << 40};
    for (size_t i = 0; i < sizeof(means) / sizeof(*means); i++) {
        for (uint64_t size = 0; size < 2 * means[i]; size += size / 7 + 1) {
            uint64_t n = tm_sample_count(size, means[i]);
            double inverse = -1 / expm1(-(double)(size ? size : 1) / (double)means[i]);
            if ((size ? size : 1) >= means[i]) {
                ck_assert_uint_eq(n, 1);
                continue;
            }
            ck_assert_double_ge((double)n, inverse * (1 - 1e-9) - 1e-4);
            ck_assert_double_lt((double)n, inverse * (1 + 1e-9) + 1 + 1e-4);
            ck_assert_double_eq_tol((double)tm_sample_inverse(size, means[i]) / 65536, inverse, 1e-4 + inverse * 1e-9);
        }
    }
}
END_TEST

START_TEST(counters_of_many_stacks)
{
    enum { STACKS = 20000 };
    stats_make(1);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t stack = 1; stack <= STACKS; stack++) {
            struct tm_stack_stats *stats = tm_memo_stats(&memo, stack);
            ck_assert_ptr_nonnull(stats);
            ck_assert_uint_eq(stats->stack, stack);
            tm_stats_add(stats, 1, stack, 1, 1);
            ck_assert_uint_eq(stats->allocated_size, (round + 1) * stack);
        }
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Slots of threads
 */

START_TEST(slots_are_used_again)
{
    root_make();
    ck_assert(tm_threads_init());
    uint64_t first = tm_thread_take(1001), second = tm_thread_take(1002);
    ck_assert_uint_ne(first, second);
    ck_assert_uint_ne(first, TM_THREAD_SPARE);
    ck_assert_uint_eq(tm_thread_at(first)->tid, 1001);
    ck_assert_uint_eq(tm_thread_at(first)->state, TM_THREAD_USED);
    tm_thread_give(first);
    ck_assert_uint_eq(tm_thread_at(first)->state, TM_THREAD_ENDED);
    ck_assert_uint_eq(tm_thread_take(1003), first);
    ck_assert_uint_eq(tm_thread_at(first)->tid, 1003);
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(tm_thread_take(2000 + i), second + 1 + i);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        tm_thread_give(second + 1 + i);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_uint_le(tm_thread_take(3000 + i), second + 1000);
    }
    ck_assert_ptr_null(tm_thread_at(second + 1001));
}
END_TEST

START_TEST(room_for_walks)
{
    root_make();
    struct tm_thread_private private = {0};
    ck_assert(tm_thread_make_room(&private, 1) && private.capacity >= 1);
    ck_assert(tm_thread_make_room(&private, 65535) && private.capacity >= 65535);
    private.frames[65535 * TM_OPERATION_LEVELS - 1] = 1;
    uint32_t *frames = private.frames;
    tm_root->max_bytes = tm_root->committed_bytes;
    ck_assert(!tm_thread_make_room(&private, 100000));
    ck_assert_ptr_eq(private.frames, frames);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * History
 */

enum { HISTORY_CAPACITY = 5 };

static const struct tm_freed *history_element(uint64_t index)
{
    return element_by_the_book(&tm_root->regions[0], index);
}

START_TEST(history_is_a_ring)
{
    root_make();
    ck_assert(tm_history_init(HISTORY_CAPACITY));
    ck_assert_uint_eq(tm_root->regions[0].kind, TM_REGION_HISTORY);
    for (uint64_t i = 1; i <= 12; i++) {
        tm_history_add(3, &(struct tm_freed){.address = 16 * i, .size = i, .freed_stack = 7});
    }
    for (uint64_t i = 0; i < 16; i++) { /* threads 3 and 19 are of one shard */
        const struct tm_freed *element = history_element((UINT64_C(3) << 24) + i);
        uint64_t expected = i >= HISTORY_CAPACITY ? 0 : i < 2 ? 11 + i : 6 + i;
        ck_assert_uint_eq(element->order, expected);
        ck_assert_uint_eq(element->address, 16 * expected);
        ck_assert_uint_eq(element->size, expected);
        ck_assert_uint_eq(element->check, expected ? tm_freed_check(element) : 0);
        ck_assert_uint_eq(element->freed_time != 0, expected != 0);
    }
    ck_assert_ptr_null(history_element(0)); /* nothing of other shards is there */
    tm_history_add(19, &(struct tm_freed){.address = 1});
    ck_assert_uint_eq(history_element((UINT64_C(3) << 24) + 2)->address, 1);
    tm_history_add(15, &(struct tm_freed){.address = 2});
    ck_assert_uint_eq(history_element(UINT64_C(15) << 24)->address, 2);
}
END_TEST

/* One that is being written is left to its writer. */
START_TEST(history_element_has_one_writer)
{
    root_make();
    ck_assert(tm_history_init(1));
    tm_history_add(0, &(struct tm_freed){.address = 1});
    struct tm_freed *element = (struct tm_freed *)(uintptr_t)history_element(0);
    element->check = TM_FREED_BUSY;
    tm_history_add(0, &(struct tm_freed){.address = 2});
    ck_assert_uint_eq(element->address, 1);
    ck_assert_uint_eq(element->order, 1);
    element->check = 0;
    tm_history_add(0, &(struct tm_freed){.address = 3});
    ck_assert_uint_eq(element->address, 3);
    ck_assert_uint_eq(element->order, 3);
}
END_TEST

START_TEST(history_without_memory)
{
    root_make();
    ck_assert(tm_history_init(HISTORY_CAPACITY));
    tm_root->max_bytes = tm_root->committed_bytes;
    tm_history_add(0, &(struct tm_freed){.address = 1});
    ck_assert_ptr_null(history_element(0));
    tm_root->max_bytes = 0;
    tm_history_add(0, &(struct tm_freed){.address = 2});
    ck_assert_uint_eq(history_element(1)->address, 2);
}
END_TEST

static void *history_work(void *context)
{
    uint64_t thread = (uintptr_t)context;
    for (uint64_t i = 1; i <= 100000; i++) { /* whatever is found has been written by one */
        tm_history_add(16 * thread, &(struct tm_freed){.address = thread << 32 | i, .size = i, .domain = (uint32_t)thread});
    }
    return NULL;
}

START_TEST(history_of_threads)
{
    root_make();
    ck_assert(tm_history_init(2));
    threads_run(history_work);
    for (uint64_t i = 0; i < 2; i++) {
        const struct tm_freed *element = history_element(i);
        ck_assert_uint_eq(element->address, (uint64_t)element->domain << 32 | element->size);
        ck_assert_uint_ne(element->order, 0);
        ck_assert_uint_eq(element->check, tm_freed_check(element));
    }
}
END_TEST

static Suite *tables_suite(void)
{
    Suite *suite = suite_create("tracer tables");
    TCase *memory = tcase_create("memory");
    tcase_add_test(memory, root_describes_itself);
    tcase_add_test(memory, fields_cover_the_structures);
    tcase_add_test(memory, pieces_adjoin);
    tcase_add_test(memory, private_memory_is_not_dumped);
    tcase_add_test(memory, pieces_go_around_what_is_there);
    tcase_add_test(memory, cap_is_kept);
    tcase_add_test(memory, root_without_memory_says_so);
    tcase_add_test(memory, any_address_will_do);
    suite_add_tcase(suite, memory);
    TCase *regions = tcase_create("regions");
    tcase_add_loop_test(regions, elements_are_where_the_layout_says, 0, sizeof(shapes) / sizeof(shapes[0]));
    tcase_add_test(regions, taken_elements_lie_in_one_segment);
    tcase_add_test(regions, threads_take_different_elements);
    suite_add_tcase(suite, regions);
    TCase *stacks = tcase_create("stacks");
    tcase_set_timeout(stacks, 60);
    tcase_add_test(stacks, equal_stacks_have_one_id);
    tcase_add_test(stacks, frames_are_shared);
    tcase_add_test(stacks, stacks_of_other_domains);
    tcase_add_test(stacks, longest_stack);
    tcase_add_test(stacks, many_stacks);
    tcase_add_test(stacks, many_stacks_of_threads);
    tcase_add_test(stacks, stacks_without_memory_are_unknown);
    suite_add_tcase(suite, stacks);
    TCase *live = tcase_create("live");
    tcase_add_loop_test(live, live_words, 0, 3);
    tcase_add_test(live, sweep_takes_the_other_generation);
    suite_add_tcase(suite, live);
    TCase *wide = tcase_create("wide");
    tcase_set_timeout(wide, 60);
    tcase_add_test(wide, wide_entries);
    tcase_add_test(wide, wide_entries_are_held);
    tcase_add_test(wide, wide_entries_of_threads);
    suite_add_tcase(suite, wide);
    TCase *history = tcase_create("history");
    tcase_set_timeout(history, 60);
    tcase_add_test(history, history_is_a_ring);
    tcase_add_test(history, history_element_has_one_writer);
    tcase_add_test(history, history_without_memory);
    tcase_add_test(history, history_of_threads);
    suite_add_tcase(suite, history);
    TCase *counters = tcase_create("counters");
    tcase_add_test(counters, peak_is_kept_before_a_change);
    tcase_add_test(counters, counters_begin_anew_with_a_generation);
    tcase_add_test(counters, counters_of_many_stacks);
    tcase_add_test(counters, samples_stand_for_whole_numbers);
    tcase_add_test(counters, slots_are_used_again);
    tcase_add_test(counters, room_for_walks);
    suite_add_tcase(suite, counters);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(tables_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
