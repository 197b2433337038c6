/* Call frame information: hand-assembled .eh_frame sections, malformed ones, expressions, and libdw as an
 * oracle for every module that is loaded here. */
#include <check.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tracer/walk/cfi.h"
#include "tracer/walk/expression.h"

#define RBX 3
#define RBP 6
#define RSP 7
#define RIP 16

/* ---------------------------------------------------------------------------------------------------------------
 * An image: .eh_frame_hdr and .eh_frame, built so that it ends where memory ends
 */
#define IMAGE_MAX 4096
#define CODE_SIZE 0x100

struct image {
    uint8_t bytes[IMAGE_MAX];
    size_t size;
    uintptr_t base; /* where it will stand */
};

struct section {
    const char *augmentation;
    int version;          /* of the CIE */
    int pointer_encoding; /* 'R' */
    int table_encoding;   /* of the header's table; 0xff = no table */
    int count_encoding;
    const uint8_t *initial; /* instructions of the CIE after the usual ones */
    size_t initial_size;
    const uint8_t *program; /* instructions of each FDE */
    size_t program_size;
    int fde_count; /* the i-th describes CODE_SIZE bytes from code + 2 * i * CODE_SIZE */
    uintptr_t code;
    int extended_length; /* 64-bit lengths */
};

static void put(struct image *image, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        image->bytes[image->size++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_uleb(struct image *image, uint64_t value)
{
    do {
        put(image, (value & 0x7f) | (value > 0x7f ? 0x80 : 0), 1);
        value >>= 7;
    } while (value != 0);
}

static void put_sleb(struct image *image, int64_t value)
{
    for (;;) {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        if ((value == 0 && (byte & 0x40) == 0) || (value == -1 && (byte & 0x40) != 0)) {
            put(image, byte, 1);
            return;
        }
        put(image, byte | 0x80, 1);
    }
}

static void put_bytes(struct image *image, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        put(image, bytes[i], 1);
    }
}

static uintptr_t here(const struct image *image)
{
    return image->base + image->size;
}

/* A pointer in an encoding; an indirect one points to a word that the image begins with. */
static void put_pointer(struct image *image, int encoding, uintptr_t value)
{
    if ((encoding & 0x80) != 0) {
        value = image->base;
    }
    if ((encoding & 0x70) == 0x50) {
        while (here(image) % 8 != 0) {
            put(image, 0, 1);
        }
    }
    if ((encoding & 0x70) == 0x10) {
        value -= here(image);
    } else if ((encoding & 0x70) == 0x30) {
        value -= image->base + 8;
    }
    switch (encoding & 0x0f) {
    case 0x01:
        put_uleb(image, value);
        break;
    case 0x09:
        put_sleb(image, (int64_t)value);
        break;
    case 0x02:
    case 0x0a:
        put(image, value, 2);
        break;
    case 0x03:
    case 0x0b:
        put(image, value, 4);
        break;
    default:
        put(image, value, 8);
        break;
    }
}

static size_t length_begin(struct image *image, const struct section *section)
{
    if (section->extended_length) {
        put(image, UINT32_MAX, 4);
    }
    size_t at = image->size;
    put(image, 0, section->extended_length ? 8 : 4);
    return at;
}

static void length_end(struct image *image, size_t at, const struct section *section)
{
    size_t end = image->size;
    unsigned size = section->extended_length ? 8 : 4;
    image->size = at;
    put(image, end - at - size, size);
    image->size = end;
}

/* Code alignment 1, data alignment -8, return address in rip, CFA = rsp + 8, return address at CFA - 8. */
static size_t cie_put(struct image *image, const struct section *section)
{
    size_t start = image->size;
    size_t length = length_begin(image, section);
    put(image, 0, 4);
    put(image, (uint64_t)section->version, 1);
    put_bytes(image, (const uint8_t *)section->augmentation, strlen(section->augmentation) + 1);
    if (strcmp(section->augmentation, "eh") == 0) {
        put(image, 0, 8);
    }
    if (section->version == 4) {
        put(image, 8, 1);
        put(image, 0, 1);
    }
    put_uleb(image, 1);
    put_sleb(image, -8);
    put_uleb(image, RIP);
    if (section->augmentation[0] == 'z') {
        struct image data = {.size = 0};
        for (const char *letter = section->augmentation + 1; *letter; letter++) {
            if (*letter == 'R') {
                put(&data, (uint64_t)section->pointer_encoding, 1);
            } else if (*letter == 'L') {
                put(&data, 0x1b, 1);
            } else if (*letter == 'P') {
                put(&data, 0x9b, 1);
                put(&data, 0x1234, 4);
            }
        }
        put_uleb(image, data.size);
        put_bytes(image, data.bytes, data.size);
    }
    static const uint8_t usual[] = {0x0c, RSP, 8, 0x80 | RIP, 1};
    put_bytes(image, usual, sizeof(usual));
    put_bytes(image, section->initial, section->initial_size);
    length_end(image, length, section);
    return start;
}

static void fde_put(struct image *image, const struct section *section, size_t cie, int index)
{
    uintptr_t code = section->code + 2 * CODE_SIZE * (uintptr_t)index;
    size_t length = length_begin(image, section);
    put(image, image->size - cie, 4);
    put_pointer(image, section->pointer_encoding, code);
    int format = section->pointer_encoding & 0x0f;
    put_pointer(image, format, CODE_SIZE);
    if (section->augmentation[0] == 'z') {
        put_uleb(image, 0);
    }
    put_bytes(image, section->program, section->program_size);
    length_end(image, length, section);
}

/* Layout: the word for indirect pointers, header, frames. The header is at base + 8. */
static void image_lay_out(struct image *image, const struct section *section, uintptr_t base,
                          const size_t *fdes_at, size_t frames_at, size_t *ret_fdes, size_t *ret_frames)
{
    image->size = 0;
    image->base = base;
    put(image, section->code, 8);
    put(image, 1, 1);
    put(image, 0x1b, 1);
    put(image, (uint64_t)section->count_encoding, 1);
    put(image, (uint64_t)section->table_encoding, 1);
    put_pointer(image, 0x1b, base + frames_at);
    if (section->count_encoding != 0xff) {
        put_pointer(image, section->count_encoding, (uintptr_t)section->fde_count);
    }
    for (int i = 0; section->table_encoding != 0xff && i < section->fde_count; i++) {
        put_pointer(image, section->table_encoding, section->code + 2 * CODE_SIZE * (uintptr_t)i);
        put_pointer(image, section->table_encoding, base + fdes_at[i]);
    }
    *ret_frames = image->size;
    size_t cie = cie_put(image, section);
    for (int i = 0; i < section->fde_count; i++) {
        ret_fdes[i] = image->size;
        fde_put(image, section, cie, i);
    }
    put(image, 0, 4);
    while (image->size % 8 != 0) {
        put(image, 0, 1); /* so that padding inside does not depend on the base */
    }
}

/* Memory whose last byte is followed by a page that cannot be read. */
static uint8_t *edge(void)
{
    static uint8_t *end;
    if (!end) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t size = IMAGE_MAX + page - IMAGE_MAX % page;
        /* within 2 GiB of nothing in particular, but low: 4-byte absolute encodings reach it */
        uint8_t *memory = mmap((void *)0x41000000, size + page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        ck_assert(memory != MAP_FAILED);
        ck_assert_int_eq(mprotect(memory + size, page, PROT_NONE), 0);
        end = memory + size;
    }
    return end;
}

static struct tm_eh_module module_place(const struct image *image)
{
    uint8_t *start = edge() - image->size;
    memcpy(start, image->bytes, image->size);
    return (struct tm_eh_module){.start = start, .end = edge(), .header = start + 8};
}

/* Until nothing moves: the size decides where it begins, and that may change the size of LEB128 pointers. */
static struct tm_eh_module module_build(const struct section *section, struct image *image)
{
    size_t fdes[16] = {0};
    size_t frames = 0;
    uintptr_t base = 0x41000000;
    for (int i = 0; i < 8; i++) {
        image_lay_out(image, section, base, fdes, frames, fdes, &frames);
        base = (uintptr_t)edge() - image->size;
    }
    ck_assert_uint_eq(image->base, base);
    return module_place(image);
}

static struct section section_plain(const uint8_t *program, size_t size)
{
    return (struct section){.augmentation = "zR",
                            .version = 1,
                            .pointer_encoding = 0x1b,
                            .table_encoding = 0x3b,
                            .count_encoding = 0x03,
                            .program = program,
                            .program_size = size,
                            .fde_count = 3,
                            .code = 0x41100000};
}

/* ---------------------------------------------------------------------------------------------------------------
 * Instructions
 */
struct expected {
    int column;
    int kind;
    int value; /* for expressions: the first byte of the block */
};

struct instruction_case {
    const char *name;
    uint8_t program[48];
    size_t size;
    unsigned at; /* offset of the wanted row in the code */
    int cfa_register;
    int cfa_value;
    struct expected expected[3];
};

#define E TM_CFI_CFA_EXPRESSION

static const struct instruction_case instruction_cases[] = {
    {"nothing", {0x00}, 1, 5, RSP, 8, {{RIP, TM_CFI_OFFSET, -8}, {RBP, TM_CFI_SAME, 0}}},
    {"advance before", {0x44, 0x0e, 16}, 3, 3, RSP, 8, {{0}}},
    {"advance at", {0x44, 0x0e, 16}, 3, 4, RSP, 16, {{0}}},
    {"advance1", {0x02, 0x80, 0x0e, 16}, 4, 0x80, RSP, 16, {{0}}},
    {"advance1 before", {0x02, 0x80, 0x0e, 16}, 4, 0x7f, RSP, 8, {{0}}},
    {"advance2", {0x03, 0x81, 0x00, 0x0e, 16}, 5, 0x81, RSP, 16, {{0}}},
    {"advance4", {0x04, 0x82, 0, 0, 0, 0x0e, 16}, 7, 0x82, RSP, 16, {{0}}},
    {"advance4 before", {0x04, 0x82, 0, 0, 0, 0x0e, 16}, 7, 0x81, RSP, 8, {{0}}},
    {"advance8", {0x1d, 0x83, 0, 0, 0, 0, 0, 0, 0, 0x0e, 16}, 11, 0x83, RSP, 16, {{0}}},
    {"offset", {0x86, 2}, 2, 0, RSP, 8, {{RBP, TM_CFI_OFFSET, -16}}},
    {"offset extended", {0x05, RBP, 3}, 3, 0, RSP, 8, {{RBP, TM_CFI_OFFSET, -24}}},
    {"offset extended signed", {0x11, RBP, 0x7e}, 3, 0, RSP, 8, {{RBP, TM_CFI_OFFSET, 16}}},
    {"gnu negative offset", {0x2f, RBP, 2}, 3, 0, RSP, 8, {{RBP, TM_CFI_OFFSET, 16}}},
    {"value offset", {0x14, RBP, 2}, 3, 0, RSP, 8, {{RBP, TM_CFI_VALUE_OFFSET, -16}}},
    {"value offset signed", {0x15, RBP, 0x7f}, 3, 0, RSP, 8, {{RBP, TM_CFI_VALUE_OFFSET, 8}}},
    {"restore", {0x80 | RIP, 4, 0xc0 | RIP}, 3, 0, RSP, 8, {{RIP, TM_CFI_OFFSET, -8}}},
    {"restore extended", {0x83, 4, 0x06, RBX}, 4, 0, RSP, 8, {{RBX, TM_CFI_SAME, 0}}},
    {"undefined", {0x07, RIP}, 2, 0, RSP, 8, {{RIP, TM_CFI_UNDEFINED, 0}}},
    {"same value", {0x83, 4, 0x08, RBX}, 4, 0, RSP, 8, {{RBX, TM_CFI_SAME, 0}}},
    {"register", {0x09, RBP, RBX}, 3, 0, RSP, 8, {{RBP, TM_CFI_REGISTER, RBX}}},
    {"cfa", {0x0c, RBP, 0x80, 0x01}, 4, 0, RBP, 128, {{0}}},
    {"cfa signed", {0x12, RBP, 0x7e}, 3, 0, RBP, 16, {{0}}},
    {"cfa register", {0x0d, RBP}, 2, 0, RBP, 8, {{0}}},
    {"cfa offset", {0x0e, 0xa0, 0x01}, 3, 0, RSP, 160, {{0}}},
    {"cfa offset signed", {0x13, 0x7c}, 2, 0, RSP, 32, {{0}}},
    {"cfa expression", {0x0f, 3, 0x76, 0x78, 0x06}, 5, 0, E, 0x76, {{0}}},
    {"expression", {0x10, RBP, 2, 0x76, 0x00}, 5, 0, RSP, 8, {{RBP, TM_CFI_EXPRESSION, 0x76}}},
    {"value expression", {0x16, RBX, 2, 0x77, 0x08}, 5, 0, RSP, 8, {{RBX, TM_CFI_VALUE_EXPRESSION, 0x77}}},
    {"args size", {0x2e, 0x90, 0x01, 0x0e, 16}, 5, 0, RSP, 16, {{0}}},
    {"vector register", {0x05, 33, 2, 0x0e, 16}, 5, 0, RSP, 16, {{0}}},
    {"remember, restore",
     {0x0e, 16, 0x86, 2, 0x0a, 0x0e, 8, 0xc6, 0x41, 0x0b},
     10,
     1,
     RSP,
     16,
     {{RBP, TM_CFI_OFFSET, -16}}},
    {"remember only", {0x0e, 16, 0x0a, 0x0e, 8, 0x41, 0x0b}, 7, 0, RSP, 8, {{0}}},
    {"nested", {0x0e, 16, 0x0a, 0x0e, 24, 0x0a, 0x0e, 32, 0x0b, 0x41, 0x0b}, 11, 0, RSP, 24, {{0}}},
    {"nested, both", {0x0e, 16, 0x0a, 0x0e, 24, 0x0a, 0x0e, 32, 0x0b, 0x41, 0x0b}, 11, 1, RSP, 16, {{0}}},
    {"restore takes the CFA back", {0x0a, 0x0c, RBP, 16, 0x0b}, 5, 0, RSP, 8, {{0}}},
    {"expression, then a register", {0x0f, 1, 0x30, 0x0c, RBP, 16}, 6, 0, RBP, 16, {{0}}},
};

static void row_check(const struct tm_cfi_row *row, const struct instruction_case *wanted)
{
    size_t size;
    int cfa_value = row->rules.cfa_value;
    if (row->rules.cfa_register == TM_CFI_CFA_EXPRESSION) {
        cfa_value = *tm_cfi_expression(row, cfa_value, &size);
    }
    ck_assert_msg(row->rules.cfa_register == wanted->cfa_register && cfa_value == wanted->cfa_value,
                  "%s: CFA is register %d + %d", wanted->name, row->rules.cfa_register, cfa_value);
    for (int i = 0; i < 3 && wanted->expected[i].column != 0; i++) {
        const struct expected *expected = &wanted->expected[i];
        int kind = row->rules.kind[expected->column];
        int value = row->rules.value[expected->column];
        if (kind == TM_CFI_EXPRESSION || kind == TM_CFI_VALUE_EXPRESSION) {
            value = *tm_cfi_expression(row, value, &size);
        }
        ck_assert_msg(kind == expected->kind && (kind == TM_CFI_SAME || value == expected->value),
                      "%s: register %d has kind %d, value %d", wanted->name, expected->column, kind, value);
    }
}

START_TEST(instructions_give_rows)
{
    const struct instruction_case *wanted = &instruction_cases[_i];
    struct section section = section_plain(wanted->program, wanted->size);
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    for (int i = 0; i < section.fde_count; i++) {
        uintptr_t code = section.code + 2 * CODE_SIZE * (uintptr_t)i;
        ck_assert_msg(tm_cfi_row_find(&module, code + wanted->at, &row), "%s: no row", wanted->name);
        row_check(&row, wanted);
        ck_assert_int_eq(row.return_register, RIP);
        ck_assert(!row.signal);
    }
}
END_TEST

START_TEST(set_location_moves_on)
{
    /* DW_CFA_set_loc with an absolute pointer: code + 0x20 */
    uint8_t program[] = {0x01, 0x20, 0x00, 0x10, 0x41, 0, 0, 0, 0, 0x0e, 16};
    struct section section = section_plain(program, sizeof(program));
    section.pointer_encoding = 0x00;
    section.fde_count = 1;
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    ck_assert(tm_cfi_row_find(&module, section.code + 0x1f, &row));
    ck_assert_int_eq(row.rules.cfa_value, 8);
    ck_assert(tm_cfi_row_find(&module, section.code + 0x20, &row));
    ck_assert_int_eq(row.rules.cfa_value, 16);
    /* never back */
    uint8_t backwards[] = {0x48, 0x01, 0x04, 0x00, 0x10, 0x41, 0, 0, 0, 0, 0x0e, 16};
    section.program = backwards;
    section.program_size = sizeof(backwards);
    module = module_build(&section, &image);
    ck_assert(!tm_cfi_row_find(&module, section.code + 0x20, &row));
}
END_TEST

START_TEST(instructions_of_the_cie_move_nothing)
{
    static const uint8_t initial[] = {0x86, 2, 0x44};
    static const uint8_t program[] = {0x44, 0x0e, 16};
    struct section section = section_plain(program, sizeof(program));
    section.initial = initial;
    section.initial_size = sizeof(initial);
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    ck_assert(tm_cfi_row_find(&module, section.code + 4, &row));
    ck_assert_int_eq(row.rules.cfa_value, 16);
    ck_assert_int_eq(row.rules.kind[RBP], TM_CFI_OFFSET);
}
END_TEST

static const struct {
    const char *name;
    uint8_t program[16];
    size_t size;
} bad_programs[] = {
    {"unknown instruction", {0x17, 0}, 2},
    {"unknown instruction in the high range", {0x3f, 0}, 2},
    {"window save", {0x2d}, 1},
    {"advance without its operand", {0x04, 1, 0}, 3},
    {"offset without its operand", {0x86}, 1},
    {"LEB128 without end", {0x0e, 0x80, 0x80}, 3},
    {"expression longer than the entry", {0x0f, 40, 0x30}, 3},
    {"restore of no state", {0x0b}, 1},
    {"states too deep", {0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a}, 10},
    {"CFA of a register that is not followed", {0x0c, 40, 8}, 3},
    {"offset after a CFA expression", {0x0f, 1, 0x30, 0x0e, 8}, 5},
    {"register after a CFA expression", {0x0f, 1, 0x30, 0x0d, RBP}, 5},
    {"offset beyond 32 bits", {0x0c, RSP, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 8},
    {"signed offset beyond 64 bits",
     {0x12, RSP, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0xc0, 0x00},
     12},
};

START_TEST(bad_instructions_give_no_row)
{
    struct section section = section_plain(bad_programs[_i].program, bad_programs[_i].size);
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    ck_assert_msg(!tm_cfi_row_find(&module, section.code + 0x80, &row), "%s", bad_programs[_i].name);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Sections
 */
static const uint8_t plain_program[] = {0x42, 0x0e, 16, 0x86, 2, 0x43, 0x0d, RBP};

static void section_check(struct section *section, const char *what)
{
    struct image image;
    struct tm_eh_module module = module_build(section, &image);
    struct tm_cfi_row row;
    for (int i = 0; i < section->fde_count; i++) {
        uintptr_t code = section->code + 2 * CODE_SIZE * (uintptr_t)i;
        ck_assert_msg(tm_cfi_row_find(&module, code, &row), "%s: first byte of function %d", what, i);
        ck_assert_int_eq(row.rules.cfa_register, RSP);
        ck_assert_int_eq(row.rules.cfa_value, 8);
        ck_assert_msg(tm_cfi_row_find(&module, code + CODE_SIZE - 1, &row), "%s: last byte of function %d",
                      what, i);
        ck_assert_int_eq(row.rules.cfa_register, RBP);
        ck_assert_int_eq(row.rules.cfa_value, 16);
        ck_assert_msg(!tm_cfi_row_find(&module, code + CODE_SIZE, &row), "%s: gap after function %d", what,
                      i);
        ck_assert_msg(!tm_cfi_row_find(&module, code - 1, &row), "%s: gap before function %d", what, i);
    }
}

START_TEST(pointer_encodings)
{
    static const struct {
        int encoding;
        uintptr_t code;
        int count;
    } cases[] = {
        {0x00, 0x41100000, 3}, {0x01, 0x41100000, 3}, {0x02, 0x4000, 3},     {0x03, 0x41100000, 3},
        {0x04, 0x41100000, 3}, {0x09, 0x41100000, 3}, {0x0a, 0x4000, 3},     {0x0b, 0x41100000, 3},
        {0x0c, 0x41100000, 3}, {0x10, 0x41100000, 3}, {0x1b, 0x41100000, 3}, {0x1c, 0x41100000, 3},
        {0x50, 0x41100000, 3}, {0x9b, 0x41100000, 1}, {0x80, 0x41100000, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct section section = section_plain(plain_program, sizeof(plain_program));
        section.pointer_encoding = cases[i].encoding;
        section.code = cases[i].code;
        section.fde_count = cases[i].count;
        char what[32];
        snprintf(what, sizeof(what), "encoding %#x", (unsigned)cases[i].encoding);
        section_check(&section, what);
    }
}
END_TEST

START_TEST(unknown_pointer_encodings_give_no_row)
{
    static const int encodings[] = {0x20, 0x2b, 0x3b, 0x40, 0x60, 0x07, 0x0f};
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        struct section section = section_plain(plain_program, sizeof(plain_program));
        section.pointer_encoding = encodings[i];
        struct image image;
        struct tm_eh_module module = module_build(&section, &image);
        struct tm_cfi_row row;
        ck_assert_msg(!tm_cfi_row_find(&module, section.code + 1, &row), "encoding %#x",
                      (unsigned)encodings[i]);
    }
}
END_TEST

START_TEST(header_encodings)
{
    static const int tables[] = {0x3b, 0x3c, 0x33, 0x1b, 0x1c, 0x00, 0x03, 0x04, 0x0c, 0xff, 0x31, 0x39};
    static const int counts[] = {0x03, 0x02, 0x01, 0x04, 0x0b, 0xff};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
            for (int extended = 0; extended < 2; extended++) {
                struct section section = section_plain(plain_program, sizeof(plain_program));
                section.table_encoding = tables[i];
                section.count_encoding = counts[k];
                section.fde_count = 5;
                section.extended_length = extended;
                char what[64];
                snprintf(what, sizeof(what), "table %#x, count %#x", (unsigned)tables[i],
                         (unsigned)counts[k]);
                section_check(&section, what);
            }
        }
    }
}
END_TEST

START_TEST(augmentations)
{
    static const char *const known[] = {"zR", "zPLR", "zRS", "zRB", "zLRG", "zR?"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        for (int version = 1; version <= 4; version += version == 1 ? 2 : 1) {
            struct section section = section_plain(plain_program, sizeof(plain_program));
            section.augmentation = known[i];
            section.version = version;
            section_check(&section, known[i]);
        }
    }
    static const char *const bare[] = {"", "eh"};
    for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
        struct section section = section_plain(plain_program, sizeof(plain_program));
        section.augmentation = bare[i];
        section.pointer_encoding = 0;
        section_check(&section, bare[i]);
    }
}
END_TEST

