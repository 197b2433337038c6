/* encode.c: a snapshot as a pprof profile. The messages live in one arena and refer to each other; nothing is
 * freed one by one. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../snapshot/internal.h"
#include "../snapshot/location.h"
#include "../terminal/progress.h"
#include "../util/grow.h"
#include "arena.h"
#include "loaded.h"
#include "profile.h"
#include "profile.pb-c.h"
#include "sample_types.h"

/* A list of messages that grows; protobuf-c wants arrays of pointers. */
struct list {
    void **items;
    size_t count, capacity;
};

struct location_key {
    uint64_t address;
    uint32_t mapping;
    uint32_t first_frame; /* of its frames: with address and mapping it tells all locations apart that one
                             snapshot has */
    uint32_t frame_count;
};

/* A traceback as samples have it: those of the snapshot that are equal here become one. */
struct stack {
    const uint64_t *ids; /* of locations, in the arena */
    size_t count;
    uint32_t total; /* CA_TOTAL_UNKNOWN = not known */
};

enum { LABELS_MAX = 5 }; /* of one sample */

struct encoder {
    struct ca_snapshot *snapshot;
    const struct ca_profile_choice *choice; /* NULL = all */
    struct ca_arena arena;
    Pprof__Profile profile;
    struct list strings, samples, mappings, locations, functions;
    uint32_t *string_of; /* snapshot string id -> string table index + 1 */
    size_t string_of_count;
    uint32_t *function_of; /* snapshot frame id -> function id */
    size_t function_of_count;
    struct location_key *keys; /* index = location id - 1 */
    size_t keys_capacity;
    struct ca_index location_index;
    struct stack *stacks; /* in the order of the first samples that have them */
    size_t stack_count, stacks_capacity;
    struct ca_index stack_index;
    uint32_t *stack_of; /* traceback id -> number of its stack + 1 */
    size_t stack_of_capacity;
    Pprof__Label *last_labels[LABELS_MAX]; /* by their place in the sample */
    int64_t label_bytes, label_domain, label_thread, label_total, label_source, unit_bytes;
    bool labelled; /* the traces have labels: their sources */
    bool plain;    /* not compressed */
    bool failed;   /* out of memory */
};

