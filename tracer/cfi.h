/* cfi.h: call frame information, read from .eh_frame in this process's memory.
 *
 * Sources: DWARF 5, sections 6.4 and 2.5; Linux Standard Base core 5.0, chapter 10 (.eh_frame, .eh_frame_hdr and the
 * pointer encodings). Nothing here allocates, locks or calls out, except that modules are looked up with
 * _dl_find_object (glibc >= 2.35: lock-free) or, where it is missing, dl_iterate_phdr.
 *
 * All reading stays inside the module's address range; malformed input gives no row, never a fault.
 */
#ifndef TM_CFI_H
#define TM_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"

/* A module in memory. */
struct tm_cfi_object {
    const uint8_t *start;  /* lowest mapped address */
    const uint8_t *end;    /* the first after the highest */
    const uint8_t *header; /* .eh_frame_hdr, NULL if the module has none */
};

/* How one register of the caller is found (DWARF 5, 6.4.1). */
enum tm_cfi_kind {
    TM_CFI_SAME = 0,
    TM_CFI_UNDEFINED = 1,
    TM_CFI_OFFSET = 2,           /* saved at CFA + value */
    TM_CFI_VALUE_OFFSET = 3,     /* is CFA + value */
    TM_CFI_REGISTER = 4,         /* is in the register with number `value` */
    TM_CFI_EXPRESSION = 5,       /* saved where the expression says; value = offset of the block from `base` */
    TM_CFI_VALUE_EXPRESSION = 6, /* is what the expression says */
};

#define TM_CFI_CFA_EXPRESSION 0xff

/* The rules for all registers at one code position. */
struct tm_cfi_rules {
    int32_t value[TM_ARCH_REGISTERS];
    uint8_t kind[TM_ARCH_REGISTERS];
    uint8_t cfa_register; /* CFA = this register + cfa_value, or TM_CFI_CFA_EXPRESSION with cfa_value as above */
    int32_t cfa_value;
};

struct tm_cfi_row {
    const uint8_t *base;     /* the FDE: what expressions are counted from */
    uint8_t return_register; /* column of the return address */
    bool signal;             /* augmentation 'S': the caller was interrupted, its pc is no return address */
    struct tm_cfi_rules rules;
};

/* The module that holds address. */
bool tm_cfi_object_find(uintptr_t address, struct tm_cfi_object *ret_object);

/* The same by dl_iterate_phdr, which takes the loader's lock. */
bool tm_cfi_object_find_iterating(uintptr_t address, struct tm_cfi_object *ret_object);

/* The row for the instruction that holds address; false if there is none or it cannot be understood. */
bool tm_cfi_row_find(const struct tm_cfi_object *object, uintptr_t address, struct tm_cfi_row *ret_row);

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
enum tm_cfi_result tm_cfi_step(const struct tm_cfi_row *row, struct tm_registers *registers, tm_cfi_read *read,
                               void *context);

#endif
