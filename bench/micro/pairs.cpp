// pairs: what a malloc(64) with its free costs below 40 frames: `pairs same|last4|all40|unseen PAIRS`.
//
//   same    every pair at the same place, the frames above stay
//   last4   36 frames stay, the last 4 take one of 1024 paths in turns
//   all40   the whole chain is entered anew, along one of 1024 paths
//   unseen  the whole chain is entered anew, along a path that never was before
//
// Prints the nanoseconds of cpu time for a pair: the median of nine batches after one that is thrown away.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "chain.hpp"

namespace
{

constexpr int FRAMES = 40, PATHS = 1024, BATCHES = 9;

enum class mode { same, last4, all40, unseen };

mode chosen;
long pairs;
std::uint8_t paths[PATHS][FRAMES];
std::vector<double> batches;
bool inside; // the part of the chain that stays has been entered

[[gnu::always_inline]] inline void pair()
{
    void *block = std::malloc(64);
    __asm__ volatile("" : "+r"(block) : : "memory");
    std::free(block);
}

double now()
{
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

template <typename WORK> [[gnu::always_inline]] inline void measure(WORK work)
{
    for (int batch = -1; batch < BATCHES; batch++) {
        double start = now();
        for (long i = 0; i < pairs; i++) {
            work(i);
        }
        if (batch >= 0) {
            batches.push_back((now() - start) / static_cast<double>(pairs));
        }
    }
}

void make_paths()
{
    std::uint64_t state = 11;
    for (int i = 0; i < PATHS; i++) {
        for (int frame = 0; frame < FRAMES; frame++) {
            paths[i][frame] = chain::random_next(state) >> 61;
        }
        if (chosen == mode::last4) { // 8 * 8 * 4 * 4 ways through the last four
            std::uint8_t *last = paths[i] + FRAMES - 4;
            last[0] = i & 7;
            last[1] = i >> 3 & 7;
            last[2] = i >> 6 & 3;
            last[3] = i >> 8 & 3;
        }
    }
}

// A number that no other index gives, as a path: its bits from the innermost frame on, random ones above.
void walk_unseen(std::uint64_t &state, std::uint64_t index)
{
    std::uint8_t path[FRAMES];
    for (int frame = 0; frame < FRAMES; frame++) {
        path[frame] = chain::random_next(state) >> 61;
    }
    for (int frame = 0; frame < 10; frame++) {
        path[frame] = index >> 3 * frame & 7;
    }
    chain::go(path, FRAMES);
}

} // namespace

inline void chain::arrive()
{
    if (chosen == mode::same) {
        measure([](long) { pair(); });
    } else if (chosen == mode::last4 && !inside) {
        inside = true;
        measure([](long i) { chain::go(paths[i % PATHS] + FRAMES - 4, 4); });
    } else {
        pair();
    }
}

int main(int argc, char **argv)
{
    const char *const names[] = {"same", "last4", "all40", "unseen"};
    const auto *name = std::find_if(std::begin(names), std::end(names), [&](const char *known) {
        return argc == 3 && std::strcmp(known, argv[1]) == 0;
    });
    if (name == std::end(names)) {
        std::fprintf(stderr, "usage: pairs same|last4|all40|unseen PAIRS\n");
        return 64;
    }
    chosen = static_cast<mode>(name - names);
    pairs = std::max(1L, std::strtol(argv[2], nullptr, 10) / (BATCHES + 1));
    batches.reserve(BATCHES);
    make_paths();
    std::uint64_t state = 5, index = 0;
    switch (chosen) {
    case mode::same:
        chain::go(paths[0], FRAMES);
        break;
    case mode::last4:
        chain::go(paths[0], FRAMES - 4);
        break;
    case mode::all40:
        measure([](long i) { chain::go(paths[i % PATHS], FRAMES); });
        break;
    case mode::unseen:
        measure([&](long) { walk_unseen(state, index++); });
        break;
    }
    std::sort(batches.begin(), batches.end());
    std::printf("%.2f\n", batches[batches.size() / 2]);
    return 0;
}
