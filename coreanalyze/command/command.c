/* command.c: from a command line to an answer and an exit code. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../terminal/progress.h"
#include "../terminal/styles.h"
#include "problems.h"
#include "run.h"

struct command {
    const char *name;
    enum ca_command_bit bit;
    size_t sources;          /* operands it reads; one less when the caller gives the target */
    bool many;               /* or more of them, added up */
    bool writes;             /* one more operand, the last: the file that it writes */
    bool asks;               /* one more operand, the last: the address that it is about */
    const char *operands;    /* as usage lines name them */
    const char *summary;     /* in the list of commands */
    const char *description; /* in its own help */
    bool (*run)(struct ca_run *run, struct ca_error **ret_error);
};

static const struct command commands[] = {
    {"report", CA_FOR_REPORT, 1, false, false, false, "SOURCE",
     "what happened, what the process held, and its top 10",
     "What happened to the process, how much memory it held, and the largest holders.", ca_run_report},
    {"top", CA_FOR_TOP, 1, true, false, false, "SOURCE...", "statistics, largest first",
     "Groups live blocks by where they were allocated and lists the groups, largest first. Several sources "
     "are "
     "added up; --by source tells them apart.",
     ca_run_top},
    {"diff", CA_FOR_DIFF, 2, false, false, false, "OLD NEW", "what changed from one source to another",
     "Compares what two sources hold, group by group, and lists the groups by how much they changed.",
     ca_run_diff},
    {"traces", CA_FOR_TRACES, 1, false, false, false, "SOURCE", "every live block with its traceback",
     "Lists every live block: domain, size, address, traceback.", ca_run_traces},
    {"block", CA_FOR_BLOCK, 1, false, false, true, "CORE ADDRESS", "all about one address",
     "What an address is: the block that it lies in, live or freed, who allocated and who freed it, and its "
     "neighbours; or the stack, variable, code or mapping. ADDRESS is 0x and hexadecimal digits, or decimal.",
     ca_run_block},
    {"blocks", CA_FOR_BLOCKS, 1, false, false, false, "SOURCE", "live blocks one by one",
     "Lists live blocks one by one: address, size, age, thread, line.", ca_run_blocks},
    {"leaks", CA_FOR_LEAKS, 1, false, false, false, "CORE", "blocks that nothing reaches",
     "Looks through the memory for pointers to each live block and lists the blocks that nothing reaches any "
     "more, "
     "grouped by traceback: direct leaks, to which no other block points, then indirect ones, which leaked "
     "blocks "
     "alone point to.",
     ca_run_leaks},
    {"refs", CA_FOR_REFS, 1, false, false, true, "CORE ADDRESS", "who points to the block of an address",
     "Lists the words that point into the block of an address: registers, stacks, thread-local storage, "
     "variables, "
     "mappings and other blocks; with --chain a shortest way by which the program reaches it.",
     ca_run_refs},
    {"info", CA_FOR_INFO, 1, false, false, false, "CORE",
     "state of the tracer: limits, memory, modules, coverage",
     "Describes the tracer's tables: version, state, limits, current and peak memory, the tracer's own "
     "memory, modules, operations in flight, coverage.",
     ca_run_info},
    {"save", CA_FOR_SAVE, 1, true, true, false, "SOURCE... FILE",
     "write a snapshot file, readable without the program",
     "Writes what a process held to FILE (NAME.pb.gz), with all names in it: a profile in pprof's format, "
     "which every command that takes a SOURCE reads, on any machine. Several sources become one file, which "
     "must "
     "not be there yet.",
     ca_run_save},
};

