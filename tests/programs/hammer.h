/* hammer.h: what hammer.c shares with who looks at it. */
#ifndef HAMMER_H
#define HAMMER_H

#include <stdint.h>

enum { THREADS = 8, SLOTS = 1024, SETTLED = 0, BUSY = 1 };

/* One block, or none. Only who sets BUSY changes it. */
struct slot {
    _Atomic uint64_t state;
    _Atomic uint64_t address; /* 0 = none */
    _Atomic uint64_t size;
    _Atomic uint64_t previous; /* BUSY: the address before the call, 0 = none */
};

#endif
