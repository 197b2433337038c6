/* abbreviations.c: see abbreviations.h. Runs of attributes of fixed size become one step, so that most
 * entries are passed over in one or two. */
#include "abbreviations.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "../../util/grow.h"

/* Bounds for tables that were made to hurt; real ones have a few hundred abbreviations with a few dozen
 * attributes. */
#define ABBREVIATIONS_MAX 1000000
#define ATTRIBUTES_MAX    4096

enum step_kind {
    STEP_UNKNOWN,
    STEP_FIXED, /* size bytes */
    STEP_ULEB,
    STEP_STRING,
    STEP_BLOCK1, /* a count of 1, 2 or 4 bytes or LEB128, then as many bytes */
    STEP_BLOCK2,
    STEP_BLOCK4,
    STEP_BLOCK_ULEB,
    STEP_INDIRECT, /* the form is in the entry */
    STEP_PLACE,    /* size = enum ca_attribute: remembers where the next step starts */
};

struct ca_abbreviation_step {
    uint16_t kind;
    uint16_t form; /* STEP_PLACE */
    uint32_t size;
};

void ca_abbreviations_deinit(struct ca_abbreviations *abbreviations)
{
    free(abbreviations->items);
    free(abbreviations->steps);
    *abbreviations = (struct ca_abbreviations){0};
}

/* Sizes that differ from unit to unit. */
#define ADDRESS_SIZE   0xf0
#define OFFSET_SIZE    0xf1
#define REFERENCE_SIZE 0xf2

#define FIXED(bytes)                                                                                         \
    {                                                                                                        \
        STEP_FIXED, bytes                                                                                    \
    }

/* By form; kind 0 = unknown. */
static const struct {
    uint8_t kind, size;
} forms[] = {
    [DW_FORM_addr] = FIXED(ADDRESS_SIZE),
    [DW_FORM_block2] = {STEP_BLOCK2, 0},
    [DW_FORM_block4] = {STEP_BLOCK4, 0},
    [DW_FORM_data2] = FIXED(2),
    [DW_FORM_data4] = FIXED(4),
    [DW_FORM_data8] = FIXED(8),
    [DW_FORM_string] = {STEP_STRING, 0},
    [DW_FORM_block] = {STEP_BLOCK_ULEB, 0},
    [DW_FORM_block1] = {STEP_BLOCK1, 0},
    [DW_FORM_data1] = FIXED(1),
    [DW_FORM_flag] = FIXED(1),
    [DW_FORM_sdata] = {STEP_ULEB, 0},
    [DW_FORM_strp] = FIXED(OFFSET_SIZE),
    [DW_FORM_udata] = {STEP_ULEB, 0},
    [DW_FORM_ref_addr] = FIXED(REFERENCE_SIZE),
    [DW_FORM_ref1] = FIXED(1),
    [DW_FORM_ref2] = FIXED(2),
    [DW_FORM_ref4] = FIXED(4),
    [DW_FORM_ref8] = FIXED(8),
    [DW_FORM_ref_udata] = {STEP_ULEB, 0},
    [DW_FORM_indirect] = {STEP_INDIRECT, 0},
    [DW_FORM_sec_offset] = FIXED(OFFSET_SIZE),
    [DW_FORM_exprloc] = {STEP_BLOCK_ULEB, 0},
    [DW_FORM_flag_present] = FIXED(0),
    [DW_FORM_strx] = {STEP_ULEB, 0},
    [DW_FORM_addrx] = {STEP_ULEB, 0},
    [DW_FORM_ref_sup4] = FIXED(4),
    [DW_FORM_strp_sup] = FIXED(OFFSET_SIZE),
    [DW_FORM_data16] = FIXED(16),
    [DW_FORM_line_strp] = FIXED(OFFSET_SIZE),
    [DW_FORM_ref_sig8] = FIXED(8),
    [DW_FORM_implicit_const] = FIXED(0),
    [DW_FORM_loclistx] = {STEP_ULEB, 0},
    [DW_FORM_rnglistx] = {STEP_ULEB, 0},
    [DW_FORM_ref_sup8] = FIXED(8),
    [DW_FORM_strx1] = FIXED(1),
    [DW_FORM_strx2] = FIXED(2),
    [DW_FORM_strx3] = FIXED(3),
    [DW_FORM_strx4] = FIXED(4),
    [DW_FORM_addrx1] = FIXED(1),
    [DW_FORM_addrx2] = FIXED(2),
    [DW_FORM_addrx3] = FIXED(3),
    [DW_FORM_addrx4] = FIXED(4),
};

