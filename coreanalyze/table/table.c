/* table.c: reads the tables as a whole; see table.h. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------- state */

/* A request that a debugger wrote is obeyed at the tracer's next operation; readers show its effect at once.
 */
static void state_read(struct ca_table *table)
{
    struct tm_root *root = &table->root;
    struct ca_table_private *internal = table->internal;
    internal->traced = root->state == TM_STATE_TRACING;
    switch (root->request) {
    case TM_REQUEST_START:
        if (root->state == TM_STATE_STOPPED) {
            root->state = TM_STATE_TRACING;
            root->traceback_limit = root->request_argument;
        }
        break;
    case TM_REQUEST_STOP:
        root->state = root->state == TM_STATE_TRACING ? TM_STATE_STOPPED : root->state;
        internal->traced = false;
        break;
    case TM_REQUEST_CLEAR:
        internal->traced = false;
        break;
    case TM_REQUEST_RESET_PEAK:
        internal->peak_is_now = true;
        break;
    default:
        break;
    }
}

/* ----------------------------------------------------------------------------------------- regions */

void ca_table_note_missing(struct ca_table *table)
{
    const struct ca_table_private *internal = table->internal;
    uint64_t missing = 0;
    for (size_t i = 0; i < internal->region_count; i++) {
        missing += internal->regions[i].missing;
    }
    table->coverage.missing_bytes = missing;
    table->coverage.truncated = table->coverage.truncated || missing;
}

/* A region of a kind that this reader knows. One that it does not know is none of its business, but it must
 * be as the tracer wrote it, or it may be one of those. */
static bool region_is_wanted(struct ca_table *table, const struct tm_region *header)
{
    bool is_empty = header->kind == TM_REGION_NONE && header->check == 0;
    if (!is_empty && header->check != tm_region_check(header)) {
        table->coverage.rejected++;
        return false;
    }
    return header->kind != TM_REGION_NONE && header->kind <= TM_REGION_HISTORY;
}

static bool regions_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    internal->regions = calloc(TM_REGION_MAX, sizeof(*internal->regions));
    if (!internal->regions) {
        return ca_fail_memory(ret_error);
    }
    for (uint32_t i = 0; i < table->root.region_count; i++) {
        const struct tm_region *header = &table->root.regions[i];
        if (!region_is_wanted(table, header)) {
            continue;
        }
        if (!ca_region_read(internal->source, header, &internal->regions[internal->region_count],
                            &table->coverage.rejected, ret_error)) {
            return false;
        }
        internal->region_count++;
    }
    ca_table_note_missing(table);
    struct ca_region *stacks = ca_table_region(table, TM_REGION_STACKS);
    internal->stack_limit = stacks ? stacks->header.count : 0;
    return true;
}

