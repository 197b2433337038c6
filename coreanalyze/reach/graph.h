/* graph.h: which live blocks point to which: every word of every block is looked at once, in the order of
 * memory, and what it points to is kept as 4 bytes. What is reachable is then found without the memory.
 *
 * Memory: 4 bytes for each block and each pointer found (at most half of the blocks' bytes), and while
 * marking 4 more for each block.
 */
#ifndef CA_REACH_GRAPH_H
#define CA_REACH_GRAPH_H

#include "blocks.h"

struct ca_graph {
    const struct ca_block_set *set; /* borrowed */
    uint32_t *first;                /* id of a block -> the first of its targets; one more than blocks */
    uint32_t *targets;              /* ids */
    size_t target_count, target_capacity;
    uint64_t missing;  /* bytes of blocks that the source does not have */
    uint64_t *reached; /* bits by id */
    uint32_t *queue;   /* blocks that were reached, their targets not looked at yet */
    size_t queued;
};

/* Reads the blocks. Caller frees with ca_graph_deinit, also after an error. */
bool ca_graph_init(struct ca_graph *graph, const struct ca_block_set *set, struct ca_source *source,
                   struct ca_error **ret_error);
void ca_graph_deinit(struct ca_graph *graph);

/* Reaches every block that one of these words points to. */
bool ca_graph_root_words(struct ca_graph *graph, struct ca_source *source, const uint64_t *words,
                         size_t count, struct ca_error **ret_error);
/* The same of the words in [start, end) that lie in no block. *ret_missing grows by the bytes that the source
 * does not have. */
bool ca_graph_root_range(struct ca_graph *graph, struct ca_source *source, uint64_t start, uint64_t end,
                         uint64_t *ret_missing, struct ca_error **ret_error);

/* Reaches a block. */
void ca_graph_reach(struct ca_graph *graph, uint32_t id);
/* Reaches all that what was reached points to. */
void ca_graph_mark(struct ca_graph *graph);

/* Instead: a shortest way to `target`, as ids from a block that a root points to on; *ret_count 0 = there is
 * none. Caller frees with free(). False when out of memory. */
bool ca_graph_path(struct ca_graph *graph, uint32_t target, uint32_t **ret_ids, size_t *ret_count);

static inline bool ca_graph_reached(const struct ca_graph *graph, uint32_t id)
{
    return graph->reached[id / 64] >> (id % 64) & 1;
}

#endif
