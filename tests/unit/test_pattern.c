/* test_pattern.c: fnmatch, with facts from CPython: the table of Lib/test/test_tracemalloc.py and the corners
 * of sets. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coreanalyze/coreanalyze.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct row {
    const char *name, *pattern;
};

static bool matches(const char *name, const char *pattern)
{
    return ca_pattern_matches(pattern, strlen(pattern), name, strlen(name));
}

static void check_rows(const struct row *rows, size_t count, bool expected)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(matches(rows[i].name, rows[i].pattern) == expected, "'%s' against '%s': not %s",
                      rows[i].name, rows[i].pattern, expected ? "true" : "false");
    }
}

START_TEST(names_that_match)
{
    static const struct row rows[] = {
        {"", ""},           {"", "*"},          {"abc", "abc"},
        {"abc", "a*"},      {"abc", "abc*"},    {"abc", "a*c"},
        {"abcdcx", "a*cx"}, {"abcde", "a*c*e"}, {"abcbdefeg", "a*bd*eg"},
        {".x/\ny", "*"},    {"a/b", "a?b"},     {"??", "??"},
        {"ab", "??"},       {"a", "**a**"},     {"", "***"},
    };
    check_rows(rows, COUNT(rows), true);
}
END_TEST

START_TEST(names_that_do_not_match)
{
    static const struct row rows[] = {
        {"abc", ""},        {"", "abc"},
        {"abc", "abcd"},    {"abc", "def"},
        {"abc", "b*"},      {"abc", "abcd*"},
        {"abb", "a*c"},     {"abcdce", "a*cx"},
        {"abcdd", "a*c*e"}, {"abcbdefef", "a*bd*eg"},
        {"a.pyo", "a.py"},  {"aBC", "ABc"},
        {"aBcDe", "Ab*dE"}, {"a/b", "a\\b"},
        {"a\\b", "a/b"},    {"a/b\\c", "a\\b/c"},
        {"", "?"},          {"a", "??"},
        {"a", "[b]"},       {"", "[!a]"},
    };
    check_rows(rows, COUNT(rows), false);
}
END_TEST

START_TEST(sets)
{
    static const struct row yes[] = {
        {"b", "[a-c]"},        {"]", "[]]"},          {"a", "[!]]"},    {"-", "[a-]"},   {"-", "[-a]"},
        {"^", "[^a]"},         {"a", "[^a]"},         {"!", "[a!]"},    {"\\", "[\\]"},  {"[", "[[]"},
        {"a]", "[[:alpha:]]"}, {":]", "[[:alpha:]]"}, {"&", "[&&~|]"},  {"a", "[!z-a]"}, {"c", "[z-a!b]"},
        {"x", "[z-a!-b]"},     {"^", "[z-a^]"},       {"c", "[a-b-c]"}, {"-", "[--/]"},  {".", "[--/]"},
        {"a", "[!!]"},         {"b", "[]-b]"},
    };
    static const struct row no[] = {
        {"d", "[a-c]"},       {"]", "[!]]"},    {"b", "[^a]"},     {"a", "[z-a]"},
        {"z", "[z-a]"},       {"b", "[z-a!b]"}, {"-", "[z-a!-b]"}, {"b", "[z-a!-b]"},
        {"b", "[[:alpha:]]"}, {"!", "[!!]"},    {"", "[!z-a]"},    {"\\", "[^a]"},
    };
    check_rows(yes, COUNT(yes), true);
    check_rows(no, COUNT(no), false);
}
END_TEST

START_TEST(brackets_that_open_nothing)
{
    static const struct row yes[] = {{"[", "["},   {"[]", "[]"}, {"[!]", "[!]"},
                                     {"[!", "[!"}, {"[a", "[a"}, {"x[b", "?[*"}};
    static const struct row no[] = {{"a", "[a"}, {"", "[]"}, {"]", "[]"}};
    check_rows(yes, COUNT(yes), true);
    check_rows(no, COUNT(no), false);
}
END_TEST

/* An invalid byte is one code point, and no part of a character is. */
START_TEST(code_points)
{
    static const struct row yes[] = {{"\xc3\xa9", "?"},       {"\xe6\x97\xa5", "[\xe6\x97\xa4-\xe6\x97\xa6]"},
                                     {"\xff", "?"},           {"\xe6\x97", "??"},
                                     {"\xff", "[\x80-\xff]"}, {"\xff", "\xff"},
                                     {"a\xc3\xa9z", "*?z"},   {"\xee\x80\x80", "[\xff-\xef\xbf\xbf]"}};
    static const struct row no[] = {
        {"\xc3\xa9", "??"}, {"\xc3\xa9", "*\xa9"}, {"\xff", "[\xc2\x80-\xc3\xbf]"}, {"\xed\xa0\x80", "?"}};
    check_rows(yes, COUNT(yes), true);
    check_rows(no, COUNT(no), false);
    ck_assert(ca_pattern_matches("a?b", 3, "a\0b", 3));
    ck_assert(!ca_pattern_matches("a*", 2, "\0a", 2));
}
END_TEST

/* A matcher that tries all ways would take longer than the universe has. */
START_TEST(many_stars)
{
    char pattern[401];
    char name[4001];
    memset(name, 'a', 4000);
    name[4000] = '\0';
    for (size_t i = 0; i < 400; i += 2) {
        memcpy(pattern + i, "a*", 2);
    }
    memcpy(pattern + 398, "*b", 3);
    clock_t begin = clock();
    ck_assert(!matches(name, pattern));
    ck_assert_msg((clock() - begin) / CLOCKS_PER_SEC < 10, "%ld clock ticks", (long)(clock() - begin));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pattern");
    TCase *cases = tcase_create("fnmatch");
    tcase_add_test(cases, names_that_match);
    tcase_add_test(cases, names_that_do_not_match);
    tcase_add_test(cases, sets);
    tcase_add_test(cases, brackets_that_open_nothing);
    tcase_add_test(cases, code_points);
    tcase_add_test(cases, many_stars);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
