/* coreanalyze.h: the API of libcoreanalyze, the engine that reads the memory layout of the tm tracer.
 *
 * Two thin front ends use it: the command coreanalyze (main.c) and the GDB commands (gdb/tm, through ctypes). The library
 * never prints, exits, or runs code in the target; it exports the names in this header and no others.
 *
 * Threads: an object is used by one thread at a time; callbacks are made on the thread that called in, during the call.
 * Strings are UTF-8 where the target's were, borrowed until the object they came from is destroyed unless said otherwise.
 */
#ifndef COREANALYZE_H
#define COREANALYZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CA_API __attribute__((visibility("default")))

/* Exit codes of every command. */
enum ca_status {
    CA_COMPLETE = 0, /* complete answer */
    CA_PARTIAL = 1,  /* partial answer: a truncated core, an unreadable table, a printed frame's file not found */
    CA_NOTHING = 2,  /* nothing could be read */
    CA_OVER = 3,     /* --fail-over exceeded */
    CA_USAGE = 64,   /* wrong option or operand */
};

/* ------------------------------------------------------------------------------------------------------ errors */

struct ca_error;
CA_API const char *ca_error_message(const struct ca_error *error); /* one sentence; borrowed until ca_error_destroy */
CA_API enum ca_status ca_error_status(const struct ca_error *error);
CA_API void ca_error_destroy(struct ca_error *error); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------------ targets */

/* A process or a core file that can be read. */
struct ca_target;

/* Where symbols are looked for. All pointers may be NULL; copied. */
struct ca_symbol_options {
    const char *sysroot;           /* put before every path that the target named */
    const char *debug_directory;   /* colon-separated directories of separate debug files; NULL: /usr/lib/debug */
    const char *const *source_map; /* source_map_count pairs OLD=NEW: prefixes of source file names */
    size_t source_map_count;
};

/* Opens the core file `path`. The file stays open and must not change. On error returns NULL and sets *ret_error (caller
 * frees with ca_error_destroy). */
CA_API struct ca_target *ca_target_open_core(const char *path, const struct ca_symbol_options *options,
                                             struct ca_error **ret_error);

/* A target whose memory somebody else reads: GDB, whatever it is connected to.
 *
 * read_memory copies up to `size` bytes at `address` to `buffer` and returns how many bytes from the start of the range it
 * could read (0 = none); the engine asks for chunks of at most 1 MiB. Returning CA_READ_INTERRUPTED ends the command with the
 * error "interrupted". The describe_* callbacks answer by calling ca_target_add_* and return 0, or CA_READ_INTERRUPTED;
 * they are called once per target state, when the engine first needs them. Any but read_memory may be NULL. */
#define CA_READ_INTERRUPTED SIZE_MAX

struct ca_callbacks {
    void *context; /* handed to every callback */
    size_t (*read_memory)(void *context, uint64_t address, void *buffer, size_t size);
    size_t (*describe_process)(void *context, struct ca_target *target);  /* ca_target_set_process, _auxv, _siginfo */
    size_t (*describe_mappings)(void *context, struct ca_target *target); /* ca_target_add_mapping */
    size_t (*describe_threads)(void *context, struct ca_target *target);  /* ca_target_add_thread */
    size_t (*describe_modules)(void *context, struct ca_target *target);  /* ca_target_set_table: address of tm_table */
};

CA_API struct ca_target *ca_target_create(const struct ca_callbacks *callbacks, const struct ca_symbol_options *options,
                                          struct ca_error **ret_error);

/* pid 0 = unknown; machine = ELF e_machine; signal 0 = none; program and arguments may be NULL; copied.
 * program is the path or, failing that, the short name; arguments the command line in one string. */
CA_API void ca_target_set_process(struct ca_target *target, uint32_t pid, uint32_t machine, int32_t signal,
                                  uint32_t signal_thread, const char *program, const char *arguments);
CA_API void ca_target_set_auxv(struct ca_target *target, const void *bytes, size_t size);    /* copied */
CA_API void ca_target_set_siginfo(struct ca_target *target, const void *bytes, size_t size); /* siginfo_t; copied */
/* protection: 1 read, 2 write, 4 execute, or'ed. path "" = anonymous; copied. offset: of the file, bytes. */
CA_API void ca_target_add_mapping(struct ca_target *target, uint64_t start, uint64_t end, uint64_t offset,
                                  uint32_t protection, const char *path);
/* registers in the order of struct user_regs_struct of the machine (the order of NT_PRSTATUS); copied. */
CA_API void ca_target_add_thread(struct ca_target *target, uint32_t tid, const uint64_t *registers, size_t count);
CA_API void ca_target_set_table(struct ca_target *target, uint64_t address); /* of the symbol tm_table, 0 = not known */

/* Forgets everything that was read or described, because the target has run; what was learnt about its object files is kept. */
CA_API void ca_target_invalidate(struct ca_target *target);
CA_API void ca_target_destroy(struct ca_target *target); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------------ commands */

/* Where a command's text goes. stream: 1 = the answer, 2 = messages. */
struct ca_output {
    void *context;
    void (*write)(void *context, int stream, const char *bytes, size_t size);
    int color;   /* the destination shows colours: what `--color auto` means */
    int columns; /* its width, 0 = unknown */
};

/* Runs one command line, argv[0] the command's name (top, diff, info, traces, report, ...), the rest options and operands as
 * in `coreanalyze COMMAND ...`. With a target, the command's SOURCE operand is left out and the target is read; with NULL
 * the first operand is opened. Errors are written to stream 2 as one line each, beginning "coreanalyze: ". Returns the
 * exit code. */
CA_API enum ca_status ca_command_run(struct ca_target *target, int argc, const char *const *argv,
                                     const struct ca_output *output);

/* Version of the project, "MAJOR.MINOR.PATCH". */
CA_API const char *ca_version(void);

#ifdef __cplusplus
}
#endif

#endif
