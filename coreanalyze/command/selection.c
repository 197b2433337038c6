/* selection.c: tracemalloc's filters, and those that only a native program has. */
#include "selection.h"

#include <stdlib.h>
#include <string.h>

#include "../memory/types.h"

struct ca_selection {
    const struct ca_options *options;
    const struct ca_table *table;
    struct ca_snapshot *snapshot;
    struct ca_filter_set *filters;
    struct ca_types *types;
    struct ca_error *error; /* of looking for a type */

    /* The last decision about a traceback in a domain. */
    bool decided, keeps;
    uint32_t domain, traceback;
};

static bool needs_blocks(const struct ca_options *options)
{
    return options->min_size.given || options->max_size.given || options->older.given || options->newer.given;
}

static bool needs_types(const struct ca_options *options)
{
    return options->by == CA_KEY_TYPE;
}

static bool needs_threads(const struct ca_options *options)
{
    return options->thread_count || options->by == CA_KEY_THREAD;
}

static bool check_recorded(const struct ca_options *options, const struct ca_table *table,
                           struct ca_error **ret_error)
{
    const char *option = options->thread_count          ? "--thread"
                         : options->by == CA_KEY_THREAD ? "--by thread"
                         : options->older.given         ? "--older"
                         : options->newer.given         ? "--newer"
                                                        : NULL;
    if (option && !(table->root.features & TM_FEATURE_DETAIL)) {
        return ca_fail(ret_error, CA_USAGE,
                       "%s needs thread and time of every block, which this process did not record; run it "
                       "with detail=1 (tm-run -o detail=1)",
                       option);
    }
    if ((options->older.given || options->newer.given) && table->newest_time == 0 && table->coverage.blocks) {
        return ca_fail(ret_error, CA_USAGE,
                       "%s needs the time of every block, which snapshot files do not hold", option);
    }
    if (options->value != CA_VALUE_LIVE && (option || needs_blocks(options) || needs_types(options))) {
        return ca_fail(ret_error, CA_USAGE,
                       "%s is about single blocks, --value %s about blocks that may be gone",
                       option                    ? option
                       : needs_types(options)    ? "--by type"
                       : options->min_size.given ? "--min-size"
                                                 : "--max-size",
                       options->value == CA_VALUE_PEAK ? "peak" : "total");
    }
    return true;
}

struct ca_selection *ca_selection_create(const struct ca_options *options, const struct ca_table *table,
                                         struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    if (!check_recorded(options, table, ret_error)) {
        return NULL;
    }
    struct ca_selection *selection = malloc(sizeof *selection);
    if (!selection) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    *selection = (struct ca_selection){.options = options, .table = table, .snapshot = snapshot};
    if (options->filter_count) {
        selection->filters =
            ca_filter_set_create(snapshot, options->filters, options->filter_count, ret_error);
        if (!selection->filters) {
            free(selection);
            return NULL;
        }
    }
    return selection;
}

struct ca_selection *ca_selection_of_target(const struct ca_options *options, struct ca_target *target,
                                            struct ca_snapshot **ret_snapshot, struct ca_error **ret_error)
{
    struct ca_table *table = ca_target_table(target, ret_error);
    *ret_snapshot = table ? ca_target_snapshot(target, options->skip.items, options->skip.count,
                                               options->no_skip, ret_error)
                          : NULL;
    return *ret_snapshot ? ca_selection_create(options, table, *ret_snapshot, ret_error) : NULL;
}

bool ca_selection_chooses(void *context, const struct ca_trace *trace, bool *ret_keeps,
                          struct ca_error **ret_error)
{
    return ca_selection_keeps(context, trace, ret_keeps, ret_error);
}

void ca_selection_set_types(struct ca_selection *selection, struct ca_types *types)
{
    selection->types = types;
}

void ca_selection_destroy(struct ca_selection *selection)
{
    if (selection) {
        ca_filter_set_destroy(selection->filters);
        free(selection);
    }
}

/* ------------------------------------------------------------------------------------ function and module */

static bool any_matches(const struct ca_list *globs, const char *name)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (ca_pattern_matches(globs->items[i], strlen(globs->items[i]), name, strlen(name))) {
            return true;
        }
    }
    return false;
}

static bool module_matches(const struct ca_list *globs, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < globs->count; i++) {
        const char *glob = globs->items[i];
        const char *name = slash && !strchr(glob, '/') ? slash + 1 : path;
        if (ca_pattern_matches(glob, strlen(glob), name, strlen(name))) {
            return true;
        }
    }
    return false;
}

/* What --by function and --by module call a frame is what the globs are matched with. */
static bool frame_matches(const struct ca_selection *selection, uint32_t frame_id)
{
    const struct ca_options *options = selection->options;
    const struct ca_frame *frame = ca_snapshot_frame(selection->snapshot, frame_id);
    uint32_t function = frame->function ? frame->function : frame->filename;
    const char *module = frame->module ? ca_snapshot_string(selection->snapshot, frame->module) : "<unknown>";
    return (!options->functions.count ||
            any_matches(&options->functions, ca_snapshot_string(selection->snapshot, function))) &&
           (!options->modules.count || module_matches(&options->modules, module));
}

