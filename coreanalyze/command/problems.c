/* problems.c: what could not be named, and why. */
#include "problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    free(set.items);
    return done;
}

static bool same_build(const struct ca_module *left, const struct ca_module *right)
{
    return left->build_id_length == right->build_id_length &&
           memcmp(left->build_id, right->build_id, left->build_id_length) == 0;
}

/* The module of that path on the other side, where that side has only other builds of it; else NULL. */
static const struct ca_module *other_build(const struct ca_table *table, const struct ca_module *module)
{
    const struct ca_module *other = NULL;
    for (size_t i = 1; i < table->module_count; i++) {
        const struct ca_module *candidate = &table->modules[i];
        if (strcmp(candidate->path, module->path) == 0) {
            if (same_build(candidate, module)) {
                return NULL;
            }
            other = candidate;
        }
    }
    return other;
}

bool ca_problems_print_builds(struct ca_run *run, const struct ca_listing *listing,
                              struct ca_error **ret_error)
{
    struct printed_set set;
    if (!printed_collect(&set, listing, NULL, true, ret_error)) {
        return false;
    }
    for (size_t i = 1; i < listing->table->module_count; i++) {
        const struct ca_module *module = &listing->table->modules[i];
        const struct ca_module *other =
            printed_has(&set, module->path) ? other_build(listing->old_table, module) : NULL;
        if (other) {
            char old_id[CA_BUILD_ID_TEXT], new_id[CA_BUILD_ID_TEXT];
            ca_build_id_format(old_id, other);
            ca_build_id_format(new_id, module);
            ca_message_print(run->output,
                             "%s: build-id %s in the old, %s in the new: equal addresses without names may "
                             "be different code",
                             module->path, old_id, new_id);
        }
    }
    free(set.items);
    return true;
}

bool ca_problems_print_all(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error)
{
    return target_print(run, target, NULL, ret_error);
}
