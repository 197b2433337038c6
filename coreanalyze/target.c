/* target.c: see target.h and coreanalyze.h. */
#include "target.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "profile/profile.h"
#include "source/internal.h"
#include "source/live/live.h"
#include "source/stream/stream.h"
#include "util/grow.h"

/* A copy of the caller's options. */
struct symbol_options {
    struct ca_symbol_options view; /* points into what follows */
    char *sysroot, *debug_directory;
    char **source_map;
    size_t source_map_count;
};

struct kept_snapshot {
    struct ca_snapshot *snapshot;
    char **skip;
    size_t skip_count;
    bool no_skip;
};

struct ca_target {
    struct ca_source *source; /* NULL: a snapshot file or a moment */
    char *snapshot_file;      /* its path or name, else NULL */
    char *bytes;              /* of a snapshot file that is in memory alone, else NULL */
    size_t byte_count;
    const struct ca_moment *moment; /* else NULL */
    struct ca_target *base;         /* of the moment: whose tables it refers to */
    bool is_core;
    struct symbol_options symbols;

    struct ca_table *table;
    struct ca_error *table_error; /* why there is none; kept so that asking again costs nothing */
    struct ca_symbolizer *symbolizer;
    struct ca_memory *memory;  /* over source, table and symbolizer */
    struct ca_module *modules; /* what the symbolizer was made for; outlives the table */
    size_t module_count;
    struct kept_snapshot *snapshots;
    size_t snapshot_count, snapshot_capacity;
};

/* ----------------------------------------------------------------------------------------- options */

static void strings_destroy(char **strings, size_t count)
{
    for (size_t i = 0; strings && i < count; i++) {
        free(strings[i]);
    }
    free(strings);
}

/* NULL when out of memory; never NULL otherwise. */
static char **strings_copy(const char *const *strings, size_t count)
{
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(strings[i]);
        if (!copy[i]) {
            strings_destroy(copy, count);
            return NULL;
        }
    }
    return copy;
}

static bool strings_equal(char *const *left, size_t left_count, const char *const *right, size_t right_count)
{
    for (size_t i = 0; left_count == right_count && i < left_count; i++) {
        if (strcmp(left[i], right[i]) != 0) {
            return false;
        }
    }
    return left_count == right_count;
}

static void options_deinit(struct symbol_options *options)
{
    free(options->sysroot);
    free(options->debug_directory);
    strings_destroy(options->source_map, options->source_map_count);
    memset(options, 0, sizeof(*options));
}

static bool options_init(struct symbol_options *options, const struct ca_symbol_options *from,
                         struct ca_error **ret_error)
{
    static const struct ca_symbol_options none;
    from = from ? from : &none;
    memset(options, 0, sizeof(*options));
    options->sysroot = from->sysroot ? strdup(from->sysroot) : NULL;
    options->debug_directory = from->debug_directory ? strdup(from->debug_directory) : NULL;
    options->source_map = strings_copy(from->source_map, from->source_map_count);
    options->source_map_count = from->source_map_count;
    if ((from->sysroot && !options->sysroot) || (from->debug_directory && !options->debug_directory) ||
        !options->source_map) {
        options_deinit(options);
        return ca_fail_memory(ret_error);
    }
    options->view = (struct ca_symbol_options){
        .sysroot = options->sysroot,
        .debug_directory = options->debug_directory,
        .source_map = (const char *const *)options->source_map,
        .source_map_count = options->source_map_count,
    };
    return true;
}

