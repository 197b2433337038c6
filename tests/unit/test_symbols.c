/* test_symbols.c: the parts of the symbolizer, and the symbolizer on this program itself, whole and damaged.
 */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coreanalyze/symbols/function_name.h"
#include "coreanalyze/symbols/intervals.h"
#include "coreanalyze/symbols/pool.h"
#include "coreanalyze/symbols/source_path.h"
#include "coreanalyze/symbols/symbols.h"
#include "coreanalyze/table/table.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ------------------------------------------------------------------------------------------------------ pool
 */

START_TEST(equal_strings_are_one)
{
    struct ca_pool pool = {0};
    const char *first[2000];
    char text[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2000; i++) {
            snprintf(text, sizeof(text), "string number %d", i);
            const char *kept = ca_pool_string(&pool, text);
            ck_assert_str_eq(kept, text);
            if (round == 0) {
                first[i] = kept;
            } else {
                ck_assert_ptr_eq(kept, first[i]);
            }
        }
    }
    ck_assert_str_eq(ca_pool_string_bytes(&pool, "abcdef", 3), "abc");
    ck_assert_ptr_ne(ca_pool_string(&pool, "abc"), ca_pool_string(&pool, "abcd"));
    ck_assert_ptr_eq(ca_pool_string(&pool, ""), ca_pool_string_bytes(&pool, "x", 0));
    ca_pool_deinit(&pool);
}
END_TEST

START_TEST(pool_memory_is_aligned_and_apart)
{
    struct ca_pool pool = {0};
    unsigned char *blocks[500];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        size_t size = i % 50 == 0 ? 100000 : i + 1;
        blocks[i] = ca_pool_allocate(&pool, size);
        ck_assert_uint_eq((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)(i & 0xff), size);
        ca_pool_string(&pool, "odd");
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        size_t size = i % 50 == 0 ? 100000 : i + 1;
        size_t same = 0;
        while (same < size && blocks[i][same] == (i & 0xff)) {
            same++;
        }
        ck_assert_uint_eq(same, size);
    }
    ck_assert_ptr_null(ca_pool_allocate(&pool, SIZE_MAX - 8));
    ck_assert(pool.failed);
    ca_pool_deinit(&pool);
}
END_TEST

START_TEST(maps_find_what_was_set)
{
    struct ca_map map = {0};
    static const int values[3];
    ck_assert_ptr_null(ca_map_get(&map, 0, 0));
    for (uint64_t i = 0; i < 10000; i++) {
        ck_assert(ca_map_set(&map, i % 10, i / 10, &values[i % 3]));
    }
    for (uint64_t i = 0; i < 10000; i++) {
        ck_assert_ptr_eq(ca_map_get(&map, i % 10, i / 10), &values[i % 3]);
    }
    ck_assert_ptr_null(ca_map_get(&map, 10, 0));
    ck_assert_ptr_null(ca_map_get(&map, 0, 1000));
    ck_assert(ca_map_set(&map, 3, 3, &values[0]));
    ck_assert_uint_eq(map.count, 10000);
    ca_map_deinit(&map);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- intervals */

/* The range that starts last, of those the smallest, of those the one with the largest value. */
static uint32_t find_slowly(const struct ca_interval *items, size_t count, uint64_t address)
{
    const struct ca_interval *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct ca_interval *item = &items[i];
        if (address < item->low || address >= item->high) {
            continue;
        }
        if (!best || item->low > best->low || (item->low == best->low && item->high < best->high) ||
            (item->low == best->low && item->high == best->high && item->value > best->value)) {
            best = item;
        }
    }
    return best ? best->value : CA_NO_INTERVAL;
}

