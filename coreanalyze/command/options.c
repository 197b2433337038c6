/* options.c: parsing by argp, which neither prints nor exits here: the same code serves GDB. */
#include "option_table.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../output/flames/template.h"
#include "../output/listing.h"

enum { FIRST_LONG_KEY = 256 };

struct ca_option_parse {
    struct ca_options *options;
    unsigned command;
    int next; /* after an error: index of the word after the offending one */
    struct ca_error *error;
};

/* ------------------------------------------------------------------------------------------------- values */

static bool list_add(struct ca_option_parse *parse, struct ca_list *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items) {
        return ca_fail_memory(&parse->error);
    }
    items[list->count] = item;
    list->items = items;
    list->count++;
    return true;
}

static bool number_read(const char *text, const char **ret_end, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value)) {
            return false;
        }
    }
    *ret_end = at;
    *ret_value = value;
    return at != text;
}

static bool bad_value(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument,
                      const char *wanted)
{
    char letter[] = {'-', spec->letter, '\0'};
    return ca_fail(&parse->error, CA_USAGE, "%s%s: '%s' is not %s", spec->letter ? "" : "--",
                   spec->letter ? letter : spec->name, argument, wanted);
}

static void *field_of(struct ca_option_parse *parse, const struct ca_option_spec *spec)
{
    return (char *)parse->options + spec->field;
}

static bool set_flag(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    (void)argument;
    *(bool *)field_of(parse, spec) = true;
    return true;
}

static bool set_text(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    *(const char **)field_of(parse, spec) = argument;
    return true;
}

static bool set_list(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    return list_add(parse, field_of(parse, spec), argument);
}

static bool set_map(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    if (argument[0] == '=' || !strchr(argument, '=')) {
        return bad_value(parse, spec, argument, "of the form OLD=NEW");
    }
    return set_list(parse, spec, argument);
}

static bool set_count(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    struct ca_number *number = field_of(parse, spec);
    const char *end;
    if (!number_read(argument, &end, &number->value) || *end) {
        return bad_value(parse, spec, argument, "a number");
    }
    number->given = true;
    return true;
}

/* BYTES with K, M or G after it. */
static bool set_size(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    static const char units[] = "KMG";
    struct ca_number *number = field_of(parse, spec);
    const char *end;
    bool valid = number_read(argument, &end, &number->value);
    if (valid && *end) {
        const char *unit = strchr(units, *end);
        uint64_t factor = unit ? UINT64_C(1) << (10 * (unit - units + 1)) : 0;
        valid = unit && !end[1] && !__builtin_mul_overflow(number->value, factor, &number->value);
    }
    if (!valid) {
        return bad_value(parse, spec, argument, "a size: digits, then K, M, G or nothing");
    }
    number->given = true;
    return true;
}

/* SECONDS with decimals, read without the locale's decimal point; kept as ns. */
static bool set_seconds(struct ca_option_parse *parse, const struct ca_option_spec *spec,
                        const char *argument)
{
    struct ca_number *number = field_of(parse, spec);
    const char *end;
    uint64_t value;
    bool valid = number_read(argument, &end, &value) && !__builtin_mul_overflow(value, 1000000000, &value);
    if (valid && *end == '.') {
        uint64_t unit = 100000000;
        for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10) {
            valid = valid && !__builtin_add_overflow(value, unit * (unsigned)(*end - '0'), &value);
        }
    }
    if (!valid || *end) {
        return bad_value(parse, spec, argument, "a number of seconds");
    }
    *number = (struct ca_number){.given = true, .value = value};
    return true;
}

static bool set_choice(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    char words[160] = "";
    for (int i = 0; spec->words[i]; i++) {
        if (strcmp(spec->words[i], argument) == 0) {
            *(int *)field_of(parse, spec) = i;
            return true;
        }
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", used ? ", " : "", spec->words[i]);
    }
    return ca_fail(&parse->error, CA_USAGE, "--%s: '%s' is none of %s", spec->name, argument, words);
}

static bool set_by(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    if (strcmp(argument, "source") == 0 && !(parse->command & (CA_FOR_TOP | CA_FOR_DIFF))) {
        return ca_fail(&parse->error, CA_USAGE, "--by: it reads one source; top tells several apart");
    }
    parse->options->has_by = true;
    return set_choice(parse, spec, argument);
}

