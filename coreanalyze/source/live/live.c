/* live.c: see live.h and proc(5). */
#include "live.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../util/grow.h"
#include "../../util/text.h"
#include "../internal.h"
#include "../process.h"
#include "pages.h"
#include "stop.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

#define AUXV_MAX 4096

struct live_source {
    struct ca_source base;
    uint32_t pid;
    bool dying; /* its core was being written when it was opened: what is read later may need more rights */
    int memory; /* /proc/PID/mem */
    struct ca_text maps; /* /proc/PID/maps */
    uint8_t auxv[AUXV_MAX];
    size_t auxv_size;
    bool whole;             /* everything that may have been written is copied */
    struct ca_ranges blank; /* then: where what was not copied is zero */
    struct ca_copied image;
    struct ca_stopped_threads threads;
};

/* -------------------------------------------------------------------------------------------- opening */

static int proc_open(uint32_t pid, const char *name)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Up to `size` bytes of a file of /proc; -1 with errno. */
static ssize_t proc_read(uint32_t pid, const char *name, void *buffer, size_t size)
{
    int file = proc_open(pid, name);
    ssize_t got = file >= 0 ? read(file, buffer, size) : -1;
    int reason = errno;
    if (file >= 0) {
        close(file);
    }
    errno = reason;
    return got;
}

