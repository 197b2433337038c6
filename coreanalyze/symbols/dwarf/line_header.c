/* line_header.c: see line_header.h. DWARF 5, section 6.2.4. */
#include "line_header.h"

#include <dwarf.h>
#include <stdlib.h>

#include "../../util/grow.h"

/* A table of contents has two or three columns, four with checksums. */
#define COLUMNS_MAX 16

struct column {
    unsigned content;
    unsigned form;
};

struct strings {
    struct ca_section line_strings; /* .debug_line_str */
    struct ca_section strings;      /* .debug_str */
};

void ca_line_header_deinit(struct ca_line_header *header)
{
    free(header->directories);
    free(header->files);
    *header = (struct ca_line_header){0};
}

static bool directory_add(struct ca_line_header *header, const char *directory)
{
    if (!CA_GROW(header->directories, header->directory_capacity, header->directory_count + 1)) {
        return false;
    }
    header->directories[header->directory_count++] = directory;
    return true;
}

static bool file_add(struct ca_line_header *header, const char *name, uint64_t directory)
{
    if (!CA_GROW(header->files, header->file_capacity, header->file_count + 1)) {
        return false;
    }
    header->files[header->file_count++] = (struct ca_line_file){name, directory};
    return true;
}

bool ca_line_file_add(struct ca_line_header *header, const char *name, struct ca_reader *reader)
{
    uint64_t directory = ca_read_uleb(reader);
    ca_read_uleb(reader);
    ca_read_uleb(reader);
    return reader->failed || file_add(header, name, directory);
}

