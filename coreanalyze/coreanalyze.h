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

#include <stdbool.h>
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

/* Opens the core file `path`, which may be compressed (zstd, lz4, xz, gzip, bzip2), a pipe, or "-", standard input: such a
 * core is kept in a file without a name in TMPDIR. A plain file stays open and must not change. On error returns NULL and sets *ret_error (caller
 * frees with ca_error_destroy). */
CA_API struct ca_target *ca_target_open_core(const char *path, const struct ca_symbol_options *options,
                                             struct ca_error **ret_error);

/* Opens a core file or a snapshot file, whichever `path` is. */
CA_API struct ca_target *ca_target_open(const char *path, const struct ca_symbol_options *options,
                                        struct ca_error **ret_error);

/* Opens a process of this machine. Its tables are copied when they are first asked for: it stands still for that (some ten
 * milliseconds for ten million blocks) and runs on, also if the caller dies. ca_target_invalidate forgets the copy: what is
 * asked next is answered of a later moment. */
CA_API struct ca_target *ca_target_open_process(uint32_t pid, const struct ca_symbol_options *options,
                                                struct ca_error **ret_error);

/* A target whose memory somebody else reads: GDB, whatever it is connected to.
 *
 * read_memory copies up to `size` bytes at `address` to `buffer` and returns how many bytes from the start of the range it
 * could read (0 = none); the engine asks for chunks of at most 1 MiB. Returning CA_READ_INTERRUPTED ends the command with the
 * error "interrupted". The describe_* callbacks answer by calling ca_target_add_* and return 0, or CA_READ_INTERRUPTED;
 * each is called at most once per target state, when the engine first needs what it says: a snapshot of tables that lie at
 * their preferred address needs none of them. Any but read_memory may be NULL. */
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

/* ------------------------------------------------------------------------------------------------------
 * keeping */

/* What `target` holds now as a target of its own, which lives on when the process runs or ends: a snapshot
 * file in memory, with all names, so that it takes time by the number of blocks and code positions. `name` is
 * what messages call it; copied. Caller frees with ca_target_destroy. */
CA_API struct ca_target *ca_target_keep(struct ca_target *target, const char *name,
                                        struct ca_error **ret_error);

/* What each stack of `target` holds now, without blocks and names: it costs by the number of stacks, so that
 * a debugger can keep it at each stop. Where that cannot be had without reading many blocks it fails with
 * CA_NOTHING. Independent of the target. Caller frees with ca_moment_destroy. */
struct ca_moment;
CA_API struct ca_moment *ca_moment_keep(struct ca_target *target, struct ca_error **ret_error);
CA_API void ca_moment_destroy(struct ca_moment *moment); /* NULL is allowed */
/* The moment as a target to be compared with: sums per stack, with the names that they have in `target` as it
 * is now, which must be the same process (else CA_NOTHING). Both are borrowed: caller frees it with
 * ca_target_destroy before target changes. */
CA_API struct ca_target *ca_moment_open(const struct ca_moment *moment, struct ca_target *target,
                                        struct ca_error **ret_error);

/* The innermost live block that `address` lies in, of any domain. */
struct ca_around {
    uint64_t base;
    uint64_t size; /* as requested */
    uint32_t domain;
};
/* ret_found false: no live block is known there. */
CA_API bool ca_target_find_around(struct ca_target *target, uint64_t address, struct ca_around *ret_around,
                                  bool *ret_found, struct ca_error **ret_error);

/* ------------------------------------------------------------------------------------------------------ commands */

/* What colours tell apart in text. */
enum ca_style {
    CA_STYLE_PLAIN,
    CA_STYLE_TITLE,    /* headings */
    CA_STYLE_FILE,     /* files and lines */
    CA_STYLE_FUNCTION, /* functions, types and variables */
    CA_STYLE_ADDRESS,
    CA_STYLE_SIZE,
    CA_STYLE_GROWTH, /* differences: more */
    CA_STYLE_SHRINK, /* less */
    CA_STYLE_NOTE,   /* source lines, and coverage where it is complete */
    CA_STYLE_ALARM,  /* coverage where it is not */
    CA_STYLES
};

/* How far a command has come. */
struct ca_progress {
    const char *phase;   /* what is being done, e.g. "decompressing"; lives as long as the library */
    const char *subject; /* the file that it is done with; borrowed during the call, from the target: not safe for a terminal */
    uint64_t done;
    uint64_t total; /* of which `done` are done; 0 = not known */
    bool bytes;     /* both are bytes, else a number of things */
};

/* It in words, without newline, safe for a terminal and no wider than `columns` (0 = no limit): "decompressing
 * core.zst: 1204 MiB of 2.8 GiB (42%)". `buffer` gets a string, cut off at its size. */