static bool names_equal(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static bool options_equal(const struct symbol_options *left, const struct symbol_options *right)
{
    return names_equal(left->sysroot, right->sysroot) &&
           names_equal(left->debug_directory, right->debug_directory) &&
           strings_equal(left->source_map, left->source_map_count, right->view.source_map,
                         right->source_map_count);
}

/* -------------------------------------------------------------------------------------------- life */

static void drop_snapshots(struct ca_target *target)
{
    for (size_t i = 0; i < target->snapshot_count; i++) {
        ca_snapshot_destroy(target->snapshots[i].snapshot);
        strings_destroy(target->snapshots[i].skip, target->snapshots[i].skip_count);
    }
    target->snapshot_count = 0;
}

static void drop_memory(struct ca_target *target)
{
    ca_memory_destroy(target->memory);
    target->memory = NULL;
}

static void drop_table(struct ca_target *target)
{
    drop_snapshots(target);
    drop_memory(target);
    ca_table_destroy(target->table);
    ca_error_destroy(target->table_error);
    target->table = NULL;
    target->table_error = NULL;
}

static void drop_symbolizer(struct ca_target *target)
{
    if (!target->snapshot_file) { /* those of a file have their names already */
        drop_snapshots(target);
    }
    drop_memory(target);
    ca_symbolizer_destroy(target->symbolizer);
    target->symbolizer = NULL;
    for (size_t i = 0; i < target->module_count; i++) {
        free(target->modules[i].path);
    }
    free(target->modules);
    target->modules = NULL;
    target->module_count = 0;
}

static struct ca_target *target_create(const struct ca_symbol_options *options, struct ca_error **ret_error)
{
    struct ca_target *target = calloc(1, sizeof(*target));
    if (!target) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    if (!options_init(&target->symbols, options, ret_error)) {
        free(target);
        return NULL;
    }
    return target;
}

static struct ca_target *open_input(struct ca_input *input, const struct ca_symbol_options *options,
                                    struct ca_error **ret_error)
{
    struct ca_target *target = target_create(options, ret_error);
    if (target) {
        target->is_core = true;
        target->source = ca_source_open_input(input, ret_error);
        if (!target->source) {
            ca_target_destroy(target);
            return NULL;
        }
    }
    return target;
}

struct ca_target *ca_target_open_core(const char *path, const struct ca_symbol_options *options,
                                      struct ca_error **ret_error)
{
    struct ca_input input;
    if (!ca_input_open(&input, path, ret_error)) {
        return NULL;
    }
    struct ca_target *target = open_input(&input, options, ret_error);
    ca_input_close(&input);
    return target;
}

/* One without a source, whose snapshot is made of what `from` has; takes over its bytes, also on an error. */
static struct ca_target *target_create_stored(const char *name, const struct ca_symbol_options *options,
                                              const struct ca_target *from, struct ca_error **ret_error)
{
    struct ca_target *target = target_create(options, ret_error);
    if (!target) {
        free(from->bytes);
        return NULL;
    }
    target->bytes = from->bytes;
    target->byte_count = from->byte_count;
    target->moment = from->moment;
    target->base = from->base;
    target->snapshot_file = strdup(name);
    if (!target->snapshot_file) {
        ca_fail_memory(ret_error);
    } else if (ca_target_snapshot(target, NULL, 0, false, ret_error)) { /* says now what is wrong with it */
        return target;
    }
    ca_target_destroy(target);
    return NULL;
}

static struct ca_target *open_snapshot(const char *path, const struct ca_symbol_options *options,
                                       struct ca_error **ret_error)
{
    return target_create_stored(path, options, &(struct ca_target){0}, ret_error);
}

struct ca_target *ca_target_create_kept(const char *name, char *bytes, size_t size,
                                        struct ca_error **ret_error)
{
    return target_create_stored(name, NULL, &(struct ca_target){.bytes = bytes, .byte_count = size},
                                ret_error);
}

struct ca_target *ca_target_create_moment(const struct ca_moment *moment, struct ca_target *base,
                                          struct ca_error **ret_error)
{
    return target_create_stored("the prompt before", &base->symbols.view,
                                &(struct ca_target){.moment = moment, .base = base}, ret_error);
}

/* A snapshot file that comes by a pipe. */
static struct ca_target *open_snapshot_stream(struct ca_input *input, struct ca_error **ret_error)
{
    struct ca_contents contents;
    if (!ca_contents_map(input, &contents, ret_error)) {
        return NULL;
    }
    char *bytes = NULL;
    if (contents.cut) {
        ca_fail(ret_error, CA_NOTHING,
                "cannot read %s as a snapshot file: it ends early; was it copied whole?", input->name);
    } else if (!(bytes = malloc(contents.size))) {
        ca_fail_memory(ret_error);
    } else {
        memcpy(bytes, contents.bytes, contents.size);
    }
    munmap((void *)(uintptr_t)contents.bytes, contents.size);
    return bytes ? ca_target_create_kept(input->name, bytes, contents.size, ret_error) : NULL;
}

struct ca_target *ca_target_open(const char *path, const struct ca_symbol_options *options,
                                 struct ca_error **ret_error)
{
    struct ca_input input;
    struct ca_target *target;
    if (!ca_input_open(&input, path, ret_error)) {
        return NULL;
    }
    /* Both may be compressed by gzip. */
    bool elf = input.first_size >= SELFMAG && memcmp(input.first, ELFMAG, SELFMAG) == 0;
    if (elf || !ca_profile_recognise(input.head, input.head_size)) {
        target = open_input(&input, options, ret_error);
    } else if (input.is_stream) {
        target = open_snapshot_stream(&input, ret_error);
    } else {
        target = open_snapshot(path, options, ret_error);
    }
    ca_input_close(&input);
    return target;
}

struct ca_target *ca_target_open_process(uint32_t pid, const struct ca_symbol_options *options,
                                         struct ca_error **ret_error)
{
    struct ca_target *target = target_create(options, ret_error);
    if (target) {
        target->source = ca_source_open_process(pid, ret_error);
        if (!target->source) {
            ca_target_destroy(target);
            return NULL;
        }
    }
    return target;
}

struct ca_target *ca_target_create(const struct ca_callbacks *callbacks,
                                   const struct ca_symbol_options *options, struct ca_error **ret_error)
{
    struct ca_target *target = target_create(options, ret_error);
    if (target) {
        target->source = ca_source_create_callback(callbacks, target, ret_error);
        if (!target->source) {
            ca_target_destroy(target);
            return NULL;
        }
    }
    return target;
}

void ca_target_destroy(struct ca_target *target)
{
    if (target) {
        drop_table(target);
        drop_symbolizer(target);
        free(target->snapshots);
        ca_source_destroy(target->source);
        free(target->snapshot_file);
        free(target->bytes);
        options_deinit(&target->symbols);
        free(target);
    }
}

void ca_target_invalidate(struct ca_target *target)
{
    drop_table(target);
    if (target->source) {
        ca_source_invalidate(target->source);
    }
}

/* ------------------------------------------------------------------------------------- description */

void ca_target_set_process(struct ca_target *target, uint32_t pid, uint32_t machine, int32_t signal,
                           uint32_t signal_thread, const char *program, const char *arguments)
{
    ca_source_set_process(target->source, pid, machine, signal, signal_thread, program, arguments);
}

void ca_target_set_auxv(struct ca_target *target, const void *bytes, size_t size)
{
    ca_source_set_auxv(target->source, bytes, size);
}

void ca_target_set_siginfo(struct ca_target *target, const void *bytes, size_t size)
{
    ca_source_set_siginfo(target->source, bytes, size);
}

void ca_target_add_mapping(struct ca_target *target, uint64_t start, uint64_t end, uint64_t offset,
                           uint32_t protection, const char *path)
{
    path = path ? path : "";
    struct ca_mapping mapping = {
        .start = start,
        .end = end,
        .offset = offset,
        .present = (protection & 1) && end > start ? end - start : 0,
        .protection = protection,
        .named = path[0] != '\0',
        .path = path,
    };
    ca_source_add_mapping(target->source, &mapping);
}

void ca_target_add_thread(struct ca_target *target, uint32_t tid, const uint64_t *registers, size_t count)
{
    ca_source_add_thread(target->source, tid, registers, count);
}

void ca_target_set_table(struct ca_target *target, uint64_t address)
{
    target->source->table_hint = address;
}

/* ----------------------------------------------------------------------------------- what it holds */

struct ca_source *ca_target_source(struct ca_target *target)
{
    return target->source;
}

const char *ca_target_snapshot_file(const struct ca_target *target)
{
    return target->snapshot_file;
}

bool ca_target_snapshot_bytes(struct ca_target *target, struct ca_text *text, struct ca_error **ret_error)
{
    if (target->bytes) {
        ca_text_add_bytes(text, target->bytes, target->byte_count);
        return !text->failed || ca_fail_memory(ret_error);
    }
    if (target->snapshot_file && !target->moment) {
        return ca_profile_read(target->snapshot_file, text, ret_error);
    }
    struct ca_snapshot *snapshot = ca_target_snapshot(target, NULL, 0, false, ret_error);
    return snapshot && ca_profile_encode_plain(snapshot, text, ret_error);
}

bool ca_target_is_core(const struct ca_target *target)
{
    return target->is_core;
}

static void describe_profile(struct ca_table *table, const struct ca_snapshot *snapshot)
{
    table->coverage = *ca_snapshot_coverage(snapshot);
    table->root.traceback_limit = ca_snapshot_limit(snapshot);
    table->root.features = ca_profile_has_threads(snapshot) ? TM_FEATURE_DETAIL : 0;
}

/* What there is of a table in a snapshot file: its coverage. */
static struct ca_table *table_of_snapshot(struct ca_target *target, struct ca_error **ret_error)
{
    struct ca_snapshot *snapshot = ca_target_snapshot(target, NULL, 0, false, ret_error);
    struct ca_table *table = snapshot ? ca_table_create_empty(ret_error) : NULL;
    if (table && target->moment) {
        ca_moment_describe(target->moment, table);
    } else if (table) {
        describe_profile(table, snapshot);
    }
    return table;
}

static uint64_t find_anywhere(struct ca_source *source, const char *sysroot, enum ca_route *ret_route,
                              struct ca_error **ret_error)
{
    return ca_table_find(source, sysroot, CA_ROUTE_ALL, ret_route, ret_error);
}

static struct ca_table *table_get(struct ca_target *target, struct ca_error **ret_error)
{
    if (target->snapshot_file) {
        return table_of_snapshot(target, ret_error);
    }
    enum ca_route route = CA_ROUTE_PREFERRED;
    uint64_t root = (ca_source_is_process(target->source) ? ca_attach : find_anywhere)(
        target->source, target->symbols.sysroot, &route, ret_error);
    struct ca_table *table = root ? ca_table_read(target->source, root, ret_error) : NULL;
    if (table) {
        table->route = route;
    }
    return table;
}

struct ca_table *ca_target_table(struct ca_target *target, struct ca_error **ret_error)
{
    if (target->table) {
        return target->table;
    }
    if (!target->table_error) {
        struct ca_error *error = NULL;
        target->table = table_get(target, &error);
        if (target->table) {
            return target->table;
        }
        if (ca_error_is_passing(error)) {
            if (ret_error) {
                *ret_error = error;
            } else {
                ca_error_destroy(error);
            }
            return NULL;
        }
        target->table_error = error;
    }
    ca_fail(ret_error, target->table_error->status, "%s", target->table_error->message);
    return NULL;
}

static bool modules_equal(const struct ca_module *left, const struct ca_module *right)
{
    return left->start == right->start && left->end == right->end && left->bias == right->bias &&
           left->build_id_length == right->build_id_length &&
           memcmp(left->build_id, right->build_id, left->build_id_length) == 0 &&
           strcmp(left->path, right->path) == 0;
}

/* Modules are only added, so the symbolizer stays until one was. */
static bool symbolizer_fits(const struct ca_target *target, const struct ca_table *table)
{
    for (size_t i = 0; target->module_count == table->module_count && i < table->module_count; i++) {
        if (!modules_equal(&target->modules[i], &table->modules[i])) {
            return false;
        }
    }
    return target->module_count == table->module_count;
}

static bool modules_copy(struct ca_target *target, const struct ca_table *table, struct ca_error **ret_error)
{
    target->modules = calloc(table->module_count, sizeof(*target->modules));
    if (!target->modules) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < table->module_count; i++) {
        target->modules[i] = table->modules[i];
        target->modules[i].path = strdup(table->modules[i].path);
        target->module_count = i + 1;
        if (!target->modules[i].path) {
            return ca_fail_memory(ret_error);
        }
    }
    return true;
}

