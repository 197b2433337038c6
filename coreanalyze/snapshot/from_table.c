/* from_table.c: a snapshot of a target's tables. Its traceback ids are the tables' stack ids; a traceback's
 * frames are looked up when they are asked for, each code position once. */
#include <stdlib.h>
#include <string.h>

#include "../symbols/symbols.h"
#include "../util/grow.h"
#include "internal.h"
#include "moment.h"
#include "skip.h"

/* The frames of one code position are position_frames[first .. first + count), innermost first; count 0 = not
 * looked up yet. */
struct position_span {
    uint32_t first;
    uint32_t count;
};

struct table_resolver {
    struct ca_table *table;
    struct ca_symbolizer *symbolizer;
    const char *const *skip;
    size_t skip_count;
    bool no_skip;
    const struct ca_moment *moment; /* what is weighed instead of the tables; NULL = the tables */

    struct position_span *spans; /* index = frame id of the table; [0] is the unknown position */
    uint32_t *position_frames;   /* frame ids of the snapshot */
    bool *position_skipped;      /* beside it: an allocator frame */
    size_t position_count, frames_capacity, skipped_capacity;

    uint32_t *walk;   /* room for the deepest stack */
    uint32_t *output; /* frame ids of the traceback that is being resolved */
    size_t output_capacity;

    struct ca_mapped *mapped; /* made when first asked for */
    char *build_ids;
};

#define DEPTH_MAX 65535u

/* What a moment's single blocks would be asked for. */
#define SINGLE_BLOCKS "--min-size, --max-size, --older and --newer are about single blocks"

/* --------------------------------------------------------------------------------------- positions */

static uint32_t add_name(struct ca_snapshot *snapshot, const char *name)
{
    return name ? ca_snapshot_add_string(snapshot, name, strlen(name)) : 0;
}

static bool add_position(struct ca_snapshot *snapshot, struct table_resolver *resolver,
                         const struct ca_position *position)
{
    struct ca_frame frame = {
        .filename = add_name(snapshot, position->filename),
        .lineno = position->lineno,
        .function = add_name(snapshot, position->function),
        .module = add_name(snapshot, position->module),
    };
    if (frame.filename == UINT32_MAX || frame.function == UINT32_MAX || frame.module == UINT32_MAX) {
        return false;
    }
    uint32_t id = ca_snapshot_add_frame(snapshot, &frame);
    size_t count = resolver->position_count;
    if (id == UINT32_MAX || count == UINT32_MAX ||
        !CA_GROW(resolver->position_frames, resolver->frames_capacity, count + 1) ||
        !CA_GROW(resolver->position_skipped, resolver->skipped_capacity, count + 1)) {
        return false;
    }
    resolver->position_frames[count] = id;
    resolver->position_skipped[count] =
        !resolver->no_skip && ca_is_allocator_position(position, resolver->skip, resolver->skip_count);
    resolver->position_count++;
    return true;
}

/* A return address belongs to the call before it, which may be of another line or the last of its function.
 */
static const struct ca_position *look_up(struct table_resolver *resolver, uint32_t frame, size_t *ret_count)
{
    static const struct ca_position unknown = {.filename = "<unknown>"};
    const struct tm_frame *record = &resolver->table->frames[frame];
    uint64_t address = record->word & TM_FRAME_ADDRESS_MASK;
    uint64_t kind = record->word >> TM_FRAME_KIND_SHIFT;
    if (frame == 0 || record->module == 0 || kind > TM_FRAME_INTERRUPTED) {
        *ret_count = 1;
        return &unknown;
    }
    unsigned delta = kind == TM_FRAME_RETURN ? 1 : 0;
    return ca_symbolizer_find(resolver->symbolizer, record->module, address - delta, delta, ret_count);
}

/* The frames of a code position; NULL when out of memory. Borrowed until the next call. */
static const struct position_span *position_resolve(struct ca_snapshot *snapshot,
                                                    struct table_resolver *resolver, uint32_t frame)
{
    struct position_span *span = &resolver->spans[frame];
    if (span->count) {
        return span;
    }
    size_t count = 0;
    uint32_t first = (uint32_t)resolver->position_count;
    const struct ca_position *positions = look_up(resolver, frame, &count);
    for (size_t i = 0; positions && i < count; i++) {
        if (!add_position(snapshot, resolver, &positions[i])) {
            return NULL;
        }
    }
    if (!positions || count == 0) {
        return NULL;
    }
    *span = (struct position_span){first, (uint32_t)count};
    return span;
}

