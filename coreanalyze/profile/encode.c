/* encode.c: a snapshot as a pprof profile. The messages live in one arena and refer to each other; nothing is freed one by one. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../snapshot/internal.h"
#include "../snapshot/location.h"
#include "../util/grow.h"
#include "arena.h"
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
    uint32_t first_frame; /* of its frames: with address and mapping it tells all locations apart that one snapshot has */
    uint32_t frame_count;
};

/* A traceback as samples have it. */
struct encoded_traceback {
    uint32_t traceback;
    uint32_t total; /* CA_TOTAL_UNKNOWN = not known */
    uint64_t *ids;  /* in the arena; NULL = no traceback yet */
    size_t count;
};

struct encoder {
    struct ca_snapshot *snapshot;
    const struct ca_profile_choice *choice; /* NULL = all */
    struct ca_arena arena;
    Pprof__Profile profile;
    struct list strings, samples, mappings, locations, functions;
    uint32_t *string_of;   /* snapshot string id -> string table index + 1 */
    size_t string_of_count;
    uint32_t *function_of; /* snapshot frame id -> function id */
    size_t function_of_count;
    struct location_key *keys; /* index = location id - 1 */
    size_t keys_capacity;
    struct ca_index location_index;
    struct encoded_traceback last;
    int64_t label_bytes, label_domain, label_thread, label_total, unit_bytes;
    bool plain;  /* not compressed */
    bool failed; /* out of memory */
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

/* ------------------------------------------------------------------------------------------------------ strings */

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

/* ------------------------------------------------------------------------------------------ functions and locations */

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

/* ------------------------------------------------------------------------------------------------------ samples */

static int64_t clamp(unsigned __int128 number)
{
    return number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

static bool add_label(struct encoder *encoder, Pprof__Sample *sample, int64_t key, uint64_t number, int64_t unit)
{
    Pprof__Label *label = ca_arena_add(&encoder->arena, sizeof *label);
    if (!label) {
        encoder->failed = true;
        return false;
    }
    pprof__label__init(label);
    label->key = key;
    label->num = (int64_t)number;
    label->num_unit = unit;
    sample->label[sample->n_label++] = label;
    return true;
}

/* The location ids of a traceback; many samples in a row have the same one and share them. */
static bool find_locations(struct encoder *encoder, uint32_t traceback, struct ca_error **ret_error)
{
    struct encoded_traceback *last = &encoder->last;
    if (last->ids && last->traceback == traceback) {
        return true;
    }
    struct ca_location *locations;
    size_t count;
    uint32_t total;
    if (!ca_snapshot_locations(encoder->snapshot, traceback, &locations, &count, &total, ret_error)) {
        return false;
    }
    uint64_t *ids = ca_arena_add(&encoder->arena, (count ? count : 1) * sizeof *ids);
    encoder->failed = encoder->failed || !ids;
    for (size_t i = 0; i < count && !encoder->failed; i++) {
        ids[i] = add_location(encoder, &locations[i]);
    }
    free(locations);
    *last = (struct encoded_traceback){traceback, total, ids, count};
    return !encoder->failed || ca_fail_memory(ret_error);
}

/* A sample of a traceback with all its values 0 and room for the labels; NULL when something failed. */
static Pprof__Sample *add_sample(struct encoder *encoder, uint32_t traceback, struct ca_error **ret_error)
{
    if (!find_locations(encoder, traceback, ret_error)) {
        return NULL;
    }
    Pprof__Sample *sample = ca_arena_add(&encoder->arena, sizeof *sample);
    int64_t *values = ca_arena_add(&encoder->arena, CA_SAMPLE_TYPES * sizeof *values);
    Pprof__Label **labels = ca_arena_add(&encoder->arena, 4 * sizeof(Pprof__Label *));
    if (!sample || !values || !labels || !list_add(encoder, &encoder->samples, sample)) {
        encoder->failed = true;
    } else {
        pprof__sample__init(sample);
        memset(values, 0, CA_SAMPLE_TYPES * sizeof *values);
        sample->n_location_id = encoder->last.count;
        sample->location_id = encoder->last.ids;
        sample->n_value = CA_SAMPLE_TYPES;
        sample->value = values;
        sample->label = labels;
        if (encoder->last.total != CA_TOTAL_UNKNOWN) {
            add_label(encoder, sample, encoder->label_total, encoder->last.total, 0);
        }
    }
    if (encoder->failed) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    return sample;
}

static bool same_sample(const struct ca_trace *left, const struct ca_trace *right)
{
    return left->domain == right->domain && left->traceback == right->traceback && left->size == right->size &&
           left->thread == right->thread;
}

static bool encoder_keeps(const struct encoder *encoder, const struct ca_trace *trace, bool *ret_keeps,
                          struct ca_error **ret_error)
{
    *ret_keeps = true;
    return !encoder->choice || encoder->choice->keeps(encoder->choice->context, trace, ret_keeps, ret_error);
}

/* Traces come ordered so that equal ones are neighbours; where they do not (hand-built snapshots), a run is simply shorter. */
static bool add_live(struct encoder *encoder, struct ca_error **ret_error)
{
    size_t count;
    const struct ca_trace *traces = ca_snapshot_traces(encoder->snapshot, &count, ret_error);
    if (!traces && count > 0) {
        return false;
    }
    for (size_t begin = 0, end; begin < count; begin = end) {
        struct ca_trace trace = traces[begin];
        uint64_t kept = 0;
        for (end = begin; end < count && same_sample(&trace, &traces[end]); end++) {
            bool keeps;
            if (!encoder_keeps(encoder, &traces[end], &keeps, ret_error)) {
                return false;
            }
            kept += keeps;
        }
        if (kept == 0) {
            continue;
        }
        Pprof__Sample *sample = add_sample(encoder, trace.traceback, ret_error);
        if (!sample) {
            return false;
        }
        sample->value[CA_SAMPLE_LIVE_COUNT] = (int64_t)kept;
        sample->value[CA_SAMPLE_LIVE_SIZE] = clamp((unsigned __int128)trace.size * kept);
        add_label(encoder, sample, encoder->label_bytes, trace.size, encoder->unit_bytes);
        add_label(encoder, sample, encoder->label_domain, trace.domain, 0);
        if (trace.thread) {
            add_label(encoder, sample, encoder->label_thread, trace.thread, 0);
        }
        if (encoder->failed) {
            return ca_fail_memory(ret_error);
        }
        traces = ca_snapshot_traces(encoder->snapshot, &count, ret_error);
    }
    return true;
}

/* What a stack allocated since start, or held at the peak. */
struct history {
    uint32_t traceback, domain;
    unsigned __int128 size[CA_VALUE_TOTAL + 1]; /* index = enum ca_value */
    uint64_t count[CA_VALUE_TOTAL + 1];
};

struct histories {
    struct history *items;
    size_t count, capacity;
};

static bool add_values(struct ca_snapshot *snapshot, enum ca_value value, struct histories *histories,
                       struct ca_error **ret_error)
{
    struct ca_weight *weights;
    size_t count;
    struct ca_error *error = NULL;
    if (!ca_snapshot_weights(snapshot, value, false, &weights, &count, &error)) {
        bool failed = ca_error_status(error) != CA_USAGE; /* traces made by hand, or counters that were switched off */
        if (failed) {
            *ret_error = error;
        } else {
            ca_error_destroy(error);
        }
        return !failed;
    }
    bool done = CA_GROW(histories->items, histories->capacity, histories->count + count + 1);
    for (size_t i = 0; i < count && done; i++) {
        struct history *history = &histories->items[histories->count++];
        *history = (struct history){.traceback = weights[i].traceback, .domain = weights[i].domain};
        history->size[value] = weights[i].size;
        history->count[value] = weights[i].count;
    }
    free(weights);
    return done || ca_fail_memory(ret_error);
}

static int compare_histories(const void *a, const void *b)
{
    const struct history *left = a, *right = b;
    int order = (left->traceback > right->traceback) - (left->traceback < right->traceback);
    return order ? order : (left->domain > right->domain) - (left->domain < right->domain);
}

/* Makes one of those that are about the same. */
static void merge_histories(struct histories *histories)
{
    size_t kept = 0;
    qsort(histories->items, histories->count, sizeof *histories->items, compare_histories);
    for (size_t i = 0; i < histories->count; i++) {
        struct history *last = kept ? &histories->items[kept - 1] : NULL;
        const struct history *from = &histories->items[i];
        if (!last || compare_histories(last, from) != 0) {
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

static bool add_history_sample(struct encoder *encoder, const struct history *history, struct ca_error **ret_error)
{
    bool keeps;
    if (!encoder_keeps(encoder, &(struct ca_trace){.traceback = history->traceback, .domain = history->domain}, &keeps, ret_error)) {
        return false;
    }
    if (!keeps) {
        return true;
    }
    Pprof__Sample *sample = add_sample(encoder, history->traceback, ret_error);
    if (!sample) {
        return false;
    }
    sample->value[CA_SAMPLE_TOTAL_COUNT] = clamp(history->count[CA_VALUE_TOTAL]);
    sample->value[CA_SAMPLE_TOTAL_SIZE] = clamp(history->size[CA_VALUE_TOTAL]);
    sample->value[CA_SAMPLE_PEAK_COUNT] = clamp(history->count[CA_VALUE_PEAK]);
    sample->value[CA_SAMPLE_PEAK_SIZE] = clamp(history->size[CA_VALUE_PEAK]);
    return add_label(encoder, sample, encoder->label_domain, history->domain, 0) || ca_fail_memory(ret_error);
}

/* One further sample per stack, without `bytes`: totals and peak. Left out where the snapshot keeps none. */
static bool add_history(struct encoder *encoder, struct ca_error **ret_error)
{
    struct histories histories = {0};
    bool done = add_values(encoder->snapshot, CA_VALUE_TOTAL, &histories, ret_error) &&
                add_values(encoder->snapshot, CA_VALUE_PEAK, &histories, ret_error);
    if (done && histories.count) {
        merge_histories(&histories);
    }
    for (size_t i = 0; i < histories.count && done; i++) {
        done = add_history_sample(encoder, &histories.items[i], ret_error);
    }
    free(histories.items);
    return done;
}

/* ------------------------------------------------------------------------------------------------------ the rest */

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
    char lines[3][512];
    snprintf(lines[0], sizeof lines[0], "%s", CA_PROFILE_MARK);
    snprintf(lines[1], sizeof lines[1], "tm: traceback_limit=%" PRIu32, ca_snapshot_limit(encoder->snapshot));
    snprintf(lines[2], sizeof lines[2],
             "tm: coverage blocks=%" PRIu64 " dropped=%" PRIu64 " dropped_size=%" PRIu64 " in_flight=%" PRIu64
             " sample_bytes=%" PRIu64 " rejected=%" PRIu64 " missing_bytes=%" PRIu64 " truncated=%d",
             coverage->blocks, coverage->dropped, coverage->dropped_size, coverage->in_flight, coverage->sample_bytes,
             coverage->rejected, coverage->missing_bytes, coverage->truncated);
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
    ca_index_deinit(&encoder->location_index);
    ca_arena_deinit(&encoder->arena);
}

static bool encode(struct ca_snapshot *snapshot, const struct ca_profile_choice *choice, bool plain,
                   struct ca_text *text, struct ca_error **ret_error)
{
    struct encoder encoder = {.snapshot = snapshot, .choice = choice, .plain = plain};
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