/* Targets that the caller has: they stand for the last operands. */
struct given {
    struct ca_target *const *targets;
    size_t count;
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char exit_codes[] =
    "Exit codes: 0 complete answer; 1 partial answer (truncated core, operation in\n"
    "flight that cannot be told, file of a printed frame's module missing or of\n"
    "another build); 2 nothing could be read; 3 --fail-over exceeded; 64 wrong usage.";

static const struct command *command_find(const char *name)
{
    for (const struct command *command = commands; command < commands + COMMAND_COUNT; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

const char *ca_version(void)
{
    return TM_VERSION;
}

/* ----------------------------------------------------------------------------------------------- messages */

/* Messages hold paths and names from the target and from the user: they are escaped as a whole. */
static void message_write(const struct ca_output *output, const char *message)
{
    struct ca_text text = {0};
    ca_text_add(&text, "coreanalyze: ");
    ca_text_add_name(&text, message);
    ca_text_add(&text, "\n");
    if (text.failed) {
        static const char memory[] = "coreanalyze: out of memory\n";
        output->write(output->context, 2, memory, sizeof memory - 1);
    } else {
        output->write(output->context, 2, text.bytes, text.size);
    }
    ca_text_deinit(&text);
}

void ca_message_print_error(const struct ca_output *output, struct ca_error *error)
{
    message_write(output, ca_error_message(error));
    ca_error_destroy(error);
}

void ca_message_print(const struct ca_output *output, const char *format, ...)
{
    char *message;
    va_list arguments;
    va_start(arguments, format);
    bool formatted = vasprintf(&message, format, arguments) >= 0;
    va_end(arguments);
    message_write(output, formatted ? message : "out of memory");
    if (formatted) {
        free(message);
    }
}

/* --------------------------------------------------------------------------------------------------- help */

static void write_text(const struct ca_output *output, struct ca_text *text)
{
    if (!text->failed && text->size) {
        output->write(output->context, 1, text->bytes, text->size);
    }
    ca_text_deinit(text);
}

static void command_help(const struct command *command, const struct ca_output *output)
{
    struct ca_text text = {0};
    char name[64];
    snprintf(name, sizeof name, "coreanalyze%s%s", command->bit == CA_FOR_REPORT ? "" : " ",
             command->bit == CA_FOR_REPORT ? "" : command->name);
    ca_options_help(&text, command->bit, name, command->operands, command->description, exit_codes);
    write_text(output, &text);
}

static void general_help(const struct ca_output *output)
{
    struct ca_text text = {0};
    ca_text_add(&text, "Usage: coreanalyze [OPTION...] SOURCE\n"
                       "       coreanalyze COMMAND [OPTION...] SOURCE...\n"
                       "Who holds the memory of a program that ran under tm-run. SOURCE is its core\n"
                       "file, compressed or not, - for a core on standard input, --pid PID for a\n"
                       "running process, or a snapshot file that coreanalyze save or tm-save wrote.\n"
                       "\nCommands (report when there is none):\n");
    for (const struct command *command = commands; command < commands + COMMAND_COUNT; command++) {
        ca_text_printf(&text, "  %-14s %s\n", command->name, command->summary);
    }
    ca_text_printf(&text, "  %-14s %s\n", "help [COMMAND]", "this, or all about one command");
    ca_text_add(&text, "\nOptions: coreanalyze COMMAND --help, coreanalyze --version. As handler of core\n"
                       "files: --kernel-pipe, see coreanalyze(1).\n");
    ca_text_printf(&text, "%s\n", exit_codes);
    write_text(output, &text);
}

/* What the man page and the completion of shells are made of, `coreanalyze help --list`: lines as
 * ca_options_list() has them and, for each command, "command NAME OPERANDS DESCRIPTION". */
static void list_help(const struct ca_output *output)
{
    struct ca_text text = {0};
    for (const struct command *command = commands; command < commands + COMMAND_COUNT; command++) {
        ca_text_printf(&text, "command\t%s\t%s\t%s\n", command->name, command->operands,
                       command->description);
        ca_options_list(&text, command->bit, command->name);
    }
    write_text(output, &text);
}

static enum ca_status run_help(int argc, const char *const *argv, const struct ca_output *output)
{
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        list_help(output);
        return CA_COMPLETE;
    }
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    if (argc > 1 && !command) {
        ca_message_print(output, "help: there is no command '%s'; see coreanalyze --help", argv[1]);
        return CA_USAGE;
    }
    if (command) {
        command_help(command, output);
    } else {
        general_help(output);
    }
    return CA_COMPLETE;
}

/* ------------------------------------------------------------------------------------------------ targets */

/* What the command line says about symbols, over what is set already. Borrows from both. */
static struct ca_symbol_options symbols_merge(const struct ca_options *options,
                                              const struct ca_symbol_options *set)
{
    struct ca_symbol_options symbols = *set;
    symbols.sysroot = options->sysroot ? options->sysroot : symbols.sysroot;
    symbols.debug_directory = options->debug_directory ? options->debug_directory : symbols.debug_directory;
    if (options->source_map.count) {
        symbols.source_map = options->source_map.items;
        symbols.source_map_count = options->source_map.count;
    }
    return symbols;
}

static void symbols_deinit(struct ca_symbol_options *symbols)
{
    for (size_t i = 0; i < symbols->source_map_count; i++) {
        free((char *)symbols->source_map[i]);
    }
    free((char **)symbols->source_map);
    free((char *)symbols->debug_directory);
    free((char *)symbols->sysroot);
}

/* Copies; ended by symbols_deinit, also after an error. */
static bool symbols_copy(struct ca_symbol_options *copy, const struct ca_symbol_options *from,
                         struct ca_error **ret_error)
{
    *copy = (struct ca_symbol_options){0};
    char **map = calloc(from->source_map_count + 1, sizeof *map);
    if (!map) {
        return ca_fail_memory(ret_error);
    }
    copy->source_map = (const char *const *)map;
    for (; copy->source_map_count < from->source_map_count; copy->source_map_count++) {
        map[copy->source_map_count] = strdup(from->source_map[copy->source_map_count]);
        if (!map[copy->source_map_count]) {
            return ca_fail_memory(ret_error);
        }
    }
    copy->sysroot = from->sysroot ? strdup(from->sysroot) : NULL;
    copy->debug_directory = from->debug_directory ? strdup(from->debug_directory) : NULL;
    bool copied = !copy->sysroot == !from->sysroot && !copy->debug_directory == !from->debug_directory;
    return copied || ca_fail_memory(ret_error);
}

static bool operands_check(const struct command *command, const struct ca_options *options, size_t wanted,
                           struct ca_error **ret_error)
{
    const char *const *operands = options->operands.items;
    if (options->operands.count < wanted) {
        const char *what = command->writes ? "a core or snapshot file and a file to write"
                           : command->asks ? "a core file and an address"
                           : wanted > 1    ? "two core or snapshot files"
                           : command->bit & (CA_FOR_INFO | CA_FOR_LEAKS) ? "a core file"
                                                                         : "a core or snapshot file";
        /* By the caller: one operand is left. */
        bool given = wanted < command->sources + command->writes + command->asks;
        return ca_fail(ret_error, CA_USAGE, "%s expected: %s",
                       given && command->writes ? "a file to write"
                       : given && command->asks ? "an address"
                                                : what,
                       !given            ? command->operands
                       : command->writes ? "FILE"
                       : command->asks   ? "ADDRESS"
                                         : "OLD");
    }
    if (options->operands.count == wanted) {
        return true;
    }
    if (command->bit == CA_FOR_REPORT) {
        if (command_find(operands[0])) {
            return ca_fail(ret_error, CA_USAGE, "the command comes first: coreanalyze %s [OPTION...]",
                           operands[0]);
        }
        if (!strchr(operands[0], '/') && access(operands[0], F_OK) != 0) {
            return ca_fail(ret_error, CA_USAGE, "there is no command '%s'", operands[0]);
        }
    }
    return ca_fail(ret_error, CA_USAGE, "unexpected operand '%s'", operands[wanted]);
}

/* How many SOURCEs there are: those that the command reads and the caller has not given, and of one that adds
 * them up all that the command line names. */
static bool sources_count(struct ca_run *run, const struct command *command, size_t given,
                          struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    size_t others = command->writes + command->asks;
    size_t named = options->operands.count > others ? options->operands.count - others : 0;
    run->source_count = command->sources - given;
    if (command->many && given == 0 && named + options->pid_count > command->sources) {
        run->source_count = named + options->pid_count;
    }
    return options->pid_count <= run->source_count ||
           ca_fail(ret_error, CA_USAGE, "--pid: %zu processes, where %zu %s read", options->pid_count,
                   run->source_count, run->source_count == 1 ? "source is" : "sources are");
}

/* In GDB the process is the one that GDB has. */
static bool pid_check(const struct ca_options *options, size_t given, struct ca_error **ret_error)
{
    return !options->pid_count || !given ||
           ca_fail(ret_error, CA_USAGE, "--pid: the process is the one that is debugged");
}

/* A misspelt one would look like a machine without files. */
static bool sysroot_check(const struct ca_options *options, struct ca_error **ret_error)
{
    struct stat status;
    if (!options->sysroot || !options->sysroot[0] ||
        (stat(options->sysroot, &status) == 0 && S_ISDIR(status.st_mode))) {
        return true;
    }
    return ca_fail(ret_error, CA_USAGE, "--sysroot: there is no directory %s", options->sysroot);
}

struct ca_target *ca_run_open(const struct ca_run *run, size_t number, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    bool memory = run->needs_memory || options->by == CA_KEY_TYPE;
    struct ca_symbol_options symbols = symbols_merge(options, &(struct ca_symbol_options){0});
    size_t named = run->source_count - options->pid_count;
    struct ca_target *target =
        number < named ? ca_target_open(options->operands.items[number], &symbols, ret_error)
                       : ca_target_open_process(options->pids[number - named], &symbols, ret_error);
    if (target && memory) {
        ca_target_want_memory(target);
    }
    return target;
}

/* As many as the command reads, or the sum of more; by source one is a sum as well. */
static bool targets_open(struct ca_run *run, const struct command *command, struct ca_error **ret_error)
{
    if (command->many && run->source_count > 0 &&
        (run->source_count > command->sources || run->options.by == CA_KEY_SOURCE)) {
        bool blocks = command->writes || run->options.format == CA_FORMAT_PPROF;
        run->targets[0] = ca_run_open_sum(run, blocks, ret_error);
        return run->targets[0] != NULL;
    }
    for (size_t i = 0; i < run->source_count; i++) {
        run->targets[i] = ca_run_open(run, i, ret_error);
        if (!run->targets[i]) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ running */

/* Data is the same everywhere. */
static struct ca_look look_choose(const struct ca_options *options, const struct ca_output *output)
{
    struct ca_look look = {0};
    bool to_file = options->output && strcmp(options->output, "-") != 0;
    if (options->format != CA_FORMAT_TEXT) {
        return look;
    }
    if (options->color == CA_COLOR_ALWAYS || (options->color == CA_COLOR_AUTO && output->color && !to_file)) {
        look.styles = output->styles ? output->styles : ca_styles;
    }
    if (options->width.given) {
        look.columns = options->width.value < SIZE_MAX ? (size_t)options->width.value : 0;
    } else if (output->columns > 0 && !to_file) {
        look.columns = (size_t)output->columns;
    }
    return look;
}

/* Writing the answer over what it comes from would destroy that. */
static bool output_check(const struct ca_run *run, const struct command *command, struct ca_error **ret_error)
{
    struct stat output, source;
    if (!run->options.output || stat(run->options.output, &output) != 0 || !S_ISREG(output.st_mode)) {
        return true;
    }
    const struct ca_list *operands = &run->options.operands;
    for (size_t i = 0; i + command->writes + command->asks < operands->count; i++) {
        if (stat(operands->items[i], &source) == 0 && source.st_dev == output.st_dev &&
            source.st_ino == output.st_ino) {
            return ca_fail(ret_error, CA_USAGE, "%s is what is read; write to another file",
                           run->options.output);
        }
    }
    return true;
}

/* The last of `save *.pb.gz` is a source that was meant, not a file to be replaced. */
static bool new_file_check(const struct ca_run *run, const struct command *command,
                           struct ca_error **ret_error)
{
    struct stat status;
    return !command->writes || run->source_count <= command->sources ||
           stat(run->options.output, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0 ||
           ca_fail(ret_error, CA_USAGE, "%s is there already; several sources are saved to a new file only",
                   run->options.output);
}

static bool run_opened(struct ca_run *run, const struct command *command, struct ca_error **ret_error)
{
    if (!output_check(run, command, ret_error)) {
        return false;
    }
    if (!ca_sink_open(&run->sink, run->output, run->options.output, ret_error)) {
        return false;
    }
    run->sink.text.short_names = run->options.short_names;
    run->sink.text.look = command->writes ? NULL : &run->look;
    if (!command->run(run, ret_error)) {
        ca_sink_abandon(&run->sink);
        return false;
    }
    return ca_sink_commit(&run->sink, ret_error);
}

/* 0x and hexadecimal digits, or decimal ones. */
static bool address_read(const char *operand, uint64_t *ret_address, struct ca_error **ret_error)
{
    bool hexadecimal = operand[0] == '0' && (operand[1] == 'x' || operand[1] == 'X');
    const char *digits = operand + (hexadecimal ? 2 : 0);
    size_t count = strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789");
    errno = 0;
    *ret_address = strtoull(digits, NULL, hexadecimal ? 16 : 10);
    if (count == 0 || digits[count] || errno) {
        return ca_fail(ret_error, CA_USAGE,
                       "'%s' is not an address: 0x and hexadecimal digits, or a decimal number", operand);
    }
    return true;
}

/* Runs the command with the targets from given[0] on as the command line's options for symbols say; those
 * that the caller keeps are then as before. */
static bool run_given(struct ca_run *run, const struct command *command, const struct given *all, size_t next,
                      struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    if (next == all->count ||
        (!options->sysroot && !options->debug_directory && !options->source_map.count)) {
        return run_opened(run, command, ret_error);
    }
    struct ca_target *given = all->targets[next];
    struct ca_symbol_options before;
    bool done = symbols_copy(&before, ca_target_symbols(given), ret_error);
    if (done) {
        struct ca_symbol_options symbols = symbols_merge(options, &before);
        done = ca_target_set_symbols(given, &symbols, ret_error) &&
               run_given(run, command, all, next + 1, ret_error);
        struct ca_error *ignored = NULL;
        if (!ca_target_set_symbols(given, &before, &ignored)) {
            ca_error_destroy(ignored);
        }
    }
    symbols_deinit(&before);
    return done;
}

static bool run_parsed(struct ca_run *run, const struct command *command, const struct given *given,
                       struct ca_error **ret_error)
{
    run->look = look_choose(&run->options, run->output);
    run->needs_memory = command->bit & (CA_FOR_BLOCK | CA_FOR_LEAKS | CA_FOR_REFS);
    if (!new_file_check(run, command, ret_error) || !targets_open(run, command, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < given->count; i++) {
        run->targets[run->source_count + i] = given->targets[i];
    }
    return run_given(run, command, given, 0, ret_error);
}

static enum ca_status status_of(const struct ca_run *run)
{
    return run->over ? CA_OVER : run->partial ? CA_PARTIAL : CA_COMPLETE;
}

/* Usage errors name the command, and its help where the command line alone is wrong. */
static enum ca_status error_report(const struct command *command, const struct ca_output *output,
                                   struct ca_error *error, bool parsed)
{
    enum ca_status status = ca_error_status(error);
    if (status == CA_USAGE) {
        bool report = command->bit == CA_FOR_REPORT;
        const char *name = report ? "" : command->name;
        const char *help = parsed ? "" : report ? "; see coreanalyze --help" : "; see coreanalyze ";
        ca_message_print(output, "%s%s%s%s%s%s", name, report ? "" : ": ", ca_error_message(error), help,
                         parsed || report ? "" : name, parsed || report ? "" : " --help");
    } else {
        message_write(output, ca_error_message(error));
    }
    ca_error_destroy(error);
    return status;
}

static enum ca_status command_run(const struct command *command, const struct given *given, int argc,
                                  const char *const *argv, const struct ca_output *output)
{
    if (given->count > command->sources) {
        ca_message_print(output, "%s: it takes no more than %zu sources", command->name, command->sources);
        return CA_USAGE;
    }
    struct ca_run run = {.command = command->name, .output = output};
    struct ca_error *error = NULL;
    bool done = false;
    bool parsed = ca_options_parse(&run.options, command->bit, argc, argv, &error);
    if (parsed && run.options.help) {
        command_help(command, output);
        done = true;
    } else {
        parsed = parsed && pid_check(&run.options, given->count, &error) &&
                 sysroot_check(&run.options, &error) && sources_count(&run, command, given->count, &error);
        size_t named = run.source_count - (parsed ? run.options.pid_count : 0);
        parsed =
            parsed && operands_check(command, &run.options, named + command->writes + command->asks, &error);
        if (parsed && command->writes) {
            run.options.output = run.options.operands.items[named];
        }
        parsed = parsed &&
                 (!command->asks || address_read(run.options.operands.items[named], &run.address, &error));
        done = parsed && run_parsed(&run, command, given, &error);
    }
    for (size_t i = 0; i < run.source_count && i < command->sources; i++) {
        ca_target_destroy(run.targets[i]);
    }
    ca_problems_forget(&run);
    ca_options_deinit(&run.options);
    return done ? status_of(&run) : error_report(command, output, error, parsed);
}

static enum ca_status dispatch(const struct given *given, int argc, const char *const *argv,
                               const struct ca_output *output)
{
    const struct command *command = argc > 0 ? command_find(argv[0]) : NULL;
    if (command) {
        return command_run(command, given, argc, argv, output);
    }
    if (argc > 0 && strcmp(argv[0], "help") == 0) {
        return run_help(argc, argv, output);
    }
    ca_message_print(output, "there is no command '%s'; see coreanalyze --help", argc > 0 ? argv[0] : "");
    return CA_USAGE;
}

enum ca_status ca_command_run(struct ca_target *target, int argc, const char *const *argv,
                              const struct ca_output *output)
{
    return ca_command_run_on(&target, target ? 1 : 0, argc, argv, output);
}

static enum ca_status line_run(const struct given *given, int argc, const char *const *argv,
                               const struct ca_output *output)
{
    if (argc < 1 || strcmp(argv[0], "coreanalyze") != 0) {
        return dispatch(given, argc, argv, output);
    }
    const char *first = argc > 1 ? argv[1] : "--help";
    if (argc == 2 && strcmp(first, "--version") == 0) {
        struct ca_text text = {0};
        ca_text_printf(&text, "coreanalyze %s\n", ca_version());
        write_text(output, &text);
        return CA_COMPLETE;
    }
    if (argc < 2) {
        ca_message_print(output,
                         "a core or snapshot file expected: coreanalyze SOURCE; see coreanalyze --help");
        return CA_USAGE;
    }
    if (strcmp(first, "--help") == 0) {
        general_help(output);
        return CA_COMPLETE;
    }
    if (command_find(first) || strcmp(first, "help") == 0) {
        return dispatch(given, argc - 1, argv + 1, output);
    }
    /* No command: argv[0] is in the place of its name. */
    return command_run(command_find("report"), given, argc, argv, output);
}

enum ca_status ca_command_run_on(struct ca_target *const *targets, size_t target_count, int argc,
                                 const char *const *argv, const struct ca_output *output)
{
    struct given given = {targets, target_count};
    const struct ca_output *before = ca_progress_listen(output);
    enum ca_status status = line_run(&given, argc, argv, output);
    ca_progress_listen(before);
    return status;
}
