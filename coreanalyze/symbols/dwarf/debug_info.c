/* debug_info.c: see debug_info.h. */
#include "debug_info.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "../../util/grow.h"
#include "../../util/text.h"
#include "../function_name.h"
#include "line_table.h"
#include "package.h"
#include "scopes.h"
#include "split.h"

/* Bounds for files that were made to hurt. */
#define UNITS_MAX           (1u << 24)
#define RANGES_MAX          (1u << 26)
#define INLINE_DEPTH_MAX    1024
#define REFERENCE_DEPTH_MAX 16
#define NAME_DEPTH_MAX      64

struct ca_unit {
    Dwarf_CU *cu;
    bool rangeless;
    bool opened;
    bool has_scopes;
    bool has_packed;
    bool qualifies; /* the language has namespaces or classes */
    struct ca_line_table lines;
    struct ca_line_header split_files;  /* of the split unit, where it has its own */
    const struct ca_line_header *files; /* that DW_AT_call_file counts in */
    struct ca_scopes scopes;
    struct ca_packed_unit packed; /* the split unit, where it comes from a package */
    struct ca_split split;
};

/* ----------------------------------------------------------------------------------------- index of units */

static void executable_range(Dwfl_Module *module, uint64_t *ret_low, uint64_t *ret_high)
{
    GElf_Addr bias;
    Elf *elf = dwfl_module_getelf(module, &bias);
    size_t count = 0;
    *ret_low = UINT64_MAX;
    *ret_high = 0;
    if (elf && elf_getphdrnum(elf, &count) == 0) {
        for (size_t i = 0; i < count; i++) {
            GElf_Phdr segment;
            if (gelf_getphdr(elf, (int)i, &segment) && segment.p_type == PT_LOAD &&
                (segment.p_flags & PF_X)) {
                uint64_t low = segment.p_vaddr + bias, high = low + segment.p_memsz;
                *ret_low = low < *ret_low ? low : *ret_low;
                *ret_high = high > *ret_high ? high : *ret_high;
            }
        }
    }
    if (*ret_low >= *ret_high) {
        *ret_low = 0;
        *ret_high = UINT64_MAX;
    }
}

/* A function that several units define is the first one's: that is the copy which linkers keep. Of equal
 * ranges the larger value wins, so that units count downwards. */
static uint32_t unit_value(size_t unit)
{
    return (uint32_t)(UNITS_MAX - unit);
}

/* Ranges of a unit by its own entry; false when it has none. */
static bool unit_add_ranges(struct ca_debug_info *info, Dwarf_Die *die, uint32_t unit, size_t *ranges)
{
    Dwarf_Addr base, start, end;
    bool any = false;
    for (ptrdiff_t next = 0; *ranges < RANGES_MAX; (*ranges)++) {
        next = dwarf_ranges(die, next, &base, &start, &end);
        if (next <= 0) {
            break;
        }
        any = true;
        if (start > 0 && start >= info->low && end <= info->high &&
            !ca_intervals_add(&info->intervals, start, end, unit_value(unit))) {
            info->pool->failed = true;
        }
    }
    return any;
}

static void units_collect(struct ca_debug_info *info)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Half version;
    uint8_t type;
    Dwarf_Die die;
    size_t ranges = 0;
    while (info->unit_count < UNITS_MAX && !info->pool->failed &&
           dwarf_get_units(info->dwarf, cu, &cu, &version, &type, &die, NULL) == 0) {
        if ((type != DW_UT_compile && type != DW_UT_skeleton) || dwarf_tag(&die) == DW_TAG_partial_unit) {
            continue;
        }
        if (!CA_GROW(info->units, info->unit_capacity, info->unit_count + 1)) {
            info->pool->failed = true;
            return;
        }
        uint32_t unit = (uint32_t)info->unit_count++;
        bool has_ranges = unit_add_ranges(info, &die, unit, &ranges);
        info->units[unit] = (struct ca_unit){.cu = cu, .rangeless = !has_ranges};
        info->has_rangeless = info->has_rangeless || !has_ranges;
    }
}