/* The number after "\nNAME:" in /proc/PID/status; 0 = none. */
static uint64_t status_number(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

/* As much of /proc/PID/status as fits, "" if there is none. */
static void status_read(uint32_t pid, char *buffer, size_t size)
{
    ssize_t got = proc_read(pid, "status", buffer, size - 1);
    buffer[got > 0 ? got : 0] = '\0';
}

static bool maps_read(struct live_source *source, struct ca_error **ret_error)
{
    int file = proc_open(source->pid, "maps");
    if (file < 0) {
        return ca_fail_attach(source->pid, errno, ret_error);
    }
    char buffer[1 << 14];
    ssize_t got;
    source->maps.size = 0;
    while ((got = read(file, buffer, sizeof(buffer))) > 0 && !source->maps.failed) {
        ca_text_add_bytes(&source->maps, buffer, (size_t)got);
    }
    int reason = got < 0 ? errno : 0;
    close(file);
    if (source->maps.failed) {
        return ca_fail_memory(ret_error);
    }
    /* An ended process has none; a kernel thread never had any. */
    return (reason == 0 && source->maps.size > 0) ||
           ca_fail(ret_error, CA_NOTHING,
                   "process %" PRIu32 ": it has no memory: it has ended, or is of the kernel", source->pid);
}

/* Only programs of this machine's 64-bit kind. */
static bool program_check(uint32_t pid, struct ca_error **ret_error)
{
    Elf64_Ehdr header;
    if (proc_read(pid, "exe", &header, sizeof(header)) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return true; /* what is in its memory tells */
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != MACHINE) {
        return ca_fail(ret_error, CA_NOTHING,
                       "process %" PRIu32
                       ": is no 64-bit program of this machine's kind (ELF class 2 and machine %d "
                       "expected, %d and %d found)",
                       pid, MACHINE, header.e_ident[EI_CLASS], header.e_machine);
    }
    return true;
}

static bool live_open(struct live_source *source, struct ca_error **ret_error)
{
    source->memory = proc_open(source->pid, "mem");
    if (source->memory < 0) {
        return ca_fail_attach(source->pid, errno, ret_error);
    }
    ssize_t got = proc_read(source->pid, "auxv", source->auxv, sizeof(source->auxv));
    source->auxv_size = got > 0 ? (size_t)got : 0;
    char status[4096];
    status_read(source->pid, status, sizeof(status));
    source->dying = status_number(status, "\nCoreDumping:") != 0;
    return program_check(source->pid, ret_error) && maps_read(source, ret_error);
}

/* ----------------------------------------------------------------------------------------- describing */

/* "\ooo" stands for a newline in a path. */
static void path_decode(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        if (strncmp(from, "\\012", 4) == 0) {
            *to++ = '\n';
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/* One line of /proc/PID/maps, ended by NUL. */
static void mapping_add(struct live_source *source, char *line)
{
    uint64_t start, end, offset;
    char permissions[5];
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &start, &end, permissions, &offset,
               &path) < 4 ||
        end <= start) {
        return;
    }
    char *name = path && line[path] == '/' ? line + path : NULL;
    if (name) {
        path_decode(name);
    }
    struct ca_mapping mapping = {
        .start = start,
        .end = end,
        .offset = name ? offset : 0,
        .present = permissions[0] == 'r' ? end - start : 0,
        .protection = (permissions[0] == 'r' ? 1u : 0) | (permissions[1] == 'w' ? 2u : 0) |
                      (permissions[2] == 'x' ? 4u : 0),
        .named = name != NULL,
        .path = name ? name : "",
    };
    ca_source_add_mapping(&source->base, &mapping);
}

static bool live_describe(struct ca_source *base)
{
    struct live_source *source = (struct live_source *)base;
    char *copy = strndup(source->maps.bytes, source->maps.size);
    if (!copy) {
        base->failed = true;
        return true;
    }
    for (char *line = copy, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        mapping_add(source, line);
    }
    free(copy);
    for (size_t i = 0; i < source->threads.count; i++) {
        const struct ca_stopped_thread *thread = &source->threads.items[i];
        ca_source_add_thread(base, thread->tid, thread->registers, thread->register_count);
    }
    ca_source_set_process(base, source->pid, MACHINE, 0, 0, "", "");
    ca_source_set_auxv(base, source->auxv, source->auxv_size);
    return ca_process_complete(base);
}

/* -------------------------------------------------------------------------------------------- reading */

static const void *live_view(struct ca_source *base, uint64_t address, size_t size, size_t *ret_size)
{
    const struct live_source *source = (const struct live_source *)base;
    const struct ca_piece *piece = ca_copied_find(&source->image, address);
    *ret_size = 0;
    if (!piece) {
        return NULL;
    }
    uint64_t within = address - piece->start, room = piece->size - within;
    *ret_size = room < size ? (size_t)room : size;
    return piece->bytes + within;
}

/* Bytes from `address` on that are known to be zero. */
static size_t blank_size(const struct live_source *source, uint64_t address, size_t size)
{
    size_t low = 0, high = source->blank.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (source->blank.items[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == source->blank.count || address < source->blank.items[low].start) {
        return 0;
    }
    uint64_t end = source->blank.items[low].end;
    for (low = 0, high = source->image.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (source->image.pieces[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < source->image.count && source->image.pieces[low].start < end) {
        end = source->image.pieces[low].start;
    }
    return end - address < size ? (size_t)(end - address) : size;
}

static size_t live_read(struct ca_source *base, uint64_t address, void *buffer, size_t size)
{
    const struct live_source *source = (const struct live_source *)base;
    size_t filled = 0;
    while (filled < size) {
        size_t got = 0;
        uint8_t *to = (uint8_t *)buffer + filled;
        const void *bytes = live_view(base, address + filled, size - filled, &got);
        if (bytes) {
            memcpy(to, bytes, got);
        } else if ((got = blank_size(source, address + filled, size - filled)) > 0) {
            memset(to, 0, got);
        } else {
            ssize_t read = pread(source->memory, to, size - filled, (off_t)(address + filled));
            if (read < 0 && errno == EINTR) {
                continue;
            }
            got = read > 0 ? (size_t)read : 0;
        }
        if (got == 0) {
            break;
        }
        filled += got;
    }
    return filled;
}

/* What was copied is of another moment than what is asked for next. */
static void live_invalidate(struct ca_source *base)
{
    struct live_source *source = (struct live_source *)base;
    source->image.count = 0;
    ca_ranges_deinit(&source->blank);
    free(source->threads.items);
    source->threads = (struct ca_stopped_threads){0};
    ca_source_forget(base);
    (void)maps_read(source, NULL);
}

static void live_destroy(struct ca_source *base)
{
    struct live_source *source = (struct live_source *)base;
    if (source->memory >= 0) {
        close(source->memory);
    }
    ca_copied_deinit(&source->image);
    ca_ranges_deinit(&source->blank);
    free(source->threads.items);
    ca_text_deinit(&source->maps);
    ca_source_deinit(base);
    free(source);
}

static const struct ca_source_operations live_operations = {
    .read = live_read,
    .view = live_view,
    .describe = live_describe,
    .invalidate = live_invalidate,
    .destroy = live_destroy,
};

bool ca_source_is_process(const struct ca_source *source)
{
    return source->operations == &live_operations;
}

struct ca_source *ca_source_open_process(uint32_t pid, struct ca_error **ret_error)
{
    char name[32];
    snprintf(name, sizeof(name), "process %" PRIu32, pid);
    struct live_source *source = calloc(1, sizeof(*source));
    if (!source) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    if (!ca_source_init(&source->base, &live_operations, name, ret_error)) {
        free(source);
        return NULL;
    }
    source->base.live = true;
    source->pid = pid;
    source->memory = -1;
    if (!live_open(source, ret_error)) {
        live_destroy(&source->base);
        return NULL;
    }
    return &source->base;
}

/* -------------------------------------------------------------------------------------------- copying */

void ca_live_copy_whole(struct ca_source *base)
{
    ((struct live_source *)base)->whole = true;
}

struct copying {
    struct live_source *source;
    ca_live_ranges *ranges;
    void *context;
};

/* No tables are larger than twice the memory that the process has, and a gigabyte: what says so is damaged or
 * hostile. */
static bool size_check(const struct live_source *source, const char *status, uint64_t size,
                       struct ca_error **ret_error)
{
    uint64_t there = (status_number(status, "\nVmRSS:") + status_number(status, "\nVmSwap:")) * 1024;
    uint64_t most = 2 * there + (UINT64_C(1) << 30);
    return size <= most || there == 0 ||
           ca_fail(ret_error, CA_NOTHING,
                   "process %" PRIu32 ": its tables are damaged: they would have %" PRIu64
                   " bytes, and it has %" PRIu64 " bytes of memory",
                   source->pid, size, there);
}

static bool ranges_ask(const struct copying *copying, struct ca_ranges *ranges, struct ca_error **ret_error)
{
    struct live_source *source = copying->source;
    if (!copying->ranges(&source->base, copying->context, ranges, ret_error)) {
        return false;
    }
    if (source->whole) {
        if (!maps_read(source, ret_error)) {
            return false;
        }
        ca_text_add_bytes(&source->maps, "", 1);
        bool added =
            !source->maps.failed && ca_pages_add(source->pid, source->maps.bytes, ranges, &source->blank);
        source->maps.size -= added ? 1 : 0;
        ca_source_forget(&source->base);
        if (!added) {
            return ca_fail_memory(ret_error);
        }
    }
    ca_ranges_join(ranges);
    return true;
}

/* What is copied has to fit into this machine's memory. */
static bool room_check(const struct live_source *source, uint64_t size, struct ca_error **ret_error)
{
    char text[4096];
    int file = source->whole ? open("/proc/meminfo", O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = file >= 0 ? read(file, text, sizeof(text) - 1) : 0;
    if (file >= 0) {
        close(file);
    }
    text[got > 0 ? got : 0] = '\0';
    uint64_t room = status_number(text, "\nMemAvailable:") * 1024;
    return room == 0 || size < room / 8 * 7 ||
           ca_fail(ret_error, CA_NOTHING,
                   "process %" PRIu32 ": a copy of its memory, %" PRIu64 " MiB, is needed, and %" PRIu64
                   " MiB are free; write a core instead: gcore %" PRIu32,
                   source->pid, size >> 20, room >> 20, source->pid);
}

static bool copy_now(void *context, struct ca_error **ret_error)
{
    const struct copying *copying = context;
    struct live_source *source = copying->source;
    struct ca_ranges ranges = {0};
    ca_ranges_deinit(&source->blank); /* of the question before the process stood */
    bool done = ranges_ask(copying, &ranges, ret_error) &&
                ca_copied_copy(&source->image, source->pid, source->memory, &ranges, ret_error);
    ca_ranges_deinit(&ranges);
    return done;
}

/* The threads' place in the description is taken by those that stood. */
static void threads_set(struct live_source *source, const struct ca_stopped_threads *threads)
{
    source->threads = *threads;
    for (size_t i = 0; i < threads->count && source->base.described; i++) {
        const struct ca_stopped_thread *thread = &threads->items[i];
        ca_source_add_thread(&source->base, thread->tid, thread->registers, thread->register_count);
    }
}

bool ca_live_copy(struct ca_source *base, ca_live_ranges *ranges, void *context, struct ca_error **ret_error)
{
    struct live_source *source = (struct live_source *)base;
    struct copying copying = {source, ranges, context};
    struct ca_ranges expected = {0};
    char status[4096];
    status_read(source->pid, status, sizeof(status));
    source->image.count = 0;
    bool done = ranges_ask(&copying, &expected, ret_error) &&
                size_check(source, status, ca_ranges_size(&expected), ret_error) &&
                room_check(source, ca_ranges_size(&expected), ret_error) &&
                ca_copied_reserve(&source->image, ca_ranges_size(&expected), ret_error);
    ca_ranges_deinit(&expected);
    if (!done || source->dying || status_number(status, "\nCoreDumping:")) {
        return done && copy_now(&copying, ret_error);
    }
    struct ca_stopped_threads threads = {0};
    if (!ca_stop_and(source->pid, copy_now, &copying, &threads, ret_error)) {
        return false;
    }
    threads_set(source, &threads);
    return true;
}