static struct ca_abbreviation_step step_of_form(const struct ca_abbreviations *abbreviations, unsigned form)
{
    if (form == DW_FORM_GNU_addr_index || form == DW_FORM_GNU_str_index) {
        return (struct ca_abbreviation_step){.kind = STEP_ULEB};
    }
    if (form == DW_FORM_GNU_ref_alt || form == DW_FORM_GNU_strp_alt) {
        return (struct ca_abbreviation_step){.kind = STEP_FIXED, .size = abbreviations->offset_size};
    }
    if (form >= sizeof(forms) / sizeof(*forms)) {
        return (struct ca_abbreviation_step){.kind = STEP_UNKNOWN};
    }
    struct ca_abbreviation_step step = {.kind = forms[form].kind, .size = forms[form].size};
    step.size = step.size == ADDRESS_SIZE     ? abbreviations->address_size
                : step.size == OFFSET_SIZE    ? abbreviations->offset_size
                : step.size == REFERENCE_SIZE ? abbreviations->reference_size
                                              : step.size;
    return step;
}

static bool step_add(struct ca_abbreviations *abbreviations, struct ca_abbreviation *item,
                     struct ca_abbreviation_step step)
{
    if (step.kind == STEP_FIXED && item->step_count > 0) {
        struct ca_abbreviation_step *last = &abbreviations->steps[abbreviations->step_count - 1];
        if (last->kind == STEP_FIXED) {
            last->size += step.size;
            return true;
        }
    }
    if (abbreviations->step_count >= UINT32_MAX ||
        !CA_GROW(abbreviations->steps, abbreviations->step_capacity, abbreviations->step_count + 1)) {
        return false;
    }
    abbreviations->steps[abbreviations->step_count++] = step;
    item->step_count++;
    return true;
}

static enum ca_attribute attribute_of(unsigned name)
{
    return name == DW_AT_low_pc    ? CA_ATTRIBUTE_LOW
           : name == DW_AT_high_pc ? CA_ATTRIBUTE_HIGH
           : name == DW_AT_ranges  ? CA_ATTRIBUTE_RANGES
                                   : CA_ATTRIBUTE_COUNT;
}

/* Whether places are asked for in entries with this tag (see ca_scopes_read). */
static bool tag_has_places(unsigned tag)
{
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
}

static bool abbreviation_add(struct ca_abbreviations *abbreviations, Dwarf_Abbrev *abbreviation)
{
    if (!CA_GROW(abbreviations->items, abbreviations->capacity, abbreviations->count + 1)) {
        return false;
    }
    struct ca_abbreviation *item = &abbreviations->items[abbreviations->count];
    *item = (struct ca_abbreviation){
        .code = dwarf_getabbrevcode(abbreviation),
        .tag = dwarf_getabbrevtag(abbreviation),
        .has_children = dwarf_abbrevhaschildren(abbreviation) != 0,
        .first_step = (uint32_t)abbreviations->step_count,
    };
    for (size_t i = 0; i < ATTRIBUTES_MAX; i++) {
        unsigned name = 0, form = 0;
        if (dwarf_getabbrevattr_data(abbreviation, i, &name, &form, NULL, NULL) != 0) {
            break;
        }
        enum ca_attribute attribute = attribute_of(name);
        if (attribute != CA_ATTRIBUTE_COUNT && tag_has_places(item->tag)) {
            struct ca_abbreviation_step place = {
                .kind = STEP_PLACE, .form = (uint16_t)form, .size = attribute};
            if (!step_add(abbreviations, item, place)) {
                return false;
            }
        }
        if (!step_add(abbreviations, item, step_of_form(abbreviations, form))) {
            return false;
        }
    }
    abbreviations->count++;
    return true;
}

static int compare(const void *left_pointer, const void *right_pointer)
{
    const struct ca_abbreviation *left = left_pointer, *right = right_pointer;
    return left->code < right->code ? -1 : left->code > right->code;
}

