/* test_instruction.c: memory operands of instructions, as the assembler writes them. */
#include <check.h>
#include <stdlib.h>

#include "coreanalyze/command/report/instruction.h"
#include "coreanalyze/memory/memory.h"

#define VALUE(number) (UINT64_C(0x100000) * ((number) + 1))
#define NO_REGISTER   (-1)

struct expected {
    uint64_t address;
    int base, index;
};

struct example {
    const char *assembler;
    uint8_t code[CA_INSTRUCTION_MAX];
    size_t size, count;
    struct expected operands[2];
};

/* clang-format off */
static const struct example examples[] = {
    {"mov (%rax), %rax", {0x48, 0x8b, 0x00}, 3, 1, {{VALUE(CA_RAX), CA_RAX, NO_REGISTER}}},
    {"movzbl 16(%rax), %eax", {0x0f, 0xb6, 0x40, 0x10}, 4, 1, {{VALUE(CA_RAX) + 16, CA_RAX, NO_REGISTER}}},
    {"mov -8(%rbx,%rcx,4), %rax", {0x48, 0x8b, 0x44, 0x8b, 0xf8}, 5, 1,
     {{VALUE(CA_RBX) + 4 * VALUE(CA_RCX) - 8, CA_RBX, CA_RCX}}},
    {"mov (%rax,%r12,4), %eax", {0x42, 0x8b, 0x04, 0xa0}, 4, 1, {{VALUE(CA_RAX) + 4 * VALUE(CA_R12), CA_RAX, CA_R12}}},
    {"mov (%r12), %rax", {0x49, 0x8b, 0x04, 0x24}, 4, 1, {{VALUE(CA_R12), CA_R12, NO_REGISTER}}},
    {"mov 0(%r13), %rax", {0x49, 0x8b, 0x45, 0x00}, 4, 1, {{VALUE(CA_R13), CA_R13, NO_REGISTER}}},
    {"mov 0x12345678(%rbp), %eax", {0x8b, 0x85, 0x78, 0x56, 0x34, 0x12}, 6, 1,
     {{VALUE(CA_RBP) + 0x12345678, CA_RBP, NO_REGISTER}}},
    {"mov 0x1000, %rax", {0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00}, 8, 1, {{0x1000, NO_REGISTER, NO_REGISTER}}},
    {"mov 4(%rip), %rax", {0x48, 0x8b, 0x05, 0x04, 0x00, 0x00, 0x00}, 7, 0, {{0}}},
    {"lea 16(%rax), %rax", {0x48, 0x8d, 0x40, 0x10}, 4, 0, {{0}}},
    {"mov %ebx, %eax", {0x89, 0xd8}, 2, 0, {{0}}},
    {"syscall", {0x0f, 0x05}, 2, 0, {{0}}},
    {"rep movsb", {0xf3, 0xa4}, 2, 2, {{VALUE(CA_RSI), CA_RSI, NO_REGISTER}, {VALUE(CA_RDI), CA_RDI, NO_REGISTER}}},
    {"rep stosq", {0xf3, 0x48, 0xab}, 3, 1, {{VALUE(CA_RDI), CA_RDI, NO_REGISTER}}},
    {"call *(%rax)", {0xff, 0x10}, 2, 2, {{VALUE(CA_RAX), CA_RAX, NO_REGISTER}, {VALUE(CA_RSP) - 8, CA_RSP, NO_REGISTER}}},
    {"jmp *8(%rdx)", {0xff, 0x62, 0x08}, 3, 1, {{VALUE(CA_RDX) + 8, CA_RDX, NO_REGISTER}}},
    {"call *%rdx", {0xff, 0xd2}, 2, 2, {{VALUE(CA_RDX), CA_RDX, NO_REGISTER}, {VALUE(CA_RSP) - 8, CA_RSP, NO_REGISTER}}},
    {"jmp *%r11", {0x41, 0xff, 0xe3}, 3, 1, {{VALUE(CA_R11), CA_R11, NO_REGISTER}}},
    {"inc %edx", {0xff, 0xc2}, 2, 0, {{0}}},
    {"ret", {0xc3}, 1, 1, {{VALUE(CA_RSP), CA_RSP, NO_REGISTER}}},
    {"push %rbx", {0x53}, 1, 1, {{VALUE(CA_RSP) - 8, CA_RSP, NO_REGISTER}}},
    {"leave", {0xc9}, 1, 1, {{VALUE(CA_RBP), CA_RBP, NO_REGISTER}}},
    {"mov %fs:0x28, %rax", {0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0x00, 0x00, 0x00}, 9, 1,
     {{VALUE(CA_FS_BASE) + 0x28, NO_REGISTER, NO_REGISTER}}},
    {"movdqa (%rdi), %xmm0", {0x66, 0x0f, 0x6f, 0x07}, 4, 1, {{VALUE(CA_RDI), CA_RDI, NO_REGISTER}}},
    {"vmovdqu (%rsi), %ymm0", {0xc5, 0xfe, 0x6f, 0x06}, 4, 1, {{VALUE(CA_RSI), CA_RSI, NO_REGISTER}}},
    {"vmovdqu (%r12), %xmm0", {0xc4, 0xc1, 0x7a, 0x6f, 0x04, 0x24}, 6, 1, {{VALUE(CA_R12), CA_R12, NO_REGISTER}}},
    {"vmovdqu64 (%rdi), %ymm16", {0x62, 0xe1, 0xfe, 0x28, 0x6f, 0x07}, 6, 1, {{VALUE(CA_RDI), CA_RDI, NO_REGISTER}}},
    {"pshufb (%rcx), %xmm1", {0x66, 0x0f, 0x38, 0x00, 0x09}, 5, 1, {{VALUE(CA_RCX), CA_RCX, NO_REGISTER}}},
    {"the first bytes of mov -8(%rbx,%rcx,4), %rax", {0x48, 0x8b, 0x44, 0x8b}, 4, 0, {{0}}},
    {"a prefix alone", {0x66}, 1, 0, {{0}}},
    {"nothing", {0}, 0, 0, {{0}}},
};
/* clang-format on */