struct ca_symbolizer *ca_target_symbolizer(struct ca_target *target, struct ca_error **ret_error)
{
    const struct ca_table *table = ca_target_table(target, ret_error);
    if (!table) {
        return NULL;
    }
    if (target->symbolizer && symbolizer_fits(target, table)) {
        return target->symbolizer;
    }
    drop_symbolizer(target);
    if (modules_copy(target, table, ret_error)) {
        target->symbolizer =
            ca_symbolizer_create(target->modules, target->module_count, &target->symbols.view, ret_error);
    }
    if (!target->symbolizer) {
        drop_symbolizer(target);
    }
    return target->symbolizer;
}

void ca_target_want_memory(struct ca_target *target)
{
    if (target->source && ca_source_is_process(target->source)) {
        ca_live_copy_whole(target->source);
    }
}

struct ca_memory *ca_target_memory(struct ca_target *target, struct ca_error **ret_error)
{
    if (!target->source) {
        ca_fail(ret_error, CA_USAGE,
                "%s holds what was counted, not the memory itself: use the core or the process",
                target->snapshot_file);
        return NULL;
    }
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, ret_error);
    if (symbolizer && !target->memory) {
        target->memory =
            ca_memory_create(target->source, target->table, symbolizer, &target->symbols.view, ret_error);
    }
    return symbolizer ? target->memory : NULL;
}