/* -------------------------------------------------------------------------------------- tracebacks */

/* Physical frames of a stack in resolver->walk, at least one: the unknown one where the tables have none. */
static size_t walk_stack(struct table_resolver *resolver, uint32_t stack)
{
    size_t depth = ca_table_stack(resolver->table, stack, resolver->walk, DEPTH_MAX);
    if (depth == 0) {
        resolver->walk[0] = 0;
        return 1;
    }
    return depth;
}

/* Frames of the whole traceback, of which the tables gave `count`; unknown where some were cut off, because
 * inlined calls among those were never seen, or where the walk could not tell that it had reached the
 * outermost frame. */
static uint32_t total_nframe(const struct table_resolver *resolver, uint32_t stack, size_t depth,
                             size_t count)
{
    const struct tm_stack *record = &resolver->table->stacks[stack];
    const unsigned unsure = TM_STACK_TRUNCATED | TM_STACK_NO_DEPTH | TM_STACK_BROKEN | TM_STACK_GUESSED;
    if ((record->flags & unsure) || (stack > 1 && record->total_nframe != depth)) {
        return CA_TOTAL_UNKNOWN;
    }
    return count < DEPTH_MAX ? (uint32_t)count : DEPTH_MAX;
}

/* A traceback while it is made: its frames, from the recent end, without the allocator's. */
struct growing {
    size_t count;
    size_t enough; /* the first count that was as many as asked for; 0 = not yet */
    struct ca_skip skip;
    uint32_t last_skipped; /* the oldest allocator frame so far: shown when nothing else remains */
};

static bool growing_add(struct ca_snapshot *snapshot, struct table_resolver *resolver,
                        const struct position_span *span, struct growing *growing)
{
    for (uint32_t i = 0; i < span->count; i++) {
        uint32_t frame = resolver->position_frames[span->first + i];
        if (!ca_skip_next(&growing->skip, ca_snapshot_frame(snapshot, frame),
                          resolver->position_skipped[span->first + i])) {
            growing->last_skipped = frame;
            growing->count = growing->enough = 0;
            continue;
        }
        if (!CA_GROW(resolver->output, resolver->output_capacity, growing->count + 1)) {
            return false;
        }
        resolver->output[growing->count++] = frame;
    }
    return true;
}

/* There are as many as were asked for; but of frames without names only the next one of their module shows
 * whether they are skipped. That of another module says nothing, and its symbols are left alone. */
static bool is_enough(const struct table_resolver *resolver, const struct growing *growing, size_t next,
                      size_t wanted)
{
    const struct tm_frame *frames = resolver->table->frames;
    return growing->count >= wanted &&
           (resolver->no_skip || !growing->skip.undecided ||
            frames[resolver->walk[next]].module != frames[resolver->walk[next - 1]].module);
}

static bool table_resolve(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                          struct ca_error **ret_error)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    struct growing growing = {.last_skipped = UINT32_MAX};
    size_t depth = walk_stack(resolver, traceback), next = 0;
    while (next < depth && !is_enough(resolver, &growing, next, wanted)) {
        const struct position_span *span = position_resolve(snapshot, resolver, resolver->walk[next++]);
        if (!span || !growing_add(snapshot, resolver, span, &growing)) {
            return ca_fail_memory(ret_error);
        }
        growing.enough = !growing.enough && growing.count >= wanted ? growing.count : growing.enough;
    }
    bool complete = next == depth;
    if (growing.enough && growing.enough < growing.count) {
        growing.count = growing.enough;
        complete = false;
    }
    if (growing.count == 0) {
        if (!CA_GROW(resolver->output, resolver->output_capacity, 1)) {
            return ca_fail_memory(ret_error);
        }
        resolver->output[growing.count++] = growing.last_skipped;
    }
    uint32_t total = complete ? total_nframe(resolver, traceback, depth, growing.count) : CA_TOTAL_UNKNOWN;
    return ca_snapshot_set_traceback(snapshot, traceback, resolver->output, growing.count, complete, total,
                                     ret_error);
}

