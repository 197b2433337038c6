/* Every piece of memory that the tracer asks for is refused once, and from some point on: it goes on, and
 * counts what it drops. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tracer/layout.h"
#include "tracer/tables/memory.h"
#include "tracer/tables/root.h"
#include "tracer/tables/threads.h"

int tm_start(int nframe);
void tm_stop(void);
void tm_clear_traces(void);
void tm_get_traced_memory(size_t *current, size_t *peak);
int tm_track(unsigned domain, uintptr_t ptr, size_t size);
int tm_untrack(unsigned domain, uintptr_t ptr);

enum { PIECES = 60, BLOCKS = 3000 };

static long pieces, refused_from, refused_until;

static long refusing(uintptr_t address, size_t size, int flags)
{
    long piece = pieces++;
    if (piece >= refused_from && piece < refused_until) {
        pieces -= address != 0; /* the second try, at any address, is of the same piece */
        return -ENOMEM;
    }
    void *memory =
        mmap((void *)address, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return memory == MAP_FAILED ? -errno : (long)memory;
}

static uint64_t dropped(void)
{
    uint64_t count = tm_root->dropped_count;
    const struct tm_thread *thread;
    for (uint64_t i = 0; (thread = tm_thread_at(i)); i++) {
        count += thread->dropped_count;
    }
    return count;
}

/* Blocks of both kinds, far apart; how many could be tracked. */
static uint64_t track_all(void)
{
    uint64_t tracked = 0;
    for (uintptr_t i = 1; i <= BLOCKS; i++) {
        int first = tm_track(0, i << 22, 10), second = tm_track(2, i, 20);
        ck_assert((first == 0 || first == -1) && (second == 0 || second == -1));
        tracked += (first == 0) + (second == 0);
    }
    return tracked;
}

static void run(void)
{
    int started = tm_start(10);
    if (started != 0) {
        ck_assert_int_eq(started, -2);
        ck_assert_uint_eq(tm_root->state, TM_STATE_FAILED);
        ck_assert_int_eq(tm_start(10), -2);
        ck_assert_int_eq(tm_track(1, 1, 1), -2);
        return;
    }
    for (int round = 0; round < 3; round++) {
        uint64_t before = dropped();
        uint64_t tracked = track_all();
        size_t current;
        ck_assert_uint_eq(dropped() - before, 2 * BLOCKS - tracked);
        tm_get_traced_memory(&current, NULL);
        for (uintptr_t i = 1; i <= BLOCKS; i++) {
            ck_assert_int_eq(tm_untrack(0, i << 22), 0);
            ck_assert_int_eq(tm_untrack(2, i), 0);
        }
        ck_assert(tracked == 0 ? current == 0 : current >= 10 * tracked);
        tm_get_traced_memory(&current, NULL);
        ck_assert_uint_eq(current, 0);
        tm_clear_traces();
    }
    tm_stop();
}

/* Loop tests run in processes of their own, where the tracer is new but for the root, which its constructor
 * made. */
START_TEST(one_piece_is_refused)
{
    tm_memory_source = refusing;
    refused_from = _i;
    refused_until = _i + 1;
    run();
}
END_TEST

START_TEST(all_further_pieces_are_refused)
{
    tm_memory_source = refusing;
    refused_from = _i;
    refused_until = INTPTR_MAX;
    run();
}
END_TEST

START_TEST(nothing_is_refused)
{
    tm_memory_source = refusing;
    refused_from = refused_until = INTPTR_MAX;
    run();
    ck_assert_uint_eq(dropped(), 0);
    ck_assert_int_gt(pieces, PIECES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tracer failures");
    TCase *memory = tcase_create("memory");
    tcase_set_timeout(memory, 60);
    tcase_add_test(memory, nothing_is_refused);
    tcase_add_loop_test(memory, one_piece_is_refused, 0, PIECES);
    tcase_add_loop_test(memory, all_further_pieces_are_refused, 0, PIECES);
    suite_add_tcase(suite, memory);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