const struct ca_symbol_options *ca_target_symbols(const struct ca_target *target)
{
    return &target->symbols.view;
}

bool ca_target_set_symbols(struct ca_target *target, const struct ca_symbol_options *options,
                           struct ca_error **ret_error)
{
    struct symbol_options copy;
    if (!options_init(&copy, options, ret_error)) {
        return false;
    }
    if (options_equal(&target->symbols, &copy)) {
        options_deinit(&copy);
        return true;
    }
    if (target->moment) {
        drop_snapshots(target); /* their names are those that base had */
    }
    drop_symbolizer(target);
    options_deinit(&target->symbols);
    target->symbols = copy;
    return true;
}

static struct ca_snapshot *snapshot_make(struct ca_target *target, const struct kept_snapshot *kept,
                                         struct ca_error **ret_error)
{
    const char *const *skip = (const char *const *)kept->skip;
    if (target->moment) {
        struct ca_symbolizer *symbolizer = ca_target_symbolizer(target->base, ret_error);
        return symbolizer ? ca_snapshot_from_moment(target->moment, target->base->table, symbolizer, skip,
                                                    kept->skip_count, kept->no_skip, ret_error)
                          : NULL;
    }
    if (target->bytes) {
        return ca_profile_load_bytes(target->snapshot_file, target->bytes, target->byte_count, skip,
                                     kept->skip_count, kept->no_skip, ret_error);
    }
    if (target->snapshot_file) {
        return ca_profile_load(target->snapshot_file, skip, kept->skip_count, kept->no_skip, ret_error);
    }
    struct ca_symbolizer *symbolizer = ca_target_symbolizer(target, ret_error);
    return symbolizer ? ca_snapshot_from_table(target->table, symbolizer, skip, kept->skip_count,
                                               kept->no_skip, ret_error)
                      : NULL;
}

