#include "view.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fail(struct view *view, const char *what, struct ca_error *error)
{
    snprintf(view->error, sizeof(view->error), "%s: %s", what, error ? ca_error_message(error) : "failed");
    ca_error_destroy(error);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Tracebacks by what is printed of them: FILE:LINE;FILE:LINE..., oldest first
 */

#define HASH_START UINT64_C(14695981039346656037)

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static uint64_t hash_traceback(const struct ca_arrays *arrays, const uint32_t *frames, size_t count)
{
    uint64_t hash = HASH_START;
    for (size_t i = count; i-- > 0;) {
        const struct ca_frame *frame = &arrays->frames[frames[i]];
        const struct ca_string_span *file = &arrays->strings[frame->filename];
        char line[16];
        int length = snprintf(line, sizeof(line), ":%u%s", frame->lineno, i > 0 ? ";" : "");
        hash = hash_bytes(hash, arrays->string_bytes + file->offset, file->size);
        hash = hash_bytes(hash, line, (size_t)length);
    }
    return hash;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Blocks
 */

static bool blocks_read(struct ca_snapshot *snapshot, struct view *view)
{
    struct ca_error *error = NULL;
    struct ca_arrays arrays;
    if (!ca_snapshot_export(snapshot, true, &arrays, &error)) {
        return fail(view, "blocks", error);
    }
    uint64_t *hashes = malloc((arrays.traceback_count + 1) * sizeof(*hashes));
    for (size_t i = 0; i < arrays.traceback_count; i++) {
        const struct ca_traceback_span *span = &arrays.tracebacks[i];
        hashes[i] = hash_traceback(&arrays, arrays.traceback_frames + span->first, span->count);
    }
    if (arrays.trace_count > view->block_capacity) {
        view->block_capacity = arrays.trace_count * 2;
        view->blocks = realloc(view->blocks, view->block_capacity * sizeof(*view->blocks));
    }
    view->block_count = arrays.trace_count;
    for (size_t i = 0; i < arrays.trace_count; i++) {
        const struct ca_trace *trace = &arrays.traces[i];
        view->blocks[i] =
            (struct view_block){trace->address, trace->size, hashes[trace->traceback], trace->domain};
    }
    free(hashes);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Statistics and coverage, as a user gets them
 */

struct text {
    char *bytes;
    size_t size, capacity;
};

static void text_write(void *context, int stream, const char *bytes, size_t size)
{
    struct text *text = context;
    (void)stream;
    if (text->size + size + 1 > text->capacity) {
        text->capacity = 2 * (text->size + size + 1);
        text->bytes = realloc(text->bytes, text->capacity);
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

struct view_sum view_sum_of(const struct view_sums *sums, uint64_t traceback)
{
    for (size_t i = 0; i < sums->count; i++) {
        if (sums->items[i].traceback == traceback) {
            return sums->items[i];
        }
    }
    return (struct view_sum){.traceback = traceback};
}

void view_sum_add(struct view_sums *sums, uint64_t traceback, uint64_t count, uint64_t size)
{
    for (size_t i = 0; i < sums->count; i++) {
        if (sums->items[i].traceback == traceback) {
            sums->items[i].count += count;
            sums->items[i].size += size;
            return;
        }
    }
    if (sums->count == sums->capacity) {
        sums->capacity = sums->capacity ? 2 * sums->capacity : 64;
        sums->items = realloc(sums->items, sums->capacity * sizeof(*sums->items));
    }
    sums->items[sums->count++] = (struct view_sum){traceback, count, size};
}

/* size,count,filename,lineno,function,module,traceback, and then CR LF */
static bool line_read(struct view_sums *sums, const char *line, const char *end)
{
    uint64_t size, count;
    end -= end > line && end[-1] == '\r';
    const char *traceback = end;
    while (traceback > line && traceback[-1] != ',') {
        traceback--;
    }
    if (sscanf(line, "%lu,%lu,", &size, &count) != 2) {
        return false;
    }
    view_sum_add(sums, hash_bytes(HASH_START, traceback, (size_t)(end - traceback)), count, size);
    return true;
}

static bool coverage_read(const char *line, struct view *view)
{
    view->ambiguous = view->ambiguous || strstr(line, "cannot be told");
    view->peak_damaged = strstr(line, "DAMAGED") || strstr(line, "DISAGREE"); /* of the last value so far */
    const char *flight = strstr(line, " in flight");
    while (flight && flight > line && flight[-1] != ' ') {
        flight--;
    }
    return flight && sscanf(flight, "%lu", &view->in_flight) == 1 &&
           sscanf(line, "coverage: %lu blocks, %lu dropped", &view->covered, &view->dropped) == 2;
}

static bool statistics_read(struct ca_target *target, const char *value, struct view *view,
                            struct view_sums *sums)
{
    const char *command[] = {"top",         "-n",       "0",   "--by",    "traceback",
                             "--no-source", "--format", "csv", "--value", value};
    struct text text = {0};
    struct ca_output output = {.context = &text, .write = text_write};
    enum ca_status status = ca_command_run(target, sizeof(command) / sizeof(command[0]), command, &output);
    bool covered = false, understood = status <= CA_PARTIAL && text.size;
    sums->count = 0;
    for (char *line = text.bytes, *end; understood && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (strstr(line, "coverage: ")) {
            covered = coverage_read(strstr(line, "coverage: "), view);
        } else if (line != text.bytes && line[0] >= '0' && line[0] <= '9') {
            understood = line_read(sums, line, end);
        }
    }
    if (!understood || !covered) {
        snprintf(view->error, sizeof(view->error), "top --value %s exits with %d: %.300s", value, (int)status,
                 text.size ? text.bytes : "");
    }
    free(text.bytes);
    return understood && covered;
}

/* The value of a key, in the text of a JSON object; NULL = it has none. */
static const char *json_value(const char *text, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *found = text ? strstr(text, quoted) : NULL;
    found = found ? found + strlen(quoted) : NULL;
    return found ? found + strspn(found, " \"") : NULL;
}

bool view_freed_at(struct ca_target *target, uint64_t address, uint64_t *ret_size)
{
    char number[32];
    snprintf(number, sizeof(number), "0x%lx", address);
    const char *command[] = {"block", number, "--format", "json"};
    struct text text = {0};
    struct ca_output output = {.context = &text, .write = text_write};
    enum ca_status status = ca_command_run(target, sizeof(command) / sizeof(command[0]), command, &output);
    const char *state = json_value(text.bytes, "state"), *base = json_value(text.bytes, "base");
    const char *size = json_value(text.bytes, "size");
    bool found = status == CA_COMPLETE && state && strncmp(state, "freed", 5) == 0 && base && size &&
                 strtoull(base, NULL, 16) == address;
    *ret_size = found ? strtoull(size, NULL, 10) : 0;
    free(text.bytes);
    return found;
}

/* ---------------------------------------------------------------------------------------------------------------
 * All of it
 */

bool view_read_target(struct ca_target *target, struct view *view)
{
    struct ca_error *error = NULL;
    struct ca_state state;
    view->error[0] = '\0';
    if (!ca_target_state(target, &state, &error)) {
        return fail(view, "state", error);
    }
    view->current_bytes = state.current;
    view->peak_bytes = state.peak;
    struct ca_snapshot *snapshot = ca_target_take_snapshot(target, &error);
    if (!snapshot) {
        return fail(view, "take_snapshot", error);
    }
    view->ambiguous = view->peak_damaged = false;
    bool done = blocks_read(snapshot, view) && statistics_read(target, "live", view, &view->live) &&
                statistics_read(target, "total", view, &view->total);
    view->damaged = view->peak_damaged;
    done = done && statistics_read(target, "peak", view, &view->peak);
    ca_snapshot_destroy(snapshot);
    return done;
}

bool view_read(struct view_source *source, uint32_t thread, const void *registers, struct view *view)
{
    source->thread = thread;
    memcpy(source->registers, registers, sizeof(source->registers));
    source->range_count = 0;
    ca_target_invalidate(source->target);
    return view_read_target(source->target, view);
}

void view_deinit(struct view *view)
{
    free(view->blocks);
    free(view->live.items);
    free(view->total.items);
    free(view->peak.items);
    memset(view, 0, sizeof(*view));
}

/* ---------------------------------------------------------------------------------------------------------------
 * The process
 */

static void range_note(struct view_source *source, uint64_t start, uint64_t end)
{
    if (source->range_count == source->range_capacity) {
        source->range_capacity = source->range_capacity ? 2 * source->range_capacity : 256;
        source->ranges = realloc(source->ranges, source->range_capacity * sizeof(*source->ranges));
    }
    source->ranges[source->range_count++] = (struct view_range){start, end};
}

static size_t read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    struct view_source *source = context;
    ssize_t length = pread(source->memory, buffer, size, (off_t)address);
    range_note(source, address, address + size);
    return length < 0 ? 0 : (size_t)length;
}

bool view_has_read(const struct view_source *source, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < source->range_count; i++) {
        if (start < source->ranges[i].end && end > source->ranges[i].start) {
            return true;
        }
    }
    return false;
}

static size_t describe_process(void *context, struct ca_target *target)
{
    const struct view_source *source = context;
    ca_target_set_process(target, source->pid, 62, 0, 0, NULL, NULL);
    return 0;
}

static size_t describe_mappings(void *context, struct ca_target *target)
{
    const struct view_source *source = context;
    char path[64], line[1000];
    snprintf(path, sizeof(path), "/proc/%u/maps", source->pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t start, end, offset;
        char protection[5];
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &start, &end, protection, &offset, &name) >= 4) {
            uint32_t bits =
                (protection[0] == 'r') | (protection[1] == 'w') << 1 | (protection[2] == 'x') << 2;
            ca_target_add_mapping(target, start, end, offset, bits, name ? line + name : "");
        }
    }
    if (file) {
        fclose(file);
    }
    return 0;
}

static size_t describe_threads(void *context, struct ca_target *target)
{
    const struct view_source *source = context;
    ca_target_add_thread(target, source->thread, source->registers, 27);
    return 0;
}

bool view_source_open(struct view_source *source, uint32_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%u/mem", pid);
    *source = (struct view_source){.memory = open(path, O_RDWR | O_CLOEXEC), .pid = pid};
    struct ca_callbacks callbacks = {
        .context = source,
        .read_memory = read_memory,
        .describe_process = describe_process,
        .describe_mappings = describe_mappings,
        .describe_threads = describe_threads,
    };
    struct ca_error *error = NULL;
    source->target = source->memory < 0 ? NULL : ca_target_create(&callbacks, NULL, &error);
    ca_error_destroy(error);
    return source->target != NULL;
}

void view_source_close(struct view_source *source)
{
    ca_target_destroy(source->target);
    free(source->ranges);
    if (source->memory >= 0) {
        close(source->memory);
    }
}
