/* saved.cpp: everything that a snapshot file must carry: containers and inlined calls, threads, domains of tm_track, recursion,
 * freed blocks and a peak, names that mean something to a terminal, a shell or a reader of lists.
 *
 *     saved EXTRA     EXTRA: more blocks on one line; ends by SIGABRT */
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tracer/tm.h"

static std::vector<int> *numbers;
static std::map<int, std::string> *names;
static void *volatile kept;

struct link {
    link *next;
};
static link *links;

static void keep(void *block)
{
    link *made = static_cast<link *>(block);
    made->next = links;
    links = made;
}

static inline __attribute__((always_inline)) void allocate_inlined(size_t size)
{
    keep(malloc(size));
}

static inline __attribute__((always_inline)) void allocate_twice(size_t size)
{
    allocate_inlined(size);
    allocate_inlined(2 * size);
}

__attribute__((noinline)) static void descend(int depth)
{
    if (depth > 0) {
        descend(depth - 1);
        kept = nullptr; /* no tail call */
    } else {
        keep(malloc(321));
    }
}

static void in_thread(size_t size)
{
    for (int i = 0; i < 7; i++) {
        keep(malloc(size));
    }
}

/* Too large to stay: the peak's composition is not that of the end. */
__attribute__((noinline)) static void rise()
{
    void *large[50];
    for (auto &block : large) {
        block = malloc(100000);
    }
    for (auto &block : large) {
        kept = block;
        free(block);
    }
}

__attribute__((noinline)) static void pools()
{
    static char arena[4096];
    volatile unsigned count = 10; /* unknown to the compiler, so that it does not make ten calls, and ten stacks, of the loop */
    for (unsigned i = 0; i < count; i++) {
        tm_track(7, reinterpret_cast<uintptr_t>(arena) + 100 * i, 90 + i);
    }
    tm_track(4000000000u, 1, 12345);
    tm_untrack(7, reinterpret_cast<uintptr_t>(arena));
}

/* File names that a compiler takes from the source; the last one is not UTF-8. */
__attribute__((noinline)) static void strange_names()
{
#line 10 "/strange/na\303\257ve/\346\226\207\344\273\266 \360\237\222\276.c"
    keep(malloc(1001));
#line 11 "/strange/\033[31mred\033[0m\r\n\tnew line;semi:colon\"quote\"<b>&amp;.c"
    keep(malloc(1002));
#line 12 "/strange/latin-1 \351\377.c"
    keep(malloc(1003));
#line 13 "/strange/compiled.pyc"
    keep(malloc(1004));
#line 14 "/strange/MODULE(+0x1234)"
    keep(malloc(1005));
#line 15 "/strange/st*r[a]nge?.c"
    keep(malloc(1006));
}
#line 101 "after.cpp"

int main(int argc, char **argv)
{
    numbers = new std::vector<int>;
    names = new std::map<int, std::string>;
    for (int i = 0; i < 1000; i++) {
        numbers->push_back(i);
    }
    for (int i = 0; i < 50; i++) {
        (*names)[i] = std::string(100, 'x');
    }
    allocate_twice(50);
    for (int depth = 0; depth < 40; depth += 3) {
        descend(depth);
    }
    for (size_t size = 60; size < 90; size += 10) {
        std::thread(in_thread, size).join();
    }
    rise();
    pools();
    strange_names();
    keep(strdup("a block that strdup gets for its caller"));
    for (long i = argc > 1 ? atol(argv[1]) : 0; i > 0; i--) {
        keep(malloc(64));
    }
    abort();
}
