/* instruction.c: prefixes, opcode, ModRM, SIB, displacement (Intel SDM volume 2, chapter 2). What an
 * instruction does is not of interest, nor what comes after its address bytes. */
#include "instruction.h"

#include <string.h>

#include "../../memory/memory.h"

enum { RSP = 4, RBP = 5, RSI = 6, RDI = 7, NOTHING = -1 }; /* numbers in the encoding */

struct decoding {
    const uint8_t *code;
    size_t size, at;
    const uint64_t *registers;
    unsigned map; /* 0 one-byte opcodes, 1 0F, 2 0F38, 3 0F3A and all others */
    uint8_t opcode;
    bool rex_x, rex_b; /* fourth bits of index and base */
    bool evex;
    bool fs, gs;
    bool failed; /* the bytes have ended */
    struct ca_operand *operands;
    size_t count;
};

static uint8_t next_byte(struct decoding *decoding)
{
    if (decoding->at >= decoding->size) {
        decoding->failed = true;
        return 0;
    }
    return decoding->code[decoding->at++];
}

static int register_of(int number)
{
    static const uint8_t registers[16] = {
        CA_RAX, CA_RCX, CA_RDX, CA_RBX, CA_RSP, CA_RBP, CA_RSI, CA_RDI,
        CA_R8,  CA_R9,  CA_R10, CA_R11, CA_R12, CA_R13, CA_R14, CA_R15,
    };
    return number == NOTHING ? NOTHING : registers[number];
}

static void operand_add(struct decoding *decoding, int base, int index, unsigned scale, uint64_t offset)
{
    if (decoding->failed || decoding->count == CA_OPERANDS_MAX) {
        return;
    }
    struct ca_operand operand = {.base = register_of(base), .index = register_of(index), .address = offset};
    if (operand.base != NOTHING) {
        operand.address += decoding->registers[operand.base];
    }
    if (operand.index != NOTHING) {
        operand.address += decoding->registers[operand.index] << scale;
    }
    operand.address += decoding->fs   ? decoding->registers[CA_FS_BASE]
                       : decoding->gs ? decoding->registers[CA_GS_BASE]
                                      : 0;
    decoding->operands[decoding->count++] = operand;
}

/* ---------------------------------------------------------------------------------------------- opcodes */

static bool is_legacy_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    return memchr(prefixes, byte, sizeof prefixes) != NULL;
}

/* C4 and C5: two or three bytes in place of REX and of the escapes. R, X and B are inverted. */
static void vex_read(struct decoding *decoding, uint8_t first)
{
    uint8_t second = next_byte(decoding);
    decoding->map = 1;
    if (first == 0xc4) {
        decoding->map = second & 0x1f;
        decoding->rex_x = !(second & 0x40);
        decoding->rex_b = !(second & 0x20);
        next_byte(decoding);
    }
}

static void evex_read(struct decoding *decoding)
{
    uint8_t second = next_byte(decoding);
    decoding->map = second & 7;
    decoding->rex_x = !(second & 0x40);
    decoding->rex_b = !(second & 0x20);
    decoding->evex = true;
    next_byte(decoding);
    next_byte(decoding);
}

static void opcode_read(struct decoding *decoding)
{
    uint8_t byte = next_byte(decoding);
    while (is_legacy_prefix(byte) && !decoding->failed) {
        decoding->fs = decoding->fs || byte == 0x64;
        decoding->gs = decoding->gs || byte == 0x65;
        byte = next_byte(decoding);
    }
    if ((byte & 0xf0) == 0x40) {
        decoding->rex_x = byte & 2;
        decoding->rex_b = byte & 1;
        byte = next_byte(decoding);
    }
    if (byte == 0xc4 || byte == 0xc5) {
        vex_read(decoding, byte);
        byte = next_byte(decoding);
    } else if (byte == 0x62) {
        evex_read(decoding);
        byte = next_byte(decoding);
    } else if (byte == 0x0f) {
        decoding->map = 1;
        byte = next_byte(decoding);
        if (byte == 0x38 || byte == 0x3a) {
            decoding->map = byte == 0x38 ? 2 : 3;
            byte = next_byte(decoding);
        }
    }
    decoding->opcode = byte;
}

static bool has_modrm_one_byte(uint8_t opcode)
{
    if (opcode < 0x40) {
        return (opcode & 7) < 4;
    }
    if (opcode >= 0x80 && opcode <= 0x8f) {
        return true;
    }
    if (opcode >= 0xd8 && opcode <= 0xdf) {
        return true;
    }
    static const uint8_t others[] = {0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0,
                                     0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff};
    return memchr(others, opcode, sizeof others) != NULL;
}