/* .debug_aranges knows units that do not say their ranges themselves. */
static void rangeless_add_aranges(struct ca_debug_info *info)
{
    Dwarf_Aranges *aranges;
    size_t count = 0;
    if (dwarf_getaranges(info->dwarf, &aranges, &count) != 0) {
        return;
    }
    for (size_t i = 0; i < count && !info->pool->failed; i++) {
        Dwarf_Addr start;
        Dwarf_Word size;
        Dwarf_Off offset;
        Dwarf_Die die;
        if (dwarf_getarangeinfo(dwarf_onearange(aranges, i), &start, &size, &offset) != 0 ||
            !dwarf_offdie(info->dwarf, offset, &die)) {
            continue;
        }
        const struct ca_unit *unit = ca_map_get(&info->unit_of_cu, (uintptr_t)die.cu, 0);
        if (unit && unit->rangeless && start > 0 && start >= info->low && size <= info->high - start &&
            !ca_intervals_add(&info->intervals, start, start + size,
                              unit_value((size_t)(unit - info->units)))) {
            info->pool->failed = true;
        }
    }
}

bool ca_debug_info_open(struct ca_debug_info *info, Dwfl_Module *module, struct ca_pool *pool,
                        const struct ca_source_map *source_map)
{
    info->pool = pool;
    info->source_map = source_map;
    info->module = module;
    info->dwarf = dwfl_module_getdwarf(module, &info->bias);
    if (!info->dwarf) {
        return true;
    }
    executable_range(module, &info->low, &info->high);
    info->low -= info->bias;
    info->high -= info->bias;
    units_collect(info);
    for (size_t i = 0; i < info->unit_count && !pool->failed; i++) {
        pool->failed = !ca_map_set(&info->unit_of_cu, (uintptr_t)info->units[i].cu, 0, &info->units[i]);
    }
    if (info->has_rangeless && !pool->failed) {
        rangeless_add_aranges(info);
    }
    return !pool->failed && ca_intervals_finish(&info->intervals);
}

void ca_debug_info_close(struct ca_debug_info *info)
{
    for (size_t i = 0; i < info->unit_count; i++) {
        ca_scopes_deinit(&info->units[i].scopes);
        ca_line_table_deinit(&info->units[i].lines);
        ca_line_header_deinit(&info->units[i].split_files);
        ca_packed_unit_close(&info->units[i].packed);
    }
    ca_package_close(info->package);
    free(info->units);
    ca_intervals_deinit(&info->intervals);
    ca_map_deinit(&info->unit_of_cu);
    ca_map_deinit(&info->function_names);
    ca_map_deinit(&info->file_names);
    *info = (struct ca_debug_info){0};
}

/* ----------------------------------------------------------------------------------------------- one unit */

static bool language_qualifies(int language)
{
    switch (language) {
    case DW_LANG_C89:
    case DW_LANG_C:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_ObjC:
    case DW_LANG_Mips_Assembler:
    case 0x2c /* DW_LANG_C17 */:
    case 0x3e /* DW_LANG_C23 */:
    case DW_LANG_Go:
    case -1:
        return false;
    default:
        return true;
    }
}

/* PROGRAM.dwp beside the debug file, else beside the program. */
static void package_open(struct ca_debug_info *info)
{
    const char *paths[2] = {NULL, NULL};
    info->package_tried = true;
    dwfl_module_info(info->module, NULL, NULL, NULL, NULL, NULL, &paths[0], &paths[1]);
    for (size_t i = 2; i-- > 0 && !info->package && !info->pool->failed;) {
        struct ca_text name = {0};
        if (paths[i]) {
            ca_text_add(&name, paths[i]);
            ca_text_add(&name, ".dwp");
            info->pool->failed = name.failed;
            info->package = name.failed ? NULL : ca_package_open(name.bytes);
        }
        ca_text_deinit(&name);
    }
}

/* The split unit of a skeleton that libdw has found none for. */
static void packed_find(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *skeleton, uint64_t id)
{
    if (unit->has_packed) {
        return;
    }
    unit->has_packed = true;
    if (!info->package_tried) {
        package_open(info);
    }
    if (info->package && !ca_package_find(info->package, id, &unit->packed)) {
        info->pool->failed = true;
    }
    if (unit->packed.dwarf) {
        ca_split_init(&unit->split, info->dwarf, skeleton, unit->packed.ranges);
    }
}