START_TEST(what_is_not_known_gives_no_row)
{
    struct section sections[3];
    for (int i = 0; i < 3; i++) {
        sections[i] = section_plain(plain_program, sizeof(plain_program));
    }
    sections[0].version = 2;
    sections[1].version = 5;
    sections[2].augmentation = "xyz";
    for (int i = 0; i < 3; i++) {
        struct image image;
        struct tm_eh_module module = module_build(&sections[i], &image);
        struct tm_cfi_row row;
        ck_assert_msg(!tm_cfi_row_find(&module, sections[i].code + 1, &row), "case %d", i);
    }
    struct image image;
    struct tm_eh_module module = module_build(&sections[0], &image);
    module.header = NULL;
    struct tm_cfi_row row;
    ck_assert(!tm_cfi_row_find(&module, sections[0].code + 1, &row));
}
END_TEST

START_TEST(signal_frames_are_marked)
{
    struct section section = section_plain(plain_program, sizeof(plain_program));
    section.augmentation = "zRS";
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    ck_assert(tm_cfi_row_find(&module, section.code, &row));
    ck_assert(row.signal);
}
END_TEST

static void rows_seek(const struct tm_eh_module *module, const struct section *section)
{
    struct tm_cfi_row row;
    for (int i = 0; i < section->fde_count; i++) {
        (void)tm_cfi_row_find(module, section->code + 2 * CODE_SIZE * (uintptr_t)i + 0x40, &row);
    }
}

