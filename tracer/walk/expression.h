/* expression.h: the DWARF expressions of call frame information (DWARF 5, section 2.5). */
#ifndef TM_EXPRESSION_H
#define TM_EXPRESSION_H

#include "cfi.h"

/* Evaluates, beginning with *cfa on the stack unless cfa is NULL. Gives TM_CFI_STEPPED and the top of the
 * stack; TM_CFI_UNKNOWN if a register is needed that is not known; TM_CFI_UNREADABLE if memory cannot be
 * read, an operation makes no sense here, the stack (16 words) over- or underflows or the expression does not
 * end within 256 operations. */
enum tm_cfi_result tm_expression_evaluate(const uint8_t *bytes, size_t size,
                                          const struct tm_registers *registers, const uintptr_t *cfa,
                                          tm_cfi_read *read, void *context, uintptr_t *ret_value);

#endif
