#include "expression.h"

#include "cursor.h"

#define STACK_MAX     16
#define OPERATION_MAX 256

enum {
    OP_ADDRESS = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_PICK = 0x15,
    OP_SWAP = 0x16,
    OP_ROT = 0x17,
    OP_ABS = 0x19,
    OP_AND = 0x1a,
    OP_DIV = 0x1b,
    OP_MINUS = 0x1c,
    OP_MOD = 0x1d,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_BRANCH = 0x28,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_SKIP = 0x2f,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BASED0 = 0x70,
    OP_BASED31 = 0x8f,
    OP_BASEDX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

struct evaluation {
    const uint8_t *start;
    struct tm_cursor code; /* bad: an operand is cut off */
    const struct tm_registers *registers;
    tm_cfi_read *read;
    void *context;
    enum tm_cfi_result result; /* TM_CFI_STEPPED until something fails */
    unsigned depth;
    uintptr_t stack[STACK_MAX];
};

static void fail(struct evaluation *evaluation, enum tm_cfi_result result)
{
    if (evaluation->result == TM_CFI_STEPPED) {
        evaluation->result = result;
    }
    evaluation->code.at = evaluation->code.end;
}

static void push(struct evaluation *evaluation, uintptr_t value)
{
    if (evaluation->depth == STACK_MAX) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return;
    }
    evaluation->stack[evaluation->depth++] = value;
}

static uintptr_t pop(struct evaluation *evaluation)
{
    if (evaluation->depth == 0) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return 0;
    }
    return evaluation->stack[--evaluation->depth];
}

static void pick(struct evaluation *evaluation, unsigned index)
{
    if (index >= evaluation->depth) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return;
    }
    push(evaluation, evaluation->stack[evaluation->depth - 1 - index]);
}

static uint64_t operand(struct evaluation *evaluation, unsigned size, bool with_sign)
{
    uint64_t value = tm_cursor_read(&evaluation->code, size);
    return with_sign ? (uint64_t)tm_cursor_sign_extend(value, size) : value;
}

static uint64_t operand_leb128(struct evaluation *evaluation, bool with_sign)
{
    return tm_cursor_leb128(&evaluation->code, with_sign);
}

static void dereference(struct evaluation *evaluation, uint64_t size)
{
    uintptr_t address = pop(evaluation);
    uintptr_t word;
    if (evaluation->result != TM_CFI_STEPPED) {
        return;
    }
    if (size == 0 || size > sizeof(word) || !evaluation->read(evaluation->context, address, &word)) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return;
    }
    push(evaluation, size == sizeof(word) ? word : word & ((UINT64_C(1) << (8 * size)) - 1));
}

static void based(struct evaluation *evaluation, uint64_t column)
{
    uintptr_t offset = operand_leb128(evaluation, true);
    if (column >= TM_ARCH_REGISTERS || !tm_register_known(evaluation->registers, (unsigned)column)) {
        fail(evaluation, TM_CFI_UNKNOWN);
        return;
    }
    push(evaluation, evaluation->registers->value[column] + offset);
}

/* To a position in the expression; its end is one too. */
static void jump(struct evaluation *evaluation, intptr_t way)
{
    intptr_t target = evaluation->code.at - evaluation->start + way;
    if (target < 0 || target > evaluation->code.end - evaluation->start) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return;
    }
    evaluation->code.at = evaluation->start + target;
}

static void branch(struct evaluation *evaluation, bool always)
{
    intptr_t way = (intptr_t)operand(evaluation, 2, true);
    if (evaluation->result == TM_CFI_STEPPED && (always || pop(evaluation) != 0)) {
        jump(evaluation, way);
    }
}

static uintptr_t divide(struct evaluation *evaluation, uint8_t op, uintptr_t left, uintptr_t right)
{
    if (right == 0 || (op == OP_DIV && right == UINTPTR_MAX && left == (uintptr_t)INTPTR_MIN)) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return 0;
    }
    return op == OP_DIV ? (uintptr_t)((intptr_t)left / (intptr_t)right) : left % right;
}

static uintptr_t shift_arithmetic(uintptr_t value, unsigned count)
{
    return (intptr_t)value < 0 ? ~(~value >> count) : value >> count;
}

static uintptr_t compute_binary(struct evaluation *evaluation, uint8_t op, uintptr_t left, uintptr_t right)
{
    intptr_t a = (intptr_t)left;
    intptr_t b = (intptr_t)right;
    switch (op) {
    case OP_AND:
        return left & right;
    case OP_OR:
        return left | right;
    case OP_XOR:
        return left ^ right;
    case OP_PLUS:
        return left + right;
    case OP_MINUS:
        return left - right;
    case OP_MUL:
        return left * right;
    case OP_SHL:
        return right < 64 ? left << right : 0;
    case OP_SHR:
        return right < 64 ? left >> right : 0;
    case OP_SHRA:
        return shift_arithmetic(left, right < 64 ? (unsigned)right : 63);
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_GE:
        return a >= b;
    case OP_GT:
        return a > b;
    case OP_LE:
        return a <= b;
    case OP_LT:
        return a < b;
    default:
        return divide(evaluation, op, left, right);
    }
}

