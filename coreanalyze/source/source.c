/* source.c: what all sources share: reads, and the description of the target. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

/* -------------------------------------------------------------------------------------------- life */

static void process_clear(struct ca_process *process)
{
    free((char *)process->program);
    free((char *)process->arguments);
    free((uint8_t *)process->auxv);
    free((uint8_t *)process->siginfo);
    memset(process, 0, sizeof(*process));
}

static void threads_forget(struct ca_source *source)
{
    for (size_t i = 0; i < source->thread_count; i++) {
        free((uint64_t *)source->threads[i].registers);
    }
    source->thread_count = 0;
    source->threads_described = false;
}

void ca_source_forget(struct ca_source *source)
{
    for (size_t i = 0; i < source->mapping_count; i++) {
        free((char *)source->mappings[i].path);
    }
    threads_forget(source);
    source->mapping_count = 0;
    source->mappings_sorted = true;
    source->table_hint = 0;
    source->described = false;
    source->interrupted = false;
    source->failed = false;
    process_clear(&source->process);
}

bool ca_source_init(struct ca_source *source, const struct ca_source_operations *operations, const char *name,
                    struct ca_error **ret_error)
{
    memset(source, 0, sizeof(*source));
    source->operations = operations;
    source->mappings_sorted = true;
    source->name = strdup(name);
    return source->name ? true : ca_fail_memory(ret_error);
}

void ca_source_deinit(struct ca_source *source)
{
    ca_source_forget(source);
    free(source->mappings);
    free(source->threads);
    free(source->name);
}

void ca_source_destroy(struct ca_source *source)
{
    if (source) {
        source->operations->destroy(source);
    }
}

void ca_source_invalidate(struct ca_source *source)
{
    if (source->operations->invalidate) {
        source->operations->invalidate(source);
    }
}

/* -------------------------------------------------------------------------------------- describing */

void ca_source_add_mapping(struct ca_source *source, const struct ca_mapping *mapping)
{
    if (mapping->end <= mapping->start) {
        return;
    }
    char *path = strdup(mapping->path ? mapping->path : "");
    if (!path || !CA_GROW(source->mappings, source->mapping_capacity, source->mapping_count + 1)) {
        free(path);
        source->failed = true;
        return;
    }
    struct ca_mapping *added = &source->mappings[source->mapping_count++];
    *added = *mapping;
    added->path = path;
    source->mappings_sorted = false;
}

void ca_source_add_thread(struct ca_source *source, uint32_t tid, const uint64_t *registers, size_t count)
{
    uint64_t *copy = malloc((count ? count : 1) * sizeof(*copy));
    if (!copy || !CA_GROW(source->threads, source->thread_capacity, source->thread_count + 1)) {
        free(copy);
        source->failed = true;
        return;
    }
    if (count) {
        memcpy(copy, registers, count * sizeof(*copy));
    }
    source->threads[source->thread_count++] = (struct ca_thread){
        .tid = tid,
        .register_count = count,
        .registers = copy,
    };
}

static void replace_bytes(struct ca_source *source, const uint8_t **bytes, size_t *size,
                          const void *new_bytes, size_t new_size)
{
    uint8_t *copy = malloc(new_size ? new_size : 1);
    if (!copy) {
        source->failed = true;
        return;
    }
    if (new_size) {
        memcpy(copy, new_bytes, new_size);
    }
    free((uint8_t *)*bytes);
    *bytes = copy;
    *size = new_size;
}

static void replace_string(struct ca_source *source, const char **string, const char *new_string)
{
    char *copy = strdup(new_string ? new_string : "");
    if (!copy) {
        source->failed = true;
        return;
    }
    free((char *)*string);
    *string = copy;
}

void ca_source_set_process(struct ca_source *source, uint32_t pid, uint32_t machine, int32_t signal,
                           uint32_t signal_thread, const char *program, const char *arguments)
{
    struct ca_process *process = &source->process;
    process->pid = pid;
    process->machine = machine;
    process->signal = signal;
    process->signal_thread = signal_thread;
    replace_string(source, &process->program, program);
    replace_string(source, &process->arguments, arguments);
}

void ca_source_set_auxv(struct ca_source *source, const void *bytes, size_t size)
{
    replace_bytes(source, &source->process.auxv, &source->process.auxv_size, bytes, size);
}