static bool names_keep(struct ca_selection *selection, uint32_t traceback, bool *ret_keeps,
                       struct ca_error **ret_error)
{
    const struct ca_options *options = selection->options;
    *ret_keeps = true;
    if (!options->functions.count && !options->modules.count) {
        return true;
    }
    size_t count;
    size_t wanted = options->all_frames ? SIZE_MAX : 1;
    const uint32_t *frames = ca_snapshot_traceback(selection->snapshot, traceback, wanted, &count, ret_error);
    if (!frames) {
        return false;
    }
    *ret_keeps = false;
    for (size_t i = 0; i < count && i < wanted && !*ret_keeps; i++) {
        *ret_keeps = frame_matches(selection, frames[i]);
    }
    return true;
}

/* What depends on traceback and domain alone. */
static bool traceback_keeps(struct ca_selection *selection, uint32_t domain, uint32_t traceback,
                            bool *ret_keeps, struct ca_error **ret_error)
{
    if (!selection->decided || selection->domain != domain || selection->traceback != traceback) {
        bool keeps = true;
        selection->decided = false;
        if (selection->filters &&
            !ca_filter_set_keeps(selection->filters, domain, traceback, &keeps, ret_error)) {
            return false;
        }
        if (keeps && !names_keep(selection, traceback, &keeps, ret_error)) {
            return false;
        }
        selection->decided = true;
        selection->keeps = keeps;
        selection->domain = domain;
        selection->traceback = traceback;
    }
    *ret_keeps = selection->keeps;
    return true;
}

/* ------------------------------------------------------------------------------------------------- blocks */

static bool thread_keeps(const struct ca_options *options, uint32_t thread)
{
    for (size_t i = 0; i < options->thread_count; i++) {
        if (options->threads[i] == thread) {
            return true;
        }
    }
    return options->thread_count == 0;
}

/* Ages count to the newest time stamp in the table, never to the reader's clock. */
static bool block_keeps(const void *context, const struct ca_trace *trace)
{
    const struct ca_selection *selection = context;
    const struct ca_options *options = selection->options;
    uint64_t newest = selection->table->newest_time;
    uint64_t age = newest > trace->time ? newest - trace->time : 0;
    return (!options->min_size.given || trace->size >= options->min_size.value) &&
           (!options->max_size.given || trace->size <= options->max_size.value) &&
           (!options->older.given || age >= options->older.value) &&
           (!options->newer.given || age < options->newer.value) && thread_keeps(options, trace->thread);
}

bool ca_selection_keeps(struct ca_selection *selection, const struct ca_trace *trace, bool *ret_keeps,
                        struct ca_error **ret_error)
{
    if (!block_keeps(selection, trace)) {
        *ret_keeps = false;
        return true;
    }
    return traceback_keeps(selection, trace->domain, trace->traceback, ret_keeps, ret_error);
}

bool ca_selection_label(struct ca_selection *selection, const struct ca_trace *trace, uint32_t *ret_label,
                        struct ca_error **ret_error)
{
    const char *name;
    *ret_label = 0;
    if (!selection->types) {
        return true;
    }
    if (!ca_types_find(selection->types, trace->address, trace->size, &name, ret_error)) {
        return false;
    }
    *ret_label = ca_snapshot_add_string(selection->snapshot, name, strlen(name));
    return *ret_label != UINT32_MAX || ca_fail_memory(ret_error);
}

static bool label_trace(void *context, const struct ca_trace *trace, uint32_t *ret_label)
{
    struct ca_selection *selection = context;
    return ca_selection_label(selection, trace, ret_label, &selection->error);
}

/* Looks at each block. */
static bool weigh_blocks(struct ca_selection *selection, struct ca_weight **ret_weights, size_t *ret_count,
                         struct ca_error **ret_error)
{
    const struct ca_labeller labeller = {label_trace, selection};
    if (ca_snapshot_weights_where(selection->snapshot, needs_threads(selection->options), block_keeps,
                                  selection, selection->types ? &labeller : NULL, ret_weights, ret_count,
                                  ret_error)) {
        return true;
    }
    if (selection->error) {
        ca_error_destroy(*ret_error);
        *ret_error = selection->error;
        selection->error = NULL;
    }
    return false;
}

bool ca_selection_weights(struct ca_selection *selection, struct ca_weight **ret_weights, size_t *ret_count,
                          struct ca_error **ret_error)
{
    const struct ca_options *options = selection->options;
    struct ca_weight *weights;
    size_t count;
    bool read = needs_blocks(options) || needs_types(options)
                    ? weigh_blocks(selection, &weights, &count, ret_error)
                    : ca_snapshot_weights(selection->snapshot, options->value, needs_threads(options),
                                          &weights, &count, ret_error);
    if (!read) {
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool keeps = thread_keeps(options, weights[i].thread);
        if (keeps &&
            !traceback_keeps(selection, weights[i].domain, weights[i].traceback, &keeps, ret_error)) {
            free(weights);
            return false;
        }
        if (keeps) {
            weights[kept++] = weights[i];
        }
    }
    *ret_weights = weights;
    *ret_count = kept;
    return true;
}
