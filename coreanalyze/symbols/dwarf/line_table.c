/* line_table.c: see line_table.h. DWARF 5, section 6.2.5. */
#include "line_table.h"

#include <dwarf.h>
#include <stdlib.h>

#include "../../util/grow.h"

/* A byte makes at most one row. */
#define ROWS_MAX (1u << 28)

struct machine {
    struct ca_line_table *table;
    struct ca_reader reader;
    uint64_t low, high; /* of the executable segments */
    uint64_t address, operation;
    uint64_t line, file;
    size_t first; /* row of the current sequence */
    bool sorted;  /* its rows so far */
    bool out_of_memory;
};

void ca_line_table_deinit(struct ca_line_table *table)
{
    ca_line_header_deinit(&table->header);
    free(table->rows);
    free(table->sequences);
    *table = (struct ca_line_table){0};
}

static void machine_reset(struct machine *machine)
{
    machine->address = 0;
    machine->operation = 0;
    machine->line = 1;
    machine->file = 1;
    machine->first = machine->table->row_count;
    machine->sorted = true;
}

static void row_add(struct machine *machine)
{
    struct ca_line_table *table = machine->table;
    if (table->row_count >= ROWS_MAX || !CA_GROW(table->rows, table->row_capacity, table->row_count + 1)) {
        machine->out_of_memory = true;
        return;
    }
    size_t row = table->row_count++;
    machine->sorted =
        machine->sorted && (row == machine->first || table->rows[row - 1].address <= machine->address);
    table->rows[row] = (struct ca_line_row){
        .address = machine->address,
        .line = machine->line <= INT32_MAX ? (uint32_t)machine->line : 0,
        .file = machine->file < UINT32_MAX ? (uint32_t)machine->file : UINT32_MAX,
    };
}

static int rows_compare(const void *left_pointer, const void *right_pointer)
{
    const struct ca_line_row *left = left_pointer, *right = right_pointer;
    return left->address < right->address ? -1 : left->address > right->address;
}

/* Keeps the rows since the last sequence, or drops them when they are of no code that the file has. */
static void sequence_end(struct machine *machine)
{
    struct ca_line_table *table = machine->table;
    size_t count = table->row_count - machine->first;
    if (!machine->sorted) {
        qsort(table->rows + machine->first, count, sizeof(*table->rows), rows_compare);
    }
    uint64_t low = count > 0 ? table->rows[machine->first].address : 0;
    if (count == 0 || low == 0 || low < machine->low || machine->address > machine->high ||
        low >= machine->address) {
        table->row_count = machine->first;
    } else if (!CA_GROW(table->sequences, table->sequence_capacity, table->sequence_count + 1)) {
        machine->out_of_memory = true;
    } else {
        table->sequences[table->sequence_count++] =
            (struct ca_line_sequence){low, machine->address, machine->first, count};
    }
    machine_reset(machine);
}

static void advance(struct machine *machine, uint64_t operations)
{
    const struct ca_line_header *header = &machine->table->header;
    if (header->operations == 1) {
        machine->address += header->minimum_instruction * operations;
        return;
    }
    uint64_t total = machine->operation + operations;
    machine->address += header->minimum_instruction * (total / header->operations);
    machine->operation = total % header->operations;
}

static void special_opcode(struct machine *machine, unsigned adjusted)
{
    const struct ca_line_header *header = &machine->table->header;
    if (header->line_range == 0) {
        machine->reader.failed = true;
        return;
    }
    advance(machine, adjusted / header->line_range);
    machine->line += (uint64_t)(int64_t)(header->line_base + (int)(adjusted % header->line_range));
}

static void extended_opcode(struct machine *machine)
{
    struct ca_reader *reader = &machine->reader;
    uint64_t size = ca_read_uleb(reader);
    if (size == 0 || size > (uint64_t)(reader->end - reader->next)) {
        reader->failed = true;
        return;
    }
    struct ca_reader operands = {reader->next, reader->next + size, false};
    ca_read_skip(reader, size);
    switch (ca_read_fixed(&operands, 1)) {
    case DW_LNE_end_sequence:
        sequence_end(machine);
        break;
    case DW_LNE_set_address:
        machine->address = ca_read_fixed(&operands, (size_t)size - 1);
        machine->operation = 0;
        break;
    case DW_LNE_define_file: {
        const char *name = ca_read_string(&operands);
        machine->out_of_memory = !ca_line_file_add(&machine->table->header, name, &operands);
        break;
    }
    default:
        break;
    }
    reader->failed = reader->failed || operands.failed;
}

static void standard_opcode(struct machine *machine, unsigned opcode)
{
    struct ca_reader *reader = &machine->reader;
    switch (opcode) {
    case DW_LNS_copy:
        row_add(machine);
        break;
    case DW_LNS_advance_pc:
        advance(machine, ca_read_uleb(reader));
        break;
    case DW_LNS_advance_line:
        machine->line += (uint64_t)ca_read_sleb(reader);
        break;
    case DW_LNS_set_file:
        machine->file = ca_read_uleb(reader);
        break;
    case DW_LNS_const_add_pc: {
        uint64_t line = machine->line;
        special_opcode(machine, 255u - machine->table->header.opcode_base);
        machine->line = line;
        break;
    }
    case DW_LNS_fixed_advance_pc:
        machine->address += ca_read_fixed(reader, 2);
        machine->operation = 0;
        break;
    default: /* columns, flags, and what later versions may add */
        for (unsigned i = 0; i < machine->table->header.operand_counts[opcode]; i++) {
            ca_read_uleb(reader);
        }
        break;
    }
}

static int sequences_compare(const void *left_pointer, const void *right_pointer)
{
    const struct ca_line_sequence *left = left_pointer, *right = right_pointer;
    return left->low < right->low ? -1 : left->low > right->low;
}

bool ca_line_table_read(struct ca_line_table *table, Dwarf *dwarf, uint64_t offset, uint8_t address_size,
                        const char *compilation_directory, uint64_t low, uint64_t high)
{
    bool good;
    if (!ca_line_header_read(&table->header, dwarf, offset, address_size, compilation_directory, &good)) {
        return false;
    }
    struct machine machine = {.table = table, .reader = table->header.program, .low = low, .high = high};
    machine_reset(&machine);
    while (good && machine.reader.next < machine.reader.end && !machine.reader.failed &&
           !machine.out_of_memory) {
        unsigned opcode = (unsigned)ca_read_fixed(&machine.reader, 1);
        if (opcode >= table->header.opcode_base) {
            special_opcode(&machine, opcode - table->header.opcode_base);
            row_add(&machine);
        } else if (opcode == 0) {
            extended_opcode(&machine);
        } else {
            standard_opcode(&machine, opcode);
        }
    }
    if (table->sequence_count > 1) {
        qsort(table->sequences, table->sequence_count, sizeof(*table->sequences), sequences_compare);
    }
    return !machine.out_of_memory;
}

/* The last of `count` rows that is at or before the address. */
static const struct ca_line_row *row_find(const struct ca_line_row *rows, size_t count, uint64_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &rows[low - 1] : NULL;
}

const struct ca_line_row *ca_line_table_find(const struct ca_line_table *table, uint64_t address)
{
    size_t low = 0, high = table->sequence_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->sequences[middle].low <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct ca_line_sequence *sequence = low > 0 ? &table->sequences[low - 1] : NULL;
    return sequence && address < sequence->high
               ? row_find(table->rows + sequence->first, sequence->count, address)
               : NULL;
}
