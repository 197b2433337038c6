/* package.h: a .dwp file: the .dwo files of a program put together, found by their ids. libdw reads none
 * before 0.191, so a unit is cut out of it as the .dwo file that it was. */
#ifndef CA_SYMBOLS_DWARF_PACKAGE_H
#define CA_SYMBOLS_DWARF_PACKAGE_H

#include <elfutils/libdw.h>

#include "sections.h"

struct ca_package;

/* NULL: there is no such file, or it is none that can be read. Closed with ca_package_close (NULL is
 * allowed). */
struct ca_package *ca_package_open(const char *path);
void ca_package_close(struct ca_package *package);

/* A unit of it, as a file of its own. */
struct ca_packed_unit {
    Dwarf *dwarf; /* NULL = not there */
    Elf *elf;
    void *image;
    struct ca_section ranges; /* its part of .debug_rnglists.dwo */
    Dwarf_Die entry;          /* the unit's */
};

/* False when out of memory. Ended by ca_packed_unit_close, before the package is. */
bool ca_package_find(const struct ca_package *package, uint64_t id, struct ca_packed_unit *ret_unit);
void ca_packed_unit_close(struct ca_packed_unit *unit);

#endif
