/* test_find.c: the four routes to the tracer's root, each alone, and what is said when there is none. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coreanalyze/table/table.h"
#include "coreanalyze/target.h"
#include "image.h"

enum { LIBRARY = 0x7f0000000000, BEACON = 0x3000, ELSEWHERE = 0x44440000 };

static struct image *image;
static struct ca_target *target;

static void set_up(void)
{
    image = image_create();
}

static void tear_down(void)
{
    ca_target_destroy(target);
    target = NULL;
    image_destroy(image);
}

static void add_tables(uint64_t address)
{
    image_add_tables(image, &(struct image_shape){.root_address = address});
}

static struct tm_beacon *add_beacon(uint64_t address)
{
    struct tm_beacon *beacon = (struct tm_beacon *)image_at(image, address);
    *beacon = (struct tm_beacon){.magic = TM_BEACON_MAGIC, .self = address, .root = image->root_address};
    return beacon;
}

static uint64_t find(unsigned routes, enum ca_route *ret_route, struct ca_error **ret_error)
{
    ca_target_destroy(target);
    target = image_target(image);
    return ca_table_find(ca_target_source(target), NULL, routes, ret_route, ret_error);
}

static void assert_found(unsigned routes, enum ca_route expected)
{
    enum ca_route route = 0;
    struct ca_error *error = NULL;
    uint64_t root = find(routes, &route, &error);
    ck_assert_msg(root == image->root_address, "%s", error ? ca_error_message(error) : "another address");
    ck_assert_int_eq(route, expected);
}

/* Whatever the route, it is not found, and the message has these words. */
static void assert_not_found(unsigned routes, const char *words)
{
    struct ca_error *error = NULL;
    ck_assert_uint_eq(find(routes, NULL, &error), 0);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(ca_error_status(error), CA_NOTHING);
    ck_assert_msg(strstr(ca_error_message(error), words), "%s", ca_error_message(error));
    ca_error_destroy(error);
}

/* A library's first page: header, one PT_LOAD at 0, the note at 0x200 with a note of somebody else before it.
 */
static uint8_t *add_library(uint64_t start, uint64_t vaddr, uint32_t alignment)
{
    uint8_t *bytes = image_add(image, start, 0x4000, 3, "/no/such/libtm.so", 0);
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
        .e_type = ET_DYN,
        .e_phoff = sizeof(header),
        .e_phnum = 2,
        .e_phentsize = sizeof(Elf64_Phdr),
    };
    memcpy(bytes, &header, sizeof(header));
    Elf64_Phdr programs[2] = {
        {.p_type = PT_NOTE,
         .p_offset = 0x200,
         .p_vaddr = vaddr + 0x200,
         .p_memsz = 64,
         .p_filesz = 64,
         .p_align = alignment},
        {.p_type = PT_LOAD, .p_offset = 0, .p_vaddr = vaddr, .p_memsz = 0x4000, .p_filesz = 0x4000},
    };
    memcpy(bytes + sizeof(header), programs, sizeof(programs));
    struct note {
        Elf64_Nhdr header;
        char name[4];
        uint8_t descriptor[8];
    } first = {{4, 4, 1}, "GNU", {0}}, second = {{sizeof(TM_NOTE_NAME), 8, TM_NOTE_TYPE}, TM_NOTE_NAME, {0}};
    size_t at = 0x200 + (alignment == 8 ? 24 : 20); /* 4 bytes of descriptor, padded */
    int64_t distance = BEACON - (int64_t)(at + offsetof(struct note, descriptor));
    memcpy(second.descriptor, &distance, sizeof(distance));
    memcpy(bytes + 0x200, &first, sizeof(first));
    memcpy(bytes + at, &second, sizeof(second));
    return bytes;
}

/* ------------------------------------------------------------------------------------------ routes */

START_TEST(by_preferred_address)
{
    add_tables(0);
    assert_found(CA_ROUTE_PREFERRED, CA_ROUTE_PREFERRED);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_PREFERRED);
    assert_not_found(CA_ROUTE_SYMBOL | CA_ROUTE_NOTE, "no tm tracer found");
}
END_TEST