static bool threads_read(struct ca_table *table, struct ca_error **ret_error)
{
    void *threads;
    struct ca_table_private *internal = table->internal;
    if (!ca_table_copy(table, TM_REGION_THREADS, sizeof(struct tm_thread), &threads, &internal->thread_count,
                       ret_error)) {
        return false;
    }
    internal->threads = threads;
    for (size_t i = 0; i < internal->thread_count; i++) {
        table->coverage.dropped += internal->threads[i].dropped_count;
        table->coverage.dropped_size += internal->threads[i].dropped_size;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------- stats */

/* Adds one record, with the peak values told apart from the live ones that stand for them. */
static void stats_add(struct ca_table *table, const struct tm_stack_stats *from, struct ca_stack_stats *to)
{
    bool own_peak = !ca_peak_is_now(table) && from->peak_epoch == table->root.peak_epoch;
    uint64_t live_count = from->allocated_count - from->freed_count;
    uint64_t live_size = from->allocated_size - from->freed_size;
    to->live_count += live_count;
    to->live_size += live_size;
    to->total_count += from->allocated_count;
    to->total_size += from->allocated_size;
    to->peak_count += own_peak ? from->peak_count : live_count;
    to->peak_size += own_peak ? from->peak_size : live_size;
}

static bool shard_read(struct ca_table *table, struct ca_region *region, struct ca_error **ret_error)
{
    void *records;
    size_t count;
    if (!ca_region_copy(table->internal->source, region, sizeof(struct tm_stack_stats), &records, &count,
                        ret_error)) {
        return false;
    }
    const struct tm_stack_stats *stats = records;
    for (size_t i = 0; i < count; i++) {
        uint32_t stack = stats[i].stack;
        if (stack != 0 && stats[i].generation == (uint32_t)table->root.generation) {
            stats_add(table, &stats[i], &table->stats[stack < table->stack_count ? stack : 1]);
        }
    }
    free(records);
    return true;
}

static bool stats_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_table_private *internal = table->internal;
    if (!(table->root.features & TM_FEATURE_STATS)) {
        return true;
    }
    table->stats = calloc(table->stack_count, sizeof(*table->stats));
    if (!table->stats) {
        return ca_fail_memory(ret_error);
    }
    for (size_t r = 0; internal->traced && r < internal->region_count; r++) {
        if (internal->regions[r].header.kind == TM_REGION_STATS &&
            !shard_read(table, &internal->regions[r], ret_error)) {
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------- life */

void ca_table_destroy(struct ca_table *table)
{
    if (!table) {
        return;
    }
    struct ca_table_private *internal = table->internal;
    for (size_t i = 0; internal && i < internal->region_count; i++) {
        ca_region_deinit(&internal->regions[i]);
    }
    if (internal) {
        free(internal->regions);
        free(internal->threads);
        free(internal->stack_frames);
        free(internal->wide);
        free(internal->freed);
        free(internal->freed_reach);
        free(internal->overlay);
        free(internal->changes);
        free(internal);
    }
    for (size_t i = 0; i < table->module_count; i++) {
        free(table->modules[i].path);
    }
    free(table->modules);
    free(table->frames);
    free(table->stacks);
    free(table->stats);
    free(table->in_flight);
    free(table);
}

const struct tm_operation *ca_table_operations(const struct ca_table *table, uint32_t tid)
{
    const struct ca_table_private *internal = table->internal;
    for (size_t i = 0; i < internal->thread_count; i++) {
        if (internal->threads[i].state == TM_THREAD_USED && internal->threads[i].tid == tid) {
            return internal->threads[i].operations;
        }
    }
    return NULL;
}

uint64_t ca_table_allocated(const struct ca_table *table)
{
    return table->internal->allocated_size;
}

bool ca_table_is_glibc(const struct ca_table *table)
{
    const struct ca_region *live = ca_table_region(table, TM_REGION_LIVE);
    return live && live->header.key_shift == 5;
}

bool ca_table_each_range(const struct ca_table *table,
                         bool (*each)(void *context, uint64_t start, uint64_t end), void *context)
{
    const struct ca_table_private *internal = table->internal;
    bool more = each(context, table->address, table->address + table->root.header_size);
    for (size_t r = 0; more && r < internal->region_count; r++) {
        const struct ca_region *region = &internal->regions[r];
        uint64_t directory = region->header.directory;
        more = each(context, directory, directory + 8 * (uint64_t)region->header.directory_length);
        for (size_t i = 0; more && i < region->segment_count; i++) {
            more = each(context, region->segments[i].base, region->segments[i].base + region->segment_bytes);
        }
    }
    return more;
}

struct range_search {
    uint64_t address;
    bool found;
};

static bool range_compare(void *context, uint64_t start, uint64_t end)
{
    struct range_search *search = context;
    search->found = search->address >= start && search->address < end;
    return !search->found;
}

bool ca_table_owns(const struct ca_table *table, uint64_t address)
{
    struct range_search search = {.address = address};
    ca_table_each_range(table, range_compare, &search);
    return search.found;
}

static bool root_read(struct ca_table *table, uint64_t address, struct ca_error **ret_error)
{
    struct ca_source *source = table->internal->source;
    switch (ca_root_read(source, address, &table->root, ret_error)) {
    case CA_ROOT_GOOD:
        return true;
    case CA_ROOT_NONE:
        return ca_fail(ret_error, CA_NOTHING, "%s: no tracer's root at 0x%" PRIx64, ca_source_name(source),
                       address);
    default:
        return false;
    }
}

static bool table_read(struct ca_table *table, struct ca_error **ret_error)
{
    struct ca_coverage *coverage = &table->coverage;
    if (!root_read(table, table->address, ret_error)) {
        return false;
    }
    coverage->rejected += table->root.check != tm_root_check(&table->root);
    coverage->sample_bytes = table->root.sample_bytes;
    coverage->untraced_time = table->root.untraced_time;
    coverage->bypassed = table->root.features & TM_FEATURE_BYPASSED;
    coverage->dropped = table->root.dropped_count;
    coverage->dropped_size = table->root.dropped_size;
    state_read(table);
    if (!regions_read(table, ret_error) || !ca_stacks_read(table, ret_error) ||
        !threads_read(table, ret_error) || !ca_flight_read(table, ret_error) ||
        !stats_read(table, ret_error)) {
        return false;
    }
    ca_agreement_check_root(table);
    if ((table->root.features & TM_FEATURE_DETAIL) &&
        !ca_blocks_newest(table, &table->newest_time, ret_error)) {
        return false;
    }
    uint64_t expected, found;
    coverage->truncated = ca_source_truncated(table->internal->source, &expected, &found);
    ca_table_note_missing(table);
    return ca_source_settled(table->internal->source, ret_error);
}

bool ca_table_add_ranges(struct ca_source *source, uint64_t address, struct ca_ranges *ranges,
                         struct ca_error **ret_error)
{
    struct tm_root root;
    struct ca_error *error = NULL;
    if (ca_root_read(source, address, &root, &error) != CA_ROOT_GOOD) {
        ca_error_destroy(error);
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: the tracer's root at 0x%" PRIx64 " is gone: it runs another program",
                       ca_source_name(source), address);
    }
    bool good = ca_ranges_add(ranges, address, root.header_size) || ca_fail_memory(ret_error);
    for (uint32_t i = 0; good && i < root.region_count; i++) {
        good = ca_region_add_ranges(source, &root.regions[i], ranges, ret_error);
    }
    return good;
}

static struct ca_table *table_create(struct ca_error **ret_error)
{
    struct ca_table *table = calloc(1, sizeof(*table));
    if (table) {
        table->internal = calloc(1, sizeof(*table->internal));
    }
    if (!table || !table->internal) {
        free(table);
        ca_fail_memory(ret_error);
        return NULL;
    }
    return table;
}

struct ca_table *ca_table_create_empty(struct ca_error **ret_error)
{
    struct ca_table *table = table_create(ret_error);
    if (!table) {
        return NULL;
    }
    table->modules = calloc(1, sizeof(*table->modules));
    table->frames = calloc(1, sizeof(*table->frames));
    table->stacks = calloc(1, sizeof(*table->stacks));
    if (table->modules) {
        table->module_count = table->frame_count = table->stack_count = 1;
        table->modules[0].path = strdup("");
    }
    if (!table->modules || !table->modules[0].path || !table->frames || !table->stacks) {
        ca_table_destroy(table);
        ca_fail_memory(ret_error);
        return NULL;
    }
    return table;
}

struct ca_table *ca_table_read(struct ca_source *source, uint64_t root, struct ca_error **ret_error)
{
    struct ca_table *table = table_create(ret_error);
    if (!table) {
        return NULL;
    }
    table->internal->source = source;
    table->address = root;
    if (!table_read(table, ret_error)) {
        ca_table_destroy(table);
        return NULL;
    }
    return table;
}
