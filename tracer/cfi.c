#include "cfi.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <string.h>

#include "expression.h"

/* ---------------------------------------------------------------------------------------------------------------
 * Reading bytes
 */

/* A position in a module. Reading past the end gives zeros and makes it bad for good. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static void cursor_fail(struct cursor *cursor)
{
    cursor->bad = true;
    cursor->at = cursor->end;
}

static size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static uint64_t read_fixed(struct cursor *cursor, unsigned size)
{
    if (cursor_left(cursor) < size) {
        cursor_fail(cursor);
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)cursor->at[i] << (8 * i);
    }
    cursor->at += size;
    return value;
}

static int64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (int64_t)(value << shift) >> shift;
}

static uint64_t read_leb128(struct cursor *cursor, bool with_sign)
{
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7f) << shift;
        }
        if ((byte & 0x80) == 0) {
            if (with_sign && (byte & 0x40) != 0 && shift + 7 < 64) {
                value |= ~UINT64_C(0) << (shift + 7);
            }
            return value;
        }
    }
    cursor_fail(cursor);
    return 0;
}

static uint64_t read_uleb(struct cursor *cursor)
{
    return read_leb128(cursor, false);
}

static int64_t read_sleb(struct cursor *cursor)
{
    return (int64_t)read_leb128(cursor, true);
}

static void skip(struct cursor *cursor, uint64_t size)
{
    if (size > cursor_left(cursor)) {
        cursor_fail(cursor);
    } else {
        cursor->at += size;
    }
}

/* Takes the next `size` bytes as a cursor of their own. */
static struct cursor take(struct cursor *cursor, uint64_t size)
{
    struct cursor part = {.at = cursor->at, .end = cursor->at};
    skip(cursor, size);
    if (cursor->bad) {
        part.bad = true;
    } else {
        part.end = cursor->at;
    }
    return part;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Pointers
 */
enum { ENCODING_OMIT = 0xff, ENCODING_FORMAT = 0x0f, ENCODING_BASE = 0x70, ENCODING_INDIRECT = 0x80 };
enum { FORMAT_ABSOLUTE = 0, FORMAT_ULEB, FORMAT_U2, FORMAT_U4, FORMAT_U8, FORMAT_SLEB = 9, FORMAT_S2, FORMAT_S4, FORMAT_S8 };
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

static uint64_t read_format(struct cursor *cursor, uint8_t encoding)
{
    switch (encoding & ENCODING_FORMAT) {
    case FORMAT_ABSOLUTE:
    case FORMAT_U8:
    case FORMAT_S8:
        return read_fixed(cursor, 8);
    case FORMAT_U2:
        return read_fixed(cursor, 2);
    case FORMAT_U4:
        return read_fixed(cursor, 4);
    case FORMAT_S2:
        return (uint64_t)sign_extend(read_fixed(cursor, 2), 2);
    case FORMAT_S4:
        return (uint64_t)sign_extend(read_fixed(cursor, 4), 4);
    case FORMAT_ULEB:
        return read_uleb(cursor);
    case FORMAT_SLEB:
        return (uint64_t)read_sleb(cursor);
    default:
        cursor_fail(cursor);
        return 0;
    }
}

/* A word of the module at a computed address. */
static uintptr_t read_indirect(struct cursor *cursor, const struct tm_cfi_object *object, uintptr_t address)
{
    uintptr_t word;
    if (address < (uintptr_t)object->start || address > (uintptr_t)object->end - sizeof(word)) {
        cursor_fail(cursor);
        return 0;
    }
    memcpy(&word, (const void *)address, sizeof(word));
    return word;
}

/* data_base: what "relative to data" means here, NULL if nothing. */
static uintptr_t read_pointer(struct cursor *cursor, const struct tm_cfi_object *object, uint8_t encoding,
                              const uint8_t *data_base)
{
    uintptr_t base = 0;
    if ((encoding & ENCODING_BASE) == BASE_ALIGNED) {
        skip(cursor, -(uintptr_t)cursor->at & (sizeof(uintptr_t) - 1));
    } else if ((encoding & ENCODING_BASE) == BASE_PC) {
        base = (uintptr_t)cursor->at;
    } else if ((encoding & ENCODING_BASE) == BASE_DATA && data_base) {
        base = (uintptr_t)data_base;
    } else if ((encoding & ENCODING_BASE) != BASE_ABSOLUTE) {
        cursor_fail(cursor);
        return 0;
    }
    uintptr_t value = base + read_format(cursor, encoding);
    if ((encoding & ENCODING_INDIRECT) != 0 && !cursor->bad) {
        value = read_indirect(cursor, object, value);
    }
    return cursor->bad ? 0 : value;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Modules
 */
#if defined(DLFO_STRUCT_HAS_EH_DBASE)
extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));