CA_API void ca_progress_text(const struct ca_progress *progress, int columns, char *buffer, size_t size);

/* Where a command's text goes. stream: 1 = the answer, 2 = messages. */
struct ca_output {
    void *context;
    void (*write)(void *context, int stream, const char *bytes, size_t size);
    int color;   /* the destination shows colours: what `--color auto` means */
    int columns; /* its width, to which text is fitted by shortening names; 0 = unknown, or it has none */
    /* By enum ca_style, CA_STYLES of them: what stands between "\033[" and "m", "" = nothing. NULL: the engine's own. */
    const char *const *styles;
    /* Called now and then while a command works, on the thread that runs it, up to some ten thousand times a second. May be NULL. */
    void (*progress)(void *context, const struct ca_progress *progress);
};

/* Runs one command line, argv[0] the command's name (top, diff, info, traces, report, help), the rest options and operands as
 * in `coreanalyze COMMAND ...`; or argv[0] is "coreanalyze" and argv is that whole command line. With a target, the command's SOURCE operand is left out and the target is read; with NULL
 * the first operand is opened. Errors are written to stream 2 as one line each, beginning "coreanalyze: ". Returns the
 * exit code. */
CA_API enum ca_status ca_command_run(struct ca_target *target, int argc, const char *const *argv,
                                     const struct ca_output *output);

/* The same with any number of targets, which stand for as many SOURCE operands: the last ones. */
CA_API enum ca_status ca_command_run_on(struct ca_target *const *targets, size_t target_count, int argc,
                                        const char *const *argv, const struct ca_output *output);

/* Version of the project, "MAJOR.MINOR.PATCH". */
CA_API const char *ca_version(void);

/* ------------------------------------------------------------------------------------------------------ state */

/* What the tracer in a target says of itself. */
struct ca_state {
    bool tracing;
    uint32_t traceback_limit;
    uint64_t current; /* bytes in live blocks */
    uint64_t peak;
    uint64_t tracer_bytes; /* the tracer's own memory */
    uint64_t request;      /* address of the request word of the layout (enum tm_request), its argument is the next word */
    bool attached;         /* the tracer came into the running process, and its calls lead there only while tracing */
};

/* False with an error where no tracer is found. */
CA_API bool ca_target_state(struct ca_target *target, struct ca_state *ret_state, struct ca_error **ret_error);

struct ca_snapshot;

/* What the target holds now: every live block with all frames, allocator frames left out. A copy, independent of the target.
 * Caller frees with ca_snapshot_destroy. */
CA_API struct ca_snapshot *ca_target_take_snapshot(struct ca_target *target, struct ca_error **ret_error);
/* The same with the one block of domain 0 that begins at `address`, or with none. */
CA_API struct ca_snapshot *ca_target_find_trace(struct ca_target *target, uint64_t address, struct ca_error **ret_error);

/* ------------------------------------------------------------------------------------------------- tracemalloc's API
 *
 * What a Python package needs to be tracemalloc for native snapshots (plain structures and pointers, for ctypes): the engine
 * filters, groups, sorts, compares, matches and formats; Python keeps the objects. In tracemalloc's terms:
 *
 *   Snapshot(traces, limit)          ca_snapshot_create_from, the traces as arrays
 *   .traces                          ca_snapshot_export: a view of the engine's arrays, objects are made when looked at
 *   .filter_traces(filters)          ca_snapshot_filter
 *   .statistics(key, cumulative)     ca_snapshot_statistics, then ca_statistics_export
 *   .compare_to(old, key, ...)       ca_snapshot_compare, then ca_statistics_export
 *   _format_size, str(), repr()      ca_format_size, ca_frame_text, ca_traceback_text, ca_trace_text, ca_statistic_text
 *   Traceback.format()               ca_traceback_lines
 *   Filter's fnmatch                 ca_pattern_matches
 *
 * Names are bytes: str.encode('utf-8', 'surrogateescape') gives them and the same error handler takes them back. Limits that
 * Python's own module does not have: a size is below 2^64, a line number and a domain of a trace below 2^32 (pass what a
 * filter compares them with as it is, or UINT64_MAX if it is negative or larger: no trace has it), total_nframe below
 * UINT32_MAX. Sums have 128 bits. A message of status CA_USAGE is what the ValueError says, but for an empty
 * traceback where a frame is needed: "tuple index out of range" is an IndexError.
 *
 * bool is C's _Bool (ctypes.c_bool). Functions that return bool write *ret_error, if they have it, only when they return
 * false; without it, false is out of memory. */

struct ca_snapshot;
struct ca_statistics;

#define CA_TOTAL_UNKNOWN UINT32_MAX /* total_nframe is None */

/* A source position; identity is all four members, tracemalloc's Frame the first two. filename, function and module are
 * string ids (index in ca_arrays.strings). 0 as function or module = unknown. */