static bool table_locate(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                         size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    size_t depth = walk_stack(resolver, traceback), frames = 0;
    struct ca_location *locations = calloc(depth, sizeof(*locations));
    if (!locations) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < depth; i++) {
        const struct position_span *span = position_resolve(snapshot, resolver, resolver->walk[i]);
        if (!span) {
            free(locations);
            return ca_fail_memory(ret_error);
        }
        frames += span->count;
    }
    for (size_t i = 0; i < depth; i++) { /* position_frames has stopped moving */
        const struct position_span *span = &resolver->spans[resolver->walk[i]];
        const struct tm_frame *record = &resolver->table->frames[resolver->walk[i]];
        uint64_t delta = record->word && record->word >> TM_FRAME_KIND_SHIFT == TM_FRAME_RETURN ? 1 : 0;
        locations[i] = (struct ca_location){
            .address = (record->word & TM_FRAME_ADDRESS_MASK) - delta,
            .mapping = record->module,
            .frame_count = span->count,
            .frames = resolver->position_frames + span->first,
        };
    }
    *ret_locations = locations;
    *ret_count = depth;
    *ret_total = total_nframe(resolver, traceback, depth, frames);
    return true;
}

static const struct ca_mapped *table_mapped(struct ca_snapshot *snapshot, size_t *ret_count)
{
    enum { TEXT_SIZE = 2 * TM_BUILD_ID_MAX + 1 };
    struct table_resolver *resolver = snapshot->resolver_data;
    size_t count = resolver->table->module_count;
    if (!resolver->mapped) {
        resolver->build_ids = calloc(count, TEXT_SIZE);
        resolver->mapped = resolver->build_ids ? calloc(count, sizeof(*resolver->mapped)) : NULL;
    }
    *ret_count = resolver->mapped ? count : 0;
    for (size_t i = 0; i < *ret_count; i++) {
        const struct ca_module *module = &resolver->table->modules[i];
        char *text = resolver->build_ids + i * TEXT_SIZE;
        for (uint32_t byte = 0; byte < module->build_id_length; byte++) {
            static const char digits[] = "0123456789abcdef";
            text[2 * byte] = digits[module->build_id[byte] >> 4];
            text[2 * byte + 1] = digits[module->build_id[byte] & 15];
        }
        resolver->mapped[i] = (struct ca_mapped){module->start, module->end, module->path, text};
    }
    return resolver->mapped;
}

/* ------------------------------------------------------------------------------------------ traces */

struct trace_reader {
    struct ca_snapshot *snapshot;
    bool failed;
};

static bool read_trace(void *context, const struct ca_block *block)
{
    struct trace_reader *reader = context;
    struct ca_trace trace = ca_trace_of_block(block);
    reader->failed = !ca_snapshot_add_trace(reader->snapshot, &trace);
    return !reader->failed;
}

struct visit {
    const struct ca_trace_visitor *visitor;
    uint64_t sample_bytes;
    bool failed;
};

static bool visit_block(void *context, const struct ca_block *block)
{
    struct visit *visit = context;
    struct ca_trace trace = ca_trace_of_block(block);
    uint64_t count = ca_block_weight(visit->sample_bytes, block->size);
    visit->failed = !visit->visitor->visit(visit->visitor->context, &trace, count, 0);
    return !visit->failed;
}

static bool table_each_trace(struct ca_snapshot *snapshot, const struct ca_trace_visitor *visitor,
                             struct ca_error **ret_error)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    struct visit visit = {.visitor = visitor, .sample_bytes = resolver->table->root.sample_bytes};
    if (resolver->moment) {
        return ca_moment_refuse(SINGLE_BLOCKS, ret_error);
    }
    return ca_table_each_block(resolver->table, visit_block, &visit, ret_error) &&
           (!visit.failed || ca_fail_memory(ret_error));
}

static bool table_read_traces(struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    struct trace_reader reader = {.snapshot = snapshot};
    if (resolver->moment) {
        return ca_moment_refuse(SINGLE_BLOCKS, ret_error);
    }
    if (!ca_table_each_block(resolver->table, read_trace, &reader, ret_error)) {
        return false;
    }
    if (reader.failed) {
        return ca_fail_memory(ret_error);
    }
    return ca_snapshot_sort_traces(snapshot, ret_error);
}

/* ----------------------------------------------------------------------------------------- weights */

struct weights {
    struct ca_weight *items;
    size_t count, capacity;
};

