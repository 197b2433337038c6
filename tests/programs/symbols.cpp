/* symbols.cpp: names and inlined calls of every kind, for the tests of the symbolizer; it is looked into and
 * never run. */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define NOINLINE      __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))

static void *volatile sink;

ALWAYS_INLINE void *innermost(size_t size)
{
    void *block = std::malloc(size);
    sink = block;
    return block;
}

template <typename Type, int Count> ALWAYS_INLINE void *middle(Type value)
{
    return innermost(sizeof(Type) * Count + static_cast<size_t>(value));
}

namespace outer
{
inline namespace version
{
ALWAYS_INLINE void *outermost(int value)
{
    return middle<long, 3>(value) ? innermost(1) : middle<char, 7>(static_cast<char>(value));
}
} // namespace version
} // namespace outer

namespace
{
struct hidden {
    ALWAYS_INLINE void *inlined(int value)
    {
        return outer::outermost(value + 1);
    }

    NOINLINE void *called(int value)
    {
        return inlined(value);
    }

    struct nested {
        NOINLINE static void *member(int value)
        {
            return hidden{}.inlined(value * 2);
        }
    };
};

NOINLINE void *local_function(int value)
{
    hidden object;
    return object.called(value) ? hidden::nested::member(value) : nullptr;
}
} // namespace

struct converts {
    int value;
    NOINLINE explicit converts(int from) : value(from)
    {
        sink = innermost(static_cast<size_t>(from));
    }
    NOINLINE ~converts()
    {
        std::free(sink);
    }
    NOINLINE operator void *() const
    {
        return innermost(4);
    }
    NOINLINE void *operator[](int index) const
    {
        return middle<int, 2>(value + index);
    }
    NOINLINE void *operator()(int index) const
    {
        auto lambda = [this](auto part) {
            return innermost(static_cast<size_t>(part) + static_cast<size_t>(value));
        };
        return lambda(index) ? lambda(2L) : nullptr;
    }
    template <typename Type> NOINLINE Type as() const
    {
        return reinterpret_cast<Type>(innermost(8));
    }
};

template <typename... Types> NOINLINE size_t variadic(Types... values)
{
    std::vector<std::string> strings{std::to_string(values)...};
    return strings.size();
}

static NOINLINE int throws(int value)
{
    if (value > 1000) {
        throw std::string("too large: ") + std::to_string(value);
    }
    return value;
}

extern "C" NOINLINE void *with_c_linkage(int value)
{
    return outer::outermost(value);
}

int main(int argc, char **)
{
    std::map<std::string, std::vector<int>> table;
    for (int i = 0; i < argc * 3; i++) {
        table[std::to_string(i)].push_back(i);
    }
    converts object(argc);
    std::function<void *(int)> function = [&](int value) { return object[value]; };
    auto shared = std::make_shared<std::string>(100, 'x');
    void *volatile result = function(argc);
    result = object(argc);
    result = object.as<char *>();
    result = static_cast<void *>(object);
    result = local_function(argc);
    result = with_c_linkage(argc);
    std::printf("%p %zu %d %zu\n", result, variadic(1, 2.0, 3L), throws(argc), shared->size() + table.size());
    return 0;
}