/* Position-independent, with every form of operand. The page behind it faults when it is read. */
static struct section section_rich(int table_encoding)
{
    static const uint8_t program[] = {0x42, 0x0e, 16,   0x86, 2,    0x10, RBX,  2,    0x76, 0x00,
                                      0x0a, 0x0f, 3,    0x76, 0x78, 0x06, 0x0b, 0x02, 0x10, 0x14,
                                      12,   2,    0x04, 1,    0,    0,    0,    0x0e, 32};
    struct section section = section_plain(program, sizeof(program));
    section.augmentation = "zPLR";
    section.table_encoding = table_encoding;
    return section;
}

START_TEST(truncated_sections_are_survived)
{
    static const int tables[] = {0x3b, 0xff};
    for (int t = 0; t < 2; t++) {
        struct section section = section_rich(tables[t]);
        struct image image;
        (void)module_build(&section, &image);
        for (size_t size = 9; size < image.size; size++) {
            uint8_t *start = edge() - size;
            memcpy(start, image.bytes, size);
            struct section moved = section;
            moved.code += (uintptr_t)start - image.base;
            struct tm_eh_module module = {.start = start, .end = edge(), .header = start + 8};
            rows_seek(&module, &moved);
        }
    }
}
END_TEST

START_TEST(corrupt_sections_are_survived)
{
    static const int tables[] = {0x3b, 0xff};
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, 0x3b, 0x9b, 0x50};
    for (int t = 0; t < 2; t++) {
        struct section section = section_rich(tables[t]);
        struct image image;
        struct tm_eh_module module = module_build(&section, &image);
        uint8_t *bytes = edge() - image.size;
        for (size_t i = 0; i < image.size; i++) {
            uint8_t kept = bytes[i];
            for (size_t k = 0; k < sizeof(values); k++) {
                bytes[i] = values[k];
                rows_seek(&module, &section);
            }
            bytes[i] = kept;
        }
        rows_seek(&module, &section);
        /* several at once */
        srandom(1);
        for (int round = 0; round < 20000; round++) {
            for (int k = 0; k < 3; k++) {
                bytes[(size_t)random() % image.size] = (uint8_t)random();
            }
            rows_seek(&module, &section);
            memcpy(bytes, image.bytes, image.size);
        }
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Expressions and steps
 */
static uintptr_t stack_words[32];

static bool words_read(void *context, uintptr_t address, uintptr_t *ret_word)
{
    (void)context;
    if (address < (uintptr_t)stack_words || address > (uintptr_t)(stack_words + 31)) {
        return false;
    }
    memcpy(ret_word, (const void *)address, sizeof(*ret_word));
    return true;
}

static struct tm_registers registers_known(void)
{
    struct tm_registers registers = {.known = 0};
    tm_register_set(&registers, RSP, (uintptr_t)&stack_words[2]);
    tm_register_set(&registers, RBP, (uintptr_t)&stack_words[8]);
    tm_register_set(&registers, RIP, 0x401008);
    tm_register_set(&registers, 0, 77);
    tm_register_set(&registers, 12, 1212);
    for (unsigned i = 0; i < 32; i++) {
        stack_words[i] = 0x1122334455667700 + i;
    }
    return registers;
}

struct expression_case {
    const char *name;
    uint8_t bytes[24];
    size_t size;
    enum tm_cfi_result result;
    uint64_t value; /* relative to the CFA, where `relative` */
    bool relative;
};

#define OK  TM_CFI_STEPPED
#define BAD TM_CFI_UNREADABLE

static const struct expression_case expression_cases[] = {
    {"the CFA", {0x96}, 1, OK, 0, true},
    {"lit0", {0x30}, 1, OK, 0, false},
    {"lit31", {0x4f}, 1, OK, 31, false},
    {"addr", {0x03, 1, 2, 3, 4, 5, 6, 7, 8}, 9, OK, 0x0807060504030201, false},
    {"const1u", {0x08, 0xff}, 2, OK, 0xff, false},
    {"const1s", {0x09, 0xff}, 2, OK, UINT64_MAX, false},
    {"const2u", {0x0a, 0xfe, 0xff}, 3, OK, 0xfffe, false},
    {"const2s", {0x0b, 0xfe, 0xff}, 3, OK, UINT64_MAX - 1, false},
    {"const4u", {0x0c, 0xfd, 0xff, 0xff, 0xff}, 5, OK, 0xfffffffd, false},
    {"const4s", {0x0d, 0xfd, 0xff, 0xff, 0xff}, 5, OK, UINT64_MAX - 2, false},
    {"const8u", {0x0e, 1, 0, 0, 0, 0, 0, 0, 0x80}, 9, OK, 0x8000000000000001, false},
    {"const8s", {0x0f, 1, 0, 0, 0, 0, 0, 0, 0x80}, 9, OK, 0x8000000000000001, false},
    {"constu", {0x10, 0xe5, 0x8e, 0x26}, 4, OK, 624485, false},
    {"consts", {0x11, 0xc0, 0xbb, 0x78}, 4, OK, (uint64_t)-123456, false},
    {"dup, plus", {0x35, 0x12, 0x22}, 3, OK, 10, false},
    {"drop", {0x35, 0x36, 0x13}, 3, OK, 5, false},
    {"over", {0x35, 0x36, 0x14}, 3, OK, 5, false},
    {"pick", {0x35, 0x36, 0x37, 0x15, 2}, 5, OK, 5, false},
    {"swap, minus", {0x35, 0x38, 0x16, 0x1c}, 4, OK, 3, false},
    {"rot", {0x31, 0x32, 0x33, 0x17, 0x34, 0x1e, 0x22}, 7, OK, 9, false},
    {"rot leaves the third below", {0x31, 0x32, 0x33, 0x17, 0x13, 0x13}, 6, OK, 3, false},
    {"abs", {0x09, 0xfb, 0x19}, 3, OK, 5, false},
    {"abs of a positive", {0x35, 0x19}, 2, OK, 5, false},
    {"and", {0x3f, 0x3a, 0x1a}, 3, OK, 10, false},
    {"div is signed", {0x09, 0xf0, 0x34, 0x1b}, 4, OK, (uint64_t)-4, false},
    {"mod is unsigned", {0x4f, 0x38, 0x1d}, 3, OK, 7, false},
    {"mul", {0x35, 0x36, 0x1e}, 3, OK, 30, false},
    {"neg", {0x35, 0x1f}, 2, OK, (uint64_t)-5, false},
    {"not", {0x35, 0x20}, 2, OK, ~UINT64_C(5), false},
    {"or", {0x35, 0x3a, 0x21}, 3, OK, 15, false},
    {"plus_uconst", {0x35, 0x23, 0x80, 0x01}, 4, OK, 133, false},
    {"shl", {0x33, 0x34, 0x24}, 3, OK, 48, false},
    {"shr", {0x09, 0x80, 0x08, 60, 0x25}, 5, OK, 15, false},
    {"shra", {0x09, 0x80, 0x34, 0x26}, 4, OK, (uint64_t)-8, false},
    {"shl by 64", {0x33, 0x08, 64, 0x24}, 4, OK, 0, false},
    {"xor", {0x3f, 0x3a, 0x27}, 3, OK, 5, false},
    {"eq", {0x35, 0x35, 0x29}, 3, OK, 1, false},
    {"ge is signed", {0x09, 0xff, 0x30, 0x2a}, 4, OK, 0, false},
    {"gt", {0x36, 0x35, 0x2b}, 3, OK, 1, false},
    {"le", {0x36, 0x35, 0x2c}, 3, OK, 0, false},
    {"lt", {0x35, 0x36, 0x2d}, 3, OK, 1, false},
    {"ne", {0x35, 0x36, 0x2e}, 3, OK, 1, false},
    {"skip", {0x35, 0x2f, 1, 0, 0x36, 0x96}, 6, OK, 5, false},
    {"branch taken", {0x35, 0x31, 0x28, 1, 0, 0x36}, 6, OK, 5, false},
    {"branch not taken", {0x35, 0x30, 0x28, 1, 0, 0x36}, 6, OK, 6, false},
    {"a loop that ends", {0x35, 0x31, 0x1c, 0x12, 0x28, 0xfa, 0xff, 0x36}, 8, OK, 6, false},
    {"breg", {0x77, 0x08}, 2, OK, (uint64_t)-16, true},
    {"breg, negative", {0x76, 0x78}, 2, OK, 16, true},
    {"bregx", {0x92, 0x07, 0x10}, 3, OK, (uint64_t)-8, true},
    {"deref", {0x76, 0x08, 0x06}, 3, OK, 0x1122334455667709, false},
    {"deref_size", {0x76, 0x08, 0x94, 2}, 4, OK, 0x7709, false},
    {"the PLT's",
     {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22},
     11,
     OK,
     (uint64_t)-8,
     true},

    {"underflow", {0x13, 0x13}, 2, BAD, 0, false},
    {"nothing left", {0x13}, 1, BAD, 0, false},
    {"plus of one", {0x22}, 1, BAD, 0, false},
    {"swap of one", {0x16}, 1, BAD, 0, false},
    {"pick too deep", {0x15, 9}, 2, BAD, 0, false},
    {"overflow", {0x2f, 0xfd, 0xff}, 3, BAD, 0, false},
    {"an endless loop that pushes", {0x30, 0x2f, 0xfc, 0xff}, 4, BAD, 0, false},
    {"operand cut off", {0x0e, 1, 2}, 3, BAD, 0, false},
    {"LEB128 cut off", {0x10, 0x80}, 2, BAD, 0, false},
    {"skip out of it", {0x2f, 0x7f, 0x00}, 3, BAD, 0, false},
    {"skip before it", {0x2f, 0xfc, 0xff}, 3, BAD, 0, false},
    {"division by 0", {0x35, 0x30, 0x1b}, 3, BAD, 0, false},
    {"modulo 0", {0x35, 0x30, 0x1d}, 3, BAD, 0, false},
    {"division overflows", {0x0e, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x09, 0xff, 0x1b}, 12, BAD, 0, false},
    {"unreadable", {0x31, 0x06}, 2, BAD, 0, false},
    {"deref_size 0", {0x76, 0x08, 0x94, 0}, 4, BAD, 0, false},
    {"deref_size 9", {0x76, 0x08, 0x94, 9}, 4, BAD, 0, false},
    {"unknown operation", {0xe0}, 1, BAD, 0, false},
    {"a location is no value", {0x50}, 1, BAD, 0, false},
    {"register that is not known", {0x73, 0x00}, 2, TM_CFI_UNKNOWN, 0, false},
    {"register that is not known, nothing left", {0x13, 0x73, 0x00}, 3, TM_CFI_UNKNOWN, 0, false},
    {"register that is not followed", {0x92, 0x28, 0x00}, 3, TM_CFI_UNKNOWN, 0, false},
};

START_TEST(expressions)
{
    const struct expression_case *wanted = &expression_cases[_i];
    struct tm_registers registers = registers_known();
    registers.value[RIP] = 0x40100b; /* the PLT's expression: the second half of an entry */
    uintptr_t cfa = (uintptr_t)&stack_words[5];
    uintptr_t value = 0;
    enum tm_cfi_result result =
        tm_expression_evaluate(wanted->bytes, wanted->size, &registers, &cfa, words_read, NULL, &value);
    ck_assert_msg(result == wanted->result, "%s: result %d", wanted->name, result);
    if (result == TM_CFI_STEPPED) {
        uint64_t expected = wanted->value + (wanted->relative ? cfa : 0);
        ck_assert_msg(value == expected, "%s: %#lx, not %#lx", wanted->name, value, expected);
    }
}
END_TEST

static enum tm_cfi_result program_step(const uint8_t *program, size_t size, struct tm_registers *registers)
{
    struct section section = section_plain(program, size);
    struct image image;
    struct tm_eh_module module = module_build(&section, &image);
    struct tm_cfi_row row;
    ck_assert(tm_cfi_row_find(&module, section.code, &row));
    return tm_cfi_step(&row, registers, words_read, NULL);
}

START_TEST(steps_of_plain_frames)
{
    struct tm_registers registers = registers_known();
    static const uint8_t program[] = {0x0e, 32, 0x86, 2, 0x83, 3};
    ck_assert_int_eq(program_step(program, sizeof(program), &registers), TM_CFI_STEPPED);
    ck_assert_uint_eq(registers.value[RSP], (uintptr_t)&stack_words[6]);
    ck_assert_uint_eq(registers.value[RIP], 0x1122334455667705);
    ck_assert_uint_eq(registers.value[RBP], 0x1122334455667704);
    ck_assert_uint_eq(registers.value[RBX], 0x1122334455667703);
    ck_assert_uint_eq(registers.value[12], 1212);
    ck_assert(tm_register_known(&registers, 12));
    ck_assert_msg(!tm_register_known(&registers, 0),
                  "a register that calls may change is not known afterwards");
    ck_assert(!tm_register_known(&registers, 13));
}
END_TEST

START_TEST(steps_of_other_frames)
{
    struct {
        const char *name;
        uint8_t program[16];
        size_t size;
        enum tm_cfi_result result;
        int column;
        uintptr_t value;
    } cases[] = {
        {"realigned", {0x0f, 3, 0x76, 0x08, 0x06, 0x10, RBP, 2, 0x76, 0x00}, 10, OK, RBP, 0x1122334455667708},
        {"value offset", {0x14, RBP, 2}, 3, OK, RBP, (uintptr_t)&stack_words[1]},
        {"value expression", {0x16, RBX, 2, 0x7c, 0x01}, 5, OK, RBX, 1213},
        {"in a register", {0x09, RBP, 12}, 3, OK, RBP, 1212},
        {"stack pointer saved", {0x80 | RSP, 1}, 2, OK, RSP, 0x1122334455667702},
        {"return address in a register", {0x09, RIP, 12}, 3, OK, RIP, 1212},
        {"outermost", {0x07, RIP}, 2, TM_CFI_OUTERMOST, 0, 0},
        {"CFA of an unknown register", {0x0c, RBX, 8}, 3, TM_CFI_UNKNOWN, 0, 0},
        {"return address in an unknown register", {0x09, RIP, 13}, 3, TM_CFI_UNKNOWN, 0, 0},
        {"return address nowhere", {0x08, RIP}, 2, TM_CFI_UNKNOWN, 0, 0},
        {"return address out of reach", {0x0e, 0x80, 0x80, 0x40}, 4, BAD, 0, 0},
        {"another register out of reach", {0x05, RBX, 0x80, 0x80, 0x40}, 5, OK, 12, 1212},
    };
    stack_words[9] = (uintptr_t)&stack_words[20];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tm_registers registers = registers_known();
        struct tm_registers before = registers;
        stack_words[9] = (uintptr_t)&stack_words[20];
        enum tm_cfi_result result = program_step(cases[i].program, cases[i].size, &registers);
        ck_assert_msg(result == cases[i].result, "%s: result %d", cases[i].name, result);
        if (result != TM_CFI_STEPPED) {
            ck_assert_msg(memcmp(&registers, &before, sizeof(before)) == 0, "%s: registers changed",
                          cases[i].name);
            continue;
        }
        ck_assert_msg(registers.value[cases[i].column] == cases[i].value, "%s: %#lx", cases[i].name,
                      registers.value[cases[i].column]);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------
 * Loaded modules: libdw knows better
 */
struct totals {
    unsigned modules;
    unsigned rows;
    unsigned nothing; /* both say so */
};

static void rule_compare(const struct tm_cfi_row *row, Dwarf_Frame *frame, unsigned column, uintptr_t address)
{
    Dwarf_Op memory[3];
    Dwarf_Op *ops;
    size_t count;
    ck_assert_int_eq(dwarf_frame_register(frame, (int)column, memory, &ops, &count), 0);
    int kind = row->rules.kind[column];
    bool by_cfa = count > 0 && count <= 2 && ops[0].atom == DW_OP_call_frame_cfa &&
                  (count == 1 || ops[1].atom == DW_OP_plus_uconst);
    if (count == 0) {
        /* libdw calls a register undefined, too, that no rule speaks of */
        bool right = ops != memory ? kind == TM_CFI_SAME
                                   : kind == TM_CFI_UNDEFINED || (kind == TM_CFI_SAME && column != RIP);
        ck_assert_msg(right, "register %u at %#lx: kind %d", column, address, kind);
    } else if (by_cfa) {
        int64_t offset = count == 2 ? (int64_t)ops[1].number : 0;
        ck_assert_msg(kind == TM_CFI_OFFSET && row->rules.value[column] == offset,
                      "register %u at %#lx: kind %d, %d", column, address, kind, row->rules.value[column]);
    } else {
        ck_assert_msg(kind != TM_CFI_SAME && kind != TM_CFI_OFFSET && kind != TM_CFI_UNDEFINED,
                      "register %u at %#lx: kind %d", column, address, kind);
    }
}

static void row_compare(const struct tm_cfi_row *row, Dwarf_Frame *frame, uintptr_t address)
{
    Dwarf_Op *ops;
    size_t count;
    ck_assert_int_eq(dwarf_frame_cfa(frame, &ops, &count), 0);
    if (count == 1 && ops[0].atom == DW_OP_bregx) {
        ck_assert_msg(row->rules.cfa_register == ops[0].number &&
                          row->rules.cfa_value == (int64_t)ops[0].number2,
                      "CFA at %#lx: %d + %d", address, row->rules.cfa_register, row->rules.cfa_value);
    } else if (row->rules.cfa_register == TM_CFI_CFA_EXPRESSION) {
        size_t size;
        const uint8_t *bytes = tm_cfi_expression(row, row->rules.cfa_value, &size);
        ck_assert_msg(size > 0 && bytes[0] == ops[0].atom, "CFA expression at %#lx", address);
    } else {
        ck_abort_msg("CFA at %#lx is an expression", address);
    }
    bool signal;
    ck_assert_int_eq(dwarf_frame_info(frame, NULL, NULL, &signal), RIP);
    ck_assert_msg(row->signal == signal, "signal frame at %#lx", address);
    static const unsigned columns[] = {3, 6, 12, 13, 14, 15, 16};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        rule_compare(row, frame, columns[i], address);
    }
}

static void segment_compare(struct totals *totals, Dwarf_CFI *cfi, uintptr_t bias, const ElfW(Phdr) * segment)
{
    uintptr_t step = segment->p_memsz / 10000 | 1;
    for (uintptr_t at = segment->p_vaddr; at < segment->p_vaddr + segment->p_memsz; at += step) {
        struct tm_eh_module module;
        struct tm_eh_module again;
        struct tm_cfi_row row;
        ck_assert(tm_eh_module_find(bias + at, &module));
        ck_assert(tm_eh_module_find_iterating(bias + at, &again));
        ck_assert_ptr_eq(module.header, again.header);
        ck_assert_ptr_eq(module.start, again.start);
        bool found = tm_cfi_row_find(&module, bias + at, &row);
        Dwarf_Frame *frame = NULL;
        int result = dwarf_cfi_addrframe(cfi, at, &frame);
        ck_assert_msg(found == (result == 0), "row at %#lx: %d, libdw: %s", at, found, dwarf_errmsg(-1));
        if (found) {
            row_compare(&row, frame, at);
            totals->rows++;
        } else {
            totals->nothing++;
        }
        free(frame);
    }
}

static int module_compare(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct totals *totals = data;
    const char *path = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf = file >= 0 ? elf_begin(file, ELF_C_READ, NULL) : NULL;
    Dwarf_CFI *cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
    if (cfi) {
        for (unsigned i = 0; i < info->dlpi_phnum; i++) {
            const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
            if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
                segment_compare(totals, cfi, info->dlpi_addr, segment);
            }
        }
        totals->modules++;
        dwarf_cfi_end(cfi);
    }
    elf_end(elf);
    if (file >= 0) {
        close(file);
    }
    return 0;
}

