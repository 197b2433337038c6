/* report.c: what `coreanalyze CORE` prints. Nothing in it tells a process that a debugger has stopped from
 * its core. */
#include <elf.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "crash.h"
#include "../listings.h"

static void add_size(struct ca_text *text, uint64_t size)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, (double)size, false);
    ca_text_add(text, buffer);
}

static void add_program(struct ca_text *text, const struct ca_process *process)
{
    ca_text_add_name(text, process->program[0] ? process->program : "a program");
    if (process->pid) {
        ca_text_printf(text, " (process %" PRIu32 ")", process->pid);
    }
    ca_text_add(text, " ");
    ca_crash_add_text(text, process);
    ca_text_add(text, "\n");
    if (process->arguments[0]) {
        ca_text_add(text, "  command line: ");
        ca_text_add_name(text, process->arguments);
        ca_text_add(text, "\n");
    }
}

/* The module that is loaded there; 0 = none. */
static uint32_t module_find(const struct ca_table *table, uint64_t address)
{
    for (size_t i = 1; i < table->module_count; i++) {
        const struct ca_module *module = &table->modules[i];
        if (address >= module->start && address < module->end && module->unloaded_time == 0) {
            return (uint32_t)i;
        }
    }
    return 0;
}

static void add_position(const struct ca_run *run, struct ca_text *text, const struct ca_position *position)
{
    if (position->lineno == 0) {
        ca_text_add(text, "in ");
        ca_text_add_name(text, position->filename);
        ca_text_add(text, "\n");
        return;
    }
    if (position->function) {
        ca_text_add(text, "in ");
        ca_text_add_name(text, position->function);
        ca_text_add(text, " ");
    }
    ca_text_add(text, "at ");
    ca_text_add_name(text, position->filename);
    ca_text_printf(text, ":%" PRIu32 "\n", position->lineno);
    const char *line = run->options.no_source ? "" : ca_linecache_line(position->filename, position->lineno);
    if (line[0]) {
        ca_text_add(text, "    ");
        ca_text_add_line_bytes(text, line, strlen(line));
        ca_text_add(text, "\n");
    }
}

/* The object file that the source says is mapped there, as a module; false when there is none. Modules
 * without a recorded frame are not in the layout. */
static bool mapped_module(struct ca_source *source, uint64_t address, struct ca_module *module)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(source, &count);
    const char *path = NULL;
    for (size_t i = 0; i < count && !path; i++) {
        path = address >= mappings[i].start && address < mappings[i].end && mappings[i].path[0] == '/'
                   ? mappings[i].path
                   : NULL;
    }
    bool begins = false;
    for (size_t i = 0; i < count && path; i++) {
        if (strcmp(mappings[i].path, path) != 0) {
            continue;
        }
        if (!begins && mappings[i].offset == 0) {
            begins = true;
            module->start = mappings[i].start;
        }
        module->end = mappings[i].end;
    }
    Elf64_Ehdr header;
    if (!begins || address < module->start || address >= module->end ||
        !ca_source_read(source, module->start, &header, sizeof header, NULL) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return false;
    }
    module->bias = header.e_type == ET_EXEC ? 0 : module->start;
    module->path = (char *)(uintptr_t)path; /* borrowed */
    return true;
}

/* Where the layout knows no module. */
static bool add_mapped_place(struct ca_run *run, struct ca_text *text, uint64_t pc,
                             struct ca_error **ret_error)
{
    struct ca_target *target = run->targets[0];
    static char none[] = "";
    struct ca_module modules[2] = {{.path = none}, {.path = none}};
    if (!mapped_module(ca_target_source(target), pc, &modules[1])) {
        ca_text_printf(text, "at 0x%" PRIx64 ", which is in no file that is known to be mapped\n", pc);
        return true;
    }
    struct ca_symbolizer *symbolizer = ca_symbolizer_create(modules, 2, ca_target_symbols(target), ret_error);
    if (!symbolizer) {
        return false;
    }
    size_t count;
    const struct ca_position *positions = ca_symbolizer_find(symbolizer, 1, pc, 0, &count);
    bool found = positions && count;
    if (found) {
        add_position(run, text, &positions[0]);
    }
    ca_symbolizer_destroy(symbolizer);
    return found || ca_fail_memory(ret_error);
}