START_TEST(intervals_nest_as_by_hand)
{
    uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)_i;
    for (int round = 0; round < 300; round++) {
        struct ca_intervals intervals = {0};
        struct ca_interval items[24];
        size_t count = random_next(&state) % COUNT(items);
        for (size_t i = 0; i < count; i++) {
            uint64_t low = random_next(&state) % 40;
            items[i] = (struct ca_interval){low, low + random_next(&state) % 20, (uint32_t)i};
            ck_assert(ca_intervals_add(&intervals, items[i].low, items[i].high, items[i].value));
        }
        ck_assert(ca_intervals_add(&intervals, 30, 10, 99)); /* reversed: left out */
        ck_assert(ca_intervals_finish(&intervals));
        for (uint64_t address = 0; address < 64; address++) {
            ck_assert_uint_eq(ca_intervals_find(&intervals, address), find_slowly(items, count, address));
        }
        ca_intervals_deinit(&intervals);
    }
}
END_TEST

START_TEST(intervals_reach_the_end_of_the_address_space)
{
    struct ca_intervals intervals = {0};
    ck_assert_uint_eq(ca_intervals_find(&intervals, 5), CA_NO_INTERVAL);
    ck_assert(ca_intervals_add(&intervals, 10, UINT64_MAX, 1));
    ck_assert(ca_intervals_finish(&intervals));
    ck_assert_uint_eq(ca_intervals_find(&intervals, 9), CA_NO_INTERVAL);
    ck_assert_uint_eq(ca_intervals_find(&intervals, UINT64_MAX - 1), 1);
    ca_intervals_deinit(&intervals);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- names */

struct pair {
    const char *given, *wanted;
};

START_TEST(function_names)
{
    static const struct pair pairs[] = {
        {"main", "main"},
        {"_start", "_start"},
        {"_Znwm", "operator new"},
        {"_Znam", "operator new[]"},
        {"_ZNK3FoocviEv", "Foo::operator int"},
        {"_ZN3foolsEi", "foo::operator<<"},
        {"_ZN12_GLOBAL__N_13barEv", "(anonymous namespace)::bar"},
        {"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()"},
        {"_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_", "std::move<int&>"},
        {"_ZN3foo3barILi3EEEPFivEi", "foo::bar<3>"},
        {"_ZN3fooC2Ei", "foo::foo"},
        {"_ZN3fooD0Ev", "foo::~foo"},
        {"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"},
        /* Rust: v0 and legacy */
        {"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
        {"_RINvNtC4core3mem4dropNtNtC5alloc6string6StringE", "core::mem::drop::<alloc::string::String>"},
        {"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"},
        {"_ZN63_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE",
         "<alloc::vec::Vec<T> as core::clone::Clone>::clone"},
        /* D */
        {"_D3std5stdio7writelnFZv", "std.stdio.writeln"},
        {"_Dmain", "D main"},
        /* clones and versions */
        {"_Z3foov.part.0", "foo"},
        {"_Z3foov.constprop.0.isra.0", "foo"},
        {"_Z3foov.llvm.123456", "foo"},
        {"_ZN4core3ptr13drop_in_place17h0123456789abcdefE.llvm.987", "core::ptr::drop_in_place"},
        {"parse.part.0.constprop.0", "parse"},
        {"parse.cold", "parse"},
        {"parse.isra.12", "parse"},
        {"parse.lto_priv.0", "parse"},
        {"memcpy@@GLIBC_2.14", "memcpy"},
        {"memcpy@GLIBC_2.2.5", "memcpy"},
        {"strlen.avx2", "strlen"},
        {"inner.3", "inner"},
        /* no clones: whole names in their languages */
        {"main.main.func1.2", "main.main.func1.2"},
        {"runtime.mallocgc", "runtime.mallocgc"},
        {".text", ".text"},
        {"@plt", "@plt"},
        /* what does not demangle stays */
        {"_Z", "_Z"},
        {"_ZN", "_ZN"},
        {"_RX", "_RX"},
        {"_Destroy", "_Destroy"},
        {"", ""},
    };
    struct ca_pool pool = {0};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        ck_assert_str_eq(ca_function_name(&pool, pairs[i].given), pairs[i].wanted);
    }
    ca_pool_deinit(&pool);
}
END_TEST

/* Names that would take all memory, all stack or all time. */
START_TEST(hostile_function_names)
{
    struct ca_pool pool = {0};
    char *name = malloc(200000);
    size_t sizes[] = {100, 4000, 8000, 100000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const char *const units[] = {"P",   "N", "F", "I",  "S", "X", "DpT_",
                                     "1aI", "T", "M", "A_", "R", "L", "D"};
        for (size_t unit = 0; unit < COUNT(units); unit++) {
            size_t size = (size_t)sprintf(name, "_Z1fI");
            while (size < sizes[i]) {
                size += (size_t)sprintf(name + size, "%s", units[unit]);
            }
            ck_assert_ptr_nonnull(ca_function_name(&pool, name));
            memcpy(name, "_RNvC", 5);
            ck_assert_ptr_nonnull(ca_function_name(&pool, name));
            memcpy(name, "_D1a1b", 6);
            ck_assert_ptr_nonnull(ca_function_name(&pool, name));
        }
    }
    /* each type holds the one before it twice: 2^30 characters */
    size_t size = (size_t)sprintf(name, "_Z1fISt4pairIiiE");
    for (int i = 0; i < 30; i++) {
        int number = 2 * i + 1; /* of the substitution, base 36 */
        char digit = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 36];
        const char *high = number < 36 ? "" : "1";
        size += (size_t)sprintf(name + size, "St4pairIS%s%c_S%s%c_E", high, digit, high, digit);
    }
    strcpy(name + size, "Evv");
    ck_assert_str_eq(ca_function_name(&pool, name), name);
    free(name);
    ca_pool_deinit(&pool);
}
END_TEST

