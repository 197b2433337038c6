/* problems.c: what could not be named, and why. */
#include "problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../snapshot/location.h"

void ca_build_id_format(char *buffer, const struct ca_module *module)
{
    strcpy(buffer, "none");
    for (uint32_t i = 0; i < module->build_id_length && i < TM_BUILD_ID_MAX; i++) {
        snprintf(buffer + 2 * i, 3, "%02x", module->build_id[i]);
    }
}

/* Names of modules, borrowed from a snapshot; of "MODULE(+0x...)" only the size of MODULE. */
struct printed {
    const char *name;
    size_t size;
};

struct printed_set {
    struct printed *items;
    size_t count;
};

static int printed_compare(const void *left, const void *right)
{
    const struct printed *a = left, *b = right;
    size_t common = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->name, b->name, common);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static bool has_problem(const struct ca_symbolizer *symbolizer, uint32_t module)
{
    enum ca_module_symbols status = ca_symbolizer_status(symbolizer, module);
    return status == CA_SYMBOLS_NO_FILE || status == CA_SYMBOLS_WRONG_BUILD_ID ||
           status == CA_SYMBOLS_UNREADABLE;
}

/* The frame's module; of an unnamed address in a group that agrees on no module, what its name says.
 * addresses: only of unnamed addresses. */
static void printed_add(struct printed_set *set, struct ca_snapshot *snapshot, const struct ca_frame *frame,
                        bool addresses)
{
    const char *filename = ca_snapshot_string(snapshot, frame->filename);
    size_t module_size;
    if (frame->module && !addresses) {
        const char *path = ca_snapshot_string(snapshot, frame->module);
        set->items[set->count++] = (struct printed){path, strlen(path)};
    } else if (ca_name_is_address(filename, &module_size) && module_size) {
        set->items[set->count++] = (struct printed){filename, module_size};
    }
}

/* path: of one more module, NULL = none. */
static bool printed_collect(struct printed_set *set, const struct ca_listing *listing, const char *path,
                            bool addresses, struct ca_error **ret_error)
{
    const struct ca_statistics *statistics = listing->statistics;
    size_t frames = 0;
    for (size_t i = 0; i < listing->shown; i++) {
        frames += statistics->items[i].frame_count;
    }
    set->count = 0;
    set->items = calloc(frames + 1, sizeof *set->items);
    if (!set->items) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < listing->shown; i++) {
        const struct ca_statistic *item = &statistics->items[i];
        size_t count = item->frame_count;
        if (statistics->key == CA_KEY_TRACEBACK && listing->has_nframe && listing->nframe < count) {
            count = listing->nframe;
        }
        for (size_t j = 0; j < count; j++) {
            printed_add(set, statistics->snapshot, ca_snapshot_frame(statistics->snapshot, item->frames[j]),
                        addresses);
        }
    }
    if (path) {
        set->items[set->count++] = (struct printed){path, strlen(path)};
    }
    qsort(set->items, set->count, sizeof *set->items, printed_compare);
    return true;
}

static bool printed_has(const struct printed_set *set, const char *path)
{
    struct printed key = {path, strlen(path)};
    return bsearch(&key, set->items, set->count, sizeof key, printed_compare) != NULL;
}

/* set NULL = all. A module of several load ranges or several times is said once. */
static bool target_print(struct ca_run *run, struct ca_target *target, const struct printed_set *set,
                         struct ca_error **ret_error)
{
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, ret_error);
    struct ca_table *table = symbolizer ? ca_target_table(target, ret_error) : NULL;
    if (!table) {
        return false;
    }
    const char *last = NULL;
    for (uint32_t i = 1; i < table->module_count; i++) {
        if (!has_problem(symbolizer, i) || (set && !printed_has(set, table->modules[i].path))) {
            continue;
        }
        const char *problem = ca_symbolizer_problem(symbolizer, i);
        if (problem && (!last || strcmp(last, problem) != 0)) {
            ca_message_print(run->output, "%s", problem);
            last = problem;
        }
        run->partial = true;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------- builds */

static const char *build_text(const struct ca_mapped *module)
{
    return module->build_id[0] ? module->build_id : "none";
}

/* The module of that path on the other side, where that side has only other builds of it; else NULL. */
static const struct ca_mapped *other_build(const struct ca_mapped *modules, size_t count,
                                           const struct ca_mapped *module)
{
    const struct ca_mapped *other = NULL;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(modules[i].path, module->path) == 0) {
            if (strcmp(modules[i].build_id, module->build_id) == 0) {
                return NULL;
            }
            other = &modules[i];
        }
    }
    return other;
}

