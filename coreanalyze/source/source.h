/* source.h: where bytes of the target come from: a core file (core.c), a process (live/live.c) or a caller's
 * callbacks (callback.c). */
#ifndef CA_SOURCE_SOURCE_H
#define CA_SOURCE_SOURCE_H

#include "../util/error.h"

/* A range of the target's address space. */
struct ca_mapping {
    uint64_t start;
    uint64_t end;        /* first address after it */
    uint64_t offset;     /* of the file, bytes */
    uint64_t present;    /* bytes from start that can be read from the source; less than end - start in a
                            truncated core */
    uint32_t protection; /* 1 read, 2 write, 4 execute */
    bool named;          /* path is known (NT_FILE or the caller said so) */
    const char *path;    /* "" = anonymous or unknown; borrowed until the source changes */
};

struct ca_thread {
    uint32_t tid;
    size_t register_count;
    const uint64_t *registers; /* order of struct user_regs_struct */
};

struct ca_process {
    uint32_t pid;           /* 0 = unknown */
    uint32_t machine;       /* ELF e_machine */
    int32_t signal;         /* 0 = none */
    uint32_t signal_thread; /* tid of the thread that got it; 0 = unknown */
    const char *program;    /* path if known, else the short name; "" = unknown */
    const char *arguments;  /* "" = unknown */
    const uint8_t *auxv;
    size_t auxv_size;
    const uint8_t *siginfo; /* siginfo_t of the signal, or NULL */
    size_t siginfo_size;
};

struct ca_source;

struct ca_source_operations {
    /* Bytes read from the start of the range; 0 = none; CA_READ_INTERRUPTED. */
    size_t (*read)(struct ca_source *source, uint64_t address, void *buffer, size_t size);
    /* The longest readable run at `address` of at most `size` bytes, without copying, or NULL if the source
     * has no such thing (then use read). Borrowed until the source changes. */
    const void *(*view)(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size);
    /* Fills in mappings, threads and process; false = interrupted, asked again at the next need. NULL: they
     * are there from the start. */
    bool (*describe)(struct ca_source *source);
    /* Fills in the threads alone, which describe then leaves out. NULL: describe does it. */
    bool (*describe_threads)(struct ca_source *source);
    /* Drops what was cached of the memory. NULL: it never changes. */
    void (*invalidate)(struct ca_source *source);
    void (*destroy)(struct ca_source *source);
};

struct ca_input; /* stream/input.h */

/* Opens a core file, compressed or not, a pipe, or "-", standard input. Errors name the path and say what is
 * wrong: missing, no permission, no ELF file, an ELF file but no core, an architecture that is not supported,
 * truncated headers, no room to keep a stream. */
struct ca_source *ca_source_open_core(const char *path, struct ca_error **ret_error);
/* The same of an input that is open; the caller closes it. */
struct ca_source *ca_source_open_input(struct ca_input *input, struct ca_error **ret_error);
struct ca_source *ca_source_create_callback(const struct ca_callbacks *callbacks, struct ca_target *target,
                                            struct ca_error **ret_error);
void ca_source_invalidate(struct ca_source *source);
void ca_source_destroy(struct ca_source *source);

/* All of [address, address + size), or false with an error that names address, size and how much there was.
 */
bool ca_source_read(struct ca_source *source, uint64_t address, void *buffer, size_t size,
                    struct ca_error **ret_error);
/* As much as there is; false only when interrupted. */
bool ca_source_read_some(struct ca_source *source, uint64_t address, void *buffer, size_t size,
                         size_t *ret_size, struct ca_error **ret_error);
/* The whole range without copying where the source can, else copied into *ret_owned (caller frees with
 * free(); NULL when borrowed). */
const void *ca_source_map(struct ca_source *source, uint64_t address, size_t size, void **ret_owned,
                          struct ca_error **ret_error);
/* The same for as much from the start of the range as there is: *ret_size of at most `size` bytes, and then
 * never NULL unless with an error (interrupted, out of memory). Memory is taken as bytes arrive, so that a
 * hostile `size` costs nothing. */
const void *ca_source_map_some(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size,
                               void **ret_owned, struct ca_error **ret_error);

/* What there is of the range from its start on without copying: of a source in memory. NULL = none. Borrowed
 * until the source changes. */
const void *ca_source_view(struct ca_source *source, uint64_t address, size_t size, size_t *ret_size);

/* Sorted by start, not overlapping. Borrowed until the source changes. These three cannot fail: where the
 * caller's description was interrupted, they give nothing and the next function with a ret_error reports it.
 */
const struct ca_mapping *ca_source_mappings(struct ca_source *source, size_t *ret_count);
/* The crashed thread first when known, then in the source's order. */
const struct ca_thread *ca_source_threads(struct ca_source *source, size_t *ret_count);
const struct ca_process *ca_source_process(struct ca_source *source);

/* Value of the first entry of this type (AT_*) in the auxiliary vector; false = not there. */
bool ca_source_auxv(const struct ca_source *source, uint64_t type, uint64_t *ret_value);

/* True when the file ends before the bytes that its headers promise; expected and found in bytes. */
bool ca_source_truncated(struct ca_source *source, uint64_t *ret_expected, uint64_t *ret_found);
/* What to call the target in messages: the core's path, or "process 4711". */
const char *ca_source_name(struct ca_source *source);
/* Address of tm_table as the caller's symbol tables gave it; 0 = not known. */
uint64_t ca_source_table_hint(struct ca_source *source);
/* True when reading costs no more than memory does (a core file), false when every read is a call to
 * somebody. */
bool ca_source_in_memory(const struct ca_source *source);
/* The mapping that holds `address`, or NULL. */
const struct ca_mapping *ca_source_mapping_at(struct ca_source *source, uint64_t address);
/* False with the error "interrupted" when describing the target was interrupted. */
bool ca_source_described(struct ca_source *source, struct ca_error **ret_error);
/* The same of what was described so far, without asking for more: for those who have used functions that
 * cannot fail and read nothing after them. */
bool ca_source_settled(struct ca_source *source, struct ca_error **ret_error);

#endif