START_TEST(paths)
{
    static const struct pair pairs[] = {
        {"/a/b.c", "/a/b.c"},
        {"/a/./b//../c", "/a/c"},
        {"/../a", "/a"},
        {"a/../../b", "../b"},
        {"./a", "a"},
        {"../../a", "../../a"},
        {"/", "/"},
        {"a/..", "."},
        {".", "."},
        {"", "."},
        {"//a///b/", "/a/b"},
        {"/a/b/../..", "/"},
        {"..", ".."},
        {"a/../..", ".."},
        {"/.../a", "/.../a"},
        {"/a/..b/c..", "/a/..b/c.."},
        {"../a/../b", "../b"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char path[64];
        strcpy(path, pairs[i].given);
        size_t size = ca_path_normalize(path);
        ck_assert_str_eq(path, pairs[i].wanted);
        ck_assert_uint_eq(size, strlen(path));
    }
}
END_TEST

START_TEST(source_maps)
{
    static const char *const rules[] = {
        "/build/x=/src", "/build/=/other/", "lib=/usr/lib", "/gone=", "/all=/", "broken", "=/never"};
    static const struct pair pairs[] = {
        {"/build/x/a.c", "/src/a.c"},
        {"/build/x", "/src"},
        {"/build/xy/a.c", "/other/xy/a.c"},
        {"/build/../build/x/./a.c", "/src/a.c"},
        {"/building/a.c", "/building/a.c"},
        {"lib/a.c", "/usr/lib/a.c"},
        {"library/a.c", "library/a.c"},
        {"/gone/a.c", "/a.c"},
        {"/all/a.c", "/a.c"},
        {"broken/a.c", "broken/a.c"},
    };
    struct ca_pool pool = {0};
    struct ca_source_map map = {rules, COUNT(rules)};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        ck_assert_str_eq(ca_source_path(&pool, &map, pairs[i].given), pairs[i].wanted);
    }
    static const char *const root[] = {"/=/root"};
    map = (struct ca_source_map){root, 1};
    ck_assert_str_eq(ca_source_path(&pool, &map, "/a/b"), "/root/a/b");
    ca_pool_deinit(&pool);
}
END_TEST