/* DWARF 2 to 4: both lists end with an empty name. */
static bool lists_read(struct ca_line_header *header, struct ca_reader *reader,
                       const char *compilation_directory)
{
    if (!directory_add(header, compilation_directory) || !file_add(header, NULL, 0)) {
        return false;
    }
    for (const char *name; (name = ca_read_string(reader)) && *name != '\0';) {
        if (!directory_add(header, name)) {
            return false;
        }
    }
    for (const char *name; (name = ca_read_string(reader)) && *name != '\0';) {
        if (!ca_line_file_add(header, name, reader)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ DWARF 5 */

static const char *string_read(const struct ca_line_header *header, struct ca_reader *reader,
                               const struct strings *strings, unsigned form)
{
    switch (form) {
    case DW_FORM_string:
        return ca_read_string(reader);
    case DW_FORM_line_strp:
        return ca_section_string(&strings->line_strings, ca_read_fixed(reader, header->offset_size));
    case DW_FORM_strp:
        return ca_section_string(&strings->strings, ca_read_fixed(reader, header->offset_size));
    default:
        reader->failed = true;
        return NULL;
    }
}

static uint64_t number_read(struct ca_reader *reader, unsigned form)
{
    switch (form) {
    case DW_FORM_udata:
        return ca_read_uleb(reader);
    case DW_FORM_data1:
        return ca_read_fixed(reader, 1);
    case DW_FORM_data2:
        return ca_read_fixed(reader, 2);
    case DW_FORM_data4:
        return ca_read_fixed(reader, 4);
    case DW_FORM_data8:
        return ca_read_fixed(reader, 8);
    default:
        reader->failed = true;
        return 0;
    }
}

/* Columns that are of no use here: times, sizes, checksums, what vendors add. */
static void column_skip(const struct ca_line_header *header, struct ca_reader *reader, unsigned form)
{
    switch (form) {
    case DW_FORM_string:
        ca_read_string(reader);
        break;
    case DW_FORM_line_strp:
    case DW_FORM_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
        ca_read_skip(reader, header->offset_size);
        break;
    case DW_FORM_data16:
        ca_read_skip(reader, 16);
        break;
    case DW_FORM_block:
        ca_read_skip(reader, ca_read_uleb(reader));
        break;
    case DW_FORM_block1:
        ca_read_skip(reader, ca_read_fixed(reader, 1));
        break;
    case DW_FORM_block2:
        ca_read_skip(reader, ca_read_fixed(reader, 2));
        break;
    case DW_FORM_block4:
        ca_read_skip(reader, ca_read_fixed(reader, 4));
        break;
    default:
        number_read(reader, form);
        break;
    }
}

static size_t columns_read(struct ca_reader *reader, struct column *columns)
{
    size_t count = (size_t)ca_read_fixed(reader, 1);
    if (count > COLUMNS_MAX) {
        reader->failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        columns[i].content = (unsigned)ca_read_uleb(reader);
        columns[i].form = (unsigned)ca_read_uleb(reader);
    }
    return count;
}

/* A table of directories or of files. */
static bool table_read(struct ca_line_header *header, struct ca_reader *reader, const struct strings *strings,
                       bool files)
{
    struct column columns[COLUMNS_MAX];
    size_t column_count = columns_read(reader, columns);
    uint64_t count = ca_read_uleb(reader);
    for (uint64_t i = 0; i < count && column_count > 0 && !reader->failed; i++) {
        const char *name = NULL;
        const unsigned char *before = reader->next;
        uint64_t directory = 0;
        for (size_t column = 0; column < column_count; column++) {
            if (columns[column].content == DW_LNCT_path) {
                name = string_read(header, reader, strings, columns[column].form);
            } else if (columns[column].content == DW_LNCT_directory_index) {
                directory = number_read(reader, columns[column].form);
            } else {
                column_skip(header, reader, columns[column].form);
            }
        }
        if (reader->next == before) {
            reader->failed = true;
        } else if (!(files ? file_add(header, name, directory) : directory_add(header, name))) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------- header */

/* From the length to the standard opcodes' operand counts. Returns what follows up to the program, which it
 * sets. */
static struct ca_reader fixed_part_read(struct ca_line_header *header, struct ca_reader reader,
                                        uint8_t address_size)
{
    uint64_t size = ca_read_fixed(&reader, 4);
    header->offset_size = size == UINT32_MAX ? 8 : 4;
    size = size == UINT32_MAX ? ca_read_fixed(&reader, 8) : size;
    reader.failed = reader.failed || size > (uint64_t)(reader.end - reader.next);
    reader.end = reader.failed ? reader.end : reader.next + size;
    header->version = (unsigned)ca_read_fixed(&reader, 2);
    header->address_size = header->version >= 5 ? (uint8_t)ca_read_fixed(&reader, 1) : address_size;
    reader.failed = reader.failed || header->version < 2 || header->version > 5;
    reader.failed = reader.failed || (header->version >= 5 && ca_read_fixed(&reader, 1) != 0);
    uint64_t header_size = ca_read_fixed(&reader, header->offset_size);
    reader.failed = reader.failed || header_size > (uint64_t)(reader.end - reader.next);
    header->program = reader;
    ca_read_skip(&header->program, header_size);
    header->minimum_instruction = (uint8_t)ca_read_fixed(&reader, 1);
    header->operations = header->version >= 4 ? (uint8_t)ca_read_fixed(&reader, 1) : 1;
    ca_read_skip(&reader, 1); /* default_is_stmt */
    header->line_base = (int8_t)ca_read_fixed(&reader, 1);
    header->line_range = (uint8_t)ca_read_fixed(&reader, 1);
    header->opcode_base = (uint8_t)ca_read_fixed(&reader, 1);
    for (unsigned i = 1; i < header->opcode_base; i++) {
        header->operand_counts[i] = (uint8_t)ca_read_fixed(&reader, 1);
    }
    reader.failed = reader.failed || header->operations == 0 || header->opcode_base == 0;
    return reader;
}

bool ca_line_header_read(struct ca_line_header *header, Dwarf *dwarf, uint64_t offset, uint8_t address_size,
                         const char *compilation_directory, bool *ret_good)
{
    *ret_good = false;
    struct ca_section lines = ca_section_find(dwarf, "line", NULL);
    if (!lines.bytes || offset >= lines.size) {
        return true;
    }
    struct ca_reader reader = {lines.bytes + offset, lines.bytes + lines.size, false};
    reader = fixed_part_read(header, reader, address_size);
    bool memory;
    if (header->version >= 5 && !reader.failed) {
        struct strings strings = {ca_section_find(dwarf, "line_str", NULL),
                                  ca_section_find(dwarf, "str", NULL)};
        memory = table_read(header, &reader, &strings, false) && table_read(header, &reader, &strings, true);
    } else {
        memory = reader.failed || lists_read(header, &reader, compilation_directory);
    }
    *ret_good = memory && !reader.failed;
    return memory;
}
