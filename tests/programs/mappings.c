/* mappings.c: a program that maps and unmaps anonymous memory in every way that mmap=1 knows of, and then
 * dies.
 *
 * Each function leaves what its comment says, in bytes and blocks. Then threads map, unmap pieces, map over
 * and remap by chance and keep a ledger; what they hold in the end is printed: "threads: SIZE COUNT".
 *
 * Usage: mappings FILE THREADS ROUNDS
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE     4096
#define NOINLINE __attribute__((noinline))

static int file;

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static char *mapped(void *memory, const void *at)
{
    check(memory != MAP_FAILED && (!at || memory == at), "mmap");
    *(char *)memory = 1;
    return memory;
}

/* The call of mmap is the function's that says so. */
#define map(size, flags, at)                                                                                 \
    mapped(mmap(at, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (flags), -1, 0), at)

static void unmap(char *memory, size_t size)
{
    check(munmap(memory, size) == 0, "munmap");
}

/* 10000 in 1 */
NOINLINE void plain(void)
{
    map(10000, MAP_PRIVATE, NULL);
}

/* 8192 in 1 */
NOINLINE void shared(void)
{
    map(8192, MAP_SHARED, NULL);
}

/* nothing: a file's, a freed one, one that fails */
NOINLINE void nothing(void)
{
    check(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED, "mmap of a file");
    unmap(map(3 * PAGE, MAP_PRIVATE, NULL), 3 * PAGE);
    unmap(map(100, MAP_PRIVATE, NULL), 100);
    errno = 0;
    check(mmap(NULL, SIZE_MAX / 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
              errno == ENOMEM,
          "too much");
    errno = 0;
    check(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL,
          "size 0");
}

/* 20380 - 2 pages = 12188 in 1 */
NOINLINE void head_cut(void)
{
    unmap(map(20380, MAP_PRIVATE, NULL), 2 * PAGE);
}

/* 3 pages in 1 */
NOINLINE void tail_cut(void)
{
    unmap(map(20380, MAP_PRIVATE, NULL) + 3 * PAGE, 20380 - 3 * PAGE);
}

/* 1 page and 20380 - 2 pages: 16284 in 2 */
NOINLINE void hole(void)
{
    unmap(map(20380, MAP_PRIVATE, NULL) + PAGE, PAGE);
}

/* 1 page in 1 */
NOINLINE void fixed(char *at)
{
    map(PAGE, MAP_PRIVATE | MAP_FIXED, at);
}

/* 6 pages, less one that fixed() maps over and one that a file is mapped over: 4 pages in 3 */
NOINLINE void over(void)
{
    char *memory = map(6 * PAGE, MAP_PRIVATE, NULL);
    fixed(memory + PAGE);
    void *at = memory + 4 * PAGE;
    check(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == at, "file over a block");
}

/* 10 pages in 1 */
NOINLINE void regrow(char *memory)
{
    memory = mremap(memory, PAGE, 10 * PAGE, MREMAP_MAYMOVE);
    check(memory != MAP_FAILED && memory[0] == 1, "mremap");
}

/* nothing: regrow() has it */
NOINLINE void grow(void)
{
    regrow(map(PAGE, MAP_PRIVATE, NULL));
}

/* 5 pages in 1: moved over what a block of 5 had */
NOINLINE void move(void)
{
    char *from = map(5 * PAGE, MAP_PRIVATE, NULL), *to = map(5 * PAGE, MAP_PRIVATE, NULL);
    check(mremap(from, 5 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap to a place");
}

/* 7777 in 1, whatever calls fail */
NOINLINE void failing(void)
{
    char *memory = map(7777, MAP_PRIVATE, NULL);
    errno = 0;
    check(munmap(memory + 1, PAGE) == -1 && errno == EINVAL, "munmap of no page");
    errno = 0;
    check(mremap(memory, 2 * PAGE, SIZE_MAX / 2, MREMAP_MAYMOVE) == MAP_FAILED && errno,
          "mremap to too much");
    errno = 0;
    check(mmap(memory, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE, 12345, 0) == MAP_FAILED && errno == EBADF,
          "mmap of no file");
}

/* nothing: three neighbours, unmapped at once */
NOINLINE void neighbours(void)
{
    char *memory = map(9 * PAGE, MAP_PRIVATE, NULL);
    map(3 * PAGE, MAP_PRIVATE | MAP_FIXED, memory);
    map(2 * PAGE, MAP_PRIVATE | MAP_FIXED, memory + 6 * PAGE);
    unmap(memory, 9 * PAGE);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Threads. A place of PAGES pages each, of which the ledger knows the block of each page; 0 = unmapped.
 */
enum { PLACES = 40, PAGES = 16 };

struct ledger {
    char *base[PLACES];
    unsigned owner[PLACES][PAGES];
    unsigned seed, rounds, next;
};

NOINLINE void thread_map(struct ledger *ledger, int place, int first, int count)
{
    map((size_t)count * PAGE, MAP_PRIVATE | MAP_FIXED, ledger->base[place] + first * PAGE);
    ledger->next++;
    for (int i = first; i < first + count; i++) {
        ledger->owner[place][i] = ledger->next;
    }
}

static void *thread_run(void *argument)
{
    struct ledger *ledger = argument;
    for (unsigned i = 0; i < ledger->rounds; i++) {
        ledger->seed = ledger->seed * 1664525 + 1013904223;
        unsigned pick = ledger->seed >> 8;
        int place = (int)(pick % PLACES), first = (int)(pick / PLACES % PAGES);
        int count = 1 + (int)(pick / PLACES / PAGES % (unsigned)(PAGES - first));
        if (pick >> 20 & 1) {
            thread_map(ledger, place, first, count);
        } else { /* stays reserved: mapped from a file, so that the kernel gives it to nobody else */
            void *at = ledger->base[place] + first * PAGE;
            check(mmap(at, (size_t)count * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == at, "mmap");
            memset(&ledger->owner[place][first], 0, (size_t)count * sizeof(unsigned));
        }
        unmap(map(PAGE * (1 + pick % 3), MAP_PRIVATE, NULL), PAGE * (1 + pick % 3));
    }
    return NULL;
}

static void ledger_open(struct ledger *ledger, unsigned seed, unsigned rounds)
{
    ledger->seed = seed;
    ledger->rounds = rounds;
    for (int i = 0; i < PLACES; i++) {
        ledger->base[i] = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
        check(ledger->base[i] != MAP_FAILED, "place");
    }
}

static void ledger_add(const struct ledger *ledger, size_t *size, size_t *count)
{
    for (int i = 0; i < PLACES; i++) {
        for (int j = 0; j < PAGES; j++) {
            unsigned owner = ledger->owner[i][j];
            *size += owner ? PAGE : 0;
            *count += owner && (j == 0 || ledger->owner[i][j - 1] != owner);
        }
    }
}

static void run_threads(int threads, unsigned rounds)
{
    static struct ledger ledgers[16];
    pthread_t ids[16];
    size_t size = 0, count = 0;
    for (int i = 0; i < threads; i++) {
        ledger_open(&ledgers[i], (unsigned)i + 1, rounds);
        check(pthread_create(&ids[i], NULL, thread_run, &ledgers[i]) == 0, "thread");
    }
    for (int i = 0; i < 20; i++) { /* children of a process whose threads are at it */
        pid_t child = fork();
        if (child == 0) {
            unmap(map(PAGE, MAP_PRIVATE, NULL), PAGE);
            _exit(0);
        }
        int status = -1;
        check(waitpid(child, &status, 0) == child && status == 0, "child");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        ledger_add(&ledgers[i], &size, &count);
    }
    printf("threads: %zu %zu\n", size, count);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    check(argc == 4 && (file = open(argv[1], O_RDONLY)) >= 0, "FILE THREADS ROUNDS");
    plain();
    shared();
    nothing();
    head_cut();
    tail_cut();
    hole();
    over();
    grow();
    move();
    failing();
    neighbours();
    run_threads(atoi(argv[2]), (unsigned)atoi(argv[3]));
    abort();
}
