/* instruction.h: which memory an x86-64 instruction touches. */
#ifndef CA_COMMAND_INSTRUCTION_H
#define CA_COMMAND_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CA_OPERANDS_MAX    3
#define CA_INSTRUCTION_MAX 15 /* bytes */

struct ca_operand {
    uint64_t address;
    int base;          /* enum ca_register, of which the address is made; -1 = none */
    int index;         /* likewise */
    bool holds_target; /* of a call or jump, which goes to the address that is read from there */
    bool is_target;    /* no operand: a call or jump goes to this address, which is in the register `base` */
};

/* The operands in memory of the instruction in code[0 .. size), with the registers as they were before it
 * (struct user_regs_struct, CA_REGISTER_COUNT of them), and first the target of a call or jump by a register.
 * What is not told: operands relative to the instruction pointer, gathers and scatters, and 8-bit
 * displacements of EVEX instructions, which are scaled by what the opcode says. Returns their number. */
size_t ca_instruction_operands(const uint8_t *code, size_t size, const uint64_t *registers,
                               struct ca_operand operands[CA_OPERANDS_MAX]);

#endif
