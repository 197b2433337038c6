#include "cfi.h"

#include <limits.h>
#include <string.h>

#include "expression.h"

/* ---------------------------------------------------------------------------------------------------------------
 * Running the instructions
 */
enum {
    OP_ADVANCE = 0x40,
    OP_OFFSET = 0x80,
    OP_RESTORE = 0xc0,

    OP_NOP = 0x00,
    OP_SET_LOCATION = 0x01,
    OP_ADVANCE1 = 0x02,
    OP_ADVANCE2 = 0x03,
    OP_ADVANCE4 = 0x04,
    OP_OFFSET_EXTENDED = 0x05,
    OP_RESTORE_EXTENDED = 0x06,
    OP_UNDEFINED = 0x07,
    OP_SAME_VALUE = 0x08,
    OP_REGISTER = 0x09,
    OP_REMEMBER_STATE = 0x0a,
    OP_RESTORE_STATE = 0x0b,
    OP_CFA = 0x0c,
    OP_CFA_REGISTER = 0x0d,
    OP_CFA_OFFSET = 0x0e,
    OP_CFA_EXPRESSION = 0x0f,
    OP_EXPRESSION = 0x10,
    OP_OFFSET_SIGNED = 0x11,
    OP_CFA_SIGNED = 0x12,
    OP_CFA_OFFSET_SIGNED = 0x13,
    OP_VALUE_OFFSET = 0x14,
    OP_VALUE_OFFSET_SIGNED = 0x15,
    OP_VALUE_EXPRESSION = 0x16,
    OP_MIPS_ADVANCE8 = 0x1d,
    OP_GNU_ARGS_SIZE = 0x2e,
    OP_GNU_NEGATIVE_OFFSET = 0x2f,
};

/* gcc nests one level (an epilogue in the middle of a function). */
#define REMEMBER_MAX 4

struct machine {
    const struct tm_eh_module *module;
    const struct tm_fde *fde;
    struct tm_cursor program;
    uintptr_t address;  /* the row for this is wanted */
    uintptr_t location; /* the row being built begins here */
    struct tm_cfi_rules *rules;
    const struct tm_cfi_rules *initial; /* NULL while the CIE's instructions run */
    struct tm_cfi_rules remembered[REMEMBER_MAX];
    unsigned remembered_count;
};

static void rule_set(struct machine *machine, uint64_t column, enum tm_cfi_kind kind, int64_t value)
{
    if (column >= TM_ARCH_REGISTERS) {
        return; /* a vector register, say: nothing to follow */
    }
    if (value < INT32_MIN || value > INT32_MAX) {
        tm_cursor_fail(&machine->program);
        return;
    }
    machine->rules->kind[column] = (uint8_t)kind;
    machine->rules->value[column] = (int32_t)value;
}

static void rule_restore(struct machine *machine, uint64_t column)
{
    if (!machine->initial) {
        tm_cursor_fail(&machine->program);
    } else if (column < TM_ARCH_REGISTERS) {
        machine->rules->kind[column] = machine->initial->kind[column];
        machine->rules->value[column] = machine->initial->value[column];
    }
}

static void cfa_set(struct machine *machine, uint64_t column, int64_t offset)
{
    if (column >= TM_ARCH_REGISTERS || offset < INT32_MIN || offset > INT32_MAX) {
        tm_cursor_fail(&machine->program);
        return;
    }
    machine->rules->cfa_register = (uint8_t)column;
    machine->rules->cfa_value = (int32_t)offset;
}

static int64_t factored(const struct machine *machine, int64_t value)
{
    int64_t product;
    return __builtin_mul_overflow(value, machine->fde->data_factor, &product) ? INT64_MAX : product;
}

/* The way from the base to the expression that begins here, which is passed over. */
static int64_t expression_take(struct machine *machine)
{
    int64_t way = machine->program.at - machine->fde->base;
    tm_cursor_skip(&machine->program, tm_cursor_uleb(&machine->program));
    return way;
}

static void cfa_expression(struct machine *machine)
{
    int64_t way = expression_take(machine);
    if (way < INT32_MIN || way > INT32_MAX) {
        tm_cursor_fail(&machine->program);
        return;
    }
    machine->rules->cfa_register = TM_CFI_CFA_EXPRESSION;
    machine->rules->cfa_value = (int32_t)way;
}

