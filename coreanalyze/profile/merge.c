/* merge.c: see merge.h. */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "loaded.h"

struct ca_merge {
    struct ca_merge_shape shape;
    struct ca_snapshot *snapshot;
    struct ca_loaded *loaded; /* the snapshot's */
    struct ca_index locations, samples;
    bool lacks[CA_VALUE_TOTAL + 1]; /* index = enum ca_value: one of the sources does not know it */
};

/* One source while it is added: its ids in those of the sum, each + 1; 0 = not translated yet. */
struct source {
    struct ca_merge *merge;
    struct ca_snapshot *from;
    uint32_t label;       /* of its name */
    uint32_t *frame_of;   /* grows as the source finds frames */
    size_t frame_of_size; /* elements */
    uint32_t *traceback_of;
    const struct ca_mapped *mapped;
    uint32_t *mapping_of;
    size_t mapped_count;
};

struct ca_merge *ca_merge_create(const struct ca_merge_shape *shape, const char *const *skip,
                                 size_t skip_count, bool no_skip, struct ca_error **ret_error)
{
    struct ca_merge *merge = calloc(1, sizeof *merge);
    if (!merge) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    merge->shape = *shape;
    merge->snapshot =
        ca_loaded_create("the sum of the sources", skip, skip_count, no_skip, &merge->loaded, ret_error);
    if (!merge->snapshot) {
        free(merge);
        return NULL;
    }
    merge->loaded->mapped = calloc(1, sizeof *merge->loaded->mapped);
    if (!merge->loaded->mapped) {
        ca_merge_destroy(merge);
        ca_fail_memory(ret_error);
        return NULL;
    }
    merge->loaded->mapped_count = merge->loaded->mapped_capacity = 1;
    merge->loaded->has_history[CA_VALUE_LIVE] = true;
    merge->loaded->has_labels = shape->labels;
    return merge;
}

void ca_merge_destroy(struct ca_merge *merge)
{
    if (merge) {
        ca_index_deinit(&merge->locations);
        ca_index_deinit(&merge->samples);
        ca_snapshot_destroy(merge->snapshot);
        free(merge);
    }
}

/* ------------------------------------------------------------------------------------------------------
 * sources */

static bool source_init(struct source *source, struct ca_merge *merge, const char *name,
                        struct ca_snapshot *from, struct ca_error **ret_error)
{
    *source = (struct source){.merge = merge, .from = from};
    source->mapped = ca_snapshot_mapped(from, &source->mapped_count);
    source->mapping_of = calloc(source->mapped_count + 1, sizeof *source->mapping_of);
    source->traceback_of = calloc(from->traceback_count + 1, sizeof *source->traceback_of);
    source->label = merge->shape.labels ? ca_snapshot_add_string(merge->snapshot, name, strlen(name)) : 0;
    return (source->mapping_of && source->traceback_of && source->label != UINT32_MAX) ||
           ca_fail_memory(ret_error);
}

static void source_deinit(struct source *source)
{
    free(source->frame_of);
    free(source->traceback_of);
    free(source->mapping_of);
}

/* UINT32_MAX when out of memory. */
static uint32_t translate_string(const struct source *source, uint32_t string)
{
    return ca_snapshot_add_string(source->merge->snapshot, ca_snapshot_string(source->from, string),
                                  ca_snapshot_string_size(source->from, string));
}

static uint32_t translate_frame(struct source *source, uint32_t frame)
{
    size_t before = source->frame_of_size;
    if (!CA_GROW(source->frame_of, source->frame_of_size, (size_t)frame + 1)) {
        return UINT32_MAX;
    }
    memset(source->frame_of + before, 0, (source->frame_of_size - before) * sizeof *source->frame_of);
    if (source->frame_of[frame] == 0) {
        struct ca_frame copy = *ca_snapshot_frame(source->from, frame);
        copy.filename = translate_string(source, copy.filename);
        copy.function = translate_string(source, copy.function);
        copy.module = translate_string(source, copy.module);
        if (copy.filename == UINT32_MAX || copy.function == UINT32_MAX || copy.module == UINT32_MAX) {
            return UINT32_MAX;
        }
        uint32_t id = ca_snapshot_add_frame(source->merge->snapshot, &copy);
        if (id == UINT32_MAX) {
            return UINT32_MAX;
        }
        source->frame_of[frame] = id + 1;
    }
    return source->frame_of[frame] - 1;
}

/* ------------------------------------------------------------------------------------------------------
 * modules */

