#include "eh_frame.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "../host/linked.h"

/* ---------------------------------------------------------------------------------------------------------------
 * Pointers
 */
enum { ENCODING_OMIT = 0xff, ENCODING_FORMAT = 0x0f, ENCODING_BASE = 0x70, ENCODING_INDIRECT = 0x80 };
enum {
    FORMAT_ABSOLUTE = 0,
    FORMAT_ULEB,
    FORMAT_U2,
    FORMAT_U4,
    FORMAT_U8,
    FORMAT_SLEB = 9,
    FORMAT_S2,
    FORMAT_S4,
    FORMAT_S8
};
enum { BASE_ABSOLUTE = 0x00, BASE_PC = 0x10, BASE_DATA = 0x30, BASE_ALIGNED = 0x50 };

/* Bytes of a pointer in this encoding; 0 if they vary. */
static unsigned encoding_size(uint8_t encoding)
{
    switch (encoding & ENCODING_FORMAT) {
    case FORMAT_U2:
    case FORMAT_S2:
        return 2;
    case FORMAT_U4:
    case FORMAT_S4:
        return 4;
    case FORMAT_ABSOLUTE:
    case FORMAT_U8:
    case FORMAT_S8:
        return 8;
    default:
        return 0;
    }
}

static uint64_t read_format(struct tm_cursor *cursor, uint8_t encoding)
{
    switch (encoding & ENCODING_FORMAT) {
    case FORMAT_ABSOLUTE:
    case FORMAT_U8:
    case FORMAT_S8:
        return tm_cursor_read(cursor, 8);
    case FORMAT_U2:
        return tm_cursor_read(cursor, 2);
    case FORMAT_U4:
        return tm_cursor_read(cursor, 4);
    case FORMAT_S2:
        return (uint64_t)tm_cursor_sign_extend(tm_cursor_read(cursor, 2), 2);
    case FORMAT_S4:
        return (uint64_t)tm_cursor_sign_extend(tm_cursor_read(cursor, 4), 4);
    case FORMAT_ULEB:
        return tm_cursor_uleb(cursor);
    case FORMAT_SLEB:
        return (uint64_t)tm_cursor_sleb(cursor);
    default:
        tm_cursor_fail(cursor);
        return 0;
    }
}

/* A word of the module at a computed address. */
static uintptr_t read_indirect(struct tm_cursor *cursor, const struct tm_eh_module *module, uintptr_t address)
{
    uintptr_t word;
    if (address < (uintptr_t)module->start || address > (uintptr_t)module->end - sizeof(word)) {
        tm_cursor_fail(cursor);
        return 0;
    }
    memcpy(&word, (const void *)address, sizeof(word));
    return word;
}

uintptr_t tm_eh_pointer(struct tm_cursor *cursor, const struct tm_eh_module *module, uint8_t encoding,
                        const uint8_t *data_base)
{
    uintptr_t base = 0;
    if ((encoding & ENCODING_BASE) == BASE_ALIGNED) {
        tm_cursor_skip(cursor, -(uintptr_t)cursor->at & (sizeof(uintptr_t) - 1));
    } else if ((encoding & ENCODING_BASE) == BASE_PC) {
        base = (uintptr_t)cursor->at;
    } else if ((encoding & ENCODING_BASE) == BASE_DATA && data_base) {
        base = (uintptr_t)data_base;
    } else if ((encoding & ENCODING_BASE) != BASE_ABSOLUTE) {
        tm_cursor_fail(cursor);
        return 0;
    }
    uintptr_t value = base + read_format(cursor, encoding);
    if ((encoding & ENCODING_INDIRECT) != 0 && !cursor->bad) {
        value = read_indirect(cursor, module, value);
    }
    return cursor->bad ? 0 : value;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Modules
 */
#if defined(DLFO_STRUCT_HAS_EH_DBASE)
extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));

static bool loaded_module_find(uintptr_t address, struct tm_eh_module *ret_module)
{
    if (!_dl_find_object) {
        return tm_eh_module_find_iterating(address, ret_module);
    }
    struct dl_find_object found;
    if (_dl_find_object((void *)address, &found) != 0) {
        return false;
    }
    ret_module->start = found.dlfo_map_start;
    ret_module->end = found.dlfo_map_end;
    ret_module->header = found.dlfo_eh_frame;
    return true;
}
#else
static bool loaded_module_find(uintptr_t address, struct tm_eh_module *ret_module)
{
    return tm_eh_module_find_iterating(address, ret_module);
}
#endif

