/* function_name.h: from a symbol's name to the name that people write: demangled, without parameters. */
#ifndef CA_SYMBOLS_FUNCTION_NAME_H
#define CA_SYMBOLS_FUNCTION_NAME_H

#include "pool.h"

/* The name for people of a symbol or linkage name; NULL only when out of memory.
 *   C++ (Itanium)      demangled, template arguments kept, parameters and return type of the function left out
 *   Rust (v0, legacy)  demangled, hash and crate disambiguators left out
 *   D                  demangled, parameters of the function left out
 * Left out as well, so that a glob finds every copy of a function: symbol versions (@GLIBC_2.34) and what compilers append to
 * clones (.part.0 .constprop.0 .isra.0 .cold .lto_priv.0 .llvm.123 and their like). A name that does not demangle is kept. */
const char *ca_function_name(struct ca_pool *pool, const char *symbol);

#endif
