/* symbol_table.h: the functions, or the variables, that a module's symbol tables name (.symtab, .dynsym,
 * .gnu_debugdata), by address. */
#ifndef CA_SYMBOLS_SYMBOL_TABLE_H
#define CA_SYMBOLS_SYMBOL_TABLE_H

#include <elfutils/libdwfl.h>

#include "intervals.h"

struct ca_symbol {
    uint64_t start, end; /* [start, end), addresses in the ELF file */
    const char *name;    /* as in the file; borrowed from the Dwfl_Module */
    bool local;
};

/* Zero-initialise. */
struct ca_symbol_table {
    /* Sorted by start, then size (largest first), then by how well the name suits for display, best last. */
    struct ca_symbol *symbols;
    size_t count, capacity;
    struct ca_intervals intervals; /* values: indexes of symbols */
};

enum ca_symbol_kind { CA_SYMBOLS_OF_CODE, CA_SYMBOLS_OF_DATA };

/* Looks for the module's separate debug file, whose symbol table is the complete one. False when out of
 * memory. */
bool ca_symbol_table_read(struct ca_symbol_table *table, Dwfl_Module *module, enum ca_symbol_kind kind);
void ca_symbol_table_deinit(struct ca_symbol_table *table);

/* The symbols that cover the address and no smaller ones do (st_size; never the nearest one before):
 * *ret_count of them with one range, the best name for display last. NULL = none. */
const struct ca_symbol *ca_symbol_table_find(const struct ca_symbol_table *table, uint64_t address,
                                             size_t *ret_count);

/* Whether the name is one that the implementation keeps to itself: "_start" and "__libc_malloc", but not
 * "_ZN...". */
bool ca_symbol_is_reserved(const struct ca_symbol *symbol);

#endif