static void state_remember(struct machine *machine)
{
    if (machine->remembered_count == REMEMBER_MAX) {
        tm_cursor_fail(&machine->program);
        return;
    }
    machine->remembered[machine->remembered_count++] = *machine->rules;
}

static void state_restore(struct machine *machine)
{
    if (machine->remembered_count == 0) {
        tm_cursor_fail(&machine->program);
        return;
    }
    *machine->rules = machine->remembered[--machine->remembered_count];
}

/* Instructions about the CFA; false = not one of them. */
static bool cfa_execute(struct machine *machine, uint8_t op)
{
    struct tm_cursor *program = &machine->program;
    struct tm_cfi_rules *rules = machine->rules;
    uint64_t column;
    switch (op) {
    case OP_CFA:
        column = tm_cursor_uleb(program);
        cfa_set(machine, column, (int64_t)tm_cursor_uleb(program));
        return true;
    case OP_CFA_SIGNED:
        column = tm_cursor_uleb(program);
        cfa_set(machine, column, factored(machine, tm_cursor_sleb(program)));
        return true;
    case OP_CFA_REGISTER:
        if (rules->cfa_register == TM_CFI_CFA_EXPRESSION) {
            tm_cursor_fail(program); /* there is no offset to keep */
        }
        cfa_set(machine, tm_cursor_uleb(program), rules->cfa_value);
        return true;
    case OP_CFA_OFFSET:
        cfa_set(machine, rules->cfa_register, (int64_t)tm_cursor_uleb(program));
        return true;
    case OP_CFA_OFFSET_SIGNED:
        cfa_set(machine, rules->cfa_register, factored(machine, tm_cursor_sleb(program)));
        return true;
    case OP_CFA_EXPRESSION:
        cfa_expression(machine);
        return true;
    default:
        return false;
    }
}

/* Instructions about one register; false = not one of them. */
static bool register_execute(struct machine *machine, uint8_t op)
{
    struct tm_cursor *program = &machine->program;
    if (op < OP_OFFSET_EXTENDED || tm_arch_cfi_is_ignored(op) || op == OP_REMEMBER_STATE ||
        op == OP_RESTORE_STATE || op == OP_GNU_ARGS_SIZE || op == OP_MIPS_ADVANCE8) {
        return false;
    }
    uint64_t column = tm_cursor_uleb(program);
    switch (op) {
    case OP_OFFSET_EXTENDED:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, (int64_t)tm_cursor_uleb(program)));
        return true;
    case OP_OFFSET_SIGNED:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, tm_cursor_sleb(program)));
        return true;
    case OP_GNU_NEGATIVE_OFFSET:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, -(int64_t)tm_cursor_uleb(program)));
        return true;
    case OP_VALUE_OFFSET:
        rule_set(machine, column, TM_CFI_VALUE_OFFSET, factored(machine, (int64_t)tm_cursor_uleb(program)));
        return true;
    case OP_VALUE_OFFSET_SIGNED:
        rule_set(machine, column, TM_CFI_VALUE_OFFSET, factored(machine, tm_cursor_sleb(program)));
        return true;
    case OP_RESTORE_EXTENDED:
        rule_restore(machine, column);
        return true;
    case OP_UNDEFINED:
        rule_set(machine, column, TM_CFI_UNDEFINED, 0);
        return true;
    case OP_SAME_VALUE:
        rule_set(machine, column, TM_CFI_SAME, 0);
        return true;
    case OP_REGISTER:
        rule_set(machine, column, TM_CFI_REGISTER, (int64_t)tm_cursor_uleb(program));
        return true;
    case OP_EXPRESSION:
        rule_set(machine, column, TM_CFI_EXPRESSION, expression_take(machine));
        return true;
    case OP_VALUE_EXPRESSION:
        rule_set(machine, column, TM_CFI_VALUE_EXPRESSION, expression_take(machine));
        return true;
    default:
        tm_cursor_fail(program);
        return true;
    }
}