static const char *const format_words[] = {
    [CA_FORMAT_TEXT] = "text",   [CA_FORMAT_JSON] = "json",
    [CA_FORMAT_CSV] = "csv",     [CA_FORMAT_FOLDED] = "folded",
    [CA_FORMAT_PPROF] = "pprof", [CA_FORMAT_SPEEDSCOPE] = "speedscope",
    [CA_FORMAT_HTML] = "html",   NULL,
};

static bool set_format(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    if (strcmp(argument, "pprof") == 0 && parse->command == CA_FOR_LEAKS) {
        return ca_fail(&parse->error, CA_USAGE, "--format: a profile does not tell which blocks are leaked");
    }
    if (strcmp(argument, "pprof") == 0 && parse->command == CA_FOR_DIFF) {
        return ca_fail(&parse->error, CA_USAGE,
                       "--format: a profile holds no difference; save both and use pprof -diff_base");
    }
    struct ca_page_template page;
    if (strcmp(argument, "html") == 0 && spec->words == format_words && !ca_page_template_find(&page)) {
        return ca_fail(&parse->error, CA_USAGE,
                       "--format html: tm was built without the page, for want of npm or of what it fetches; "
                       "where both are there, `make page` in tm's sources builds it in");
    }
    return set_choice(parse, spec, argument);
}

static bool set_cumulative(struct ca_option_parse *parse, const struct ca_option_spec *spec,
                           const char *argument)
{
    if (argument && strcmp(argument, "unique") != 0) {
        return bad_value(parse, spec, argument, "unique");
    }
    parse->options->cumulative = argument ? CA_CUMULATIVE_UNIQUE : CA_CUMULATIVE_ON;
    return true;
}

/* ------------------------------------------------------------------------------------------------ filters */

static bool filter_add(struct ca_option_parse *parse, const struct ca_filter *filter)
{
    struct ca_options *options = parse->options;
    struct ca_filter *filters = realloc(options->filters, (options->filter_count + 1) * sizeof *filters);
    if (!filters) {
        return ca_fail_memory(&parse->error);
    }
    filters[options->filter_count] = *filter;
    options->filters = filters;
    options->filter_count++;
    return true;
}

/* GLOB[:LINE]: the last colon counts when only digits follow. */
static bool set_file_filter(struct ca_option_parse *parse, const struct ca_option_spec *spec,
                            const char *argument)
{
    struct ca_filter filter = {
        .inclusive = strcmp(spec->name, "include") == 0,
        .pattern = argument,
        .pattern_size = strlen(argument),
    };
    const char *colon = strrchr(argument, ':');
    const char *end;
    if (colon && strspn(colon + 1, "0123456789") == strlen(colon + 1) && colon[1]) {
        if (!number_read(colon + 1, &end, &filter.lineno)) {
            return bad_value(parse, spec, argument, "GLOB:LINE: the line number is too large");
        }
        filter.has_lineno = true;
        filter.pattern_size = (size_t)(colon - argument);
    }
    return filter_add(parse, &filter);
}

static bool set_domain_filter(struct ca_option_parse *parse, const struct ca_option_spec *spec,
                              const char *argument)
{
    uint64_t value;
    const char *end;
    if (!number_read(argument, &end, &value) || *end) {
        return bad_value(parse, spec, argument, "a domain: a number");
    }
    struct ca_filter filter = {
        .inclusive = strcmp(spec->name, "include-domain") == 0,
        .domain_only = true,
        .has_domain = true,
        .domain = value,
    };
    return filter_add(parse, &filter);
}

static bool set_thread(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    struct ca_options *options = parse->options;
    uint64_t value;
    const char *end;
    if (!number_read(argument, &end, &value) || *end || value > UINT32_MAX || value == 0) {
        return bad_value(parse, spec, argument, "a thread id");
    }
    uint32_t *threads = realloc(options->threads, (options->thread_count + 1) * sizeof *threads);
    if (!threads) {
        return ca_fail_memory(&parse->error);
    }
    threads[options->thread_count] = (uint32_t)value;
    options->threads = threads;
    options->thread_count++;
    return true;
}

