/* split.c: see split.h; DWARF 5, 2.17.3 and 7.25. */
#include "split.h"

#include <dwarf.h>

#define RANGES_MAX (1u << 20) /* of one entry */

static struct ca_section section_from(struct ca_section section, uint64_t offset)
{
    if (offset > section.size) {
        return (struct ca_section){0};
    }
    return (struct ca_section){section.bytes + offset, section.size - offset};
}

/* An attribute's number, which libdw gives for a name of DWARF 5 or, failing that, of the GNU extension; else
 * 0. */
static uint64_t skeleton_number(Dwarf_Die *skeleton, unsigned name, unsigned gnu_name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number = 0;
    if (dwarf_formudata(dwarf_attr(skeleton, name, &attribute), &number) != 0 &&
        dwarf_formudata(dwarf_attr(skeleton, gnu_name, &attribute), &number) != 0) {
        return 0;
    }
    return number;
}

void ca_split_init(struct ca_split *split, Dwarf *program, Dwarf_Die *skeleton,
                   struct ca_section packed_ranges)
{
    Dwarf_Half version = 0;
    Dwarf_Addr base = 0;
    dwarf_cu_info(skeleton->cu, &version, NULL, NULL, NULL, NULL, NULL, NULL);
    uint64_t addresses = skeleton_number(skeleton, DW_AT_addr_base, DW_AT_GNU_addr_base);
    *split = (struct ca_split){
        .addresses = section_from(ca_section_find(program, "addr", NULL), addresses),
        .ranges = packed_ranges,
        .base = dwarf_lowpc(skeleton, &base) == 0 ? base : 0,
        .has_lists = version >= 5,
    };
    if (!split->has_lists) {
        uint64_t ranges = skeleton_number(skeleton, DW_AT_GNU_ranges_base, DW_AT_GNU_ranges_base);
        split->ranges = section_from(ca_section_find(program, "ranges", NULL), ranges);
    }
}

/* The address with this number; false when there is none such. */
static bool address_get(const struct ca_split *split, uint64_t number, uint64_t *ret_address)
{
    if (number >= split->addresses.size / 8) {
        return false;
    }
    struct ca_reader reader = {split->addresses.bytes + 8 * number,
                               split->addresses.bytes + split->addresses.size, false};
    *ret_address = ca_read_fixed(&reader, 8);
    return true;
}

/* An attribute's value: a number of its own, or of an address (then *ret_is_address). */
static bool value_read(const struct ca_split *split, const struct ca_attribute_place *place,
                       const unsigned char *end, uint64_t *ret_value, bool *ret_is_address)
{
    struct ca_reader reader = {place->bytes, end, false};
    bool indexed = false;
    *ret_is_address = false;
    switch (place->form) {
    case DW_FORM_addr:
        *ret_is_address = true;
        *ret_value = ca_read_fixed(&reader, 8);
        break;
    case DW_FORM_addrx:
    case DW_FORM_GNU_addr_index:
        indexed = true;
        *ret_value = ca_read_uleb(&reader);
        break;
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
        indexed = true;
        *ret_value = ca_read_fixed(&reader, place->form - DW_FORM_addrx1 + 1);
        break;
    case DW_FORM_data1:
        *ret_value = ca_read_fixed(&reader, 1);
        break;
    case DW_FORM_data2:
        *ret_value = ca_read_fixed(&reader, 2);
        break;
    case DW_FORM_data4:
    case DW_FORM_sec_offset:
        *ret_value = ca_read_fixed(&reader, 4);
        break;
    case DW_FORM_data8:
        *ret_value = ca_read_fixed(&reader, 8);
        break;
    case DW_FORM_udata:
    case DW_FORM_rnglistx:
        *ret_value = ca_read_uleb(&reader);
        break;
    default:
        return false;
    }
    *ret_is_address = *ret_is_address || indexed;
    return !reader.failed && (!indexed || address_get(split, *ret_value, ret_value));
}