struct ca_frame {
    uint32_t filename;
    uint32_t lineno;
    uint32_t function;
    uint32_t module;
};

/* One live block (as CPython's Trace). */
struct ca_trace {
    uint64_t size;
    uint64_t address; /* 0 = not known */
    uint64_t time;    /* ns since the epoch; 0 = not known */
    uint64_t order;
    uint32_t domain;
    uint32_t traceback; /* traceback id: index in ca_arrays.tracebacks */
    uint32_t thread;    /* 0 = not known */
};

struct ca_string_span {
    uint64_t offset; /* in string_bytes */
    uint32_t size;   /* bytes; any value but NUL may be among them, NUL too in strings made by hand */
    uint32_t hash;   /* the engine's; ignored in what is handed in */
};

/* A traceback is traceback_frames[first .. first + count): frame ids, most recent first (as in raw trace tuples). */
struct ca_traceback_span {
    uint64_t first;
    uint32_t count;
    uint32_t total_nframe; /* CA_TOTAL_UNKNOWN = None */
    uint32_t complete;     /* the engine's; ignored in what is handed in */
    uint32_t reserved;
};

/* The contents of a snapshot. */
struct ca_arrays {
    const char *string_bytes;
    const struct ca_string_span *strings; /* index = string id; string 0 is the empty string */
    size_t string_count;
    const struct ca_frame *frames; /* index = frame id */
    size_t frame_count;
    const uint32_t *traceback_frames;
    size_t traceback_frame_count;
    const struct ca_traceback_span *tracebacks; /* index = traceback id */
    size_t traceback_count;
    const struct ca_trace *traces;
    size_t trace_count;
    uint32_t limit; /* traceback_limit */
};

/* A snapshot built by hand. Everything is copied; equal strings, frames and tracebacks may be listed more than once. Fails for an
 * index that is out of range. Caller frees with ca_snapshot_destroy. */
CA_API struct ca_snapshot *ca_snapshot_create_from(const struct ca_arrays *arrays, struct ca_error **ret_error);
CA_API void ca_snapshot_destroy(struct ca_snapshot *snapshot); /* NULL is allowed */

/* What the snapshot holds. Borrowed until the next call with this snapshot, except this one and the accessors. With
 * traces: everything, which reads all traces and resolves all tracebacks; without: strings and frames alone, enough to read
 * statistics with (the rest of *ret_arrays is 0). */
CA_API bool ca_snapshot_export(struct ca_snapshot *snapshot, bool traces, struct ca_arrays *ret_arrays,
                               struct ca_error **ret_error);

/* Filter and DomainFilter. */
struct ca_filter {
    bool inclusive;
    bool domain_only;    /* DomainFilter: only `domain` counts */
    bool all_frames;
    bool has_lineno;     /* false: lineno is None */
    bool has_domain;     /* false: domain is None; ignored if domain_only */
    const char *pattern; /* glob over file names, as given: the final c of .pyc is dropped here; borrowed */
    size_t pattern_size;
    uint64_t lineno;
    uint64_t domain;
};

/* filter_traces: a new snapshot of the traces kept, in order, with the same limit. Caller frees with ca_snapshot_destroy. */
CA_API struct ca_snapshot *ca_snapshot_filter(struct ca_snapshot *snapshot, const struct ca_filter *filters,
                                              size_t filter_count, struct ca_error **ret_error);

enum ca_key {
    CA_KEY_LINENO,
    CA_KEY_FILENAME,
    CA_KEY_TRACEBACK,
    CA_KEY_FUNCTION, /* label = the function, or the file name where that is unknown */
    CA_KEY_MODULE,   /* label = the module's path, or <unknown> */
    CA_KEY_DOMAIN,   /* label = "domain N" */
    CA_KEY_THREAD,   /* label = "thread TID" */
    CA_KEY_TYPE,     /* label = the C++ class that a block begins with, or <no type>; needs the memory: for commands alone */
    CA_KEY_SOURCE,   /* label = the source's name, where several were added up: for commands alone */
};

/* cumulative: once per frame occurrence (CPython); with unique, once per trace and group (our named extension). */
enum ca_cumulative { CA_CUMULATIVE_OFF, CA_CUMULATIVE_ON, CA_CUMULATIVE_UNIQUE };

/* What a statistic counts. Snapshots built by hand have live traces only. */
enum ca_value { CA_VALUE_LIVE = 0, CA_VALUE_PEAK = 1, CA_VALUE_TOTAL = 2 };

/* Sorted as tracemalloc sorts. The result refers to the snapshot (compare: to new_snapshot), which must outlive it; computing
 * may add strings and frames to that. Caller frees with ca_statistics_destroy. */
