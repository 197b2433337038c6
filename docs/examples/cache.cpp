/* cache.cpp: a cache that forgets to delete what it drops; docs/leaks.md walks through it.
 *
 *     c++ -g -O1 -o cache cache.cpp && tm-run ./cache */
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

struct Entry {
    explicit Entry(int number) : text("the text of entry " + std::to_string(number))
    {
    }
    virtual ~Entry() = default;
    std::string text;
    Entry *newer = nullptr;
};

struct Page : Entry {
    using Entry::Entry;
    char bytes[400] = {};
};

static std::map<int, Entry *> cache;

static Entry *load(int number)
{
    Entry *entry = number % 2 ? new Page(number) : new Entry(number);
    if (number >= 8) {
        cache[number - 8]->newer = entry;
    }
    return entry;
}

int main()
{
    for (int number = 0; number < 40; number++) {
        cache[number] = load(number);
        if (number >= 8) {
            cache.erase(number - 8); /* delete is missing */
        }
    }
    std::abort();
}