/* --------------------------------------------------------------------------------------- allocator frames */

START_TEST(allocator_functions)
{
    static const char *const names[] = {
        "malloc",
        "strdup",
        "getline",
        "asprintf",
        "operator new",
        "operator new[]",
        "llvm::User::operator new",
        "std::vector<int, std::allocator<int> >::push_back",
        "std::_Vector_base<int, std::allocator<int> >::_M_allocate",
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create",
        "std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >::__init",
        "std::__1::vector<int, std::__1::allocator<int> >::push_back",
        "std::__debug::vector<int>::push_back",
        "__gnu_cxx::new_allocator<int>::allocate",
        "std::__new_allocator<int>::allocate",
        "std::make_shared<int>",
        ("std::_Rb_tree<int, int, std::_Identity<int>, std::less<int>, std::allocator<int> "
         ">::_M_create_node<int const&>"),
        "alloc::alloc::exchange_malloc",
        "__rust_alloc",
        "__rustc::__rust_alloc",
        "alloc::raw_vec::RawVec<T,A>::reserve::do_reserve_and_handle",
        "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
        "g_malloc0",
        "g_strdup_printf",
        "g_slice_alloc",
        "QArrayData::allocate",
        "PyMem_Malloc",
        "_PyMem_RawMalloc",
        "PyObject_Malloc",
        "sqlite3Malloc",
        "sqlite3MemMalloc",
        "sqlite3_malloc64",
        "sqlite3DbMallocRawNN",
        "sqlite3Realloc",
        "xmalloc",
        "xstrdup",
        "xmemdup",
        "zmalloc",
        "zcalloc",
        "ztrymalloc_usable",
        "ngx_alloc",
        "palloc0",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        ck_assert_msg(ca_is_allocator_function(names[i], NULL, 0), "%s", names[i]);
    }
}
END_TEST

START_TEST(functions_that_are_no_allocators)
{
    static const char *const names[] = {
        "main",
        "",
        "mallocator",
        "my_strdup_all",
        "pthread_create",
        "dlopen",
        "fopen",
        "printf",
        "_dl_map_object",
        "getaddrinfo",
        "qsort",
        "std::thread::_M_start_thread",
        "std::sort<int*>",
        "std::locale::locale",
        "user::vector<int>::push_back",
        "process<std::vector<int> >",
        "std::vectorize",
        "operator newt",
        "operator new[]x",
        "Foo::operator()",
        "alloc",
        "program::fill",
        "g_main_loop_new",
        "sqlite3_open",
        "PyEval_EvalCode",
        "xml_parse",
        "strbuf",
        "<program::Word as program::Grow>::grow",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        ck_assert_msg(!ca_is_allocator_function(names[i], NULL, 0), "%s", names[i]);
    }
    ck_assert(!ca_is_allocator_function(NULL, NULL, 0));
}
END_TEST

START_TEST(allocator_functions_of_the_user)
{
    static const char *const globs[] = {"arena_*", "Pool<?>::get"};
    ck_assert(ca_is_allocator_function("arena_push", globs, 2));
    ck_assert(ca_is_allocator_function("Pool<X>::get", globs, 2));
    ck_assert(!ca_is_allocator_function("Pool<XY>::get", globs, 2));
    ck_assert(!ca_is_allocator_function("arena_push", NULL, 0));
    ck_assert(ca_is_allocator_function("malloc", globs, 2));
    static const char *const aliases[] = {"something", "arena_pop", NULL};
    struct ca_position position = {.filename = "", .function = "main", .aliases = aliases};
    ck_assert(ca_is_allocator_position(&position, globs, 2));
    ck_assert(!ca_is_allocator_position(&position, NULL, 0));
    position.aliases = NULL;
    ck_assert(!ca_is_allocator_position(&position, globs, 2));
}
END_TEST

/* --------------------------------------------------------------------------------------------- symbolizer */

