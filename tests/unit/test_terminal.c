/* test_terminal.c: what a terminal changes: styles, widths, the line of progress; and patterns of
 * suppressions. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coreanalyze/command/leaks/suppressions.h"
#include "coreanalyze/terminal/fit.h"
#include "coreanalyze/terminal/progress.h"
#include "coreanalyze/terminal/styles.h"

#define ELLIPSIS "\xE2\x80\xA6"

static void assert_text(struct ca_text *text, const char *expected)
{
    ck_assert(!text->failed);
    ck_assert_str_eq(text->bytes ? text->bytes : "", expected);
    ca_text_deinit(text);
}

/* -------------------------------------------------------------------------------------------------- styles
 */

static const char *const letters[CA_STYLES] = {"", "T", "F", "N", "A", "S", "+", "-", "", "!"};

START_TEST(styles_of_names_and_lines)
{
    const struct ca_look look = {.styles = letters};
    struct ca_text text = {.look = &look};
    ca_text_style(&text, CA_STYLE_TITLE);
    ca_text_add(&text, "a");
    ca_text_style(&text, CA_STYLE_SIZE);
    ca_text_add(&text, "b");
    ca_text_style(&text, CA_STYLE_PLAIN);
    ca_text_add_name(&text, "c");
    ca_text_add_styled(&text, CA_STYLE_FUNCTION, "d");
    ca_text_style(&text, CA_STYLE_ALARM);
    ca_text_add_name(&text, "e"); /* what is in another style already stays in it */
    ca_text_style(&text, CA_STYLE_PLAIN);
    ca_text_add_line_bytes(&text, "f", 1); /* a style that is empty */
    assert_text(&text, "\033[Tma\033[0m\033[Smb\033[0m\033[Fmc\033[0m\033[Nmd\033[0m\033[!me\033[0mf");
}
END_TEST

