// chain.hpp: a chain of calls through eight functions of different frame sizes, so that a stack is a path:
// which function is called at each depth. The functions end in work of their own, so that no call is a jump.
#ifndef TM_BENCH_CHAIN_HPP
#define TM_BENCH_CHAIN_HPP

#include <cstdint>

namespace chain
{

// The functions of a path, outermost first, numbers below 8.
using path = const std::uint8_t *;
// Called by the last function of a path, inlined into it: what is allocated there has that function as its
// caller.
inline void arrive();

inline volatile std::uint64_t sum;

template <int KIND> [[gnu::noinline]] void call(path at, int left);

using step = void (*)(path, int);
inline constexpr step steps[8] = {call<0>, call<1>, call<2>, call<3>, call<4>, call<5>, call<6>, call<7>};

// Goes on with the function that `at` names; `left` functions of the path are still to be called.
inline void go(path at, int left)
{
    steps[*at](at + 1, left - 1);
}

template <int KIND> void call(path at, int left)
{
    volatile unsigned char locals[16 + 24 * KIND];
    locals[0] = static_cast<unsigned char>(left);
    if (left == 0) {
        arrive();
    } else {
        go(at, left);
    }
    sum = sum + locals[0];
}

// xorshift64*
inline std::uint64_t random_next(std::uint64_t &state)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

} // namespace chain

#endif
