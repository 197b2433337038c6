/* Names as demanglers write them, and what is left when nobody's part is taken out. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../coreanalyze/util/short_name.h"

static const struct {
    const char *name, *brief;
} names[] = {
    {"main", "main"},
    {"/usr/bin/program(+0x12)", "/usr/bin/program(+0x12)"},
    {"std::vector<int, std::allocator<int> >::push_back", "std::vector<int>::push_back"},
    {"std::vector<int, arena<int> >::push_back", "std::vector<int, arena<int>>::push_back"},
    {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::append",
     "std::string::append"},
    {"std::__1::basic_string<wchar_t, std::__1::char_traits<wchar_t>, std::__1::allocator<wchar_t>>::append",
     "std::wstring::append"},
    {"std::basic_string<char, my_traits>::x", "std::basic_string<char, my_traits>::x"},
    {"std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
     "std::vector<int, "
     "std::allocator<int> >, std::less<std::__cxx11::basic_string<char, std::char_traits<char>, "
     "std::allocator<char> > >, "
     "std::allocator<std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> "
     "> const, "
     "std::vector<int, std::allocator<int> > > > >::operator[]",
     "std::map<std::string, std::vector<int>>::operator[]"},
    {"std::unique_ptr<a::b, std::default_delete<a::b> >::reset", "std::unique_ptr<a::b>::reset"},
    {"std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, std::allocator<std::pair<int const, "
     "int> > >::at",
     "std::unordered_map<int, int>::at"},
    /* the only argument, and one of a template that is not std's, are the program's */
    {"std::allocator_traits<std::allocator<int> >::allocate",
     "std::allocator_traits<std::allocator<int>>::allocate"},
    {"mine<int, std::less<int> >::x", "mine<int, std::less<int>>::x"},
    /* operators are no brackets; what follows them stays */
    {"std::operator<< <std::char_traits<char> >", "std::operator<< <std::char_traits<char> >"},
    {"a::operator<(std::vector<int, std::allocator<int> >)", "a::operator<(std::vector<int>)"},
    {"a::operator-><std::vector<int, std::allocator<int> > >", "a::operator-><std::vector<int> >"},
    {"std::vector<int, std::allocator<int> >::operator>>", "std::vector<int>::operator>>"},
    {"f(std::vector<int, std::allocator<int> >)::{lambda(std::list<int, std::allocator<int> >, "
     "int)#1}::operator()",
     "f(std::vector<int>)::{lambda(std::list<int>, int)#1}::operator()"},
    {"std::function<void (int, std::vector<char, std::allocator<char> >)>::operator()",
     "std::function<void (int, std::vector<char>)>::operator()"},
    /* brackets that do not match: as they are */
    {"std::vector<int, std::allocator<int>", "std::vector<int, std::allocator<int>"},
    {"a > b std::x", "a > b std::x"},
    {"<alloc::vec::Vec<T> as core::Drop>::drop", "<alloc::vec::Vec<T> as core::Drop>::drop"},
    {"", ""},
};

START_TEST(names_are_short)
{
    struct ca_text text = {0};
    ca_text_add(&text, "before ");
    ca_short_name(&text, names[_i].name, strlen(names[_i].name));
    ck_assert(!text.failed);
    ck_assert_str_eq(text.bytes + strlen("before "), names[_i].brief);
    ca_text_deinit(&text);
}
END_TEST

/* Brackets without end, and prefixes of every name: an answer each time. */
START_TEST(hostile_names)
{
    char name[20000] = "std::";
    for (size_t size = 5; size + 2 <= sizeof name; size += 2) {
        memcpy(name + size, size % 3 ? "a<" : "({", 2);
    }
    struct ca_text text = {0};
    ca_short_name(&text, name, sizeof name);
    ck_assert_uint_eq(text.size, sizeof name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t size = 0; size <= strlen(names[i].name); size++) {
            ca_text_deinit(&text);
            char *copy = malloc(size + 1); /* of exactly this size, for the sanitizer */
            memcpy(copy, names[i].name, size);
            ca_short_name(&text, copy, size);
            ck_assert(!text.failed && text.size <= size);
            free(copy);
        }
    }
    ca_text_deinit(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("short names");
    TCase *group = tcase_create("short names");
    tcase_add_loop_test(group, names_are_short, 0, (int)(sizeof names / sizeof *names));
    tcase_add_test(group, hostile_names);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