bool tm_cfi_object_find(uintptr_t address, struct tm_cfi_object *ret_object)
{
    if (!_dl_find_object) {
        return tm_cfi_object_find_iterating(address, ret_object);
    }
    struct dl_find_object found;
    if (_dl_find_object((void *)address, &found) != 0) {
        return false;
    }
    ret_object->start = found.dlfo_map_start;
    ret_object->end = found.dlfo_map_end;
    ret_object->header = found.dlfo_eh_frame;
    return true;
}
#else
bool tm_cfi_object_find(uintptr_t address, struct tm_cfi_object *ret_object)
{
    return tm_cfi_object_find_iterating(address, ret_object);
}
#endif

struct search {
    uintptr_t address;
    struct tm_cfi_object object;
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
    search->object = (struct tm_cfi_object){
        .start = (const uint8_t *)low, .end = (const uint8_t *)high, .header = header};
    return 1;
}

bool tm_cfi_object_find_iterating(uintptr_t address, struct tm_cfi_object *ret_object)
{
    struct search search = {.address = address};
    if (dl_iterate_phdr(module_visit, &search) == 0) {
        return false;
    }
    *ret_object = search.object;
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Entries: CIE and FDE
 */
struct entry {
    struct cursor body;      /* after the CIE pointer or id */
    const uint8_t *id_field; /* FDEs count the way to their CIE back from here */
    uint32_t id;             /* 0 = CIE */
};

/* False at the terminator, and at what is no entry. */
static bool entry_read(struct cursor *section, struct entry *ret_entry)
{
    uint64_t length = read_fixed(section, 4);
    if (length == UINT32_MAX) {
        length = read_fixed(section, 8);
    }
    if (section->bad || length == 0) {
        return false;
    }
    struct cursor body = take(section, length);
    ret_entry->id_field = body.at;
    ret_entry->id = (uint32_t)read_fixed(&body, 4);
    ret_entry->body = body;
    return !body.bad;
}

struct fde {
    uintptr_t start;
    uintptr_t end;
    struct cursor initial; /* instructions of the CIE */
    struct cursor program; /* its own */
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t return_register;
    uint8_t encoding;
    bool sized; /* augmentation data have a length */
    bool signal;
};

/* The data that the letters after 'z' announce. An unknown letter ends them, as in libgcc: the length is known. */
static void augmentation_read(struct cursor data, const struct tm_cfi_object *object, const uint8_t *letters,
                              struct fde *fde)
{
    for (const uint8_t *letter = letters; *letter; letter++) {
        if (*letter == 'R') {
            fde->encoding = (uint8_t)read_fixed(&data, 1);
        } else if (*letter == 'P') {
            uint8_t encoding = (uint8_t)read_fixed(&data, 1);
            if (encoding != ENCODING_OMIT) {
                (void)read_pointer(&data, object, encoding & ~ENCODING_INDIRECT, object->start);
            }
        } else if (*letter == 'L') {
            (void)read_fixed(&data, 1);
        } else if (*letter == 'S') {
            fde->signal = true;
        } else if (*letter != 'B' && *letter != 'G') {
            return;
        }
    }
}

static bool cie_read(const struct tm_cfi_object *object, const uint8_t *at, struct fde *fde)
{
    struct cursor section = {.at = at, .end = object->end};
    struct entry entry;
    if (at < object->start || at >= object->end || !entry_read(&section, &entry) || entry.id != 0) {
        return false;
    }
    struct cursor body = entry.body;
    uint8_t version = (uint8_t)read_fixed(&body, 1);
    const uint8_t *letters = body.at;
    while (read_fixed(&body, 1) != 0) {
    }
    if (body.bad || (version != 1 && version != 3 && version != 4)) {
        return false;
    }
    bool old_gcc = letters[0] == 'e' && letters[1] == 'h' && letters[2] == 0;
    if (old_gcc) {
        skip(&body, sizeof(uintptr_t));
    } else if (letters[0] != 0 && letters[0] != 'z') {
        return false;
    }
    if (version == 4) {
        uint64_t address_size = read_fixed(&body, 1);
        uint64_t segment_size = read_fixed(&body, 1);
        if (address_size != sizeof(uintptr_t) || segment_size != 0) {
            return false;
        }
    }
    fde->code_factor = read_uleb(&body);
    fde->data_factor = read_sleb(&body);
    fde->return_register = version == 1 ? read_fixed(&body, 1) : read_uleb(&body);
    fde->encoding = FORMAT_ABSOLUTE;
    fde->signal = false;
    fde->sized = letters[0] == 'z';
    if (fde->sized) {
        struct cursor data = take(&body, read_uleb(&body));
        augmentation_read(data, object, letters + 1, fde);
    }
    fde->initial = body;
    return !body.bad && fde->return_register < TM_ARCH_REGISTERS;
}

/* entry: of an FDE. */
static bool fde_read(const struct tm_cfi_object *object, const struct entry *entry, struct fde *ret_fde)
{
    if (entry->id == 0 || entry->id > (uintptr_t)(entry->id_field - object->start) ||
        !cie_read(object, entry->id_field - entry->id, ret_fde)) {
        return false;
    }
    struct cursor body = entry->body;
    ret_fde->start = read_pointer(&body, object, ret_fde->encoding, NULL);
    ret_fde->end = ret_fde->start + read_format(&body, ret_fde->encoding);
    if (ret_fde->sized) {
        skip(&body, read_uleb(&body));
    }
    ret_fde->program = body;
    return !body.bad;
}

static bool fde_read_at(const struct tm_cfi_object *object, const uint8_t *at, struct fde *ret_fde)
{
    struct cursor section = {.at = at, .end = object->end};
    struct entry entry;
    return at >= object->start && at < object->end && entry_read(&section, &entry) &&
           fde_read(object, &entry, ret_fde);
}

static bool fde_holds(const struct fde *fde, uintptr_t address)
{
    return address >= fde->start && address < fde->end;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Finding the FDE
 */
struct table {
    struct cursor entries;
    uint64_t count;
    uint8_t encoding;
};

static uintptr_t table_read(const struct tm_cfi_object *object, const struct table *table, uint64_t index,
                            unsigned field)
{
    unsigned size = encoding_size(table->encoding);
    struct cursor at = table->entries;
    at.at += (2 * index + field) * size;
    return read_pointer(&at, object, table->encoding, object->header);
}

/* The last entry that starts at or before address; NULL if there is none. */
static const uint8_t *table_search(const struct tm_cfi_object *object, const struct table *table, uintptr_t address)
{
    uint64_t low = 0;
    uint64_t high = table->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (table_read(object, table, middle, 0) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : (const uint8_t *)table_read(object, table, low - 1, 1);
}

static const uint8_t *section_scan(const struct tm_cfi_object *object, const uint8_t *frames, uintptr_t address,
                                   struct fde *ret_fde)
{
    if (frames < object->start || frames >= object->end) {
        return NULL;
    }
    struct cursor section = {.at = frames, .end = object->end};
    struct entry entry;
    for (const uint8_t *at = section.at; entry_read(&section, &entry); at = section.at) {
        if (entry.id != 0 && fde_read(object, &entry, ret_fde) && fde_holds(ret_fde, address)) {
            return at;
        }
    }
    return NULL;
}

/* Where the FDE for address begins; NULL if there is none. */
static const uint8_t *fde_find(const struct tm_cfi_object *object, uintptr_t address, struct fde *ret_fde)
{
    if (!object->header || object->header < object->start || object->header >= object->end) {
        return NULL;
    }
    struct cursor header = {.at = object->header, .end = object->end};
    uint8_t version = (uint8_t)read_fixed(&header, 1);
    uint8_t frames_encoding = (uint8_t)read_fixed(&header, 1);
    uint8_t count_encoding = (uint8_t)read_fixed(&header, 1);
    struct table table = {.encoding = (uint8_t)read_fixed(&header, 1)};
    if (header.bad || version != 1 || frames_encoding == ENCODING_OMIT) {
        return NULL;
    }
    const uint8_t *frames = (const uint8_t *)read_pointer(&header, object, frames_encoding, object->header);
    unsigned size = encoding_size(table.encoding);
    if (count_encoding == ENCODING_OMIT || table.encoding == ENCODING_OMIT || size == 0) {
        return header.bad ? NULL : section_scan(object, frames, address, ret_fde);
    }
    table.count = read_pointer(&header, object, count_encoding, object->header);
    table.entries = header;
    if (header.bad || table.count > cursor_left(&header) / (2 * size)) {
        return NULL;
    }
    const uint8_t *at = table_search(object, &table, address);
    return at && fde_read_at(object, at, ret_fde) && fde_holds(ret_fde, address) ? at : NULL;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Running the instructions
 */
enum {
    OP_ADVANCE = 0x40,
    OP_OFFSET = 0x80,
    OP_RESTORE = 0xc0,

    OP_NOP = 0x00,
    OP_SET_LOCATION = 0x01,
    OP_ADVANCE1 = 0x02,
    OP_ADVANCE2 = 0x03,
    OP_ADVANCE4 = 0x04,
    OP_OFFSET_EXTENDED = 0x05,
    OP_RESTORE_EXTENDED = 0x06,
    OP_UNDEFINED = 0x07,
    OP_SAME_VALUE = 0x08,
    OP_REGISTER = 0x09,
    OP_REMEMBER_STATE = 0x0a,
    OP_RESTORE_STATE = 0x0b,
    OP_CFA = 0x0c,
    OP_CFA_REGISTER = 0x0d,
    OP_CFA_OFFSET = 0x0e,
    OP_CFA_EXPRESSION = 0x0f,
    OP_EXPRESSION = 0x10,
    OP_OFFSET_SIGNED = 0x11,
    OP_CFA_SIGNED = 0x12,
    OP_CFA_OFFSET_SIGNED = 0x13,
    OP_VALUE_OFFSET = 0x14,
    OP_VALUE_OFFSET_SIGNED = 0x15,
    OP_VALUE_EXPRESSION = 0x16,
    OP_MIPS_ADVANCE8 = 0x1d,
    OP_GNU_ARGS_SIZE = 0x2e,
    OP_GNU_NEGATIVE_OFFSET = 0x2f,
};

/* gcc nests one level (an epilogue in the middle of a function). */
#define REMEMBER_MAX 4

struct machine {
    const struct tm_cfi_object *object;
    const struct fde *fde;
    const uint8_t *base;
    struct cursor program;
    uintptr_t address;  /* the row for this is wanted */
    uintptr_t location; /* the row being built begins here */
    struct tm_cfi_rules *rules;
    const struct tm_cfi_rules *initial; /* NULL while the CIE's instructions run */
    struct tm_cfi_rules remembered[REMEMBER_MAX];
    unsigned remembered_count;
};

static void rule_set(struct machine *machine, uint64_t column, enum tm_cfi_kind kind, int64_t value)
{
    if (column >= TM_ARCH_REGISTERS) {
        return; /* a vector register, say: nothing to follow */
    }
    if (value < INT32_MIN || value > INT32_MAX) {
        cursor_fail(&machine->program);
        return;
    }
    machine->rules->kind[column] = (uint8_t)kind;
    machine->rules->value[column] = (int32_t)value;
}

static void rule_restore(struct machine *machine, uint64_t column)
{
    if (!machine->initial) {
        cursor_fail(&machine->program);
    } else if (column < TM_ARCH_REGISTERS) {
        machine->rules->kind[column] = machine->initial->kind[column];
        machine->rules->value[column] = machine->initial->value[column];
    }
}

static void cfa_set(struct machine *machine, uint64_t column, int64_t offset)
{
    if (column >= TM_ARCH_REGISTERS || offset < INT32_MIN || offset > INT32_MAX) {
        cursor_fail(&machine->program);
        return;
    }
    machine->rules->cfa_register = (uint8_t)column;
    machine->rules->cfa_value = (int32_t)offset;
}

static int64_t factored(const struct machine *machine, int64_t value)
{
    int64_t product;
    return __builtin_mul_overflow(value, machine->fde->data_factor, &product) ? INT64_MAX : product;
}

/* The way from the base to the expression that begins here, which is passed over. */
static int64_t expression_take(struct machine *machine)
{
    int64_t way = machine->program.at - machine->base;
    skip(&machine->program, read_uleb(&machine->program));
    return way;
}

static void cfa_expression(struct machine *machine)
{
    int64_t way = expression_take(machine);
    if (way < INT32_MIN || way > INT32_MAX) {
        cursor_fail(&machine->program);
        return;
    }
    machine->rules->cfa_register = TM_CFI_CFA_EXPRESSION;
    machine->rules->cfa_value = (int32_t)way;
}

static void state_remember(struct machine *machine)
{
    if (machine->remembered_count == REMEMBER_MAX) {
        cursor_fail(&machine->program);
        return;
    }
    machine->remembered[machine->remembered_count++] = *machine->rules;
}

static void state_restore(struct machine *machine)
{
    if (machine->remembered_count == 0) {
        cursor_fail(&machine->program);
        return;
    }
    *machine->rules = machine->remembered[--machine->remembered_count];
}

/* Instructions about the CFA; false = not one of them. */
static bool cfa_execute(struct machine *machine, uint8_t op)
{
    struct cursor *program = &machine->program;
    struct tm_cfi_rules *rules = machine->rules;
    uint64_t column;
    switch (op) {
    case OP_CFA:
        column = read_uleb(program);
        cfa_set(machine, column, (int64_t)read_uleb(program));
        return true;
    case OP_CFA_SIGNED:
        column = read_uleb(program);
        cfa_set(machine, column, factored(machine, read_sleb(program)));
        return true;
    case OP_CFA_REGISTER:
        if (rules->cfa_register == TM_CFI_CFA_EXPRESSION) {
            cursor_fail(program); /* there is no offset to keep */
        }
        cfa_set(machine, read_uleb(program), rules->cfa_value);
        return true;
    case OP_CFA_OFFSET:
        cfa_set(machine, rules->cfa_register, (int64_t)read_uleb(program));
        return true;
    case OP_CFA_OFFSET_SIGNED:
        cfa_set(machine, rules->cfa_register, factored(machine, read_sleb(program)));
        return true;
    case OP_CFA_EXPRESSION:
        cfa_expression(machine);
        return true;
    default:
        return false;
    }
}

/* Instructions about one register; false = not one of them. */
static bool register_execute(struct machine *machine, uint8_t op)
{
    struct cursor *program = &machine->program;
    if (op < OP_OFFSET_EXTENDED || op == OP_REMEMBER_STATE || op == OP_RESTORE_STATE || op == OP_GNU_ARGS_SIZE ||
        op == OP_MIPS_ADVANCE8) {
        return false;
    }
    uint64_t column = read_uleb(program);
    switch (op) {
    case OP_OFFSET_EXTENDED:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, (int64_t)read_uleb(program)));
        return true;
    case OP_OFFSET_SIGNED:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, read_sleb(program)));
        return true;
    case OP_GNU_NEGATIVE_OFFSET:
        rule_set(machine, column, TM_CFI_OFFSET, factored(machine, -(int64_t)read_uleb(program)));
        return true;
    case OP_VALUE_OFFSET:
        rule_set(machine, column, TM_CFI_VALUE_OFFSET, factored(machine, (int64_t)read_uleb(program)));
        return true;
    case OP_VALUE_OFFSET_SIGNED:
        rule_set(machine, column, TM_CFI_VALUE_OFFSET, factored(machine, read_sleb(program)));
        return true;
    case OP_RESTORE_EXTENDED:
        rule_restore(machine, column);
        return true;
    case OP_UNDEFINED:
        rule_set(machine, column, TM_CFI_UNDEFINED, 0);
        return true;
    case OP_SAME_VALUE:
        rule_set(machine, column, TM_CFI_SAME, 0);
        return true;
    case OP_REGISTER:
        rule_set(machine, column, TM_CFI_REGISTER, (int64_t)read_uleb(program));
        return true;
    case OP_EXPRESSION:
        rule_set(machine, column, TM_CFI_EXPRESSION, expression_take(machine));
        return true;
    case OP_VALUE_EXPRESSION:
        rule_set(machine, column, TM_CFI_VALUE_EXPRESSION, expression_take(machine));
        return true;
    default:
        cursor_fail(program);
        return true;
    }
}