static void print_difference_builds(struct ca_run *run, const struct ca_listing *listing,
                                    const struct printed_set *set)
{
    size_t count, old_count;
    const struct ca_mapped *modules = ca_snapshot_mapped(listing->statistics->snapshot, &count);
    const struct ca_mapped *old_modules = ca_snapshot_mapped(listing->old_snapshot, &old_count);
    for (size_t i = 1; i < count; i++) {
        const struct ca_mapped *other =
            printed_has(set, modules[i].path) ? other_build(old_modules, old_count, &modules[i]) : NULL;
        if (other) {
            ca_message_print(run->output,
                             "%s: build-id %s in the old, %s in the new: equal addresses without names may "
                             "be different code",
                             modules[i].path, build_text(other), build_text(&modules[i]));
        }
    }
}

/* The first module of that path, if it is of another build; else NULL. *ret_more: of that path another build
 * stands between them, so that this has been said. */
static const struct ca_mapped *first_build(const struct ca_mapped *modules, size_t at, bool *ret_more)
{
    const struct ca_mapped *first = NULL;
    *ret_more = false;
    for (size_t i = 1; i < at; i++) {
        if (strcmp(modules[i].path, modules[at].path) == 0) {
            *ret_more = *ret_more || (first && strcmp(first->build_id, modules[i].build_id) != 0);
            first = first ? first : &modules[i];
        }
    }
    return first && strcmp(first->build_id, modules[at].build_id) != 0 ? first : NULL;
}

static void print_sum_builds(struct ca_run *run, const struct ca_listing *listing,
                             const struct printed_set *set)
{
    size_t count;
    const struct ca_mapped *modules = ca_snapshot_mapped(listing->statistics->snapshot, &count);
    for (size_t i = 2; i < count; i++) {
        bool more;
        const struct ca_mapped *first =
            printed_has(set, modules[i].path) ? first_build(modules, i, &more) : NULL;
        if (first && !more) {
            ca_message_print(run->output,
                             "%s: build-ids %s and %s among the sources: equal addresses without names may "
                             "be different code",
                             modules[i].path, build_text(first), build_text(&modules[i]));
        }
    }
}

bool ca_problems_print_builds(struct ca_run *run, const struct ca_listing *listing,
                              struct ca_error **ret_error)
{
    struct printed_set set;
    if (!listing->old_snapshot && listing->table->coverage.sources < 2) {
        return true;
    }
    if (!printed_collect(&set, listing, NULL, true, ret_error)) {
        return false;
    }
    (listing->old_snapshot ? print_difference_builds : print_sum_builds)(run, listing, &set);
    free(set.items);
    return true;
}

/* ------------------------------------------------------------------------------------------ sources of a sum
 */

struct ca_problem {
    char *path; /* the module's */
    char *message;
};

static bool problem_add(struct ca_run *run, const char *path, const char *message)
{
    for (size_t i = 0; i < run->problem_count; i++) {
        if (strcmp(run->problems[i].message, message) == 0) {
            return true;
        }
    }
    struct ca_problem *problems = realloc(run->problems, (run->problem_count + 1) * sizeof *problems);
    if (!problems) {
        return false;
    }
    run->problems = problems;
    struct ca_problem problem = {strdup(path), strdup(message)};
    problems[run->problem_count++] = problem;
    return problem.path && problem.message;
}

bool ca_problems_collect(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error)
{
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, ret_error);
    struct ca_table *table = symbolizer ? ca_target_table(target, ret_error) : NULL;
    if (!table) {
        return false;
    }
    for (uint32_t i = 1; i < table->module_count; i++) {
        const char *problem = has_problem(symbolizer, i) ? ca_symbolizer_problem(symbolizer, i) : NULL;
        if (problem && !problem_add(run, table->modules[i].path, problem)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

void ca_problems_forget(struct ca_run *run)
{
    for (size_t i = 0; i < run->problem_count; i++) {
        free(run->problems[i].path);
        free(run->problems[i].message);
    }
    free(run->problems);
    run->problems = NULL;
    run->problem_count = 0;
}

/* set NULL = all. */
static void collected_print(struct ca_run *run, const struct printed_set *set)
{
    for (size_t i = 0; i < run->problem_count; i++) {
        if (!set || printed_has(set, run->problems[i].path)) {
            ca_message_print(run->output, "%s", run->problems[i].message);
            run->partial = true;
        }
    }
}

bool ca_problems_print(struct ca_run *run, const struct ca_listing *listing, struct ca_error **ret_error)
{
    struct printed_set set;
    if (!printed_collect(&set, listing, run->place_module, false, ret_error)) {
        return false;
    }
    bool done = true;
    for (size_t i = 0; i < 2 && done; i++) {
        done = !run->targets[i] || target_print(run, run->targets[i], &set, ret_error);
    }
    if (done) {
        collected_print(run, &set);
    }
    free(set.items);
    return done;
}

bool ca_problems_print_all(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error)
{
    if (!target_print(run, target, NULL, ret_error)) {
        return false;
    }
    collected_print(run, NULL);
    return true;
}
