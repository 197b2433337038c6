/* sections.h: a DWARF file's sections as bytes. libdw hands out what it has parsed, not where that came from.
 */
#ifndef CA_SYMBOLS_DWARF_SECTIONS_H
#define CA_SYMBOLS_DWARF_SECTIONS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct ca_section {
    const unsigned char *bytes; /* NULL = the file has none such; borrowed from the Dwarf */
    size_t size;
};

/* The section .debug_NAME, .zdebug_NAME or .debug_NAME.dwo, decompressed; where `start` is not NULL, the one
 * that starts there. */
struct ca_section ca_section_find(Dwarf *dwarf, const char *name, const unsigned char *start);

/* The string at an offset; NULL when it is not in the section, or does not end there. */
const char *ca_section_string(const struct ca_section *section, uint64_t offset);

/* What is still to be read. Reading past the end gives 0 and sets `failed`, and so does all reading after
 * that. */
struct ca_reader {
    const unsigned char *next, *end;
    bool failed;
};

uint64_t ca_read_fixed(struct ca_reader *reader, size_t size); /* 0 to 8 bytes, unsigned */
uint64_t ca_read_uleb(struct ca_reader *reader);
int64_t ca_read_sleb(struct ca_reader *reader);
const char *ca_read_string(struct ca_reader *reader); /* NULL when it fails */
void ca_read_skip(struct ca_reader *reader, uint64_t size);

#endif
