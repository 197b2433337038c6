/* control.h: what the traced program tells the harness that steps it: a page that both share, and traps. */
#ifndef STEPS_CONTROL_H
#define STEPS_CONTROL_H

#include <stdint.h>

enum mode {
    MODE_WATCH = 0,  /* calls of the malloc family are followed, the tables looked at when each returns */
    MODE_STEP = 1,   /* ... and after each instruction */
    MODE_GROWTH = 2, /* ... after each instruction from the first system call of the tracer on */
    MODE_SIGNAL = 3, /* SIGUSR1 arrives after `instruction` instructions of the tracer */
    MODE_FREEZE =
        4, /* the thread stands still after `instruction` instructions of the tracer, until TRAP_THAW */
    MODE_COUNT = 5, /* calls are followed, nothing is looked at */
};

struct control {
    volatile uint32_t mode;
    volatile uint32_t instruction;
    volatile uint32_t reached; /* set by the harness: MODE_SIGNAL and MODE_FREEZE did it */
};

/* The environment variable that holds the number of the page's file descriptor. */
#define CONTROL_VARIABLE "STEPS_FD"

enum trap {
    TRAP_READY = 1, /* from here on everything is followed */
    TRAP_THAW = 2,
    TRAP_STEP = 3, /* steps the thread to its end, or to TRAP_RUN */
    TRAP_RUN = 4,
};

static inline void trap(enum trap what)
{
    __asm__ volatile("int3" : : "D"(what) : "memory");
}

#endif
