/* scopes.h: the functions and inlined calls of one DWARF unit, by address, read in one pass over its entries.
 *
 * libdw's own way (dwarf_getscopes) walks the unit again for every address; where entries have no
 * DW_AT_sibling (clang), finding a sibling walks the children. This reads every entry once, decodes nothing
 * but the ranges of subprograms and inlined subroutines, and leaves names to whoever needs them.
 */
#ifndef CA_SYMBOLS_SCOPES_H
#define CA_SYMBOLS_SCOPES_H

#include <elfutils/libdw.h>

#include "../intervals.h"

#define CA_NO_SCOPE UINT32_MAX

struct ca_scope {
    uint32_t entry;  /* offset of its entry from the unit's first entry */
    uint32_t parent; /* the scope that an inlined call is inlined into; CA_NO_SCOPE: this is a subprogram */
};

/* An entry that gives its name to what it holds: a namespace, type or subprogram. */
struct ca_container {
    uint32_t entry;  /* as above */
    uint32_t end;    /* offset behind its last child */
    uint32_t parent; /* index of the container around it; CA_NO_SCOPE = none */
};

/* Zero-initialise. */
struct ca_scopes {
    Dwarf_Die unit; /* the entry that offsets count from: of the split unit where there is one */
    struct ca_scope *items;
    size_t count, capacity;
    struct ca_intervals intervals;   /* values: indexes of items */
    struct ca_container *containers; /* in order of entry */
    size_t container_count, container_capacity;
};

/* Ranges are those of the DWARF file; ones outside [low, high) are of code that the linker removed. An entry
 * that cannot be read ends the pass: what was found before it stays. False when out of memory. */
struct ca_split; /* split.h: where addresses and ranges are, of a unit that libdw has not found; else NULL */
bool ca_scopes_read(struct ca_scopes *scopes, const Dwarf_Die *unit, uint64_t low, uint64_t high,
                    const struct ca_split *split);
void ca_scopes_deinit(struct ca_scopes *scopes);

/* The innermost scope around the address, CA_NO_SCOPE when there is none. */
uint32_t ca_scopes_find(const struct ca_scopes *scopes, uint64_t address);
Dwarf_Die ca_scopes_entry(const struct ca_scopes *scopes, uint32_t entry);
/* The innermost container that holds the entry at this offset and is not it; CA_NO_SCOPE = none. */
uint32_t ca_scopes_container(const struct ca_scopes *scopes, uint32_t entry);

#endif