START_TEST(by_hint)
{
    add_tables(ELSEWHERE);
    image_add(image, LIBRARY, 0x4000, 3, NULL, 0);
    add_beacon(LIBRARY + BEACON);
    image->process.hint = LIBRARY + BEACON;
    assert_found(CA_ROUTE_SYMBOL, CA_ROUTE_SYMBOL);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_SYMBOL);
    assert_not_found(CA_ROUTE_PREFERRED | CA_ROUTE_NOTE, "no tm tracer found");
}
END_TEST

START_TEST(by_note)
{
    add_tables(ELSEWHERE);
    add_library(LIBRARY, _i & 1 ? 0x10000 : 0, _i & 2 ? 8 : 4);
    add_beacon(LIBRARY + BEACON);
    assert_found(CA_ROUTE_NOTE, CA_ROUTE_NOTE);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_NOTE);
    assert_not_found(CA_ROUTE_PREFERRED | CA_ROUTE_SYMBOL, "no tm tracer found");
}
END_TEST

START_TEST(by_scan)
{
    add_tables(ELSEWHERE);
    image_add(image, 0x1000, 0x1000, 3, NULL, 0);
    assert_found(CA_ROUTE_SCAN, CA_ROUTE_SCAN);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_SCAN);
    assert_not_found(CA_ROUTE_PREFERRED | CA_ROUTE_NOTE | CA_ROUTE_SYMBOL, "no tm tracer found");
}
END_TEST

START_TEST(by_scan_within_a_mapping)
{
    uint8_t *bytes = image_add(image, 0x10000000, 3 << 20, 3, NULL, 0);
    image->root_address = 0x10000000 + (2 << 20) + 0x3000;
    struct tm_root root = {
        .magic = TM_ROOT_MAGIC,
        .major = TM_LAYOUT_MAJOR,
        .byte_order = TM_BYTE_ORDER_PROBE,
        .header_size = sizeof(root),
        .self = image->root_address,
        .region_size = sizeof(struct tm_region),
    };
    memcpy(bytes + (1 << 20), &root, sizeof(root)); /* a copy of it */
    memcpy(bytes + (image->root_address - 0x10000000), &root, sizeof(root));
    assert_found(CA_ROUTE_SCAN, CA_ROUTE_SCAN);
}
END_TEST

/* A file with a symbol tm_table of this value in .dynsym or .symtab, one PT_LOAD at `vaddr`; its name. */
static const char *write_library(uint32_t table, uint64_t vaddr, uint64_t value)
{
    static const char names[] = "\0tm_tables\0tm_table";
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr program;
        Elf64_Shdr sections[3];
        Elf64_Sym symbols[4];
        char names[sizeof(names)];
    } file = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_DYN,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phoff = sizeof(Elf64_Ehdr),
                .e_phnum = 1,
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_shoff = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
                .e_shnum = 3,
                .e_shentsize = sizeof(Elf64_Shdr),
            },
        .program = {.p_type = PT_LOAD, .p_vaddr = vaddr, .p_filesz = sizeof(file), .p_memsz = 0x4000},
        .symbols = {[1] = {.st_name = 1, .st_shndx = 1, .st_value = 1},
                    [2] = {.st_name = 11, .st_shndx = SHN_UNDEF, .st_value = 2},
                    [3] = {.st_name = 11, .st_shndx = 1, .st_value = value}},
    };
    size_t symbols = (size_t)((char *)file.symbols - (char *)&file),
           strings = (size_t)(file.names - (char *)&file);
    file.sections[1] = (Elf64_Shdr){.sh_type = table,
                                    .sh_offset = symbols,
                                    .sh_size = sizeof(file.symbols),
                                    .sh_entsize = sizeof(Elf64_Sym),
                                    .sh_link = 2};
    file.sections[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = strings, .sh_size = sizeof(names)};
    memcpy(file.names, names, sizeof(names));
    return image_file(&file, sizeof(file));
}

