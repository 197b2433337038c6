/* find.c: from a target to the root of the tracer's tables, by four routes. */
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../terminal/progress.h"
#include "internal.h"

#define PAGE_SIZE UINT64_C(4096)
/* No header is as large: a bound for damaged ones. */
#define HEADER_SIZE_MAX (UINT32_C(1) << 20)
#define HEADER_SIZE_MIN offsetof(struct tm_root, regions)
#define REGION_SIZE_MIN sizeof(struct tm_region)

struct search {
    struct ca_source *source;
    const char *sysroot;
    struct ca_error *problem; /* the first root or beacon that was found but is of no use */
    struct ca_error *failure; /* interrupted, out of memory: ends the search */
    size_t module_pages;      /* first pages of ELF files that were read */
    uint64_t scanned, to_scan; /* bytes */
};

/* -------------------------------------------------------------------------------------------- root */

static enum ca_root_check root_bad(struct ca_source *source, uint64_t address, struct ca_error **ret_error,
                                   const char *what, uint64_t expected, uint64_t found)
{
    ca_fail(ret_error, CA_NOTHING,
            "%s: the tracer's root at 0x%" PRIx64 " is damaged: %s %" PRIu64 " expected, found %" PRIu64,
            ca_source_name(source), address, what, expected, found);
    return CA_ROOT_BAD;
}

/* The fields before `regions`, which every 1.y has in these places. */
static enum ca_root_check root_check_head(struct ca_source *source, uint64_t address,
                                          const struct tm_root *root, struct ca_error **ret_error)
{
    if (root->byte_order == __builtin_bswap64(TM_BYTE_ORDER_PROBE)) {
        ca_fail(ret_error, CA_NOTHING,
                "%s: the tracer's tables at 0x%" PRIx64
                " are of the other byte order; read them on a machine like the one that wrote them",
                ca_source_name(source), address);
        return CA_ROOT_BAD;
    }
    if (root->major > TM_LAYOUT_MAJOR) {
        ca_fail(ret_error, CA_NOTHING,
                "%s: the tracer's tables have layout version %" PRIu32 ".%" PRIu32
                ", this reader knows versions up to %d.%d; use the coreanalyze of the tracer's release",
                ca_source_name(source), root->major, root->minor, TM_LAYOUT_MAJOR, TM_LAYOUT_MINOR);
        return CA_ROOT_BAD;
    }
    if (root->major < TM_LAYOUT_MAJOR && root->byte_order == TM_BYTE_ORDER_PROBE) {
        ca_fail(
            ret_error, CA_NOTHING,
            "%s: the tracer's tables have layout version %" PRIu32 ".%" PRIu32
            ", which was never released, this reader knows version %d.%d; use the coreanalyze that was built "
            "with that tracer",
            ca_source_name(source), root->major, root->minor, TM_LAYOUT_MAJOR, TM_LAYOUT_MINOR);
        return CA_ROOT_BAD;
    }
    if (root->byte_order != TM_BYTE_ORDER_PROBE) {
        return root_bad(source, address, ret_error, "byte order", TM_BYTE_ORDER_PROBE, root->byte_order);
    }
    if (root->self != address) {
        return CA_ROOT_NONE; /* a copy of a root, or a former one */
    }
    if (root->header_size < HEADER_SIZE_MIN || root->header_size > HEADER_SIZE_MAX) {
        return root_bad(source, address, ret_error, "header size of at least", HEADER_SIZE_MIN,
                        root->header_size);
    }
    if (root->region_size < REGION_SIZE_MIN) {
        return root_bad(source, address, ret_error, "region size of at least", REGION_SIZE_MIN,
                        root->region_size);
    }
    uint64_t room = (root->header_size - HEADER_SIZE_MIN) / root->region_size;
    if (root->region_count > room) {
        return root_bad(source, address, ret_error, "region count of at most", room, root->region_count);
    }
    return CA_ROOT_GOOD;
}

/* The descriptors, whatever size the writer gave them. Those past TM_REGION_MAX are of kinds that this reader
 * does not know. */
static bool root_read_regions(struct ca_source *source, uint64_t address, struct tm_root *root,
                              struct ca_error **ret_error)
{
    uint32_t count = root->region_count < TM_REGION_MAX ? root->region_count : TM_REGION_MAX;
    size_t size = root->region_size < sizeof(struct tm_region) ? root->region_size : sizeof(struct tm_region);
    memset(root->regions, 0, sizeof(root->regions));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = address + HEADER_SIZE_MIN + (uint64_t)i * root->region_size;
        if (!ca_source_read(source, at, &root->regions[i], size, ret_error)) {
            return false;
        }
    }
    root->region_count = count;
    return true;
}

