/* scopes.c: see scopes.h. */
#include "scopes.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "../../util/grow.h"
#include "abbreviations.h"
#include "sections.h"
#include "split.h"

/* Bounds for files that were made to hurt. */
#define DEPTH_MAX  4096
#define RANGES_MAX (1u << 24)

/* What encloses the entries at one depth. */
struct level {
    uint32_t scope;
    uint32_t container;
};

struct walk {
    struct ca_scopes *scopes;
    struct ca_abbreviations abbreviations;
    const unsigned char *first, *end; /* the unit's entries */
    uint64_t low, high;
    const struct ca_split *split;
    size_t range_count;
    struct level *levels;
    size_t depth;
    bool out_of_memory;
};

void ca_scopes_deinit(struct ca_scopes *scopes)
{
    free(scopes->items);
    free(scopes->containers);
    ca_intervals_deinit(&scopes->intervals);
    *scopes = (struct ca_scopes){0};
}

/* ------------------------------------------------------------------------------------------------- bounds */

/* The bytes of the unit's entries; false when they cannot be had. */
static bool unit_bounds(const Dwarf_Die *unit, const unsigned char **ret_first, const unsigned char **ret_end)
{
    Dwarf_Die die = *unit;
    Dwarf *dwarf = dwarf_cu_getdwarf(die.cu);
    Dwarf_Off unit_offset = dwarf_dieoffset(&die) - dwarf_cuoffset(&die), next = 0;
    size_t header_size;
    if (!dwarf ||
        dwarf_next_unit(dwarf, unit_offset, &next, &header_size, NULL, NULL, NULL, NULL, NULL, NULL) != 0) {
        return false;
    }
    const unsigned char *base = (const unsigned char *)die.addr - dwarf_dieoffset(&die);
    /* libdw checks a unit's size against its section in some calls only. */
    struct ca_section section = ca_section_find(dwarf, "info", base);
    if (!section.bytes) {
        return false;
    }
    const unsigned char *end = section.bytes + section.size;
    if ((const unsigned char *)die.addr >= end) {
        return false;
    }
    *ret_first = die.addr;
    *ret_end = next < (uint64_t)(end - base) ? base + next : end;
    return *ret_first < *ret_end && *ret_end - *ret_first < (ptrdiff_t)UINT32_MAX;
}

/* ------------------------------------------------------------------------------------------------- ranges */

static void range_add(struct walk *walk, uint64_t low, uint64_t high, uint32_t scope)
{
    walk->range_count++;
    if (low > 0 && low >= walk->low && high <= walk->high &&
        !ca_intervals_add(&walk->scopes->intervals, low, high, scope)) {
        walk->out_of_memory = true;
    }
}

/* A constant or address of 1 to 8 bytes. */
static bool number_read(const struct walk *walk, const struct ca_attribute_place *place, uint64_t *ret_number)
{
    size_t size = place->form == DW_FORM_data1                                  ? 1
                  : place->form == DW_FORM_data2                                ? 2
                  : place->form == DW_FORM_data4                                ? 4
                  : place->form == DW_FORM_data8 || place->form == DW_FORM_addr ? 8
                                                                                : 0;
    if (size > 0) {
        *ret_number = 0;
        memcpy(ret_number, place->bytes, size);
        return true;
    }
    return place->form == DW_FORM_udata && ca_uleb_read(place->bytes, walk->end, ret_number);
}

struct range_context {
    struct walk *walk;
    uint32_t scope;
};

static void split_range_add(void *context, uint64_t low, uint64_t high)
{
    const struct range_context *range = context;
    if (range->walk->range_count < RANGES_MAX) {
        range_add(range->walk, low, high, range->scope);
    }
}

/* The common case, an address and a length; everything else is left to libdw. */
static void ranges_add(struct walk *walk, const struct ca_attribute_place *places, const unsigned char *entry,
                       uint32_t scope)
{
    const struct ca_attribute_place *low_place = &places[CA_ATTRIBUTE_LOW],
                                    *high_place = &places[CA_ATTRIBUTE_HIGH];
    uint64_t low, high;
    if (walk->split) {
        ca_split_ranges(walk->split, places, walk->end, split_range_add,
                        &(struct range_context){walk, scope});
        return;
    }
    if (walk->abbreviations.address_size == 8 && low_place->bytes && high_place->bytes &&
        low_place->form == DW_FORM_addr && number_read(walk, low_place, &low) &&
        number_read(walk, high_place, &high)) {
        range_add(walk, low, high_place->form == DW_FORM_addr ? high : low + high, scope);
        return;
    }
    Dwarf_Die die = ca_scopes_entry(walk->scopes, (uint32_t)(entry - walk->first));
    Dwarf_Addr base, start, end;
    for (ptrdiff_t next = 0; walk->range_count < RANGES_MAX;) {
        next = dwarf_ranges(&die, next, &base, &start, &end);
        if (next <= 0) {
            break;
        }
        range_add(walk, start, end, scope);
    }
}

/* ------------------------------------------------------------------------------------------------ walking */

static bool tag_is_container(unsigned tag)
{
    switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_interface_type:
    case DW_TAG_enumeration_type:
    case DW_TAG_module:
    case DW_TAG_subprogram:
        return true;
    default:
        return false;
    }
}

