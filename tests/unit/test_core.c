/* test_core.c: core files: what is in one, what is said of files that are none, and cores that are cut
 * anywhere. */
#include <check.h>
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coreanalyze/source/source.h"
#include "coreanalyze/table/table.h"
#include "coreanalyze/target.h"
#include "image.h"

enum { TEXT = 0x400000, DATA = 0x410000, HEAP = 0x800000, STACK = 0x7fff0000 };

static struct image *image;
static uint8_t *bytes;
static size_t size;
static char path[64];

/* Text that is not dumped, data straight behind it, heap, and a stack. */
static void set_up(void)
{
    image = image_create();
    image_add(image, TEXT, 0x10000, 5, "/opt/app/bin/victim-of-tests", 0x2000);
    image_add(image, DATA, 0x3000, 3, "/opt/app/bin/victim-of-tests", 0x12000);
    image_add(image, HEAP, 0x2000, 3, NULL, 0);
    image_add(image, HEAP + 0x2000, 0x1000, 3, NULL, 0);
    image_add(image, STACK, 0x2000, 3, NULL, 0);
    for (size_t i = 0; i < image->range_count; i++) {
        image->ranges[i].absent = image->ranges[i].address == TEXT;
        for (size_t at = 0; at < image->ranges[i].size; at++) {
            image->ranges[i].bytes[at] = (uint8_t)(at * 7 + i);
        }
    }
    image->process.signal = 11;
    image->process.thread_count = 3;
    image->process.tids[0] = 4713;
    image->process.tids[1] = 4711;
    image->process.tids[2] = 4712;
    image->process.registers[1][IMAGE_RSP] = STACK + 0x1800;
    image->process.auxv[0] = AT_ENTRY;
    image->process.auxv[1] = TEXT + 0x10;
    image->process.auxv_words = 4;
    size = image_core(image, &bytes);
}

static void tear_down(void)
{
    image_destroy(image);
    free(bytes);
}

static struct ca_source *open_bytes(const void *data, size_t data_size, struct ca_error **ret_error)
{
    snprintf(path, sizeof(path), "%s", image_file(data, data_size));
    struct ca_source *source = ca_source_open_core(path, ret_error);
    unlink(path);
    return source;
}

static struct ca_source *open_good(void)
{
    struct ca_error *error = NULL;
    struct ca_source *source = open_bytes(bytes, size, &error);
    ck_assert_msg(source != NULL, "%s", error ? ca_error_message(error) : "");
    return source;
}

static Elf64_Ehdr *header(void)
{
    return (Elf64_Ehdr *)bytes;
}

static Elf64_Phdr *program(size_t i)
{
    return (Elf64_Phdr *)(bytes + sizeof(Elf64_Ehdr)) + i;
}

/* -------------------------------------------------------------------------------------- a good one */