/* The location that an instruction advances to; false = not one of them. */
static bool location_execute(struct machine *machine, uint8_t op, uintptr_t *ret_location)
{
    struct tm_cursor *program = &machine->program;
    uint64_t factor = machine->fde->code_factor;
    switch (op) {
    case OP_SET_LOCATION:
        *ret_location = tm_eh_pointer(program, machine->module, machine->fde->encoding, NULL);
        return true;
    case OP_ADVANCE1:
        *ret_location = machine->location + tm_cursor_read(program, 1) * factor;
        return true;
    case OP_ADVANCE2:
        *ret_location = machine->location + tm_cursor_read(program, 2) * factor;
        return true;
    case OP_ADVANCE4:
        *ret_location = machine->location + tm_cursor_read(program, 4) * factor;
        return true;
    case OP_MIPS_ADVANCE8:
        *ret_location = machine->location + tm_cursor_read(program, 8) * factor;
        return true;
    default:
        if ((op & 0xc0) != OP_ADVANCE) {
            return false;
        }
        *ret_location = machine->location + (op & 0x3f) * factor;
        return true;
    }
}

static void instruction_execute(struct machine *machine, uint8_t op)
{
    struct tm_cursor *program = &machine->program;
    if ((op & 0xc0) == OP_OFFSET) {
        rule_set(machine, op & 0x3f, TM_CFI_OFFSET, factored(machine, (int64_t)tm_cursor_uleb(program)));
    } else if ((op & 0xc0) == OP_RESTORE) {
        rule_restore(machine, op & 0x3f);
    } else if (op == OP_REMEMBER_STATE) {
        state_remember(machine);
    } else if (op == OP_RESTORE_STATE) {
        state_restore(machine);
    } else if (op == OP_GNU_ARGS_SIZE) {
        (void)tm_cursor_uleb(program);
    } else if (op != OP_NOP && !cfa_execute(machine, op)) {
        (void)register_execute(machine, op);
    }
}

/* Runs until the row for the wanted address is complete. */
static bool program_run(struct machine *machine, struct tm_cursor program)
{
    machine->program = program;
    while (machine->program.at < machine->program.end) {
        uint8_t op = *machine->program.at++;
        uintptr_t location;
        if (location_execute(machine, op, &location)) {
            if (machine->program.bad || location < machine->location) {
                return false;
            }
            if (location > machine->address) {
                return true;
            }
            machine->location = location;
        } else {
            instruction_execute(machine, op);
        }
    }
    return !machine->program.bad;
}

bool tm_cfi_row_find(const struct tm_eh_module *module, uintptr_t address, struct tm_cfi_row *ret_row)
{
    struct tm_fde fde;
    if (!tm_fde_find(module, address, &fde) || fde.return_register >= TM_ARCH_REGISTERS) {
        return false;
    }
    struct tm_cfi_rules rules;
    memset(&rules, 0, sizeof(rules));
    rules.cfa_register = TM_ARCH_SP;
    struct machine machine;
    machine.module = module;
    machine.fde = &fde;
    machine.address = address;
    machine.location = fde.start;
    machine.rules = &rules;
    machine.initial = NULL;
    machine.remembered_count = 0;
    if (!program_run(&machine, fde.initial)) {
        return false;
    }
    struct tm_cfi_rules initial = rules;
    machine.location = fde.start;
    machine.initial = &initial;
    if (!program_run(&machine, fde.program)) {
        return false;
    }
    ret_row->base = fde.base;
    ret_row->return_register = (uint8_t)fde.return_register;
    ret_row->signal = fde.signal;
    ret_row->rules = rules;
    return true;
}

