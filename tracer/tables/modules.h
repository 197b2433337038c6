/* modules.h: the MODULES region: which object file the code at an address came from, also after it was
 * unloaded. */
#ifndef TM_TABLES_MODULES_H
#define TM_TABLES_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"

bool tm_modules_init(void);

/* Index of the module that is mapped at this address of code now; recorded at the first call. 0 = none known.
 */
uint32_t tm_module_find(uintptr_t code_address);

/* Is it still loaded as far as is known? True for 0, code of no module. */
bool tm_module_is_loaded(uint32_t module);

/* Looks which modules are gone, and forgets what was cached about their code. */
void tm_modules_check(void);

/* Does the dynamic loader's own code lie at this address? It calls free after it has unmapped an object
 * (glibc, dlclose), with the program counter inside itself: the moment for tm_modules_check(). */
TM_DATA uintptr_t tm_loader_start, tm_loader_size;
static inline bool tm_is_loader(uintptr_t pc)
{
    return pc - tm_loader_start < tm_loader_size;
}

/* In the child of a fork: a thread that does not exist there may have been at work. */
void tm_modules_forked(void);

#endif
