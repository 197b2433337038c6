/* known.c: a program whose every allocation is known in advance; ends by abort(). Markers: known.h. */
#include "known.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *kept[4096];
static size_t kept_count;
static volatile size_t zero;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static void *volatile handed_over[16];

__attribute__((noinline)) void *keep(void *block)
{
    pthread_mutex_lock(&kept_lock);
    kept[kept_count++ % 4096] = block;
    pthread_mutex_unlock(&kept_lock);
    return block;
}

size_t opaque(size_t size)
{
    return size + zero;
}

/* Ends with code 3, which no test takes for the abort() at the end of main. */
static void require(int condition)
{
    if (!condition) {
        static const char text[] = "known: an allocation did not do what it must\n";
        ssize_t written = write(2, text, sizeof(text) - 1);
        _exit(written > 0 ? 3 : 4);
    }
}

static void allocate_plain(void)
{
    keep(malloc(opaque(100))); /* EXPECT count=1 size=100 */
    keep(malloc(opaque(0)));   /* EXPECT count=1 size=0 */
    keep(malloc(opaque(1)));   /* EXPECT count=1 size=1 */
    for (size_t i = 0; i < 50; i++) {
        keep(malloc(opaque(10 + i))); /* EXPECT count=50 size=1725 */
    }
    keep(calloc(opaque(7), 13));            /* EXPECT count=1 size=91 */
    keep(calloc(opaque(0), 13));            /* EXPECT count=1 size=0 */
    keep(malloc(opaque(300))), keep(malloc(opaque(11))); /* EXPECT count=2 size=311 */
    keep(malloc(opaque((size_t)64 << 20))); /* EXPECT count=1 size=67108864 */
}

static void allocate_and_free(void)
{
    void *block = keep(malloc(opaque(5000)));
    free(block);
    void *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = keep(malloc(opaque(64))); /* EXPECT count=13 size=832 */
    }
    for (size_t i = 0; i < 7; i++) {
        free(blocks[i * 2]);
    }
    free(NULL);
}

static void reallocate(void)
{
    void *block = keep(realloc(NULL, opaque(33))); /* EXPECT count=1 size=33 */
    block = keep(malloc(opaque(40)));
    keep(realloc(block, opaque(40000))); /* EXPECT count=1 size=40000 */
    block = keep(malloc(opaque(2000)));
    keep(realloc(block, opaque(17))); /* EXPECT count=1 size=17 */
    block = keep(malloc(opaque(48)));
    block = realloc(block, opaque(49)); /* same usable size: stays where it is */
    keep(realloc(block, opaque(50)));   /* EXPECT count=1 size=50 */
    block = keep(malloc(opaque((size_t)1 << 20)));
    keep(realloc(block, opaque((size_t)9 << 20))); /* EXPECT count=1 size=9437184 */
    block = keep(malloc(opaque(77))); /* EXPECT count=1 size=77 */
    require(keep(realloc(block, opaque(PTRDIFF_MAX))) == NULL && errno == ENOMEM);
    block = keep(malloc(opaque(78))); /* glibc frees at realloc(p, 0) */
    require(keep(realloc(block, opaque(0))) == NULL);
    keep(reallocarray(NULL, opaque(6), 9)); /* EXPECT count=1 size=54 */
    block = keep(malloc(opaque(10)));
    keep(reallocarray(block, opaque(8), 100)); /* EXPECT count=1 size=800 */
    block = keep(malloc(opaque(79))); /* EXPECT count=1 size=79 */
    require(keep(reallocarray(block, SIZE_MAX / 2, opaque(3))) == NULL);
}

static void allocate_aligned(void)
{
    void *block = NULL;
    require(posix_memalign(&block, 64, opaque(1000)) == 0); /* EXPECT count=1 size=1000 */
    keep(block);
    require(posix_memalign(&block, 3, opaque(1001)) == EINVAL);
    keep(aligned_alloc(256, opaque(512)));     /* EXPECT count=1 size=512 */
    keep(memalign(128, opaque(130)));          /* EXPECT count=1 size=130 */
    keep(memalign(1 << 20, opaque(131)));      /* EXPECT count=1 size=131 */
    keep(valloc(opaque(132)));                 /* EXPECT count=1 size=132 */
    keep(pvalloc(opaque(133)));                /* EXPECT count=1 size=133 */
    block = keep(aligned_alloc(64, opaque(640)));
    free(block);
}

static void fail_to_allocate(void)
{
    require(keep(malloc(opaque(PTRDIFF_MAX))) == NULL);
    require(keep(calloc(SIZE_MAX / 2, opaque(4))) == NULL);
    require(keep(memalign(64, opaque(PTRDIFF_MAX))) == NULL);
}

static void allocate_in_library(void)
{
    keep(strdup("twenty-six characters long")); /* EXPECT count=1 size=27 */
    keep(strndup("cut short", opaque(3)));      /* EXPECT count=1 size=4 */
    char *text = NULL;
    require(asprintf(&text, "%0*d", (int)opaque(250), 5) == 250); /* EXPECT count=1 size=251 */
    keep(text);
    char input[] = "a line of the input\n";
    FILE *stream = fmemopen(input, sizeof(input) - 1, "r");
    char *line = NULL;
    size_t size = 0;
    require(getline(&line, &size, stream) == sizeof(input) - 1); /* EXPECT count=1 size=120 */
    keep(line);
    fclose(stream);
}

static void name_thread(const char *name)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "thread %s %ld\n", name, syscall(SYS_gettid));
    require(write(1, text, (size_t)size) == size);
}

static void *run_first(void *argument)
{
    name_thread("first");
    for (size_t i = 0; i < 10; i++) {
        keep(malloc(opaque(500))); /* EXPECT count=10 size=5000 thread=first */
    }
    for (size_t i = 0; i < 16; i++) {
        handed_over[i] = malloc(opaque(70)); /* EXPECT count=6 size=420 thread=first */
    }
    return argument;
}

static void *run_second(void *argument)
{
    name_thread("second");
    for (size_t i = 0; i < 10; i++) {
        free(handed_over[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        keep(calloc(2, opaque(600))); /* EXPECT count=5 size=6000 thread=second */
    }
    return argument;
}

/* One line, both threads. */
static void *run_both(void *argument)
{
    keep(malloc(opaque(900))); /* EXPECT count=2 size=1800 thread=others */
    return argument;
}

static void run_threads(void)
{
    void *(*const functions[])(void *) = {run_first, run_second, run_both, run_both};
    for (size_t i = 0; i < 4; i++) {
        pthread_t thread;
        require(pthread_create(&thread, NULL, functions[i], NULL) == 0);
        require(pthread_join(thread, NULL) == 0);
    }
}

__attribute__((noinline)) static void descend(size_t depth)
{
    if (depth == 0) {
        keep(malloc(opaque(1234))); /* EXPECT count=1 size=1234 */
    } else {
        descend(depth - 1);
    }
    keep(NULL);
}

int main(void)
{
    name_thread("main");
    allocate_plain();
    allocate_and_free();
    reallocate();
    allocate_aligned();
    fail_to_allocate();
    allocate_in_library();
    run_threads();
    descend(200);
    allocate_in_cxx();
    abort();
}