static bool same_module(const struct ca_mapped *left, const struct ca_mapped *right)
{
    return left->limit - left->start == right->limit - right->start && strcmp(left->path, right->path) == 0 &&
           strcmp(left->build_id, right->build_id) == 0;
}

/* The sum's mapping of a module: the first source that has this build of it says where it lies. Failing:
 * UINT32_MAX. */
static uint32_t find_mapping(struct ca_loaded *loaded, const struct ca_mapped *from)
{
    for (size_t i = 1; i < loaded->mapped_count; i++) {
        if (same_module(&loaded->mapped[i], from)) {
            return (uint32_t)i;
        }
    }
    if (loaded->mapped_count >= UINT32_MAX - 1 ||
        !CA_GROW(loaded->mapped, loaded->mapped_capacity, loaded->mapped_count + 1)) {
        return UINT32_MAX;
    }
    struct ca_mapped copy = {from->start, from->limit, strdup(from->path), strdup(from->build_id)};
    if (!copy.path || !copy.build_id) {
        free((char *)(uintptr_t)copy.path);
        free((char *)(uintptr_t)copy.build_id);
        return UINT32_MAX;
    }
    loaded->mapped[loaded->mapped_count] = copy;
    return (uint32_t)loaded->mapped_count++;
}

static uint32_t translate_mapping(struct source *source, uint32_t mapping)
{
    if (mapping == 0 || mapping >= source->mapped_count) {
        return 0;
    }
    if (source->mapping_of[mapping] == 0) {
        uint32_t found = find_mapping(source->merge->loaded, &source->mapped[mapping]);
        if (found == UINT32_MAX) {
            return UINT32_MAX;
        }
        source->mapping_of[mapping] = found + 1;
    }
    return source->mapping_of[mapping] - 1;
}

/* ------------------------------------------------------------------------------------------------------
 * locations */

/* Looked for by what it is: its frames have been added to location_frames. */
static bool location_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_loaded *loaded = array;
    const struct ca_loaded_location *left = &loaded->locations[element], *right = key;
    return left->address == right->address && left->mapping == right->mapping &&
           left->frame_count == right->frame_count &&
           memcmp(loaded->location_frames + left->first, loaded->location_frames + right->first,
                  left->frame_count * sizeof *loaded->location_frames) == 0;
}

static uint32_t location_key_hash(const struct ca_loaded *loaded, const struct ca_loaded_location *key)
{
    uint32_t hash = ca_hash_bytes(loaded->location_frames + key->first,
                                  key->frame_count * sizeof *loaded->location_frames);
    return ca_hash_combine(ca_hash_combine(hash, key->address), key->mapping);
}

static uint32_t location_hash(const void *array, uint32_t element)
{
    const struct ca_loaded *loaded = array;
    return location_key_hash(loaded, &loaded->locations[element]);
}

static const struct ca_index_type location_type = {location_equal, location_hash};

/* The sum's location of `key`, whose frames are the last of location_frames: they are taken back where it is
 * known. UINT32_MAX when out of memory. */
static uint32_t find_location(struct ca_merge *merge, const struct ca_loaded_location *key)
{
    struct ca_loaded *loaded = merge->loaded;
    uint32_t hash = location_key_hash(loaded, key);
    uint32_t found = ca_index_find(&merge->locations, &location_type, loaded, key, hash);
    if (found != CA_INDEX_NONE) {
        loaded->location_frame_count = key->first;
        return found;
    }
    if (loaded->location_count >= UINT32_MAX - 1 ||
        !CA_GROW(loaded->locations, loaded->locations_capacity, loaded->location_count + 1) ||
        !ca_index_reserve(&merge->locations, &location_type, loaded)) {
        return UINT32_MAX;
    }
    found = (uint32_t)loaded->location_count++;
    loaded->locations[found] = *key;
    ca_index_insert(&merge->locations, found, hash);
    return found;
}

/* Where this build lies elsewhere in the source's memory, the address moves with it. */
static uint32_t translate_location(struct source *source, const struct ca_location *from)
{
    struct ca_merge *merge = source->merge;
    struct ca_loaded *loaded = merge->loaded;
    uint32_t mapping = translate_mapping(source, from->mapping);
    if (mapping == UINT32_MAX || !CA_GROW(loaded->location_frames, loaded->location_frames_capacity,
                                          loaded->location_frame_count + from->frame_count)) {
        return UINT32_MAX;
    }
    struct ca_loaded_location key = {.first = loaded->location_frame_count, .frame_count = from->frame_count};
    for (uint32_t i = 0; i < from->frame_count; i++) {
        uint32_t frame = translate_frame(source, from->frames[i]);
        if (frame == UINT32_MAX) {
            return UINT32_MAX;
        }
        loaded->location_frames[loaded->location_frame_count++] = frame;
    }
    if (merge->shape.positions) {
        key.mapping = mapping;
        key.address =
            mapping ? from->address - source->mapped[from->mapping].start + loaded->mapped[mapping].start
                    : from->address;
    }
    return find_location(merge, &key);
}

