/* options.h: the options of the commands. One table drives parsing and --help. */
#ifndef CA_COMMAND_OPTIONS_H
#define CA_COMMAND_OPTIONS_H

#include "../snapshot/statistics.h"
#include "../util/text.h"

/* The commands that take an option, or'ed. */
enum ca_command_bit {
    CA_FOR_REPORT = 0x01,
    CA_FOR_TOP = 0x02,
    CA_FOR_DIFF = 0x04,
    CA_FOR_TRACES = 0x08,
    CA_FOR_INFO = 0x10,
    CA_FOR_SAVE = 0x20,
    CA_FOR_BLOCK = 0x40,
    CA_FOR_BLOCKS = 0x80,
    CA_FOR_LEAKS = 0x100,
    CA_FOR_REFS = 0x200,
};

enum ca_format {
    CA_FORMAT_TEXT,
    CA_FORMAT_JSON,
    CA_FORMAT_CSV,
    CA_FORMAT_FOLDED,
    CA_FORMAT_PPROF,
    CA_FORMAT_SPEEDSCOPE,
    CA_FORMAT_HTML,
};
/* Of single blocks: largest first, lowest address first, oldest first. */
enum ca_sort { CA_SORT_SIZE, CA_SORT_ADDRESS, CA_SORT_AGE };
enum ca_roots { CA_ROOTS_ALL, CA_ROOTS_LSAN };
enum ca_color { CA_COLOR_AUTO, CA_COLOR_ALWAYS, CA_COLOR_NEVER };

/* A number that may not have been given. */
struct ca_number {
    bool given;
    uint64_t value;
};

/* Values of a repeatable option: borrowed from argv. */
struct ca_list {
    const char **items;
    size_t count;
};

/* A parsed command line. Strings are borrowed from argv. */
struct ca_options {
    bool help;
    struct ca_list operands;
    uint32_t *pids; /* processes, in the place of the last SOURCEs */
    size_t pid_count;

    struct ca_number limit; /* -n; 0 = all */
    bool has_by;
    int by;         /* enum ca_key */
    int cumulative; /* enum ca_cumulative */
    int value;      /* enum ca_value */
    int sort;       /* enum ca_sort */

    struct ca_filter *filters; /* all_frames is set in each when the option was given */
    size_t filter_count;
    bool all_frames;
    struct ca_list functions; /* globs */
    struct ca_list modules;
    uint32_t *threads;
    size_t thread_count;
    struct ca_number min_size, max_size; /* bytes */
    struct ca_number older, newer;       /* ns */

    struct ca_list skip; /* globs */
    bool no_skip;
    bool no_source;
    bool short_names;
    struct ca_number nframe;
    int format;                 /* enum ca_format */
    const char *output;         /* NULL = stream 1 */
    int color;                  /* enum ca_color */
    struct ca_number width;     /* columns; 0 = no limit */
    struct ca_number fail_over; /* bytes */

    int roots;                   /* enum ca_roots */
    struct ca_list suppressions; /* files */
    bool chain;

    const char *sysroot;
    const char *debug_directory;
    struct ca_list source_map;
};

/* Parses argv[1..argc). False with an error (CA_USAGE) that needs the command's name before it. Either way
 * the caller frees with ca_options_deinit. --help before a mistake wins. */
bool ca_options_parse(struct ca_options *options, enum ca_command_bit command, int argc,
                      const char *const *argv, struct ca_error **ret_error);
void ca_options_deinit(struct ca_options *options);

/* Adds what `coreanalyze NAME --help` prints: usage, description, the options of this command, the text after
 * them. */
void ca_options_help(struct ca_text *text, enum ca_command_bit command, const char *name,
                     const char *operands, const char *description, const char *epilogue);

/* Adds the same for programs, one line for each option (or heading before some) of a command, its fields
 * separated by tabs; NUMBER is that of the table's entry, so that what several commands have can be told:
 *   option NUMBER NAME -LETTER --NAME ARGUMENT WORDS TEXT    (empty: it has none; WORDS are those it takes)
 *   heading NUMBER NAME TEXT */
void ca_options_list(struct ca_text *text, enum ca_command_bit command, const char *name);

#endif