enum ca_root_check ca_root_read(struct ca_source *source, uint64_t address, struct tm_root *root,
                                struct ca_error **ret_error)
{
    size_t got = 0;
    memset(root, 0, sizeof(*root));
    if (!ca_source_read_some(source, address, root, HEADER_SIZE_MIN, &got, ret_error)) {
        return CA_ROOT_FAILED;
    }
    if (got < TM_MAGIC_SIZE || memcmp(root->magic, TM_ROOT_MAGIC, TM_MAGIC_SIZE) != 0) {
        return CA_ROOT_NONE;
    }
    if (got < HEADER_SIZE_MIN) {
        return root_bad(source, address, ret_error, "bytes of it", HEADER_SIZE_MIN, got);
    }
    enum ca_root_check check = root_check_head(source, address, root, ret_error);
    if (check == CA_ROOT_GOOD && !root_read_regions(source, address, root, ret_error)) {
        return CA_ROOT_BAD;
    }
    return check;
}

/* -------------------------------------------------------------------------------------- candidates */

static void keep_problem(struct search *search, struct ca_error *problem)
{
    if (search->problem) {
        ca_error_destroy(problem);
    } else {
        search->problem = problem;
    }
}

/* The address if a root is there, else 0. */
static uint64_t try_root(struct search *search, uint64_t address)
{
    struct tm_root root;
    struct ca_error *error = NULL;
    switch (ca_root_read(search->source, address, &root, &error)) {
    case CA_ROOT_GOOD:
        return address;
    case CA_ROOT_BAD:
        keep_problem(search, error);
        return 0;
    case CA_ROOT_FAILED:
        search->failure = error;
        return 0;
    default:
        return 0;
    }
}

/* Reads a structure; false when it is not there in full. */
static bool try_read(struct search *search, uint64_t address, void *buffer, size_t size)
{
    size_t got = 0;
    if (search->failure ||
        !ca_source_read_some(search->source, address, buffer, size, &got, &search->failure)) {
        return false;
    }
    return got == size;
}

static uint64_t try_beacon(struct search *search, uint64_t address)
{
    struct tm_beacon beacon;
    if (!try_read(search, address, &beacon, sizeof(beacon)) ||
        memcmp(beacon.magic, TM_BEACON_MAGIC, TM_MAGIC_SIZE) != 0) {
        return 0;
    }
    const char *name = ca_source_name(search->source);
    if (beacon.self == 0 || (beacon.self == address && beacon.root == 0)) {
        keep_problem(search,
                     ca_error_create(CA_NOTHING,
                                     "%s: the tracer is loaded but has not started: it keeps no tables yet",
                                     name));
        return 0;
    }
    if (beacon.self != address) {
        return 0;
    }
    uint64_t root = try_root(search, beacon.root);
    if (!root && !search->failure) {
        uint64_t expected, found;
        bool truncated = ca_source_truncated(search->source, &expected, &found);
        keep_problem(search, ca_error_create(CA_NOTHING,
                                             "%s: the tracer says that its tables are at 0x%" PRIx64
                                             ", but they are not there%s",
                                             name, beacon.root, truncated ? ": the file is truncated" : ""));
    }
    return root;
}

/* ----------------------------------------------------------------------------------- route: symbol */

/* Value of the defined symbol tm_table in a symbol table of the file; 0 = none. */
static uint64_t symbol_value(Elf *elf, uint32_t section_type)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        Elf_Data *data;
        if (!gelf_getshdr(section, &header) || header.sh_type != section_type || !header.sh_entsize ||
            !(data = elf_getdata(section, NULL))) {
            continue;
        }
        for (size_t i = 1; i < header.sh_size / header.sh_entsize && i < INT32_MAX; i++) {
            GElf_Sym symbol;
            if (!gelf_getsym(data, (int)i, &symbol)) {
                break;
            }
            const char *name =
                symbol.st_shndx == SHN_UNDEF ? NULL : elf_strptr(elf, header.sh_link, symbol.st_name);
            if (name && strcmp(name, "tm_table") == 0) {
                return symbol.st_value;
            }
        }
    }
    return 0;
}

/* Run-time address minus address in the file, for a file whose bytes from `offset` on are mapped at `start`.
 */
static bool load_bias(Elf *elf, uint64_t start, uint64_t offset, uint64_t *ret_bias)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0) {
        return false;
    }
    for (size_t i = 0; i < count && i < INT32_MAX; i++) {
        GElf_Phdr program;
        if (gelf_getphdr(elf, (int)i, &program) && program.p_type == PT_LOAD &&
            program.p_offset / PAGE_SIZE == offset / PAGE_SIZE) {
            *ret_bias = start - program.p_vaddr / PAGE_SIZE * PAGE_SIZE;
            return true;
        }
    }
    return false;
}

