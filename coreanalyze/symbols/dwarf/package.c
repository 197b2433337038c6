/* package.c: see package.h; the index is that of DWARF 5, 7.3.5, and of the GNU extension to DWARF 4 before
 * it. */
#include "package.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../util/grow.h"

/* Numbers of the index's columns; those of strings before DWARF 5 are the same. */
enum {
    COLUMN_INFO = 1,
    COLUMN_ABBREV = 3,
    COLUMN_LINE = 4,
    COLUMN_STR_OFFSETS = 6,
    COLUMN_RNGLISTS = 8,
    COLUMN_MAX = 8
};

#define STRINGS_MAX ((size_t)1 << 30) /* a unit's */

struct ca_package {
    int file;
    Elf *elf; /* libdw before 0.191 takes it for no DWARF at all */
    struct ca_section index, strings;
    struct ca_section columns[COLUMN_MAX + 1]; /* whole sections */
    uint32_t version, column_count, unit_count, slot_count;
};

static uint64_t number_at(const struct ca_section *section, uint64_t offset, size_t size)
{
    uint64_t number = 0;
    if (offset <= section->size && size <= section->size - offset) {
        memcpy(&number, section->bytes + offset, size);
    }
    return number;
}

/* -------------------------------------------------------------------------------------------- package */

static bool index_read(struct ca_package *package)
{
    const struct ca_section *index = &package->index;
    package->version = (uint32_t)number_at(index, 0, 4);
    package->column_count = (uint32_t)number_at(index, 4, 4);
    package->unit_count = (uint32_t)number_at(index, 8, 4);
    package->slot_count = (uint32_t)number_at(index, 12, 4);
    uint64_t slots = package->slot_count;
    uint64_t rows = 2 * (uint64_t)package->unit_count + 1;
    return (package->version == 2 || package->version == 5) && package->column_count > 0 &&
           package->column_count <= COLUMN_MAX && slots > 0 && (slots & (slots - 1)) == 0 &&
           16 + 12 * slots + 4 * rows * package->column_count <= index->size;
}

/* A section's bytes, decompressed. */
static struct ca_section section_get(Elf *elf, const char *name)
{
    size_t names;
    if (!elf || elf_getshdrstrndx(elf, &names) != 0) {
        return (struct ca_section){0};
    }
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        const char *found = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (!found || strcmp(found, name) != 0 || header.sh_type == SHT_NOBITS ||
            ((header.sh_flags & SHF_COMPRESSED) && elf_compress(section, 0, 0) < 0)) {
            continue;
        }
        Elf_Data *data = elf_rawdata(section, NULL);
        return data && data->d_buf ? (struct ca_section){data->d_buf, data->d_size} : (struct ca_section){0};
    }
    return (struct ca_section){0};
}

struct ca_package *ca_package_open(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    struct ca_package *package = file >= 0 ? calloc(1, sizeof(*package)) : NULL;
    if (!package || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        if (file >= 0) {
            close(file);
        }
        free(package);
        return NULL;
    }
    package->file = file;
    elf_version(EV_CURRENT);
    package->elf = elf_begin(file, ELF_C_READ_MMAP_PRIVATE, NULL);
    package->index = section_get(package->elf, ".debug_cu_index");
    package->strings = section_get(package->elf, ".debug_str.dwo");
    package->columns[COLUMN_INFO] = section_get(package->elf, ".debug_info.dwo");
    package->columns[COLUMN_ABBREV] = section_get(package->elf, ".debug_abbrev.dwo");
    package->columns[COLUMN_LINE] = section_get(package->elf, ".debug_line.dwo");
    package->columns[COLUMN_STR_OFFSETS] = section_get(package->elf, ".debug_str_offsets.dwo");
    package->columns[COLUMN_RNGLISTS] = section_get(package->elf, ".debug_rnglists.dwo");
    if (!index_read(package)) {
        ca_package_close(package);
        return NULL;
    }
    return package;
}

void ca_package_close(struct ca_package *package)
{
    if (package) {
        elf_end(package->elf);
        close(package->file);
        free(package);
    }
}

/* The row of the unit with this id, from 1; 0 = none. */
static uint32_t row_find(const struct ca_package *package, uint64_t id)
{
    uint64_t mask = package->slot_count - 1, slot = id & mask, step = (id >> 32 & mask) | 1;
    for (uint32_t i = 0; i < package->slot_count; i++, slot = (slot + step) & mask) {
        uint64_t rows = 16 + 8 * (uint64_t)package->slot_count;
        uint32_t row = (uint32_t)number_at(&package->index, rows + 4 * slot, 4);
        if (row == 0 || row > package->unit_count) {
            return 0;
        }
        if (number_at(&package->index, 16 + 8 * slot, 8) == id) {
            return row;
        }
    }
    return 0;
}

/* What the unit has in one column. */
static struct ca_section part_find(const struct ca_package *package, uint32_t row, uint32_t wanted)
{
    uint64_t columns = package->column_count;
    uint64_t table = 16 + 12 * (uint64_t)package->slot_count;
    const struct ca_section *whole = &package->columns[wanted];
    for (uint32_t column = 0; column < columns && whole->bytes; column++) {
        if (number_at(&package->index, table + 4 * (uint64_t)column, 4) != wanted) {
            continue;
        }
        uint64_t offset = number_at(&package->index, table + 4 * (columns * row + column), 4);
        uint64_t sizes = table + 4 * columns * (1 + (uint64_t)package->unit_count);
        uint64_t size = number_at(&package->index, sizes + 4 * (columns * (row - 1) + column), 4);
        if (offset <= whole->size && size <= whole->size - offset) {
            return (struct ca_section){whole->bytes + offset, size};
        }
    }
    return (struct ca_section){0};
}

