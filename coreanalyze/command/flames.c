/* flames.c: see flames.h. */
#include "flames.h"

#include <inttypes.h>

#include "../output/coverage.h"
#include "../output/flames/page.h"
#include "../output/flames/speedscope.h"

/* The same in GDB and on the core: neither knows how the other calls what it reads. */
static bool add_title(struct ca_text *text, struct ca_target *target, struct ca_error **ret_error)
{
    ca_text_add(text, "");
    const char *file = ca_target_snapshot_file(target);
    struct ca_source *source = file ? NULL : ca_target_source(target);
    if (source && !ca_source_described(source, ret_error)) {
        return false;
    }
    const struct ca_process *process = source ? ca_source_process(source) : NULL;
    if (process) {
        ca_text_add_name(text, process->program[0] ? process->program : "a program");
        if (process->pid) {
            ca_text_printf(text, " (process %" PRIu32 ")", process->pid);
        }
    } else {
        ca_text_add_name(text, file ? file : "");
    }
    return !text->failed || ca_fail_memory(ret_error);
}

bool ca_flames_write(struct ca_flames *flames, struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_text title = {0}, old_title = {0};
    struct ca_target *target = run->targets[flames->diff ? 1 : 0];
    bool done = add_title(&title, target, ret_error) &&
                (!flames->diff || add_title(&old_title, run->targets[0], ret_error));
    if (done) {
        flames->title = title.bytes;
        flames->old_title = old_title.bytes;
        if (run->options.format == CA_FORMAT_HTML) {
            done = ca_page_write(flames, &run->sink, ret_error);
        } else {
            ca_speedscope_write(flames, &run->sink);
        }
    }
    flames->title = NULL;
    flames->old_title = NULL;
    ca_text_deinit(&title);
    ca_text_deinit(&old_title);
    return done;
}

enum ca_folded_label ca_flames_label(enum ca_key key)
{
    return key == CA_KEY_TRACEBACK ? CA_FOLDED_FUNCTIONS
           : key == CA_KEY_LINENO  ? CA_FOLDED_LINES
                                   : CA_FOLDED_NAMES;
}

/* By traceback, whatever the page's table is grouped by. */
static bool stacks_compute(const struct ca_listing_owner *owner, struct ca_statistics **ret_stacks,
                           struct ca_error **ret_error)
{
    const struct ca_listing *listing = &owner->listing;
    struct ca_snapshot *snapshot = listing->statistics->snapshot;
    return listing->diff
               ? ca_statistics_compare(snapshot, listing->weights, listing->weight_count, listing->old_snapshot,
                                       owner->old_weights, owner->old_weight_count, CA_KEY_TRACEBACK,
                                       CA_CUMULATIVE_OFF, ret_stacks, ret_error)
               : ca_statistics_compute(snapshot, listing->weights, listing->weight_count, CA_KEY_TRACEBACK,
                                       CA_CUMULATIVE_OFF, ret_stacks, ret_error);
}

static struct ca_flames flames_of(const struct ca_listing *listing)
{
    return (struct ca_flames){
        .command = listing->diff ? "diff" : "top",
        .diff = listing->diff,
        .value = listing->value,
        .snapshot = listing->statistics->snapshot,
        .part_count = 1,
        .label = ca_flames_label(listing->statistics->key),
        .key = listing->statistics->key,
        .cumulative = listing->cumulative,
        .total = listing->total,
        .other = listing->other,
        .other_groups = listing->statistics->count - listing->shown,
        .complete = ca_coverage_is_complete(listing->table) &&
                    (!listing->old_table || ca_coverage_is_complete(listing->old_table)),
        .source = listing->source,
    };
}

bool ca_flames_write_listing(struct ca_listing_owner *owner, struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_listing *listing = &owner->listing;
    bool page = run->options.format == CA_FORMAT_HTML;
    if (page && listing->statistics->key != CA_KEY_TRACEBACK &&
        !stacks_compute(owner, &owner->stacks, ret_error)) {
        return false;
    }
    const struct ca_statistics *stacks = owner->stacks ? owner->stacks : listing->statistics;
    struct ca_flames_part part = {
        .stacks = stacks,
        .stack_count = page ? stacks->count : listing->shown,
        .rows = listing->statistics,
        .row_count = listing->shown,
    };
    struct ca_text notes = {0};
    ca_listing_add_coverage(listing, &notes);
    struct ca_flames flames = flames_of(listing);
    flames.parts = &part;
    flames.notes = notes.bytes;
    bool done = notes.failed ? ca_fail_memory(ret_error) : ca_flames_write(&flames, run, ret_error);
    ca_text_deinit(&notes);
    return done;
}
