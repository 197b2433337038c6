/* stops.c: stops a running hammer (../hammer.c) at random moments and holds what the engine reads against its
 * slots; or reads the core that it left.
 *
 * usage: stops COUNT SLOTS-FILE PROGRAM ARGUMENT...   runs the program with STEPS_PRELOAD and stops it COUNT
 * times stops -c CORE SLOTS-FILE */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../hammer.h"
#include "tracee.h"
#include "view.h"

static struct view view;
static unsigned long busy, settled, in_flight, foreign, untold;

/* ---------------------------------------------------------------------------------------------------------------
 * Slots against blocks
 */

static int compare_blocks(const void *left, const void *right)
{
    const struct view_block *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static const struct view_block *block_at(uint64_t address)
{
    struct view_block key = {.address = address};
    return bsearch(&key, view.blocks, view.block_count, sizeof(*view.blocks), compare_blocks);
}

/* Every settled block is there with its size. Of a slot that is being changed, the block before, or the one
 * after, or none while realloc or the like is between. What else is shown can only be what such slots got, or
 * what libc holds for threads. */
static void slots_check(const struct slot *slots, const char *where)
{
    size_t known = 0, changing = 0;
    qsort(view.blocks, view.block_count, sizeof(*view.blocks), compare_blocks);
    for (size_t i = 1; i < view.block_count; i++) {
        if (view.blocks[i].address == view.blocks[i - 1].address) {
            give_up("%s: block 0x%lx is shown twice", where, view.blocks[i].address);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        const struct view_block *block = slots[i].address ? block_at(slots[i].address) : NULL;
        if (slots[i].state == BUSY) {
            changing++;
        } else if (slots[i].address) {
            settled++;
            known++;
            if (!block || block->size != slots[i].size) {
                give_up("%s: block 0x%lx of %lu bytes is %s (slot %zu; %lu in flight, %lu dropped%s%s)",
                        where, slots[i].address, slots[i].size, block ? "of another size" : "missing", i,
                        view.in_flight, view.dropped, view.ambiguous ? ", one cannot be told" : "",
                        view.damaged ? ", damaged records" : "");
            }
        }
    }
    busy += changing;
    in_flight += view.in_flight;
    /* For each thread libc has a block, and while it begins or ends perhaps one more. */
    size_t others = view.block_count - known;
    foreign += others;
    if (others > changing + 4 * THREADS + 8) {
        give_up("%s: %zu blocks that nobody has, %zu slots are changing", where, others, changing);
    }
    if (view.covered != view.block_count) {
        give_up("%s: %lu blocks by the counters, %zu in the tables", where, view.covered, view.block_count);
    }
    untold += view.ambiguous; /* a realloc whose old block another thread has got before it could say where
                                 the new one is */
}

/* ---------------------------------------------------------------------------------------------------------------
 * A running process
 */

static struct slot *slots_map(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct slot) * SLOTS) != 0) {
        give_up("%s: %s", path, strerror(errno));
    }
    struct slot *slots = mmap(NULL, sizeof(struct slot) * SLOTS, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    return slots;
}

/* All threads that the process has now; new ones may come while they are stopped one by one, so it is done
 * again until none is new. */
static size_t threads_stop(pid_t pid, pid_t *threads, size_t capacity)
{
    size_t count = 0;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    for (bool is_new = true; is_new;) {
        DIR *directory = opendir(path);
        is_new = false;
        for (struct dirent *entry; directory && (entry = readdir(directory));) {
            pid_t tid = atoi(entry->d_name);
            bool known = tid == 0;
            for (size_t i = 0; i < count; i++) {
                known = known || threads[i] == tid;
            }
            int status;
            if (known || count == capacity) {
                continue;
            }
            is_new = true; /* also when it has ended: those after it may be missing in this reading */
            if (ptrace(PTRACE_SEIZE, tid, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 &&
                waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status)) {
                threads[count++] = tid;
            }
        }
        closedir(directory);
    }
    return count;
}

static pid_t start(char **arguments)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LD_PRELOAD", getenv("STEPS_PRELOAD"), 1);
        execv(arguments[0], arguments);
        _exit(127);
    }
    return pid;
}

static void stop_once(pid_t pid, struct view_source *source, const struct slot *slots, unsigned number)
{
    struct user_regs_struct registers;
    pid_t threads[256];
    char where[64];
    size_t count = threads_stop(pid, threads, 256);
    if (count == 0) {
        give_up("the program ended after %u stops", number);
    }
    snprintf(where, sizeof(where), "stop %u", number);
    registers_read(threads[0], &registers);
    if (!view_read(source, (uint32_t)threads[0], &registers, &view)) {
        give_up("%s: %s", where, view.error);
    }
    slots_check(slots, where);
    for (size_t i = 0; i < count; i++) {
        ptrace(PTRACE_DETACH, threads[i], 0, 0);
    }
}

/* Random, up to two milliseconds. */
static void wait_a_little(unsigned *seed)
{
    struct timespec nap = {0, rand_r(seed) % 2000000};
    nanosleep(&nap, NULL);
}

static int stops(unsigned count, const char *file, char **arguments)
{
    struct slot *slots = slots_map(file);
    struct view_source source;
    unsigned seed = 1;
    pid_t pid = start(arguments);
    while (!slots[0].previous && !slots[1].previous && !slots[2].previous) {
        wait_a_little(&seed);
    }
    if (!view_source_open(&source, (uint32_t)pid)) {
        give_up("process %d cannot be read", pid);
    }
    for (unsigned i = 0; i < count; i++) {
        stop_once(pid, &source, slots, i);
        wait_a_little(&seed);
    }
    view_source_close(&source);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    printf("%u stops, %lu settled, %lu busy, %lu in flight, %lu of libc, %lu cannot be told\n", count,
           settled, busy, in_flight, foreign, untold);
    return 0;
}

static int core(const char *path, const char *file)
{
    struct ca_error *error = NULL;
    struct ca_target *target = ca_target_open_core(path, NULL, &error);
    if (!target || !view_read_target(target, &view)) {
        give_up("%s: %s", path, target ? view.error : ca_error_message(error));
    }
    slots_check(slots_map(file), path);
    ca_target_destroy(target);
    printf("a core, %lu settled, %lu busy, %lu in flight\n", settled, busy, in_flight);
    return 0;
}

int main(int argc, char **argv)
{
    alarm(400);
    if (argc == 4 && strcmp(argv[1], "-c") == 0) {
        return core(argv[2], argv[3]);
    }
    return argc > 3 ? stops((unsigned)atoi(argv[1]), argv[2], argv + 3) : 64;
}