static bool translate_locations(struct source *source, const struct ca_location *locations, size_t count,
                                uint32_t total, uint32_t *ret_traceback)
{
    struct ca_loaded *loaded = source->merge->loaded;
    if (count >= UINT32_MAX || !CA_GROW(loaded->traceback_locations, loaded->traceback_locations_capacity,
                                        loaded->traceback_location_count + count + 1)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t location = translate_location(source, &locations[i]);
        if (location == UINT32_MAX) {
            return false;
        }
        loaded->traceback_locations[loaded->traceback_location_count + i] = location;
    }
    loaded->traceback_location_count += count;
    *ret_traceback = ca_loaded_add_traceback(loaded, count, total);
    return *ret_traceback != UINT32_MAX;
}

static bool translate_traceback(struct source *source, uint32_t traceback, uint32_t *ret_traceback,
                                struct ca_error **ret_error)
{
    if (source->traceback_of[traceback] == 0) {
        struct ca_location *locations;
        size_t count;
        uint32_t total, made = 0;
        if (!ca_snapshot_locations(source->from, traceback, &locations, &count, &total, ret_error)) {
            return false;
        }
        bool done = translate_locations(source, locations, count, total, &made);
        free(locations);
        if (!done) {
            return ca_fail_memory(ret_error);
        }
        source->traceback_of[traceback] = made + 1;
    }
    *ret_traceback = source->traceback_of[traceback] - 1;
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * samples */

static bool sample_equal(const void *array, uint32_t element, const void *key)
{
    const struct ca_loaded_sample *left = &((const struct ca_loaded *)array)->samples[element], *right = key;
    return left->traceback == right->traceback && left->domain == right->domain &&
           left->thread == right->thread && left->label == right->label &&
           left->has_bytes == right->has_bytes && left->bytes == right->bytes;
}

static uint32_t sample_key_hash(const struct ca_loaded_sample *key)
{
    uint32_t hash = ca_hash_combine(key->has_bytes, key->bytes);
    hash = ca_hash_combine(hash, (uint64_t)key->domain << 32 | key->traceback);
    return ca_hash_combine(hash, (uint64_t)key->thread << 32 | key->label);
}

static uint32_t sample_hash(const void *array, uint32_t element)
{
    return sample_key_hash(&((const struct ca_loaded *)array)->samples[element]);
}

static const struct ca_index_type sample_type = {sample_equal, sample_hash};

/* False where one of the sums does not fit; then none is changed. */
static bool sample_sum(struct ca_loaded_sample *sum, const struct ca_loaded_sample *one)
{
    struct ca_loaded_sample result = *sum;
    if (__builtin_add_overflow(sum->live_count, one->live_count, &result.live_count) ||
        __builtin_add_overflow(sum->live_size, one->live_size, &result.live_size) ||
        __builtin_add_overflow(sum->total_count, one->total_count, &result.total_count) ||
        __builtin_add_overflow(sum->total_size, one->total_size, &result.total_size) ||
        __builtin_add_overflow(sum->peak_count, one->peak_count, &result.peak_count) ||
        __builtin_add_overflow(sum->peak_size, one->peak_size, &result.peak_size)) {
        return false;
    }
    *sum = result;
    return true;
}

/* Files may claim any numbers: what cannot be added to a sample is a further one of the same kind. */
static bool add_sample(struct ca_merge *merge, const struct ca_loaded_sample *sample)
{
    struct ca_loaded *loaded = merge->loaded;
    uint32_t hash = sample_key_hash(sample);
    uint32_t found = ca_index_find(&merge->samples, &sample_type, loaded, sample, hash);
    if (found != CA_INDEX_NONE && sample_sum(&loaded->samples[found], sample)) {
        return true;
    }
    if (loaded->sample_count >= UINT32_MAX - 1 ||
        !CA_GROW(loaded->samples, loaded->samples_capacity, loaded->sample_count + 1) ||
        !ca_index_reserve(&merge->samples, &sample_type, loaded)) {
        return false;
    }
    loaded->samples[loaded->sample_count++] = *sample;
    if (found == CA_INDEX_NONE) {
        ca_index_insert(&merge->samples, (uint32_t)loaded->sample_count - 1, hash);
    }
    return true;
}

/* What the sample is about, without its numbers. own_label: of the source's strings; 0 = none. */
static bool make_sample(struct source *source, uint32_t traceback, uint32_t domain, uint32_t thread,
                        uint32_t own_label, struct ca_loaded_sample *ret_sample, struct ca_error **ret_error)
{
    const struct ca_merge_shape *shape = &source->merge->shape;
    *ret_sample = (struct ca_loaded_sample){
        .domain = domain, .thread = shape->threads ? thread : 0, .label = source->label};
    if (shape->labels && own_label) {
        ret_sample->label = translate_string(source, own_label);
        if (ret_sample->label == UINT32_MAX) {
            return ca_fail_memory(ret_error);
        }
    }
    if (shape->tracebacks) {
        return translate_traceback(source, traceback, &ret_sample->traceback, ret_error);
    }
    ret_sample->traceback = ca_loaded_add_traceback(source->merge->loaded, 0, CA_TOTAL_UNKNOWN);
    return ret_sample->traceback != UINT32_MAX || ca_fail_memory(ret_error);
}

static bool add_weight(struct source *source, const char *name, enum ca_value value,
                       const struct ca_weight *weight, struct ca_error **ret_error)
{
    struct ca_loaded_sample sample;
    if (weight->size > UINT64_MAX) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s holds blocks of more than 2^64 bytes in all, which cannot be added to others",
                       name);
    }
    if (!make_sample(source, weight->traceback, weight->domain, weight->thread, weight->label, &sample,
                     ret_error)) {
        return false;
    }
    uint64_t size = (uint64_t)weight->size;
    switch (value) {
    case CA_VALUE_LIVE:
        sample.live_count = weight->count;
        sample.live_size = size;
        break;
    case CA_VALUE_PEAK:
        sample.peak_count = weight->count;
        sample.peak_size = size;
        break;
    case CA_VALUE_TOTAL:
        sample.total_count = weight->count;
        sample.total_size = size;
        break;
    }
    return add_sample(source->merge, &sample) || ca_fail_memory(ret_error);
}

