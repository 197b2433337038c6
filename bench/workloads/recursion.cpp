// recursion: allocations at the bottom of a chain of 50 calls through eight functions of different frame
// sizes. The lowest frames vary (1024 paths); what is allocated lives in small C++ containers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace
{

std::uint64_t sum;

struct node {
    std::vector<int> values;
    std::string name;
};

template <int KIND> [[gnu::noinline]] void descend(unsigned depth, unsigned path);

using step = void (*)(unsigned, unsigned);
const std::vector<step> steps = {descend<0>, descend<1>, descend<2>, descend<3>,
                                 descend<4>, descend<5>, descend<6>, descend<7>};

[[gnu::noinline]] void bottom(unsigned path)
{
    auto made = std::make_unique<node>();
    made->values.assign(4 + path % 13, static_cast<int>(path));
    made->name = "a name that is too long for the small string buffer";
    sum += made->values.size() + made->name.size();
}

template <int KIND> void descend(unsigned depth, unsigned path)
{
    volatile unsigned char locals[16 + 24 * KIND];
    locals[0] = static_cast<unsigned char>(depth);
    if (depth == 0) {
        bottom(path);
    } else {
        // The upper frames are always the same; the lowest five follow the path.
        unsigned next = depth <= 5 ? (path >> (2 * (depth - 1))) & 3 : depth % 8;
        steps[next](depth - 1, path);
    }
    sum += locals[0];
}

} // namespace

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 400000;
    for (long i = 0; i < rounds; i++) {
        steps[0](48, static_cast<unsigned>(i * 7) % 1024);
    }
    std::printf("recursion %llu\n", static_cast<unsigned long long>(sum));
    return 0;
}