const uint8_t *tm_cfi_expression(const struct tm_cfi_row *row, int32_t value, size_t *ret_size)
{
    /* row_find has been over it: the length and the bytes are there */
    struct tm_cursor cursor = {.at = row->base + value, .end = (const uint8_t *)UINTPTR_MAX};
    *ret_size = tm_cursor_uleb(&cursor);
    return cursor.at;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Stepping
 */
struct step {
    const struct tm_cfi_row *row;
    const struct tm_registers *callee;
    tm_cfi_read *read;
    void *context;
    uintptr_t cfa;
};

static enum tm_cfi_result expression_value(const struct step *step, int32_t value, bool with_cfa,
                                           uintptr_t *ret_value)
{
    size_t size;
    const uint8_t *bytes = tm_cfi_expression(step->row, value, &size);
    return tm_expression_evaluate(bytes, size, step->callee, with_cfa ? &step->cfa : NULL, step->read,
                                  step->context, ret_value);
}

static enum tm_cfi_result cfa_compute(struct step *step)
{
    const struct tm_cfi_rules *rules = &step->row->rules;
    if (rules->cfa_register == TM_CFI_CFA_EXPRESSION) {
        return expression_value(step, rules->cfa_value, false, &step->cfa);
    }
    if (!tm_register_known(step->callee, rules->cfa_register)) {
        return TM_CFI_UNKNOWN;
    }
    step->cfa = step->callee->value[rules->cfa_register] + (uintptr_t)(intptr_t)rules->cfa_value;
    return TM_CFI_STEPPED;
}

static enum tm_cfi_result word_read(const struct step *step, uintptr_t address, uintptr_t *ret_word)
{
    return step->read(step->context, address, ret_word) ? TM_CFI_STEPPED : TM_CFI_UNREADABLE;
}

static uintptr_t above_cfa(const struct tm_cfi_row *row)
{
    const struct tm_cfi_rules *rules = &row->rules;
    bool by_stack = rules->cfa_register == TM_ARCH_SP && rules->kind[row->return_register] == TM_CFI_OFFSET;
    return by_stack ? tm_arch_above_cfa(rules->value[row->return_register]) : 0;
}

/* The caller's value of one register; TM_CFI_UNKNOWN where that cannot be had. */
static enum tm_cfi_result register_compute(const struct step *step, unsigned column, uintptr_t *ret_value)
{
    int32_t value = step->row->rules.value[column];
    uintptr_t address;
    enum tm_cfi_result result;
    switch (step->row->rules.kind[column]) {
    case TM_CFI_SAME:
        if (column == TM_ARCH_SP) {
            *ret_value = step->cfa + above_cfa(step->row);
            return TM_CFI_STEPPED;
        }
        *ret_value = step->callee->value[column];
        return tm_register_known(step->callee, column) && (TM_ARCH_CALLEE_SAVED >> column & 1) != 0
                   ? TM_CFI_STEPPED
                   : TM_CFI_UNKNOWN;
    case TM_CFI_OFFSET:
        return word_read(step, step->cfa + (uintptr_t)(intptr_t)value, ret_value);
    case TM_CFI_VALUE_OFFSET:
        *ret_value = step->cfa + (uintptr_t)(intptr_t)value;
        return TM_CFI_STEPPED;
    case TM_CFI_REGISTER:
        if (value < 0 || !tm_register_known(step->callee, (unsigned)value)) {
            return TM_CFI_UNKNOWN;
        }
        *ret_value = step->callee->value[value];
        return TM_CFI_STEPPED;
    case TM_CFI_EXPRESSION:
        result = expression_value(step, value, true, &address);
        return result == TM_CFI_STEPPED ? word_read(step, address, ret_value) : result;
    case TM_CFI_VALUE_EXPRESSION:
        return expression_value(step, value, true, ret_value);
    default:
        return TM_CFI_UNKNOWN;
    }
}

enum tm_cfi_result tm_cfi_step(const struct tm_cfi_row *row, struct tm_registers *registers,
                               tm_cfi_read *read, void *context)
{
    if (row->rules.kind[row->return_register] == TM_CFI_UNDEFINED) {
        return TM_CFI_OUTERMOST;
    }
    struct step step = {.row = row, .callee = registers, .read = read, .context = context};
    enum tm_cfi_result result = cfa_compute(&step);
    if (result != TM_CFI_STEPPED) {
        return result;
    }
    struct tm_registers caller = {.known = 0};
    for (unsigned column = 0; column < TM_ARCH_REGISTERS; column++) {
        uintptr_t value;
        result = register_compute(&step, column, &value);
        if (result == TM_CFI_STEPPED) {
            tm_register_set(&caller, column, value);
        } else if (column == row->return_register || column == TM_ARCH_SP) {
            return result;
        }
    }
    tm_register_set(&caller, TM_ARCH_PC, tm_arch_code_pointer(caller.value[row->return_register]));
    if (!row->signal) {
        caller.known &= ~TM_ARCH_LOST_BY_CALL;
    }
    *registers = caller;
    return TM_CFI_STEPPED;
}
