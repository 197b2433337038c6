/* graph.c: see graph.h. */
#include "graph.h"

#include <stdlib.h>

#include "../terminal/progress.h"
#include "../util/grow.h"
#include "../util/large.h"
#include "reader.h"

enum {
    WORD = 8,
    PAGE = 4096,
    BATCH = 256, /* words that are looked up together: while one is fetched from memory the others are, too */
    AHEAD = 64,  /* blocks whose targets are on their way while marking */
    GAP = 4 * PAGE, /* bytes between blocks that are fetched with them rather than left out */
};

/* Ids of targets are numbered with 32 bits. */
#define TARGETS_MAX ((size_t)UINT32_MAX)

struct scan {
    struct ca_graph *graph;
    struct ca_reader reader;
    uint64_t fetch_end; /* how far a fetch may go */
    uint64_t missing;
    uint64_t last; /* the word before: equal neighbours count once */
    size_t filled; /* blocks whose `first` is known */
    uint32_t last_owner, last_target;
    bool failed;            /* out of memory, or of numbers */
    struct ca_error *error; /* of a read while words are looked up */
    size_t pending;
    uint64_t values[BATCH];
    uint32_t owners[BATCH];
    const uint32_t *entries[BATCH];
};

/* ------------------------------------------------------------------------------------------------ targets */

static void reach(struct ca_graph *graph, uint32_t id)
{
    uint64_t bit = UINT64_C(1) << (id % 64);
    if (!(graph->reached[id / 64] & bit)) {
        graph->reached[id / 64] |= bit;
        graph->queue[graph->queued++] = id;
    }
}

void ca_graph_reach(struct ca_graph *graph, uint32_t id)
{
    reach(graph, id);
}

static void targets_begin(struct scan *scan, size_t owner)
{
    while (scan->filled <= owner) {
        scan->graph->first[scan->filled++] = (uint32_t)scan->graph->target_count;
    }
}

/* A pointer of a block to itself keeps nothing. */
static void target_add(struct scan *scan, uint32_t owner, uint32_t target)
{
    struct ca_graph *graph = scan->graph;
    if (owner == CA_NO_BLOCK) {
        reach(graph, target);
        return;
    }
    if (owner == target || (owner == scan->last_owner && target == scan->last_target)) {
        return;
    }
    if (graph->target_count >= TARGETS_MAX ||
        !CA_GROW(graph->targets, graph->target_capacity, graph->target_count + 1)) {
        scan->failed = true;
        return;
    }
    targets_begin(scan, owner);
    graph->targets[graph->target_count++] = target;
    scan->last_owner = owner;
    scan->last_target = target;
}

/* new T[0] of a class with destructor gives the end of a block that holds the number 0. */
static bool is_empty_array(struct scan *scan, const struct ca_extent *block, uint64_t offset)
{
    uint64_t number = 1;
    size_t got = 0;
    return offset == WORD && ca_extent_size(block) == WORD && !scan->error &&
           ca_source_read_some(scan->reader.source, block->start, &number, WORD, &got, &scan->error) &&
           got == WORD && number == 0;
}

static inline void value_resolve(struct scan *scan, const struct ca_block_level *level, uint64_t value,
                                 uint32_t entry, uint32_t owner)
{
    size_t number = ca_block_before(level, value, entry);
    if (number == level->count) {
        return;
    }
    const struct ca_extent *block = &level->blocks[number];
    uint64_t offset = value - block->start;
    if (offset < ca_extent_size(block) || offset == 0 || is_empty_array(scan, block, offset)) {
        target_add(scan, owner, level->first + (uint32_t)number);
    }
}

static void batch_resolve(struct scan *scan)
{
    const struct ca_block_set *set = scan->graph->set;
    const struct ca_block_level *outer = &set->levels[0];
    for (size_t i = 0; i < scan->pending; i++) {
        scan->entries[i] =
            scan->values[i] - outer->low < outer->span ? ca_block_entry(outer, scan->values[i]) : NULL;
        __builtin_prefetch(scan->entries[i]);
    }
    for (size_t i = 0; i < scan->pending; i++) {
        if (scan->entries[i]) {
            __builtin_prefetch(&outer->blocks[*scan->entries[i] & ~CA_NO_MORE]);
        }
    }
    for (size_t i = 0; i < scan->pending; i++) {
        if (scan->entries[i]) {
            value_resolve(scan, outer, scan->values[i], *scan->entries[i], scan->owners[i]);
        }
        for (size_t at = 1; at < set->level_count; at++) {
            const struct ca_block_level *level = &set->levels[at];
            if (scan->values[i] - level->low < level->span) {
                value_resolve(scan, level, scan->values[i], *ca_block_entry(level, scan->values[i]),
                              scan->owners[i]);
            }
        }
    }
    scan->pending = 0;
}

/* ----------------------------------------------------------------------------------------------- scanning */

/* A pointer lies at an address that is a multiple of 8. */
static inline void words_look_at(struct scan *scan, const uint8_t *bytes, size_t count, uint32_t owner)
{
    uint64_t low = scan->graph->set->low, span = scan->graph->set->span;
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, bytes + i * WORD, WORD);
        if (value - low >= span || value == scan->last) {
            continue;
        }
        scan->last = value;
        scan->values[scan->pending] = value;
        scan->owners[scan->pending] = owner;
        if (++scan->pending == BATCH) {
            batch_resolve(scan);
        }
    }
}