START_TEST(by_symbol_of_a_file)
{
    add_tables(ELSEWHERE);
    uint64_t vaddr = _i & 1 ? 0x10000 : 0;
    char path[64];
    snprintf(path, sizeof(path), "%s",
             write_library(_i & 2 ? SHT_SYMTAB : SHT_DYNSYM, vaddr, vaddr + BEACON));
    image_add(image, LIBRARY, 0x4000, 3, path, 0);
    add_beacon(LIBRARY + BEACON);
    assert_found(CA_ROUTE_SYMBOL, CA_ROUTE_SYMBOL);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_SYMBOL);
    unlink(path);
    assert_not_found(CA_ROUTE_SYMBOL, "no tm tracer found");
}
END_TEST

START_TEST(by_symbol_below_a_sysroot)
{
    add_tables(ELSEWHERE);
    char path[64];
    snprintf(path, sizeof(path), "%s", write_library(SHT_DYNSYM, 0, BEACON));
    image_add(image, LIBRARY, 0x4000, 3, path + 4, 0); /* without /tmp */
    add_beacon(LIBRARY + BEACON);
    target = image_target(image);
    ck_assert_uint_eq(ca_table_find(ca_target_source(target), "/nowhere", CA_ROUTE_SYMBOL, NULL, NULL), 0);
    ck_assert_uint_eq(ca_table_find(ca_target_source(target), "/tmp", CA_ROUTE_SYMBOL, NULL, NULL),
                      ELSEWHERE);
    unlink(path);
}
END_TEST

/* A name in a core may be that of anything; opening a FIFO would wait for ever. */
START_TEST(files_that_are_no_files)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/tm-fifo-%d", (int)getpid());
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    image_add(image, LIBRARY, 0x4000, 3, path, 0);
    image_add(image, LIBRARY + 0x10000, 0x4000, 3, "/tmp", 0);
    image_add(image, LIBRARY + 0x20000, 0x4000, 3, "relative", 0);
    assert_not_found(CA_ROUTE_SYMBOL, "no tm tracer found");
    unlink(path);
}
END_TEST

/* ---------------------------------------------------------------------------------------- refusals */

START_TEST(no_tracer)
{
    image_add(image, 0x1000, 0x100000, 3, NULL, 0);
    assert_not_found(CA_ROUTE_ALL,
                     "process 4711: no tm tracer found in it; run the program with: tm-run PROGRAM");
}
END_TEST

/* A live process without the tracer has its modules' notes to say so: its memory is not read through. */
START_TEST(a_live_process_is_not_scanned)
{
    add_library(LIBRARY, 0, 4);
    image_add(image, 0x10000000, 64 << 20, 3, NULL, 0);
    assert_not_found(CA_ROUTE_ALL, "no tm tracer");
    ck_assert_uint_le(image->calls.reads, 8);
    ck_assert_uint_le(image->calls.largest, 1 << 20);
}
END_TEST

START_TEST(newer_major)
{
    add_tables(0);
    image->root->major = 7;
    image->root->minor = 3;
    char words[64];
    snprintf(words, sizeof(words), "layout version 7.3, this reader knows versions up to %d.%d",
             TM_LAYOUT_MAJOR, TM_LAYOUT_MINOR);
    assert_not_found(CA_ROUTE_ALL, words);
}
END_TEST

START_TEST(older_major)
{
    add_tables(0);
    image->root->major = 0;
    image->root->minor = 1;
    assert_not_found(CA_ROUTE_ALL,
                     "layout version 0.1, which was never released, this reader knows version ");
}
END_TEST

START_TEST(other_byte_order)
{
    add_tables(0);
    image->root->byte_order = __builtin_bswap64(TM_BYTE_ORDER_PROBE);
    image->root->major = __builtin_bswap32(1);
    assert_not_found(CA_ROUTE_ALL, "other byte order");
}
END_TEST

START_TEST(damaged_roots)
{
    const struct {
        size_t offset;
        uint32_t value;
        const char *words;
    } damages[] = {
        {offsetof(struct tm_root, byte_order), 1, "byte order"},
        {offsetof(struct tm_root, header_size), 100, "header size"},
        {offsetof(struct tm_root, header_size), UINT32_MAX, "header size"},
        {offsetof(struct tm_root, region_size), 8, "region size"},
        {offsetof(struct tm_root, region_count), 33, "region count"},
        {offsetof(struct tm_root, region_count), UINT32_MAX, "region count"},
        {offsetof(struct tm_root, self), 0x5000, "no tm tracer found"},
        {offsetof(struct tm_root, magic), 0x5000, "no tm tracer found"},
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        tear_down();
        set_up();
        add_tables(0);
        memcpy((uint8_t *)image->root + damages[i].offset, &damages[i].value, 4);
        assert_not_found(CA_ROUTE_ALL, damages[i].words);
    }
}
END_TEST

