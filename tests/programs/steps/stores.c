#include "stores.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracee.h"

enum { NO_REGISTER = -1, IP = 16 };

struct instruction {
    uint8_t store; /* enum store */
    int8_t base, index;
    uint8_t scale;
    int64_t displacement; /* with base IP: the address itself */
};

static struct instruction *instructions; /* by offset */
static size_t instruction_count;

static const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
                                    "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};

static int register_number(const char *name, size_t length)
{
    for (int i = 0; i <= IP; i++) {
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0) {
            return i;
        }
    }
    return NO_REGISTER;
}

static uint64_t register_value(const struct user_regs_struct *r, int number)
{
    const uint64_t values[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp,
                               r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    return number == NO_REGISTER ? 0 : values[number];
}

/* Instructions whose memory operand is read although it comes last, or is none. */
static bool only_reads(const char *mnemonic)
{
    static const char *const prefixes[] = {"cmp",  "test",     "lea",   "nop",  "jmp",    "call",
                                           "push", "prefetch", "ucomi", "comi", "div",    "idiv",
                                           "mul",  "bt ",      "endbr", "ret",  "notrack"};
    if (strncmp(mnemonic, "cmpxchg", 7) == 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(mnemonic, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool exchanges(const char *mnemonic)
{
    return strncmp(mnemonic, "xchg", 4) == 0 || strncmp(mnemonic, "xadd", 4) == 0;
}

/* DISPLACEMENT(BASE,INDEX,SCALE); objdump says what a base of %rip gives in a comment. */
static bool operand_read(const char *operand, const char *comment, struct instruction *instruction)
{
    const char *open = strchr(operand, '('), *close = open ? strchr(open, ')') : NULL;
    if (!close) {
        return false;
    }
    char *end;
    instruction->displacement = (int64_t)strtoull(operand, &end, 0);
    if (end != open) {
        return false;
    }
    instruction->base = instruction->index = NO_REGISTER;
    const char *at = open + 1;
    if (*at == '%') {
        size_t length = strcspn(at + 1, ",)");
        instruction->base = (int8_t)register_number(at + 1, length);
        if (instruction->base == NO_REGISTER) {
            return false;
        }
        at += 1 + length;
    }
    instruction->scale = 1;
    if (*at == ',') {
        size_t length = strcspn(at + 2, ",)");
        instruction->index = (int8_t)register_number(at + 2, length);
        at += 2 + length;
        if (instruction->index == NO_REGISTER || instruction->index == IP) {
            return false;
        }
        instruction->scale = *at == ',' ? (uint8_t)atoi(at + 1) : 1;
    }
    if (instruction->base == IP) {
        instruction->displacement = comment ? (int64_t)strtoull(comment + 1, NULL, 16) : 0;
        return comment != NULL;
    }
    return true;
}

/* The beginning of the last operand. */
static const char *last_operand(const char *operands)
{
    const char *last = operands;
    int depth = 0;
    for (const char *at = operands; *at; at++) {
        depth += (*at == '(') - (*at == ')');
        if (*at == ',' && depth == 0) {
            last = at + 1;
        }
    }
    return last;
}

static enum store understand(char *text, struct instruction *instruction)
{
    char *comment = strchr(text, '#');
    if (comment) {
        *comment++ = '\0';
    }
    char *target = strchr(text, '<');
    if (target) {
        *target = '\0';
    }
    while (strncmp(text, "lock ", 5) == 0 || strncmp(text, "data16 ", 7) == 0 ||
           strncmp(text, "cs ", 3) == 0) {
        text = strchr(text, ' ') + 1;
    }
    if (strncmp(text, "rep", 3) == 0 || strncmp(text, "syscall", 7) == 0 || strncmp(text, "xsave", 5) == 0 ||
        strncmp(text, "fxsave", 6) == 0) {
        return STORE_UNKNOWN;
    }
    if (only_reads(text) || !strchr(text, ' ')) {
        return STORE_NONE;
    }
    char *operands = strchr(text, ' ');
    while (isspace((unsigned char)*operands)) {
        operands++;
    }
    for (size_t length = strlen(operands); length && isspace((unsigned char)operands[length - 1]); length--) {
        operands[length - 1] = '\0';
    }
    const char *last = exchanges(text) && operands[0] != '%' ? operands : last_operand(operands);
    if (strncmp(last, "%fs:", 4) == 0 || !strchr(last, '(')) {
        return last[0] == '%' || last[0] == '$'  ? STORE_NONE
               : isdigit((unsigned char)last[0]) ? STORE_NONE
                                                 : STORE_UNKNOWN;
    }
    return operand_read(last, comment, instruction) ? STORE_AT : STORE_UNKNOWN;
}

static void instruction_add(uint64_t offset, char *text)
{
    if (offset >= instruction_count) {
        size_t count = 2 * (offset + 1000);
        instructions = realloc(instructions, count * sizeof(*instructions));
        for (size_t i = instruction_count; i < count; i++) {
            instructions[i] = (struct instruction){.store = STORE_UNKNOWN};
        }
        instruction_count = count;
    }
    enum store store = understand(text, &instructions[offset]);
    instructions[offset].store = (uint8_t)store;
}

void stores_read(const char *path)
{
    char command[700], line[500];
    snprintf(command, sizeof(command), "objdump -d --no-show-raw-insn '%s'", path);
    FILE *pipe = popen(command, "r");
    size_t count = 0;
    while (pipe && fgets(line, sizeof(line), pipe)) {
        char *end;
        line[strcspn(line, "\n")] = '\0';
        uint64_t offset = strtoull(line, &end, 16);
        if (end != line && end[0] == ':' && end[1] == '\t') {
            instruction_add(offset, end + 2);
            count++;
        }
    }
    if (!pipe || pclose(pipe) != 0 || count < 100) {
        give_up("objdump says nothing of %s", path);
    }
}

enum store store_of(uint64_t offset, const struct user_regs_struct *registers, uint64_t object_start,
                    uint64_t *ret_address)
{
    if (offset >= instruction_count) {
        return STORE_UNKNOWN;
    }
    const struct instruction *instruction = &instructions[offset];
    if (instruction->store == STORE_AT && instruction->base == IP) {
        *ret_address = object_start + (uint64_t)instruction->displacement;
    } else if (instruction->store == STORE_AT) {
        *ret_address = (uint64_t)instruction->displacement + register_value(registers, instruction->base) +
                       register_value(registers, instruction->index) * instruction->scale;
    }
    return instruction->store;
}