static bool set_pid(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument)
{
    uint64_t value;
    const char *end;
    if (!number_read(argument, &end, &value) || *end || value > INT32_MAX || value == 0) {
        return bad_value(parse, spec, argument, "a process id");
    }
    struct ca_options *options = parse->options;
    uint32_t *pids = realloc(options->pids, (options->pid_count + 1) * sizeof *pids);
    if (!pids) {
        return ca_fail_memory(&parse->error);
    }
    pids[options->pid_count] = (uint32_t)value;
    options->pids = pids;
    options->pid_count++;
    return true;
}

/* -------------------------------------------------------------------------------------------------- table */

static const char *const trace_words[] = {
    [CA_FORMAT_TEXT] = "text",     [CA_FORMAT_JSON] = "json",   [CA_FORMAT_CSV] = "csv",
    [CA_FORMAT_FOLDED] = "folded", [CA_FORMAT_PPROF] = "pprof", NULL};
static const char *const object_words[] = {[CA_FORMAT_TEXT] = "text", [CA_FORMAT_JSON] = "json", NULL};
static const char *const record_words[] = {
    [CA_FORMAT_TEXT] = "text", [CA_FORMAT_JSON] = "json", [CA_FORMAT_CSV] = "csv", NULL};
static const char *const sort_words[] = {
    [CA_SORT_SIZE] = "size", [CA_SORT_ADDRESS] = "address", [CA_SORT_AGE] = "age", NULL};
static const char *const color_words[] = {
    [CA_COLOR_AUTO] = "auto", [CA_COLOR_ALWAYS] = "always", [CA_COLOR_NEVER] = "never", NULL};

static const char *const roots_words[] = {[CA_ROOTS_ALL] = "all", [CA_ROOTS_LSAN] = "lsan", NULL};

#define FOR_STATISTICS (CA_FOR_REPORT | CA_FOR_TOP | CA_FOR_DIFF)
#define FOR_TRACES     (FOR_STATISTICS | CA_FOR_TRACES)
#define FOR_BLOCKS     (FOR_TRACES | CA_FOR_BLOCKS | CA_FOR_LEAKS)
#define FOR_FRAMES     (FOR_BLOCKS | CA_FOR_BLOCK | CA_FOR_REFS)
#define FOR_CHOICE     (FOR_BLOCKS | CA_FOR_SAVE)
#define FOR_ALL        (FOR_CHOICE | CA_FOR_INFO | CA_FOR_BLOCK | CA_FOR_REFS)
#define FOR_OUTPUT     (FOR_FRAMES | CA_FOR_INFO)
#define FIELD(name)    offsetof(struct ca_options, name)