START_TEST(styles_nowhere)
{
    struct ca_text text = {0};
    ca_text_style(&text, CA_STYLE_TITLE);
    ca_text_add_styled(&text, CA_STYLE_FUNCTION, "a");
    ca_text_add_line_bytes(&text, "b", 1);
    ck_assert_uint_eq(text.mark_count, 0);
    assert_text(&text, "ab");
    ck_assert_int_eq(ca_style_of_change(1), CA_STYLE_GROWTH);
    ck_assert_int_eq(ca_style_of_change(-1), CA_STYLE_SHRINK);
    ck_assert_int_eq(ca_style_of_change(0), CA_STYLE_PLAIN);
    for (int i = 0; i < CA_STYLES; i++) {
        ck_assert(ca_styles[i] && strspn(ca_styles[i], "0123456789;") == strlen(ca_styles[i]));
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------- widths
 */

/* "<NAME>: size" on a terminal of so many columns. */
static struct ca_text fitted(size_t columns, const char *name, const char *rest)
{
    const struct ca_look look = {.columns = columns, .styles = letters};
    struct ca_text text = {.look = &look};
    ca_text_add(&text, "first\n");
    ca_text_add_name(&text, name);
    ca_text_add(&text, rest);
    ca_text_fit(&text);
    text.look = NULL;
    ck_assert_uint_eq(text.mark_count, 0);
    return text;
}

static void assert_fitted(size_t columns, const char *name, const char *rest, const char *expected)
{
    struct ca_text text = fitted(columns, name, rest);
    char *whole;
    ck_assert_int_ge(asprintf(&whole, "first\n\033[Fm%s\033[0m%s", expected, rest), 0);
    assert_text(&text, whole);
    free(whole);
}

START_TEST(width_of_names)
{
    assert_fitted(20, "0123456789", "0123456789\n", "0123456789");
    assert_fitted(0, "01234567890123456789", ": rest\n", "01234567890123456789");
    /* 16 columns are left: the ellipsis, a third of 15 before it, the rest behind it */
    assert_fitted(20, "abcdefghijklmnopqrst", "0123\n", "abcde" ELLIPSIS "klmnopqrst");
    assert_fitted(20, "abcdefghijklmnopqrst", "0123", "abcde" ELLIPSIS "klmnopqrst");
    /* whole components, where no more than 8 columns are lost by that */
    assert_fitted(24, "/home/user/project/source/engine.c", "0123\n", "/home/" ELLIPSIS "/engine.c");
    assert_fitted(24, "/home/user/project/so/engine.c", "0123\n", "/home/" ELLIPSIS "/so/engine.c");
    /* not below 12: then the line takes more rows, and no more of the name is taken than makes them fewer */
    assert_fitted(15, "abcdefghijklmnopqrst", "012\n", "abc" ELLIPSIS "mnopqrst");
    assert_fitted(10, "abcdefghijklmnopqrst", "012345678901234\n", "abcd" ELLIPSIS "klmnopqrst");
    assert_fitted(10, "abcdefghijklmnopqrst", "0123456789\n", "abcdefghijklmnopqrst");
    assert_fitted(10, "abcdefghijkl", "0123456789\n", "abcdefghijkl");
}
END_TEST

START_TEST(width_of_wide_characters)
{
    /* U+65E5 takes two columns, U+0301 none */
    ck_assert_uint_eq(ca_text_columns("a\xE6\x97\xA5"
                                      "e\xCC\x81\033[1;31mb\033[0m",
                                      19),
                      5);
    char name[61] = "";
    for (int i = 0; i < 20; i++) {
        strcat(name, "\xE6\x97\xA5");
    }
    struct ca_text text = fitted(20, name, "0123\n");
    ck_assert_uint_le(ca_text_columns(text.bytes + 6, text.size - 7), 20);
    ck_assert_uint_ge(ca_text_columns(text.bytes + 6, text.size - 7), 18);
    ca_text_deinit(&text);
}
END_TEST

START_TEST(width_of_source_lines)
{
    const struct ca_look look = {.columns = 16};
    struct ca_text text = {.look = &look};
    ca_text_add(&text, "    ");
    ca_text_add_line_bytes(&text, "0123456789abcdef", 16);
    ca_text_add(&text, "\n    ");
    ca_text_add_line_bytes(&text, "0123456789ab", 12);
    ca_text_add(&text, "\nlast\n");
    ca_text_fit(&text);
    assert_text(&text, "    0123456789a" ELLIPSIS "\n    0123456789ab\nlast\n");
}
END_TEST

START_TEST(width_of_several_names)
{
    const struct ca_look look = {.columns = 40};
    struct ca_text text = {.look = &look};
    ca_text_add_name(&text, "0123456789012345678901234567890123456789");
    ca_text_add(&text, " of ");
    ca_text_add_name(&text, "/usr/lib/x.so");
    ca_text_add(&text, "\n");
    ca_text_fit(&text);
    ck_assert_uint_eq(ca_text_columns(text.bytes, text.size - 1), 40);
    ck_assert_str_eq(text.bytes + text.size - 18, " of /usr/lib/x.so\n");
    ca_text_deinit(&text);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ progress
 */

static void assert_progress(struct ca_progress progress, int columns, const char *expected)
{
    char buffer[200];
    ca_progress_text(&progress, columns, buffer, sizeof buffer);
    ck_assert_str_eq(buffer, expected);
}

START_TEST(progress_texts)
{
    assert_progress((struct ca_progress){.phase = "reading"}, 0, "reading");
    assert_progress((struct ca_progress){.phase = "reading", .done = 7, .total = 8}, 0,
                    "reading: 7 of 8 (87%)");
    assert_progress((struct ca_progress){.phase = "reading", .total = 8}, 0, "reading: 0 of 8 (0%)");
    assert_progress((struct ca_progress){.phase = "reading", .subject = "core", .done = 20480, .bytes = true},
                    0, "reading core: 20.0 KiB");
    assert_progress((struct ca_progress){.phase = "a", .done = UINT64_MAX, .total = UINT64_MAX}, 0,
                    "a: 18446744073709551615 of 18446744073709551615 (100%)");
    assert_progress((struct ca_progress){.phase = "a", .subject = "b\033[2J\n"}, 0, "a b\\x1b[2J\\x0a");
    assert_progress((struct ca_progress){.phase = "read", .subject = "abcdefghijklmnopqrst"}, 20,
                    "read abcd" ELLIPSIS "klmnopqrst");
    assert_progress((struct ca_progress){.phase = "read", .subject = "abcdefghijklmnopqrst", .done = 7}, 18,
                    "read");
    assert_progress((struct ca_progress){.phase = "too long for such a terminal"}, 20, "");
}
END_TEST

static int reports;

static void count_report(void *context, const struct ca_progress *progress)
{
    reports += context == &reports && strcmp(progress->phase, "counting") == 0;
}

START_TEST(progress_is_told_to_the_listener)
{
    struct ca_output output = {.context = &reports, .progress = count_report}, silent = {0};
    ca_progress_count("counting", 0, 10);
    ck_assert_ptr_null(ca_progress_listen(&output));
    for (uint64_t i = 0; i < 2049; i++) {
        ca_progress_count("counting", i, 2049);
    }
    ck_assert_int_eq(reports, 3);
    ck_assert_ptr_eq(ca_progress_listen(&silent), &output);
    ca_progress_count("counting", 0, 10);
    ck_assert_ptr_null(ca_progress_listen(NULL));
    ck_assert_int_eq(reports, 3);
}
END_TEST

/* -------------------------------------------------------------------------------------------- suppressions
 */

START_TEST(suppression_globs)
{
    static const struct {
        const char *glob, *name;
        bool matches;
    } cases[] = {
        {"*", "a", true},          {"*", "", false},         {"*foo*", "foo", true},
        {"*foo*", "xfooy", true},  {"*foo*", "fo", false},   {"foo*", "foobar", true},
        {"foo*", "xfoo", false},   {"*foo", "foofoo", true}, {"*foo", "foofo", false},
        {"foo", "foo", true},      {"foo", "foos", false},   {"*a*b*c*", "xaxbxcx", true},
        {"*a*b*c*", "acb", false}, {"a**b", "ab", true},     {"*?*", "a", false},
        {"*[a]*", "a", false},     {"*ab", "aab", true},     {"*aab*", "aaab", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(ca_suppression_matches(cases[i].glob, cases[i].name) == cases[i].matches, "%s %s",
                      cases[i].glob, cases[i].name);
    }
}
END_TEST

/* A file with this text. */
static bool read_text(struct ca_suppressions *suppressions, const char *bytes, size_t size,
                      struct ca_error **error)
{
    char path[] = "/tmp/tm-suppressions-XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
    close(file);
    bool done = ca_suppressions_read(suppressions, path, error);
    unlink(path);
    return done;
}

START_TEST(suppression_files)
{
    static const char text[] =
        "# comment\n\n \t leak:a b \r\n  # leak:no\nleak:^x*y$\nleak:ns::f(int, char*)\n"
        "leak:(anonymous namespace)::g\nleak:operator()\nleak:h<void (*)(int)>::i(long)\nleak:$";
    static const struct {
        const char *pattern, *glob, *function;
        size_t line;
    } expected[] = {
        {"a b", "*a b*", NULL, 3},
        {"^x*y$", "x*y", NULL, 5},
        {"ns::f(int, char*)", "*ns::f(int, char*)*", "*ns::f", 6},
        {"(anonymous namespace)::g", "*(anonymous namespace)::g*", NULL, 7},
        {"operator()", "*operator()*", NULL, 8},
        {"h<void (*)(int)>::i(long)", "*h<void (*)(int)>::i(long)*", "*h<void (*)(int)>::i", 9},
        {"$", "*$*", NULL, 10},
    };
    struct ca_suppressions read = {0};
    struct ca_error *error = NULL;
    ck_assert(read_text(&read, text, sizeof text - 1, &error));
    ck_assert_uint_eq(read.count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < read.count; i++) {
        ck_assert_str_eq(read.items[i].pattern, expected[i].pattern);
        ck_assert_str_eq(read.items[i].glob, expected[i].glob);
        ck_assert_uint_eq(read.items[i].line, expected[i].line);
        ck_assert(!read.items[i].function == !expected[i].function);
        ck_assert(!expected[i].function || strcmp(read.items[i].function, expected[i].function) == 0);
    }
    ck_assert(read_text(&read, "", 0, &error) && read_text(&read, "\n", 1, &error));
    ck_assert_uint_eq(read.count, sizeof expected / sizeof *expected);
    ca_suppressions_deinit(&read);
}
END_TEST

START_TEST(suppression_files_that_are_none)
{
    static const struct {
        const char *text;
        size_t size, line;
    } bad[] = {
        {"leek:a\n", 7, 1},    {"leak:a\nleak:\n", 13, 2}, {"\n\nrace:a", 8, 3},
        {"leak:a\0b\n", 9, 1}, {"leak: \n", 7, 1},         {"leak", 4, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ca_suppressions read = {0};
        struct ca_error *error = NULL;
        char place[32];
        ck_assert(!read_text(&read, bad[i].text, bad[i].size, &error));
        snprintf(place, sizeof place, ":%zu: '", bad[i].line);
        ck_assert_ptr_nonnull(strstr(ca_error_message(error), place));
        ck_assert_int_eq(ca_error_status(error), CA_USAGE);
        ca_error_destroy(error);
        ca_suppressions_deinit(&read);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("terminal");
    TCase *cases = tcase_create("terminal");
    tcase_add_test(cases, styles_of_names_and_lines);
    tcase_add_test(cases, styles_nowhere);
    tcase_add_test(cases, width_of_names);
    tcase_add_test(cases, width_of_wide_characters);
    tcase_add_test(cases, width_of_source_lines);
    tcase_add_test(cases, width_of_several_names);
    tcase_add_test(cases, progress_texts);
    tcase_add_test(cases, progress_is_told_to_the_listener);
    tcase_add_test(cases, suppression_globs);
    tcase_add_test(cases, suppression_files);
    tcase_add_test(cases, suppression_files_that_are_none);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
