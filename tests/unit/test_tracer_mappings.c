/* test_tracer_mappings.c: the ordered set of ranges against an array of pages. */
#include <check.h>
#include <stdlib.h>

#include "../../tracer/tables/mappings.h"
#include "../../tracer/tables/root.h"

#define PAGE  4096
#define PAGES 600

static unsigned char owner[PAGES]; /* 0 = free, else 1 or 2: neighbours differ */

static void lock(uint64_t *signals)
{
    ck_assert(tm_mappings_lock(tm_root->generation, signals));
}

/* The lowest range that has a page of first..last, by the array. */
static bool find_slowly(int first, int last, struct tm_mapping *ret_mapping)
{
    int start = first;
    while (start < last && !owner[start]) {
        start++;
    }
    if (start >= last) {
        return false;
    }
    int end = start;
    while (start > 0 && owner[start - 1] == owner[start]) {
        start--;
    }
    while (end < PAGES && owner[end] == owner[start]) {
        end++;
    }
    *ret_mapping = (struct tm_mapping){(uintptr_t)start * PAGE, (uintptr_t)end * PAGE};
    return true;
}

static void fill(const struct tm_mapping *mapping, unsigned char value)
{
    for (uintptr_t page = mapping->start / PAGE; page < mapping->end / PAGE; page++) {
        owner[page] = value;
    }
}

/* Another mark than those beside the range. */
static unsigned char mark(int first, int last)
{
    for (unsigned char value = 1;; value++) {
        if ((first == 0 || owner[first - 1] != value) && (last == PAGES || owner[last] != value)) {
            return value;
        }
    }
}

START_TEST(like_an_array)
{
    uint64_t signals;
    lock(&signals);
    srandom(7);
    for (int round = 0; round < 50000; round++) {
        int first = (int)(random() % PAGES), last = first + 1 + (int)(random() % 8);
        last = last > PAGES ? PAGES : last;
        struct tm_mapping expected = {0, 0}, found = {0, 0};
        bool expects = find_slowly(first, last, &expected);
        bool finds = tm_mappings_find((uintptr_t)first * PAGE, (uintptr_t)last * PAGE, &found);
        if (finds != expects || found.start != expected.start ||
            found.end != expected.end) { /* an assert each is slow */
            ck_abort_msg("round %d: %lx-%lx, not %lx-%lx", round, found.start, found.end, expected.start,
                         expected.end);
        }
        if (expects) {
            tm_mappings_remove(found.start);
            fill(&found, 0);
        } else {
            struct tm_mapping added = {(uintptr_t)first * PAGE, (uintptr_t)last * PAGE};
            if (!tm_mappings_add(added.start, added.end)) {
                ck_abort_msg("out of memory");
            }
            fill(&added, mark(first, last));
        }
    }
    tm_mappings_unlock(signals);
}
END_TEST

/* A clear: what was mapped before is forgotten, and who comes too late for the generation before changes
 * nothing. */
START_TEST(another_generation)
{
    uint64_t signals;
    struct tm_mapping found;
    lock(&signals);
    ck_assert(tm_mappings_add(PAGE, 2 * PAGE));
    tm_mappings_unlock(signals);
    tm_root->generation++;
    ck_assert(!tm_mappings_lock(tm_root->generation - 1, &signals));
    lock(&signals);
    ck_assert(!tm_mappings_find(0, 10 * PAGE, &found));
    tm_mappings_unlock(signals);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mappings");
    TCase *test_case = tcase_create("set");
    tcase_add_test(test_case, like_an_array);
    tcase_add_test(test_case, another_generation);
    suite_add_tcase(suite, test_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