static bool weights_add(struct weights *weights, uint32_t traceback, uint32_t domain, uint32_t thread,
                        uint64_t count, uint64_t size)
{
    if (count == 0) {
        return true;
    }
    if (!CA_GROW(weights->items, weights->capacity, weights->count + 1)) {
        return false;
    }
    weights->items[weights->count++] = (struct ca_weight){
        .size = size,
        .count = count,
        .traceback = traceback,
        .domain = domain,
        .thread = thread,
    };
    return true;
}

static bool weigh_live(struct table_resolver *resolver, struct weights *weights, struct ca_error **ret_error)
{
    uint32_t *domains;
    size_t domain_count;
    if (!ca_table_domains(resolver->table, &domains, &domain_count, ret_error)) {
        return false;
    }
    bool good = true;
    for (size_t d = 0; good && d < domain_count; d++) {
        struct ca_stack_weight *stacks;
        good =
            ca_table_weigh(resolver->table, domain_count == 1 ? UINT32_MAX : domains[d], &stacks, ret_error);
        for (size_t i = 0; good && i < resolver->table->stack_count; i++) {
            if (!weights_add(weights, (uint32_t)i, domains[d], 0, stacks[i].count, stacks[i].size)) {
                good = ca_fail_memory(ret_error);
            }
        }
        free(good ? stacks : NULL);
    }
    free(domains);
    return good;
}

/* Peak and totals are kept per stack, and each stack is of one domain. */
static bool weigh_counters(struct table_resolver *resolver, enum ca_value value, struct weights *weights,
                           struct ca_error **ret_error)
{
    struct ca_table *table = resolver->table;
    bool good = ca_table_settle_counters(table, ret_error);
    for (size_t i = 0; good && i < table->stack_count; i++) {
        const struct ca_stack_stats *stats = &table->stats[i];
        bool peak = value == CA_VALUE_PEAK;
        if (!weights_add(weights, (uint32_t)i, table->stacks[i].domain, 0,
                         peak ? stats->peak_count : stats->total_count,
                         peak ? stats->peak_size : stats->total_size)) {
            good = ca_fail_memory(ret_error);
        }
    }
    if (good) {
        ca_agreement_check_counters(table, value == CA_VALUE_PEAK);
    }
    return good;
}

/* By thread the blocks have to be looked at. */
struct collector {
    struct weights *weights;
    uint64_t sample_bytes;
    bool failed;
};

static bool collect_block(void *context, const struct ca_block *block)
{
    struct collector *collector = context;
    uint64_t count = ca_block_weight(collector->sample_bytes, block->size);
    collector->failed = !weights_add(collector->weights, block->stack, block->domain, block->thread, count,
                                     count * block->size);
    return !collector->failed;
}

static int compare_weights(const void *a, const void *b)
{
    const struct ca_weight *left = a, *right = b;
    if (left->thread != right->thread) {
        return left->thread < right->thread ? -1 : 1;
    }
    if (left->domain != right->domain) {
        return left->domain < right->domain ? -1 : 1;
    }
    return (left->traceback > right->traceback) - (left->traceback < right->traceback);
}

static bool weigh_threads(struct table_resolver *resolver, struct weights *weights,
                          struct ca_error **ret_error)
{
    struct collector collector = {.weights = weights, .sample_bytes = resolver->table->root.sample_bytes};
    if (!ca_table_each_block(resolver->table, collect_block, &collector, ret_error)) {
        return false;
    }
    if (collector.failed) {
        return ca_fail_memory(ret_error);
    }
    if (weights->count == 0) {
        return true;
    }
    qsort(weights->items, weights->count, sizeof(*weights->items), compare_weights);
    size_t kept = 0;
    for (size_t i = 1; i < weights->count; i++) {
        if (compare_weights(&weights->items[kept], &weights->items[i]) == 0) {
            weights->items[kept].count += weights->items[i].count;
            weights->items[kept].size += weights->items[i].size;
        } else {
            weights->items[++kept] = weights->items[i];
        }
    }
    weights->count = kept + 1;
    return true;
}