static uint32_t scope_add(struct walk *walk, unsigned tag, uint32_t around,
                          const struct ca_attribute_place *places, const unsigned char *entry)
{
    struct ca_scopes *scopes = walk->scopes;
    if (!places[CA_ATTRIBUTE_LOW].bytes && !places[CA_ATTRIBUTE_RANGES].bytes) {
        return CA_NO_SCOPE;
    }
    if (!CA_GROW(scopes->items, scopes->capacity, scopes->count + 1)) {
        walk->out_of_memory = true;
        return CA_NO_SCOPE;
    }
    uint32_t scope = (uint32_t)scopes->count++;
    scopes->items[scope] = (struct ca_scope){
        .entry = (uint32_t)(entry - walk->first),
        .parent = tag == DW_TAG_inlined_subroutine ? around : CA_NO_SCOPE,
    };
    ranges_add(walk, places, entry, scope);
    return scope;
}

static uint32_t container_add(struct walk *walk, uint32_t around, const unsigned char *entry)
{
    struct ca_scopes *scopes = walk->scopes;
    if (!CA_GROW(scopes->containers, scopes->container_capacity, scopes->container_count + 1)) {
        walk->out_of_memory = true;
        return around;
    }
    scopes->containers[scopes->container_count] = (struct ca_container){
        .entry = (uint32_t)(entry - walk->first),
        .end = (uint32_t)(walk->end - walk->first),
        .parent = around,
    };
    return (uint32_t)scopes->container_count++;
}

/* Goes into an entry that has children. */
static void level_push(struct walk *walk, const struct ca_abbreviation *abbreviation, uint32_t scope,
                       const unsigned char *entry)
{
    struct level around = walk->levels[walk->depth];
    struct level inside = around;
    if (abbreviation->tag == DW_TAG_subprogram || scope != CA_NO_SCOPE) {
        inside.scope = scope;
    }
    if (tag_is_container(abbreviation->tag)) {
        inside.container = container_add(walk, around.container, entry);
    }
    walk->levels[++walk->depth] = inside;
}

static void level_pop(struct walk *walk, const unsigned char *behind)
{
    uint32_t container = walk->levels[walk->depth].container;
    walk->depth--;
    if (container != walk->levels[walk->depth].container) {
        walk->scopes->containers[container].end = (uint32_t)(behind - walk->first);
    }
}

static void walk_entries(struct walk *walk)
{
    const unsigned char *next = walk->first;
    walk->levels[0] = (struct level){CA_NO_SCOPE, CA_NO_SCOPE};
    do {
        const unsigned char *entry = next;
        uint64_t code;
        next = ca_uleb_read(next, walk->end, &code);
        if (next && code == 0) {
            if (walk->depth == 0) {
                return;
            }
            level_pop(walk, next);
            continue;
        }
        const struct ca_abbreviation *abbreviation =
            next ? ca_abbreviation_find(&walk->abbreviations, code) : NULL;
        if (!abbreviation) {
            return;
        }
        struct ca_attribute_place places[CA_ATTRIBUTE_COUNT] = {{0}};
        next = ca_entry_skip(&walk->abbreviations, abbreviation, next, walk->end, places);
        if (!next) {
            return;
        }
        uint32_t scope = CA_NO_SCOPE;
        if (abbreviation->tag == DW_TAG_subprogram || abbreviation->tag == DW_TAG_inlined_subroutine) {
            scope = scope_add(walk, abbreviation->tag, walk->levels[walk->depth].scope, places, entry);
        }
        if (abbreviation->has_children) {
            if (walk->depth == DEPTH_MAX) {
                return;
            }
            level_push(walk, abbreviation, scope, entry);
        }
    } while (walk->depth > 0 && next < walk->end && !walk->out_of_memory);
}

bool ca_scopes_read(struct ca_scopes *scopes, const Dwarf_Die *unit, uint64_t low, uint64_t high,
                    const struct ca_split *split)
{
    scopes->unit = *unit;
    struct walk walk = {.scopes = scopes, .low = low, .high = high, .split = split};
    if (!unit_bounds(unit, &walk.first, &walk.end)) {
        return true;
    }
    walk.levels = calloc(DEPTH_MAX + 1, sizeof(*walk.levels));
    bool good = walk.levels && ca_abbreviations_read(&walk.abbreviations, &scopes->unit);
    if (good) {
        walk_entries(&walk);
        good = !walk.out_of_memory && ca_intervals_finish(&scopes->intervals);
    }
    ca_abbreviations_deinit(&walk.abbreviations);
    free(walk.levels);
    return good;
}

/* --------------------------------------------------------------------------------------------- looking up */

uint32_t ca_scopes_find(const struct ca_scopes *scopes, uint64_t address)
{
    uint32_t found = ca_intervals_find(&scopes->intervals, address);
    return found == CA_NO_INTERVAL ? CA_NO_SCOPE : found;
}

Dwarf_Die ca_scopes_entry(const struct ca_scopes *scopes, uint32_t entry)
{
    return (Dwarf_Die){.addr = (char *)scopes->unit.addr + entry, .cu = scopes->unit.cu};
}

uint32_t ca_scopes_container(const struct ca_scopes *scopes, uint32_t entry)
{
    size_t low = 0, high = scopes->container_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scopes->containers[middle].entry < entry) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint32_t found = low == 0 ? CA_NO_SCOPE : (uint32_t)(low - 1);
    while (found != CA_NO_SCOPE && scopes->containers[found].end <= entry) {
        found = scopes->containers[found].parent;
    }
    return found;
}