/* -------------------------------------------------------------------------------------------- strings */

struct bytes {
    unsigned char *items;
    size_t count, capacity;
};

static bool bytes_add(struct bytes *bytes, const void *added, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (!CA_GROW(bytes->items, bytes->capacity, bytes->count + size)) {
        return false;
    }
    memcpy(bytes->items + bytes->count, added, size);
    bytes->count += size;
    return true;
}

/* The unit's strings alone, and its table of offsets with their new places. False when out of memory. */
static bool strings_copy(const struct ca_package *package, const struct ca_section *offsets,
                         struct bytes *table, struct bytes *strings)
{
    size_t header = package->version >= 5 ? 8 : 0;
    if (!bytes_add(strings, "", 1) || !bytes_add(table, offsets->bytes, offsets->size)) {
        return false;
    }
    for (size_t at = header; at + 4 <= offsets->size; at += 4) {
        const char *string = ca_section_string(&package->strings, number_at(offsets, at, 4));
        uint32_t place = string ? (uint32_t)strings->count : 0;
        if (string && strings->count + strlen(string) < STRINGS_MAX &&
            !bytes_add(strings, string, strlen(string) + 1)) {
            return false;
        }
        memcpy(table->items + at, &place, sizeof(place));
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- image */

/* An ELF file of a few sections. */
struct image {
    struct bytes bytes, names;
    Elf64_Shdr headers[8];
    uint16_t count;
};

static bool section_add(struct image *image, const char *name, uint32_t type, const void *bytes, size_t size)
{
    Elf64_Shdr *header = &image->headers[image->count++];
    *header = (Elf64_Shdr){
        .sh_name = (Elf64_Word)image->names.count,
        .sh_type = type,
        .sh_offset = image->bytes.count,
        .sh_size = size,
        .sh_addralign = 1,
    };
    return bytes_add(&image->names, name, strlen(name) + 1) && bytes_add(&image->bytes, bytes, size);
}

static bool image_finish(struct image *image)
{
    static const char name[] = ".shstrtab";
    static const char padding[8];
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    Elf64_Shdr *names = &image->headers[image->count++];
    *names =
        (Elf64_Shdr){.sh_name = (Elf64_Word)image->names.count, .sh_type = SHT_STRTAB, .sh_addralign = 1};
    bool good = bytes_add(&image->names, name, sizeof(name));
    names->sh_offset = image->bytes.count;
    names->sh_size = image->names.count;
    good = good && bytes_add(&image->bytes, image->names.items, image->names.count) &&
           bytes_add(&image->bytes, padding, -image->bytes.count & 7);
    header.e_shnum = image->count;
    header.e_shstrndx = (Elf64_Half)(image->count - 1);
    header.e_shoff = image->bytes.count;
    good = good && bytes_add(&image->bytes, image->headers, image->count * sizeof(Elf64_Shdr));
    if (good) {
        memcpy(image->bytes.items, &header, sizeof(header));
    }
    return good;
}

static bool image_make(const struct ca_package *package, uint32_t row, struct image *image)
{
    static const Elf64_Ehdr room;
    struct ca_section info = part_find(package, row, COLUMN_INFO);
    struct ca_section abbrev = part_find(package, row, COLUMN_ABBREV);
    struct ca_section line = part_find(package, row, COLUMN_LINE);
    struct ca_section offsets = part_find(package, row, COLUMN_STR_OFFSETS);
    struct bytes table = {0}, strings = {0};
    image->count = 1; /* the first section header is empty */
    bool good = strings_copy(package, &offsets, &table, &strings) && bytes_add(&image->names, "", 1) &&
                bytes_add(&image->bytes, &room, sizeof(room)) &&
                section_add(image, ".debug_info.dwo", SHT_PROGBITS, info.bytes, info.size) &&
                section_add(image, ".debug_abbrev.dwo", SHT_PROGBITS, abbrev.bytes, abbrev.size) &&
                section_add(image, ".debug_str_offsets.dwo", SHT_PROGBITS, table.items, table.count) &&
                section_add(image, ".debug_str.dwo", SHT_PROGBITS, strings.items, strings.count) &&
                (!line.size || section_add(image, ".debug_line.dwo", SHT_PROGBITS, line.bytes, line.size)) &&
                image_finish(image);
    free(table.items);
    free(strings.items);
    free(image->names.items);
    return good;
}

/* ----------------------------------------------------------------------------------------------- unit */

void ca_packed_unit_close(struct ca_packed_unit *unit)
{
    dwarf_end(unit->dwarf);
    elf_end(unit->elf);
    free(unit->image);
    *unit = (struct ca_packed_unit){0};
}

bool ca_package_find(const struct ca_package *package, uint64_t id, struct ca_packed_unit *ret_unit)
{
    struct image image = {0};
    *ret_unit = (struct ca_packed_unit){0};
    uint32_t row = row_find(package, id);
    if (row == 0 || part_find(package, row, COLUMN_INFO).size == 0) {
        return true;
    }
    if (!image_make(package, row, &image)) {
        free(image.bytes.items);
        return false;
    }
    ret_unit->image = image.bytes.items;
    ret_unit->ranges = part_find(package, row, COLUMN_RNGLISTS);
    ret_unit->elf = elf_memory((char *)image.bytes.items, image.bytes.count);
    ret_unit->dwarf = ret_unit->elf ? dwarf_begin_elf(ret_unit->elf, DWARF_C_READ, NULL) : NULL;
    uint8_t type;
    if (!ret_unit->dwarf || dwarf_get_units(ret_unit->dwarf, NULL, &(Dwarf_CU *){NULL}, NULL, &type,
                                            &ret_unit->entry, NULL) != 0) {
        ca_packed_unit_close(ret_unit);
    }
    return true;
}