static bool is_binary(uint8_t op)
{
    return (op >= OP_AND && op <= OP_MUL) || op == OP_OR || op == OP_PLUS || (op >= OP_SHL && op <= OP_XOR) ||
           (op >= OP_EQ && op <= OP_NE);
}

static void rotate(struct evaluation *evaluation, unsigned count)
{
    if (evaluation->depth < count) {
        fail(evaluation, TM_CFI_UNREADABLE);
        return;
    }
    uintptr_t *top = &evaluation->stack[evaluation->depth - 1];
    uintptr_t moved = *top;
    for (unsigned i = 1; i < count; i++) {
        top[1 - (int)i] = top[-(int)i];
    }
    top[1 - (int)count] = moved;
}

static void execute_unary(struct evaluation *evaluation, uint8_t op)
{
    uintptr_t value = pop(evaluation);
    if (op == OP_NOT) {
        push(evaluation, ~value);
    } else if (op == OP_NEG || (intptr_t)value < 0) {
        push(evaluation, 0 - value);
    } else {
        push(evaluation, value);
    }
}

static void execute_other(struct evaluation *evaluation, uint8_t op)
{
    switch (op) {
    case OP_ADDRESS:
        push(evaluation, operand(evaluation, 8, false));
        break;
    case OP_CONSTU:
        push(evaluation, operand_leb128(evaluation, false));
        break;
    case OP_CONSTS:
        push(evaluation, operand_leb128(evaluation, true));
        break;
    case OP_DUP:
        pick(evaluation, 0);
        break;
    case OP_OVER:
        pick(evaluation, 1);
        break;
    case OP_PICK:
        pick(evaluation, (unsigned)operand(evaluation, 1, false));
        break;
    case OP_DROP:
        (void)pop(evaluation);
        break;
    case OP_SWAP:
        rotate(evaluation, 2);
        break;
    case OP_ROT:
        rotate(evaluation, 3);
        break;
    case OP_ABS:
    case OP_NEG:
    case OP_NOT:
        execute_unary(evaluation, op);
        break;
    case OP_PLUS_UCONST:
        push(evaluation, pop(evaluation) + operand_leb128(evaluation, false));
        break;
    case OP_DEREF:
        dereference(evaluation, sizeof(uintptr_t));
        break;
    case OP_DEREF_SIZE:
        dereference(evaluation, operand(evaluation, 1, false));
        break;
    case OP_BASEDX:
        based(evaluation, operand_leb128(evaluation, false));
        break;
    case OP_BRANCH:
        branch(evaluation, false);
        break;
    case OP_SKIP:
        branch(evaluation, true);
        break;
    case OP_NOP:
        break;
    default:
        fail(evaluation, TM_CFI_UNREADABLE);
        break;
    }
}

static void execute(struct evaluation *evaluation, uint8_t op)
{
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push(evaluation, op - OP_LIT0);
    } else if (op >= OP_BASED0 && op <= OP_BASED31) {
        based(evaluation, op - OP_BASED0);
    } else if (op >= OP_CONST1U && op <= OP_CONST8S) {
        push(evaluation, operand(evaluation, 1U << ((op - OP_CONST1U) / 2), (op - OP_CONST1U) % 2 != 0));
    } else if (is_binary(op)) {
        uintptr_t right = pop(evaluation);
        uintptr_t left = pop(evaluation);
        if (evaluation->result == TM_CFI_STEPPED) {
            push(evaluation, compute_binary(evaluation, op, left, right));
        }
    } else {
        execute_other(evaluation, op);
    }
}

enum tm_cfi_result tm_expression_evaluate(const uint8_t *bytes, size_t size,
                                          const struct tm_registers *registers, const uintptr_t *cfa,
                                          tm_cfi_read *read, void *context, uintptr_t *ret_value)
{
    struct evaluation evaluation;
    evaluation.start = bytes;
    evaluation.code = (struct tm_cursor){.at = bytes, .end = bytes + size};
    evaluation.registers = registers;
    evaluation.read = read;
    evaluation.context = context;
    evaluation.result = TM_CFI_STEPPED;
    evaluation.depth = 0;
    if (cfa) {
        push(&evaluation, *cfa);
    }
    for (unsigned i = 0; evaluation.code.at < evaluation.code.end; i++) {
        if (i == OPERATION_MAX) {
            return TM_CFI_UNREADABLE;
        }
        execute(&evaluation, *evaluation.code.at++);
    }
    uintptr_t value = pop(&evaluation);
    if (evaluation.code.bad) {
        return TM_CFI_UNREADABLE;
    }
    if (evaluation.result == TM_CFI_STEPPED) {
        *ret_value = value;
    }
    return evaluation.result;
}