static bool list_add(struct encoder *encoder, struct list *list, void *item)
{
    if (!item || !CA_GROW(list->items, list->capacity, list->count + 1)) {
        encoder->failed = true;
        return false;
    }
    list->items[list->count++] = item;
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * strings */

static int64_t add_string(struct encoder *encoder, const char *bytes, size_t size)
{
    ProtobufCBinaryData *data = ca_arena_add(&encoder->arena, sizeof *data);
    uint8_t *copy = ca_arena_add(&encoder->arena, size ? size : 1);
    if (!data || !copy) {
        encoder->failed = true;
        return 0;
    }
    memcpy(copy, bytes, size);
    *data = (ProtobufCBinaryData){.len = size, .data = copy};
    return list_add(encoder, &encoder->strings, data) ? (int64_t)encoder->strings.count - 1 : 0;
}

static int64_t add_text(struct encoder *encoder, const char *text)
{
    return *text ? add_string(encoder, text, strlen(text)) : 0;
}

/* The table's index of a string of the snapshot. */
static int64_t snapshot_string(struct encoder *encoder, uint32_t string)
{
    if (string == 0) {
        return 0;
    }
    if (string >= encoder->string_of_count) {
        size_t wanted = encoder->snapshot->string_count;
        uint32_t *moved = realloc(encoder->string_of, wanted * sizeof *moved);
        if (!moved) {
            encoder->failed = true;
            return 0;
        }
        memset(moved + encoder->string_of_count, 0, (wanted - encoder->string_of_count) * sizeof *moved);
        encoder->string_of = moved;
        encoder->string_of_count = wanted;
    }
    if (encoder->string_of[string] == 0) {
        const struct ca_string_span *span = &encoder->snapshot->strings[string];
        int64_t index = add_string(encoder, encoder->snapshot->string_bytes + span->offset, span->size);
        encoder->string_of[string] = (uint32_t)index + 1;
    }
    return encoder->string_of[string] - 1;
}

/* ------------------------------------------------------------------------------------------ functions and
 * locations */

static uint64_t frame_function(struct encoder *encoder, uint32_t frame)
{
    if (frame >= encoder->function_of_count) {
        size_t wanted = encoder->snapshot->frame_count;
        uint32_t *moved = realloc(encoder->function_of, wanted * sizeof *moved);
        if (!moved) {
            encoder->failed = true;
            return 0;
        }
        memset(moved + encoder->function_of_count, 0, (wanted - encoder->function_of_count) * sizeof *moved);
        encoder->function_of = moved;
        encoder->function_of_count = wanted;
    }
    if (encoder->function_of[frame]) {
        return encoder->function_of[frame];
    }
    Pprof__Function *function = ca_arena_add(&encoder->arena, sizeof *function);
    if (!list_add(encoder, &encoder->functions, function)) {
        return 0;
    }
    pprof__function__init(function);
    struct ca_frame from = *ca_snapshot_frame(encoder->snapshot, frame);
    function->id = encoder->functions.count;
    function->filename = snapshot_string(encoder, from.filename);
    function->system_name = snapshot_string(encoder, from.function);
    function->name = from.function ? function->system_name : function->filename;
    encoder->function_of[frame] = (uint32_t)function->id;
    return function->id;
}

static bool location_equal(const void *array, uint32_t element, const void *key)
{
    const struct location_key *left = (const struct location_key *)array + element, *right = key;
    return left->address == right->address && left->mapping == right->mapping &&
           left->first_frame == right->first_frame && left->frame_count == right->frame_count;
}

static uint32_t location_key_hash(const struct location_key *key)
{
    uint32_t hash = ca_hash_combine(0, key->address);
    return ca_hash_combine(hash, (uint64_t)key->mapping << 32 | key->first_frame);
}

static uint32_t location_hash(const void *array, uint32_t element)
{
    return location_key_hash((const struct location_key *)array + element);
}

static const struct ca_index_type location_type = {location_equal, location_hash};

static Pprof__Line *make_line(struct encoder *encoder, uint32_t frame)
{
    Pprof__Line *line = ca_arena_add(&encoder->arena, sizeof *line);
    if (!line) {
        encoder->failed = true;
        return NULL;
    }
    pprof__line__init(line);
    line->line = ca_snapshot_frame(encoder->snapshot, frame)->lineno;
    line->function_id = frame_function(encoder, frame);
    return line;
}

static bool fill_location(struct encoder *encoder, Pprof__Location *location, const struct ca_location *from)
{
    pprof__location__init(location);
    location->mapping_id = from->mapping;
    location->address = from->address;
    location->n_line = from->frame_count;
    location->line = ca_arena_add(&encoder->arena, from->frame_count * sizeof *location->line);
    if (!location->line) {
        encoder->failed = true;
        return false;
    }
    for (uint32_t i = 0; i < from->frame_count; i++) {
        location->line[i] = make_line(encoder, from->frames[i]);
        if (!location->line[i]) {
            return false;
        }
    }
    return true;
}

/* Id of the location in the profile, 0 when out of memory. */
static uint64_t add_location(struct encoder *encoder, const struct ca_location *from)
{
    struct location_key key = {from->address, from->mapping, from->frames[0], from->frame_count};
    uint32_t hash = location_key_hash(&key);
    uint32_t found = ca_index_find(&encoder->location_index, &location_type, encoder->keys, &key, hash);
    if (found != CA_INDEX_NONE) {
        return (uint64_t)found + 1;
    }
    Pprof__Location *location = ca_arena_add(&encoder->arena, sizeof *location);
    if (!location || !fill_location(encoder, location, from) ||
        !CA_GROW(encoder->keys, encoder->keys_capacity, encoder->locations.count + 1) ||
        !ca_index_reserve(&encoder->location_index, &location_type, encoder->keys) ||
        !list_add(encoder, &encoder->locations, location)) {
        encoder->failed = true;
        return 0;
    }
    encoder->keys[encoder->locations.count - 1] = key;
    ca_index_insert(&encoder->location_index, (uint32_t)encoder->locations.count - 1, hash);
    location->id = encoder->locations.count;
    return location->id;
}

static bool add_mappings(struct encoder *encoder)
{
    size_t count;
    const struct ca_mapped *mapped = ca_snapshot_mapped(encoder->snapshot, &count);
    for (size_t i = 1; i < count; i++) {
        Pprof__Mapping *mapping = ca_arena_add(&encoder->arena, sizeof *mapping);
        if (!list_add(encoder, &encoder->mappings, mapping)) {
            return false;
        }
        pprof__mapping__init(mapping);
        mapping->id = i;
        mapping->memory_start = mapped[i].start;
        mapping->memory_limit = mapped[i].limit;
        mapping->filename = add_text(encoder, mapped[i].path);
        mapping->build_id = add_text(encoder, mapped[i].build_id);
        mapping->has_functions = mapping->has_filenames = true;
        mapping->has_line_numbers = mapping->has_inline_frames = true;
    }
    return !encoder->failed;
}

/* ------------------------------------------------------------------------------------------------------
 * samples */

static int64_t clamp(unsigned __int128 number)
{
    return number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

/* A sample's next label. Neighbours have most of theirs in common: what the sample before has is shared. */
static bool add_label_text(struct encoder *encoder, Pprof__Sample *sample, int64_t key, uint64_t number,
                           int64_t unit, int64_t string)
{
    Pprof__Label **last = &encoder->last_labels[sample->n_label];
    if (!*last || (*last)->key != key || (*last)->num != (int64_t)number || (*last)->str != string) {
        Pprof__Label *label = ca_arena_add(&encoder->arena, sizeof *label);
        if (!label) {
            encoder->failed = true;
            return false;
        }
        pprof__label__init(label);
        label->key = key;
        label->num = (int64_t)number;
        label->num_unit = unit;
        label->str = string;
        *last = label;
    }
    sample->label[sample->n_label++] = *last;
    return true;
}

static bool add_label(struct encoder *encoder, Pprof__Sample *sample, int64_t key, uint64_t number,
                      int64_t unit)
{
    return add_label_text(encoder, sample, key, number, unit, 0);
}

/* label: a string id of the snapshot; 0 = nothing is added. */
static bool add_source(struct encoder *encoder, Pprof__Sample *sample, uint32_t label)
{
    if (label == 0) {
        return true;
    }
    int64_t string = snapshot_string(encoder, label);
    return !encoder->failed && add_label_text(encoder, sample, encoder->label_source, 0, 0, string);
}

static bool stack_equal(const void *array, uint32_t element, const void *key)
{
    const struct stack *left = (const struct stack *)array + element, *right = key;
    return left->count == right->count && left->total == right->total &&
           (left->count == 0 || memcmp(left->ids, right->ids, left->count * sizeof *left->ids) == 0);
}

static uint32_t stack_key_hash(const struct stack *stack)
{
    return ca_hash_combine(ca_hash_bytes(stack->ids, stack->count * sizeof *stack->ids), stack->total);
}

static uint32_t stack_hash(const void *array, uint32_t element)
{
    return stack_key_hash((const struct stack *)array + element);
}

static const struct ca_index_type stack_type = {stack_equal, stack_hash};

/* Its number; UINT32_MAX when out of memory. */
static uint32_t add_stack(struct encoder *encoder, const struct stack *stack)
{
    uint32_t hash = stack_key_hash(stack);
    uint32_t found = ca_index_find(&encoder->stack_index, &stack_type, encoder->stacks, stack, hash);
    if (found != CA_INDEX_NONE) {
        return found;
    }
    if (encoder->stack_count >= UINT32_MAX - 1 ||
        !CA_GROW(encoder->stacks, encoder->stacks_capacity, encoder->stack_count + 1) ||
        !ca_index_reserve(&encoder->stack_index, &stack_type, encoder->stacks)) {
        encoder->failed = true;
        return UINT32_MAX;
    }
    found = (uint32_t)encoder->stack_count++;
    encoder->stacks[found] = *stack;
    ca_index_insert(&encoder->stack_index, found, hash);
    return found;
}

static uint32_t read_stack(struct encoder *encoder, uint32_t traceback, struct ca_error **ret_error)
{
    struct ca_location *locations;
    struct stack stack;
    if (!ca_snapshot_locations(encoder->snapshot, traceback, &locations, &stack.count, &stack.total,
                               ret_error)) {
        return UINT32_MAX;
    }
    uint64_t *ids = ca_arena_add(&encoder->arena, (stack.count ? stack.count : 1) * sizeof *ids);
    encoder->failed = encoder->failed || !ids;
    for (size_t i = 0; i < stack.count && !encoder->failed; i++) {
        ids[i] = add_location(encoder, &locations[i]);
    }
    free(locations);
    stack.ids = ids;
    uint32_t number = encoder->failed ? UINT32_MAX : add_stack(encoder, &stack);
    if (number == UINT32_MAX) {
        ca_fail_memory(ret_error);
    }
    return number;
}

/* The number of a traceback's stack; UINT32_MAX with an error. */
static uint32_t find_stack(struct encoder *encoder, uint32_t traceback, struct ca_error **ret_error)
{
    size_t before = encoder->stack_of_capacity;
    if (!CA_GROW(encoder->stack_of, encoder->stack_of_capacity, (size_t)traceback + 1)) {
        ca_fail_memory(ret_error);
        return UINT32_MAX;
    }
    memset(encoder->stack_of + before, 0, (encoder->stack_of_capacity - before) * sizeof *encoder->stack_of);
    if (encoder->stack_of[traceback] == 0) {
        uint32_t number = read_stack(encoder, traceback, ret_error);
        if (number == UINT32_MAX) {
            return UINT32_MAX;
        }
        encoder->stack_of[traceback] = number + 1;
    }
    return encoder->stack_of[traceback] - 1;
}

/* A sample of a stack with all its values 0 and room for the labels; NULL when out of memory. */
static Pprof__Sample *add_sample(struct encoder *encoder, uint32_t number)
{
    const struct stack *stack = &encoder->stacks[number];
    Pprof__Sample *sample = ca_arena_add(&encoder->arena, sizeof *sample);
    int64_t *values = ca_arena_add(&encoder->arena, CA_SAMPLE_TYPES * sizeof *values);
    Pprof__Label **labels = ca_arena_add(&encoder->arena, LABELS_MAX * sizeof(Pprof__Label *));
    if (!sample || !values || !labels || !list_add(encoder, &encoder->samples, sample)) {
        encoder->failed = true;
        return NULL;
    }
    pprof__sample__init(sample);
    memset(values, 0, CA_SAMPLE_TYPES * sizeof *values);
    sample->n_location_id = stack->count;
    sample->location_id = (uint64_t *)(uintptr_t)stack->ids;
    sample->n_value = CA_SAMPLE_TYPES;
    sample->value = values;
    sample->label = labels;
    if (stack->total != CA_TOTAL_UNKNOWN) {
        add_label(encoder, sample, encoder->label_total, stack->total, 0);
    }
    return encoder->failed ? NULL : sample;
}

static bool encoder_keeps(const struct encoder *encoder, const struct ca_trace *trace, bool *ret_keeps,
                          struct ca_error **ret_error)
{
    *ret_keeps = true;
    return !encoder->choice || encoder->choice->keeps(encoder->choice->context, trace, ret_keeps, ret_error);
}

/* Equal blocks of one stack: a sample. */
struct equals {
    uint64_t size, count;
    uint32_t stack; /* of labelled traces the traceback, until all are there */
    uint32_t domain, thread, label;
};

/* Samples to be, in the order in which their first blocks come. Neighbours are mostly equal, but not always:
 * two calls in one line are two stacks whose blocks the canonical order mixes. */
struct equals_list {
    struct equals *items;
    size_t count, capacity;
    struct ca_index index;
    uint32_t last;
};

static bool equals_equal(const void *array, uint32_t element, const void *key)
{
    const struct equals *left = (const struct equals *)array + element, *right = key;
    return left->stack == right->stack && left->size == right->size && left->domain == right->domain &&
           left->thread == right->thread && left->label == right->label;
}

static uint32_t equals_key_hash(const struct equals *key)
{
    uint32_t hash = ca_hash_combine((uint32_t)key->stack, key->size);
    hash = ca_hash_combine(hash, (uint64_t)key->domain << 32 | key->thread);
    return key->label ? ca_hash_combine(hash, key->label) : hash;
}

static uint32_t equals_hash(const void *array, uint32_t element)
{
    return equals_key_hash((const struct equals *)array + element);
}

static bool equals_add(struct equals_list *list, const struct equals *key, uint64_t count)
{
    static const struct ca_index_type type = {equals_equal, equals_hash};
    if (list->count == 0 || !equals_equal(list->items, list->last, key)) {
        uint32_t hash = equals_key_hash(key);
        list->last = ca_index_find(&list->index, &type, list->items, key, hash);
        if (list->last == CA_INDEX_NONE) {
            if (list->count >= CA_INDEX_NONE || !CA_GROW(list->items, list->capacity, list->count + 1) ||
                !ca_index_reserve(&list->index, &type, list->items)) {
                return false;
            }
            list->last = (uint32_t)list->count++;
            list->items[list->last] = *key;
            ca_index_insert(&list->index, list->last, hash);
        }
    }
    list->items[list->last].count += count;
    return true;
}

static bool equals_write(struct encoder *encoder, const struct equals *equals)
{
    Pprof__Sample *sample = add_sample(encoder, equals->stack);
    if (!sample) {
        return false;
    }
    sample->value[CA_SAMPLE_LIVE_COUNT] = (int64_t)equals->count;
    sample->value[CA_SAMPLE_LIVE_SIZE] = clamp((unsigned __int128)equals->size * equals->count);
    add_label(encoder, sample, encoder->label_bytes, equals->size, encoder->unit_bytes);
    add_label(encoder, sample, encoder->label_domain, equals->domain, 0);
    if (equals->thread) {
        add_label(encoder, sample, encoder->label_thread, equals->thread, 0);
    }
    return add_source(encoder, sample, equals->label) && !encoder->failed;
}

static bool list_equals(struct encoder *encoder, struct equals_list *list, struct ca_error **ret_error)
{
    size_t count;
    const struct ca_trace *traces = ca_snapshot_traces(encoder->snapshot, &count, ret_error);
    if (!traces && count > 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        bool keeps;
        struct ca_trace trace = encoder->snapshot->traces[i];
        if (!encoder_keeps(encoder, &trace, &keeps, ret_error)) {
            return false;
        }
        if (!keeps) {
            continue;
        }
        struct equals key = {.size = trace.size, .domain = trace.domain, .thread = trace.thread};
        key.stack = find_stack(encoder, trace.traceback, ret_error);
        if (key.stack == UINT32_MAX) {
            return false;
        }
        if (!equals_add(list, &key, ca_trace_weight(encoder->snapshot, &trace))) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * labelled traces */

/* They stay what they are in a sum, so many of one kind: one by one they would need memory for the blocks of
 * all its sources. */
struct labelled {
    struct encoder *encoder;
    struct equals_list *list;
    struct ca_error *error;
};

static bool labelled_visit(void *context, const struct ca_trace *trace, uint64_t count, uint32_t label)
{
    struct labelled *labelled = context;
    bool keeps;
    if (!encoder_keeps(labelled->encoder, trace, &keeps, &labelled->error)) {
        return false;
    }
    struct equals key = {.size = trace->size,
                         .stack = trace->traceback,
                         .domain = trace->domain,
                         .thread = trace->thread,
                         .label = label};
    return !keeps || equals_add(labelled->list, &key, count);
}

static int compare_labels(const struct ca_snapshot *snapshot, uint32_t left, uint32_t right)
{
    return left == right ? 0
                         : strcmp(ca_snapshot_string(snapshot, left), ca_snapshot_string(snapshot, right));
}

/* The canonical order of traces, then by label; what is left is the order in which they were met. The
 * tracebacks are resolved. */
static int compare_labelled(const void *a, const void *b, void *context)
{
    const struct equals *left = a, *right = b;
    const struct ca_snapshot *snapshot = context;
    const struct ca_traceback_span *mine = &snapshot->tracebacks[left->stack];
    const struct ca_traceback_span *other = &snapshot->tracebacks[right->stack];
    int order = (left->domain > right->domain) - (left->domain < right->domain);
    order = order || left->stack == right->stack
                ? order
                : ca_frames_compare(snapshot, snapshot->traceback_frames + mine->first, mine->count,
                                    snapshot->traceback_frames + other->first, other->count);
    order = order ? order
                  : (mine->total_nframe > other->total_nframe) - (mine->total_nframe < other->total_nframe);
    order = order ? order : (left->size > right->size) - (left->size < right->size);
    order = order ? order : (left->thread > right->thread) - (left->thread < right->thread);
    order = order ? order : compare_labels(snapshot, left->label, right->label);
    return order ? order : (left->stack > right->stack) - (left->stack < right->stack);
}

static bool list_labelled(struct encoder *encoder, struct equals_list *list, struct ca_error **ret_error)
{
    struct labelled labelled = {.encoder = encoder, .list = list};
    const struct ca_trace_visitor visitor = {labelled_visit, &labelled};
    if (!ca_snapshot_each_trace(encoder->snapshot, &visitor, ret_error)) {
        if (labelled.error) {
            ca_error_destroy(*ret_error);
            *ret_error = labelled.error;
        }
        return false;
    }
    size_t depth;
    for (size_t i = 0; i < list->count; i++) {
        if (!ca_snapshot_traceback(encoder->snapshot, list->items[i].stack, SIZE_MAX, &depth, ret_error)) {
            return false;
        }
    }
    if (list->count) {
        qsort_r(list->items, list->count, sizeof *list->items, compare_labelled, encoder->snapshot);
    }
    for (size_t i = 0; i < list->count; i++) {
        list->items[i].stack = find_stack(encoder, list->items[i].stack, ret_error);
        if (list->items[i].stack == UINT32_MAX) {
            return false;
        }
    }
    return true;
}

static bool add_live(struct encoder *encoder, struct ca_error **ret_error)
{
    struct equals_list list = {.count = 0};
    bool done = (encoder->labelled ? list_labelled : list_equals)(encoder, &list, ret_error);
    for (size_t i = 0; i < list.count && done; i++) {
        ca_progress_count("writing the snapshot", i, list.count);
        done = equals_write(encoder, &list.items[i]) || ca_fail_memory(ret_error);
    }
    free(list.items);
    ca_index_deinit(&list.index);
    return done;
}

/* What a stack allocated since start, or held at the peak. */
struct history {
    uint32_t stack, domain, label;
    unsigned __int128 size[CA_VALUE_TOTAL + 1]; /* index = enum ca_value */
    uint64_t count[CA_VALUE_TOTAL + 1];
};

struct histories {
    struct history *items;
    size_t count, capacity;
};

static bool add_value(struct encoder *encoder, enum ca_value value, const struct ca_weight *weight,
                      struct histories *histories, struct ca_error **ret_error)
{
    bool keeps;
    const struct ca_trace trace = {.traceback = weight->traceback, .domain = weight->domain};
    if (!encoder_keeps(encoder, &trace, &keeps, ret_error)) {
        return false;
    }
    if (!keeps) {
        return true;
    }
    uint32_t stack = find_stack(encoder, weight->traceback, ret_error);
    if (stack == UINT32_MAX) {
        return false;
    }
    if (!CA_GROW(histories->items, histories->capacity, histories->count + 1)) {
        return ca_fail_memory(ret_error);
    }
    struct history *history = &histories->items[histories->count++];
    *history = (struct history){.stack = stack, .domain = weight->domain, .label = weight->label};
    history->size[value] = weight->size;
    history->count[value] = weight->count;
    return true;
}

static bool add_values(struct encoder *encoder, enum ca_value value, struct histories *histories,
                       struct ca_error **ret_error)
{
    struct ca_weight *weights;
    size_t count;
    struct ca_error *error = NULL;
    if (!ca_snapshot_weights(encoder->snapshot, value, false, &weights, &count, &error)) {
        bool failed =
            ca_error_status(error) != CA_USAGE; /* traces made by hand, or counters that were switched off */
        if (failed) {
            *ret_error = error;
        } else {
            ca_error_destroy(error);
        }
        return !failed;
    }
    bool done = true;
    for (size_t i = 0; i < count && done; i++) {
        done = add_value(encoder, value, &weights[i], histories, ret_error);
    }
    free(weights);
    return done;
}

/* In the order in which a reader of the file meets the tracebacks: what is saved from a file is that file
 * again. */
static int compare_histories(const void *a, const void *b, void *context)
{
    const struct history *left = a, *right = b;
    int order = (left->stack > right->stack) - (left->stack < right->stack);
    order = order ? order : (left->domain > right->domain) - (left->domain < right->domain);
    return order ? order : compare_labels(context, left->label, right->label);
}

/* Makes one of those that are about the same. */
static void merge_histories(struct histories *histories, struct ca_snapshot *snapshot)
{
    size_t kept = 0;
    qsort_r(histories->items, histories->count, sizeof *histories->items, compare_histories, snapshot);
    for (size_t i = 0; i < histories->count; i++) {
        struct history *last = kept ? &histories->items[kept - 1] : NULL;
        const struct history *from = &histories->items[i];
        if (!last || compare_histories(last, from, snapshot) != 0) {
            histories->items[kept++] = *from;
            continue;
        }
        for (int value = 0; value <= CA_VALUE_TOTAL; value++) {
            last->size[value] += from->size[value];
            last->count[value] += from->count[value];
        }
    }
    histories->count = kept;
}

static bool add_history_sample(struct encoder *encoder, const struct history *history)
{
    Pprof__Sample *sample = add_sample(encoder, history->stack);
    if (!sample) {
        return false;
    }
    sample->value[CA_SAMPLE_TOTAL_COUNT] = clamp(history->count[CA_VALUE_TOTAL]);
    sample->value[CA_SAMPLE_TOTAL_SIZE] = clamp(history->size[CA_VALUE_TOTAL]);
    sample->value[CA_SAMPLE_PEAK_COUNT] = clamp(history->count[CA_VALUE_PEAK]);
    sample->value[CA_SAMPLE_PEAK_SIZE] = clamp(history->size[CA_VALUE_PEAK]);
    return add_label(encoder, sample, encoder->label_domain, history->domain, 0) &&
           add_source(encoder, sample, history->label);
}

/* One further sample per stack, without `bytes`: totals and peak. Left out where the snapshot keeps none. */
static bool add_history(struct encoder *encoder, struct ca_error **ret_error)
{
    struct histories histories = {0};
    bool done = add_values(encoder, CA_VALUE_TOTAL, &histories, ret_error) &&
                add_values(encoder, CA_VALUE_PEAK, &histories, ret_error);
    if (done && histories.count) {
        merge_histories(&histories, encoder->snapshot);
    }
    for (size_t i = 0; i < histories.count && done; i++) {
        done = add_history_sample(encoder, &histories.items[i]) || ca_fail_memory(ret_error);
    }
    free(histories.items);
    return done;
}

/* ------------------------------------------------------------------------------------------------------ the
 * rest */

static Pprof__ValueType *make_value_type(struct encoder *encoder, const struct ca_sample_type *type)
{
    Pprof__ValueType *made = ca_arena_add(&encoder->arena, sizeof *made);
    if (!made) {
        encoder->failed = true;
        return NULL;
    }
    pprof__value_type__init(made);
    made->type = add_text(encoder, type->type);
    made->unit = add_text(encoder, type->unit);
    return made;
}

static void add_comments(struct encoder *encoder)
{
    const struct ca_coverage *coverage = ca_snapshot_coverage(encoder->snapshot);
    char lines[3][512], untraced[64] = "";
    if (coverage->untraced_time) {
        snprintf(untraced, sizeof untraced, " untraced_time=%" PRIu64, coverage->untraced_time);
    }
    snprintf(lines[0], sizeof lines[0], "%s", CA_PROFILE_MARK);
    snprintf(lines[1], sizeof lines[1], "tm: traceback_limit=%" PRIu32, ca_snapshot_limit(encoder->snapshot));
    snprintf(lines[2], sizeof lines[2],
             "tm: coverage blocks=%" PRIu64 " dropped=%" PRIu64 " dropped_size=%" PRIu64 " in_flight=%" PRIu64
             " sample_bytes=%" PRIu64 " rejected=%" PRIu64 " missing_bytes=%" PRIu64 " truncated=%d%s",
             coverage->blocks, coverage->dropped, coverage->dropped_size, coverage->in_flight,
             coverage->sample_bytes, coverage->rejected, coverage->missing_bytes, coverage->truncated,
             untraced);
    strcat(lines[2], coverage->disagree ? " disagree=1" : "");
    strcat(lines[2], coverage->bypassed ? " bypassed=1" : "");
    if (coverage->sources) {
        size_t size = strlen(lines[2]);
        snprintf(lines[2] + size, sizeof lines[2] - size,
                 " sources=%" PRIu64 " unread=%" PRIu64 " sampled=%" PRIu64 " least_sample_bytes=%" PRIu64,
                 coverage->sources, coverage->unread, coverage->sampled, coverage->least_sample_bytes);
    }
    Pprof__Profile *profile = &encoder->profile;
    profile->comment = ca_arena_add(&encoder->arena, 3 * sizeof *profile->comment);
    if (!profile->comment) {
        encoder->failed = true;
        return;
    }
    for (profile->n_comment = 0; profile->n_comment < 3; profile->n_comment++) {
        profile->comment[profile->n_comment] = add_text(encoder, lines[profile->n_comment]);
    }
}

static bool add_header(struct encoder *encoder)
{
    add_string(encoder, "", 0);
    Pprof__Profile *profile = &encoder->profile;
    profile->n_sample_type = CA_SAMPLE_TYPES;
    profile->sample_type = ca_arena_add(&encoder->arena, CA_SAMPLE_TYPES * sizeof *profile->sample_type);
    for (size_t i = 0; profile->sample_type && i < CA_SAMPLE_TYPES; i++) {
        profile->sample_type[i] = make_value_type(encoder, &ca_sample_types[i]);
    }
    profile->period_type = make_value_type(encoder, &(struct ca_sample_type){"space", "bytes"});
    uint64_t sample_bytes = ca_snapshot_coverage(encoder->snapshot)->sample_bytes;
    profile->period = sample_bytes ? clamp(sample_bytes) : 1;
    profile->default_sample_type = add_text(encoder, ca_sample_types[CA_SAMPLE_LIVE_SIZE].type);
    encoder->label_bytes = add_text(encoder, CA_LABEL_BYTES);
    encoder->label_domain = add_text(encoder, CA_LABEL_DOMAIN);
    encoder->label_thread = add_text(encoder, CA_LABEL_THREAD);
    encoder->label_total = add_text(encoder, CA_LABEL_TOTAL);
    encoder->label_source = encoder->labelled ? add_text(encoder, CA_LABEL_SOURCE) : 0;
    encoder->unit_bytes = add_text(encoder, "bytes");
    return profile->sample_type && !encoder->failed;
}

/* protobuf-c takes the string table as an array of values, not of pointers. */
static bool finish_strings(struct encoder *encoder)
{
    ProtobufCBinaryData *table = ca_arena_add(&encoder->arena, encoder->strings.count * sizeof *table);
    if (!table) {
        return false;
    }
    for (size_t i = 0; i < encoder->strings.count; i++) {
        table[i] = *(ProtobufCBinaryData *)encoder->strings.items[i];
    }
    encoder->profile.n_string_table = encoder->strings.count;
    encoder->profile.string_table = table;
    return true;
}

static bool compress_into(struct ca_text *text, const uint8_t *bytes, size_t size)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    uint8_t buffer[1 << 16];
    int result = Z_OK;
    while (result == Z_OK) {
        if (stream.avail_in == 0 && size > 0) {
            stream.next_in = (uint8_t *)(uintptr_t)bytes;
            stream.avail_in = size > UINT_MAX / 2 ? UINT_MAX / 2 : (unsigned)size;
            bytes += stream.avail_in;
            size -= stream.avail_in;
        }
        stream.next_out = buffer;
        stream.avail_out = sizeof buffer;
        result = deflate(&stream, size == 0 ? Z_FINISH : Z_NO_FLUSH);
        ca_text_add_bytes(text, (const char *)buffer, sizeof buffer - stream.avail_out);
    }
    deflateEnd(&stream);
    return result == Z_STREAM_END && !text->failed;
}

static bool pack(struct encoder *encoder, struct ca_text *text)
{
    Pprof__Profile *profile = &encoder->profile;
    profile->n_sample = encoder->samples.count;
    profile->sample = (Pprof__Sample **)encoder->samples.items;
    profile->n_mapping = encoder->mappings.count;
    profile->mapping = (Pprof__Mapping **)encoder->mappings.items;
    profile->n_location = encoder->locations.count;
    profile->location = (Pprof__Location **)encoder->locations.items;
    profile->n_function = encoder->functions.count;
    profile->function = (Pprof__Function **)encoder->functions.items;
    if (!finish_strings(encoder)) {
        return false;
    }
    size_t size = pprof__profile__get_packed_size(profile);
    uint8_t *bytes = malloc(size);
    if (!bytes) {
        return false;
    }
    pprof__profile__pack(profile, bytes);
    bool packed = true;
    if (encoder->plain) {
        ca_text_add_bytes(text, (const char *)bytes, size);
        packed = !text->failed;
    } else {
        packed = compress_into(text, bytes, size);
    }
    free(bytes);
    return packed;
}

static void encoder_deinit(struct encoder *encoder)
{
    struct list *lists[] = {&encoder->strings, &encoder->samples, &encoder->mappings, &encoder->locations,
                            &encoder->functions};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        free(lists[i]->items);
    }
    free(encoder->string_of);
    free(encoder->function_of);
    free(encoder->keys);
    free(encoder->stacks);
    free(encoder->stack_of);
    ca_index_deinit(&encoder->stack_index);
    ca_index_deinit(&encoder->location_index);
    ca_arena_deinit(&encoder->arena);
}

static bool encode(struct ca_snapshot *snapshot, const struct ca_profile_choice *choice, bool plain,
                   struct ca_text *text, struct ca_error **ret_error)
{
    const struct ca_loaded *loaded = ca_loaded_of(snapshot);
    struct encoder encoder = {
        .snapshot = snapshot, .choice = choice, .labelled = loaded && loaded->has_labels, .plain = plain};
    pprof__profile__init(&encoder.profile);
    bool done = add_header(&encoder) && add_mappings(&encoder);
    if (!done) {
        ca_fail_memory(ret_error);
    } else {
        done = add_live(&encoder, ret_error) && add_history(&encoder, ret_error);
    }
    if (done) {
        add_comments(&encoder); /* last: reading the traces may have changed the coverage */
        done = !encoder.failed && pack(&encoder, text);
        if (!done) {
            ca_fail_memory(ret_error);
        }
    }
    encoder_deinit(&encoder);
    return done;
}

bool ca_profile_encode(struct ca_snapshot *snapshot, const struct ca_profile_choice *choice,
                       struct ca_text *text, struct ca_error **ret_error)
{
    return encode(snapshot, choice, false, text, ret_error);
}

bool ca_profile_encode_plain(struct ca_snapshot *snapshot, struct ca_text *text, struct ca_error **ret_error)
{
    return encode(snapshot, NULL, true, text, ret_error);
}