/* The location that an instruction advances to; false = not one of them. */
static bool location_execute(struct machine *machine, uint8_t op, uintptr_t *ret_location)
{
    struct cursor *program = &machine->program;
    uint64_t factor = machine->fde->code_factor;
    switch (op) {
    case OP_SET_LOCATION:
        *ret_location = read_pointer(program, machine->object, machine->fde->encoding, NULL);
        return true;
    case OP_ADVANCE1:
        *ret_location = machine->location + read_fixed(program, 1) * factor;
        return true;
    case OP_ADVANCE2:
        *ret_location = machine->location + read_fixed(program, 2) * factor;
        return true;
    case OP_ADVANCE4:
        *ret_location = machine->location + read_fixed(program, 4) * factor;
        return true;
    case OP_MIPS_ADVANCE8:
        *ret_location = machine->location + read_fixed(program, 8) * factor;
        return true;
    default:
        if ((op & 0xc0) != OP_ADVANCE) {
            return false;
        }
        *ret_location = machine->location + (op & 0x3f) * factor;
        return true;
    }
}

static void instruction_execute(struct machine *machine, uint8_t op)
{
    struct cursor *program = &machine->program;
    if ((op & 0xc0) == OP_OFFSET) {
        rule_set(machine, op & 0x3f, TM_CFI_OFFSET, factored(machine, (int64_t)read_uleb(program)));
    } else if ((op & 0xc0) == OP_RESTORE) {
        rule_restore(machine, op & 0x3f);
    } else if (op == OP_REMEMBER_STATE) {
        state_remember(machine);
    } else if (op == OP_RESTORE_STATE) {
        state_restore(machine);
    } else if (op == OP_GNU_ARGS_SIZE) {
        (void)read_uleb(program);
    } else if (op != OP_NOP && !cfa_execute(machine, op)) {
        (void)register_execute(machine, op);
    }
}