bool ca_abbreviations_read(struct ca_abbreviations *abbreviations, Dwarf_Die *unit)
{
    Dwarf_Die ignored;
    Dwarf_Half version = 0;
    if (!dwarf_cu_die(unit->cu, &ignored, &version, NULL, &abbreviations->address_size,
                      &abbreviations->offset_size, NULL, NULL)) {
        return true;
    }
    abbreviations->reference_size = version <= 2 ? abbreviations->address_size : abbreviations->offset_size;
    Dwarf_Off offset = 0;
    bool sorted = true;
    while (abbreviations->count < ABBREVIATIONS_MAX) {
        size_t size = 0;
        Dwarf_Abbrev *abbreviation = dwarf_getabbrev(unit, offset, &size);
        if (!abbreviation || abbreviation == DWARF_END_ABBREV) {
            break;
        }
        if (!abbreviation_add(abbreviations, abbreviation)) {
            return false;
        }
        size_t count = abbreviations->count;
        sorted = sorted &&
                 (count < 2 || abbreviations->items[count - 2].code < abbreviations->items[count - 1].code);
        offset += size;
    }
    if (!sorted) {
        qsort(abbreviations->items, abbreviations->count, sizeof(*abbreviations->items), compare);
    }
    return true;
}

const struct ca_abbreviation *ca_abbreviation_find(const struct ca_abbreviations *abbreviations,
                                                   uint64_t code)
{
    const struct ca_abbreviation *items = abbreviations->items;
    if (code - 1 < abbreviations->count && items[code - 1].code == code) {
        return &items[code - 1];
    }
    struct ca_abbreviation key = {.code = (unsigned)code};
    return code > UINT32_MAX || abbreviations->count == 0
               ? NULL
               : bsearch(&key, items, abbreviations->count, sizeof(*items), compare);
}

const unsigned char *ca_uleb_read(const unsigned char *bytes, const unsigned char *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; bytes < end && shift < 64; shift += 7) {
        value |= (uint64_t)(*bytes & 0x7f) << shift;
        if (!(*bytes++ & 0x80)) {
            *ret_value = value;
            return bytes;
        }
    }
    return NULL;
}

static const unsigned char *bytes_skip(const unsigned char *bytes, const unsigned char *end, uint64_t size)
{
    return size <= (uint64_t)(end - bytes) ? bytes + size : NULL;
}

/* A block whose count has count_size bytes. */
static const unsigned char *block_skip(const unsigned char *bytes, const unsigned char *end,
                                       size_t count_size)
{
    if ((size_t)(end - bytes) < count_size) {
        return NULL;
    }
    uint32_t count = 0;
    memcpy(&count, bytes, count_size);
    return bytes_skip(bytes + count_size, end, count);
}

static const unsigned char *step_skip(const struct ca_abbreviations *abbreviations,
                                      struct ca_abbreviation_step step, const unsigned char *bytes,
                                      const unsigned char *end)
{
    uint64_t number;
    switch ((enum step_kind)step.kind) {
    case STEP_FIXED:
        return bytes_skip(bytes, end, step.size);
    case STEP_ULEB:
        return ca_uleb_read(bytes, end, &number);
    case STEP_STRING:
        bytes = memchr(bytes, '\0', (size_t)(end - bytes));
        return bytes ? bytes + 1 : NULL;
    case STEP_BLOCK1:
        return block_skip(bytes, end, 1);
    case STEP_BLOCK2:
        return block_skip(bytes, end, 2);
    case STEP_BLOCK4:
        return block_skip(bytes, end, 4);
    case STEP_BLOCK_ULEB:
        bytes = ca_uleb_read(bytes, end, &number);
        return bytes ? bytes_skip(bytes, end, number) : NULL;
    case STEP_INDIRECT:
        bytes = ca_uleb_read(bytes, end, &number);
        if (!bytes || number > UINT16_MAX || number == DW_FORM_indirect || number == DW_FORM_implicit_const) {
            return NULL;
        }
        return step_skip(abbreviations, step_of_form(abbreviations, (unsigned)number), bytes, end);
    case STEP_PLACE:
        return bytes;
    case STEP_UNKNOWN:
        break;
    }
    return NULL;
}

const unsigned char *ca_entry_skip(const struct ca_abbreviations *abbreviations,
                                   const struct ca_abbreviation *abbreviation, const unsigned char *bytes,
                                   const unsigned char *end, struct ca_attribute_place *places)
{
    const struct ca_abbreviation_step *step = abbreviations->steps + abbreviation->first_step;
    for (uint32_t i = 0; i < abbreviation->step_count && bytes; i++, step++) {
        if (step->kind == STEP_PLACE) {
            if (places) {
                places[step->size] = (struct ca_attribute_place){bytes, step->form};
            }
        } else {
            bytes = step_skip(abbreviations, *step, bytes, end);
        }
    }
    return bytes;
}