static bool words_scan(struct scan *scan, uint64_t start, uint64_t end, uint32_t owner,
                       struct ca_error **ret_error)
{
    scan->last = 0;
    uint64_t at = (start + WORD - 1) & ~(uint64_t)(WORD - 1);
    while (at + WORD <= end) {
        size_t has = ca_reader_has(&scan->reader, at);
        if (has < WORD) {
            uint64_t fetch_end = scan->fetch_end > end ? scan->fetch_end : end;
            if (!ca_reader_fill(&scan->reader, at, fetch_end, &has, ret_error)) {
                return false;
            }
        }
        if (has < WORD) {
            uint64_t next = (at | (PAGE - 1)) + 1;
            next = next < end ? next : end;
            scan->missing += next - at;
            at = next;
            continue;
        }
        uint64_t size = end - at < has ? end - at : has;
        words_look_at(scan, ca_reader_at(&scan->reader, at), (size_t)size / WORD, owner);
        at += size & ~(uint64_t)(WORD - 1);
    }
    return true;
}

/* What lies in blocks of this level or a further one is theirs. */
static bool range_scan(struct scan *scan, size_t at_level, uint64_t start, uint64_t end, uint32_t owner,
                       struct ca_error **ret_error)
{
    const struct ca_block_set *set = scan->graph->set;
    if (at_level >= set->level_count) {
        return words_scan(scan, start, end, owner, ret_error);
    }
    const struct ca_block_level *level = &set->levels[at_level];
    uint64_t at = start;
    for (size_t i = ca_block_level_from(level, start); i < level->count && level->blocks[i].start < end;
         i++) {
        const struct ca_extent *block = &level->blocks[i];
        if (block->start > at && !range_scan(scan, at_level + 1, at, block->start, owner, ret_error)) {
            return false;
        }
        at = ca_extent_end(block) > at ? ca_extent_end(block) : at;
    }
    return at >= end || range_scan(scan, at_level + 1, at, end, owner, ret_error);
}

/* The end of the blocks from `number` on that are fetched in one piece. */
static uint64_t fetch_plan(const struct ca_block_level *level, size_t number)
{
    uint64_t start = level->blocks[number].start, end = ca_extent_end(&level->blocks[number]);
    while (++number < level->count && level->blocks[number].start - start < CA_READER_CHUNK &&
           level->blocks[number].start < end + GAP) {
        end = ca_extent_end(&level->blocks[number]);
    }
    return end;
}

static bool level_scan(struct scan *scan, size_t at_level, struct ca_error **ret_error)
{
    const struct ca_block_set *set = scan->graph->set;
    const struct ca_block_level *level = &set->levels[at_level];
    bool in_memory = ca_source_in_memory(scan->reader.source);
    for (size_t i = 0; i < level->count && !scan->failed; i++) {
        const struct ca_extent *block = &level->blocks[i];
        uint64_t end = ca_extent_end(block);
        ca_progress_count("looking for pointers in blocks", i, level->count);
        if (!in_memory && end > scan->fetch_end) {
            scan->fetch_end = fetch_plan(level, i);
        }
        if (!range_scan(scan, at_level + 1, block->start, end, level->first + (uint32_t)i, ret_error)) {
            return false;
        }
    }
    return true;
}

static struct scan *scan_create(struct ca_graph *graph, struct ca_source *source, struct ca_error **ret_error)
{
    struct scan *scan = malloc(sizeof *scan);
    if (!scan) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    memset(scan, 0, offsetof(struct scan, values));
    scan->graph = graph;
    scan->reader.source = source;
    scan->last_owner = CA_NO_BLOCK;
    return scan;
}

/* Looks up what is pending and frees the scan. */
static bool scan_end(struct scan *scan, bool done, struct ca_error **ret_error)
{
    if (done) {
        batch_resolve(scan);
    }
    if (done && scan->error) {
        *ret_error = scan->error;
        scan->error = NULL;
        done = false;
    }
    ca_error_destroy(scan->error);
    if (done && scan->failed) {
        done = scan->graph->target_count >= TARGETS_MAX
                   ? ca_fail(ret_error, CA_NOTHING,
                             "blocks with more than %zu pointers are too many to be followed", TARGETS_MAX)
                   : ca_fail_memory(ret_error);
    }
    if (done && scan->filled) {
        targets_begin(scan, scan->graph->set->count);
    }
    ca_reader_deinit(&scan->reader);
    free(scan);
    return done;
}

/* -------------------------------------------------------------------------------------------------- life */

