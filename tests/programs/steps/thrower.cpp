/* thrower.cpp: an allocator with operators of its own, as jemalloc's and tcmalloc's, which do not call
 * malloc; where memory runs out, new throws through whoever stands in for it. And a function that has it do
 * so. */
#include <cstddef>
#include <cstdlib>
#include <new>

#define EXPORT extern "C" __attribute__((visibility("default")))

extern "C" void *__libc_malloc(std::size_t size);
extern "C" void *__libc_calloc(std::size_t count, std::size_t size);
extern "C" void *__libc_realloc(void *block, std::size_t size);
extern "C" void __libc_free(void *block);

EXPORT void *malloc(std::size_t size)
{
    return __libc_malloc(size);
}

EXPORT void *calloc(std::size_t count, std::size_t size)
{
    return __libc_calloc(count, size);
}

EXPORT void *realloc(void *block, std::size_t size)
{
    return __libc_realloc(block, size);
}

EXPORT void free(void *block)
{
    __libc_free(block);
}

void *operator new(std::size_t size)
{
    void *block = __libc_malloc(size);
    if (!block) {
        throw std::bad_alloc();
    }
    return block;
}

void operator delete(void *block) noexcept
{
    __libc_free(block);
}

void operator delete(void *block, std::size_t) noexcept
{
    __libc_free(block);
}

/* How often it was caught. */
EXPORT int throw_once()
{
    static int caught;
    static volatile std::size_t huge = static_cast<std::size_t>(-1) / 4;
    void *small = ::operator new(40);
    try {
        free(::operator new(huge));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    void *after = malloc(31); /* called by the function that caught it */
    ::operator delete(small);
    free(after);
    return caught;
}
