/* tracee.h: a traced process and its threads: memory, registers, breakpoints, single steps. x86-64 Linux. */
#ifndef STEPS_TRACEE_H
#define STEPS_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* A loaded object. */
struct object {
    uint64_t start, end; /* of all its mappings */
    char path[500];
};

/* The object whose path holds `name`; false if none is loaded. */
bool object_find(pid_t pid, const char *name, struct object *ret_object);
/* Run-time address of a function that the object exports; 0 if it does not. */
uint64_t object_function(const struct object *object, const char *name);

bool memory_read(int memory, uint64_t address, void *buffer, size_t size);
bool memory_write(int memory, uint64_t address, const void *bytes, size_t size);

/* Replaces one byte by a trap, and back. The instructions of other threads are not looked after. */
struct breakpoint {
    uint64_t address;
    uint8_t byte;
};
void breakpoint_insert(int memory, struct breakpoint *breakpoint);
void breakpoint_remove(int memory, const struct breakpoint *breakpoint);

/* One instruction of a thread; the signal, if not 0, is delivered first. Returns the status that waitpid
 * gave. */
int thread_step(pid_t tid, int signal);

void registers_read(pid_t tid, struct user_regs_struct *registers);
void registers_write(pid_t tid, const struct user_regs_struct *registers);

/* Prints a line and ends with 1, and with it what is traced. */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