bool ca_graph_init(struct ca_graph *graph, const struct ca_block_set *set, struct ca_source *source,
                   struct ca_error **ret_error)
{
    *graph = (struct ca_graph){.set = set};
    graph->first = ca_allocate_large((set->count + 1) * sizeof *graph->first);
    graph->reached = calloc(set->count / 64 + 1, sizeof *graph->reached);
    graph->queue = malloc((set->count + 1) * sizeof *graph->queue);
    graph->target_capacity = set->count + set->count / 2 + 16;
    graph->targets = ca_allocate_large(graph->target_capacity * sizeof *graph->targets);
    if (!graph->first || !graph->targets || !graph->reached || !graph->queue) {
        return ca_fail_memory(ret_error);
    }
    struct scan *scan = scan_create(graph, source, ret_error);
    bool done = scan != NULL;
    if (done) {
        targets_begin(scan, 0);
        for (size_t i = 0; done && i < set->level_count; i++) {
            scan->fetch_end = 0;
            done = level_scan(scan, i, ret_error);
        }
        graph->missing = scan->missing;
        done = scan_end(scan, done, ret_error);
    }
    return done;
}

void ca_graph_deinit(struct ca_graph *graph)
{
    free(graph->first);
    free(graph->targets);
    free(graph->reached);
    free(graph->queue);
    *graph = (struct ca_graph){0};
}

/* ------------------------------------------------------------------------------------------------ marking */

bool ca_graph_root_words(struct ca_graph *graph, struct ca_source *source, const uint64_t *words,
                         size_t count, struct ca_error **ret_error)
{
    struct scan *scan = scan_create(graph, source, ret_error);
    if (!scan) {
        return false;
    }
    words_look_at(scan, (const uint8_t *)words, count, CA_NO_BLOCK);
    return scan_end(scan, true, ret_error);
}

bool ca_graph_root_range(struct ca_graph *graph, struct ca_source *source, uint64_t start, uint64_t end,
                         uint64_t *ret_missing, struct ca_error **ret_error)
{
    struct scan *scan = scan_create(graph, source, ret_error);
    if (!scan) {
        return false;
    }
    scan->fetch_end = end;
    bool done = range_scan(scan, 0, start, end, CA_NO_BLOCK, ret_error);
    *ret_missing += scan->missing;
    return scan_end(scan, done, ret_error);
}

/* Blocks on their way through a ring in two steps: where their targets are, and what these are. */
struct marking {
    uint32_t ids[AHEAD]; /* id + 1; 0 = none */
    uint32_t begin[AHEAD], end[AHEAD];
};

static void targets_reach(struct ca_graph *graph, struct marking *marking, size_t slot)
{
    for (uint32_t i = marking->begin[slot]; i < marking->end[slot]; i++) {
        reach(graph, graph->targets[i]);
    }
    marking->begin[slot] = marking->end[slot] = 0;
}

static void targets_locate(const struct ca_graph *graph, struct marking *marking, size_t slot)
{
    if (marking->ids[slot]) {
        marking->begin[slot] = graph->first[marking->ids[slot] - 1];
        marking->end[slot] = graph->first[marking->ids[slot]];
        marking->ids[slot] = 0;
        __builtin_prefetch(&graph->targets[marking->begin[slot]]);
    }
}

void ca_graph_mark(struct ca_graph *graph)
{
    struct marking marking = {0};
    size_t idle = 0; /* steps in a row in which nothing was taken from the queue */
    for (size_t slot = 0; idle <= AHEAD; slot = (slot + 1) % AHEAD) {
        targets_reach(graph, &marking, slot);
        targets_locate(graph, &marking, (slot + AHEAD / 2) % AHEAD);
        idle++;
        if (graph->queued) {
            uint32_t id = graph->queue[--graph->queued];
            marking.ids[slot] = id + 1;
            __builtin_prefetch(&graph->first[id]);
            idle = 0;
        }
    }
}

/* ------------------------------------------------------------------------------------------------- a path */

/* Block by block in the order of their distance; the queue is read from its start. from: by id, the block
 * that it was reached from. */
static void path_search(struct ca_graph *graph, uint32_t target, uint32_t *from)
{
    for (size_t next = 0; next < graph->queued && !ca_graph_reached(graph, target); next++) {
        uint32_t id = graph->queue[next];
        for (uint32_t i = graph->first[id]; i < graph->first[id + 1]; i++) {
            if (!ca_graph_reached(graph, graph->targets[i])) {
                from[graph->targets[i]] = id;
                reach(graph, graph->targets[i]);
            }
        }
    }
}

bool ca_graph_path(struct ca_graph *graph, uint32_t target, uint32_t **ret_ids, size_t *ret_count)
{
    size_t count = graph->set->count, length = 0;
    uint32_t *from = ca_allocate_large((count + 1) * sizeof *from);
    *ret_ids = NULL;
    *ret_count = 0;
    if (!from) {
        return false;
    }
    memset(from, 0xff, count * sizeof *from);
    path_search(graph, target, from);
    if (ca_graph_reached(graph, target)) {
        for (uint32_t id = target; id != CA_NO_BLOCK; id = from[id]) {
            length++;
        }
        *ret_ids = malloc(length * sizeof **ret_ids);
    }
    size_t at = length;
    for (uint32_t id = target; *ret_ids && at > 0; id = from[id]) {
        (*ret_ids)[--at] = id;
    }
    *ret_count = *ret_ids ? length : 0;
    free(from);
    return *ret_ids || length == 0;
}
