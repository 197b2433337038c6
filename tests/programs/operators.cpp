/* operators.cpp: C++'s operators new and delete, all of them, as a program of its own and (with -DLIBRARY) as
 * a library that a C program loads for itself.
 *
 * Every block must be known with its size while it lives, and not afterwards; what the operators do when
 * there is no memory is as the language says. Exits 0 when all is right, else 1 with a line on stderr.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "../../tracer/tm.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                             \
            std::_Exit(1);                                                                                   \
        }                                                                                                    \
    } while (0)

static std::size_t traced()
{
    std::size_t current = 0;
    tm_get_traced_memory(&current, nullptr);
    return current;
}

static void require_block(void *block, std::size_t before, std::size_t size)
{
    std::uintptr_t frames[3];
    REQUIRE(block != nullptr);
    REQUIRE(traced() == before + size);
    REQUIRE(tm_get_object_traceback(block, frames, 3, nullptr) >= 2);
}

constexpr std::align_val_t alignment{128};

/* libstdc++ asks for a multiple of the alignment. */
static void require_aligned_block(void *block, std::size_t before, std::size_t size)
{
    REQUIRE(reinterpret_cast<std::uintptr_t>(block) % 128 == 0);
    std::size_t rounded = (size + 127) / 128 * 128;
    require_block(block, before, traced() == before + rounded ? rounded : size);
}

static void each_operator(std::size_t size)
{
    std::size_t before = traced();
    void *block = operator new(size);
    require_block(block, before, size);
    operator delete(block);
    block = operator new[](size);
    require_block(block, before, size);
    operator delete[](block);
    block = operator new(size, std::nothrow);
    require_block(block, before, size);
    operator delete(block, std::nothrow);
    block = operator new[](size, std::nothrow);
    require_block(block, before, size);
    operator delete[](block, std::nothrow);
    block = operator new(size);
    operator delete(block, size);
    block = operator new[](size);
    operator delete[](block, size);
    REQUIRE(traced() == before);
    block = operator new(size, alignment);
    require_aligned_block(block, before, size);
    operator delete(block, alignment);
    block = operator new[](size, alignment);
    require_aligned_block(block, before, size);
    operator delete[](block, alignment);
    block = operator new(size, alignment, std::nothrow);
    require_aligned_block(block, before, size);
    operator delete(block, alignment, std::nothrow);
    block = operator new[](size, alignment, std::nothrow);
    require_aligned_block(block, before, size);
    operator delete[](block, alignment, std::nothrow);
    block = operator new(size, alignment);
    operator delete(block, size, alignment);
    block = operator new[](size, alignment);
    operator delete[](block, size, alignment);
    REQUIRE(traced() == before);
    operator delete(nullptr);
    operator delete[](nullptr, size);
}

static int handled;

static void make_room()
{
    if (++handled == 3) {
        std::set_new_handler(nullptr);
    }
}

static void no_memory()
{
    volatile std::size_t huge = SIZE_MAX / 4;
    std::size_t before = traced();
    int caught = 0;
    REQUIRE(operator new(huge, std::nothrow) == nullptr);
    std::set_new_handler(make_room);
    try {
        static_cast<void>(operator new(huge));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    REQUIRE(handled == 3 && caught == 1);
    try {
        static_cast<void>(operator new[](huge, alignment));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    REQUIRE(caught == 2 && traced() < before + 4096); /* the loader may keep something of its own */
}

extern "C" int operators_run();

extern "C" int operators_run()
{
    static const std::size_t sizes[] = {1, 7, 8, 16, 24, 100, 5000, 1000000};
    REQUIRE(tm_is_tracing());
    for (std::size_t size : sizes) {
        each_operator(size);
    }
    no_memory();
    each_operator(64);
    return 0;
}

#ifndef LIBRARY
int main()
{
    return operators_run();
}
#endif
