/* sample=BYTES: which blocks are recorded. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tracer/layout.h"
#include "tracer/record/sample.h"

/* Blocks that are recorded, each as many as it stands for, add up to those that there were: within five
 * standard deviations of the sum, which are less than 7 %; of large blocks less than 1 %. */
START_TEST(samples_add_up)
{
    static const size_t sizes[] = {0, 24, 256, 2000, 4095};
    const uint64_t blocks = 4000000;
    size_t size = sizes[_i];
    uint64_t recorded = 0;
    tm_sample_bytes = 4096;
    tm_local.sample_state = UINT64_C(88172645463325252);
    for (uint64_t block = 0; block < blocks; block++) {
        recorded += tm_sample_takes(size);
    }
    double n = (double)tm_sample_count(size, tm_sample_bytes);
    ck_assert_double_eq_tol((double)recorded * n, (double)blocks, 5 * sqrt((double)blocks * (n - 1)));
    tm_sample_bytes = 0;
}
END_TEST

/* A block as large as the mean distance or larger is always recorded. */
START_TEST(large_blocks_are_recorded)
{
    tm_sample_bytes = 4096;
    for (size_t size = 4096; size < 5000; size++) {
        ck_assert(tm_sample_takes(size));
    }
    tm_sample_bytes = 0;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sample");
    TCase *choice = tcase_create("choice");
    tcase_add_loop_test(choice, samples_add_up, 0, 5);
    tcase_add_test(choice, large_blocks_are_recorded);
    suite_add_tcase(suite, choice);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
