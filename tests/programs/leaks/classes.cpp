/* Objects of classes, by base pointers, of several bases, arrays; their types are what --by type says:
 * TYPE shapes::Circle 22 TYPE shapes::Holder<int> 1 TYPE Both 2
 * EXPECT direct 4 176 indirect 2 96 */
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "leaks.h"

namespace shapes
{
struct Shape {
    virtual ~Shape() = default;
    Shape *next = nullptr;
};
struct Circle : Shape {
    double radius = 1, x = 0, y = 0, z = 0;
};
template <typename T> struct Holder : Shape {
    Shape *held = nullptr;
    T value{};
};
} // namespace shapes

struct Named {
    virtual ~Named() = default;
    char name[24] = "named";
};
struct Both : shapes::Shape, Named {
};

static HOLDER Named *named;
static std::map<std::string, std::vector<std::unique_ptr<shapes::Shape>>> kept;

static NOINLINE void make()
{
    auto *holder = new shapes::Holder<int>; /* 32 bytes, direct */
    holder->held = new shapes::Circle;      /* 48, indirect */
    holder->next = new shapes::Circle;      /* 48, indirect */
    escape(holder);
    escape(new Both); /* 48, direct */
    named = new Both; /* held by a pointer to its second base */
    for (int i = 0; i < 20; i++) {
        kept["a key that is too long to be in the string itself" + std::to_string(i % 3)].push_back(
            std::make_unique<shapes::Circle>());
    }
    escape(new std::string[2]); /* 72: two, and how many; direct */
    escape(new int[6]);         /* 24, direct */
}

int main()
{
    make();
    scrub();
    finish();
}
