/* areas.c: see areas.h. */
#include "areas.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"
#include "claims.h"

enum {
    PROGRAMS_MAX = 64,
    WRITABLE = 2,
};

#define PRIVATE_SPAN (UINT64_C(1) << 36) /* from TM_PRIVATE_ADDRESS on, where nobody else maps */

/* ------------------------------------------------------------------------------------------------ claims */

bool ca_claim(struct ca_claims *claims, enum ca_area_kind kind, uint64_t start, uint64_t end, uint32_t tid)
{
    if (start >= end) {
        return true;
    }
    if (!CA_GROW(claims->items, claims->capacity, claims->count + 1)) {
        return false;
    }
    claims->items[claims->count++] = (struct ca_area){start, end, kind, tid};
    return true;
}

size_t ca_claims_read(struct ca_claims *claims, uint64_t address, void *buffer, size_t size)
{
    size_t got = 0;
    return !claims->error && ca_source_read_some(claims->source, address, buffer, size, &got, &claims->error)
               ? got
               : 0;
}

bool ca_claims_word(struct ca_claims *claims, uint64_t address, uint64_t *ret_word)
{
    return ca_claims_read(claims, address, ret_word, sizeof *ret_word) == sizeof *ret_word;
}

bool ca_mapping_is_anonymous(const struct ca_mapping *mapping)
{
    return (mapping->protection & WRITABLE) && !mapping->path[0];
}

bool ca_image_is(const struct ca_image *image, const char *prefix)
{
    const char *slash = strrchr(image->module.path, '/');
    const char *name = slash ? slash + 1 : image->module.path;
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

size_t ca_image_programs(struct ca_claims *claims, const struct ca_image *image, void *programs,
                         size_t capacity)
{
    Elf64_Ehdr header;
    if (ca_claims_read(claims, image->module.start, &header, sizeof header) != sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(Elf64_Phdr) ||
        header.e_phoff > UINT32_MAX) {
        return 0;
    }
    size_t count = header.e_phnum < capacity ? header.e_phnum : capacity;
    return ca_claims_read(claims, image->module.start + header.e_phoff, programs,
                          count * sizeof(Elf64_Phdr)) /
           sizeof(Elf64_Phdr);
}

/* --------------------------------------------------------------------------------------------- the claims */

static bool is_tracers_own(const struct ca_mapping *mapping)
{
    return !mapping->path[0] && mapping->start - TM_PRIVATE_ADDRESS < PRIVATE_SPAN;
}

/* What the source does not have of a whole core was never written to, or kept out of it; of a file's mapping
 * also what it shares with other processes: nothing points from there. */
static bool is_undumped(struct ca_claims *claims, const struct ca_mapping *mapping)
{
    uint64_t word, expected, found;
    bool absent = mapping->path[0] ? mapping->present == 0 : !ca_claims_word(claims, mapping->start, &word);
    return absent && !ca_source_truncated(claims->source, &expected, &found);
}

static bool claim_mappings(struct ca_claims *claims)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(claims->source, &count);
    for (size_t i = 0; i < count; i++) {
        const struct ca_mapping *mapping = &mappings[i];
        if (!(mapping->protection & WRITABLE)) {
            continue;
        }
        if (is_undumped(claims, mapping)) {
            bool counts = !mapping->path[0] && !is_tracers_own(mapping) &&
                          !ca_memory_image_at(claims->memory, mapping->start);
            claims->areas->undumped += counts ? mapping->end - mapping->start : 0;
        } else if (!ca_claim(claims, CA_AREA_MAPPING, mapping->start, mapping->end, 0)) {
            return false;
        }
    }
    return true;
}

static bool claim_image(struct ca_claims *claims, const struct ca_image *image)
{
    Elf64_Phdr programs[PROGRAMS_MAX];
    size_t count = ca_image_programs(claims, image, programs, PROGRAMS_MAX);
    enum ca_area_kind kind = ca_image_is(image, "libtm.so") ? CA_AREA_TRACER : CA_AREA_DATA;
    for (size_t i = 0; i < count; i++) {
        uint64_t start = image->module.bias + programs[i].p_vaddr;
        if (programs[i].p_type == PT_LOAD && (programs[i].p_flags & PF_W) && start >= image->module.start &&
            start < image->module.end) {
            uint64_t room = image->module.end - start;
            uint64_t size = programs[i].p_memsz < room ? programs[i].p_memsz : room;
            if (!ca_claim(claims, kind, start, start + size, 0)) {
                return false;
            }
        }
    }
    return true;
}

/* Of an object file whose headers the source does not have: what is mapped of it. */
static bool claim_file(struct ca_claims *claims, const struct ca_image *image)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(claims->source, &count);
    for (size_t i = 0; i < count; i++) {
        if (mappings[i].start >= image->module.start && mappings[i].start < image->module.end &&
            (mappings[i].protection & WRITABLE) && mappings[i].path[0] &&
            !ca_claim(claims, CA_AREA_DATA, mappings[i].start, mappings[i].end, 0)) {
            return false;
        }
    }
    return true;
}

static bool claim_images(struct ca_claims *claims)
{
    size_t count;
    const struct ca_image *images = ca_memory_images(claims->memory, &count);
    for (size_t i = 0; i < count; i++) {
        size_t before = claims->count;
        if (!claim_image(claims, &images[i]) ||
            (claims->count == before && !claim_file(claims, &images[i]))) {
            return false;
        }
    }
    return true;
}

static bool claim_range(void *context, uint64_t start, uint64_t end)
{
    return ca_claim(context, CA_AREA_TRACER, start, end, 0);
}