static struct ca_symbolizer *create(const struct ca_module *modules, size_t count)
{
    struct ca_error *error = NULL;
    struct ca_symbolizer *symbolizer = ca_symbolizer_create(modules, count, NULL, &error);
    ck_assert_ptr_nonnull(symbolizer);
    ck_assert_ptr_null(error);
    return symbolizer;
}

static int first_bias(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    *(uint64_t *)context = info->dlpi_addr;
    return 1;
}

static char own_path[PATH_MAX];

static struct ca_module own_module(void)
{
    struct ca_module module = {.path = own_path, .end = UINT64_MAX};
    dl_iterate_phdr(first_bias, &module.bias);
    return module;
}

static inline __attribute__((always_inline)) uint64_t here(void)
{
    uint64_t address;
    __asm__ volatile("lea (%%rip), %0" : "=r"(address));
    return address;
}

/* Line numbers count from this function's first line. */
static __attribute__((noinline)) uint64_t inlined_address(int *ret_line)
{
    *ret_line = __LINE__;
    uint64_t address = here();
    __asm__ volatile("");
    return address;
}

START_TEST(own_address)
{
    struct ca_module modules[2] = {{0}, own_module()};
    struct ca_symbolizer *symbolizer = create(modules, 2);
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 1), CA_SYMBOLS_NOT_ASKED);
    int line;
    uint64_t address = inlined_address(&line);
    size_t count = 0;
    const struct ca_position *positions = ca_symbolizer_find(symbolizer, 1, address - 1, 1, &count);
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 1), CA_SYMBOLS_LINES);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(positions[0].function, "here");
    ck_assert_str_eq(positions[1].function, "inlined_address");
    ck_assert_ptr_eq(positions[0].filename, positions[1].filename);
    ck_assert_str_eq(strrchr(positions[0].filename, '/'), "/test_symbols.c");
    ck_assert_int_eq(positions[0].filename[0], '/');
    ck_assert_uint_eq(positions[1].lineno, line + 1);
    ck_assert_str_eq(positions[0].module, own_path);
    size_t again_count = 0;
    ck_assert_ptr_eq(ca_symbolizer_find(symbolizer, 1, address - 1, 1, &again_count), positions);
    ck_assert_uint_eq(again_count, 2);
    ck_assert_ptr_null(ca_symbolizer_problem(symbolizer, 1));
    ca_symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(modules_without_files)
{
    struct ca_module modules[4] = {
        {0},
        {.path = "linux-vdso.so.1", .bias = 0x1000, .build_id_length = 20},
        {.path = "/nonexistent/library.so",
         .bias = 0x7f0000000000,
         .build_id_length = 4,
         .build_id = {0xde, 0xad, 0xbe, 0xef}},
        {.path = "", .bias = 0},
    };
    struct ca_symbolizer *symbolizer = create(modules, 4);
    size_t count = 0;
    ck_assert_str_eq(ca_symbolizer_find(symbolizer, 0, 0x1234, 1, &count)->filename, "<unknown>");
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_null(ca_symbolizer_find(symbolizer, 4, 0x1234, 1, &count)->module);
    ck_assert_ptr_null(ca_symbolizer_find(symbolizer, UINT32_MAX, 0x1234, 1, &count)->function);
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 0), CA_SYMBOLS_NOT_ASKED);
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 4), CA_SYMBOLS_NOT_ASKED);

    /* the offset is that of the return address */
    ck_assert_str_eq(ca_symbolizer_find(symbolizer, 1, 0x1aff, 1, &count)->filename,
                     "linux-vdso.so.1(+0xb00)");
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 1), CA_SYMBOLS_VIRTUAL);
    ck_assert_ptr_null(ca_symbolizer_problem(symbolizer, 1));

    const struct ca_position *position = ca_symbolizer_find(symbolizer, 2, 0x7f0000000122, 1, &count);
    ck_assert_str_eq(position->filename, "/nonexistent/library.so(+0x123)");
    ck_assert_str_eq(position->module, "/nonexistent/library.so");
    ck_assert_uint_eq(position->lineno, 0);
    ck_assert_str_eq(ca_symbolizer_find(symbolizer, 2, 0x7f0000000122, 0, &count)->filename,
                     "/nonexistent/library.so(+0x122)");
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 2), CA_SYMBOLS_NO_FILE);
    ck_assert_ptr_nonnull(strstr(ca_symbolizer_problem(symbolizer, 2), "deadbeef"));

    ck_assert_ptr_null(ca_symbolizer_find(symbolizer, 3, 0x10, 1, &count)->module);
    ck_assert_int_eq(ca_symbolizer_status(symbolizer, 3), CA_SYMBOLS_NO_FILE);
    ca_symbolizer_destroy(symbolizer);
}
END_TEST