void ca_source_set_siginfo(struct ca_source *source, const void *bytes, size_t size)
{
    replace_bytes(source, &source->process.siginfo, &source->process.siginfo_size, bytes, size);
}

bool ca_source_auxv(const struct ca_source *source, uint64_t type, uint64_t *ret_value)
{
    const struct ca_process *process = &source->process;
    for (size_t at = 0; at + 16 <= process->auxv_size; at += 16) {
        uint64_t entry[2];
        memcpy(entry, process->auxv + at, sizeof(entry));
        if (entry[0] == type) {
            *ret_value = entry[1];
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------- description */

static int compare_mappings(const void *a, const void *b)
{
    const struct ca_mapping *left = a, *right = b;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    return (left->end > right->end) - (left->end < right->end);
}

/* Sorts and takes from a mapping what an earlier one covers already. */
static void mappings_sort(struct ca_source *source)
{
    if (source->mappings_sorted) {
        return;
    }
    qsort(source->mappings, source->mapping_count, sizeof(*source->mappings), compare_mappings);
    size_t kept = 0;
    for (size_t i = 0; i < source->mapping_count; i++) {
        struct ca_mapping mapping = source->mappings[i];
        uint64_t covered = kept ? source->mappings[kept - 1].end : 0;
        if (mapping.end <= covered) {
            free((char *)mapping.path);
            continue;
        }
        if (mapping.start < covered) {
            uint64_t cut = covered - mapping.start;
            mapping.start += cut;
            mapping.offset += cut;
            mapping.present = mapping.present > cut ? mapping.present - cut : 0;
        }
        source->mappings[kept++] = mapping;
    }
    source->mapping_count = kept;
    source->mappings_sorted = true;
}

static void describe(struct ca_source *source)
{
    if (!source->described) {
        if (source->operations->describe && !source->operations->describe(source)) {
            ca_source_forget(source);
            source->interrupted = true;
            return;
        }
        source->described = true;
    }
    mappings_sort(source);
}

/* Where the threads are described apart: they are what takes longest, and few need them. */
static void describe_threads(struct ca_source *source)
{
    if (!source->operations->describe_threads) {
        describe(source);
        return;
    }
    if (!source->threads_described) {
        if (!source->operations->describe_threads(source)) {
            threads_forget(source);
            source->interrupted = true;
            return;
        }
        source->threads_described = true;
    }
}

bool ca_source_described(struct ca_source *source, struct ca_error **ret_error)
{
    source->interrupted = false;
    describe(source);
    if (!source->interrupted) {
        describe_threads(source);
    }
    return ca_source_settled(source, ret_error);
}

bool ca_source_settled(struct ca_source *source, struct ca_error **ret_error)
{
    if (source->interrupted) {
        source->interrupted = false;
        return ca_fail(ret_error, CA_NOTHING, "interrupted");
    }
    return source->failed ? ca_fail_memory(ret_error) : true;
}

const struct ca_mapping *ca_source_mappings(struct ca_source *source, size_t *ret_count)
{
    describe(source);
    *ret_count = source->mapping_count;
    return source->mappings;
}

const struct ca_mapping *ca_source_mapping_at(struct ca_source *source, uint64_t address)
{
    describe(source);
    size_t low = 0, high = source->mapping_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (source->mappings[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct ca_mapping *mapping = &source->mappings[low];
    return low < source->mapping_count && mapping->start <= address ? mapping : NULL;
}

const struct ca_thread *ca_source_threads(struct ca_source *source, size_t *ret_count)
{
    describe_threads(source);
    *ret_count = source->thread_count;
    return source->threads;
}

const struct ca_process *ca_source_process(struct ca_source *source)
{
    describe(source);
    if (!source->process.program) {
        ca_source_set_process(source, 0, 0, 0, 0, "", "");
    }
    if (!source->process.auxv) {
        ca_source_set_auxv(source, "", 0);
    }
    return &source->process;
}

bool ca_source_truncated(struct ca_source *source, uint64_t *ret_expected, uint64_t *ret_found)
{
    if (source->truncated) {
        *ret_expected = source->expected_size;
        *ret_found = source->found_size;
    }
    return source->truncated;
}

const char *ca_source_name(struct ca_source *source)
{
    describe(source);
    return source->name;
}

bool ca_source_in_memory(const struct ca_source *source)
{
    return source->operations->view != NULL && !source->live;
}

uint64_t ca_source_table_hint(struct ca_source *source)
{
    describe(source);
    return source->table_hint;
}

/* ----------------------------------------------------------------------------------------- reading */

/* One call of the source; false with the error "interrupted". */
static bool read_once(struct ca_source *source, uint64_t address, void *buffer, size_t size, size_t *ret_size,
                      struct ca_error **ret_error)
{
    if (source->interrupted) {
        source->interrupted = false;
        return ca_fail(ret_error, CA_NOTHING, "interrupted");
    }
    size_t got = source->operations->read(source, address, buffer, size);
    if (got == CA_READ_INTERRUPTED) {
        return ca_fail(ret_error, CA_NOTHING, "interrupted");
    }
    *ret_size = got < size ? got : size;
    return true;
}

/* Addresses end at UINT64_MAX: a range never wraps around. */
static size_t clip_size(uint64_t address, size_t size)
{
    uint64_t room = UINT64_MAX - address;
    return size > room ? (size_t)room : size;
}

bool ca_source_read_some(struct ca_source *source, uint64_t address, void *buffer, size_t size,
                         size_t *ret_size, struct ca_error **ret_error)
{
    return read_once(source, address, buffer, clip_size(address, size), ret_size, ret_error);
}

static bool fail_short(struct ca_source *source, uint64_t address, size_t size, size_t got,
                       struct ca_error **ret_error)
{
    return ca_fail(ret_error, CA_NOTHING, "%s: cannot read %zu bytes at 0x%" PRIx64 ": only %zu are there%s",
                   ca_source_name(source), size, address, got,
                   source->truncated ? " (the file is truncated)" : "");
}

bool ca_source_read(struct ca_source *source, uint64_t address, void *buffer, size_t size,
                    struct ca_error **ret_error)
{
    size_t got = 0;
    if (!ca_source_read_some(source, address, buffer, size, &got, ret_error)) {
        return false;
    }
    return got == size ? true : fail_short(source, address, size, got, ret_error);
}

/* Copies what there is, taking memory as bytes arrive. */
#define COPY_STEP ((size_t)1 << 20)

static const void *copy_some(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size,
                             void **ret_owned, struct ca_error **ret_error)
{
    char *bytes = NULL;
    size_t capacity = 0, filled = 0;
    while (filled < size || !bytes) {
        size_t step = size - filled < COPY_STEP ? size - filled : COPY_STEP;
        if (!CA_GROW(bytes, capacity, filled + step + !step)) {
            free(bytes);
            ca_fail_memory(ret_error);
            return NULL;
        }
        size_t got = 0;
        if (!read_once(source, address + filled, bytes + filled, step, &got, ret_error)) {
            free(bytes);
            return NULL;
        }
        filled += got;
        if (got < step) {
            break;
        }
    }
    *ret_size = filled;
    *ret_owned = bytes;
    return bytes;
}

const void *ca_source_map_some(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size,
                               void **ret_owned, struct ca_error **ret_error)
{
    *ret_owned = NULL;
    size = clip_size(address, size);
    if (source->operations->view) {
        size_t got = 0;
        const void *view = source->operations->view(source, address, size, &got);
        uint8_t probe;
        bool more = got < size && source->operations->read(source, address + got, &probe, 1) == 1;
        if (view && !more) {
            *ret_size = got;
            return view;
        }
    }
    return copy_some(source, address, size, ret_size, ret_owned, ret_error);
}

const void *ca_source_view(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size)
{
    *ret_size = 0;
    return source->operations->view
               ? source->operations->view(source, address, clip_size(address, size), ret_size)
               : NULL;
}

const void *ca_source_map(struct ca_source *source, uint64_t address, size_t size, void **ret_owned,
                          struct ca_error **ret_error)
{
    size_t got = 0;
    const void *bytes = ca_source_map_some(source, address, size, &got, ret_owned, ret_error);
    if (bytes && got < size) {
        free(*ret_owned);
        *ret_owned = NULL;
        fail_short(source, address, size, got, ret_error);
        return NULL;
    }
    return bytes;
}