/* The entry whose children are the unit's functions: of the split unit where there is one. */
static void unit_entry(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *ret_die)
{
    Dwarf_Die split;
    uint8_t type = 0;
    uint64_t id = 0;
    if (dwarf_cu_info(unit->cu, NULL, &type, ret_die, &split, &id, NULL, NULL) != 0) {
        return;
    }
    if (split.addr) {
        *ret_die = split;
        return;
    }
    if (type == DW_UT_skeleton) {
        packed_find(info, unit, ret_die, id);
    }
    if (unit->packed.dwarf) {
        *ret_die = unit->packed.entry;
    }
}

static void unit_read_scopes(struct ca_debug_info *info, struct ca_unit *unit)
{
    if (unit->has_scopes) {
        return;
    }
    unit->has_scopes = true;
    Dwarf_Die die;
    unit_entry(info, unit, &die);
    if (!ca_scopes_read(&unit->scopes, &die, info->low, info->high,
                        unit->packed.dwarf ? &unit->split : NULL)) {
        info->pool->failed = true;
    }
}

static void unit_read_lines(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                            Dwarf_Die *entry)
{
    Dwarf_Attribute attribute;
    Dwarf_Word offset = 0;
    uint8_t address_size = 8;
    const char *directory = dwarf_formstring(dwarf_attr(die, DW_AT_comp_dir, &attribute));
    dwarf_cu_die(unit->cu, &(Dwarf_Die){0}, NULL, NULL, &address_size, NULL, NULL, NULL);
    bool memory = true, split = false;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_stmt_list, &attribute), &offset) == 0) {
        memory = ca_line_table_read(&unit->lines, info->dwarf, offset, address_size, directory, info->low,
                                    info->high);
    }
    if (memory && entry->cu != die->cu &&
        dwarf_formudata(dwarf_attr(entry, DW_AT_stmt_list, &attribute), &offset) == 0) {
        memory = ca_line_header_read(&unit->split_files, dwarf_cu_getdwarf(entry->cu), offset, address_size,
                                     directory, &split);
    }
    unit->files = split ? &unit->split_files : &unit->lines.header;
    info->pool->failed = info->pool->failed || !memory;
}

static void unit_open(struct ca_debug_info *info, struct ca_unit *unit)
{
    if (unit->opened) {
        return;
    }
    unit->opened = true;
    Dwarf_Die die, entry;
    if (!dwarf_cu_die(unit->cu, &die, NULL, NULL, NULL, NULL, NULL, NULL)) {
        return;
    }
    unit_entry(info, unit, &entry);
    unit->qualifies = language_qualifies(dwarf_srclang(&entry));
    unit_read_lines(info, unit, &die, &entry);
    unit_read_scopes(info, unit);
}

