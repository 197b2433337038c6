/* line_header.h: what stands before the program of a unit's line table: its files, and how to read the
 * program. DWARF 2 to 5. */
#ifndef CA_SYMBOLS_DWARF_LINE_HEADER_H
#define CA_SYMBOLS_DWARF_LINE_HEADER_H

#include "sections.h"

struct ca_line_file {
    const char *name; /* borrowed from the Dwarf; NULL = unknown */
    uint64_t directory;
};

/* Zero-initialise. */
struct ca_line_header {
    struct ca_reader program;
    unsigned version;
    uint8_t address_size;
    uint8_t offset_size;
    uint8_t minimum_instruction;
    uint8_t operations; /* per instruction; 1 where there are no bundles */
    int8_t line_base;
    uint8_t line_range;
    uint8_t opcode_base;
    uint8_t operand_counts[256]; /* of standard opcodes */
    const char *
        *directories; /* [0] is the compilation directory, NULL = unknown; elements borrowed from the Dwarf */
    size_t directory_count, directory_capacity;
    struct ca_line_file *files; /* index = number of a file; before DWARF 5, [0] is unknown */
    size_t file_count, file_capacity;
};

/* Reads the header at `offset` in .debug_line of `dwarf`. compilation_directory: DW_AT_comp_dir, may be NULL.
 * ret_good: whether there is a table that can be read. False when out of memory. */
bool ca_line_header_read(struct ca_line_header *header, Dwarf *dwarf, uint64_t offset, uint8_t address_size,
                         const char *compilation_directory, bool *ret_good);
void ca_line_header_deinit(struct ca_line_header *header);

/* For DW_LNE_define_file and the table before DWARF 5: name (read already), directory, time, size. False when
 * out of memory. */
bool ca_line_file_add(struct ca_line_header *header, const char *name, struct ca_reader *reader);

#endif
