/* stores.h: where an instruction of the tracer is about to store, by its disassembly and the registers. */
#ifndef STEPS_STORES_H
#define STEPS_STORES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

/* Has objdump disassemble the object. */
void stores_read(const char *path);

enum store {
    STORE_NONE,   /* no memory but the thread's stack and its thread-local data changes */
    STORE_AT,     /* at *ret_address, 64 bytes at most */
    STORE_UNKNOWN /* not understood: anywhere */
};

/* `offset` of the instruction from the object's start. */
enum store store_of(uint64_t offset, const struct user_regs_struct *registers, uint64_t object_start,
                    uint64_t *ret_address);

#endif
