/* told.c: see told.h. */
#include "told.h"

#include <inttypes.h>

/* The history's time stamps count, too, where blocks have none. */
static bool newest_find(struct ca_teller *teller, struct ca_error **ret_error)
{
    const struct ca_freed *freed;
    size_t count;
    if (!ca_table_history(teller->table, &freed, &count, ret_error)) {
        return false;
    }
    teller->newest = teller->table->newest_time;
    for (size_t i = 0; i < count; i++) {
        teller->newest = freed[i].time > teller->newest ? freed[i].time : teller->newest;
    }
    return true;
}

bool ca_teller_init(struct ca_teller *teller, const struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_target *target = run->targets[0];
    const struct ca_options *options = &run->options;
    *teller = (struct ca_teller){.run = run, .memory = ca_target_memory(target, ret_error)};
    if (!teller->memory) {
        return false;
    }
    teller->table = ca_memory_table(teller->memory);
    teller->snapshot =
        ca_target_snapshot(target, options->skip.items, options->skip.count, options->no_skip, ret_error);
    return teller->snapshot && newest_find(teller, ret_error);
}

/* ------------------------------------------------------------------------------------------------ deeds */

struct ca_deed ca_deed_of_allocation(const struct ca_block *block)
{
    return (struct ca_deed){block->thread, block->time, block->stack};
}

struct ca_deed ca_deed_of_free(const struct ca_freed *freed)
{
    return (struct ca_deed){freed->thread, freed->time, freed->stack};
}

static uint64_t age_of(const struct ca_teller *teller, const struct ca_deed *deed)
{
    return teller->newest > deed->time ? teller->newest - deed->time : 0;
}

static bool add_traceback(const struct ca_teller *teller, struct ca_text *text, uint32_t stack,
                          struct ca_error **ret_error)
{
    const struct ca_options *options = &teller->run->options;
    int64_t limit = options->nframe.value > INT64_MAX ? INT64_MAX : (int64_t)options->nframe.value;
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(teller->snapshot, stack, SIZE_MAX, &count, ret_error);
    if (!frames) {
        return false;
    }
    return ca_traceback_format(text, teller->snapshot, frames, count, options->nframe.given, limit, false,
                               !options->no_source) ||
           ca_fail_memory(ret_error);
}

bool ca_tell_deed(const struct ca_teller *teller, struct ca_text *text, const char *what,
                  const struct ca_deed *deed, struct ca_error **ret_error)
{
    ca_text_add(text, what);
    if (deed->thread) {
        ca_text_printf(text, " by thread %" PRIu32, deed->thread);
    }
    if (deed->time) {
        uint64_t age = age_of(teller, deed);
        ca_text_printf(text, "%s %" PRIu64 ".%03" PRIu64 " s before the newest record",
                       deed->thread ? "," : "", age / 1000000000, age / 1000000 % 1000);
    }
    ca_text_add(text, ":\n");
    return add_traceback(teller, text, deed->stack, ret_error);
}

static const char *name_of(const struct ca_snapshot *snapshot, uint32_t string)
{
    return string ? ca_snapshot_string(snapshot, string) : NULL;
}

bool ca_tell_deed_json(const struct ca_teller *teller, struct ca_json *json, const char *key,
                       const struct ca_deed *deed, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = teller->snapshot;
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, deed->stack, SIZE_MAX, &count, ret_error);
    if (!frames) {
        return false;
    }
    ca_json_object_open(json, key);
    if (deed->thread) {
        ca_json_unsigned(json, "thread", deed->thread);
    } else {
        ca_json_null(json, "thread");
    }
    if (deed->time) {
        ca_json_seconds(json, "age_seconds", age_of(teller, deed));
    } else {
        ca_json_null(json, "age_seconds");
    }
    ca_json_array_open(json, "traceback");
    for (size_t i = count; i-- > 0;) {
        const struct ca_frame *frame = ca_snapshot_frame(snapshot, frames[i]);
        ca_json_object_open(json, NULL);
        ca_json_string(json, "filename", ca_snapshot_string(snapshot, frame->filename));
        ca_json_unsigned(json, "lineno", frame->lineno);
        ca_json_string(json, "function", name_of(snapshot, frame->function));
        ca_json_string(json, "module", name_of(snapshot, frame->module));
        ca_json_object_close(json);
    }
    ca_json_array_close(json);
    ca_json_object_close(json);
    return true;
}

/* ------------------------------------------------------------------------------------------- neighbours */

static bool in_one_mapping(const struct ca_teller *teller, uint64_t left, uint64_t right)
{
    struct ca_source *source = ca_memory_source(teller->memory);
    const struct ca_mapping *mapping = ca_source_mapping_at(source, left);
    return mapping && mapping == ca_source_mapping_at(source, right);
}

bool ca_tell_neighbours_find(const struct ca_teller *teller, uint32_t domain, uint64_t address, uint64_t size,
                             struct ca_neighbours *ret_neighbours, struct ca_error **ret_error)
{
    struct ca_neighbours before;
    bool is_block = size != 0;
    if (!ca_table_neighbours(teller->table, domain, address - is_block, &before, ret_error) ||
        !ca_table_neighbours(teller->table, domain, address, ret_neighbours, ret_error)) {
        return false;
    }
    ret_neighbours->before = before.before;
    ret_neighbours->has_before = before.has_before && in_one_mapping(teller, before.before.address, address);
    ret_neighbours->has_after =
        ret_neighbours->has_after && in_one_mapping(teller, ret_neighbours->after.address, address);
    return true;
}

static void add_neighbour(struct ca_text *text, const char *where, const struct ca_block *block)
{
    ca_text_printf(text, "%s it: a live block of %" PRIu64 " byte%s at 0x%" PRIx64, where, block->size,
                   block->size == 1 ? "" : "s", block->address);
}

static void add_distance(struct ca_text *text, const char *what, uint64_t distance)
{
    if (distance == 0) {
        ca_text_printf(text, ", %s right there", what);
    } else {
        ca_text_printf(text, ", %s %" PRIu64 " byte%s away", what, distance, distance == 1 ? "" : "s");
    }
}

bool ca_tell_neighbours(const struct ca_teller *teller, struct ca_text *text, uint64_t address, uint64_t size,
                        const struct ca_neighbours *neighbours, struct ca_error **ret_error)
{
    const struct ca_block *before = &neighbours->before, *after = &neighbours->after;
    if (neighbours->has_before) {
        struct ca_deed deed = ca_deed_of_allocation(before);
        add_neighbour(text, "Before", before);
        if (before->address + before->size <= address) {
            add_distance(text, "which ends", address - (before->address + before->size));
        }
        if (!ca_tell_deed(teller, text, ", allocated", &deed, ret_error)) {
            return false;
        }
    }
    if (neighbours->has_after) {
        struct ca_deed deed = ca_deed_of_allocation(after);
        add_neighbour(text, "After", after);
        if (after->address >= address + size) {
            add_distance(text, "which begins", after->address - (address + size));
        }
        if (!ca_tell_deed(teller, text, ", allocated", &deed, ret_error)) {
            return false;
        }
    }
    return true;
}
