/* save.c: the command save, and --format pprof: what the options choose, as a snapshot file. */
#include "../output/coverage.h"
#include "../profile/profile.h"
#include "problems.h"
#include "selection.h"

static bool choice_keeps(void *context, const struct ca_trace *trace, bool *ret_keeps,
                         struct ca_error **ret_error)
{
    return ca_selection_keeps(context, trace, ret_keeps, ret_error);
}

static bool is_everything(const struct ca_options *options)
{
    return !options->filter_count && !options->functions.count && !options->modules.count &&
           !options->thread_count && !options->min_size.given && !options->max_size.given &&
           !options->older.given && !options->newer.given;
}

bool ca_run_save(struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    struct ca_target *target = run->targets[0];
    struct ca_table *table = ca_target_table(target, ret_error);
    struct ca_snapshot *snapshot = table
                                       ? ca_target_snapshot(target, options->skip.items, options->skip.count,
                                                            options->no_skip, ret_error)
                                       : NULL;
    struct ca_selection *selection =
        snapshot ? ca_selection_create(options, table, snapshot, ret_error) : NULL;
    if (!selection) {
        return false;
    }
    struct ca_profile_choice choice = {selection, choice_keeps};
    bool done =
        ca_profile_encode(snapshot, is_everything(options) ? NULL : &choice, &run->sink.text, ret_error) &&
        ca_problems_print_all(run, target, ret_error);
    ca_selection_destroy(selection);
    run->partial = run->partial || !ca_coverage_is_complete(table);
    return done;
}
