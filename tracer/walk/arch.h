/* arch.h: what the stack walker needs to know of the processor and of its ABI.
 *
 * An architecture header defines
 *   TM_ARCH_REGISTERS        DWARF register columns that the walker follows
 *   TM_ARCH_SP, _BP, _PC     columns of the stack pointer, of the frame pointer, and of the return address
 *   TM_ARCH_CALLEE_SAVED     bit set of the columns that keep their value where no rule says otherwise
 *   TM_ARCH_RETURN_SLOT      a fast rule's return address lies this many bytes below the CFA
 *   tm_arch_signal_offset[]  where each column is saved, from the stack pointer at the signal trampoline
 *   tm_arch_capture()        callee-saved registers, stack pointer and program counter of where it stands
 *   tm_arch_code_pointer()   a return address as it was before it was signed
 *   tm_arch_follows_call()   are these the bytes of a call instruction that ends here?
 *   tm_arch_is_sigreturn()   is this the code of a signal trampoline?
 *   tm_arch_is_readable()    can 8 bytes be read at this address? One system call, errno untouched
 */
#ifndef TM_ARCH_H
#define TM_ARCH_H

#include <stdbool.h>
#include <stdint.h>

/* Values of the followed registers in one frame. */
struct tm_registers {
    uintptr_t value[18];
    uint32_t known; /* bit i: value[i] is the register's value in that frame */
};

#if defined(__x86_64__)
#include "arch_x86_64.h"
#else
#error "the stack walker has no header for this architecture"
#endif

_Static_assert(TM_ARCH_REGISTERS <= sizeof(((struct tm_registers *)0)->value) / sizeof(uintptr_t),
               "registers fit");

static inline bool tm_register_known(const struct tm_registers *registers, unsigned column)
{
    return column < TM_ARCH_REGISTERS && (registers->known >> column & 1) != 0;
}

static inline void tm_register_set(struct tm_registers *registers, unsigned column, uintptr_t value)
{
    registers->value[column] = value;
    registers->known |= UINT32_C(1) << column;
}

#endif
