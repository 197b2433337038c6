/* listings.c: from options to a listing. */
#include "listings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../memory/types.h"
#include "../output/coverage.h"
#include "flames.h"
#include "problems.h"
#include "selection.h"

static bool types_add(struct ca_selection *selection, struct ca_target *target, struct ca_types **ret_types,
                      struct ca_error **ret_error)
{
    struct ca_memory *memory = ca_target_memory(target, ret_error);
    *ret_types = memory ? ca_types_create(memory, ret_error) : NULL;
    if (*ret_types) {
        ca_selection_set_types(selection, *ret_types);
    }
    return *ret_types;
}

bool ca_side_read(struct ca_side *side, const struct ca_run *run, struct ca_target *target,
                  struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    bool by_type = options->by == CA_KEY_TYPE && !run->is_sum; /* a sum has them as labels */
    side->table = ca_target_table(target, ret_error);
    if (!side->table) {
        return false;
    }
    side->snapshot =
        ca_target_snapshot(target, options->skip.items, options->skip.count, options->no_skip, ret_error);
    if (!side->snapshot) {
        return false;
    }
    struct ca_types *types = NULL;
    struct ca_selection *selection = ca_selection_create(options, side->table, side->snapshot, ret_error);
    bool done = selection && (!by_type || types_add(selection, target, &types, ret_error)) &&
                ca_selection_weights(selection, &side->weights, &side->weight_count, ret_error);
    ca_selection_destroy(selection);
    ca_types_destroy(types);
    return done;
}

static void sum_weights(const struct ca_side *side, unsigned __int128 *ret_size, unsigned __int128 *ret_count)
{
    *ret_size = 0;
    *ret_count = 0;
    for (size_t i = 0; i < side->weight_count; i++) {
        *ret_size += side->weights[i].size;
        *ret_count += side->weights[i].count;
    }
}

static struct ca_sum sum_others(const struct ca_statistics *statistics, size_t shown)
{
    struct ca_sum sum = {0};
    for (size_t i = shown; i < statistics->count; i++) {
        const struct ca_statistic *item = &statistics->items[i];
        sum.size += item->size;
        sum.count += item->count;
        sum.size_diff += item->size_diff;
        sum.count_diff += item->count_diff;
    }
    return sum;
}

static void listing_fill(struct ca_listing *listing, const struct ca_run *run, const struct ca_side *side)
{
    const struct ca_options *options = &run->options;
    uint64_t limit = options->limit.value;
    size_t groups = listing->statistics->count;
    listing->cumulative = options->cumulative;
    listing->value = options->value;
    listing->asked = limit;
    listing->shown = limit == 0 || limit > groups ? groups : limit;
    listing->other = sum_others(listing->statistics, listing->shown);
    sum_weights(side, &listing->total.size, &listing->total.count);
    listing->weights = side->weights;
    listing->weight_count = side->weight_count;
    listing->table = side->table;
    listing->no_skip = options->no_skip;
    listing->skip = options->skip.items;
    listing->skip_count = options->skip.count;
    listing->source = !options->no_source;
    listing->has_nframe = options->nframe.given && options->format == CA_FORMAT_TEXT;
    listing->nframe = options->nframe.value;
}

/* CPython's words for what CPython refuses, too. */
static bool options_check(const struct ca_options *options, struct ca_error **ret_error)
{
    bool frames = options->by == CA_KEY_LINENO || options->by == CA_KEY_FILENAME ||
                  options->by == CA_KEY_FUNCTION || options->by == CA_KEY_MODULE;
    if (options->cumulative != CA_CUMULATIVE_OFF && !frames) {
        return ca_fail(ret_error, CA_USAGE, "--cumulative cannot be used with --by %s",
                       ca_key_words[options->by]);
    }
    return true;
}

bool ca_listing_init(struct ca_listing_owner *owner, struct ca_run *run, struct ca_target *target,
                     struct ca_error **ret_error)
{
    *owner = (struct ca_listing_owner){0};
    struct ca_side side = {0};
    if (!options_check(&run->options, ret_error) || !ca_side_read(&side, run, target, ret_error)) {
        return false;
    }
    owner->weights = side.weights;
    if (!ca_statistics_compute(side.snapshot, side.weights, side.weight_count, (enum ca_key)run->options.by,
                               (enum ca_cumulative)run->options.cumulative, &owner->listing.statistics,
                               ret_error)) {
        return false;
    }
    listing_fill(&owner->listing, run, &side);
    return true;
}

