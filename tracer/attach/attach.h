/* attach.h: the tracer comes into a process that runs already.
 *
 * A debugger calls dlopen(libtm.so) and then tm_attach() in the process, in a thread that holds no lock of
 * the allocator or the loader, while the other threads run. Everything after that goes by the request word as
 * in any other process: a stop leads all calls back to where they led before. A later tm_attach() starts
 * again.
 */
#ifndef TM_ATTACH_ATTACH_H
#define TM_ATTACH_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "../data.h"

/* Was this library loaded by dlopen, so that its hooks take nobody's place? The allocator below is then the
 * program's. To be asked in the constructor, before anything else was called. */
bool tm_attach_is_late(void);

/* Does tm_attach() lead calls here? Then a start begins with that, and a stop ends it. */
TM_DATA bool tm_attached;

/* Age of the process in ns; 0 = not known. */
uint64_t tm_attach_process_age(void);

/* What tm_attach() answers; 0 = it traces. */
enum tm_attach_error {
    TM_ATTACH_BAD_LIMIT = -1,  /* nframe not in 1..65535 */
    TM_ATTACH_NO_TABLES = -2,  /* no memory for the tables */
    TM_ATTACH_NOT_LATE = -3,   /* the tracer was there from the start */
    TM_ATTACH_OWN_MALLOC = -4, /* the allocator is part of the program itself: its calls have no slots */
    TM_ATTACH_OLD_LIBC = -5,   /* glibc before 2.35, or no allocator to be found */
};

#endif
