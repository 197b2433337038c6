/* sum.c: several sources as one target. Each is opened, added and closed before the next one is opened:
 * memory is needed for one of them, and for what they hold together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../output/coverage.h"
#include "../profile/merge.h"
#include "listings.h"
#include "problems.h"
#include "selection.h"

/* What messages and --by source call a source: an operand as it was given, "process PID". */
struct source_name {
    char process[32];
    const char *text;
};

static void name_make(struct source_name *name, const struct ca_run *run, size_t number)
{
    const struct ca_options *options = &run->options;
    size_t named = run->source_count - options->pid_count;
    if (number < named) {
        name->text = options->operands.items[number];
    } else {
        snprintf(name->process, sizeof name->process, "process %u", options->pids[number - named]);
        name->text = name->process;
    }
}

/* What is wrong with the answer is said of the source that it comes from. */
static void coverage_remark(struct ca_run *run, const char *name, const struct ca_table *table)
{
    bool complete = ca_coverage_is_complete(table);
    bool traces = !table->address || table->root.state == TM_STATE_TRACING;
    if (complete && traces) {
        return;
    }
    struct ca_text text = {0};
    ca_coverage_add_text(&text, "coverage", table);
    if (!text.failed) {
        ca_message_print(run->output, "%s: %.*s", name, (int)text.size - 1, text.bytes);
    }
    ca_text_deinit(&text);
    run->partial = run->partial || !complete;
}

/* ------------------------------------------------------------------------------------------------- adding */

/* For statistics. An error of reading leaves the sum as it is: *ret_whole. */
static bool add_weights(struct ca_merge *merge, const struct ca_run *run, const char *name,
                        struct ca_target *target, bool *ret_whole, struct ca_error **ret_error)
{
    struct ca_side side = {0};
    *ret_whole = true;
    if (!ca_side_read(&side, run, target, ret_error)) {
        return false;
    }
    *ret_whole = false;
    bool done = ca_merge_add_weights(merge, name, side.snapshot, (enum ca_value)run->options.value,
                                     side.weights, side.weight_count, ret_error);
    free(side.weights);
    return done;
}

/* For a snapshot file. */
static bool add_blocks(struct ca_merge *merge, const struct ca_run *run, const char *name,
                       struct ca_target *target, bool *ret_whole, struct ca_error **ret_error)
{
    *ret_whole = true;
    struct ca_snapshot *snapshot;
    struct ca_selection *selection = ca_selection_of_target(&run->options, target, &snapshot, ret_error);
    if (!selection) {
        return false;
    }
    *ret_whole = false;
    struct ca_profile_choice choice = {selection, ca_selection_chooses};
    bool done = ca_merge_add_blocks(merge, name, snapshot, &choice, ret_error);
    ca_selection_destroy(selection);
    return done;
}

static bool add_target(struct ca_merge *merge, struct ca_run *run, const char *name, bool blocks,
                       struct ca_target *target, bool *ret_whole, struct ca_error **ret_error)
{
    if (!(blocks ? add_blocks : add_weights)(merge, run, name, target, ret_whole, ret_error)) {
        return false;
    }
    struct ca_table *table = ca_target_table(target, ret_error);
    if (!table || !ca_problems_collect(run, target, ret_error)) {
        return false;
    }
    ca_merge_add_coverage(merge, &table->coverage, table->root.traceback_limit);
    coverage_remark(run, name, table);
    return true;
}

/* A question that one source cannot answer has no answer: the source is named. */
static void name_error(struct ca_error **error, const char *name)
{
    if (ca_error_status(*error) == CA_USAGE && !strstr(ca_error_message(*error), name)) {
        struct ca_error *named = ca_error_create(CA_USAGE, "%s: %s", name, ca_error_message(*error));
        ca_error_destroy(*error);
        *error = named;
    }
}

/* One that cannot be read is said and left out. */
static bool add_source(struct ca_merge *merge, struct ca_run *run, size_t number, bool blocks, size_t *added,
                       struct ca_error **ret_error)
{
    struct source_name name;
    struct ca_error *error = NULL;
    bool whole = true; /* the sum holds nothing of this source */
    name_make(&name, run, number);
    struct ca_target *target = ca_run_open(run, number, &error);
    bool done = target && add_target(merge, run, name.text, blocks, target, &whole, &error);
    ca_target_destroy(target);
    if (done) {
        ++*added;
        return true;
    }
    if (!whole || ca_error_status(error) != CA_NOTHING || ca_error_is_passing(error)) {
        name_error(&error, name.text);
        *ret_error = error;
        return false;
    }
    ca_message_print_error(run->output, error);
    ca_merge_add_unread(merge);
    return true;
}

/* ------------------------------------------------------------------------------------------------ the sum */

/* What the filters chose is in the sum, and some of them ask for what it does not hold. */
static void filters_forget(struct ca_options *options)
{
    options->filter_count = options->thread_count = 0;
    options->functions.count = options->modules.count = 0;
    options->min_size.given = options->max_size.given = false;
    options->older.given = options->newer.given = false;
}

static struct ca_target *sum_open(struct ca_merge *merge, struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_options *options = &run->options;
    struct ca_snapshot *sum = ca_merge_finish(merge, ret_error);
    if (!sum) {
        return NULL;
    }
    run->is_sum = true;
    filters_forget(options);
    char name[32];
    snprintf(name, sizeof name, "%zu sources", run->source_count);
    return ca_target_create_sum(name, sum, options->skip.items, options->skip.count, options->no_skip,
                                ret_error);
}

static bool needs_tracebacks(const struct ca_options *options)
{
    int key = options->by;
    return options->format == CA_FORMAT_HTML ||
           (key != CA_KEY_DOMAIN && key != CA_KEY_THREAD && key != CA_KEY_TYPE && key != CA_KEY_SOURCE);
}

struct ca_target *ca_run_open_sum(struct ca_run *run, bool blocks, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    const struct ca_merge_shape shape = {
        .tracebacks = blocks || needs_tracebacks(options),
        .positions = blocks,
        .threads = blocks || options->by == CA_KEY_THREAD,
        .labels = blocks || options->by == CA_KEY_SOURCE || options->by == CA_KEY_TYPE,
    };
    struct ca_merge *merge =
        ca_merge_create(&shape, options->skip.items, options->skip.count, options->no_skip, ret_error);
    size_t added = 0;
    bool done = merge != NULL;
    for (size_t i = 0; i < run->source_count && done; i++) {
        done = add_source(merge, run, i, blocks, &added, ret_error);
    }
    if (done && added == 0) {
        done = ca_fail(ret_error, CA_NOTHING, "none of the %zu sources could be read", run->source_count);
    }
    struct ca_target *target = done ? sum_open(merge, run, ret_error) : NULL;
    ca_merge_destroy(merge);
    return target;
}