bool ca_merge_add_weights(struct ca_merge *merge, const char *name, struct ca_snapshot *from,
                          enum ca_value value, const struct ca_weight *weights, size_t count,
                          struct ca_error **ret_error)
{
    struct source source;
    bool done = source_init(&source, merge, name, from, ret_error);
    for (size_t i = 0; i < count && done; i++) {
        done = add_weight(&source, name, value, &weights[i], ret_error);
    }
    merge->loaded->has_history[value] = true;
    merge->loaded->has_threads = merge->shape.threads;
    source_deinit(&source);
    return done;
}

/* ------------------------------------------------------------------------------------------------------
 * blocks */

struct blocks {
    struct source source;
    const char *name;
    const struct ca_profile_choice *choice;
    struct ca_error *error;
};

static bool blocks_keeps(struct blocks *blocks, const struct ca_trace *trace, bool *ret_keeps,
                         struct ca_error **ret_error)
{
    *ret_keeps = true;
    return !blocks->choice || blocks->choice->keeps(blocks->choice->context, trace, ret_keeps, ret_error);
}

static bool blocks_visit(void *context, const struct ca_trace *trace, uint64_t count, uint32_t label)
{
    struct blocks *blocks = context;
    struct ca_loaded_sample sample;
    bool keeps;
    if (!blocks_keeps(blocks, trace, &keeps, &blocks->error)) {
        return false;
    }
    if (!keeps) {
        return true;
    }
    if (!make_sample(&blocks->source, trace->traceback, trace->domain, trace->thread, label, &sample,
                     &blocks->error)) {
        return false;
    }
    sample.has_bytes = true;
    sample.bytes = trace->size;
    sample.live_count = count;
    struct ca_loaded *loaded = blocks->source.merge->loaded;
    loaded->has_threads = loaded->has_threads || sample.thread;
    return add_sample(blocks->source.merge, &sample);
}

static bool add_live(struct blocks *blocks, struct ca_error **ret_error)
{
    const struct ca_trace_visitor visitor = {blocks_visit, blocks};
    if (ca_snapshot_each_trace(blocks->source.from, &visitor, ret_error)) {
        return true;
    }
    if (blocks->error) {
        ca_error_destroy(*ret_error);
        *ret_error = blocks->error;
    }
    return false;
}

