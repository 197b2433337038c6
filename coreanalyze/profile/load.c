/* load.c: a pprof profile as a snapshot. Everything in the file is untrusted: every index is checked before
 * it is used, and the memory taken is bounded by the size of the file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../snapshot/skip.h"
#include "../symbols/symbols.h"
#include "../util/grow.h"
#include "decode.h"
#include "loaded.h"
#include "profile.h"

/* A trace per block is only made for so many blocks: a few bytes of a file can claim any number of them. */
#define TRACES_MAX UINT64_C(200000000)

bool ca_profile_recognise(const void *bytes, size_t size)
{
    const uint8_t *first = bytes;
    bool gzip = size >= 2 && first[0] == 0x1f && first[1] == 0x8b;
    bool sample_type = size >= 3 && first[0] == 0x0a && first[1] <= 24; /* field 1, a short message */
    return gzip || sample_type;
}

/* ------------------------------------------------------------------------------------------------------
 * reading */

bool ca_profile_read(const char *path, struct ca_text *text, struct ca_error **ret_error)
{
    errno = 0;
    gzFile file = gzopen(path, "rb");
    if (!file && (errno == 0 || errno == ENOMEM)) {
        return ca_fail_memory(ret_error);
    }
    if (!file) {
        return ca_fail(ret_error, CA_NOTHING, "cannot open %s: %s", path, strerror(errno));
    }
    char buffer[1 << 16];
    int got;
    while ((got = gzread(file, buffer, sizeof buffer)) > 0 && !text->failed) {
        ca_text_add_bytes(text, buffer, (size_t)got);
    }
    int status = Z_OK;
    const char *message = gzerror(file, &status);
    bool done = got == 0 && (status == Z_OK || status == Z_STREAM_END);
    if (text->failed || status == Z_MEM_ERROR) {
        ca_fail_memory(ret_error);
    } else if (!done) {
        ca_fail(ret_error, CA_NOTHING,
                "cannot read %s as a snapshot file: %s after %zu bytes; was it copied whole?", path,
                status == Z_ERRNO ? strerror(errno) : message, text->size);
    }
    gzclose_r(file);
    return done && !text->failed;
}

/* ------------------------------------------------------------------------------------------------------
 * resolving */

static bool is_skipped(const struct ca_loaded *loaded, struct ca_snapshot *snapshot, uint32_t frame)
{
    uint32_t function = ca_snapshot_frame(snapshot, frame)->function;
    return function != 0 && ca_is_allocator_function(ca_snapshot_string(snapshot, function),
                                                     (const char *const *)loaded->skip, loaded->skip_count);
}

/* How many frames at the recent end are taken off: one remains. */
static size_t count_skipped(const struct ca_loaded *loaded, struct ca_snapshot *snapshot,
                            const uint32_t *frames, size_t count)
{
    size_t skipped = 0;
    struct ca_skip skip = {0};
    for (size_t i = 0; !loaded->no_skip && i < count && ca_skip_goes_on(&skip); i++) {
        if (!ca_skip_next(&skip, ca_snapshot_frame(snapshot, frames[i]),
                          is_skipped(loaded, snapshot, frames[i]))) {
            skipped = i + 1;
        }
    }
    return skipped < count ? skipped : count - (count > 0);
}

static bool resolve(struct ca_snapshot *snapshot, uint32_t traceback, size_t wanted,
                    struct ca_error **ret_error)
{
    (void)wanted;
    struct ca_loaded *loaded = snapshot->resolver_data;
    const struct ca_loaded_traceback *from = &loaded->tracebacks[traceback];
    size_t count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        count += loaded->locations[loaded->traceback_locations[from->first + i]].frame_count;
    }
    uint32_t *frames = malloc((count ? count : 1) * sizeof *frames);
    if (!frames) {
        return ca_fail_memory(ret_error);
    }
    size_t at = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct ca_loaded_location *location =
            &loaded->locations[loaded->traceback_locations[from->first + i]];
        memcpy(frames + at, loaded->location_frames + location->first,
               location->frame_count * sizeof *frames);
        at += location->frame_count;
    }
    size_t skipped = count_skipped(loaded, snapshot, frames, count);
    uint32_t total = from->total == CA_TOTAL_UNKNOWN || from->total < skipped
                         ? CA_TOTAL_UNKNOWN
                         : from->total - (uint32_t)skipped;
    bool done = ca_snapshot_set_traceback(snapshot, traceback, frames + skipped, count - skipped, true, total,
                                          ret_error);
    free(frames);
    return done;
}

