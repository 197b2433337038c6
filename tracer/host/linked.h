/* linked.h: a fully static program, which has the tracer and libc in one piece.
 *
 * There is no search order in which something comes behind the tracer: libc's allocator is taken by the names
 * that libc.a gives it besides the public ones. The linker takes both definitions of malloc then, and must be
 * told to use the first one (-z muldefs); without that it refuses, and no program comes to be that would have
 * to live on the early buffer.
 */
#ifndef TM_HOST_LINKED_H
#define TM_HOST_LINKED_H

#include <stdbool.h>

#include "objects.h"
#include "real.h"

/* glibc has these in static programs only where the program asks for them itself. */
#pragma weak dlsym
#pragma weak dlclose
#pragma weak dladdr1

/* Is this a fully static program? */
bool tm_linked_with_libc(void);

/* The program, if this is a fully static one and the address lies in it, also before libc knows that itself
 * (it allocates in _dl_non_dynamic_init already). `ret_unwind`: its .eh_frame_hdr, NULL if it has none. */
bool tm_linked_find(uintptr_t address, struct tm_object *ret_object, const uint8_t **ret_unwind);

/* libc's allocator in such a program. */
struct tm_real tm_linked_real(void);

#endif
