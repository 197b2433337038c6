/* sections.c: see sections.h. */
#include "sections.h"

#include <gelf.h>
#include <string.h>

static bool name_matches(const char *section, const char *name)
{
    static const char *const prefixes[] = {".debug_", ".zdebug_"};
    size_t size = strlen(name);
    for (size_t i = 0; i < 2; i++) {
        size_t prefix = strlen(prefixes[i]);
        if (strncmp(section, prefixes[i], prefix) == 0 && strncmp(section + prefix, name, size) == 0) {
            const char *rest = section + prefix + size;
            return *rest == '\0' || strcmp(rest, ".dwo") == 0;
        }
    }
    return false;
}

struct ca_section ca_section_find(Dwarf *dwarf, const char *name, const unsigned char *start)
{
    Elf *elf = dwarf ? dwarf_getelf(dwarf) : NULL;
    size_t names;
    if (!elf || elf_getshdrstrndx(elf, &names) != 0) {
        return (struct ca_section){0};
    }
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        const char *found = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (!found || header.sh_type == SHT_NOBITS || !name_matches(found, name)) {
            continue;
        }
        Elf_Data *data = elf_rawdata(section, NULL);
        if (data && data->d_buf && (!start || data->d_buf == start)) {
            return (struct ca_section){data->d_buf, data->d_size};
        }
    }
    return (struct ca_section){0};
}

const char *ca_section_string(const struct ca_section *section, uint64_t offset)
{
    if (offset >= section->size || !memchr(section->bytes + offset, '\0', section->size - offset)) {
        return NULL;
    }
    return (const char *)section->bytes + offset;
}

static bool reader_has(struct ca_reader *reader, uint64_t size)
{
    if (reader->failed || size > (uint64_t)(reader->end - reader->next)) {
        reader->failed = true;
        return false;
    }
    return true;
}

uint64_t ca_read_fixed(struct ca_reader *reader, size_t size)
{
    uint64_t value = 0;
    if (size > sizeof(value) || !reader_has(reader, size)) {
        reader->failed = true;
        return 0;
    }
    memcpy(&value, reader->next, size);
    reader->next += size;
    return value;
}

/* Bits past the 64th are dropped. */
static uint64_t leb_read(struct ca_reader *reader, unsigned *ret_bits, bool *ret_negative)
{
    uint64_t value = 0;
    unsigned shift = 0;
    while (!reader->failed && reader->next < reader->end) {
        unsigned char byte = *reader->next++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += shift < 64 ? 7 : 0;
        if (!(byte & 0x80)) {
            *ret_bits = shift;
            *ret_negative = byte & 0x40;
            return value;
        }
    }
    reader->failed = true;
    *ret_bits = 64;
    return 0;
}

uint64_t ca_read_uleb(struct ca_reader *reader)
{
    unsigned bits;
    bool negative;
    return leb_read(reader, &bits, &negative);
}

int64_t ca_read_sleb(struct ca_reader *reader)
{
    unsigned bits;
    bool negative = false;
    uint64_t value = leb_read(reader, &bits, &negative);
    return (int64_t)(negative && bits < 64 ? value | ~(uint64_t)0 << bits : value);
}

const char *ca_read_string(struct ca_reader *reader)
{
    size_t left = reader->failed ? 0 : (size_t)(reader->end - reader->next);
    const unsigned char *end = left > 0 ? memchr(reader->next, '\0', left) : NULL;
    if (!end) {
        reader->failed = true;
        return NULL;
    }
    const char *string = (const char *)reader->next;
    reader->next = end + 1;
    return string;
}

void ca_read_skip(struct ca_reader *reader, uint64_t size)
{
    if (reader_has(reader, size)) {
        reader->next += size;
    }
}
