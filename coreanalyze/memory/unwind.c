/* unwind.c: from a thread's registers up its stack, by libdw's reading of the unwind tables. Only the
 * callers' registers that the tables speak of are followed; nothing is guessed, save that code which is in no
 * object file was called: a call through a wild pointer leaves the caller's address on top of the stack. */
#include "unwind.h"

#include <elf.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

enum {
    FRAMES_MAX = 65536,
    REGISTERS = 17, /* DWARF numbers of x86-64: 0..15 general, 16 the return address */
    DWARF_RSP = 7,
    DWARF_PC = 16,
    STACK_MAX = 16, /* of an expression */
};

/* Registers of one frame, by DWARF number; only those in `known` have a value. */
struct registers {
    uint64_t values[REGISTERS];
    bool known[REGISTERS];
};

struct step {
    struct ca_source *source;
    const struct registers *from;
    uint64_t cfa;
};

static void registers_init(struct registers *registers, const struct ca_thread_state *thread)
{
    static const uint8_t numbers[REGISTERS] = {
        CA_RAX, CA_RDX, CA_RCX, CA_RBX, CA_RSI, CA_RDI, CA_RBP, CA_RSP, CA_R8,
        CA_R9,  CA_R10, CA_R11, CA_R12, CA_R13, CA_R14, CA_R15, CA_RIP,
    };
    for (int i = 0; i < REGISTERS; i++) {
        registers->values[i] = thread->registers[numbers[i]];
        registers->known[i] = true;
    }
}

/* ------------------------------------------------------------------------------------------ expressions */

static bool read_word(struct ca_source *source, uint64_t address, uint64_t *ret_word)
{
    size_t got = 0;
    return ca_source_read_some(source, address, ret_word, sizeof *ret_word, &got, NULL) &&
           got == sizeof *ret_word;
}

static bool push_register(const struct step *step, uint64_t number, uint64_t offset, uint64_t *ret_value)
{
    if (number >= REGISTERS || !step->from->known[number]) {
        return false;
    }
    *ret_value = step->from->values[number] + offset;
    return true;
}

/* Operations that push one value. */
static bool op_push(const struct step *step, const Dwarf_Op *op, uint64_t *ret_value)
{
    if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
        *ret_value = op->atom - DW_OP_lit0;
        return true;
    }
    if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
        return push_register(step, op->atom - DW_OP_breg0, op->number, ret_value);
    }
    switch (op->atom) {
    case DW_OP_bregx:
        return push_register(step, op->number, op->number2, ret_value);
    case DW_OP_call_frame_cfa:
        *ret_value = step->cfa;
        return true;
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        *ret_value = op->number;
        return true;
    default:
        return false;
    }
}

/* Operations on the two topmost values. */
static bool op_binary(unsigned atom, uint64_t left, uint64_t right, uint64_t *ret_value)
{
    switch (atom) {
    case DW_OP_plus:
        *ret_value = left + right;
        return true;
    case DW_OP_minus:
        *ret_value = left - right;
        return true;
    case DW_OP_and:
        *ret_value = left & right;
        return true;
    case DW_OP_or:
        *ret_value = left | right;
        return true;
    case DW_OP_shl:
        *ret_value = right < 64 ? left << right : 0;
        return true;
    case DW_OP_mul:
        *ret_value = left * right;
        return true;
    case DW_OP_ge:
        *ret_value = (int64_t)left >= (int64_t)right;
        return true;
    default:
        return false;
    }
}

static bool evaluate(const struct step *step, const Dwarf_Op *ops, size_t count, uint64_t *ret_value)
{
    uint64_t stack[STACK_MAX];
    size_t depth = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        if (ops[i].atom == DW_OP_stack_value) {
            continue;
        }
        if (depth > 0 && ops[i].atom == DW_OP_plus_uconst) {
            stack[depth - 1] += ops[i].number;
        } else if (depth > 0 && ops[i].atom == DW_OP_deref) {
            if (!read_word(step->source, stack[depth - 1], &stack[depth - 1])) {
                return false;
            }
        } else if (depth < STACK_MAX && op_push(step, &ops[i], &value)) {
            stack[depth++] = value;
        } else if (depth > 1 && op_binary(ops[i].atom, stack[depth - 2], stack[depth - 1], &value)) {
            stack[--depth - 1] = value;
        } else {
            return false;
        }
    }
    *ret_value = depth ? stack[depth - 1] : 0;
    return depth > 0;
}

/* ------------------------------------------------------------------------------------------------ steps */

