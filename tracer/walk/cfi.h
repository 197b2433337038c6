/* cfi.h: call frame information: what .eh_frame says about the caller's registers.
 *
 * Source: DWARF 5, sections 6.4.1 to 6.4.3. Nothing here allocates, locks or calls out. Malformed input gives
 * no row, never a fault.
 */
#ifndef TM_CFI_H
#define TM_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"
#include "eh_frame.h"

/* How one register of the caller is found (DWARF 5, 6.4.1). */
enum tm_cfi_kind {
    TM_CFI_SAME = 0,
    TM_CFI_UNDEFINED = 1,
    TM_CFI_OFFSET = 2,       /* saved at CFA + value */
    TM_CFI_VALUE_OFFSET = 3, /* is CFA + value */
    TM_CFI_REGISTER = 4,     /* is in the register with number `value` */
    TM_CFI_EXPRESSION = 5,   /* saved where the expression says; value = offset of the block from `base` */
    TM_CFI_VALUE_EXPRESSION = 6, /* is what the expression says */
};

#define TM_CFI_CFA_EXPRESSION 0xff

/* The rules for all registers at one code position. */
struct tm_cfi_rules {
    int32_t value[TM_ARCH_REGISTERS];
    uint8_t kind[TM_ARCH_REGISTERS];
    uint8_t
        cfa_register; /* CFA = this register + cfa_value, or TM_CFI_CFA_EXPRESSION with cfa_value as above */
    int32_t cfa_value;
};

struct tm_cfi_row {
    const uint8_t *base;     /* in the FDE: what expressions are counted from */
    uint8_t return_register; /* column of the return address */
    bool signal;             /* augmentation 'S': the caller was interrupted, its pc is no return address */
    struct tm_cfi_rules rules;
};

/* The row for the instruction that holds address; false if there is none or it cannot be understood. */
bool tm_cfi_row_find(const struct tm_eh_module *module, uintptr_t address, struct tm_cfi_row *ret_row);

/* The bytes of the expression of a rule or of the CFA. */
const uint8_t *tm_cfi_expression(const struct tm_cfi_row *row, int32_t value, size_t *ret_size);

/* Reads a word of the stack; false = it must not be read. */
typedef bool tm_cfi_read(void *context, uintptr_t address, uintptr_t *ret_word);

enum tm_cfi_result {
    TM_CFI_STEPPED,
    TM_CFI_OUTERMOST,  /* the return address is undefined: there is no caller */
    TM_CFI_UNKNOWN,    /* a register is needed whose value is not known */
    TM_CFI_UNREADABLE, /* `read` refused, or the rules make no sense */
};

/* From the registers of a frame to those of its caller; changed only with TM_CFI_STEPPED. */
enum tm_cfi_result tm_cfi_step(const struct tm_cfi_row *row, struct tm_registers *registers,
                               tm_cfi_read *read, void *context);

#endif