bool ca_listing_init_diff(struct ca_listing_owner *owner, struct ca_run *run, struct ca_target *old_target,
                          struct ca_target *new_target, struct ca_error **ret_error)
{
    *owner = (struct ca_listing_owner){0};
    struct ca_side old_side = {0}, new_side = {0};
    if (!options_check(&run->options, ret_error) ||
        !ca_side_read(&old_side, run, old_target, ret_error)) {
        return false;
    }
    owner->old_weights = old_side.weights;
    owner->old_weight_count = old_side.weight_count;
    if (!ca_side_read(&new_side, run, new_target, ret_error)) {
        return false;
    }
    owner->weights = new_side.weights;
    if (!ca_statistics_compare(new_side.snapshot, new_side.weights, new_side.weight_count, old_side.snapshot,
                               old_side.weights, old_side.weight_count, (enum ca_key)run->options.by,
                               (enum ca_cumulative)run->options.cumulative, &owner->listing.statistics,
                               ret_error)) {
        return false;
    }
    struct ca_listing *listing = &owner->listing;
    listing_fill(listing, run, &new_side);
    unsigned __int128 old_size, old_count;
    sum_weights(&old_side, &old_size, &old_count);
    listing->diff = true;
    listing->old_table = old_side.table;
    listing->old_snapshot = old_side.snapshot;
    listing->total.size_diff = (__int128)(listing->total.size - old_size);
    listing->total.count_diff = (__int128)(listing->total.count - old_count);
    return true;
}

void ca_listing_deinit(struct ca_listing_owner *owner)
{
    ca_statistics_destroy(owner->listing.statistics);
    ca_statistics_destroy(owner->stacks);
    free(owner->weights);
    free(owner->old_weights);
    *owner = (struct ca_listing_owner){0};
}

/* ------------------------------------------------------------------------------------------------ writing */

void ca_listing_check(const struct ca_listing_owner *owner, struct ca_run *run)
{
    const struct ca_listing *listing = &owner->listing;
    uint64_t allowed = run->options.fail_over.value;
    const struct ca_sum *total = &listing->total;
    run->over = run->options.fail_over.given &&
                (listing->diff ? total->size_diff > (__int128)allowed : total->size > allowed);
    if (!run->over) {
        return;
    }
    struct ca_text number = {0};
    ca_text_add_integer(&number, listing->diff ? total->size_diff : (__int128)total->size, false);
    ca_message_print(run->output, "%s %s bytes, more than --fail-over %" PRIu64,
                     listing->diff ? "growth is" : "total is", number.failed ? "?" : number.bytes, allowed);
    ca_text_deinit(&number);
}

/* Lines of text as messages. */
static void coverage_message(const struct ca_listing *listing, struct ca_run *run)
{
    struct ca_text text = {0};
    ca_listing_add_coverage(listing, &text);
    char *rest = text.failed ? NULL : text.bytes;
    for (char *end; rest && (end = strchr(rest, '\n')); rest = end + 1) {
        *end = '\0';
        ca_message_print(run->output, "%s", rest);
    }
    ca_text_deinit(&text);
}

static bool answer_write(struct ca_listing_owner *owner, struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_listing *listing = &owner->listing;
    switch (run->options.format) {
    case CA_FORMAT_JSON:
        ca_listing_write_json(listing, &run->sink);
        return true;
    case CA_FORMAT_CSV:
        ca_listing_write_csv(listing, &run->sink);
        return true;
    case CA_FORMAT_FOLDED:
        ca_listing_write_folded(listing, &run->sink);
        return true;
    case CA_FORMAT_SPEEDSCOPE:
    case CA_FORMAT_HTML:
        return ca_flames_write_listing(owner, run, ret_error);
    default:
        return ca_listing_write_text(listing, &run->sink, ret_error);
    }
}

/* Formats without a place for coverage. */
static bool is_bare(int format)
{
    return format == CA_FORMAT_CSV || format == CA_FORMAT_FOLDED || format == CA_FORMAT_SPEEDSCOPE;
}

bool ca_listing_write(struct ca_listing_owner *owner, struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_listing *listing = &owner->listing;
    if (!answer_write(owner, run, ret_error)) {
        return false;
    }
    if (is_bare(run->options.format)) {
        coverage_message(listing, run);
    }
    run->partial = run->partial || !ca_coverage_is_complete(listing->table) ||
                   (listing->old_table && !ca_coverage_is_complete(listing->old_table));
    ca_listing_check(owner, run);
    struct ca_listing printed = *listing;
    if (owner->stacks) { /* their frames are those of the table, too */
        printed.statistics = owner->stacks;
        printed.shown = owner->stacks->count;
    }
    return ca_problems_print(run, &printed, ret_error) && ca_problems_print_builds(run, &printed, ret_error);
}