/* Runs until the row for the wanted address is complete. */
static bool program_run(struct machine *machine, struct cursor program)
{
    machine->program = program;
    while (machine->program.at < machine->program.end) {
        uint8_t op = *machine->program.at++;
        uintptr_t location;
        if (location_execute(machine, op, &location)) {
            if (machine->program.bad || location < machine->location) {
                return false;
            }
            if (location > machine->address) {
                return true;
            }
            machine->location = location;
        } else {
            instruction_execute(machine, op);
        }
    }
    return !machine->program.bad;
}

bool tm_cfi_row_find(const struct tm_cfi_object *object, uintptr_t address, struct tm_cfi_row *ret_row)
{
    struct fde fde;
    const uint8_t *base = fde_find(object, address, &fde);
    if (!base) {
        return false;
    }
    struct tm_cfi_rules rules;
    memset(&rules, 0, sizeof(rules));
    rules.cfa_register = TM_ARCH_SP;
    struct machine machine;
    machine.object = object;
    machine.fde = &fde;
    machine.base = base;
    machine.address = address;
    machine.location = fde.start;
    machine.rules = &rules;
    machine.initial = NULL;
    machine.remembered_count = 0;
    if (!program_run(&machine, fde.initial)) {
        return false;
    }
    struct tm_cfi_rules initial = rules;
    machine.location = fde.start;
    machine.initial = &initial;
    if (!program_run(&machine, fde.program)) {
        return false;
    }
    ret_row->base = base;
    ret_row->return_register = (uint8_t)fde.return_register;
    ret_row->signal = fde.signal;
    ret_row->rules = rules;
    return true;
}