const struct ca_option_spec ca_option_table[] = {
    {.commands = FOR_ALL, .text = "What is read:"},
    {"pid", 'p', "PID", FOR_ALL, set_pid, 0, NULL,
     "A running process in the place of the last SOURCE (repeatable where there are several): it stands still while its tables are copied, some "
     "milliseconds (block, refs, leaks and --by type: all memory that it may write to), and runs on"},

    {.commands = FOR_FRAMES, .text = "What is shown:"},
    {"by", 0, "KEY", FOR_STATISTICS, set_by, FIELD(by), ca_key_words,
     "Group by lineno (default), filename, traceback, function, module, domain, thread, type (the C++ "
     "class that a block begins with) or, of several sources, source"},
    {"by", 0, "KEY", CA_FOR_LEAKS, set_by, FIELD(by), ca_key_words,
     "Group by traceback (default), lineno, filename, function, module, domain, thread or type"},
    {"chain", 0, NULL, CA_FOR_REFS, set_flag, FIELD(chain), NULL,
     "Show a shortest chain of pointers from a root to the block: why it is alive"},
    {"roots", 0, "ROOTS", CA_FOR_LEAKS | CA_FOR_REFS, set_choice, FIELD(roots), roots_words,
     "Where pointers to blocks in use are looked for: all (default): registers, stacks, thread-local "
     "storage, "
     "variables and what the program maps itself; lsan: without the last, as LeakSanitizer does"},
    {"suppressions", 0, "FILE", CA_FOR_LEAKS, set_list, FIELD(suppressions), NULL,
     "Leave out the leaks that this file names, by lines leak:PATTERN as LeakSanitizer has them, with "
     "what they hold (repeatable)"},
    {"cumulative", 0, "[unique]", FOR_STATISTICS, set_cumulative, 0, NULL,
     "Count a block for every frame of its traceback, as often as it occurs there; unique: once per group"},
    {"value", 0, "VALUE", FOR_STATISTICS, set_choice, FIELD(value), ca_value_words,
     "live: what is allocated now (default); peak: what was when most was allocated; total: all that was "
     "allocated since tracing began"},
    {"limit", 'n', "N", FOR_STATISTICS | CA_FOR_LEAKS, set_count, FIELD(limit), NULL,
     "Show the N largest (default 10), 0 = all"},
    {"sort", 0, "ORDER", CA_FOR_BLOCKS, set_choice, FIELD(sort), sort_words,
     "size (default: the largest first), address (the lowest first) or age (the oldest first; needs "
     "detail=1)"},
    {"limit", 'n', "N", CA_FOR_BLOCKS, set_count, FIELD(limit), NULL,
     "Show the first N blocks (default 10), 0 = all"},
    {"limit", 'n', "N", CA_FOR_REFS, set_count, FIELD(limit), NULL,
     "Show the first N pointers (default 10), 0 = all"},
    {"skip", 0, "GLOB", FOR_FRAMES, set_list, FIELD(skip), NULL,
     "Functions that only hand out memory, beside malloc wrappers known: their callers are shown "
     "(repeatable)"},
    {"no-skip", 0, NULL, FOR_FRAMES, set_flag, FIELD(no_skip), NULL, "Show allocator frames too"},

    {.commands = FOR_CHOICE, .text = "Filters (all given ones must hold; a repeated one: any of them):"},
    {"include", 0, "GLOB[:LINE]", FOR_CHOICE, set_file_filter, 0, NULL,
     "Only where the most recent frame's file name matches (with --include-domain: or the domain does)"},
    {"exclude", 0, "GLOB[:LINE]", FOR_CHOICE, set_file_filter, 0, NULL, "Not where it matches"},
    {"include-domain", 0, "N", FOR_CHOICE, set_domain_filter, 0, NULL,
     "Only this domain: 0 malloc family, 1 mmap, others tm_track"},
    {"exclude-domain", 0, "N", FOR_CHOICE, set_domain_filter, 0, NULL, "Not this domain"},
    {"function", 0, "GLOB", FOR_CHOICE, set_list, FIELD(functions), NULL, "Only this function"},
    {"module", 0, "GLOB", FOR_CHOICE, set_list, FIELD(modules), NULL,
     "Only this module: its path, or its file name where GLOB has no slash"},
    {"all-frames", 0, NULL, FOR_CHOICE, set_flag, FIELD(all_frames), NULL,
     "File name, function and module filters look at every frame"},
    {"thread", 0, "TID", FOR_CHOICE, set_thread, 0, NULL, "Only what this thread allocated (needs detail=1)"},
    {"min-size", 0, "BYTES", FOR_CHOICE, set_size, FIELD(min_size), NULL, "Only blocks at least this large"},
    {"max-size", 0, "BYTES", FOR_CHOICE, set_size, FIELD(max_size), NULL, "Only blocks at most this large"},
    {"older", 0, "SECONDS", FOR_CHOICE, set_seconds, FIELD(older), NULL,
     "Only blocks allocated at least so long before the newest one (needs detail=1)"},
    {"newer", 0, "SECONDS", FOR_CHOICE, set_seconds, FIELD(newer), NULL,
     "Only blocks allocated less than so long before it (needs detail=1)"},

    {.commands = FOR_OUTPUT, .text = "Output:"},
    {"nframe", 0, "N", FOR_FRAMES & ~CA_FOR_BLOCKS, set_count, FIELD(nframe), NULL,
     "Print the N most recent frames of a traceback"},
    {"no-source", 0, NULL, FOR_FRAMES & ~CA_FOR_BLOCKS, set_flag, FIELD(no_source), NULL,
     "Print no source lines"},
    {"short-names", 0, NULL, FOR_FRAMES, set_flag, FIELD(short_names), NULL,
     "Leave out what nobody wrote of C++ names (default template arguments of std, its inline namespaces) in "
     "text and folded output"},
    {"format", 0, "FORMAT", CA_FOR_TOP | CA_FOR_DIFF, set_format, FIELD(format), format_words,
     "text (default), json, csv, pprof (a snapshot file), html (a page: flame graph by traceback, and a "
     "table "
     "as --by says), folded or speedscope (stacks for a flame graph, by traceback). The last three: of all"},
    {"format", 0, "FORMAT", CA_FOR_TRACES, set_format, FIELD(format), trace_words,
     "text (default), json, csv, folded (stacks for a flame graph) or pprof (a snapshot file)"},
    {"format", 0, "FORMAT", CA_FOR_LEAKS, set_format, FIELD(format), format_words,
     "text (default), json, csv, html (a page: flame graph and table), folded or speedscope (stacks for a "
     "flame graph). The last three: of all"},
    {"format", 0, "FORMAT", CA_FOR_BLOCKS, set_format, FIELD(format), record_words,
     "text (default), json or csv"},
    {"format", 0, "FORMAT", CA_FOR_INFO | CA_FOR_BLOCK | CA_FOR_REFS, set_format, FIELD(format), object_words,
     "text (default) or json"},
    {"output", 'o', "FILE", FOR_OUTPUT, set_text, FIELD(output), NULL,
     "Write to FILE, which changes only when the answer is complete"},
    {"color", 0, "WHEN", FOR_OUTPUT, set_choice, FIELD(color), color_words,
     "auto (default: on a terminal), always or never"},
    {"width", 0, "COLUMNS", FOR_OUTPUT, set_count, FIELD(width), NULL,
     "Shorten names and source lines of text so that its lines fit (default: on a terminal, as wide as "
     "that is; 0: never)"},
    {"fail-over", 0, "BYTES", FOR_STATISTICS, set_size, FIELD(fail_over), NULL,
     "Exit with 3 when the total is larger; diff: the growth"},
    {"fail-over", 0, "BYTES", CA_FOR_LEAKS, set_size, FIELD(fail_over), NULL,
     "Exit with 3 when more is leaked"},

    {.commands = FOR_ALL, .text = "Symbols:"},
    {"sysroot", 0, "DIR", FOR_ALL, set_text, FIELD(sysroot), NULL, "Look for the process's files below DIR"},
    {"debug-dir", 0, "DIRS", FOR_ALL, set_text, FIELD(debug_directory), NULL,
     "Separate debug files, colon-separated (default /usr/lib/debug)"},
    {"source-map", 0, "OLD=NEW", FOR_ALL, set_map, FIELD(source_map), NULL,
     "Replace the prefix OLD of source file names (repeatable)"},

    {.commands = FOR_ALL, .text = "Other:"},
    {"help", 0, NULL, FOR_ALL, set_flag, FIELD(help), NULL, "Print this help"},
};

