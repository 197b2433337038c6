/* arch.h: what the stack walker needs to know of the processor and of its ABI.
 *
 * An architecture header defines
 *   TM_ARCH_REGISTERS         DWARF register columns that the walker follows, at most 64
 *   TM_ARCH_SP, _BP, _PC      columns of the stack pointer, of the frame pointer and of the program counter
 *   TM_ARCH_RETURN            the column that CFI has for the return address; may be _PC
 *   TM_ARCH_CALLEE_SAVED      bit set of the columns that keep their value where no rule says otherwise
 *   TM_ARCH_LOST_BY_CALL      bit set of the columns that a call overwrote: not known in the caller
 *   TM_ARCH_CALL_PUSHES       does a call put the return address on the stack? Else it is in _RETURN
 *   TM_ARCH_ADDRESS_BITS      what a program did not ask for by address lies below this power of two
 *   tm_arch_signal_offset[]   where each column is saved, from the stack pointer at the signal trampoline
 *   tm_arch_caller_sp()       the stack pointer after the return of the function in which it stands
 *   tm_arch_capture()         callee-saved registers, stack pointer and program counter of where it stands
 *   tm_arch_code_pointer()    a return address as it was before it was signed
 *   tm_arch_place_pack()      puts the distances that a rule of a call names into 23 bits; false = no room
 *   tm_arch_place_cfa()       of the CFA, above its register;
 *   tm_arch_place_return()    of the return address, below the CFA;
 *   tm_arch_place_bp()        of the caller's frame pointer, below the CFA; 0 = it is unchanged
 *   tm_arch_cfi_is_ignored()  is this an operation of CFI without operands that says nothing about places?
 *   tm_arch_above_cfa()       of the caller's stack pointer, where CFI has the return address at this offset
 *   tm_arch_follows_call()    are these the bytes of a call instruction that ends here?
 *   tm_arch_is_stub()         is it a linkage stub without CFI? Returns what it has pushed; see _CALL_PUSHES
 *   tm_arch_is_sigreturn()    is this the code of a signal trampoline, of TM_ARCH_SIGRETURN_SIZE bytes?
 *   TM_ARCH_SIGRETURN_FIRST   is that to be asked before CFI is looked for?
 *   tm_arch_is_readable()     can 8 bytes be read at this address? One system call, errno untouched
 */
#ifndef TM_ARCH_H
#define TM_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include "arch_x86_64.h"
#elif defined(__aarch64__)
#include "arch_aarch64.h"
#else
#error "the stack walker has no header for this architecture"
#endif

_Static_assert(TM_ARCH_REGISTERS <= 64, "one bit each");

/* Values of the followed registers in one frame. */
struct tm_registers {
    uintptr_t value[TM_ARCH_REGISTERS];
    uint64_t known; /* bit i: value[i] is the register's value in that frame */
};

static inline bool tm_register_known(const struct tm_registers *registers, unsigned column)
{
    return column < TM_ARCH_REGISTERS && (registers->known >> column & 1) != 0;
}

static inline void tm_register_set(struct tm_registers *registers, unsigned column, uintptr_t value)
{
    registers->value[column] = value;
    registers->known |= UINT64_C(1) << column;
}

#endif
