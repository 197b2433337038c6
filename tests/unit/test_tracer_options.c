/* The reader of TRACEMALLOC and of tm-run's options. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tracer/options.h"

#define KIB UINT64_C(1024)

struct good {
    const char *text;
    struct tm_options expected;
};

static const struct good good[] = {
    {"25", {.nframe = 25, .stats = true}},
    {"0", {.nframe = 0, .stats = true}},
    {"65535", {.nframe = 65535, .stats = true}},
    {"007", {.nframe = 7, .stats = true}},
    {" \t\n\v\f\r+8", {.nframe = 8, .stats = true}},
    {"-0", {.nframe = 0, .stats = true}},
    {"1,detail=1", {.nframe = 1, .stats = true, .detail = true}},
    {"1,stats=0,mmap=0", {.nframe = 1}},
    {"1,mmap=1", {.nframe = 1, .stats = true, .mmap = true}},
    {"1,max=5", {.nframe = 1, .stats = true, .max = 5}},
    {"1,max=3K", {.nframe = 1, .stats = true, .max = 3 * KIB}},
    {"1,max=3M", {.nframe = 1, .stats = true, .max = 3 * KIB * KIB}},
    {"1,max=3G", {.nframe = 1, .stats = true, .max = 3 * KIB * KIB * KIB}},
    {"1,max=18446744073709551615", {.nframe = 1, .stats = true, .max = UINT64_MAX}},
    {"1,max=1,max=2,detail=1,detail=0", {.nframe = 1, .stats = true, .max = 2}},
    {"1,sample=0,freed=0", {.nframe = 1, .stats = true}},
    {"1,sample=512K", {.nframe = 1, .stats = true, .sample = 512 * KIB}},
    {"1,freed=16777216", {.nframe = 1, .stats = true, .freed = 16777216}},
};

START_TEST(good_texts)
{
    const struct good *text = &good[_i];
    struct tm_options options;
    struct tm_options_error error = {0};
    tm_options_init(&options);
    ck_assert_msg(tm_options_read(text->text, &options, &error), "'%s': %s", text->text, error.reason);
    ck_assert_uint_eq(options.nframe, text->expected.nframe);
    ck_assert_uint_eq(options.max, text->expected.max);
    ck_assert_int_eq(options.detail, text->expected.detail);
    ck_assert_int_eq(options.stats, text->expected.stats);
    ck_assert_int_eq(options.mmap, text->expected.mmap);
    ck_assert_uint_eq(options.sample, text->expected.sample);
    ck_assert_uint_eq(options.freed, text->expected.freed);
}
END_TEST

/* A text and the part of it that the error is about. */
static const char *const bad[][2] = {
    {"", ""},
    {" ", " "},
    {"+", "+"},
    {"x", "x"},
    {"25x", "25x"},
    {"25 ", "25 "},
    {"0x7", "0x7"},
    {"-1", "-1"},
    {"65536", "65536"},
    {"18446744073709551617", "18446744073709551617"}, /* 1, if it wrapped */
    {"25,", ""},
    {"25,,detail=1", ""},
    {",detail=1", ""},
    {"25,detail", "detail"},
    {"25,detail=", "detail="},
    {"25,detail=2", "detail=2"},
    {"25,detail=01", "detail=01"},
    {"25,Detail=1", "Detail"},
    {"25,=1", ""},
    {"25,frames=1", "frames"},
    {"25,max=", "max="},
    {"25,max=K", "max=K"},
    {"25,max=1k", "max=1k"},
    {"25,max=1T", "max=1T"},
    {"25,max=-1", "max=-1"},
    {"25,max= 1", "max= 1"},
    {"25,max=1=2", "max=1=2"},
    {"25,max=18446744073709551616", "max=18446744073709551616"},
    {"25,max=18014398509481984K", "max=18014398509481984K"}, /* 2^64 */
    {"25,sample=4X", "sample=4X"},
    {"25,freed=16777217", "freed=16777217"},
    {"25,freed=1K", "freed=1K"},
    {"25,freed=", "freed="},
};

START_TEST(bad_texts)
{
    const char *text = bad[_i][0], *part = bad[_i][1];
    struct tm_options options;
    struct tm_options_error error = {0};
    tm_options_init(&options);
    ck_assert_msg(!tm_options_read(text, &options, &error), "'%s' was taken", text);
    ck_assert_uint_eq(error.length, strlen(part));
    ck_assert(memcmp(error.text, part, error.length) == 0);
    ck_assert(error.text >= text && error.text + error.length <= text + strlen(text));
}
END_TEST

START_TEST(parts_alone)
{
    struct tm_options options;
    struct tm_options_error error;
    tm_options_init(&options);
    ck_assert(tm_options_read("7,max=1K,detail=1", &options, &error));
    ck_assert(tm_options_read_nframe("9", &options, &error));
    ck_assert(tm_options_read_keys("max=2K", &options, &error));
    ck_assert_uint_eq(options.nframe, 9);
    ck_assert_uint_eq(options.max, 2 * KIB);
    ck_assert(options.detail);
    ck_assert(!tm_options_read_nframe("9,max=1", &options, &error));
    ck_assert(!tm_options_read_keys("9", &options, &error));
}
END_TEST

START_TEST(errors_are_one_line)
{
    const char *text = "25,a\nb\x1b[31m=1";
    struct tm_options options;
    struct tm_options_error error;
    char line[200], cut[10];
    tm_options_init(&options);
    ck_assert(!tm_options_read(text, &options, &error));
    size_t length = tm_options_error_format(&error, line, sizeof(line));
    ck_assert_uint_eq(length, strlen(line));
    ck_assert(strstr(line, "'a?b?[31m'"));
    ck_assert_uint_eq(tm_options_error_format(&error, cut, sizeof(cut)), sizeof(cut) - 1);
    ck_assert(strncmp(cut, line, sizeof(cut) - 1) == 0 && cut[sizeof(cut) - 1] == '\0');
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tracer options");
    TCase *options = tcase_create("options");
    tcase_add_loop_test(options, good_texts, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(options, bad_texts, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(options, parts_alone);
    tcase_add_test(options, errors_are_one_line);
    suite_add_tcase(suite, options);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