static bool locate(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                   size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error)
{
    struct ca_loaded *loaded = snapshot->resolver_data;
    const struct ca_loaded_traceback *from = &loaded->tracebacks[traceback];
    struct ca_location *locations = calloc(from->count ? from->count : 1, sizeof *locations);
    if (!locations) {
        return ca_fail_memory(ret_error);
    }
    for (uint32_t i = 0; i < from->count; i++) {
        const struct ca_loaded_location *location =
            &loaded->locations[loaded->traceback_locations[from->first + i]];
        locations[i] = (struct ca_location){location->address, location->mapping, location->frame_count,
                                            loaded->location_frames + location->first};
    }
    *ret_locations = locations;
    *ret_count = from->count;
    *ret_total = from->total;
    return true;
}

static const struct ca_mapped *mapped(struct ca_snapshot *snapshot, size_t *ret_count)
{
    struct ca_loaded *loaded = snapshot->resolver_data;
    *ret_count = loaded->mapped_count;
    return loaded->mapped;
}

/* ------------------------------------------------------------------------------------------------- traces
 * and weights */

/* A sample's blocks: live_count of them, sizes adding up to live_size; they differ by at most one byte (a
 * sampled foreign profile has only the sum). */
static bool visit_sample(const struct ca_loaded_sample *sample, const struct ca_trace_visitor *visitor)
{
    if (sample->live_count == 0) {
        return true;
    }
    struct ca_trace trace = {
        .domain = sample->domain, .traceback = sample->traceback, .thread = sample->thread};
    trace.size = sample->has_bytes ? sample->bytes : sample->live_size / sample->live_count;
    uint64_t larger = sample->has_bytes ? 0 : sample->live_size % sample->live_count;
    bool done = visitor->visit(visitor->context, &trace, sample->live_count - larger, sample->label);
    if (done && larger) {
        trace.size++;
        done = visitor->visit(visitor->context, &trace, larger, sample->label);
    }
    return done;
}

static bool each_trace(struct ca_snapshot *snapshot, const struct ca_trace_visitor *visitor,
                       struct ca_error **ret_error)
{
    const struct ca_loaded *loaded = snapshot->resolver_data;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        if (!visit_sample(&loaded->samples[i], visitor)) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

static bool add_traces(void *context, const struct ca_trace *trace, uint64_t count, uint32_t label)
{
    (void)label;
    bool done = true;
    for (uint64_t i = 0; i < count && done; i++) {
        done = ca_snapshot_add_trace(context, trace);
    }
    return done;
}

static bool read_traces(struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    struct ca_loaded *loaded = snapshot->resolver_data;
    uint64_t blocks = 0;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        if (loaded->samples[i].live_count > TRACES_MAX ||
            (blocks += loaded->samples[i].live_count) > TRACES_MAX) {
            return ca_fail(ret_error, CA_NOTHING,
                           "%s says that it holds more than %" PRIu64
                           " blocks, too many to list one by one; use top or diff",
                           loaded->path, TRACES_MAX);
        }
    }
    const struct ca_trace_visitor visitor = {add_traces, snapshot};
    return each_trace(snapshot, &visitor, ret_error) && ca_snapshot_sort_traces(snapshot, ret_error);
}

