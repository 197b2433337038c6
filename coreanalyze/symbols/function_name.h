/* function_name.h: from a symbol's name to the name that people write: demangled, without parameters. */
#ifndef CA_SYMBOLS_FUNCTION_NAME_H
#define CA_SYMBOLS_FUNCTION_NAME_H

#include "pool.h"

/* The name for people of a symbol or linkage name; NULL only when out of memory.
 *
 *   C++ (Itanium)       demangled: template arguments stay, parameters and return type of the function go
 *   Rust (v0, legacy)   demangled: hash and crate disambiguators go
 *   D                   demangled: parameters of the function go
 *
 * Symbol versions (@GLIBC_2.34) go too, and what compilers append to clones (.part.0 .constprop.0 .isra.0
 * .cold .lto_priv.0 .llvm.123 and their like), so that a glob finds every copy of a function. A name that
 * does not demangle is kept. */
const char *ca_function_name(struct ca_pool *pool, const char *symbol);

#endif
