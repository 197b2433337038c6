/* decode.c: the messages of a profile, checked, as strings, frames, locations, tracebacks and samples. */
#include "decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "../util/text.h"
#include "profile.pb-c.h"
#include "sample_types.h"

/* An id of the profile and the position of its message. Ids need not be dense; maps are in ascending order.
 */
struct id_map {
    uint64_t id;
    size_t at;
};

struct decoder {
    struct ca_snapshot *snapshot;
    struct ca_loaded *loaded;
    const Pprof__Profile *profile;
    uint32_t *strings; /* snapshot string id of each entry of the string table; UINT32_MAX = not added yet */
    struct id_map *mappings, *locations, *functions;
    int value_index[CA_SAMPLE_TYPES]; /* where our values stand in a sample, -1 = nowhere */
    bool ours;
    bool has_history; /* a sample without `bytes` was there */
    struct ca_error **ret_error;
};

static bool fail_file(struct decoder *decoder, const char *what, uint64_t number, const char *why)
{
    return ca_fail(decoder->ret_error, CA_NOTHING, "%s is no valid profile: %s %" PRIu64 " %s",
                   decoder->loaded->path, what, number, why);
}

/* ------------------------------------------------------------------------------------------------------
 * strings */

static bool string_valid(const struct decoder *decoder, int64_t string)
{
    return string >= 0 && (uint64_t)string < decoder->profile->n_string_table;
}

/* Borrowed, not NUL-terminated; entries that do not exist were refused before. */
static const ProtobufCBinaryData *table_entry(const struct decoder *decoder, int64_t string)
{
    return &decoder->profile->string_table[string];
}

static bool entry_is(const struct decoder *decoder, int64_t string, const char *text)
{
    if (!string_valid(decoder, string)) {
        return false;
    }
    const ProtobufCBinaryData *entry = table_entry(decoder, string);
    return entry->len == strlen(text) && memcmp(entry->data, text, entry->len) == 0;
}

/* Names cannot hold NUL bytes: they are cut there. */
static uint32_t add_entry(struct decoder *decoder, int64_t string)
{
    if (!string_valid(decoder, string)) {
        fail_file(decoder, "string", (uint64_t)string, "is not in its string table");
        return UINT32_MAX;
    }
    if (decoder->strings[string] == UINT32_MAX) {
        const ProtobufCBinaryData *entry = table_entry(decoder, string);
        size_t size = entry->len ? strnlen((const char *)entry->data, entry->len) : 0;
        decoder->strings[string] =
            ca_snapshot_add_string(decoder->snapshot, size ? (const char *)entry->data : "", size);
        if (decoder->strings[string] == UINT32_MAX) {
            ca_fail_memory(decoder->ret_error);
        }
    }
    return decoder->strings[string];
}

static char *copy_entry(struct decoder *decoder, int64_t string)
{
    if (!string_valid(decoder, string)) {
        fail_file(decoder, "string", (uint64_t)string, "is not in its string table");
        return NULL;
    }
    const ProtobufCBinaryData *entry = table_entry(decoder, string);
    char *copy = entry->len ? strndup((const char *)entry->data, entry->len) : strdup("");
    if (!copy) {
        ca_fail_memory(decoder->ret_error);
    }
    return copy;
}

/* ------------------------------------------------------------------------------------------------------ ids
 */

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = ((const struct id_map *)a)->id, right = ((const struct id_map *)b)->id;
    return left < right ? -1 : left > right;
}

static bool finish_ids(struct decoder *decoder, struct id_map *map, size_t count, const char *what)
{
    qsort(map, count, sizeof *map, compare_ids);
    for (size_t i = 0; i < count; i++) {
        if (map[i].id == 0 || (i > 0 && map[i].id == map[i - 1].id)) {
            return fail_file(decoder, what, map[i].id, map[i].id ? "stands twice in it" : "has no id");
        }
    }
    return true;
}

