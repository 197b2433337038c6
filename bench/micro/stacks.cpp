// stacks: one live block from each of many stacks that are 40 frames deep: `stacks COUNT`. Prints how many
// frames are new: the nodes of the tree that the paths make, with the root outside.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "chain.hpp"

namespace
{

constexpr int FRAMES = 40;

void *volatile kept;

} // namespace

inline void chain::arrive()
{
    kept = std::malloc(32); // never freed
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 100000;
    std::vector<std::array<std::uint8_t, FRAMES>> paths(static_cast<std::size_t>(count));
    std::uint64_t state = 5;
    for (auto &path : paths) {
        for (auto &frame : path) {
            frame = chain::random_next(state) >> 61;
        }
        chain::go(path.data(), FRAMES);
    }
    std::sort(paths.begin(), paths.end());
    long nodes = 0;
    for (std::size_t i = 0; i < paths.size(); i++) {
        int common = 0;
        while (i > 0 && common < FRAMES && paths[i][common] == paths[i - 1][common]) {
            common++;
        }
        nodes += FRAMES - common;
    }
    std::printf("%ld\n", nodes);
    return 0;
}
