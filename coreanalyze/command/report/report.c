/* report.c: what `coreanalyze CORE` prints. Nothing in it tells a process that a debugger has stopped from
 * its core. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../listings.h"
#include "case.h"
#include "crash.h"

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
        ca_text_add_styled(text, CA_STYLE_FUNCTION, position->function);
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

/* Where the thread was that got the signal. */
static bool add_place(struct ca_run *run, struct ca_text *text, const struct ca_case *crash,
                      struct ca_error **ret_error)
{
    struct ca_memory *memory = crash->teller.memory;
    uint64_t pc = crash->thread->pc;
    size_t count;
    const struct ca_image *image = ca_memory_image_at(memory, pc);
    ca_text_printf(text, "  thread %" PRIu32 " was ", crash->thread->tid);
    if (!image) {
        ca_text_printf(text, "at 0x%" PRIx64 ", which is in no file that is known to be mapped\n", pc);
        return true;
    }
    const struct ca_position *positions = ca_memory_positions(memory, pc, 0, &count, ret_error);
    if (!positions) {
        return false;
    }
    run->place_module = image->module.path;
    add_position(run, text, &positions[0]);
    return true;
}

/* What happened: the place, the stack, and what has to do with it. */
static bool add_case(struct ca_run *run, struct ca_text *text, struct ca_error **ret_error)
{
    struct ca_case crash;
    bool found;
    if (!ca_case_open(&crash, run, &found, ret_error)) {
        return false;
    }
    return !found ||
           (add_place(run, text, &crash, ret_error) && ca_case_add_stack(&crash, text, ret_error) &&
            ca_case_add_allocator(&crash, text, ret_error) && ca_case_add_evidence(&crash, text, ret_error) &&
            ca_case_add_growth(&crash, run, text, ret_error));
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
    struct ca_source *source = ca_target_source(run->targets[0]);
    if (!table || !ca_source_described(source, ret_error)) {
        return false;
    }
    add_program(text, ca_source_process(source));
    if (!add_case(run, text, ret_error)) {
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