enum { TABLE_SIZE = sizeof ca_option_table / sizeof *ca_option_table };

const size_t ca_option_count = TABLE_SIZE;

static int spec_key(const struct ca_option_spec *spec)
{
    return spec->letter ? spec->letter : FIRST_LONG_KEY + (int)(spec - ca_option_table);
}

static const struct ca_option_spec *spec_find(int key)
{
    for (const struct ca_option_spec *spec = ca_option_table; spec < ca_option_table + TABLE_SIZE; spec++) {
        if (spec->name && spec_key(spec) == key) {
            return spec;
        }
    }
    return NULL;
}

/* argp's form of the command's part of the table. The array is the caller's, of TABLE_SIZE + 1 elements. */
static void argp_table_fill(struct argp_option *options, unsigned command)
{
    for (const struct ca_option_spec *spec = ca_option_table; spec < ca_option_table + TABLE_SIZE; spec++) {
        if (spec->name && spec->commands & command) {
            *options++ = (struct argp_option){
                .name = spec->name,
                .key = spec_key(spec),
                .arg = spec->argument,
                .flags = spec->argument && spec->argument[0] == '[' ? OPTION_ARG_OPTIONAL : 0,
            };
        }
    }
    *options = (struct argp_option){0};
}

/* ------------------------------------------------------------------------------------------------ parsing */

static error_t parse_one(int key, char *argument, struct argp_state *state)
{
    struct ca_option_parse *parse = state->input;
    if (key == ARGP_KEY_ARG) {
        return list_add(parse, &parse->options->operands, argument) ? 0 : ENOMEM;
    }
    if (key == ARGP_KEY_ERROR) {
        parse->next = state->next;
    }
    const struct ca_option_spec *spec = spec_find(key);
    if (!spec) {
        return ARGP_ERR_UNKNOWN;
    }
    return spec->set(parse, spec, argument) ? 0 : EINVAL;
}

