/* binary.h: the object file of one module: found, checked against the build-id that the process had, and
 * opened by libdwfl. */
#ifndef CA_SYMBOLS_BINARY_H
#define CA_SYMBOLS_BINARY_H

#include <elfutils/libdwfl.h>

#include "symbols.h"

/* Copied from the caller's options. */
struct ca_binary_options {
    char *sysroot;        /* NULL = none; without slashes at the end */
    char *debuginfo_path; /* as libdwfl wants it: "+:.debug:DIR:DIR" */
};

bool ca_binary_options_init(struct ca_binary_options *binary_options,
                            const struct ca_symbol_options *options);
void ca_binary_options_deinit(struct ca_binary_options *binary_options);

/* Zero-initialise. `dwfl` holds the one module `module` at bias 0: its addresses are the ELF file's. */
struct ca_binary {
    Dwfl *dwfl; /* NULL unless status is LINES or NAMES */
    Dwfl_Module *module;
    Dwfl_Callbacks callbacks;      /* dwfl points here: a binary must not be moved once it is open */
    enum ca_module_symbols status; /* LINES is decided by whoever finds lines: never set here */
    char *problem;                 /* malloced; NULL for none */
    bool failed;                   /* out of memory */
};

/* Separate debug files are not looked for yet. Opens the file of `path`; failing that, what the debug
 * directories have for the build-id. False when out of memory. */
bool ca_binary_open(struct ca_binary *binary, const struct ca_module *module,
                    const struct ca_binary_options *options);
void ca_binary_close(struct ca_binary *binary);

/* `path` without the " (deleted)" that the kernel appends to names of unlinked files: its size. */
size_t ca_module_path_size(const char *path);

#endif