#define MAKE_IDS(decoder, map, messages, count, what)                                                        \
    (__extension__({                                                                                         \
        (map) = malloc(((count) ? (count) : 1) * sizeof *(map));                                             \
        for (size_t i_ = 0; (map) && i_ < (count); i_++) {                                                   \
            (map)[i_] = (struct id_map){(messages)[i_]->id, i_};                                             \
        }                                                                                                    \
        (map) ? finish_ids((decoder), (map), (count), (what)) : ca_fail_memory((decoder)->ret_error);        \
    }))

static bool find_id(const struct id_map *map, size_t count, uint64_t id, size_t *ret_at)
{
    struct id_map key = {.id = id};
    const struct id_map *found = id == 0 ? NULL : bsearch(&key, map, count, sizeof *map, compare_ids);
    *ret_at = found ? found->at : 0;
    return found != NULL;
}

/* ------------------------------------------------------------------------------------------- mappings and
 * locations */

static bool decode_mappings(struct decoder *decoder)
{
    struct ca_loaded *loaded = decoder->loaded;
    const Pprof__Profile *profile = decoder->profile;
    loaded->mapped = calloc(profile->n_mapping + 1, sizeof *loaded->mapped);
    if (!loaded->mapped) {
        return ca_fail_memory(decoder->ret_error);
    }
    loaded->mapped_count = 1;
    for (size_t i = 0; i < profile->n_mapping; i++) {
        const Pprof__Mapping *from = profile->mapping[i];
        struct ca_mapped *mapped = &loaded->mapped[loaded->mapped_count++];
        mapped->start = from->memory_start;
        mapped->limit = from->memory_limit;
        mapped->path = copy_entry(decoder, from->filename);
        mapped->build_id = mapped->path ? copy_entry(decoder, from->build_id) : NULL;
        if (!mapped->build_id) {
            return false;
        }
    }
    return MAKE_IDS(decoder, decoder->mappings, profile->mapping, profile->n_mapping, "mapping");
}

/* The name of code without line information: as the engine names it, MODULE(FUNCTION) or MODULE(+0xOFFSET).
 */
static uint32_t nameless(struct decoder *decoder, const Pprof__Location *location, size_t mapping,
                         const char *function)
{
    struct ca_text text = {0};
    if (mapping == 0 && !function) {
        ca_text_add(&text, "<unknown>");
    } else if (mapping == 0) {
        ca_text_add(&text, function);
    } else {
        const Pprof__Mapping *from = decoder->profile->mapping[mapping - 1];
        ca_text_add(&text, decoder->loaded->mapped[mapping].path);
        if (function) {
            ca_text_printf(&text, "(%s)", function);
        } else {
            ca_text_printf(&text, "(+0x%" PRIx64 ")",
                           location->address - from->memory_start + from->file_offset);
        }
    }
    uint32_t string =
        text.failed ? UINT32_MAX : ca_snapshot_add_string(decoder->snapshot, text.bytes, text.size);
    ca_text_deinit(&text);
    if (string == UINT32_MAX) {
        ca_fail_memory(decoder->ret_error);
    }
    return string;
}

static bool add_frame(struct decoder *decoder, struct ca_frame frame)
{
    struct ca_loaded *loaded = decoder->loaded;
    uint32_t id = ca_snapshot_add_frame(decoder->snapshot, &frame);
    if (id == UINT32_MAX || !CA_GROW(loaded->location_frames, loaded->location_frames_capacity,
                                     loaded->location_frame_count + 1)) {
        return ca_fail_memory(decoder->ret_error);
    }
    loaded->location_frames[loaded->location_frame_count++] = id;
    return true;
}