static bool has_modrm_0f(uint8_t opcode)
{
    bool jumps = (opcode & 0xf0) == 0x80, swaps = opcode >= 0xc8 && opcode <= 0xcf;
    static const uint8_t without[] = {0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x30, 0x31, 0x32, 0x33,
                                      0x34, 0x35, 0x36, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa};
    return !jumps && !swaps && !memchr(without, opcode, sizeof without);
}

static bool has_modrm(const struct decoding *decoding)
{
    return decoding->map == 0   ? has_modrm_one_byte(decoding->opcode)
           : decoding->map == 1 ? has_modrm_0f(decoding->opcode)
                                : true;
}

/* --------------------------------------------------------------------------------------------- operands */

static uint64_t displacement_read(struct decoding *decoding, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint32_t)next_byte(decoding) << (8 * i);
    }
    return bytes == 1 ? (uint64_t)(int64_t)(int8_t)value : (uint64_t)(int64_t)(int32_t)value;
}

static void modrm_read(struct decoding *decoding, uint8_t *ret_extension)
{
    uint8_t modrm = next_byte(decoding);
    unsigned mode = modrm >> 6;
    int base = modrm & 7, index = NOTHING;
    unsigned scale = 0, bytes = mode == 1 ? 1 : mode == 2 ? 4 : 0;
    *ret_extension = modrm >> 3 & 7;
    bool goes =
        decoding->map == 0 && decoding->opcode == 0xff && (*ret_extension == 2 || *ret_extension == 4);
    if (mode == 3 && goes) {
        operand_add(decoding, base | (decoding->rex_b ? 8 : 0), NOTHING, 0, 0);
        decoding->operands[0].is_target = true;
    }
    if (mode == 3 || (mode == 0 && base == RBP)) {
        return; /* a register; relative to the instruction pointer */
    }
    if (base == RSP) {
        uint8_t sib = next_byte(decoding);
        scale = sib >> 6;
        index = (sib >> 3 & 7) | (decoding->rex_x ? 8 : 0);
        index = index == RSP ? NOTHING : index;
        base = sib & 7;
        if (mode == 0 && base == RBP) {
            base = NOTHING;
            bytes = 4;
        }
    }
    if (decoding->evex && mode == 1) {
        return;
    }
    uint64_t offset = bytes ? displacement_read(decoding, bytes) : 0;
    bool is_address = decoding->map != 0 || decoding->opcode != 0x8d; /* lea touches nothing */
    if (is_address) {
        operand_add(decoding, base == NOTHING ? NOTHING : base | (decoding->rex_b ? 8 : 0), index, scale,
                    offset);
    }
    if (goes && decoding->count) {
        decoding->operands[0].holds_target = true;
    }
}

/* Operands that the opcode alone names: of string instructions, and the stack. */
static void implicit_add(struct decoding *decoding, uint8_t extension)
{
    uint8_t opcode = decoding->opcode;
    if (decoding->map != 0) {
        return;
    }
    bool loads = opcode == 0xa4 || opcode == 0xa5 || opcode == 0xa6 || opcode == 0xa7 || opcode == 0xac ||
                 opcode == 0xad;
    bool stores = (opcode >= 0xa4 && opcode <= 0xa7) || opcode == 0xaa || opcode == 0xab || opcode == 0xae ||
                  opcode == 0xaf;
    bool pops = (opcode >= 0x58 && opcode <= 0x5f) || opcode == 0xc2 || opcode == 0xc3 || opcode == 0xc9 ||
                opcode == 0x9d || opcode == 0x8f;
    bool pushes = (opcode >= 0x50 && opcode <= 0x57) || opcode == 0x68 || opcode == 0x6a || opcode == 0xe8 ||
                  opcode == 0x9c || (opcode == 0xff && (extension == 2 || extension == 6));
    if (loads) {
        operand_add(decoding, RSI, NOTHING, 0, 0);
    }
    if (stores) {
        decoding->fs = decoding->gs = false;
        operand_add(decoding, RDI, NOTHING, 0, 0);
    }
    if (pops || pushes) {
        decoding->fs = decoding->gs = false;
        operand_add(decoding, opcode == 0xc9 ? RBP : RSP, NOTHING, 0, pushes ? (uint64_t)-8 : 0);
    }
}

size_t ca_instruction_operands(const uint8_t *code, size_t size, const uint64_t *registers,
                               struct ca_operand operands[CA_OPERANDS_MAX])
{
    struct decoding decoding = {.code = code, .size = size, .registers = registers, .operands = operands};
    uint8_t extension = 0;
    opcode_read(&decoding);
    if (!decoding.failed && has_modrm(&decoding)) {
        modrm_read(&decoding, &extension);
    }
    if (!decoding.failed) {
        implicit_add(&decoding, extension);
    }
    return decoding.failed ? 0 : decoding.count;
}