/* Totals or peaks, where they were kept. */
static bool add_history(struct blocks *blocks, enum ca_value value, struct ca_error **ret_error)
{
    struct ca_weight *weights;
    size_t count;
    struct ca_error *error = NULL;
    if (!ca_snapshot_weights(blocks->source.from, value, false, &weights, &count, &error)) {
        if (ca_error_status(error) != CA_USAGE) {
            *ret_error = error;
            return false;
        }
        ca_error_destroy(error);
        blocks->source.merge->lacks[value] = true;
        return true;
    }
    bool done = true;
    for (size_t i = 0; i < count && done; i++) {
        const struct ca_trace about = {.traceback = weights[i].traceback, .domain = weights[i].domain};
        bool keeps;
        done = blocks_keeps(blocks, &about, &keeps, ret_error) &&
               (!keeps || add_weight(&blocks->source, blocks->name, value, &weights[i], ret_error));
    }
    free(weights);
    blocks->source.merge->loaded->has_history[value] = true;
    return done;
}

bool ca_merge_add_blocks(struct ca_merge *merge, const char *name, struct ca_snapshot *from,
                         const struct ca_profile_choice *choice, struct ca_error **ret_error)
{
    struct blocks blocks = {.name = name, .choice = choice};
    bool done = source_init(&blocks.source, merge, name, from, ret_error) && add_live(&blocks, ret_error) &&
                add_history(&blocks, CA_VALUE_TOTAL, ret_error) &&
                add_history(&blocks, CA_VALUE_PEAK, ret_error);
    source_deinit(&blocks.source);
    return done;
}

/* ------------------------------------------------------------------------------------------------------
 * coverage */

static uint64_t larger(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

/* What a file claims may not fit. */
static void add_number(uint64_t *sum, uint64_t number)
{
    if (__builtin_add_overflow(*sum, number, sum)) {
        *sum = UINT64_MAX;
    }
}

static void add_sampling(struct ca_coverage *sum, const struct ca_coverage *from)
{
    if (from->sample_bytes == 0) {
        return;
    }
    uint64_t least = from->least_sample_bytes ? from->least_sample_bytes : from->sample_bytes;
    add_number(&sum->sampled, from->sources ? from->sampled : 1);
    sum->least_sample_bytes =
        sum->sample_bytes == 0 || least < sum->least_sample_bytes ? least : sum->least_sample_bytes;
    sum->sample_bytes = larger(sum->sample_bytes, from->sample_bytes);
}

void ca_merge_add_coverage(struct ca_merge *merge, const struct ca_coverage *coverage,
                           uint32_t traceback_limit)
{
    struct ca_coverage *sum = &merge->snapshot->coverage;
    merge->snapshot->limit = (uint32_t)larger(merge->snapshot->limit, traceback_limit);
    add_number(&sum->sources, coverage->sources ? coverage->sources : 1);
    add_number(&sum->unread, coverage->unread);
    add_number(&sum->blocks, coverage->blocks);
    add_number(&sum->dropped, coverage->dropped);
    add_number(&sum->dropped_size, coverage->dropped_size);
    add_number(&sum->in_flight, coverage->in_flight);
    add_number(&sum->rejected, coverage->rejected);
    add_number(&sum->missing_bytes, coverage->missing_bytes);
    add_sampling(sum, coverage);
    sum->untraced_time = larger(sum->untraced_time, coverage->untraced_time);
    sum->bypassed = sum->bypassed || coverage->bypassed;
    sum->truncated = sum->truncated || coverage->truncated;
    sum->disagree = sum->disagree || coverage->disagree;
}

void ca_merge_add_unread(struct ca_merge *merge)
{
    add_number(&merge->snapshot->coverage.unread, 1);
}

/* A sum that misses a summand is none. */
static void forget_values(struct ca_merge *merge)
{
    struct ca_loaded *loaded = merge->loaded;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        struct ca_loaded_sample *sample = &loaded->samples[i];
        if (merge->lacks[CA_VALUE_TOTAL]) {
            sample->total_count = sample->total_size = 0;
        }
        if (merge->lacks[CA_VALUE_PEAK]) {
            sample->peak_count = sample->peak_size = 0;
        }
    }
    for (int value = CA_VALUE_PEAK; value <= CA_VALUE_TOTAL; value++) {
        loaded->has_history[value] = loaded->has_history[value] && !merge->lacks[value];
    }
}

struct ca_snapshot *ca_merge_finish(struct ca_merge *merge, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = merge->snapshot;
    forget_values(merge);
    if (!ca_snapshot_reserve_tracebacks(snapshot, merge->loaded->traceback_count, ret_error)) {
        return NULL;
    }
    merge->snapshot = NULL;
    return snapshot;
}
