// unit.cpp: a compilation unit of a large library: templates of the standard library over INSTANCES types of
// its own, and call sites of keep() at the bottom of inlined calls, 17 for each type. Everything but
// library_unit() is local to the unit, so that an object file can be linked many times under other names.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

extern "C" void keep(unsigned long); // of the program: keeps a block, and the return address of this call
extern "C" [[gnu::visibility("default")]] void library_unit();

namespace
{

template <int NUMBER> struct item {
    std::string name;
    std::vector<int> values;
    long weight = NUMBER;

    bool operator<(const item &other) const
    {
        return weight < other.weight;
    }
};

template <typename ITEM> struct visitor {
    std::map<std::string, ITEM> known;

    [[gnu::always_inline]] void enter(const ITEM &one)
    {
        keep(static_cast<unsigned long>(one.weight));
    }

    [[gnu::always_inline]] void leave(const ITEM &one)
    {
        enter(one);
        keep(static_cast<unsigned long>(one.weight) + 1);
    }

    [[gnu::always_inline]] void visit(const ITEM &one)
    {
        enter(one);
        leave(one);
        leave(one);
    }
};

template <int NUMBER> [[gnu::noinline]] void work(unsigned long count)
{
    using item_type = item<NUMBER>;
    visitor<item_type> visits;
    std::vector<item_type> items(count % 3 + 1);
    std::sort(items.begin(), items.end());
    std::function<void(const item_type &)> each = [&](const item_type &one) { visits.leave(one); };
    each(items.front());
    visits.visit(items.front());
    visits.known[items.front().name] = items.back();
    visits.visit(items.back());
    visits.visit(visits.known.begin()->second);
}

template <int... NUMBERS> void work_all(std::integer_sequence<int, NUMBERS...> /* numbers */)
{
    (work<NUMBERS>(NUMBERS), ...);
}

} // namespace

void library_unit()
{
    work_all(std::make_integer_sequence<int, INSTANCES>());
}
