/* line_table.h: one unit's line table: which source line an address comes from.
 *
 * Not libdw's (dwarf_getsrclines), which sorts the rows of all sequences together: those of functions that
 * the linker removed start at address 0 and shadow the ones at the start of the text; and a column above
 * 65535 makes it refuse the table.
 */
#ifndef CA_SYMBOLS_DWARF_LINE_TABLE_H
#define CA_SYMBOLS_DWARF_LINE_TABLE_H

#include "line_header.h"

struct ca_line_row {
    uint64_t address;
    uint32_t line; /* 0 = no line: the compiler made this code up */
    uint32_t file; /* number of a file in the header */
};

struct ca_line_sequence {
    uint64_t low, high;  /* [low, high) */
    size_t first, count; /* rows, ascending, count >= 1 */
};

/* Zero-initialise. */
struct ca_line_table {
    struct ca_line_header header;
    struct ca_line_row *rows;
    size_t row_count, row_capacity;
    struct ca_line_sequence *sequences; /* sorted by low */
    size_t sequence_count, sequence_capacity;
};

/* Reads the table at `offset` of .debug_line; one that cannot be read has no rows from there on. Sequences
 * outside [low, high) are left out. False when out of memory. */
bool ca_line_table_read(struct ca_line_table *table, Dwarf *dwarf, uint64_t offset, uint8_t address_size,
                        const char *compilation_directory, uint64_t low, uint64_t high);
void ca_line_table_deinit(struct ca_line_table *table);

/* NULL = no row covers the address. */
const struct ca_line_row *ca_line_table_find(const struct ca_line_table *table, uint64_t address);

#endif
