/* save.c: the command save, and --format pprof: what the options choose, as a snapshot file. */
#include "../output/coverage.h"
#include "../profile/profile.h"
#include "problems.h"
#include "selection.h"

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
    struct ca_snapshot *snapshot;
    struct ca_selection *selection = ca_selection_of_target(options, target, &snapshot, ret_error);
    if (!selection) {
        return false;
    }
    struct ca_profile_choice choice = {selection, ca_selection_chooses};
    bool done =
        ca_profile_encode(snapshot, is_everything(options) ? NULL : &choice, &run->sink.text, ret_error) &&
        ca_problems_print_all(run, target, ret_error);
    ca_selection_destroy(selection);
    run->partial =
        run->partial || !ca_coverage_is_complete(ca_target_table(target, ret_error)) /* read by now */;
    return done;
}
