/* debug_info.h: a module's DWARF: source positions and inlined calls of an address. Units are read when an
 * address needs them. */
#ifndef CA_SYMBOLS_DEBUG_INFO_H
#define CA_SYMBOLS_DEBUG_INFO_H

#include <elfutils/libdwfl.h>

#include "../intervals.h"
#include "../pool.h"
#include "../source_path.h"

struct ca_unit;

/* Zero-initialise. Addresses are those of the ELF file. */
struct ca_debug_info {
    Dwarf *dwarf;       /* NULL: the module has no debug information anywhere we look */
    Dwarf_Addr bias;    /* address in the ELF file = bias + address in the DWARF */
    uint64_t low, high; /* executable segments, in the DWARF's addresses */
    struct ca_unit *units;
    size_t unit_count, unit_capacity;
    struct ca_intervals intervals; /* values: see unit_value in debug_info.c */
    bool has_rangeless;            /* some unit says nowhere which addresses it has */
    struct ca_map unit_of_cu;      /* Dwarf_CU * -> struct ca_unit * */
    struct ca_map function_names;  /* address of an entry -> name */
    struct ca_map file_names;      /* struct ca_line_file * -> name */
    Dwfl_Module *module;
    struct ca_package *package; /* PROGRAM.dwp, once a unit needed it */
    bool package_tried;
    struct ca_pool *pool;
    const struct ca_source_map *source_map;
};

/* One position of an address. */
struct ca_line {
    const char *filename; /* NULL: no line information */
    const char *function; /* NULL: unknown */
    uint32_t lineno;      /* 0 with filename NULL */
};

/* Borrows pool and source_map until close. False when out of memory. */
bool ca_debug_info_open(struct ca_debug_info *info, Dwfl_Module *module, struct ca_pool *pool,
                        const struct ca_source_map *source_map);
void ca_debug_info_close(struct ca_debug_info *info);

/* Innermost first, from the pool; the last one is the physical function. *ret_count is 0 when the DWARF knows
 * nothing of the address (NULL then), or when memory runs out (pool->failed). */
struct ca_line *ca_debug_info_find(struct ca_debug_info *info, uint64_t address, size_t *ret_count);

#endif
