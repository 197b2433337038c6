/* symbols.h: from a code address of the target to source positions, by libdwfl on the modules that the layout
 * names. */
#ifndef CA_SYMBOLS_SYMBOLS_H
#define CA_SYMBOLS_SYMBOLS_H

#include "../util/error.h"

struct ca_module; /* table.h */

/* One source position. A return address inside inlined code gives several, innermost (most recent) first.
 * filename and lineno:
 *
 *   with line information   the line table's name, absolute, "." and ".." removed, source map applied; >= 1
 *   with a symbol only      "MODULE(FUNCTION)"; 0
 *   in a module, no symbol  "MODULE(+0xOFFSET)", OFFSET = address in the ELF file; 0
 *   no module               "<unknown>"; 0
 *
 * All strings belong to the symbolizer and live as long as it does; equal strings are one pointer. */
struct ca_position {
    const char *filename;
    const char *function; /* demangled, without parameters; NULL = unknown */
    const char *module;   /* path as the process had it, without the kernel's " (deleted)"; NULL = none */
    uint32_t lineno;
    /* Further names of the same code (__libc_malloc), for globs; ends with NULL. NULL = none. */
    const char *const *aliases;
};

struct ca_symbolizer;

/* modules[0] is unused; borrowed until the symbolizer is destroyed. */
struct ca_symbolizer *ca_symbolizer_create(const struct ca_module *modules, size_t module_count,
                                           const struct ca_symbol_options *options,
                                           struct ca_error **ret_error);
void ca_symbolizer_destroy(struct ca_symbolizer *symbolizer);

/* Positions of the code at `address` (already adjusted: for a return address the caller passes address - 1;
 * `offset` in a MODULE(+0xOFFSET) name is that of address + shown_delta, so that it prints the return address
 * when shown_delta is 1). module 0 = none known. The result is borrowed until the symbolizer is destroyed;
 * NULL only when out of memory. */
const struct ca_position *ca_symbolizer_find(struct ca_symbolizer *symbolizer, uint32_t module,
                                             uint64_t address, unsigned shown_delta, size_t *ret_count);

/* The function or variable of a module whose symbol covers an address. */
struct ca_symbol_name {
    const char *name; /* demangled, without parameters; borrowed until the symbolizer is destroyed */
    uint64_t start;   /* run-time address */
    uint64_t size;
    bool is_code;
};
/* *ret_found false: no symbol covers it (a stripped module names what it exports alone). False only when out
 * of memory. */
bool ca_symbolizer_name(struct ca_symbolizer *symbolizer, uint32_t module, uint64_t address,
                        struct ca_symbol_name *ret_name, bool *ret_found, struct ca_error **ret_error);

/* The run-time address of the variable of this name; 0 = there is none, or its module has no file. False only
 * when out of memory. */
bool ca_symbolizer_variable(struct ca_symbolizer *symbolizer, uint32_t module, const char *name,
                            uint64_t *ret_address, struct ca_error **ret_error);

/* Copies up to `size` bytes of a module's file that stand at a run-time address; returns how many. For code,
 * which cores leave out. */
size_t ca_symbolizer_bytes(struct ca_symbolizer *symbolizer, uint32_t module, uint64_t address, void *buffer,
                           size_t size);

/* Call frame information of a module's file, for libdw's functions, by its own addresses: number 0 is
 * .eh_frame, 1 .debug_frame. NULL = none. Borrowed until the symbolizer is destroyed. */
struct Dwarf_CFI_s;
struct Dwarf_CFI_s *ca_symbolizer_cfi(struct ca_symbolizer *symbolizer, uint32_t module, unsigned number);

/* How symbols of a module were had, for tm-info and for the exit code. */
enum ca_module_symbols {
    CA_SYMBOLS_NOT_ASKED = 0,
    CA_SYMBOLS_LINES = 1,          /* line information */
    CA_SYMBOLS_NAMES = 2,          /* symbol table only, no debug information anywhere we look: complete */
    CA_SYMBOLS_NO_FILE = 3,        /* the file is not there: partial */
    CA_SYMBOLS_WRONG_BUILD_ID = 4, /* the file there is another build: not used, partial */
    CA_SYMBOLS_UNREADABLE = 5,     /* the file cannot be read as ELF: partial */
    CA_SYMBOLS_VIRTUAL = 6,        /* vDSO or no file by nature: complete */
};
enum ca_module_symbols ca_symbolizer_status(const struct ca_symbolizer *symbolizer, uint32_t module);
/* One line for the user about a module whose status is 3, 4 or 5: path, build-id wanted and found, what to
 * try; NULL otherwise. The path is as the target named it: print with ca_text_add_name. */
const char *ca_symbolizer_problem(const struct ca_symbolizer *symbolizer, uint32_t module);

/* Allocator frames: functions that hand the block to their caller, or keep it for their caller's container.
 * The default list is in allocators.c; extra_globs (fnmatchcase, see ca_pattern_matches) extends it. Matched
 * against the function's name without parameters, as in ca_position.function, or a plain symbol name. NULL is
 * none. */
bool ca_is_allocator_function(const char *function, const char *const *extra_globs, size_t extra_count);
/* The same for a position: any of its names counts. */
bool ca_is_allocator_position(const struct ca_position *position, const char *const *extra_globs,
                              size_t extra_count);

#endif