/* The caller's value of a register. */
static void register_step(const struct step *step, Dwarf_Frame *frame, int number, struct registers *to)
{
    Dwarf_Op memory[3], *ops;
    size_t count;
    uint64_t value;
    to->known[number] = false;
    if (dwarf_frame_register(frame, number, memory, &ops, &count) != 0) {
        return;
    }
    if (count == 0) {
        to->known[number] = ops == NULL && step->from->known[number]; /* else: undefined */
        to->values[number] = step->from->values[number];
        return;
    }
    bool is_value = ops[count - 1].atom == DW_OP_stack_value;
    if (evaluate(step, ops, count, &value) && (is_value || read_word(step->source, value, &value))) {
        to->known[number] = true;
        to->values[number] = value;
    }
}

/* The frame that describes the code at `pc`; NULL = no table does. Caller frees with free(). */
static Dwarf_Frame *frame_find(const struct ca_image *image, uint64_t pc)
{
    for (unsigned number = 0; number < 2; number++) {
        Dwarf_Frame *frame = NULL;
        Dwarf_CFI *cfi = ca_symbolizer_cfi(image->symbolizer, image->index, number);
        if (cfi && dwarf_cfi_addrframe(cfi, pc - image->module.bias, &frame) == 0) {
            return frame;
        }
    }
    return NULL;
}

/* From one frame to its caller's. *ret_interrupted: a signal interrupted the caller. */
static bool frame_step(struct ca_memory *memory, uint64_t looked_up, const struct registers *from,
                       struct registers *to, bool *ret_interrupted)
{
    const struct ca_image *image = ca_memory_image_at(memory, looked_up);
    struct step step = {.source = ca_memory_source(memory), .from = from};
    Dwarf_Frame *frame = image ? frame_find(image, looked_up) : NULL;
    Dwarf_Op *ops;
    size_t count;
    if (!frame) {
        return false;
    }
    bool good = dwarf_frame_cfa(frame, &ops, &count) == 0 && evaluate(&step, ops, count, &step.cfa);
    for (int i = 0; good && i < REGISTERS; i++) {
        register_step(&step, frame, i, to);
    }
    int number = dwarf_frame_info(frame, NULL, NULL, ret_interrupted);
    free(frame);
    if (!good || number < 0 || number >= REGISTERS || !to->known[number]) {
        return false;
    }
    to->values[DWARF_PC] = to->values[number];
    to->known[DWARF_PC] = true;
    if (!*ret_interrupted || !to->known[DWARF_RSP]) {
        to->values[DWARF_RSP] = step.cfa;
        to->known[DWARF_RSP] = true;
    }
    return to->values[DWARF_PC] != 0;
}

/* As if a call had just come here. */
static bool call_step(struct ca_memory *memory, const struct registers *from, struct registers *to)
{
    *to = *from;
    to->values[DWARF_RSP] += 8;
    return !ca_memory_image_at(memory, from->values[DWARF_PC]) &&
           read_word(ca_memory_source(memory), from->values[DWARF_RSP], &to->values[DWARF_PC]) &&
           ca_memory_image_at(memory, to->values[DWARF_PC]);
}

bool ca_unwind(struct ca_memory *memory, const struct ca_thread_state *thread, struct ca_unwound *unwound,
               struct ca_error **ret_error)
{
    size_t capacity = 0;
    if (!CA_GROW(unwound->frames, capacity, 1)) {
        return ca_fail_memory(ret_error);
    }
    if (ca_source_process(ca_memory_source(memory))->machine != EM_X86_64) { /* the rules here are x86-64's */
        unwound->frames[0] = (struct ca_stack_frame){thread->pc, thread->sp, false};
        unwound->count = thread->pc != 0;
        return true;
    }
    if (thread->register_count <= CA_RSP) {
        return true;
    }
    struct registers now, next;
    bool is_return = false, interrupted = false;
    registers_init(&now, thread);
    while (unwound->count < FRAMES_MAX) {
        if (!CA_GROW(unwound->frames, capacity, unwound->count + 1)) {
            return ca_fail_memory(ret_error);
        }
        uint64_t pc = now.values[DWARF_PC], sp = now.values[DWARF_RSP];
        unwound->frames[unwound->count++] = (struct ca_stack_frame){pc, sp, is_return};
        interrupted = false;
        bool stepped = frame_step(memory, pc - is_return, &now, &next, &interrupted) ||
                       (unwound->count == 1 && call_step(memory, &now, &next));
        if (!stepped || (next.values[DWARF_RSP] <= sp && !interrupted)) {
            break;
        }
        is_return = !interrupted;
        now = next;
    }
    return true;
}