/* Opens a regular file for reading: a name from a core must not make us wait at a FIFO. */
static int open_regular(const char *sysroot, const char *path)
{
    char *joined = NULL;
    if (asprintf(&joined, "%s%s", sysroot ? sysroot : "", path) < 0) {
        return -1;
    }
    int file = open(joined, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    free(joined);
    struct stat status;
    if (file >= 0 && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(file);
        return -1;
    }
    return file;
}

static uint64_t symbol_in_file(const struct search *search, const struct ca_mapping *mapping)
{
    int file = open_regular(search->sysroot, mapping->path);
    if (file < 0) {
        return 0;
    }
    uint64_t address = 0, bias;
    Elf *elf = elf_begin(file, ELF_C_READ_MMAP, NULL);
    if (elf && elf_kind(elf) == ELF_K_ELF && load_bias(elf, mapping->start, mapping->offset, &bias)) {
        uint64_t value = symbol_value(elf, SHT_DYNSYM);
        value = value ? value : symbol_value(elf, SHT_SYMTAB);
        address = value ? bias + value : 0;
    }
    elf_end(elf);
    close(file);
    return address;
}

static uint64_t find_by_files(struct search *search)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(search->source, &count);
    elf_version(EV_CURRENT);
    for (size_t i = 0; i < count && !search->failure; i++) {
        if (!mappings[i].path[0] || mappings[i].path[0] != '/' || mappings[i].offset != 0) {
            continue;
        }
        uint64_t address = symbol_in_file(search, &mappings[i]);
        uint64_t root = address ? try_beacon(search, address) : 0;
        if (root) {
            return root;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------- route: note */

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

/* The root that the tm note among these bytes, which are at `address` in the target, leads to. */
static uint64_t root_of_notes(struct search *search, uint64_t address, const uint8_t *bytes, size_t size,
                              uint64_t alignment)
{
    uint64_t at = 0;
    while (at + sizeof(Elf64_Nhdr) <= size) {
        Elf64_Nhdr note;
        memcpy(&note, bytes + at, sizeof(note));
        uint64_t name = at + sizeof(note);
        uint64_t descriptor = align_up(name + note.n_namesz, alignment);
        if (descriptor > size || note.n_descsz > size - descriptor) {
            return 0;
        }
        if (note.n_type == TM_NOTE_TYPE && note.n_namesz == sizeof(TM_NOTE_NAME) &&
            note.n_descsz >= sizeof(int64_t) &&
            memcmp(bytes + name, TM_NOTE_NAME, sizeof(TM_NOTE_NAME)) == 0) {
            int64_t distance;
            memcpy(&distance, bytes + descriptor, sizeof(distance));
            uint64_t root = try_beacon(search, address + descriptor + (uint64_t)distance);
            if (root) {
                return root;
            }
        }
        at = align_up(descriptor + note.n_descsz, alignment);
    }
    return 0;
}

#define NOTES_MAX 65536

static uint64_t root_of_note_segment(struct search *search, uint64_t address, const Elf64_Phdr *program)
{
    uint64_t size = program->p_memsz < NOTES_MAX ? program->p_memsz : NOTES_MAX;
    uint8_t *notes = malloc(size ? (size_t)size : 1);
    size_t got = 0;
    uint64_t root = 0;
    if (notes && ca_source_read_some(search->source, address, notes, (size_t)size, &got, &search->failure)) {
        root = root_of_notes(search, address, notes, got, program->p_align == 8 ? 8 : 4);
    }
    free(notes);
    return root;
}

/* The ELF file whose first page is at the start of the mapping. */
static uint64_t root_of_module(struct search *search, uint64_t start)
{
    Elf64_Ehdr header;
    if (!try_read(search, start, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
        return 0;
    }
    search->module_pages++;
    uint64_t bias = start;
    for (int pass = 0; pass < 2; pass++) { /* first the bias, then the notes */
        for (size_t i = 0; i < header.e_phnum && i < PAGE_SIZE / sizeof(Elf64_Phdr); i++) {
            Elf64_Phdr program;
            if (!try_read(search, start + header.e_phoff + i * sizeof(program), &program, sizeof(program))) {
                return 0;
            }
            if (pass == 0 && program.p_type == PT_LOAD && program.p_offset < PAGE_SIZE) {
                bias = start - program.p_vaddr / PAGE_SIZE * PAGE_SIZE;
            }
            uint64_t root = pass == 1 && program.p_type == PT_NOTE
                                ? root_of_note_segment(search, bias + program.p_vaddr, &program)
                                : 0;
            if (root) {
                return root;
            }
        }
    }
    return 0;
}

static uint64_t find_by_notes(struct search *search)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(search->source, &count);
    for (size_t i = 0; i < count && !search->failure; i++) {
        if (mappings[i].present < sizeof(Elf64_Ehdr) || mappings[i].offset != 0) {
            continue;
        }
        uint64_t root = root_of_module(search, mappings[i].start);
        if (root) {
            return root;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------- route: scan */

#define SCAN_STEP (UINT64_C(1) << 20)

static uint64_t scan_range(struct search *search, uint64_t start, uint64_t end)
{
    uint64_t at = align_up(start, PAGE_SIZE);
    while (at < end && at >= start) {
        uint64_t step = end - at < SCAN_STEP ? end - at : SCAN_STEP;
        search->scanned += step;
        ca_progress_report(&(struct ca_progress){.phase = "looking for the tracer's tables",
                                                 .done = search->scanned,
                                                 .total = search->to_scan,
                                                 .bytes = true});
        void *owned = NULL;
        size_t got = 0;
        const uint8_t *bytes =
            ca_source_map_some(search->source, at, (size_t)step, &got, &owned, &search->failure);
        uint64_t root = 0;
        for (size_t page = 0; bytes && !root && page + TM_MAGIC_SIZE <= got; page += PAGE_SIZE) {
            if (memcmp(bytes + page, TM_ROOT_MAGIC, TM_MAGIC_SIZE) == 0) {
                root = try_root(search, at + page);
            }
        }
        free(owned);
        if (root || search->failure || got < step) {
            return root;
        }
        at += step;
    }
    return 0;
}

static uint64_t find_by_scan(struct search *search)
{
    size_t count;
    const struct ca_mapping *mappings = ca_source_mappings(search->source, &count);
    for (size_t i = 0; i < count; i++) {
        search->to_scan += mappings[i].present;
    }
    for (size_t i = 0; i < count && !search->failure; i++) {
        uint64_t root = scan_range(search, mappings[i].start, mappings[i].start + mappings[i].present);
        if (root) {
            return root;
        }
    }
    return 0;
}

/* -------------------------------------------------------------------------------------- all routes */

static void fail_nothing(struct search *search, struct ca_error **ret_error)
{
    if (search->failure || search->problem) {
        struct ca_error *error = search->failure ? search->failure : search->problem;
        if (search->failure) {
            ca_error_destroy(search->problem);
        }
        if (ret_error) {
            *ret_error = error;
        } else {
            ca_error_destroy(error);
        }
        return;
    }
    uint64_t expected, found;
    if (ca_source_truncated(search->source, &expected, &found)) {
        ca_fail(ret_error, CA_NOTHING,
                "%s: no tm tracer found in it, but the file is truncated (%" PRIu64 " of %" PRIu64
                " bytes); raise `ulimit -c` and the limits of what collects core files",
                ca_source_name(search->source), found, expected);
        return;
    }
    ca_fail(ret_error, CA_NOTHING,
            "%s: no tm tracer found in it; run the program with: tm-run PROGRAM [ARG...]",
            ca_source_name(search->source));
}

/* A scan of a live process that has no tracer would read all its memory, perhaps over a serial line. Its
 * modules' notes have answered already where there are any to be seen. */
static bool worth_scanning(const struct search *search, unsigned routes)
{
    return (routes & CA_ROUTE_SCAN) &&
           (routes == CA_ROUTE_SCAN || search->module_pages == 0 || ca_source_in_memory(search->source));
}

uint64_t ca_table_find(struct ca_source *source, const char *sysroot, unsigned routes,
                       enum ca_route *ret_route, struct ca_error **ret_error)
{
    struct search search = {.source = source, .sysroot = sysroot};
    /* The routes that every source has come first, so that a process and its core are read by the same one;
     * and the first needs no description of the target, which a debugger takes longer for than for all the
     * rest. */
    uint64_t root = 0;
    enum ca_route route = CA_ROUTE_PREFERRED;
    if (routes & CA_ROUTE_PREFERRED) {
        root = try_root(&search, TM_PREFERRED_ADDRESS);
    }
    if (!root && !search.failure) {
        ca_source_described(source, &search.failure);
    }
    uint64_t hint = root || search.failure ? 0 : ca_source_table_hint(source);
    if (!root && !search.failure && (routes & CA_ROUTE_NOTE)) {
        route = CA_ROUTE_NOTE;
        root = find_by_notes(&search);
    }
    if (!root && !search.failure && (routes & CA_ROUTE_SYMBOL) && hint) {
        route = CA_ROUTE_SYMBOL;
        root = try_beacon(&search, hint);
    }
    if (!root && !search.failure && (routes & CA_ROUTE_SYMBOL)) {
        route = CA_ROUTE_SYMBOL;
        root = find_by_files(&search);
    }
    if (!root && !search.failure && worth_scanning(&search, routes)) {
        route = CA_ROUTE_SCAN;
        root = find_by_scan(&search);
    }
    if (!root) {
        fail_nothing(&search, ret_error);
        return 0;
    }
    ca_error_destroy(search.problem);
    if (ret_route) {
        *ret_route = route;
    }
    return root;
}