/* ------------------------------------------------------------------------------------------ damaged files */

struct file {
    unsigned char *bytes;
    size_t size;
};

static struct file file_read(const char *path)
{
    struct file file = {0};
    int descriptor = open(path, O_RDONLY);
    struct stat status;
    ck_assert_int_eq(fstat(descriptor, &status), 0);
    file.size = (size_t)status.st_size;
    file.bytes = malloc(file.size);
    ck_assert_int_eq(read(descriptor, file.bytes, file.size), (ssize_t)file.size);
    close(descriptor);
    return file;
}

static void file_write(const char *path, const unsigned char *bytes, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(descriptor, bytes, size), (ssize_t)size);
    close(descriptor);
}

/* Asks for addresses all over the file's code: any answer will do. */
static void ask_everywhere(const char *path, uint64_t middle)
{
    struct ca_module modules[2] = {{0}, {.path = (char *)path, .end = UINT64_MAX}};
    struct ca_symbolizer *symbolizer = create(modules, 2);
    for (uint64_t address = middle - 20000; address < middle + 20000; address += 997) {
        size_t count = 0;
        const struct ca_position *positions = ca_symbolizer_find(symbolizer, 1, address, 1, &count);
        ck_assert_ptr_nonnull(positions);
        ck_assert_uint_ge(count, 1);
        for (size_t i = 0; i < count; i++) {
            ck_assert_ptr_nonnull(positions[i].filename);
            ck_assert(positions[i].lineno > 0 || strchr(positions[i].filename, '('));
        }
    }
    ck_assert_int_ne(ca_symbolizer_status(symbolizer, 1), CA_SYMBOLS_NOT_ASKED);
    ca_symbolizer_destroy(symbolizer);
}

/* A section that holds debug information or symbols, by number; size 0 when there is none such. */
static struct file section_choose(const struct file *file, uint64_t number)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file->bytes;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file->bytes + header->e_shoff);
    const Elf64_Shdr *section = &sections[number % header->e_shnum];
    const char *name = (const char *)file->bytes + sections[header->e_shstrndx].sh_offset + section->sh_name;
    bool wanted = strncmp(name, ".debug", 6) == 0 || section->sh_type == SHT_SYMTAB ||
                  section->sh_type == SHT_STRTAB || section->sh_type == SHT_NOTE;
    return wanted ? (struct file){file->bytes + section->sh_offset, section->sh_size} : (struct file){0};
}

static struct file section_find(const struct file *file, const char *name)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file->bytes;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file->bytes + header->e_shoff);
    const char *names = (const char *)file->bytes + sections[header->e_shstrndx].sh_offset;
    for (size_t i = 0; i < header->e_shnum; i++) {
        if (strcmp(names + sections[i].sh_name, name) == 0) {
            return (struct file){file->bytes + sections[i].sh_offset, sections[i].sh_size};
        }
    }
    ck_abort_msg("no section %s", name);
}