START_TEST(description)
{
    struct ca_source *source = open_good();
    const struct ca_process *process = ca_source_process(source);
    ck_assert_uint_eq(process->pid, 4711);
    ck_assert_uint_eq(process->machine, EM_X86_64);
    ck_assert_int_eq(process->signal, 11);
    ck_assert_uint_eq(process->signal_thread, 4713);
    ck_assert_str_eq(process->program, "/opt/app/bin/victim-of-tests");
    ck_assert_str_eq(process->arguments, "victim --now");
    ck_assert_uint_eq(process->siginfo_size, 128);
    ck_assert_int_eq(process->siginfo[0], 11);
    ck_assert_uint_eq(process->auxv_size, 4 * 8);
    size_t count;
    const struct ca_thread *threads = ca_source_threads(source, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(threads[0].tid, 4713);
    ck_assert_uint_eq(threads[1].tid, 4711);
    ck_assert_uint_eq(threads[1].register_count, IMAGE_REGISTERS);
    ck_assert_uint_eq(threads[1].registers[IMAGE_RSP], STACK + 0x1800);
    ck_assert_str_eq(ca_source_name(source), path);
    ck_assert(ca_source_in_memory(source));
    uint64_t expected, found;
    ck_assert(!ca_source_truncated(source, &expected, &found));
    ca_source_destroy(source);
}
END_TEST

START_TEST(program_by_its_short_name)
{
    image->process.auxv_words = 0;
    image->process.name = _i ? "victim-of-tests-with-a-long-name" : "victim"; /* 15 bytes of it are kept */
    free(bytes);
    size = image_core(image, &bytes);
    struct ca_source *source = open_good();
    ck_assert_str_eq(ca_source_process(source)->program, _i ? "/opt/app/bin/victim-of-tests" : "victim");
    ca_source_destroy(source);
}
END_TEST

START_TEST(mappings)
{
    struct ca_source *source = open_good();
    size_t count;
    const struct ca_mapping *found = ca_source_mappings(source, &count);
    ck_assert_uint_eq(count, 5);
    ck_assert_uint_eq(found[0].start, TEXT);
    ck_assert_uint_eq(found[0].end, DATA);
    ck_assert_uint_eq(found[0].present, 0);
    ck_assert_uint_eq(found[0].protection, 5);
    ck_assert_uint_eq(found[0].offset, 0x2000);
    ck_assert(found[0].named);
    ck_assert_uint_eq(found[1].present, 0x3000);
    ck_assert_uint_eq(found[1].offset, 0x12000);
    ck_assert_str_eq(found[1].path, "/opt/app/bin/victim-of-tests");
    ck_assert_str_eq(found[2].path, "");
    ck_assert(!found[2].named);
    ck_assert_ptr_eq(ca_source_mapping_at(source, HEAP + 0x1fff), &found[2]);
    ck_assert_ptr_eq(ca_source_mapping_at(source, HEAP + 0x2000), &found[3]);
    ck_assert_ptr_null(ca_source_mapping_at(source, HEAP - 1));
    ck_assert_ptr_null(ca_source_mapping_at(source, UINT64_MAX));
    ca_source_destroy(source);
}
END_TEST

START_TEST(reading)
{
    struct ca_source *source = open_good();
    uint8_t buffer[0x4000];
    /* across two neighbours */
    ck_assert(ca_source_read(source, HEAP + 0x1ff0, buffer, 0x20, NULL));
    ck_assert_mem_eq(buffer, image_at(image, HEAP + 0x1ff0), 16);
    ck_assert_mem_eq(buffer + 16, image_at(image, HEAP + 0x2000), 16);
    /* up to a hole */
    size_t got;
    ck_assert(ca_source_read_some(source, DATA + 0x2ff0, buffer, 0x100, &got, NULL));
    ck_assert_uint_eq(got, 16);
    struct ca_error *error = NULL;
    ck_assert(!ca_source_read(source, DATA + 0x2ff0, buffer, 0x100, &error));
    char words[128];
    snprintf(words, sizeof(words), "%s: cannot read 256 bytes at 0x412ff0: only 16 are there", path);
    ck_assert_str_eq(ca_error_message(error), words);
    ca_error_destroy(error);
    /* what was not dumped, what is not mapped, what would wrap around */
    ck_assert(ca_source_read_some(source, TEXT, buffer, 16, &got, NULL));
    ck_assert_uint_eq(got, 0);
    ck_assert(ca_source_read_some(source, UINT64_MAX - 3, buffer, 16, &got, NULL));
    ck_assert_uint_eq(got, 0);
    ca_source_destroy(source);
}
END_TEST

START_TEST(mapping_without_copying)
{
    struct ca_source *source = open_good();
    void *owned = &owned;
    const uint8_t *view = ca_source_map(source, HEAP, 0x3000, &owned, NULL); /* neighbours in the file too */
    ck_assert_ptr_nonnull(view);
    ck_assert_ptr_null(owned);
    ck_assert_mem_eq(view + 0x2000, image_at(image, HEAP + 0x2000), 0x1000);
    size_t got;
    view = ca_source_map_some(source, DATA, SIZE_MAX, &got, &owned, NULL);
    ck_assert_uint_eq(got, 0x3000);
    free(owned);
    view = ca_source_map_some(source, TEXT, 100, &got, &owned, NULL);
    ck_assert_ptr_nonnull(view);
    ck_assert_uint_eq(got, 0);
    free(owned);
    struct ca_error *error = NULL;
    ck_assert_ptr_null(ca_source_map(source, DATA, 0x3001, &owned, &error));
    ck_assert_ptr_null(owned);
    ca_error_destroy(error);
    ca_source_destroy(source);
}
END_TEST

/* ------------------------------------------------------------------------------------- none at all */

static void assert_refused(const void *data, size_t data_size, const char *words)
{
    struct ca_error *error = NULL;
    ck_assert_ptr_null(open_bytes(data, data_size, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(ca_error_status(error), CA_NOTHING);
    ck_assert_msg(strncmp(ca_error_message(error), path, strlen(path)) == 0, "%s", ca_error_message(error));
    ck_assert_msg(strstr(ca_error_message(error), words), "%s", ca_error_message(error));
    ca_error_destroy(error);
}

static void assert_path_refused(const char *name, const char *words)
{
    struct ca_error *error = NULL;
    ck_assert_ptr_null(ca_source_open_core(name, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strncmp(ca_error_message(error), name, strlen(name)) == 0, "%s", ca_error_message(error));
    ck_assert_msg(strstr(ca_error_message(error), words), "%s", ca_error_message(error));
    ca_error_destroy(error);
}

START_TEST(no_file)
{
    assert_path_refused("/no/such/core", "no such file");
    assert_path_refused("/tmp", "is a directory");
    char fifo[64];
    snprintf(fifo, sizeof(fifo), "/tmp/tm-fifo-%d", (int)getpid());
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    assert_path_refused(fifo, "nothing comes from it"); /* and nobody waits for a writer */
    unlink(fifo);
}
END_TEST

START_TEST(no_permission)
{
    char name[64];
    snprintf(name, sizeof(name), "%s", image_file(bytes, size));
    ck_assert_int_eq(chmod(name, 0), 0);
    if (geteuid() ==
        0) { /* root may read everything: be somebody else; the test runs in a process of its own */
        ck_assert_int_eq(chown(name, 0, 0), 0);
        ck_assert_int_eq(setegid(65534), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    assert_path_refused(name, "permission denied");
    if (getuid() == 0) {
        ck_assert_int_eq(seteuid(0), 0);
    }
    unlink(name);
}
END_TEST

START_TEST(no_elf)
{
    assert_refused("", 0, "is empty");
    assert_refused("hello", 5, "is no core file: ELF magic 7f 45 4c 46 expected, found 68 65 6c 6c");
    assert_refused("h", 1, "found 68;");
    assert_refused("\x28\xb5\x2f\xfd----", 8, "is no whole zstd file");
    assert_refused("\x1f\x8b----", 6, "found 1f 8b 2d 2d");
    assert_refused(bytes, 63, "ends within its ELF header: 64 bytes expected, 63 found");
}
END_TEST

START_TEST(no_core)
{
    header()->e_type = ET_EXEC;
    assert_refused(bytes, size, "is no core file but an executable");
    header()->e_type = ET_REL;
    assert_refused(bytes, size, "is no core file but an object file");
    header()->e_type = ET_DYN;
    assert_refused(bytes, size, "is no core file but a shared object");
    program(2)->p_type = PT_INTERP;
    assert_refused(bytes, size, "is no core file but an executable");
    header()->e_phoff = UINT64_MAX - 8;
    assert_refused(bytes, size, "is no core file but a shared object");
    assert_path_refused("/proc/self/exe", "is no core file but an executable");
}
END_TEST

START_TEST(other_machines)
{
    header()->e_machine = EM_RISCV;
    assert_refused(bytes, size, "is of machine 243 (riscv); x86-64 (62) and aarch64 (183) are supported");
    header()->e_ident[EI_DATA] = ELFDATA2MSB;
    assert_refused(bytes, size, "is a big-endian ELF file");
    header()->e_ident[EI_CLASS] = ELFCLASS32;
    assert_refused(bytes, size, "is a 32-bit ELF file");
}
END_TEST

START_TEST(damaged_headers)
{
    Elf64_Ehdr good = *header();
    header()->e_phentsize = 32;
    assert_refused(bytes, size, "program headers of 56 bytes expected, found 32");
    *header() = good;
    header()->e_phnum = 0;
    assert_refused(bytes, size, "no program headers");
    *header() = good;
    header()->e_phnum = 60000;
    assert_refused(bytes, size, "ends within its program headers: 3360000 bytes at offset 64 expected");
    *header() = good;
    header()->e_phoff = UINT64_MAX - 10;
    assert_refused(bytes, size, "ends within its program headers");
    assert_refused(bytes, 100, "ends within its program headers");
}
END_TEST

/* ---------------------------------------------------------------------------------------- odd ones */

/* 65535 program headers or more: the number is elsewhere. */
START_TEST(more_program_headers_than_the_header_can_say)
{
    uint16_t count = header()->e_phnum;
    header()->e_phnum = PN_XNUM;
    struct ca_source *source = open_good(); /* by the place of the notes */
    size_t found;
    ca_source_mappings(source, &found);
    ck_assert_uint_eq(found, 5);
    ca_source_destroy(source);
    Elf64_Shdr section = {.sh_info = count};
    bytes = realloc(bytes, size + sizeof(section));
    memcpy(bytes + size, &section, sizeof(section));
    header()->e_shoff = size;
    size += sizeof(section);
    program(0)->p_offset += 7; /* no longer of help */
    source = open_good();
    ca_source_mappings(source, &found);
    ck_assert_uint_eq(found, 5);
    ca_source_destroy(source);
}
END_TEST

START_TEST(overlapping_segments)
{
    program(4)->p_vaddr = HEAP + 0x1000; /* its first half lies in the one before, its second behind that */
    program(4)->p_memsz = program(4)->p_filesz = 0x2000;
    struct ca_source *source = open_good();
    size_t count;
    const struct ca_mapping *found = ca_source_mappings(source, &count);
    for (size_t i = 1; i < count; i++) {
        ck_assert_uint_le(found[i - 1].end, found[i].start);
    }
    uint8_t buffer[16];
    ck_assert(ca_source_read(source, HEAP + 0x1ff8, buffer, 16, NULL));
    ck_assert_mem_eq(buffer, image_at(image, HEAP + 0x1ff8), 8);
    ca_source_destroy(source);
}
END_TEST

START_TEST(hostile_segments)
{
    const Elf64_Phdr good = *program(3);
    const Elf64_Phdr bad[] = {
        {.p_type = PT_LOAD,
         .p_vaddr = UINT64_MAX - 8,
         .p_memsz = 100,
         .p_filesz = 100,
         .p_offset = good.p_offset},
        {.p_type = PT_LOAD,
         .p_vaddr = HEAP,
         .p_memsz = UINT64_MAX - HEAP,
         .p_filesz = UINT64_MAX,
         .p_offset = good.p_offset},
        {.p_type = PT_LOAD, .p_vaddr = HEAP, .p_memsz = 0x2000, .p_filesz = 0x2000, .p_offset = UINT64_MAX},
        {.p_type = PT_LOAD, .p_vaddr = HEAP, .p_memsz = 16, .p_filesz = UINT64_MAX, .p_offset = 0},
        {.p_type = PT_LOAD, .p_vaddr = HEAP, .p_memsz = 0, .p_filesz = 0x2000, .p_offset = good.p_offset},
        {.p_type = PT_NOTE, .p_filesz = UINT64_MAX, .p_offset = program(0)->p_offset},
        {.p_type = PT_NOTE, .p_filesz = 100, .p_offset = UINT64_MAX - 50},
        {.p_type = PT_NOTE, .p_filesz = size, .p_offset = 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        *program(3) = bad[i];
        struct ca_source *source = open_good();
        uint8_t buffer[64];
        size_t got;
        ck_assert(ca_source_read_some(source, HEAP, buffer, sizeof(buffer), &got, NULL));
        ck_assert(ca_source_read_some(source, HEAP + 0xfff, buffer, sizeof(buffer), &got, NULL));
        ca_source_destroy(source);
    }
}
END_TEST

/* Each byte of the notes, one by one, becomes large: nothing may be read outside of them. */
START_TEST(hostile_notes)
{
    for (size_t at = program(0)->p_offset; at < program(0)->p_offset + program(0)->p_filesz; at++) {
        uint8_t good = bytes[at];
        bytes[at] ^= 0xff;
        struct ca_source *source = open_good();
        ca_source_process(source);
        ca_source_destroy(source);
        bytes[at] = good;
    }
}
END_TEST

START_TEST(no_notes)
{
    program(0)->p_type = PT_NULL;
    struct ca_source *source = open_good();
    size_t count;
    ca_source_threads(source, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(ca_source_process(source)->program, "");
    ck_assert_uint_eq(ca_source_process(source)->signal_thread, 0);
    ca_source_mappings(source, &count);
    ck_assert_uint_eq(count, 5);
    ca_source_destroy(source);
}
END_TEST

/* ---------------------------------------------------------------------------------------- cut ones */

struct summary {
    uint64_t blocks, bytes;
};

static bool add_up(void *context, const struct ca_block *block)
{
    struct summary *summary = context;
    summary->blocks++;
    summary->bytes += block->size;
    return true;
}

/* The first `cut` bytes: what can be read of its tables; false when nothing can. */
static bool read_cut(const uint8_t *core, size_t cut, struct summary *summary, bool *ret_truncated)
{
    char name[64];
    snprintf(name, sizeof(name), "%s", image_file(core, cut));
    struct ca_error *error = NULL;
    struct ca_target *target = ca_target_open_core(name, NULL, &error);
    struct ca_table *table = target ? ca_target_table(target, &error) : NULL;
    memset(summary, 0, sizeof(*summary));
    if (table) {
        ck_assert(ca_table_each_block(table, add_up, summary, NULL));
        *ret_truncated = table->coverage.truncated;
    } else {
        ck_assert_ptr_nonnull(error);
        ck_assert_str_ne(ca_error_message(error), "");
        ca_error_destroy(error);
    }
    ca_target_destroy(target);
    unlink(name);
    return table != NULL;
}

/* Cut at every page, and around it: never more than there is, never less than before, all of it once the
 * tables are whole, and said to be truncated as long as a byte is missing. */
START_TEST(cut_anywhere)
{
    struct image *whole = image_example(&(struct image_shape){.features = TM_FEATURE_STATS});
    image_add(whole, 0x7f0000000000, 0x5000, 3, NULL, 0);
    uint8_t *core;
    size_t core_size = image_core(whole, &core);
    size_t tables_end = 0x10000 + (TM_REGION_HISTORY + 1) * IMAGE_REGION_BYTES + 0x1000;
    struct summary last = {0}, now;
    size_t cut = 0;
    while (cut < core_size) {
        bool truncated = false;
        bool read = read_cut(core, cut, &now, &truncated);
        ck_assert_msg(!read || truncated, "cut at %zu", cut);
        ck_assert_uint_le(now.blocks, EXAMPLE_BLOCKS);
        ck_assert_uint_ge(now.blocks, last.blocks);
        if (cut >= tables_end) {
            ck_assert(read);
            ck_assert_uint_eq(now.bytes, EXAMPLE_SIZE);
        }
        last = now;
        cut += cut < 8192 ? 37 : 4096;
    }
    bool truncated = true;
    ck_assert(read_cut(core, core_size, &now, &truncated));
    ck_assert(!truncated);
    ck_assert_uint_eq(now.blocks, EXAMPLE_BLOCKS);
    free(core);
    image_destroy(whole);
}
END_TEST

START_TEST(present_of_a_cut_core)
{
    size_t cut = size - 0x1800; /* within the stack, the last segment */
    struct ca_error *error = NULL;
    struct ca_source *source = open_bytes(bytes, cut, &error);
    ck_assert_ptr_nonnull(source);
    uint64_t expected, found;
    ck_assert(ca_source_truncated(source, &expected, &found));
    ck_assert_uint_eq(expected, size);
    ck_assert_uint_eq(found, cut);
    size_t count;
    const struct ca_mapping *mapping = ca_source_mappings(source, &count);
    ck_assert_uint_eq(mapping[4].present, 0x800);
    ck_assert_uint_eq(mapping[3].present, 0x1000);
    uint8_t byte;
    ck_assert(ca_source_read(source, STACK + 0x7ff, &byte, 1, NULL));
    ck_assert(!ca_source_read(source, STACK + 0x800, &byte, 1, &error));
    ck_assert_ptr_nonnull(strstr(ca_error_message(error), "(the file is truncated)"));
    ca_error_destroy(error);
    ca_source_destroy(source);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("core");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, description);
    tcase_add_loop_test(cases, program_by_its_short_name, 0, 2);
    tcase_add_test(cases, mappings);
    tcase_add_test(cases, reading);
    tcase_add_test(cases, mapping_without_copying);
    tcase_add_test(cases, no_file);
    tcase_add_test(cases, no_permission);
    tcase_add_test(cases, no_elf);
    tcase_add_test(cases, no_core);
    tcase_add_test(cases, other_machines);
    tcase_add_test(cases, damaged_headers);
    tcase_add_test(cases, more_program_headers_than_the_header_can_say);
    tcase_add_test(cases, overlapping_segments);
    tcase_add_test(cases, hostile_segments);
    tcase_add_test(cases, hostile_notes);
    tcase_add_test(cases, no_notes);
    tcase_add_test(cases, cut_anywhere);
    tcase_add_test(cases, present_of_a_cut_core);
    Suite *suite = suite_create("core");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
