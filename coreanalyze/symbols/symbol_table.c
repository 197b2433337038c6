/* symbol_table.c: see symbol_table.h. */
#include "symbol_table.h"

#include <stdlib.h>
#include <string.h>

#include "../util/grow.h"

void ca_symbol_table_deinit(struct ca_symbol_table *table)
{
    free(table->symbols);
    ca_intervals_deinit(&table->intervals);
    *table = (struct ca_symbol_table){0};
}

/* What has a size. Hand-written assembly often leaves the type of a function out. */
static bool is_wanted(const GElf_Sym *symbol, GElf_Word section, enum ca_symbol_kind kind)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);
    bool of_kind = kind == CA_SYMBOLS_OF_DATA
                       ? type == STT_OBJECT
                       : type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
    return of_kind && symbol->st_size > 0 && section != SHN_UNDEF && section != SHN_ABS &&
           section != SHN_COMMON;
}

bool ca_symbol_is_reserved(const struct ca_symbol *symbol)
{
    const char *name = symbol->name;
    bool mangled = name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D');
    return name[0] == '_' && !mangled;
}

/* Size without "@VERSION"; an old version of a function ("@" alone, not "@@") counts as longer than any other
 * name. */
static size_t display_size(const char *name)
{
    const char *version = strchr(name, '@');
    if (!version || version == name) {
        return strlen(name);
    }
    return (size_t)(version - name) + (version[1] == '@' ? 0 : SIZE_MAX / 2);
}

/* Positive when `left` is the better name to show: global, not reserved for the implementation, short; a
 * total order of names, so that the choice is the same in every build. */
static int compare_names(const struct ca_symbol *left, const struct ca_symbol *right)
{
    if (left->local != right->local) {
        return left->local ? -1 : 1;
    }
    bool left_reserved = ca_symbol_is_reserved(left), right_reserved = ca_symbol_is_reserved(right);
    if (left_reserved != right_reserved) {
        return left_reserved ? -1 : 1;
    }
    size_t left_size = display_size(left->name), right_size = display_size(right->name);
    if (left_size != right_size) {
        return left_size > right_size ? -1 : 1;
    }
    return -strcmp(left->name, right->name);
}

static int compare(const void *left_pointer, const void *right_pointer)
{
    const struct ca_symbol *left = left_pointer, *right = right_pointer;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    if (left->end != right->end) {
        return left->end > right->end ? -1 : 1;
    }
    return compare_names(left, right);
}

static bool symbols_collect(struct ca_symbol_table *table, Dwfl_Module *module, enum ca_symbol_kind kind)
{
    int count = dwfl_module_getsymtab(module);
    for (int i = 0; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr start = 0;
        GElf_Word section = SHN_UNDEF;
        const char *name = dwfl_module_getsym_info(module, i, &symbol, &start, &section, NULL, NULL);
        if (!name || name[0] == '\0' || !is_wanted(&symbol, section, kind) ||
            symbol.st_size > UINT64_MAX - start) {
            continue;
        }
        if (!CA_GROW(table->symbols, table->capacity, table->count + 1)) {
            return false;
        }
        table->symbols[table->count++] = (struct ca_symbol){
            .start = start,
            .end = start + symbol.st_size,
            .name = name,
            .local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL,
        };
    }
    return table->count < CA_NO_INTERVAL;
}

bool ca_symbol_table_read(struct ca_symbol_table *table, Dwfl_Module *module, enum ca_symbol_kind kind)
{
    if (!symbols_collect(table, module, kind)) {
        return false;
    }
    if (table->count > 0) {
        qsort(table->symbols, table->count, sizeof(*table->symbols), compare);
    }
    for (size_t i = 0; i < table->count; i++) {
        if (!ca_intervals_add(&table->intervals, table->symbols[i].start, table->symbols[i].end,
                              (uint32_t)i)) {
            return false;
        }
    }
    return ca_intervals_finish(&table->intervals);
}

const struct ca_symbol *ca_symbol_table_find(const struct ca_symbol_table *table, uint64_t address,
                                             size_t *ret_count)
{
    uint32_t last = ca_intervals_find(&table->intervals, address);
    if (last == CA_NO_INTERVAL) {
        return NULL;
    }
    const struct ca_symbol *symbol = &table->symbols[last];
    uint32_t first = last;
    while (first > 0 && table->symbols[first - 1].start == symbol->start &&
           table->symbols[first - 1].end == symbol->end) {
        first--;
    }
    *ret_count = last - first + 1;
    return &table->symbols[first];
}