static bool decode_line(struct decoder *decoder, const Pprof__Location *location, size_t mapping,
                        uint32_t module, const Pprof__Line *line)
{
    const Pprof__Profile *profile = decoder->profile;
    size_t at;
    if (!find_id(decoder->functions, profile->n_function, line->function_id, &at)) {
        return fail_file(decoder, "location", location->id, "names a function that is not there");
    }
    const Pprof__Function *function = profile->function[at];
    bool known = decoder->ours ? function->system_name != 0 : function->name != 0;
    struct ca_frame frame = {.module = module};
    frame.filename = add_entry(decoder, function->filename);
    if (frame.filename == UINT32_MAX) {
        return false;
    }
    frame.function = known ? add_entry(decoder, function->name) : 0;
    if (frame.function == UINT32_MAX) {
        return false;
    }
    frame.lineno = line->line < 0 || line->line > UINT32_MAX ? 0 : (uint32_t)line->line;
    if (frame.filename == 0 && !decoder->ours) {
        const char *name = known ? ca_snapshot_string(decoder->snapshot, frame.function) : NULL;
        char *copy = name ? strdup(name) : NULL;
        frame.filename = nameless(decoder, location, mapping, copy);
        frame.lineno = 0;
        free(copy);
    }
    return frame.filename != UINT32_MAX && add_frame(decoder, frame);
}

static bool decode_location(struct decoder *decoder, const Pprof__Location *from)
{
    struct ca_loaded *loaded = decoder->loaded;
    size_t mapping = 0;
    if (from->mapping_id != 0) {
        if (!find_id(decoder->mappings, decoder->profile->n_mapping, from->mapping_id, &mapping)) {
            return fail_file(decoder, "location", from->id, "names a mapping that is not there");
        }
        mapping++;
    }
    uint32_t module = 0;
    if (mapping) {
        const char *path = loaded->mapped[mapping].path;
        module = ca_snapshot_add_string(decoder->snapshot, path, strlen(path));
    }
    if (module == UINT32_MAX ||
        !CA_GROW(loaded->locations, loaded->locations_capacity, loaded->location_count + 1)) {
        return ca_fail_memory(decoder->ret_error);
    }
    size_t first = loaded->location_frame_count;
    for (size_t i = 0; i < from->n_line; i++) {
        if (!decode_line(decoder, from, mapping, module, from->line[i])) {
            return false;
        }
    }
    if (from->n_line == 0) {
        struct ca_frame frame = {.filename = nameless(decoder, from, mapping, NULL), .module = module};
        if (frame.filename == UINT32_MAX || !add_frame(decoder, frame)) {
            return false;
        }
    }
    loaded->locations[loaded->location_count++] = (struct ca_loaded_location){
        from->address, first, (uint32_t)(loaded->location_frame_count - first), (uint32_t)mapping};
    return true;
}