static void registers_fill(uint64_t *registers)
{
    for (unsigned i = 0; i < CA_REGISTER_COUNT; i++) {
        registers[i] = VALUE(i);
    }
}

START_TEST(operands)
{
    const struct example *example = &examples[_i];
    uint64_t registers[CA_REGISTER_COUNT];
    struct ca_operand found[CA_OPERANDS_MAX];
    registers_fill(registers);
    size_t count = ca_instruction_operands(example->code, example->size, registers, found);
    ck_assert_msg(count == example->count, "%s: %zu operands", example->assembler, count);
    for (size_t i = 0; i < count; i++) {
        const struct expected *expected = &example->operands[i];
        ck_assert_msg(found[i].address == expected->address && found[i].base == expected->base &&
                          found[i].index == expected->index,
                      "%s: 0x%llx, base %d, index %d", example->assembler,
                      (unsigned long long)found[i].address, found[i].base, found[i].index);
    }
}
END_TEST

/* Where a call or jump goes is in the memory, or the register is it. */
START_TEST(targets)
{
    static const struct {
        uint8_t code[3];
        bool holds, is;
    } known[] = {
        {{0xff, 0x10}, true, false},       /* call *(%rax) */
        {{0xff, 0x62, 0x08}, true, false}, /* jmp *8(%rdx) */
        {{0xff, 0xd2}, false, true},       /* call *%rdx */
        {{0x41, 0xff, 0xe3}, false, true}, /* jmp *%r11 */
        {{0xff, 0x30}, false, false},      /* push (%rax) */
        {{0xff, 0x00}, false, false},      /* incl (%rax) */
    };
    uint64_t registers[CA_REGISTER_COUNT];
    registers_fill(registers);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct ca_operand found[CA_OPERANDS_MAX];
        ck_assert_uint_ge(ca_instruction_operands(known[i].code, 3, registers, found), 1);
        ck_assert_msg(found[0].holds_target == known[i].holds && found[0].is_target == known[i].is, "%zu", i);
    }
}
END_TEST

/* Whatever the bytes are: no more than there is room for. */
START_TEST(any_bytes)
{
    uint64_t registers[CA_REGISTER_COUNT];
    struct ca_operand found[CA_OPERANDS_MAX];
    registers_fill(registers);
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)random() % (CA_INSTRUCTION_MAX + 1);
        uint8_t *code = malloc(size + 1); /* as large as it is, for the sanitizers */
        ck_assert_ptr_nonnull(code);
        for (size_t i = 0; i < size; i++) {
            code[i] = (uint8_t)random();
        }
        ck_assert_uint_le(ca_instruction_operands(code, size, registers, found), CA_OPERANDS_MAX);
        free(code);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("instructions");
    TCase *tests = tcase_create("operands");
    tcase_add_loop_test(tests, operands, 0, sizeof examples / sizeof *examples);
    tcase_add_test(tests, targets);
    tcase_add_test(tests, any_bytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
