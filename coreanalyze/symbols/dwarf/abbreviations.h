/* abbreviations.h: one unit's abbreviation table, prepared for skipping entries fast. */
#ifndef CA_SYMBOLS_ABBREVIATIONS_H
#define CA_SYMBOLS_ABBREVIATIONS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Attributes whose place in an entry is remembered. */
enum ca_attribute { CA_ATTRIBUTE_LOW, CA_ATTRIBUTE_HIGH, CA_ATTRIBUTE_RANGES, CA_ATTRIBUTE_COUNT };

struct ca_attribute_place {
    const unsigned char *bytes; /* NULL: the entry does not have it */
    unsigned form;
};

struct ca_abbreviation_step;

struct ca_abbreviation {
    unsigned code;
    unsigned tag;
    bool has_children;
    uint32_t first_step, step_count;
};

/* Zero-initialise. */
struct ca_abbreviations {
    struct ca_abbreviation *items; /* sorted by code */
    size_t count, capacity;
    struct ca_abbreviation_step *steps;
    size_t step_count, step_capacity;
    uint8_t address_size, offset_size;
    uint8_t reference_size; /* of DW_FORM_ref_addr */
};

/* False when out of memory. A table that cannot be read is cut where it becomes unreadable. */
bool ca_abbreviations_read(struct ca_abbreviations *abbreviations, Dwarf_Die *unit);
void ca_abbreviations_deinit(struct ca_abbreviations *abbreviations);
/* NULL = no such code. */
const struct ca_abbreviation *ca_abbreviation_find(const struct ca_abbreviations *abbreviations,
                                                   uint64_t code);

/* Passes over an entry's attributes: from behind its code to behind its last attribute. NULL when that is not
 * before `end`, or a form is unknown. places: CA_ATTRIBUTE_COUNT elements, or NULL. */
const unsigned char *ca_entry_skip(const struct ca_abbreviations *abbreviations,
                                   const struct ca_abbreviation *abbreviation, const unsigned char *bytes,
                                   const unsigned char *end, struct ca_attribute_place *places);

/* NULL at a number that `end` cuts or that has more than 64 bits. */
const unsigned char *ca_uleb_read(const unsigned char *bytes, const unsigned char *end, uint64_t *ret_value);

#endif
