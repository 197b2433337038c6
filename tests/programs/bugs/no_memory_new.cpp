/* no_memory_new.cpp: takes memory until there is none, and catches nothing. */
#include <cstring>

__attribute__((noinline)) static char *page_create()
{
    char *page = new char[1 << 20]; /* growing */
    std::memset(page, 1, 1 << 10);
    return page;
}

int main()
{
    char *volatile last = nullptr;
    for (;;) {
        last = page_create();
    }
    return last[0];
}