static struct ca_unit *unit_find(struct ca_debug_info *info, uint64_t address)
{
    uint32_t found = ca_intervals_find(&info->intervals, address);
    if (found != CA_NO_INTERVAL) {
        return &info->units[UNITS_MAX - found];
    }
    for (size_t i = 0; info->has_rangeless && i < info->unit_count && !info->pool->failed; i++) {
        struct ca_unit *unit = &info->units[i];
        if (unit->rangeless) {
            unit_read_scopes(info, unit);
            if (ca_scopes_find(&unit->scopes, address) != CA_NO_SCOPE) {
                return unit;
            }
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------- files and lines */

/* A relative directory counts from the compilation directory, which is the first. */
static void name_build(struct ca_text *text, const struct ca_line_header *files,
                       const struct ca_line_file *file)
{
    const char *directory =
        file->directory < files->directory_count ? files->directories[file->directory] : NULL;
    if (file->name[0] != '/' && directory) {
        if (directory[0] != '/' && file->directory > 0 && files->directories[0]) {
            ca_text_add(text, files->directories[0]);
            ca_text_add(text, "/");
        }
        ca_text_add(text, directory);
        ca_text_add(text, "/");
    }
    ca_text_add(text, file->name);
}

/* What is shown for a file of a line table; NULL = unknown. */
static const char *file_name(struct ca_debug_info *info, const struct ca_line_header *files, uint64_t number)
{
    const struct ca_line_file *file = files && number < files->file_count ? &files->files[number] : NULL;
    if (!file || !file->name || file->name[0] == '\0') {
        return NULL;
    }
    const char *known = ca_map_get(&info->file_names, (uintptr_t)file, 0);
    if (known) {
        return known;
    }
    struct ca_text text = {0};
    name_build(&text, files, file);
    const char *result = text.failed ? NULL : ca_source_path(info->pool, info->source_map, text.bytes);
    ca_text_deinit(&text);
    if (!result || !ca_map_set(&info->file_names, (uintptr_t)file, 0, result)) {
        info->pool->failed = true;
    }
    return result;
}

static void line_set(struct ca_line *line, const char *filename, uint64_t lineno)
{
    if (filename && lineno > 0 && lineno <= INT32_MAX) {
        line->filename = filename;
        line->lineno = (uint32_t)lineno;
    }
}

static void line_of_row(struct ca_debug_info *info, const struct ca_unit *unit, uint64_t address,
                        struct ca_line *line)
{
    const struct ca_line_row *row = ca_line_table_find(&unit->lines, address);
    if (row && row->line > 0) {
        line_set(line, file_name(info, &unit->lines.header, row->file), row->line);
    }
}

/* Where an inlined call stands in the source. */
static void line_of_call(struct ca_debug_info *info, const struct ca_unit *unit, Dwarf_Die *call,
                         struct ca_line *line)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file, lineno;
    if (dwarf_formudata(dwarf_attr(call, DW_AT_call_file, &attribute), &file) == 0 &&
        dwarf_formudata(dwarf_attr(call, DW_AT_call_line, &attribute), &lineno) == 0) {
        line_set(line, file_name(info, unit->files, file), lineno);
    }
}

/* ---------------------------------------------------------------------------------------------- functions */

/* The entry that a concrete one is an instance or the definition of; false when there is none. */
static bool entry_origin(Dwarf_Die *die, Dwarf_Die *ret_origin)
{
    Dwarf_Attribute attribute;
    return (dwarf_attr(die, DW_AT_abstract_origin, &attribute) ||
            dwarf_attr(die, DW_AT_specification, &attribute)) &&
           dwarf_formref_die(&attribute, ret_origin) != NULL;
}

static const char *entry_string(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    const char *string = dwarf_formstring(dwarf_attr(die, name, &attribute));
    return string && string[0] != '\0' ? string : NULL;
}

static const char *entry_linkage_name(Dwarf_Die *die)
{
    const char *name = entry_string(die, DW_AT_linkage_name);
    return name ? name : entry_string(die, DW_AT_MIPS_linkage_name);
}

static const char *function_name(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                                 unsigned depth);

/* What a container calls itself; NULL: leave it out. */
static const char *container_name(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                                  unsigned depth)
{
    int tag = dwarf_tag(die);
    if (tag == DW_TAG_subprogram) {
        return function_name(info, unit, die, depth + 1);
    }
    const char *name = dwarf_diename(die);
    return name || tag != DW_TAG_namespace ? name : "(anonymous namespace)";
}

/* `name` behind the names of the namespaces, types and functions that hold `die`. */
static const char *qualified_name(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                                  const char *name, unsigned depth)
{
    unit_read_scopes(info, unit);
    const struct ca_scopes *scopes = &unit->scopes;
    const char *parts[NAME_DEPTH_MAX];
    size_t count = 0;
    bool inside = die->cu == scopes->unit.cu;
    uint32_t at = inside
                      ? ca_scopes_container(scopes, (uint32_t)((char *)die->addr - (char *)scopes->unit.addr))
                      : CA_NO_SCOPE;
    for (; at != CA_NO_SCOPE && count < NAME_DEPTH_MAX; at = scopes->containers[at].parent) {
        Dwarf_Die container = ca_scopes_entry(scopes, scopes->containers[at].entry);
        const char *part = container_name(info, unit, &container, depth);
        if (part) {
            parts[count++] = part;
        }
        if (dwarf_tag(&container) == DW_TAG_subprogram) {
            break; /* its name is qualified already */
        }
    }
    struct ca_text text = {0};
    while (count-- > 0) {
        ca_text_add(&text, parts[count]);
        ca_text_add(&text, "::");
    }
    ca_text_add(&text, name);
    const char *result = text.failed ? NULL : ca_pool_string(info->pool, text.bytes);
    info->pool->failed = info->pool->failed || !result;
    ca_text_deinit(&text);
    return result;
}

/* By the linkage name where one of the entries that `die` refers to has one, else by name and place. */
static const char *function_name_build(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                                       unsigned depth)
{
    Dwarf_Die entry = *die, named = *die;
    const char *name = NULL;
    for (int i = 0; i < REFERENCE_DEPTH_MAX; i++) {
        const char *linkage = entry_linkage_name(&entry);
        if (linkage) {
            return ca_function_name(info->pool, linkage);
        }
        const char *plain = entry_string(&entry, DW_AT_name);
        if (plain) {
            name = plain;
            named = entry;
        }
        Dwarf_Die origin;
        if (!entry_origin(&entry, &origin)) {
            break;
        }
        entry = origin;
    }
    if (!name || !unit->qualifies || depth >= REFERENCE_DEPTH_MAX) {
        return name ? ca_pool_string(info->pool, name) : NULL;
    }
    struct ca_unit *home = named.cu == unit->scopes.unit.cu
                               ? unit
                               : (struct ca_unit *)ca_map_get(&info->unit_of_cu, (uintptr_t)named.cu, 0);
    return home ? qualified_name(info, home, &named, name, depth) : ca_pool_string(info->pool, name);
}

static const char *function_name(struct ca_debug_info *info, struct ca_unit *unit, Dwarf_Die *die,
                                 unsigned depth)
{
    Dwarf_Die origin;
    if (!entry_origin(die, &origin)) {
        origin = *die;
    }
    const char *known = ca_map_get(&info->function_names, (uintptr_t)origin.addr, 0);
    if (known) {
        return known[0] != '\0' ? known : NULL;
    }
    const char *name = function_name_build(info, unit, die, depth);
    if (!ca_map_set(&info->function_names, (uintptr_t)origin.addr, 0, name ? name : "")) {
        info->pool->failed = true;
    }
    return name;
}

/* --------------------------------------------------------------------------------------------- looking up */

static size_t scope_depth(const struct ca_scopes *scopes, uint32_t scope)
{
    size_t depth = 0;
    for (; scope != CA_NO_SCOPE && depth < INLINE_DEPTH_MAX; scope = scopes->items[scope].parent) {
        depth++;
    }
    return depth;
}

struct ca_line *ca_debug_info_find(struct ca_debug_info *info, uint64_t address, size_t *ret_count)
{
    *ret_count = 0;
    address -= info->bias;
    struct ca_unit *unit = info->dwarf ? unit_find(info, address) : NULL;
    if (!unit) {
        return NULL;
    }
    unit_open(info, unit);
    uint32_t scope = ca_scopes_find(&unit->scopes, address);
    size_t count = scope_depth(&unit->scopes, scope);
    count = count > 0 ? count : 1;
    struct ca_line *lines = ca_pool_allocate(info->pool, count * sizeof(*lines));
    if (!lines) {
        return NULL;
    }
    memset(lines, 0, count * sizeof(*lines));
    line_of_row(info, unit, address, &lines[0]);
    for (size_t i = 0; i < count && scope != CA_NO_SCOPE; i++) {
        const struct ca_scope *item = &unit->scopes.items[scope];
        Dwarf_Die die = ca_scopes_entry(&unit->scopes, item->entry);
        lines[i].function = function_name(info, unit, &die, 0);
        if (i + 1 < count) {
            line_of_call(info, unit, &die, &lines[i + 1]);
        }
        scope = item->parent;
    }
    *ret_count = count;
    return lines;
}
