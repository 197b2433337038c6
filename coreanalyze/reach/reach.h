/* reach.h: which live blocks a program can still reach, conservatively: any word that holds an address within
 * a block counts as a pointer to it.
 *
 * The rules are LeakSanitizer's, so that its answers can be compared: words at multiples of 8; an address is
 * in a block from its first byte to its last (the byte after it is not in it, but for new T[0]); a block that
 * is not reached is an indirect leak where another such block points to it, in a ring of blocks all of them
 * are, else a direct one.
 */
#ifndef CA_REACH_REACH_H
#define CA_REACH_REACH_H

#include "areas.h"
#include "graph.h"

enum ca_leak { CA_LEAK_DIRECT, CA_LEAK_INDIRECT, CA_LEAK_KINDS };

struct ca_reach {
    struct ca_memory *memory; /* borrowed */
    struct ca_block_set set;
    struct ca_areas areas;
    struct ca_graph graph;
    uint64_t *indirect;     /* bits by id of blocks that are not reached; NULL until ca_reach_mark */
    uint64_t missing_bytes; /* of blocks and roots: what the source does not have of them */
};

/* Reads everything and reaches what roots point to. mappings: as in ca_areas_init. Caller frees with
 * ca_reach_destroy. */
struct ca_reach *ca_reach_create(struct ca_memory *memory, bool mappings, struct ca_error **ret_error);
void ca_reach_destroy(struct ca_reach *reach); /* NULL is allowed */

/* Reaches all else and tells direct leaks from indirect ones. False when out of memory. */
bool ca_reach_mark(struct ca_reach *reach);
/* Leaks that are known: they count as reached from now on, with all that they reach. */
struct ca_release {
    void *context;
    /* Asked of every leak. */
    bool (*knows)(void *context, const struct ca_block *block, bool *ret_known);
    /* Told of each other leak that known ones reach. */
    bool (*held)(void *context, const struct ca_block *block);
};
/* After ca_reach_mark. Stops when one of the two returns false: then it has done part of the work. */
bool ca_reach_release(struct ca_reach *reach, const struct ca_release *release, struct ca_error **ret_error);

/* Every block that is not reached; blocks of malloc come first, by address. Stops when `each` returns false.
 */
bool ca_reach_each_leak(const struct ca_reach *reach,
                        bool (*each)(void *context, const struct ca_block *block, enum ca_leak leak),
                        void *context, struct ca_error **ret_error);

#endif
