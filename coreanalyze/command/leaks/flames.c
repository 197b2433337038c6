/* flames.c: leaks as a page and for speedscope: the kind is the oldest frame. */
#include "../flames.h"

#include "../../output/coverage.h"
#include "found.h"

static struct ca_flames flames_of(const struct ca_leaks_found *found)
{
    const struct ca_options *options = &found->run->options;
    return (struct ca_flames){
        .command = "leaks",
        .value = CA_VALUE_LIVE,
        .snapshot = found->snapshot,
        .part_count = CA_LEAK_KINDS,
        .label = ca_flames_label((enum ca_key)options->by),
        .key = (enum ca_key)options->by,
        .total = {.size = found->size, .count = found->count},
        .other = {.size = found->other_size, .count = found->other_count},
        .other_groups = found->others,
        .complete = ca_coverage_is_complete(found->table) && !found->reach->missing_bytes,
        .source = !options->no_source,
    };
}

bool ca_leaks_write_flames(const struct ca_leaks_found *found, struct ca_error **ret_error)
{
    bool page = found->run->options.format == CA_FORMAT_HTML;
    struct ca_flames_part parts[CA_LEAK_KINDS];
    for (size_t kind = 0; kind < CA_LEAK_KINDS; kind++) {
        const struct ca_leak_groups *groups = &found->kinds[kind];
        const struct ca_statistics *stacks = groups->stacks ? groups->stacks : groups->statistics;
        parts[kind] = (struct ca_flames_part){
            .name = ca_leak_words[kind],
            .stacks = stacks,
            .stack_count = page ? stacks->count : groups->shown,
            .rows = groups->statistics,
            .row_count = groups->shown,
        };
    }
    struct ca_text notes = {0};
    ca_leaks_add_suppressed(found, &notes);
    ca_leaks_add_notes(found, &notes);
    ca_coverage_add_text(&notes, "coverage", found->table);
    struct ca_flames flames = flames_of(found);
    flames.parts = parts;
    flames.notes = notes.bytes;
    bool done = notes.failed ? ca_fail_memory(ret_error) : ca_flames_write(&flames, found->run, ret_error);
    ca_text_deinit(&notes);
    return done;
}
