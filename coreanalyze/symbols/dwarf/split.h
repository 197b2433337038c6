/* split.h: addresses and ranges in a split unit, which are in the program's own sections, by way of its
 * skeleton. libdw knows that way for units that it has found itself. */
#ifndef CA_SYMBOLS_DWARF_SPLIT_H
#define CA_SYMBOLS_DWARF_SPLIT_H

#include "abbreviations.h"
#include "sections.h"

struct ca_split {
    struct ca_section addresses; /* the program's .debug_addr, from the skeleton's part on */
    struct ca_section
        ranges;    /* DWARF 5: the unit's .debug_rnglists.dwo; 4: .debug_ranges from the skeleton's part on */
    uint64_t base; /* the skeleton's DW_AT_low_pc, else 0 */
    bool has_lists; /* DWARF 5 */
};

/* `packed_ranges`: the unit's own, of DWARF 5. */
void ca_split_init(struct ca_split *split, Dwarf *program, Dwarf_Die *skeleton,
                   struct ca_section packed_ranges);

/* Calls add(context, low, high) for each range of an entry; places: CA_ATTRIBUTE_COUNT of it, `end` is where
 * its bytes may end. */
void ca_split_ranges(const struct ca_split *split, const struct ca_attribute_place *places,
                     const unsigned char *end, void (*add)(void *context, uint64_t low, uint64_t high),
                     void *context);

#endif