/* DWARF 5: the list with this number, or at this offset. */
static struct ca_reader list_find(const struct ca_split *split, unsigned form, uint64_t value)
{
    enum { HEADER = 12 }; /* of 32-bit DWARF */
    const struct ca_section *ranges = &split->ranges;
    uint64_t offset = value;
    if (form == DW_FORM_rnglistx) {
        struct ca_section table = section_from(*ranges, HEADER);
        if (value >= table.size / 4) {
            return (struct ca_reader){.failed = true};
        }
        struct ca_reader entry = {table.bytes + 4 * value, table.bytes + table.size, false};
        offset = HEADER + ca_read_fixed(&entry, 4);
    }
    struct ca_section list = section_from(*ranges, offset);
    return (struct ca_reader){list.bytes, list.bytes + list.size, list.size == 0};
}

/* One entry of a list: true with a range when it is one; the reader fails at the list's end. */
static bool list_entry(const struct ca_split *split, struct ca_reader *reader, uint64_t *base, uint64_t *low,
                       uint64_t *high)
{
    bool good = true;
    switch (ca_read_fixed(reader, 1)) {
    case DW_RLE_base_addressx:
        reader->failed = reader->failed || !address_get(split, ca_read_uleb(reader), base);
        return false;
    case DW_RLE_base_address:
        *base = ca_read_fixed(reader, 8);
        return false;
    case DW_RLE_startx_endx:
        good = address_get(split, ca_read_uleb(reader), low);
        good = address_get(split, ca_read_uleb(reader), high) && good;
        break;
    case DW_RLE_startx_length:
        good = address_get(split, ca_read_uleb(reader), low);
        *high = ca_read_uleb(reader) + (good ? *low : 0);
        break;
    case DW_RLE_offset_pair:
        *low = *base + ca_read_uleb(reader);
        *high = *base + ca_read_uleb(reader);
        break;
    case DW_RLE_start_end:
        *low = ca_read_fixed(reader, 8);
        *high = ca_read_fixed(reader, 8);
        break;
    case DW_RLE_start_length:
        *low = ca_read_fixed(reader, 8);
        *high = *low + ca_read_uleb(reader);
        break;
    default:
        reader->failed = true;
        return false;
    }
    return good && !reader->failed;
}

/* DWARF 4: pairs of offsets to the base, ended by zeros; a pair that begins with ones sets the base. */
static bool pair_entry(struct ca_reader *reader, uint64_t *base, uint64_t *low, uint64_t *high)
{
    uint64_t first = ca_read_fixed(reader, 8), second = ca_read_fixed(reader, 8);
    if (first == UINT64_MAX) {
        *base = second;
        return false;
    }
    reader->failed = reader->failed || (first == 0 && second == 0);
    *low = *base + first;
    *high = *base + second;
    return !reader->failed;
}

void ca_split_ranges(const struct ca_split *split, const struct ca_attribute_place *places,
                     const unsigned char *end, void (*add)(void *context, uint64_t low, uint64_t high),
                     void *context)
{
    const struct ca_attribute_place *low_place = &places[CA_ATTRIBUTE_LOW],
                                    *high_place = &places[CA_ATTRIBUTE_HIGH],
                                    *ranges_place = &places[CA_ATTRIBUTE_RANGES];
    uint64_t low, high, base = split->base;
    bool is_address;
    if (low_place->bytes && high_place->bytes && value_read(split, low_place, end, &low, &is_address) &&
        is_address && value_read(split, high_place, end, &high, &is_address)) {
        add(context, low, is_address ? high : low + high);
        return;
    }
    uint64_t value;
    if (!ranges_place->bytes || !value_read(split, ranges_place, end, &value, &is_address)) {
        return;
    }
    struct ca_section pairs = section_from(split->ranges, value);
    struct ca_reader reader = {pairs.bytes, pairs.bytes + pairs.size, false};
    if (split->has_lists) {
        reader = list_find(split, ranges_place->form, value);
    }
    for (uint32_t i = 0; i < RANGES_MAX && !reader.failed; i++) {
        bool is_range = split->has_lists ? list_entry(split, &reader, &base, &low, &high)
                                         : pair_entry(&reader, &base, &low, &high);
        if (is_range) {
            add(context, low, high);
        }
    }
}
