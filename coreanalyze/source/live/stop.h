/* stop.h: makes a process stand still for a moment, by ptrace: seized, so that no signal is sent to it, and
 * let go by the kernel itself if we die. A thread of our own does it, whose end takes off what may be left.
 */
#ifndef CA_SOURCE_LIVE_STOP_H
#define CA_SOURCE_LIVE_STOP_H

#include "../../util/error.h"

#define CA_STOP_REGISTERS 64

/* A thread of the process while it stands. */
struct ca_stopped_thread {
    uint32_t tid;
    size_t register_count; /* 0 = not known */
    uint64_t registers[CA_STOP_REGISTERS];
};

/* Zero-initialise; free items with free(). */
struct ca_stopped_threads {
    struct ca_stopped_thread *items;
    size_t count, capacity;
};

/* What is done meanwhile: it is to be short, and runs on another thread than the caller, who waits for it. */
typedef bool ca_stop_work(void *context, struct ca_error **ret_error);

/* Stops all threads of the process, calls work, lets them run on, and gives the threads with their registers.
 * Where a debugger holds the process and all its threads stand, they are left alone, and no thread is given.
 * Errors name the process and say what would give the permission. */
bool ca_stop_and(uint32_t pid, ca_stop_work *work, void *context, struct ca_stopped_threads *ret_threads,
                 struct ca_error **ret_error);

/* The error for a process that may not be looked at: what to do depends on who and where we are. */
bool ca_fail_attach(uint32_t pid, int error, struct ca_error **ret_error);

#endif
