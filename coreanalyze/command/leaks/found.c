/* found.c: see found.h. */
#include "found.h"

#include <stdlib.h>
#include <string.h>

#include "../../memory/types.h"
#include "../../snapshot/index.h"
#include "../../util/grow.h"
#include "../selection.h"

const char *const ca_leak_words[] = {[CA_LEAK_DIRECT] = "direct", [CA_LEAK_INDIRECT] = "indirect"};

/* Leaks of one kind that have traceback, domain, thread and type in common. */
struct sums {
    struct ca_weight *weights;
    struct ca_samples *samples; /* beside them */
    size_t count, capacity, samples_capacity;
    struct ca_index index;
};

struct finding {
    struct ca_leaks_found *found;
    struct ca_snapshot *whole; /* with allocator functions: what suppressions are matched with */
    struct ca_selection *selection;
    bool by_thread;
    struct sums sums[CA_LEAK_KINDS];
    struct ca_error *error; /* of take_leak */
};

/* ------------------------------------------------------------------------------------------------ adding up
 */

static bool sum_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_weight *weight = &((const struct sums *)array)->weights[element], *wanted = key;
    return weight->traceback == wanted->traceback && weight->domain == wanted->domain &&
           weight->thread == wanted->thread && weight->label == wanted->label;
}

static uint32_t hash_of(const struct ca_weight *weight)
{
    return ca_hash_combine(ca_hash_combine(weight->label, weight->thread),
                           (uint64_t)weight->domain << 32 | weight->traceback);
}

static uint32_t sum_hash(const void *array, uint32_t element)
{
    return hash_of(&((const struct sums *)array)->weights[element]);
}

static const struct ca_index_type sum_type = {sum_equal, sum_hash};

static void samples_add(struct ca_samples *samples, uint64_t address)
{
    size_t at = samples->count < CA_SAMPLES_MAX ? samples->count++ : CA_SAMPLES_MAX;
    for (; at > 0 && samples->addresses[at - 1] > address; at--) {
        if (at < CA_SAMPLES_MAX) {
            samples->addresses[at] = samples->addresses[at - 1];
        }
    }
    if (at < CA_SAMPLES_MAX) {
        samples->addresses[at] = address;
    }
}

static bool sum_add(struct sums *sums, const struct ca_weight *key, const struct ca_block *block)
{
    uint32_t hash = hash_of(key);
    uint32_t element = ca_index_find(&sums->index, &sum_type, sums, key, hash);
    if (element == CA_INDEX_NONE) {
        if (sums->count >= UINT32_MAX - 1 || !CA_GROW(sums->weights, sums->capacity, sums->count + 1) ||
            !CA_GROW(sums->samples, sums->samples_capacity, sums->count + 1) ||
            !ca_index_reserve(&sums->index, &sum_type, sums)) {
            return false;
        }
        element = (uint32_t)sums->count++;
        sums->weights[element] = *key;
        sums->samples[element] = (struct ca_samples){0};
        ca_index_insert(&sums->index, element, hash);
    }
    sums->weights[element].size += block->size;
    sums->weights[element].count++;
    samples_add(&sums->samples[element], block->address);
    return true;
}

static bool take_leak(void *context, const struct ca_block *block, enum ca_leak leak)
{
    struct finding *finding = context;
    struct ca_trace trace = ca_trace_of_block(block);
    struct ca_weight key = {
        .traceback = block->stack, .domain = block->domain, .thread = finding->by_thread ? block->thread : 0};
    bool keeps;
    if (!ca_selection_keeps(finding->selection, &trace, &keeps, &finding->error)) {
        return false;
    }
    if (!keeps) {
        return true;
    }
    if (!ca_selection_label(finding->selection, &trace, &key.label, &finding->error)) {
        return false;
    }
    return sum_add(&finding->sums[leak], &key, block) || ca_fail_memory(&finding->error);
}

/* ------------------------------------------------------------------------------------------------- grouping
 */

/* members: weight -> number of its group. */
static bool samples_group(struct ca_leak_groups *groups, const struct sums *sums, const uint32_t *members)
{
    groups->samples = calloc(groups->statistics->count + 1, sizeof *groups->samples);
    for (size_t i = 0; groups->samples && i < sums->count; i++) {
        for (size_t s = 0; s < sums->samples[i].count; s++) {
            samples_add(&groups->samples[members[i]], sums->samples[i].addresses[s]);
        }
    }
    return groups->samples != NULL;
}

static bool kind_group(struct ca_leaks_found *found, struct ca_leak_groups *groups, const struct sums *sums,
                       struct ca_error **ret_error)
{
    static const struct ca_weight none;
    const struct ca_options *options = &found->run->options;
    const struct ca_weight *weights = sums->count ? sums->weights : &none;
    uint32_t *members = calloc(sums->count + 1, sizeof *members);
    bool done = members ? ca_statistics_compute_members(found->snapshot, weights, sums->count,
                                                        (enum ca_key)options->by, members,
                                                        &groups->statistics, ret_error)
                        : ca_fail_memory(ret_error);
    done = done && (samples_group(groups, sums, members) || ca_fail_memory(ret_error));
    free(members);
    if (done && options->format == CA_FORMAT_HTML && options->by != CA_KEY_TRACEBACK) {
        done = ca_statistics_compute(found->snapshot, weights, sums->count, CA_KEY_TRACEBACK,
                                     CA_CUMULATIVE_OFF, &groups->stacks, ret_error);
    }
    for (size_t i = 0; i < sums->count; i++) {
        groups->size += sums->weights[i].size;
        groups->count += sums->weights[i].count;
    }
    return done;
}

