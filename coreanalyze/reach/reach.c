/* reach.c: see reach.h. */
#include "reach.h"

#include <stdlib.h>
#include <string.h>

#include "../terminal/progress.h"

/* ------------------------------------------------------------------------------------------------ marking */

static bool mark_words(struct ca_reach *reach, const uint64_t *words, size_t count,
                       struct ca_error **ret_error)
{
    return ca_graph_root_words(&reach->graph, ca_memory_source(reach->memory), words, count, ret_error);
}

static bool mark_roots(struct ca_reach *reach, struct ca_error **ret_error)
{
    size_t count;
    struct ca_source *source = ca_memory_source(reach->memory);
    const struct ca_thread_state *threads = ca_memory_threads(reach->memory, &count);
    for (size_t i = 0; i < count; i++) {
        if (!mark_words(reach, threads[i].registers, threads[i].register_count, ret_error)) {
            return false;
        }
    }
    const struct ca_areas *areas = &reach->areas;
    if (!mark_words(reach, areas->words, areas->word_count, ret_error)) {
        return false;
    }
    uint64_t done = 0, total = 0;
    for (size_t i = 0; i < areas->count; i++) {
        total += areas->items[i].end - areas->items[i].start;
    }
    for (size_t i = 0; i < areas->count; i++) {
        ca_progress_report(&(struct ca_progress){
            .phase = "looking for pointers outside of blocks", .done = done, .total = total, .bytes = true});
        done += areas->items[i].end - areas->items[i].start;
        if (!ca_graph_root_range(&reach->graph, source, areas->items[i].start, areas->items[i].end,
                                 &reach->missing_bytes, ret_error)) {
            return false;
        }
    }
    return true;
}

static bool bit_get(const uint64_t *bits, uint32_t id)
{
    return bits[id / 64] >> (id % 64) & 1;
}

/* Targets of blocks that are not reached are no direct leaks. */
static void mark_indirect(struct ca_reach *reach)
{
    const struct ca_graph *graph = &reach->graph;
    for (uint32_t id = 0; id < reach->set.count; id++) {
        if (graph->reached[id / 64] == UINT64_MAX) {
            id |= 63;
            continue;
        }
        for (uint32_t i = graph->first[id]; !ca_graph_reached(graph, id) && i < graph->first[id + 1]; i++) {
            uint32_t target = graph->targets[i];
            reach->indirect[target / 64] |= UINT64_C(1) << (target % 64);
        }
    }
}

/* --------------------------------------------------------------------------------------------------- life */

static bool reach_make(struct ca_reach *reach, bool mappings, struct ca_error **ret_error)
{
    struct ca_memory *memory = reach->memory;
    if (!ca_block_set_init(&reach->set, ca_memory_table(memory), ret_error) ||
        !ca_areas_init(&reach->areas, memory, &reach->set, mappings, ret_error) ||
        !ca_graph_init(&reach->graph, &reach->set, ca_memory_source(memory), ret_error)) {
        return false;
    }
    reach->missing_bytes = reach->graph.missing;
    return mark_roots(reach, ret_error);
}

bool ca_reach_mark(struct ca_reach *reach)
{
    reach->indirect = calloc(reach->set.count / 64 + 1, sizeof *reach->indirect);
    if (reach->indirect) {
        ca_graph_mark(&reach->graph);
        mark_indirect(reach);
    }
    return reach->indirect != NULL;
}

struct ca_reach *ca_reach_create(struct ca_memory *memory, bool mappings, struct ca_error **ret_error)
{
    struct ca_reach *reach = calloc(1, sizeof *reach);
    if (!reach) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    reach->memory = memory;
    if (!reach_make(reach, mappings, ret_error)) {
        ca_reach_destroy(reach);
        return NULL;
    }
    return reach;
}

void ca_reach_destroy(struct ca_reach *reach)
{
    if (reach) {
        ca_graph_deinit(&reach->graph);
        ca_areas_deinit(&reach->areas);
        ca_block_set_deinit(&reach->set);
        free(reach->indirect);
        free(reach);
    }
}

/* -------------------------------------------------------------------------------------------------- leaks */

static bool block_get(const struct ca_reach *reach, uint32_t id, struct ca_block *ret_block, bool *ret_found,
                      struct ca_error **ret_error)
{
    const struct ca_extent *extent = ca_block_set_get(&reach->set, id);
    return ca_table_block_at(ca_memory_table(reach->memory), extent->start, ca_extent_size(extent),
                             extent->size & CA_EXTENT_FOREIGN, ret_block, ret_found, ret_error);
}

bool ca_reach_each_leak(const struct ca_reach *reach,
                        bool (*each)(void *context, const struct ca_block *block, enum ca_leak leak),
                        void *context, struct ca_error **ret_error)
{
    for (uint32_t id = 0; id < reach->set.count; id++) {
        if (reach->graph.reached[id / 64] == UINT64_MAX) {
            id |= 63;
            continue;
        }
        if (ca_graph_reached(&reach->graph, id)) {
            continue;
        }
        struct ca_block block;
        bool found;
        if (!block_get(reach, id, &block, &found, ret_error)) {
            return false;
        }
        if (found &&
            !each(context, &block, bit_get(reach->indirect, id) ? CA_LEAK_INDIRECT : CA_LEAK_DIRECT)) {
            return true;
        }
    }
    return true;
}

/* Reaches each leak that is known, nothing else yet. *ret_ended: `knows` has ended it. */
static bool known_reach(struct ca_reach *reach, const struct ca_release *release, bool *ret_ended,
                        struct ca_error **ret_error)
{
    for (uint32_t id = 0; id < reach->set.count; id++) {
        struct ca_block block;
        bool found, known = false;
        if (ca_graph_reached(&reach->graph, id)) {
            continue;
        }
        if (!block_get(reach, id, &block, &found, ret_error)) {
            return false;
        }
        if (found && !release->knows(release->context, &block, &known)) {
            *ret_ended = true;
            return true;
        }
        if (known) {
            ca_graph_reach(&reach->graph, id);
        }
    }
    return true;
}

/* Tells of what is reached now and was not by the bits `before`. */
static bool held_tell(const struct ca_reach *reach, const struct ca_release *release, const uint64_t *before,
                      struct ca_error **ret_error)
{
    for (uint32_t id = 0; id < reach->set.count; id++) {
        struct ca_block block;
        bool found;
        if (!ca_graph_reached(&reach->graph, id) || bit_get(before, id)) {
            continue;
        }
        if (!block_get(reach, id, &block, &found, ret_error)) {
            return false;
        }
        if (found && !release->held(release->context, &block)) {
            break;
        }
    }
    return true;
}

bool ca_reach_release(struct ca_reach *reach, const struct ca_release *release, struct ca_error **ret_error)
{
    size_t size = (reach->set.count / 64 + 1) * sizeof(uint64_t);
    bool ended = false;
    if (!known_reach(reach, release, &ended, ret_error) || ended) {
        return ended;
    }
    uint64_t *before = malloc(size);
    if (!before) {
        return ca_fail_memory(ret_error);
    }
    memcpy(before, reach->graph.reached, size);
    ca_graph_mark(&reach->graph);
    memset(reach->indirect, 0, size);
    mark_indirect(reach);
    bool done = held_tell(reach, release, before, ret_error);
    free(before);
    return done;
}
