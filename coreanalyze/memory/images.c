/* images.c: which object files are mapped. The tables hold those that a traced frame lay in; the rest is
 * known from the mappings' names and from the ELF headers at their start, which kernels and debuggers put
 * into cores.
 */
#include "images.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

enum {
    HEADERS_MAX = 64,    /* program headers looked at */
    NOTES_MAX = 1 << 12, /* bytes of a note segment looked at */
    PAGE_SIZE = 4096,
};

void ca_images_deinit(struct ca_images *images)
{
    ca_symbolizer_destroy(images->symbolizer);
    for (size_t i = 0; i < images->module_count; i++) {
        free(images->modules[i].path);
    }
    free(images->modules);
    free(images->items);
    *images = (struct ca_images){0};
}

static bool image_add(struct ca_images *images, const struct ca_image *image)
{
    if (!CA_GROW(images->items, images->capacity, images->count + 1)) {
        return false;
    }
    images->items[images->count++] = *image;
    return true;
}

static bool overlaps(const struct ca_images *images, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < images->count; i++) {
        if (start < images->items[i].module.end && images->items[i].module.start < end) {
            return true;
        }
    }
    return false;
}

static bool headers_read(struct ca_source *source, uint64_t start, struct ca_module *module);

/* Of an object file with gaps between its segments the loader names, and the tables hold, one segment alone.
 */
static void range_complete(struct ca_source *source, struct ca_module *module)
{
    const struct ca_mapping *mapping = ca_source_mapping_at(source, module->start);
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(source, &count);
    for (size_t i = 0; mapping && mapping->offset && i < count; i++) {
        struct ca_module whole = {0};
        if (mappings[i].offset == 0 && mappings[i].start < module->start &&
            strcmp(mappings[i].path, mapping->path) == 0 && headers_read(source, mappings[i].start, &whole) &&
            whole.bias == module->bias && module->end <= whole.end) {
            module->start = whole.start;
            module->end = whole.end;
            return;
        }
    }
}

static bool recorded_add(struct ca_images *images, struct ca_source *source, const struct ca_table *table,
                         struct ca_symbolizer *symbolizer)
{
    for (size_t i = 1; i < table->module_count; i++) {
        const struct ca_module *module = &table->modules[i];
        if (module->start == 0 || module->unloaded_time || overlaps(images, module->start, module->end)) {
            continue;
        }
        struct ca_image image = {*module, symbolizer, (uint32_t)i};
        range_complete(source, &image.module);
        if (!image_add(images, &image)) {
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------- from the ELF headers */

/* The build-id in a segment of notes. */
static void notes_read(struct ca_source *source, uint64_t address, uint64_t size, struct ca_module *module)
{
    uint8_t notes[NOTES_MAX];
    size_t got = 0, at = 0;
    size = size < sizeof notes ? size : sizeof notes;
    if (!ca_source_read_some(source, address, notes, (size_t)size, &got, NULL)) {
        return;
    }
    while (got - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note;
        size_t content = name + ((note.n_namesz + 3u) & ~(size_t)3);
        if (note.n_namesz > sizeof notes || note.n_descsz > sizeof notes || content + note.n_descsz > got) {
            return;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0 &&
            note.n_descsz <= TM_BUILD_ID_MAX) {
            memcpy(module->build_id, notes + content, note.n_descsz);
            module->build_id_length = note.n_descsz;
            return;
        }
        at = content + ((note.n_descsz + 3u) & ~(size_t)3);
    }
}

/* Range, bias and build-id of the object file whose first page is at `start`; false: there is none. */
static bool headers_read(struct ca_source *source, uint64_t start, struct ca_module *module)
{
    Elf64_Ehdr header;
    Elf64_Phdr programs[HEADERS_MAX];
    size_t got = 0;
    if (!ca_source_read(source, start, &header, sizeof header, NULL) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > UINT32_MAX) {
        return false;
    }
    size_t count = header.e_phnum < HEADERS_MAX ? header.e_phnum : HEADERS_MAX;
    if (!ca_source_read_some(source, start + header.e_phoff, programs, count * sizeof *programs, &got,
                             NULL)) {
        return false;
    }
    count = got / sizeof *programs;
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t end = programs[i].p_vaddr + programs[i].p_memsz;
        if (programs[i].p_type == PT_LOAD && end >= programs[i].p_vaddr) {
            uint64_t first = programs[i].p_vaddr & ~(uint64_t)(PAGE_SIZE - 1);
            lowest = first < lowest ? first : lowest;
            highest = end > highest ? end : highest;
        }
    }
    if (highest <= lowest || start + (highest - lowest) < start) {
        return false;
    }
    module->start = start;
    module->end = start + (highest - lowest);
    module->bias = start - lowest;
    for (size_t i = 0; i < count && module->build_id_length == 0; i++) {
        if (programs[i].p_type == PT_NOTE) {
            notes_read(source, module->bias + programs[i].p_vaddr, programs[i].p_memsz, module);
        }
    }
    return true;
}

static bool named_add(struct ca_images *images, struct ca_source *source)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(source, &count);
    for (size_t i = 0; i < count; i++) {
        struct ca_module module = {0};
        if (mappings[i].path[0] != '/' || mappings[i].offset != 0 ||
            overlaps(images, mappings[i].start, mappings[i].end) ||
            !headers_read(source, mappings[i].start, &module) || overlaps(images, module.start, module.end)) {
            continue;
        }
        module.path = strdup(mappings[i].path);
        if (!module.path || !CA_GROW(images->modules, images->module_capacity, images->module_count + 1)) {
            free(module.path);
            return false;
        }
        images->modules[images->module_count] = module;
        struct ca_image image = {module, NULL, (uint32_t)images->module_count++};
        if (!image_add(images, &image)) {
            return false;
        }
    }
    return true;
}

static int compare_images(const void *a, const void *b)
{
    const struct ca_image *left = a, *right = b;
    return (left->module.start > right->module.start) - (left->module.start < right->module.start);
}

bool ca_images_read(struct ca_images *images, struct ca_source *source, const struct ca_table *table,
                    struct ca_symbolizer *symbolizer, const struct ca_symbol_options *options,
                    struct ca_error **ret_error)
{
    if (!CA_GROW(images->modules, images->module_capacity, 1)) {
        return ca_fail_memory(ret_error);
    }
    images->modules[images->module_count++] = (struct ca_module){.path = strdup("")};
    if (!images->modules[0].path || !recorded_add(images, source, table, symbolizer) ||
        !named_add(images, source)) {
        return ca_fail_memory(ret_error);
    }
    images->symbolizer = ca_symbolizer_create(images->modules, images->module_count, options, ret_error);
    if (!images->symbolizer) {
        return false;
    }
    for (size_t i = 0; i < images->count; i++) {
        if (!images->items[i].symbolizer) {
            images->items[i].symbolizer = images->symbolizer;
        }
    }
    if (images->count) {
        qsort(images->items, images->count, sizeof *images->items, compare_images);
    }
    return true;
}