static bool weigh_refused(const struct table_resolver *resolver, enum ca_value value, bool by_thread,
                          struct ca_error **ret_error)
{
    uint64_t features = resolver->table->root.features;
    if (value != CA_VALUE_LIVE && !(features & TM_FEATURE_STATS)) {
        ca_fail(ret_error, CA_USAGE,
                "peak and total values were not recorded; run the program with: tm-run -o stats=1");
        return true;
    }
    if (value != CA_VALUE_LIVE && by_thread) {
        ca_fail(ret_error, CA_USAGE, "peak and total values are not kept by thread; leave --value out");
        return true;
    }
    if (by_thread && !(features & TM_FEATURE_DETAIL)) {
        ca_fail(ret_error, CA_USAGE, "threads were not recorded; run the program with: tm-run -o detail=1");
        return true;
    }
    return false;
}

static bool table_weigh(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                        struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    struct weights weights = {0};
    if (resolver->moment) {
        return by_thread ? ca_moment_refuse("--by thread and --thread are about single blocks", ret_error)
                         : ca_moment_weights(resolver->moment, value, ret_weights, ret_count, ret_error);
    }
    if (weigh_refused(resolver, value, by_thread, ret_error)) {
        return false;
    }
    bool good;
    if (!CA_GROW(weights.items, weights.capacity, 1)) {
        good = ca_fail_memory(ret_error);
    } else if (by_thread) {
        good = weigh_threads(resolver, &weights, ret_error);
    } else if (value == CA_VALUE_LIVE) {
        good = weigh_live(resolver, &weights, ret_error);
    } else {
        good = weigh_counters(resolver, value, &weights, ret_error);
    }
    if (!good) {
        free(weights.items);
        return false;
    }
    *ret_weights = weights.items;
    *ret_count = weights.count;
    return true;
}

/* -------------------------------------------------------------------------------------------- life */

static void table_resolver_destroy(struct ca_snapshot *snapshot)
{
    struct table_resolver *resolver = snapshot->resolver_data;
    if (resolver) {
        free(resolver->spans);
        free(resolver->position_frames);
        free(resolver->position_skipped);
        free(resolver->walk);
        free(resolver->output);
        free(resolver->mapped);
        free(resolver->build_ids);
        free(resolver);
    }
}

static const struct ca_resolver table_operations = {
    .resolve = table_resolve,
    .read_traces = table_read_traces,
    .each_trace = table_each_trace,
    .weigh = table_weigh,
    .destroy = table_resolver_destroy,
    .locate = table_locate,
    .mapped = table_mapped,
};

struct ca_snapshot *ca_snapshot_from_table(struct ca_table *table, struct ca_symbolizer *symbolizer,
                                           const char *const *skip, size_t skip_count, bool no_skip,
                                           struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = ca_snapshot_create(table->root.traceback_limit, ret_error);
    if (!snapshot) {
        return NULL;
    }
    struct table_resolver *resolver = calloc(1, sizeof(*resolver));
    snapshot->resolver = &table_operations;
    snapshot->resolver_data = resolver;
    snapshot->coverage_shared = &table->coverage;
    if (resolver) {
        resolver->table = table;
        resolver->symbolizer = symbolizer;
        resolver->skip = skip;
        resolver->skip_count = skip_count;
        resolver->no_skip = no_skip;
        resolver->spans = calloc(table->frame_count, sizeof(*resolver->spans));
        resolver->walk = malloc(DEPTH_MAX * sizeof(*resolver->walk));
    }
    if (!resolver || !resolver->spans || !resolver->walk) {
        ca_fail_memory(ret_error);
        ca_snapshot_destroy(snapshot);
        return NULL;
    }
    if (!ca_snapshot_reserve_tracebacks(snapshot, table->stack_count, ret_error)) {
        ca_snapshot_destroy(snapshot);
        return NULL;
    }
    return snapshot;
}

struct ca_snapshot *ca_snapshot_from_moment(const struct ca_moment *moment, struct ca_table *table,
                                            struct ca_symbolizer *symbolizer, const char *const *skip,
                                            size_t skip_count, bool no_skip, struct ca_error **ret_error)
{
    if (!ca_moment_check(moment, table, ret_error)) {
        return NULL;
    }
    struct ca_snapshot *snapshot =
        ca_snapshot_from_table(table, symbolizer, skip, skip_count, no_skip, ret_error);
    if (snapshot) {
        struct table_resolver *resolver = snapshot->resolver_data;
        resolver->moment = moment;
        snapshot->coverage_shared = ca_moment_coverage(moment);
    }
    return snapshot;
}