static struct ca_snapshot *snapshot_add(struct ca_target *target, struct kept_snapshot *kept,
                                        struct ca_error **ret_error)
{
    if (!CA_GROW(target->snapshots, target->snapshot_capacity, target->snapshot_count + 1)) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    kept->snapshot = snapshot_make(target, kept, ret_error);
    if (kept->snapshot) {
        target->snapshots[target->snapshot_count++] = *kept;
    }
    return kept->snapshot;
}

struct ca_snapshot *ca_target_snapshot(struct ca_target *target, const char *const *skip, size_t skip_count,
                                       bool no_skip, struct ca_error **ret_error)
{
    for (size_t i = 0; i < target->snapshot_count; i++) {
        const struct kept_snapshot *kept = &target->snapshots[i];
        if (kept->no_skip == no_skip && strings_equal(kept->skip, kept->skip_count, skip, skip_count)) {
            return kept->snapshot;
        }
    }
    struct kept_snapshot kept = {
        .skip = strings_copy(skip, skip_count),
        .skip_count = skip_count,
        .no_skip = no_skip,
    };
    if (!kept.skip) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    struct ca_snapshot *snapshot = snapshot_add(target, &kept, ret_error);
    if (!snapshot) {
        strings_destroy(kept.skip, kept.skip_count);
    }
    return snapshot;
}

struct ca_target *ca_target_create_sum(const char *name, struct ca_snapshot *sum, const char *const *skip,
                                       size_t skip_count, bool no_skip, struct ca_error **ret_error)
{
    struct ca_target *target = target_create(NULL, ret_error);
    if (!target || !CA_GROW(target->snapshots, target->snapshot_capacity, 1)) {
        ca_target_destroy(target);
        ca_snapshot_destroy(sum);
        ca_fail_memory(ret_error);
        return NULL;
    }
    struct kept_snapshot *kept = &target->snapshots[target->snapshot_count++];
    *kept = (struct kept_snapshot){.snapshot = sum, .no_skip = no_skip};
    kept->skip = strings_copy(skip, skip_count);
    kept->skip_count = kept->skip ? skip_count : 0;
    target->snapshot_file = strdup(name);
    target->table = ca_table_create_empty(ret_error);
    if (!kept->skip || !target->snapshot_file || !target->table) {
        ca_target_destroy(target);
        ca_fail_memory(ret_error);
        return NULL;
    }
    describe_profile(target->table, sum);
    return target;
}
