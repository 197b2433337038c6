/* eh_frame.h: the modules of this process and the entries of their .eh_frame.
 *
 * Sources: Linux Standard Base core 5.0, chapter 10 (.eh_frame, .eh_frame_hdr, pointer encodings); DWARF 5,
 * section 6.4.1. Nothing here allocates, locks or calls out, except that modules are looked up with
 * _dl_find_object (glibc >= 2.35: lock-free) or, where that is missing, dl_iterate_phdr. All reading stays
 * inside the module's address range.
 */
#ifndef TM_EH_FRAME_H
#define TM_EH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"

/* A module in memory. */
struct tm_eh_module {
    const uint8_t *start;  /* lowest mapped address */
    const uint8_t *end;    /* the first after the highest */
    const uint8_t *header; /* .eh_frame_hdr, NULL if the module has none */
};

/* The description of a function, and what its CIE says. */
struct tm_fde {
    uintptr_t start; /* the code that it describes */
    uintptr_t end;
    const uint8_t *base;      /* a position in it */
    struct tm_cursor initial; /* instructions of the CIE */
    struct tm_cursor program; /* its own instructions */
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t return_register; /* column of the return address */
    uint8_t encoding;         /* of code addresses */
    bool sized;               /* its augmentation data have a length */
    bool signal;              /* augmentation 'S' */
};

/* The module that holds address. */
bool tm_eh_module_find(uintptr_t address, struct tm_eh_module *ret_module);

/* The same by dl_iterate_phdr, which takes the loader's lock. */
bool tm_eh_module_find_iterating(uintptr_t address, struct tm_eh_module *ret_module);

/* The FDE for the instruction that holds address, by binary search in .eh_frame_hdr or, where that has no
 * table, by a scan of .eh_frame; false if there is none or it is malformed. */
bool tm_fde_find(const struct tm_eh_module *module, uintptr_t address, struct tm_fde *ret_fde);

/* Reads an encoded pointer. data_base: what "relative to data" means here, NULL if nothing. Bad encodings
 * fail the cursor. */
uintptr_t tm_eh_pointer(struct tm_cursor *cursor, const struct tm_eh_module *module, uint8_t encoding,
                        const uint8_t *data_base);

#endif