static bool add_place(struct ca_run *run, struct ca_text *text, const struct ca_table *table,
                      struct ca_error **ret_error)
{
    struct ca_target *target = run->targets[0];
    struct ca_source *source = ca_target_source(target);
    uint32_t tid;
    uint64_t pc;
    if (!ca_signal_is_crash(ca_source_process(source)->signal) || !ca_crash_location(source, &tid, &pc)) {
        return true;
    }
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, ret_error);
    if (!symbolizer) {
        return false;
    }
    ca_text_printf(text, "  thread %" PRIu32 " was ", tid);
    uint32_t module = module_find(table, pc);
    if (module == 0) {
        return add_mapped_place(run, text, pc, ret_error);
    }
    size_t count;
    const struct ca_position *positions = ca_symbolizer_find(symbolizer, module, pc, 0, &count);
    if (!positions || count == 0) {
        return ca_fail_memory(ret_error);
    }
    run->place_module = table->modules[module].path;
    add_position(run, text, &positions[0]);
    return true;
}

static void add_tracing(struct ca_text *text, const struct ca_table *table)
{
    const struct tm_root *root = &table->root;
    if (root->state != TM_STATE_TRACING) {
        ca_text_add(text, root->state == TM_STATE_FAILED
                              ? "The tracer could not start: nothing was recorded.\n"
                              : "The tracer is loaded but not tracing.\n");
        return;
    }
    time_t seconds = (time_t)(root->start_time / 1000000000);
    struct tm moment;
    char since[64] = "";
    if (root->start_time && gmtime_r(&seconds, &moment)) {
        strftime(since, sizeof since, " since %Y-%m-%d %H:%M:%S UTC", &moment);
    }
    ca_text_printf(text, "Traced%s: ", since);
    if (root->sample_bytes) {
        ca_text_add(text, "one sample per ");
        add_size(text, root->sample_bytes);
    } else {
        ca_text_add(text, "every block");
    }
    ca_text_printf(text, ", up to %" PRIu32 " frame%s of its traceback%s.\n", root->traceback_limit,
                   root->traceback_limit == 1 ? "" : "s",
                   root->features & TM_FEATURE_INHERITED
                       ? "; a child of fork, with its parent's blocks from before"
                       : "");
}

static void add_memory(struct ca_text *text, const struct ca_table *table)
{
    ca_text_add(text, "It holds ");
    add_size(text, table->current);
    if (!table->coverage.missing_bytes) { /* else the number is that of what is left */
        ca_text_printf(text, " in %" PRIu64 " blocks", table->coverage.blocks);
    }
    ca_text_add(text, "; the most that it held was ");
    add_size(text, table->peak);
    ca_text_add(text, ".\n");
}

/* A snapshot file knows no process: its numbers and its top 10. */
static bool report_file(struct ca_run *run, const char *path, struct ca_error **ret_error)
{
    struct ca_text *text = &run->sink.text;
    struct ca_listing_owner owner;
    bool done = ca_listing_init(&owner, run, run->targets[0], ret_error);
    if (done) {
        ca_text_add_name(text, path);
        ca_text_add(text, " is a snapshot file: ");
        add_size(text, (uint64_t)owner.listing.total.size);
        ca_text_printf(text, " in %" PRIu64 " blocks.\n\n", (uint64_t)owner.listing.total.count);
        done = ca_listing_write(&owner, run, ret_error);
    }
    ca_listing_deinit(&owner);
    return done;
}

bool ca_run_report(struct ca_run *run, struct ca_error **ret_error)
{
    const char *file = ca_target_snapshot_file(run->targets[0]);
    if (file) {
        return report_file(run, file, ret_error);
    }
    struct ca_text *text = &run->sink.text;
    struct ca_table *table = ca_target_table(run->targets[0], ret_error);
    if (!table) {
        return false;
    }
    add_program(text, ca_source_process(ca_target_source(run->targets[0])));
    if (!add_place(run, text, table, ret_error)) {
        return false;
    }
    struct ca_listing_owner owner;
    bool done = ca_listing_init(&owner, run, run->targets[0], ret_error);
    if (done) {
        ca_text_add(text, "\n");
        add_memory(text, table);
        add_tracing(text, table);
        ca_text_add(text, "\n");
        done = ca_listing_write(&owner, run, ret_error);
    }
    ca_listing_deinit(&owner);
    return done;
}