/* The problem with one root is not said where another one is good. */
START_TEST(a_good_root_beside_a_bad_one)
{
    uint8_t *bytes = image_add(image, TM_PREFERRED_ADDRESS, 0x1000, 3, NULL, 0);
    struct tm_root root = {
        .magic = TM_ROOT_MAGIC, .major = 9, .byte_order = TM_BYTE_ORDER_PROBE, .self = TM_PREFERRED_ADDRESS};
    memcpy(bytes, &root, offsetof(struct tm_root, regions));
    add_tables(ELSEWHERE);
    assert_found(CA_ROUTE_ALL, CA_ROUTE_SCAN);
}
END_TEST

START_TEST(a_tracer_that_has_not_started)
{
    image_add(image, LIBRARY, 0x4000, 3, NULL, 0);
    struct tm_beacon *beacon = add_beacon(LIBRARY + BEACON);
    beacon->self = _i ? beacon->self : 0;
    image->process.hint = LIBRARY + BEACON;
    assert_not_found(CA_ROUTE_ALL, "the tracer is loaded but has not started");
}
END_TEST

START_TEST(a_copy_of_a_beacon)
{
    add_tables(ELSEWHERE);
    image_add(image, LIBRARY, 0x4000, 3, NULL, 0);
    add_beacon(LIBRARY + BEACON)->self += 64;
    image->process.hint = LIBRARY + BEACON;
    assert_not_found(CA_ROUTE_SYMBOL, "no tm tracer found");
}
END_TEST

START_TEST(a_tracer_whose_tables_are_not_there)
{
    image_add(image, LIBRARY, 0x4000, 3, NULL, 0);
    add_beacon(LIBRARY + BEACON)->root = 0x2000000000;
    image->process.hint = LIBRARY + BEACON;
    assert_not_found(CA_ROUTE_ALL,
                     "the tracer says that its tables are at 0x2000000000, but they are not there");
}
END_TEST

START_TEST(interrupted)
{
    add_tables(ELSEWHERE);
    add_library(LIBRARY, 0, 4);
    add_beacon(LIBRARY + BEACON);
    image->calls.interrupt_mappings = true;
    assert_not_found(CA_ROUTE_ALL, "interrupted");
    image->calls.interrupt_mappings = false;
    for (size_t at = 1; at < 20; at++) {
        image->calls.reads = 0;
        image->calls.interrupt_at = at;
        struct ca_error *error = NULL;
        if (find(CA_ROUTE_ALL, NULL, &error)) {
            ck_assert_uint_gt(at, 2);
            return;
        }
        ck_assert_str_eq(ca_error_message(error), "interrupted");
        ca_error_destroy(error);
    }
    ck_abort_msg("never found");
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("find");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, by_preferred_address);
    tcase_add_test(cases, by_hint);
    tcase_add_loop_test(cases, by_note, 0, 4);
    tcase_add_test(cases, by_scan);
    tcase_add_test(cases, by_scan_within_a_mapping);
    tcase_add_loop_test(cases, by_symbol_of_a_file, 0, 4);
    tcase_add_test(cases, by_symbol_below_a_sysroot);
    tcase_add_test(cases, files_that_are_no_files);
    tcase_add_test(cases, no_tracer);
    tcase_add_test(cases, a_live_process_is_not_scanned);
    tcase_add_test(cases, newer_major);
    tcase_add_test(cases, older_major);
    tcase_add_test(cases, other_byte_order);
    tcase_add_test(cases, damaged_roots);
    tcase_add_test(cases, a_good_root_beside_a_bad_one);
    tcase_add_loop_test(cases, a_tracer_that_has_not_started, 0, 2);
    tcase_add_test(cases, a_copy_of_a_beacon);
    tcase_add_test(cases, a_tracer_whose_tables_are_not_there);
    tcase_add_test(cases, interrupted);
    Suite *suite = suite_create("find");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