START_TEST(loaded_modules_read_as_libdw_reads_them)
{
    elf_version(EV_CURRENT);
    struct totals totals = {0};
    dl_iterate_phdr(module_compare, &totals);
    ck_assert_uint_ge(totals.modules, 4);
    ck_assert_uint_gt(totals.rows, 50000);
    printf("rows equal to libdw's: %u in %u modules; without any: %u\n", totals.rows, totals.modules,
           totals.nothing);
}
END_TEST

static Suite *cfi_suite(void)
{
    Suite *suite = suite_create("cfi");
    TCase *rows = tcase_create("rows");
    tcase_add_loop_test(rows, instructions_give_rows, 0,
                        sizeof(instruction_cases) / sizeof(instruction_cases[0]));
    tcase_add_test(rows, set_location_moves_on);
    tcase_add_test(rows, instructions_of_the_cie_move_nothing);
    tcase_add_loop_test(rows, bad_instructions_give_no_row, 0,
                        sizeof(bad_programs) / sizeof(bad_programs[0]));
    suite_add_tcase(suite, rows);
    TCase *sections = tcase_create("sections");
    tcase_add_test(sections, pointer_encodings);
    tcase_add_test(sections, unknown_pointer_encodings_give_no_row);
    tcase_add_test(sections, header_encodings);
    tcase_add_test(sections, augmentations);
    tcase_add_test(sections, what_is_not_known_gives_no_row);
    tcase_add_test(sections, signal_frames_are_marked);
    tcase_add_test(sections, truncated_sections_are_survived);
    tcase_add_test(sections, corrupt_sections_are_survived);
    suite_add_tcase(suite, sections);
    TCase *steps = tcase_create("steps");
    tcase_add_loop_test(steps, expressions, 0, sizeof(expression_cases) / sizeof(expression_cases[0]));
    tcase_add_test(steps, steps_of_plain_frames);
    tcase_add_test(steps, steps_of_other_frames);
    suite_add_tcase(suite, steps);
    TCase *oracle = tcase_create("oracle");
    tcase_set_timeout(oracle, 60);
    tcase_add_test(oracle, loaded_modules_read_as_libdw_reads_them);
    suite_add_tcase(suite, oracle);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(cfi_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
