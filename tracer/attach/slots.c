#include "slots.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../atomics.h"
#include "../host/system.h"

#if defined(__x86_64__)
#define R_JUMP_SLOT R_X86_64_JUMP_SLOT
#define R_GLOB_DAT  R_X86_64_GLOB_DAT
#define R_ABSOLUTE  R_X86_64_64
#elif defined(__aarch64__)
#define R_JUMP_SLOT R_AARCH64_JUMP_SLOT
#define R_GLOB_DAT  R_AARCH64_GLOB_DAT
#define R_ABSOLUTE  R_AARCH64_ABS64
#endif

/* A piece of the object. */
struct range {
    uintptr_t start, end;
};

/* The tables that the dynamic section leads to. */
struct tables {
    struct range relocations[2]; /* Elf64_Rela: of the procedure linkage table, and all others */
    uintptr_t symbols;
    struct range names;
};

static bool range_has(const struct range *range, uintptr_t address, size_t size)
{
    return address >= range->start && address <= range->end && size <= range->end - address;
}

static struct range object_range(const struct tm_slots *slots)
{
    return (struct range){slots->start, slots->end};
}

/* What the loader has made read-only: whole pages. */
static struct range relro_range(const struct tm_slots *slots)
{
    uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    for (size_t i = 0; i < slots->header_count; i++) {
        const ElfW(Phdr) *header = &slots->headers[i];
        if (header->p_type == PT_GNU_RELRO) {
            uintptr_t start = slots->bias + header->p_vaddr;
            return (struct range){start & ~mask, (start + header->p_memsz) & ~mask};
        }
    }
    return (struct range){0, 0};
}

/* Writable segment i; an empty range where i is none. */
static struct range data_range(const struct tm_slots *slots, size_t i)
{
    const ElfW(Phdr) *header = &slots->headers[i];
    uintptr_t start = slots->bias + header->p_vaddr;
    struct range object = object_range(slots);
    if (header->p_type != PT_LOAD || !(header->p_flags & PF_W) ||
        !range_has(&object, start, header->p_memsz)) {
        return (struct range){0, 0};
    }
    return (struct range){start, start + header->p_memsz};
}