static bool claim_tracer(struct ca_claims *claims)
{
    if (!ca_table_each_range(ca_memory_table(claims->memory), claim_range, claims)) {
        return false;
    }
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(claims->source, &count);
    for (size_t i = 0; i < count; i++) {
        bool is_root = ca_memory_table(claims->memory)->address - mappings[i].start <
                       mappings[i].end - mappings[i].start;
        if ((is_tracers_own(&mappings[i]) || (is_root && !mappings[i].path[0])) &&
            !ca_claim(claims, CA_AREA_TRACER, mappings[i].start, mappings[i].end, 0)) {
            return false;
        }
    }
    return true;
}

bool ca_claim_blocks(struct ca_claims *claims)
{
    const struct ca_block_level *level = &claims->set->levels[0];
    for (size_t i = 0; i < level->count;) {
        const struct ca_mapping *mapping = ca_source_mapping_at(claims->source, level->blocks[i].start);
        bool own =
            !(level->blocks[i].size & CA_EXTENT_FOREIGN) && mapping && ca_mapping_is_anonymous(mapping);
        if (own && !ca_claim(claims, CA_AREA_HEAP, mapping->start, mapping->end, 0)) {
            return false;
        }
        i = own ? ca_block_level_from(level, mapping->end) : i + 1;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- the areas */

static bool is_root(enum ca_area_kind kind, bool mappings)
{
    return kind == CA_AREA_DATA || kind == CA_AREA_STACK || kind == CA_AREA_TLS ||
           (kind == CA_AREA_MAPPING && mappings);
}

struct border {
    uint64_t address;
    uint32_t claim;
    bool opens;
};

static int compare_borders(const void *a, const void *b)
{
    const struct border *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

/* Where a claim wins, its neighbours of the same kind and thread are joined with it. */
static void area_add(struct ca_areas *areas, const struct ca_area *claim, uint64_t start, uint64_t end)
{
    struct ca_area *last = areas->count ? &areas->items[areas->count - 1] : NULL;
    if (last && last->end == start && last->kind == claim->kind && last->tid == claim->tid) {
        last->end = end;
        return;
    }
    areas->items[areas->count++] = (struct ca_area){start, end, claim->kind, claim->tid};
}

static void borders_sweep(struct ca_areas *areas, const struct ca_claims *claims,
                          const struct border *borders, bool mappings)
{
    size_t open[CA_AREA_KINDS] = {0};
    uint32_t owner[CA_AREA_KINDS] = {0}, newest[CA_AREA_KINDS] = {0};
    for (size_t i = 0; i < 2 * claims->count; i++) {
        enum ca_area_kind kind = claims->items[borders[i].claim].kind;
        open[kind] += borders[i].opens ? 1 : SIZE_MAX;
        newest[kind] = borders[i].opens ? borders[i].claim : newest[kind];
        /* Of two claims of one kind the first holds as far as it reaches. */
        if (borders[i].opens ? open[kind] == 1 : borders[i].claim == owner[kind]) {
            owner[kind] = newest[kind];
        }
        uint64_t start = borders[i].address;
        uint64_t end = i + 1 < 2 * claims->count ? borders[i + 1].address : start;
        int winner = CA_AREA_KINDS - 1;
        while (winner >= 0 && !open[winner]) {
            winner--;
        }
        /* Outside of mappings there is no memory, whoever claims it. */
        if (start < end && winner >= 0 && open[CA_AREA_MAPPING] &&
            is_root((enum ca_area_kind)winner, mappings)) {
            area_add(areas, &claims->items[owner[winner]], start, end);
        }
    }
}

static bool claims_decide(struct ca_areas *areas, const struct ca_claims *claims, bool mappings)
{
    struct border *borders = calloc(2 * claims->count + 1, sizeof *borders);
    areas->items = calloc(2 * claims->count + 1, sizeof *areas->items);
    if (!borders || !areas->items) {
        free(borders);
        return false;
    }
    for (size_t i = 0; i < claims->count; i++) {
        borders[2 * i] = (struct border){claims->items[i].start, (uint32_t)i, true};
        borders[2 * i + 1] = (struct border){claims->items[i].end, (uint32_t)i, false};
    }
    qsort(borders, 2 * claims->count, sizeof *borders, compare_borders);
    borders_sweep(areas, claims, borders, mappings);
    free(borders);
    return true;
}

bool ca_areas_init(struct ca_areas *areas, struct ca_memory *memory, const struct ca_block_set *set,
                   bool mappings, struct ca_error **ret_error)
{
    *areas = (struct ca_areas){.other_allocator = !ca_table_is_glibc(ca_memory_table(memory))};
    struct ca_claims claims = {
        .source = ca_memory_source(memory), .memory = memory, .set = set, .areas = areas};
    bool done = claim_mappings(&claims) && claim_images(&claims) && claim_tracer(&claims) &&
                (areas->other_allocator ? ca_claim_blocks : ca_claim_malloc)(&claims) &&
                ca_claim_threads(&claims) &&
                claims_decide(areas, &claims, mappings && !areas->other_allocator);
    free(claims.items);
    if (claims.error) {
        *ret_error = claims.error;
        return false;
    }
    return done || ca_fail_memory(ret_error);
}

void ca_areas_deinit(struct ca_areas *areas)
{
    free(areas->items);
    free(areas->words);
    *areas = (struct ca_areas){0};
}

const struct ca_area *ca_areas_at(const struct ca_areas *areas, uint64_t address)
{
    size_t low = 0, high = areas->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (areas->items[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < areas->count && areas->items[low].start <= address ? &areas->items[low] : NULL;
}