static bool weigh(struct ca_snapshot *snapshot, enum ca_value value, bool by_thread,
                  struct ca_weight **ret_weights, size_t *ret_count, struct ca_error **ret_error)
{
    struct ca_loaded *loaded = snapshot->resolver_data;
    if (by_thread && !loaded->has_threads) {
        return ca_fail(ret_error, CA_USAGE, "%s does not say which thread allocated: record with detail=1",
                       loaded->path);
    }
    if (value != CA_VALUE_LIVE && !loaded->has_history[value]) {
        return ca_fail(ret_error, CA_USAGE,
                       "%s holds no %s values; only --value live can be answered from it", loaded->path,
                       value == CA_VALUE_PEAK ? "peak" : "total");
    }
    struct ca_weight *weights = calloc(loaded->sample_count ? loaded->sample_count : 1, sizeof *weights);
    if (!weights) {
        return ca_fail_memory(ret_error);
    }
    size_t count = 0;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        const struct ca_loaded_sample *from = &loaded->samples[i];
        struct ca_weight weight = {.traceback = from->traceback,
                                   .domain = from->domain,
                                   .thread = by_thread ? from->thread : 0,
                                   .label = from->label};
        if (value == CA_VALUE_LIVE) {
            weight.count = from->live_count;
            weight.size =
                from->has_bytes ? (unsigned __int128)from->bytes * from->live_count : from->live_size;
        } else {
            weight.count = value == CA_VALUE_PEAK ? from->peak_count : from->total_count;
            weight.size = value == CA_VALUE_PEAK ? from->peak_size : from->total_size;
        }
        if (weight.count != 0 || weight.size != 0) {
            weights[count++] = weight;
        }
    }
    *ret_weights = weights;
    *ret_count = count;
    return true;
}

static void destroy(struct ca_snapshot *snapshot)
{
    ca_loaded_destroy(snapshot->resolver_data);
}

static const struct ca_resolver resolver = {
    .resolve = resolve,
    .read_traces = read_traces,
    .each_trace = each_trace,
    .visits_always = true,
    .weigh = weigh,
    .destroy = destroy,
    .locate = locate,
    .mapped = mapped,
};

struct ca_loaded *ca_loaded_of(const struct ca_snapshot *snapshot)
{
    return snapshot->resolver == &resolver ? snapshot->resolver_data : NULL;
}

bool ca_profile_has_threads(const struct ca_snapshot *snapshot)
{
    return ((const struct ca_loaded *)snapshot->resolver_data)->has_threads;
}

static bool copy_skip(struct ca_loaded *loaded, const char *const *skip, size_t skip_count)
{
    loaded->skip = calloc(skip_count ? skip_count : 1, sizeof *loaded->skip);
    for (; loaded->skip && loaded->skip_count < skip_count; loaded->skip_count++) {
        loaded->skip[loaded->skip_count] = strdup(skip[loaded->skip_count]);
        if (!loaded->skip[loaded->skip_count]) {
            return false;
        }
    }
    return loaded->skip != NULL;
}

struct ca_snapshot *ca_loaded_create(const char *path, const char *const *skip, size_t skip_count,
                                     bool no_skip, struct ca_loaded **ret_loaded, struct ca_error **ret_error)
{
    struct ca_loaded *loaded = calloc(1, sizeof *loaded);
    if (!loaded || !(loaded->path = strdup(path)) || !copy_skip(loaded, skip, skip_count)) {
        ca_loaded_destroy(loaded);
        ca_fail_memory(ret_error);
        return NULL;
    }
    struct ca_snapshot *snapshot = ca_snapshot_create(1, ret_error);
    if (!snapshot) {
        ca_loaded_destroy(loaded);
        return NULL;
    }
    loaded->no_skip = no_skip;
    snapshot->resolver = &resolver;
    snapshot->resolver_data = loaded;
    *ret_loaded = loaded;
    return snapshot;
}

struct ca_snapshot *ca_profile_load_bytes(const char *name, const void *bytes, size_t size,
                                          const char *const *skip, size_t skip_count, bool no_skip,
                                          struct ca_error **ret_error)
{
    struct ca_loaded *loaded;
    struct ca_snapshot *snapshot = ca_loaded_create(name, skip, skip_count, no_skip, &loaded, ret_error);
    if (!snapshot) {
        return NULL;
    }
    if (!ca_profile_decode(snapshot, loaded, bytes, size, ret_error)) {
        ca_snapshot_destroy(snapshot); /* destroys loaded too */
        return NULL;
    }
    return snapshot;
}

struct ca_snapshot *ca_profile_load(const char *path, const char *const *skip, size_t skip_count,
                                    bool no_skip, struct ca_error **ret_error)
{
    struct ca_text bytes = {0};
    struct ca_snapshot *snapshot = NULL;
    if (ca_profile_read(path, &bytes, ret_error)) {
        snapshot = ca_profile_load_bytes(path, bytes.bytes, bytes.size, skip, skip_count, no_skip, ret_error);
    }
    ca_text_deinit(&bytes);
    return snapshot;
}