/* Direct leaks come first: with them the others go. */
static void groups_choose(struct ca_leaks_found *found)
{
    uint64_t limit = found->run->options.limit.value;
    uint64_t room = limit ? limit : UINT64_MAX;
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        struct ca_leak_groups *groups = &found->kinds[kind];
        groups->shown = groups->statistics->count < room ? groups->statistics->count : (size_t)room;
        room -= groups->shown;
        found->size += groups->size;
        found->count += groups->count;
        for (size_t i = groups->shown; i < groups->statistics->count; i++) {
            found->others++;
            found->other_size += groups->statistics->items[i].size;
            found->other_count += groups->statistics->items[i].count;
        }
    }
}

/* --------------------------------------------------------------------------------------------- suppressing
 */

static bool keeps_block(struct finding *finding, const struct ca_block *block, bool *ret_keeps)
{
    struct ca_trace trace = ca_trace_of_block(block);
    return ca_selection_keeps(finding->selection, &trace, ret_keeps, &finding->error);
}

/* What the filters leave out is no part of the answer, suppressed or not. */
static bool knows_leak(void *context, const struct ca_block *block, bool *ret_known)
{
    struct finding *finding = context;
    struct ca_leaks_found *found = finding->found;
    struct ca_suppression *suppression;
    bool keeps;
    if (!ca_suppressions_find(&found->suppressions, finding->whole, block->stack, &suppression,
                              &finding->error) ||
        !keeps_block(finding, block, &keeps)) {
        return false;
    }
    *ret_known = suppression != NULL;
    if (suppression && keeps) {
        suppression->size += block->size;
        suppression->count++;
        found->suppressed_size += block->size;
        found->suppressed_count++;
    }
    return true;
}

static bool holds_leak(void *context, const struct ca_block *block)
{
    struct finding *finding = context;
    bool keeps;
    if (!keeps_block(finding, block, &keeps)) {
        return false;
    }
    finding->found->held_size += keeps ? block->size : 0;
    finding->found->held_count += keeps;
    return true;
}

static bool suppress(struct finding *finding, struct ca_error **ret_error)
{
    const struct ca_release release = {finding, knows_leak, holds_leak};
    struct ca_leaks_found *found = finding->found;
    if (!found->suppressions.count) {
        return true;
    }
    finding->whole = ca_target_snapshot(found->run->targets[0], NULL, 0, true, ret_error);
    if (!finding->whole || !ca_reach_release(found->reach, &release, ret_error)) {
        return false;
    }
    if (finding->error) {
        *ret_error = finding->error;
        finding->error = NULL;
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------- finding
 */

static bool leaks_collect(struct finding *finding, struct ca_error **ret_error)
{
    struct ca_leaks_found *found = finding->found;
    if (!ca_reach_each_leak(found->reach, take_leak, finding, ret_error)) {
        return false;
    }
    if (finding->error) {
        *ret_error = finding->error;
        return false;
    }
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        if (!kind_group(found, &found->kinds[kind], &finding->sums[kind], ret_error)) {
            return false;
        }
    }
    groups_choose(found);
    return true;
}

static bool leaks_select(struct finding *finding, struct ca_memory *memory, struct ca_error **ret_error)
{
    struct ca_leaks_found *found = finding->found;
    const struct ca_options *options = &found->run->options;
    struct ca_types *types = NULL;
    finding->selection = ca_selection_create(options, found->table, found->snapshot, ret_error);
    bool done = finding->selection != NULL;
    if (done && options->by == CA_KEY_TYPE) {
        types = ca_types_create(memory, ret_error);
        done = types != NULL;
        ca_selection_set_types(finding->selection, types);
    }
    done = done &&
           (found->reach = ca_reach_create(memory, options->roots == CA_ROOTS_ALL, ret_error)) != NULL &&
           (ca_reach_mark(found->reach) || ca_fail_memory(ret_error)) && suppress(finding, ret_error) &&
           leaks_collect(finding, ret_error);
    ca_selection_destroy(finding->selection);
    ca_types_destroy(types);
    return done;
}

bool ca_leaks_find(struct ca_leaks_found *found, struct ca_run *run, struct ca_error **ret_error)
{
    const struct ca_options *options = &run->options;
    *found = (struct ca_leaks_found){.run = run};
    struct finding finding = {.found = found, .by_thread = options->by == CA_KEY_THREAD};
    for (size_t i = 0; i < options->suppressions.count; i++) {
        if (!ca_suppressions_read(&found->suppressions, options->suppressions.items[i], ret_error)) {
            return false;
        }
    }
    struct ca_memory *memory = ca_target_memory(run->targets[0], ret_error);
    if (!memory) {
        return false;
    }
    found->table = ca_memory_table(memory);
    found->snapshot = ca_target_snapshot(run->targets[0], options->skip.items, options->skip.count,
                                         options->no_skip, ret_error);
    bool done = found->snapshot && leaks_select(&finding, memory, ret_error);
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        free(finding.sums[kind].weights);
        free(finding.sums[kind].samples);
        ca_index_deinit(&finding.sums[kind].index);
    }
    return done;
}

void ca_leaks_deinit(struct ca_leaks_found *found)
{
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        ca_statistics_destroy(found->kinds[kind].statistics);
        ca_statistics_destroy(found->kinds[kind].stacks);
        free(found->kinds[kind].samples);
    }
    ca_suppressions_deinit(&found->suppressions);
    ca_reach_destroy(found->reach);
    *found = (struct ca_leaks_found){0};
}