CA_API struct ca_statistics *ca_snapshot_statistics(struct ca_snapshot *snapshot, enum ca_value value, enum ca_key key,
                                                    enum ca_cumulative cumulative, struct ca_error **ret_error);
CA_API struct ca_statistics *ca_snapshot_compare(struct ca_snapshot *new_snapshot, struct ca_snapshot *old_snapshot,
                                                 enum ca_value value, enum ca_key key, enum ca_cumulative cumulative,
                                                 struct ca_error **ret_error);
CA_API void ca_statistics_destroy(struct ca_statistics *statistics); /* NULL is allowed */

/* A 128-bit number. In differences it is two's complement: int.from_bytes(16 bytes, 'little', signed=True). */
struct ca_wide {
    uint64_t low;
    uint64_t high;
};

/* One Statistic or StatisticDiff. */
struct ca_group {
    struct ca_wide size;
    struct ca_wide count;
    struct ca_wide size_diff; /* 0 in statistics */
    struct ca_wide count_diff;
    uint64_t first; /* its traceback is ca_groups.frames[first .. first + frame_count), most recent first */
    uint32_t frame_count;
    uint32_t reserved;
};

struct ca_groups {
    const struct ca_group *items;
    size_t count;
    const uint32_t *frames; /* frame ids of the snapshot: see ca_snapshot_export(snapshot, false, ...) */
    size_t frame_count;
};

/* Borrowed until ca_statistics_destroy. */
CA_API bool ca_statistics_export(struct ca_statistics *statistics, struct ca_groups *ret_groups);

/* Texts of values that Python holds. Names and source lines are written byte for byte, as CPython prints them. */
struct ca_named_frame {
    const char *filename; /* need not be NUL-terminated */
    size_t filename_size;
    uint64_t lineno;
};

/* Line i is bytes[ends[i - 1] .. ends[i]), line 0 begins at 0; bytes and ends are NULL when there is none. Caller frees with
 * ca_lines_deinit. */
struct ca_lines {
    char *bytes;
    size_t size;
    size_t *ends;
    size_t count;
};
CA_API void ca_lines_deinit(struct ca_lines *lines);

/* Snapshot.dump and Snapshot.load. encode gives the bytes of a snapshot file (docs/snapshot-files.md) as one line; load reads
 * one, or a heap profile in this format that another tool wrote, and its errors name the path. Caller frees with
 * ca_lines_deinit and ca_snapshot_destroy. */
CA_API bool ca_snapshot_encode(struct ca_snapshot *snapshot, struct ca_lines *ret_lines, struct ca_error **ret_error);
CA_API struct ca_snapshot *ca_snapshot_load(const char *path, struct ca_error **ret_error);

/* _format_size(size, sign); the buffer has at least CA_SIZE_TEXT bytes. Integers are to be given as float(size). */
#define CA_SIZE_TEXT 352
CA_API void ca_format_size(char *buffer, double size, bool sign);

enum ca_form { CA_FORM_STR, CA_FORM_REPR };

/* One line each, in ret_lines. Frames are most recent first; str() of a traceback takes the oldest, so there is one at least. */
CA_API bool ca_frame_text(const struct ca_named_frame *frame, enum ca_form form, struct ca_lines *ret_lines);
CA_API bool ca_traceback_text(const struct ca_named_frame *frames, size_t count, uint32_t total_nframe, enum ca_form form,
                              struct ca_lines *ret_lines);
CA_API bool ca_trace_text(uint32_t domain, uint64_t size, const struct ca_named_frame *frames, size_t count,
                          uint32_t total_nframe, enum ca_form form, struct ca_lines *ret_lines);
/* group: its numbers count, its frames do not. diff: StatisticDiff. */
CA_API bool ca_statistic_text(const struct ca_group *group, bool diff, const struct ca_named_frame *frames, size_t count,
                              uint32_t total_nframe, enum ca_form form, struct ca_lines *ret_lines);
/* Traceback.format(limit, most_recent_first); has_limit false: limit is None. */
CA_API bool ca_traceback_lines(const struct ca_named_frame *frames, size_t count, bool has_limit, int64_t limit,
                               bool most_recent_first, struct ca_lines *ret_lines);

/* fnmatch.fnmatchcase over code points (invalid bytes count as one code point each, U+DC80 + byte - 0x80). */
CA_API bool ca_pattern_matches(const char *pattern, size_t pattern_size, const char *text, size_t text_size);

/* linecache.getline(filename, lineno).strip(), UTF-8, NUL-terminated: borrowed until ca_linecache_clear; "" = none. */
CA_API const char *ca_linecache_line(const char *filename, uint64_t lineno);
CA_API void ca_linecache_clear(void);

#ifdef __cplusplus
}
#endif

#endif
