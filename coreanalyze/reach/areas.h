/* areas.h: from which memory a program reaches its blocks. Roots are byte ranges, not mappings: the kernel
 * merges a mapping of the program with malloc's.
 *
 * Roots are: what threads use of their stacks, their thread-local storage, writable data of object files, and
 * writable mappings that are none of malloc's. Never roots: blocks, malloc's memory between them and its own
 * variables, stacks of threads that have ended and what lies below a stack pointer, the tracer's memory.
 */
#ifndef CA_REACH_AREAS_H
#define CA_REACH_AREAS_H

#include "../memory/memory.h"
#include "blocks.h"

/* In the order of precedence: what is claimed twice belongs to the last of them. */
enum ca_area_kind {
    CA_AREA_MAPPING, /* a mapping of the program's own */
    CA_AREA_HEAP,    /* malloc's: no root */
    CA_AREA_DATA,    /* writable data of an object file */
    CA_AREA_MALLOC,  /* malloc's variables in it: no root */
    CA_AREA_UNUSED,  /* of a stack, below the stack pointer: no root */
    CA_AREA_STACK,   /* of a thread */
    CA_AREA_TLS,     /* thread-local storage and libc's description of the thread */
    CA_AREA_ENDED,   /* stack of a thread that has ended: no root */
    CA_AREA_TRACER,  /* no root */
    CA_AREA_KINDS,
};

struct ca_area {
    uint64_t start, end;
    enum ca_area_kind kind;
    uint32_t tid; /* of stacks and TLS */
};

struct ca_areas {
    struct ca_area *items; /* the roots, by start, not overlapping */
    size_t count;
    uint64_t *words; /* that are roots beside them: what libc keeps for a thread that may use an ended one's
                        stack */
    size_t word_count, word_capacity;
    uint64_t undumped;    /* bytes of mappings of no file that the source does not have: never written to, or
                             kept out of dumps */
    bool other_allocator; /* not glibc's malloc: its own memory cannot be told from mappings of the program,
                             which are no roots then */
};

/* mappings false: no roots of CA_AREA_MAPPING, as for LeakSanitizer. Caller frees with ca_areas_deinit, also
 * after an error. */
bool ca_areas_init(struct ca_areas *areas, struct ca_memory *memory, const struct ca_block_set *set,
                   bool mappings, struct ca_error **ret_error);
void ca_areas_deinit(struct ca_areas *areas);

/* The root that holds the address; NULL = none. */
const struct ca_area *ca_areas_at(const struct ca_areas *areas, uint64_t address);

#endif
