// known_cxx.cpp: the C++ half of the program with known allocations. Markers: known.h.
#include "known.h"

#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{
struct Thing {
    char bytes[88];
};

struct alignas(128) Aligned {
    char bytes[384];
};

struct Throws {
    char bytes[200];
    Throws() { throw std::runtime_error("the block of this object is freed again"); }
};

void allocate_by_new()
{
    keep(new Thing);                                             // EXPECT count=1 size=88
    keep(new char[opaque(321)]);                                 // EXPECT count=1 size=321
    keep(new uint64_t[opaque(40)]);                              // EXPECT count=1 size=320
    keep(new (std::nothrow) char[opaque(55)]);                   // EXPECT count=1 size=55
    keep(new Aligned);                                           // EXPECT count=1 size=384
    keep(::operator new(opaque(192), std::align_val_t(64)));     // EXPECT count=1 size=192
    keep(::operator new(opaque(67)));                            // EXPECT count=1 size=67
    char *array = static_cast<char *>(keep(new char[opaque(700)]));
    delete[] array;
    Aligned *aligned = static_cast<Aligned *>(keep(new Aligned));
    delete aligned;
    for (size_t i = 0; i < 12; i++) {
        keep(new Thing[opaque(2)]); // EXPECT count=12 size=2112
    }
}

void construct_and_throw()
{
    for (size_t i = 0; i < 3; i++) {
        try {
            keep(new Throws);
        } catch (const std::runtime_error &) {
            keep(new char[opaque(19)]); // EXPECT count=3 size=57
        }
    }
}

std::vector<uint32_t> numbers;
std::string name;
std::unique_ptr<Thing> thing;

void fill_containers()
{
    numbers.reserve(opaque(100)); // WITHIN count=1 size=400
    name.assign(opaque(1000), 'x'); // WITHIN count=1 size=1001
    thing = std::make_unique<Thing>(); // WITHIN count=1 size=88
    keep(nullptr);
}

// A template and a lambda: frames whose names need demangling.
template <typename Type> __attribute__((noinline)) void allocate_typed(size_t count)
{
    keep(new Type[opaque(count)]); // EXPECT count=2 size=1000
    keep(nullptr);
}
} // namespace

void allocate_in_cxx()
{
    allocate_by_new();
    construct_and_throw();
    fill_containers();
    allocate_typed<char>(200);
    allocate_typed<double>(100);
    auto allocate = [](size_t size) {
        keep(new char[opaque(size)]); // EXPECT count=1 size=222
        keep(nullptr);
    };
    allocate(222);
}