static bool is_data(const struct tm_slots *slots, uintptr_t address)
{
    for (size_t i = 0; i < slots->header_count; i++) {
        struct range data = data_range(slots, i);
        if (range_has(&data, address, sizeof(uintptr_t))) {
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------
 * One slot
 */

/* Writes to RELRO make it writable first, once per object. */
struct writer {
    struct range relro;
    bool is_open;
};

static void protect(const struct range *range, int protection)
{
    tm_system(SYS_mprotect, (long)range->start, (long)(range->end - range->start), protection, 0, 0, 0);
}

static void slot_write(struct writer *writer, uintptr_t address, uintptr_t value)
{
    if (range_has(&writer->relro, address, sizeof(value)) && !writer->is_open) {
        protect(&writer->relro, PROT_READ | PROT_WRITE);
        writer->is_open = true;
    }
    tm_publish((uintptr_t *)address, value);
}

static void writer_close(struct writer *writer)
{
    if (writer->is_open) {
        protect(&writer->relro, PROT_READ);
        writer->is_open = false;
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Relocations
 */

/* The loader has added the bias to the pointers of the dynamic section, except where that is read-only. */
static uintptr_t dynamic_address(const struct tm_slots *slots, const ElfW(Dyn) * entry)
{
    uintptr_t address = entry->d_un.d_ptr;
    return address >= slots->start ? address : address + slots->bias;
}

/* The range, if it lies in the object, else an empty one. */
static struct range checked(const struct tm_slots *slots, uintptr_t start, size_t size)
{
    struct range object = object_range(slots);
    return start && range_has(&object, start, size) ? (struct range){start, start + size}
                                                    : (struct range){0, 0};
}

static struct tables tables_find(const struct tm_slots *slots)
{
    uintptr_t starts[2] = {0, 0}, names = 0;
    size_t sizes[2] = {0, 0}, names_size = 0;
    struct tables tables = {0};
    for (const ElfW(Dyn) *entry = slots->dynamic; entry && entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_JMPREL:
            starts[0] = dynamic_address(slots, entry);
            break;
        case DT_PLTRELSZ:
            sizes[0] = entry->d_un.d_val;
            break;
        case DT_RELA:
            starts[1] = dynamic_address(slots, entry);
            break;
        case DT_RELASZ:
            sizes[1] = entry->d_un.d_val;
            break;
        case DT_SYMTAB:
            tables.symbols = dynamic_address(slots, entry);
            break;
        case DT_STRTAB:
            names = dynamic_address(slots, entry);
            break;
        case DT_STRSZ:
            names_size = entry->d_un.d_val;
            break;
        default:
            break;
        }
    }
    for (int i = 0; i < 2; i++) {
        tables.relocations[i] = checked(slots, starts[i], sizes[i]);
    }
    tables.names = checked(slots, names, names_size);
    return tables;
}

static const ElfW(Sym) *
    symbol_of(const struct tm_slots *slots, const struct tables *tables, const ElfW(Rela) * relocation)
{
    size_t index = ELF64_R_SYM(relocation->r_info);
    uintptr_t symbol = tables->symbols + index * sizeof(ElfW(Sym));
    struct range object = object_range(slots);
    return index && tables->symbols && range_has(&object, symbol, sizeof(ElfW(Sym)))
               ? (const ElfW(Sym) *)symbol
               : NULL;
}

static const char *name_of(const struct tables *tables, const ElfW(Sym) * symbol)
{
    uintptr_t name = tables->names.start + symbol->st_name;
    return range_has(&tables->names, name, 1) ? (const char *)name : NULL;
}

static bool is_slot(const ElfW(Rela) * relocation)
{
    uint32_t type = ELF64_R_TYPE(relocation->r_info);
    return type == R_JUMP_SLOT || type == R_GLOB_DAT || (type == R_ABSOLUTE && relocation->r_addend == 0);
}

static void relocation_visit(const struct tm_slots *slots, const struct tables *tables,
                             const ElfW(Rela) * relocation, struct writer *writer, tm_slot_visit *visit,
                             void *context)
{
    const ElfW(Sym) *symbol = is_slot(relocation) ? symbol_of(slots, tables, relocation) : NULL;
    uintptr_t address = slots->bias + relocation->r_offset;
    if (!symbol || address % sizeof(uintptr_t) != 0 || !is_data(slots, address)) {
        return;
    }
    uintptr_t value = tm_load((uintptr_t *)address);
    struct tm_slot slot = {
        .name = name_of(tables, symbol),
        .is_unbound = ELF64_R_TYPE(relocation->r_info) == R_JUMP_SLOT && symbol->st_shndx == SHN_UNDEF &&
                      value - slots->start < slots->end - slots->start,
    };
    uintptr_t wanted = visit(&slot, value, context);
    if (wanted != value) {
        slot_write(writer, address, wanted);
    }
}

void tm_slots_visit(const struct tm_slots *slots, tm_slot_visit *visit, void *context)
{
    struct tables tables = tables_find(slots);
    struct writer writer = {.relro = relro_range(slots)};
    for (int i = 0; i < 2; i++) {
        const ElfW(Rela) *relocation = (const ElfW(Rela) *)tables.relocations[i].start;
        size_t count = (tables.relocations[i].end - tables.relocations[i].start) / sizeof(*relocation);
        for (size_t j = 0; j < count; j++) {
            relocation_visit(slots, &tables, &relocation[j], &writer, visit, context);
        }
    }
    writer_close(&writer);
}

void tm_slots_visit_words(const struct tm_slots *slots, tm_slot_visit *visit, void *context)
{
    static const struct tm_slot unknown;
    struct writer writer = {.relro = relro_range(slots)};
    for (size_t i = 0; i < slots->header_count; i++) {
        struct range data = data_range(slots, i);
        uintptr_t address = (data.start + sizeof(uintptr_t) - 1) & ~(sizeof(uintptr_t) - 1);
        for (; data.end - address >= sizeof(uintptr_t) && address < data.end; address += sizeof(uintptr_t)) {
            uintptr_t value = tm_load((uintptr_t *)address);
            uintptr_t wanted = visit(&unknown, value, context);
            if (wanted != value) {
                slot_write(&writer, address, wanted);
            }
        }
    }
    writer_close(&writer);
}
