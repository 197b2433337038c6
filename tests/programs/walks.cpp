/* walks.cpp: allocates from stacks of every kind that C and C++ programs have, for tests of the stack walker.
 *
 * usage: walks [ROUNDS [PLUGIN...]]    PLUGIN: a shared library with a function `int plugin(int)`; they are
 * loaded and unloaded by turns
 */
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/time.h>
#include <thread>
#include <ucontext.h>
#include <vector>

#define NOINLINE __attribute__((noinline))

#ifndef TICKS
#define TICKS 4 /* signals, for each round */
#endif
#ifndef DEEP
#define DEEP 3000 /* calls, of the deepest recursion */
#endif

NOINLINE static void allocate(int size)
{
    void *volatile block = malloc(static_cast<size_t>(size) + 8);
    free(block);
}

/* ---- plain calls ---- */
NOINLINE static int recurse(int depth)
{
    volatile char buffer[40];
    buffer[0] = static_cast<char>(depth);
    allocate(depth);
    int result = depth > 0 ? recurse(depth - 1) : 0;
    if (depth % 3 == 0) {
        allocate(depth);
    }
    return result + buffer[0];
}

/* Too many values live for the registers, so that the frame pointer is used for another purpose where it is
 * free. */
NOINLINE static long spill(long a, long b, long c, long d, long e, long f, long g, long h)
{
    long x = a * b + c, y = d ^ e, z = f + g * h, w = a - h, v = b * g, u = c | f;
    allocate(static_cast<int>(x & 63));
    x += y * u;
    long deeper = a > 0 ? spill(a - 1, x, y, z, w, v, u, h + 1) : 1;
    allocate(static_cast<int>(deeper & 31));
    return x + y + z + w + v + u + deeper;
}

NOINLINE static int variable(int size)
{
    char *memory = static_cast<char *>(alloca(static_cast<size_t>(size)));
    memset(memory, size, static_cast<size_t>(size));
    allocate(size);
    int result = size > 16 ? variable(size - 16) : 0;
    allocate(3);
    return result + memory[0];
}

NOINLINE static double aligned(int depth)
{
    alignas(64) volatile double values[16];
    for (int i = 0; i < 16; i++) {
        values[i] = i * depth;
    }
    allocate(depth);
    double deeper = depth > 0 ? aligned(depth - 1) : 0;
    return deeper + values[depth & 15];
}

NOINLINE static int large(int depth)
{
    volatile char block[3 << 20];
    block[depth] = 1;
    allocate(depth);
    return block[depth] + (depth > 0 ? recurse(3) : 0);
}

static int compare(const void *left, const void *right)
{
    allocate(4);
    return *static_cast<const int *>(left) - *static_cast<const int *>(right);
}

NOINLINE static void sort(int seed)
{
    int values[48];
    for (int i = 0; i < 48; i++) {
        values[i] = (i * 7919 + seed) % 101;
    }
    qsort(values, 48, sizeof(values[0]), compare);
}

NOINLINE static void containers(int count)
{
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < count; i++) {
        map["a key that is too long to be stored in place " + std::to_string(i)].push_back(i);
    }
    std::function<void(int)> call = [&map](int depth) { recurse(depth + static_cast<int>(map.size() % 3)); };
    call(count);
}

/* ---- stacks that are left in other ways than by return ---- */
struct Guard {
    int depth;
    ~Guard()
    {
        recurse(depth % 4);
    }
};

NOINLINE static int throwing(int depth)
{
    Guard guard = {depth};
    if (depth == 0) {
        throw std::runtime_error("the bottom");
    }
    return throwing(depth - 1) + 1;
}

NOINLINE static void exceptions(int depth)
{
    try {
        try {
            throwing(depth);
        } catch (std::exception &) {
            recurse(2);
            throw;
        }
    } catch (std::runtime_error &error) {
        allocate(static_cast<int>(strlen(error.what())));
    }
}

static jmp_buf jump;

NOINLINE static void jumping(int depth)
{
    allocate(depth);
    if (depth == 0) {
        longjmp(jump, 1);
    }
    jumping(depth - 1);
    allocate(depth);
}

/* ---- other stacks ---- */
static ucontext_t main_context, contexts[2];

NOINLINE static void yield(int which)
{
    allocate(which);
    swapcontext(&contexts[which], &main_context);
    allocate(which + 8);
}

