/* internal.h: what the kinds of sources have in common. Used by source.c, core.c, callback.c, live/live.c and
 * target.c alone. */
#ifndef CA_SOURCE_INTERNAL_H
#define CA_SOURCE_INTERNAL_H

#include "source.h"

/* Embedded as the first member of each kind. */
struct ca_source {
    const struct ca_source_operations *operations;
    char *name;

    bool described; /* what follows is filled in, but for the threads where they are described alone */
    bool threads_described;
    bool interrupted; /* a description was interrupted and nobody was told yet */
    bool failed;      /* memory ran out while something was added */

    struct ca_mapping *mappings; /* paths are owned */
    size_t mapping_count, mapping_capacity;
    bool mappings_sorted;
    struct ca_thread *threads; /* registers are owned */
    size_t thread_count, thread_capacity;
    struct ca_process process; /* program, arguments, auxv and siginfo are owned, never NULL but siginfo */
    uint64_t table_hint;

    bool live; /* the memory changes: only what was copied can be viewed */
    bool truncated;
    uint64_t expected_size, found_size;
};

bool ca_source_init(struct ca_source *source, const struct ca_source_operations *operations, const char *name,
                    struct ca_error **ret_error);
void ca_source_deinit(struct ca_source *source);

/* Forgets mappings, threads, process and hint. */
void ca_source_forget(struct ca_source *source);

/* All copy what they are given. Running out of memory sets source->failed. */
void ca_source_add_mapping(struct ca_source *source, const struct ca_mapping *mapping);
void ca_source_add_thread(struct ca_source *source, uint32_t tid, const uint64_t *registers, size_t count);
void ca_source_set_process(struct ca_source *source, uint32_t pid, uint32_t machine, int32_t signal,
                           uint32_t signal_thread, const char *program, const char *arguments);
void ca_source_set_auxv(struct ca_source *source, const void *bytes, size_t size);
void ca_source_set_siginfo(struct ca_source *source, const void *bytes, size_t size);

#endif