START_TEST(damaged_files)
{
    struct file file = file_read(own_path);
    struct ca_module own = own_module();
    uint64_t middle = (uint64_t)(uintptr_t)inlined_address - own.bias,
             state = 88172645463325252u + (uint64_t)_i;
    for (int round = 0; round < 12; round++) {
        struct file section;
        do {
            section = section_choose(&file, random_next(&state));
        } while (section.size == 0);
        for (int change = 0; change < 8; change++) {
            static const unsigned char bytes[] = {0, 1, 0x7f, 0x80, 0xff};
            uint64_t value = random_next(&state);
            size_t reach = value & 1 ? section.size : section.size < 256 ? section.size : 256;
            section.bytes[random_next(&state) % reach] =
                value & 2 ? bytes[(value >> 8) % COUNT(bytes)] : (unsigned char)(value >> 8);
        }
        file_write("damaged", file.bytes, file.size);
        ask_everywhere("damaged", middle);
    }
    free(file.bytes);
}
END_TEST

/* Units whose first entry is a mark for the end of children. */
START_TEST(units_that_end_before_they_begin)
{
    struct file file = file_read(own_path);
    struct file info = section_find(&file, ".debug_info");
    size_t changed = 0;
    for (size_t unit = 0; unit + 12 < info.size;) {
        uint32_t size;
        uint16_t version;
        memcpy(&size, info.bytes + unit, sizeof(size));
        memcpy(&version, info.bytes + unit + 4, sizeof(version));
        info.bytes[unit + (version >= 5 ? 12 : 11)] = 0;
        unit += size + sizeof(size);
        changed++;
    }
    ck_assert_uint_gt(changed, 0);
    file_write("damaged", file.bytes, file.size);
    struct ca_module own = own_module();
    ask_everywhere("damaged", (uint64_t)(uintptr_t)inlined_address - own.bias);
    free(file.bytes);
}
END_TEST

START_TEST(cut_files)
{
    struct file file = file_read(own_path);
    struct ca_module own = own_module();
    uint64_t middle = (uint64_t)(uintptr_t)inlined_address - own.bias;
    for (size_t size = 0; size < file.size; size += file.size / 40 + 1) {
        file_write("cut", file.bytes, size);
        ask_everywhere("cut", middle);
    }
    free(file.bytes);
}
END_TEST

static Suite *symbols_suite(void)
{
    Suite *suite = suite_create("symbols");
    TCase *parts = tcase_create("parts");
    tcase_set_timeout(parts, 60);
    tcase_add_test(parts, equal_strings_are_one);
    tcase_add_test(parts, pool_memory_is_aligned_and_apart);
    tcase_add_test(parts, maps_find_what_was_set);
    tcase_add_loop_test(parts, intervals_nest_as_by_hand, 0, 10);
    tcase_add_test(parts, intervals_reach_the_end_of_the_address_space);
    tcase_add_test(parts, function_names);
    tcase_add_test(parts, hostile_function_names);
    tcase_add_test(parts, paths);
    tcase_add_test(parts, source_maps);
    suite_add_tcase(suite, parts);
    TCase *allocators = tcase_create("allocators");
    tcase_add_test(allocators, allocator_functions);
    tcase_add_test(allocators, functions_that_are_no_allocators);
    tcase_add_test(allocators, allocator_functions_of_the_user);
    suite_add_tcase(suite, allocators);
    TCase *symbolizer = tcase_create("symbolizer");
    tcase_set_timeout(symbolizer, 60);
    tcase_add_test(symbolizer, own_address);
    tcase_add_test(symbolizer, modules_without_files);
    tcase_add_loop_test(symbolizer, damaged_files, 0, 20);
    tcase_add_test(symbolizer, units_that_end_before_they_begin);
    tcase_add_test(symbolizer, cut_files);
    suite_add_tcase(suite, symbolizer);
    return suite;
}

int main(void)
{
    ssize_t size = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    own_path[size > 0 ? size : 0] = '\0';
    SRunner *runner = srunner_create(symbols_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
