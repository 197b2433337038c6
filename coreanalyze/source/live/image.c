/* image.c: see image.h. */
#include "image.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../util/grow.h"

#define CHUNK_SIZE ((size_t)16 << 20)
#define PAGE_SIZE  4096u

/* --------------------------------------------------------------------------------------------- ranges */

bool ca_ranges_add(struct ca_ranges *ranges, uint64_t start, uint64_t size)
{
    uint64_t end;
    if (size == 0 || __builtin_add_overflow(start, size, &end)) {
        return true;
    }
    if (!CA_GROW(ranges->items, ranges->capacity, ranges->count + 1)) {
        return false;
    }
    ranges->items[ranges->count++] = (struct ca_range){start, end};
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct ca_range *left = a, *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

void ca_ranges_join(struct ca_ranges *ranges)
{
    if (ranges->count == 0) {
        return;
    }
    qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare_ranges);
    size_t kept = 0;
    for (size_t i = 1; i < ranges->count; i++) {
        struct ca_range *last = &ranges->items[kept];
        if (ranges->items[i].start > last->end) {
            ranges->items[++kept] = ranges->items[i];
        } else if (ranges->items[i].end > last->end) {
            last->end = ranges->items[i].end;
        }
    }
    ranges->count = kept + 1;
}

uint64_t ca_ranges_size(const struct ca_ranges *ranges)
{
    uint64_t size = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        size += ranges->items[i].end - ranges->items[i].start;
    }
    return size;
}

void ca_ranges_deinit(struct ca_ranges *ranges)
{
    free(ranges->items);
    *ranges = (struct ca_ranges){0};
}

/* ----------------------------------------------------------------------------------------------- room */

void ca_copied_deinit(struct ca_copied *image)
{
    if (image->room) {
        munmap(image->room, image->room_size);
    }
    free(image->pieces);
    *image = (struct ca_copied){0};
}

bool ca_copied_reserve(struct ca_copied *image, uint64_t size, struct ca_error **ret_error)
{
    uint64_t wanted = size + size / 16 + (UINT64_C(1) << 20);
    wanted = (wanted + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    if (wanted < size || wanted > SIZE_MAX / 2) {
        return ca_fail_memory(ret_error);
    }
    if (image->room_size >= size) {
        return true;
    }
    ca_copied_deinit(image);
    void *room = mmap(NULL, (size_t)wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return ca_fail_memory(ret_error);
    }
    image->room = room;
    image->room_size = (size_t)wanted;
    (void)madvise(room, image->room_size, MADV_HUGEPAGE);
    if (madvise(room, image->room_size, MADV_POPULATE_WRITE) != 0) { /* before Linux 5.14 */
        for (size_t at = 0; at < image->room_size; at += PAGE_SIZE) {
            ((volatile uint8_t *)image->room)[at] = 0;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------- copying */

/* Part of a piece that one thread copies. */
struct job {
    uint32_t pid;
    int memory;
    uint64_t start;
    size_t size;
    uint8_t *to;
    size_t copied; /* from the start */
};

static void job_run(struct job *job)
{
    while (job->copied < job->size) {
        size_t step = job->size - job->copied < CHUNK_SIZE ? job->size - job->copied : CHUNK_SIZE;
        uint64_t from = job->start + job->copied;
        struct iovec local = {job->to + job->copied, step};
        struct iovec remote = {(void *)(uintptr_t)from, step}; /* NOLINT: an address of the process */
        ssize_t got = process_vm_readv((pid_t)job->pid, &local, 1, &remote, 1, 0);
        if (got < 0 && errno != EINTR) {
            got = pread(job->memory, local.iov_base, step, (off_t)from);
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return;
        }
        job->copied += (size_t)got;
    }
}

struct jobs {
    struct job *items;
    size_t count;
    size_t next; /* atomic */
};

static void *jobs_run(void *context)
{
    struct jobs *jobs = context;
    for (size_t i; (i = __atomic_fetch_add(&jobs->next, 1, __ATOMIC_RELAXED)) < jobs->count;) {
        job_run(&jobs->items[i]);
    }
    return NULL;
}

/* A second thread copies along where there is much. */
static void jobs_run_all(struct jobs *jobs)
{
    pthread_t second;
    bool started = jobs->count > 2 && pthread_create(&second, NULL, jobs_run, jobs) == 0;
    jobs_run(jobs);
    if (started) {
        pthread_join(second, NULL);
    }
}

/* Cuts the pieces into jobs; false when out of memory. */
static bool jobs_make(struct jobs *jobs, uint32_t pid, int memory, const struct ca_copied *image)
{
    size_t capacity = 0;
    for (size_t i = 0; i < image->count; i++) {
        const struct ca_piece *piece = &image->pieces[i];
        for (uint64_t at = 0; at < piece->size; at += CHUNK_SIZE) {
            uint64_t left = piece->size - at;
            if (!CA_GROW(jobs->items, capacity, jobs->count + 1)) {
                return false;
            }
            jobs->items[jobs->count++] = (struct job){
                .pid = pid,
                .memory = memory,
                .start = piece->start + at,
                .size = left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE,
                .to = (uint8_t *)(uintptr_t)piece->bytes + at,
            };
        }
    }
    return true;
}

/* A piece ends where bytes are missing. */
static void pieces_cut(struct ca_copied *image, const struct jobs *jobs)
{
    size_t job = 0;
    for (size_t i = 0; i < image->count; i++) {
        struct ca_piece *piece = &image->pieces[i];
        uint64_t size = piece->size, copied = 0;
        bool whole = true;
        for (uint64_t at = 0; at < size; at += CHUNK_SIZE, job++) {
            copied += whole ? jobs->items[job].copied : 0;
            whole = whole && jobs->items[job].copied == jobs->items[job].size;
        }
        piece->size = copied;
    }
}

bool ca_copied_copy(struct ca_copied *image, uint32_t pid, int memory, const struct ca_ranges *ranges,
                   struct ca_error **ret_error)
{
    struct ca_piece *pieces = realloc(image->pieces, (ranges->count + 1) * sizeof(*pieces));
    if (!pieces || !ca_copied_reserve(image, ca_ranges_size(ranges), ret_error)) {
        image->pieces = pieces ? NULL : image->pieces;
        free(pieces);
        return pieces ? false : ca_fail_memory(ret_error);
    }
    image->pieces = pieces;
    image->count = ranges->count;
    uint8_t *to = image->room;
    for (size_t i = 0; i < ranges->count; i++) {
        uint64_t size = ranges->items[i].end - ranges->items[i].start;
        pieces[i] = (struct ca_piece){.start = ranges->items[i].start, .size = size, .bytes = to};
        to += size;
    }
    struct jobs jobs = {0};
    bool made = jobs_make(&jobs, pid, memory, image);
    if (made) {
        jobs_run_all(&jobs);
        pieces_cut(image, &jobs);
    }
    free(jobs.items);
    return made || ca_fail_memory(ret_error);
}

const struct ca_piece *ca_copied_find(const struct ca_copied *image, uint64_t address)
{
    size_t low = 0, high = image->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->pieces[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct ca_piece *piece = low ? &image->pieces[low - 1] : NULL;
    return piece && address - piece->start < piece->size ? piece : NULL;
}