const uint8_t *tm_cfi_expression(const struct tm_cfi_row *row, int32_t value, size_t *ret_size)
{
    /* row_find has been over it: the length and the bytes are there */
    struct cursor cursor = {.at = row->base + value, .end = (const uint8_t *)UINTPTR_MAX};
    *ret_size = read_uleb(&cursor);
    return cursor.at;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Stepping
 */
struct step {
    const struct tm_cfi_row *row;
    const struct tm_registers *callee;
    tm_cfi_read *read;
    void *context;
    uintptr_t cfa;
};

static enum tm_cfi_result expression_value(const struct step *step, int32_t value, bool with_cfa, uintptr_t *ret_value)
{
    size_t size;
    const uint8_t *bytes = tm_cfi_expression(step->row, value, &size);
    return tm_expression_evaluate(bytes, size, step->callee, with_cfa ? &step->cfa : NULL, step->read, step->context,
                                  ret_value);
}

static enum tm_cfi_result cfa_compute(struct step *step)
{
    const struct tm_cfi_rules *rules = &step->row->rules;
    if (rules->cfa_register == TM_CFI_CFA_EXPRESSION) {
        return expression_value(step, rules->cfa_value, false, &step->cfa);
    }
    if (!tm_register_known(step->callee, rules->cfa_register)) {
        return TM_CFI_UNKNOWN;
    }
    step->cfa = step->callee->value[rules->cfa_register] + (uintptr_t)(intptr_t)rules->cfa_value;
    return TM_CFI_STEPPED;
}

static enum tm_cfi_result word_read(const struct step *step, uintptr_t address, uintptr_t *ret_word)
{
    return step->read(step->context, address, ret_word) ? TM_CFI_STEPPED : TM_CFI_UNREADABLE;
}

/* The caller's value of one register; TM_CFI_UNKNOWN where that cannot be had. */
static enum tm_cfi_result register_compute(const struct step *step, unsigned column, uintptr_t *ret_value)
{
    int32_t value = step->row->rules.value[column];
    uintptr_t address;
    enum tm_cfi_result result;
    switch (step->row->rules.kind[column]) {
    case TM_CFI_SAME:
        if (column == TM_ARCH_SP) {
            *ret_value = step->cfa;
            return TM_CFI_STEPPED;
        }
        *ret_value = step->callee->value[column];
        return tm_register_known(step->callee, column) && (TM_ARCH_CALLEE_SAVED >> column & 1) != 0
                   ? TM_CFI_STEPPED
                   : TM_CFI_UNKNOWN;
    case TM_CFI_OFFSET:
        return word_read(step, step->cfa + (uintptr_t)(intptr_t)value, ret_value);
    case TM_CFI_VALUE_OFFSET:
        *ret_value = step->cfa + (uintptr_t)(intptr_t)value;
        return TM_CFI_STEPPED;
    case TM_CFI_REGISTER:
        if (value < 0 || !tm_register_known(step->callee, (unsigned)value)) {
            return TM_CFI_UNKNOWN;
        }
        *ret_value = step->callee->value[value];
        return TM_CFI_STEPPED;
    case TM_CFI_EXPRESSION:
        result = expression_value(step, value, true, &address);
        return result == TM_CFI_STEPPED ? word_read(step, address, ret_value) : result;
    case TM_CFI_VALUE_EXPRESSION:
        return expression_value(step, value, true, ret_value);
    default:
        return TM_CFI_UNKNOWN;
    }
}

enum tm_cfi_result tm_cfi_step(const struct tm_cfi_row *row, struct tm_registers *registers, tm_cfi_read *read,
                               void *context)
{
    if (row->rules.kind[row->return_register] == TM_CFI_UNDEFINED) {
        return TM_CFI_OUTERMOST;
    }
    struct step step = {.row = row, .callee = registers, .read = read, .context = context};
    enum tm_cfi_result result = cfa_compute(&step);
    if (result != TM_CFI_STEPPED) {
        return result;
    }
    struct tm_registers caller = {.known = 0};
    for (unsigned column = 0; column < TM_ARCH_REGISTERS; column++) {
        uintptr_t value;
        result = register_compute(&step, column, &value);
        if (result == TM_CFI_STEPPED) {
            tm_register_set(&caller, column, value);
        } else if (column == row->return_register || column == TM_ARCH_SP) {
            return result;
        }
    }
    tm_register_set(&caller, TM_ARCH_PC, tm_arch_code_pointer(caller.value[row->return_register]));
    *registers = caller;
    return TM_CFI_STEPPED;
}