bool tm_eh_module_find(uintptr_t address, struct tm_eh_module *ret_module)
{
    struct tm_object program;
    const uint8_t *header;
    if (!tm_linked_find(address, &program, &header)) {
        return loaded_module_find(address, ret_module);
    }
    ret_module->start = (const uint8_t *)program.start;
    ret_module->end = (const uint8_t *)program.end;
    ret_module->header = header;
    return true;
}

struct search {
    uintptr_t address;
    struct tm_eh_module module;
};

static int module_visit(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct search *search = data;
    uintptr_t low = UINTPTR_MAX;
    uintptr_t high = 0;
    const uint8_t *header = NULL;
    bool inside = false;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            uintptr_t end = start + segment->p_memsz;
            low = start < low ? start : low;
            high = end > high ? end : high;
            inside = inside || (search->address >= start && search->address < end);
        } else if (segment->p_type == PT_GNU_EH_FRAME) {
            header = (const uint8_t *)start;
        }
    }
    if (!inside) {
        return 0;
    }
    search->module =
        (struct tm_eh_module){.start = (const uint8_t *)low, .end = (const uint8_t *)high, .header = header};
    return 1;
}

bool tm_eh_module_find_iterating(uintptr_t address, struct tm_eh_module *ret_module)
{
    struct search search = {.address = address};
    if (dl_iterate_phdr(module_visit, &search) == 0) {
        return false;
    }
    *ret_module = search.module;
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Entries: CIE and FDE
 */
struct entry {
    struct tm_cursor body;   /* after the CIE pointer or id */
    const uint8_t *id_field; /* FDEs count the way to their CIE back from here */
    uint32_t id;             /* 0 = CIE */
};

/* False at the terminator, and at what is no entry. */
static bool entry_read(struct tm_cursor *section, struct entry *ret_entry)
{
    uint64_t length = tm_cursor_read(section, 4);
    if (length == UINT32_MAX) {
        length = tm_cursor_read(section, 8);
    }
    if (section->bad || length == 0) {
        return false;
    }
    struct tm_cursor body = tm_cursor_take(section, length);
    ret_entry->id_field = body.at;
    ret_entry->id = (uint32_t)tm_cursor_read(&body, 4);
    ret_entry->body = body;
    return !body.bad;
}

/* The data that the letters after 'z' announce. An unknown letter ends them, as in libgcc: the length is
 * known. */
static void augmentation_read(struct tm_cursor data, const struct tm_eh_module *module,
                              const uint8_t *letters, struct tm_fde *fde)
{
    for (const uint8_t *letter = letters; *letter; letter++) {
        if (*letter == 'R') {
            fde->encoding = (uint8_t)tm_cursor_read(&data, 1);
        } else if (*letter == 'P') {
            uint8_t encoding = (uint8_t)tm_cursor_read(&data, 1);
            if (encoding != ENCODING_OMIT) {
                (void)tm_eh_pointer(&data, module, encoding & ~ENCODING_INDIRECT, module->start);
            }
        } else if (*letter == 'L') {
            (void)tm_cursor_read(&data, 1);
        } else if (*letter == 'S') {
            fde->signal = true;
        } else if (*letter != 'B' && *letter != 'G') {
            return;
        }
    }
}

static bool cie_read(const struct tm_eh_module *module, const uint8_t *at, struct tm_fde *fde)
{
    struct tm_cursor section = {.at = at, .end = module->end};
    struct entry entry;
    if (at < module->start || at >= module->end || !entry_read(&section, &entry) || entry.id != 0) {
        return false;
    }
    struct tm_cursor body = entry.body;
    uint8_t version = (uint8_t)tm_cursor_read(&body, 1);
    const uint8_t *letters = body.at;
    while (tm_cursor_read(&body, 1) != 0) {
    }
    if (body.bad || (version != 1 && version != 3 && version != 4)) {
        return false;
    }
    bool old_gcc = letters[0] == 'e' && letters[1] == 'h' && letters[2] == 0;
    if (old_gcc) {
        tm_cursor_skip(&body, sizeof(uintptr_t));
    } else if (letters[0] != 0 && letters[0] != 'z') {
        return false;
    }
    if (version == 4) {
        uint64_t address_size = tm_cursor_read(&body, 1);
        uint64_t segment_size = tm_cursor_read(&body, 1);
        if (address_size != sizeof(uintptr_t) || segment_size != 0) {
            return false;
        }
    }
    fde->code_factor = tm_cursor_uleb(&body);
    fde->data_factor = tm_cursor_sleb(&body);
    fde->return_register = version == 1 ? tm_cursor_read(&body, 1) : tm_cursor_uleb(&body);
    fde->encoding = FORMAT_ABSOLUTE;
    fde->signal = false;
    fde->sized = letters[0] == 'z';
    if (fde->sized) {
        struct tm_cursor data = tm_cursor_take(&body, tm_cursor_uleb(&body));
        augmentation_read(data, module, letters + 1, fde);
    }
    fde->initial = body;
    return !body.bad;
}

/* entry: of an FDE. */
static bool fde_read(const struct tm_eh_module *module, const struct entry *entry, struct tm_fde *ret_fde)
{
    if (entry->id == 0 || entry->id > (uintptr_t)(entry->id_field - module->start) ||
        !cie_read(module, entry->id_field - entry->id, ret_fde)) {
        return false;
    }
    struct tm_cursor body = entry->body;
    ret_fde->base = entry->id_field;
    ret_fde->start = tm_eh_pointer(&body, module, ret_fde->encoding, NULL);
    ret_fde->end = ret_fde->start + read_format(&body, ret_fde->encoding);
    if (ret_fde->sized) {
        tm_cursor_skip(&body, tm_cursor_uleb(&body));
    }
    ret_fde->program = body;
    return !body.bad;
}

static bool fde_read_at(const struct tm_eh_module *module, const uint8_t *at, struct tm_fde *ret_fde)
{
    struct tm_cursor section = {.at = at, .end = module->end};
    struct entry entry;
    return at >= module->start && at < module->end && entry_read(&section, &entry) &&
           fde_read(module, &entry, ret_fde);
}

static bool fde_holds(const struct tm_fde *fde, uintptr_t address)
{
    return address >= fde->start && address < fde->end;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Finding the FDE
 */
struct table {
    struct tm_cursor entries;
    uint64_t count;
    uint8_t encoding;
};

static uintptr_t table_read(const struct tm_eh_module *module, const struct table *table, uint64_t index,
                            unsigned field)
{
    unsigned size = encoding_size(table->encoding);
    struct tm_cursor at = table->entries;
    at.at += (2 * index + field) * size;
    return tm_eh_pointer(&at, module, table->encoding, module->header);
}

/* The last entry that starts at or before address; NULL if there is none. */
static const uint8_t *table_search(const struct tm_eh_module *module, const struct table *table,
                                   uintptr_t address)
{
    uint64_t low = 0;
    uint64_t high = table->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (table_read(module, table, middle, 0) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : (const uint8_t *)table_read(module, table, low - 1, 1);
}

static bool section_scan(const struct tm_eh_module *module, const uint8_t *frames, uintptr_t address,
                         struct tm_fde *ret_fde)
{
    if (frames < module->start || frames >= module->end) {
        return false;
    }
    struct tm_cursor section = {.at = frames, .end = module->end};
    struct entry entry;
    while (entry_read(&section, &entry)) {
        if (entry.id != 0 && fde_read(module, &entry, ret_fde) && fde_holds(ret_fde, address)) {
            return true;
        }
    }
    return false;
}

bool tm_fde_find(const struct tm_eh_module *module, uintptr_t address, struct tm_fde *ret_fde)
{
    if (!module->header || module->header < module->start || module->header >= module->end) {
        return false;
    }
    struct tm_cursor header = {.at = module->header, .end = module->end};
    uint8_t version = (uint8_t)tm_cursor_read(&header, 1);
    uint8_t frames_encoding = (uint8_t)tm_cursor_read(&header, 1);
    uint8_t count_encoding = (uint8_t)tm_cursor_read(&header, 1);
    struct table table = {.encoding = (uint8_t)tm_cursor_read(&header, 1)};
    if (header.bad || version != 1 || frames_encoding == ENCODING_OMIT) {
        return false;
    }
    const uint8_t *frames = (const uint8_t *)tm_eh_pointer(&header, module, frames_encoding, module->header);
    unsigned size = encoding_size(table.encoding);
    if (count_encoding == ENCODING_OMIT || table.encoding == ENCODING_OMIT || size == 0) {
        return !header.bad && section_scan(module, frames, address, ret_fde);
    }
    table.count = tm_eh_pointer(&header, module, count_encoding, module->header);
    table.entries = header;
    if (header.bad || table.count > tm_cursor_left(&header) / (2 * size)) {
        return false;
    }
    const uint8_t *at = table_search(module, &table, address);
    return at && fde_read_at(module, at, ret_fde) && fde_holds(ret_fde, address);
}