static void coroutine(int which)
{
    for (int i = 0; i < 20; i++) {
        recurse(i % 7);
        yield(which);
        try {
            throwing(3);
        } catch (std::exception &) {
            allocate(5);
        }
    }
}

/* Runs two coroutines by turns; their stacks are mapped anew each time, each time smaller, at addresses used
 * before. */
NOINLINE static void coroutines(int round)
{
    const size_t whole = 1 << 17;
    size_t size = whole - static_cast<size_t>(round % 8) * 4096;
    for (int which = 0; which < 2; which++) {
        void *stack = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED) {
            abort();
        }
        getcontext(&contexts[which]);
        contexts[which].uc_stack.ss_sp = stack;
        contexts[which].uc_stack.ss_size = size;
        contexts[which].uc_link = &main_context;
        makecontext(&contexts[which], reinterpret_cast<void (*)()>(coroutine), 1, which);
    }
    for (int i = 0; i < 21; i++) {
        for (int which = 0; which < 2; which++) {
            swapcontext(&main_context, &contexts[which]);
            allocate(9);
        }
    }
    for (int which = 0; which < 2; which++) {
        munmap(contexts[which].uc_stack.ss_sp, size);
    }
}

static void handler(int)
{
    allocate(77);
    recurse(3);
}

static volatile int counted;
static volatile long result_kept;

/* Interrupted at any instruction, prologues and epilogues included. */
static void tick(int)
{
    allocate(11);
    counted = counted + 1;
}

NOINLINE static long leaf(long a, long b)
{
    return a * 31 + b;
}

NOINLINE static long pushing(long depth, long a)
{
    long here = leaf(depth, a) ^ static_cast<long>(strtol("12", nullptr, 10));
    return depth > 0 ? pushing(depth - 1, here) + leaf(a, here) : here;
}

static void interrupted(int ticks)
{
    itimerval every = {{0, 200}, {0, 200}};
    counted = 0;
    setitimer(ITIMER_PROF, &every, nullptr);
    long value = 0;
    while (counted < ticks) {
        value += pushing(6, value) + leaf(value, 3);
    }
    itimerval never = {};
    setitimer(ITIMER_PROF, &never, nullptr);
    result_kept = value;
}

NOINLINE static void plugins(const char *path, int round)
{
    void *library = dlopen(path, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    auto plugin = reinterpret_cast<int (*)(int)>(dlsym(library, "plugin"));
    plugin(round % 5);
    dlclose(library);
}

static void rounds(int count, int salt)
{
    for (int i = 0; i < count; i++) {
        recurse((i + salt) % 40);
        spill((i + salt) % 7, 2, 3, 4, 5, 6, 7, 8);
        variable(16 + (i % 20) * 16);
        aligned(i % 12);
        sort(i + salt);
        containers(i % 5);
        exceptions(i % 9);
    }
}

static void *thread_small(void *argument)
{
    recurse(*static_cast<int *>(argument));
    exceptions(2);
    return nullptr;
}

static void threads(int count)
{
    std::vector<std::thread> running;
    for (int i = 0; i < 3; i++) {
        running.emplace_back([count, i] { rounds(count / 2, i); });
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        int depth = i % 6;
        if (pthread_create(&thread, &attributes, thread_small, &depth) != 0) {
            abort();
        }
        pthread_join(thread, nullptr);
    }
    for (auto &thread : running) {
        thread.join();
    }
}

static void handlers_install()
{
    stack_t alternate = {};
    alternate.ss_size = 1 << 16;
    alternate.ss_sp = malloc(alternate.ss_size);
    sigaltstack(&alternate, nullptr);
    struct sigaction action = {};
    action.sa_handler = handler;
    sigaction(SIGUSR2, &action, nullptr);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, nullptr);
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &action, nullptr);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 50;
    handlers_install();
    rounds(count, 0);
    for (int i = 0; i < count; i++) {
        if (setjmp(jump) == 0) {
            jumping(i % 30);
        }
        raise(i % 2 ? SIGUSR1 : SIGUSR2);
        coroutines(i);
        if (argc > 2) {
            plugins(argv[2 + i % (argc - 2)], i);
        }
    }
    large(1);
    recurse(DEEP);
    interrupted(count * TICKS);
    threads(count);
    puts("done");
    return 0;
}