static bool decode_locations(struct decoder *decoder)
{
    const Pprof__Profile *profile = decoder->profile;
    if (!MAKE_IDS(decoder, decoder->functions, profile->function, profile->n_function, "function") ||
        !MAKE_IDS(decoder, decoder->locations, profile->location, profile->n_location, "location")) {
        return false;
    }
    for (size_t i = 0; i < profile->n_location; i++) {
        if (!decode_location(decoder, profile->location[i])) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * samples */

static bool number_label(struct decoder *decoder, size_t at, const Pprof__Label *label, uint32_t *ret_number)
{
    if (label->num < 0 || label->num > UINT32_MAX) {
        return fail_file(decoder, "sample", at, "has a label whose number is out of range");
    }
    *ret_number = (uint32_t)label->num;
    return true;
}

static bool decode_labels(struct decoder *decoder, size_t at, struct ca_loaded_sample *sample,
                          uint32_t *ret_total)
{
    const Pprof__Sample *from = decoder->profile->sample[at];
    *ret_total = CA_TOTAL_UNKNOWN;
    for (size_t i = 0; i < from->n_label; i++) {
        const Pprof__Label *label = from->label[i];
        bool valid = true;
        if (entry_is(decoder, label->key, CA_LABEL_BYTES)) {
            sample->has_bytes = decoder->ours;    /* others round: their sums count */
            sample->bytes = (uint64_t)label->num; /* hand-built traces may have 2^63 bytes and more */
        } else if (entry_is(decoder, label->key, CA_LABEL_DOMAIN)) {
            valid = number_label(decoder, at, label, &sample->domain);
        } else if (entry_is(decoder, label->key, CA_LABEL_THREAD) && label->str == 0) {
            valid = number_label(decoder, at, label, &sample->thread);
        } else if (entry_is(decoder, label->key, CA_LABEL_TOTAL)) {
            valid = number_label(decoder, at, label, ret_total);
        } else if (decoder->ours && entry_is(decoder, label->key, CA_LABEL_SOURCE)) {
            sample->label = add_entry(decoder, label->str);
            valid = sample->label != UINT32_MAX;
        }
        if (!valid) {
            return false;
        }
    }
    decoder->loaded->has_threads = decoder->loaded->has_threads || sample->thread != 0;
    decoder->loaded->has_labels = decoder->loaded->has_labels || sample->label != 0;
    return true;
}

static bool decode_values(struct decoder *decoder, size_t at, struct ca_loaded_sample *sample)
{
    const Pprof__Sample *from = decoder->profile->sample[at];
    uint64_t *targets[CA_SAMPLE_TYPES] = {&sample->total_count, &sample->total_size, &sample->live_count,
                                          &sample->live_size,   &sample->peak_count, &sample->peak_size};
    if (from->n_value != decoder->profile->n_sample_type) {
        return fail_file(decoder, "sample", at, "has another number of values than there are sample types");
    }
    for (int i = 0; i < CA_SAMPLE_TYPES; i++) {
        int64_t value = decoder->value_index[i] < 0 ? 0 : from->value[decoder->value_index[i]];
        if (value < 0) {
            return fail_file(decoder, "sample", at,
                             "has a negative value; a difference of profiles is no snapshot");
        }
        *targets[i] = (uint64_t)value;
    }
    /* A profile without counts: the bytes of a sample are one block. */
    if (sample->live_count == 0 && sample->live_size != 0) {
        sample->live_count = 1;
    }
    return true;
}

static bool decode_sample(struct decoder *decoder, size_t at)
{
    struct ca_loaded *loaded = decoder->loaded;
    const Pprof__Sample *from = decoder->profile->sample[at];
    struct ca_loaded_sample sample = {0};
    uint32_t total;
    if (!decode_values(decoder, at, &sample) || !decode_labels(decoder, at, &sample, &total)) {
        return false;
    }
    if (from->n_location_id > UINT16_MAX * 16) {
        return fail_file(decoder, "sample", at, "has more than a million locations");
    }
    for (size_t i = 0; i < from->n_location_id; i++) {
        size_t location;
        if (!find_id(decoder->locations, decoder->profile->n_location, from->location_id[i], &location)) {
            return fail_file(decoder, "sample", at, "names a location that is not there");
        }
        if (!CA_GROW(loaded->traceback_locations, loaded->traceback_locations_capacity,
                     loaded->traceback_location_count + 1)) {
            return ca_fail_memory(decoder->ret_error);
        }
        loaded->traceback_locations[loaded->traceback_location_count++] = (uint32_t)location;
    }
    decoder->has_history = decoder->has_history || !sample.has_bytes;
    sample.traceback = ca_loaded_add_traceback(loaded, from->n_location_id, total);
    if (sample.traceback == UINT32_MAX ||
        !CA_GROW(loaded->samples, loaded->samples_capacity, loaded->sample_count + 1)) {
        return ca_fail_memory(decoder->ret_error);
    }
    loaded->samples[loaded->sample_count++] = sample;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ what
 * it holds */

static int find_type(const struct decoder *decoder, const char *type, const char *unit)
{
    for (size_t i = 0; i < decoder->profile->n_sample_type; i++) {
        const Pprof__ValueType *from = decoder->profile->sample_type[i];
        if (entry_is(decoder, from->type, type) && entry_is(decoder, from->unit, unit)) {
            return (int)i;
        }
    }
    return -1;
}

/* Go and gperftools say inuse_space or space, tcmalloc and jemalloc's converters space or bytes. */
static bool choose_values(struct decoder *decoder)
{
    for (int i = 0; i < CA_SAMPLE_TYPES; i++) {
        decoder->value_index[i] = find_type(decoder, ca_sample_types[i].type, ca_sample_types[i].unit);
    }
    static const struct ca_sample_type others[][2] = {{{"objects", "count"}, {"space", "bytes"}},
                                                      {{"count", "count"}, {"bytes", "bytes"}}};
    for (size_t i = 0; i < 2 && decoder->value_index[CA_SAMPLE_LIVE_SIZE] < 0; i++) {
        decoder->value_index[CA_SAMPLE_LIVE_COUNT] = find_type(decoder, others[i][0].type, others[i][0].unit);
        decoder->value_index[CA_SAMPLE_LIVE_SIZE] = find_type(decoder, others[i][1].type, others[i][1].unit);
    }
    if (decoder->value_index[CA_SAMPLE_LIVE_SIZE] < 0) {
        return ca_fail(decoder->ret_error, CA_NOTHING,
                       "%s is a profile, but not of a heap: a sample type inuse_space or space in bytes was "
                       "expected, it has "
                       "%zu other types",
                       decoder->loaded->path, decoder->profile->n_sample_type);
    }
    decoder->loaded->has_history[CA_VALUE_LIVE] = true;
    decoder->loaded->has_history[CA_VALUE_TOTAL] = decoder->value_index[CA_SAMPLE_TOTAL_SIZE] >= 0;
    decoder->loaded->has_history[CA_VALUE_PEAK] = decoder->value_index[CA_SAMPLE_PEAK_SIZE] >= 0;
    return true;
}

static void read_number(const char *line, const char *name, uint64_t *ret_number)
{
    const char *found = strstr(line, name);
    if (found) {
        sscanf(found + strlen(name), "%" SCNu64, ret_number);
    }
}

static void decode_comment(struct decoder *decoder, int64_t string)
{
    char line[1024];
    const ProtobufCBinaryData *entry = table_entry(decoder, string);
    size_t size = entry->len < sizeof line - 1 ? entry->len : sizeof line - 1;
    memcpy(line, entry->data, size);
    line[size] = '\0';
    struct ca_coverage *coverage = &decoder->snapshot->coverage;
    int truncated = 0, disagree = 0;
    if (sscanf(line, "tm: traceback_limit=%" SCNu32, &decoder->snapshot->limit) == 1) {
        return;
    }
    sscanf(line,
           "tm: coverage blocks=%" SCNu64 " dropped=%" SCNu64 " dropped_size=%" SCNu64 " in_flight=%" SCNu64
           " sample_bytes=%" SCNu64 " rejected=%" SCNu64 " missing_bytes=%" SCNu64 " truncated=%d",
           &coverage->blocks, &coverage->dropped, &coverage->dropped_size, &coverage->in_flight,
           &coverage->sample_bytes, &coverage->rejected, &coverage->missing_bytes, &truncated);
    read_number(line, " untraced_time=", &coverage->untraced_time);
    read_number(line, " sources=", &coverage->sources);
    read_number(line, " unread=", &coverage->unread);
    read_number(line, " sampled=", &coverage->sampled);
    read_number(line, " least_sample_bytes=", &coverage->least_sample_bytes);
    coverage->bypassed = coverage->bypassed || strstr(line, " bypassed=1");
    disagree = strstr(line, " disagree=1") != NULL;
    coverage->truncated = coverage->truncated || truncated != 0;
    coverage->disagree = coverage->disagree || disagree != 0;
}

static bool decode_comments(struct decoder *decoder)
{
    const Pprof__Profile *profile = decoder->profile;
    for (size_t i = 0; i < profile->n_comment; i++) {
        if (!string_valid(decoder, profile->comment[i])) {
            return fail_file(decoder, "string", (uint64_t)profile->comment[i], "is not in its string table");
        }
        decoder->ours = decoder->ours || entry_is(decoder, profile->comment[i], CA_PROFILE_MARK);
    }
    for (size_t i = 0; i < profile->n_comment && decoder->ours; i++) {
        if (table_entry(decoder, profile->comment[i])->len > 0) {
            decode_comment(decoder, profile->comment[i]);
        }
    }
    return true;
}

/* What our own files say in comments is derived for those of others. */
static void describe_foreign(struct decoder *decoder)
{
    const Pprof__Profile *profile = decoder->profile;
    struct ca_coverage *coverage = &decoder->snapshot->coverage;
    for (size_t i = 0; i < decoder->loaded->sample_count; i++) {
        coverage->blocks += decoder->loaded->samples[i].live_count;
    }
    bool bytes = profile->period_type && entry_is(decoder, profile->period_type->unit, "bytes");
    coverage->sample_bytes = bytes && profile->period > 1 ? (uint64_t)profile->period : 0;
    size_t deepest = 1;
    for (size_t i = 0; i < profile->n_sample; i++) {
        deepest = profile->sample[i]->n_location_id > deepest ? profile->sample[i]->n_location_id : deepest;
    }
    decoder->snapshot->limit = deepest > UINT16_MAX ? UINT16_MAX : (uint32_t)deepest;
}

static bool decode_profile(struct decoder *decoder)
{
    size_t count = decoder->profile->n_string_table;
    decoder->strings = malloc((count ? count : 1) * sizeof *decoder->strings);
    if (!decoder->strings) {
        return ca_fail_memory(decoder->ret_error);
    }
    memset(decoder->strings, 0xff, count * sizeof *decoder->strings);
    if (count == 0 || decoder->profile->string_table[0].len != 0) {
        return ca_fail(decoder->ret_error, CA_NOTHING,
                       "%s is no valid profile: its string table does not begin with \"\"",
                       decoder->loaded->path);
    }
    if (!decode_comments(decoder) || !choose_values(decoder) || !decode_mappings(decoder) ||
        !decode_locations(decoder)) {
        return false;
    }
    for (size_t i = 0; i < decoder->profile->n_sample; i++) {
        if (!decode_sample(decoder, i)) {
            return false;
        }
    }
    if (!decoder->ours) {
        describe_foreign(decoder);
    } else {
        /* The sample types are always there; the values are when the program kept them. */
        decoder->loaded->has_history[CA_VALUE_TOTAL] = decoder->loaded->has_history[CA_VALUE_PEAK] =
            decoder->has_history;
    }
    return ca_snapshot_reserve_tracebacks(decoder->snapshot, decoder->loaded->traceback_count,
                                          decoder->ret_error);
}

bool ca_profile_decode(struct ca_snapshot *snapshot, struct ca_loaded *loaded, const uint8_t *bytes,
                       size_t size, struct ca_error **ret_error)
{
    if (size >= 4 && memcmp(bytes,
                            "\x7f"
                            "ELF",
                            4) == 0) {
        return ca_fail(ret_error, CA_NOTHING, "%s: is a compressed core file, a snapshot file expected",
                       loaded->path);
    }
    errno = 0;
    Pprof__Profile *profile = pprof__profile__unpack(NULL, size, bytes);
    if (!profile && errno == ENOMEM) {
        return ca_fail_memory(ret_error);
    }
    if (!profile) {
        return ca_fail(
            ret_error, CA_NOTHING,
            "%s is neither a core file nor a snapshot file: its %zu bytes are no profile in pprof's format",
            loaded->path, size);
    }
    struct decoder decoder = {
        .snapshot = snapshot, .loaded = loaded, .profile = profile, .ret_error = ret_error};
    bool done = decode_profile(&decoder);
    free(decoder.strings);
    free(decoder.mappings);
    free(decoder.locations);
    free(decoder.functions);
    pprof__profile__free_unpacked(profile, NULL);
    return done;
}