static size_t count_prefix(unsigned command, const char *name, size_t size,
                           const struct ca_option_spec **ret_spec)
{
    size_t count = 0;
    for (const struct ca_option_spec *spec = ca_option_table; spec < ca_option_table + TABLE_SIZE; spec++) {
        if (!spec->name || !(spec->commands & command) || strncmp(spec->name, name, size) != 0) {
            continue;
        }
        count++;
        *ret_spec = spec;
        if (strlen(spec->name) == size) {
            return 1;
        }
    }
    return count;
}

/* argp says only that a word is wrong: this says why. */
static bool word_explain(struct ca_option_parse *parse, const char *word)
{
    size_t dashes = strspn(word, "-");
    const char *name = word + dashes;
    size_t size = strcspn(name, "=");
    const struct ca_option_spec *spec = NULL;
    size_t matches = count_prefix(parse->command, name, size, &spec);
    if (dashes == 1 && size == 1) {
        spec = spec_find(name[0]);
        matches = spec && (spec->commands & parse->command) ? 1 : 0;
    }
    int shown = (int)(dashes + size);
    if (matches > 1) {
        return ca_fail(&parse->error, CA_USAGE, "option '%.*s' is ambiguous", shown, word);
    }
    if (matches == 0) {
        return ca_fail(&parse->error, CA_USAGE, "unknown option '%.*s'", shown, word);
    }
    if (spec->argument) {
        return ca_fail(&parse->error, CA_USAGE, "option '%.*s' needs an argument: %s", shown, word,
                       spec->argument);
    }
    return ca_fail(&parse->error, CA_USAGE, "option '%.*s' takes no argument", shown, word);
}

static bool argp_run(struct ca_option_parse *parse, int argc, const char *const *argv)
{
    struct argp_option argp_options[TABLE_SIZE + 1];
    argp_table_fill(argp_options, parse->command);
    struct argp argp = {.options = argp_options, .parser = parse_one};

    char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) {
        return ca_fail_memory(&parse->error);
    }
    memcpy(words, argv, (size_t)argc * sizeof *words);
    /* In order: options and operands mix, and POSIXLY_CORRECT does not change what a command line means. Long
     * options with one dash are GDB's way to write them. */
    error_t failure =
        argp_parse(&argp, argc, words,
                   ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER | ARGP_LONG_ONLY, NULL, parse);
    if (failure && !parse->error && !parse->options->help) {
        if (failure == ENOMEM) {
            ca_fail_memory(&parse->error);
        } else {
            word_explain(parse, words[parse->next > 1 ? parse->next - 1 : 1]);
        }
    }
    free(words);
    return !failure || parse->options->help;
}

bool ca_options_parse(struct ca_options *options, enum ca_command_bit command, int argc,
                      const char *const *argv, struct ca_error **ret_error)
{
    *options = (struct ca_options){.by = CA_KEY_LINENO};
    struct ca_option_parse parse = {.options = options, .command = command};
    bool parsed = argp_run(&parse, argc, argv);
    if (!parsed) {
        *ret_error = parse.error;
        return false;
    }
    ca_error_destroy(parse.error);
    for (size_t i = 0; i < options->filter_count; i++) {
        options->filters[i].all_frames = options->all_frames;
    }
    bool stacks = options->format == CA_FORMAT_FOLDED || options->format == CA_FORMAT_SPEEDSCOPE;
    if ((stacks || command == CA_FOR_LEAKS) && !options->has_by) {
        options->by = CA_KEY_TRACEBACK;
    }
    if (!options->limit.given) {
        options->limit.value = stacks || options->format == CA_FORMAT_HTML ? 0 : 10;
    }
    return true;
}

void ca_options_deinit(struct ca_options *options)
{
    free(options->operands.items);
    free(options->functions.items);
    free(options->modules.items);
    free(options->skip.items);
    free(options->suppressions.items);
    free(options->source_map.items);
    free(options->filters);
    free(options->threads);
    free(options->pids);
    *options = (struct ca_options){0};
}
