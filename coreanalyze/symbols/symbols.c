/* symbols.c: see symbols.h. Puts together what the parts know: the file (binary.c), its symbol table and its
 * DWARF. */
#include "symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../table/table.h"
#include "../terminal/progress.h"
#include "binary.h"
#include "dwarf/debug_info.h"
#include "function_name.h"
#include "pool.h"
#include "source_path.h"
#include "symbol_table.h"

#define UNKNOWN "<unknown>"

/* What was learnt about one module. */
struct module_state {
    enum ca_module_symbols status;
    const char *name; /* for MODULE(...) */
    struct ca_binary binary;
    struct ca_symbol_table symbol_table;
    struct ca_symbol_table variables; /* once variables_read */
    bool variables_read;
    struct ca_debug_info debug_info;
};

struct result {
    const struct ca_position *positions;
    size_t count;
};

struct ca_symbolizer {
    const struct ca_module *modules;
    size_t module_count;
    struct module_state **states; /* NULL = not asked */
    struct ca_binary_options binary_options;
    char **source_map_rules;
    struct ca_source_map source_map;
    struct ca_pool pool;
    struct ca_map results; /* (module and shown_delta, address) -> struct result * */
    struct result unknown;
};

/* --------------------------------------------------------------------------------------------------- life */

static bool source_map_copy(struct ca_symbolizer *symbolizer, const struct ca_symbol_options *options)
{
    size_t count = options && options->source_map ? options->source_map_count : 0;
    symbolizer->source_map_rules = calloc(count + 1, sizeof(*symbolizer->source_map_rules));
    if (!symbolizer->source_map_rules) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        symbolizer->source_map_rules[i] = strdup(options->source_map[i]);
        if (!symbolizer->source_map_rules[i]) {
            return false;
        }
    }
    symbolizer->source_map = (struct ca_source_map){(const char *const *)symbolizer->source_map_rules, count};
    return true;
}

struct ca_symbolizer *ca_symbolizer_create(const struct ca_module *modules, size_t module_count,
                                           const struct ca_symbol_options *options,
                                           struct ca_error **ret_error)
{
    struct ca_symbolizer *symbolizer = calloc(1, sizeof(*symbolizer));
    if (!symbolizer) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    symbolizer->modules = modules;
    symbolizer->module_count = module_count;
    symbolizer->states = calloc(module_count + 1, sizeof(*symbolizer->states));
    struct ca_position *unknown = ca_pool_allocate(&symbolizer->pool, sizeof(*unknown));
    if (!symbolizer->states || !unknown || !source_map_copy(symbolizer, options) ||
        !ca_binary_options_init(&symbolizer->binary_options, options)) {
        ca_symbolizer_destroy(symbolizer);
        ca_fail_memory(ret_error);
        return NULL;
    }
    *unknown = (struct ca_position){.filename = UNKNOWN};
    symbolizer->unknown = (struct result){unknown, 1};
    return symbolizer;
}

static void module_state_destroy(struct module_state *state)
{
    if (state) {
        ca_debug_info_close(&state->debug_info);
        ca_symbol_table_deinit(&state->symbol_table);
        ca_symbol_table_deinit(&state->variables);
        ca_binary_close(&state->binary);
        free(state);
    }
}

void ca_symbolizer_destroy(struct ca_symbolizer *symbolizer)
{
    if (!symbolizer) {
        return;
    }
    for (size_t i = 0; symbolizer->states && i < symbolizer->module_count; i++) {
        module_state_destroy(symbolizer->states[i]);
    }
    free(symbolizer->states);
    for (char **rule = symbolizer->source_map_rules; rule && *rule; rule++) {
        free(*rule);
    }
    free(symbolizer->source_map_rules);
    ca_binary_options_deinit(&symbolizer->binary_options);
    ca_map_deinit(&symbolizer->results);
    ca_pool_deinit(&symbolizer->pool);
    free(symbolizer);
}

/* ------------------------------------------------------------------------------------------------ modules */

/* Opens what there is of a module, once; NULL when out of memory. */
static struct module_state *module_open(struct ca_symbolizer *symbolizer, uint32_t index)
{
    if (symbolizer->states[index]) {
        return symbolizer->states[index];
    }
    const struct ca_module *module = &symbolizer->modules[index];
    const char *path = module->path ? module->path : "";
    struct module_state *state = calloc(1, sizeof(*state));
    if (!state) {
        return NULL;
    }
    state->name =
        path[0] != '\0' ? ca_pool_string_bytes(&symbolizer->pool, path, ca_module_path_size(path)) : UNKNOWN;
    ca_progress_report(&(struct ca_progress){.phase = "reading the symbols of", .subject = path});
    bool good = state->name && ca_binary_open(&state->binary, module, &symbolizer->binary_options);
    if (good && state->binary.module) {
        good = ca_symbol_table_read(&state->symbol_table, state->binary.module, CA_SYMBOLS_OF_CODE) &&
               ca_debug_info_open(&state->debug_info, state->binary.module, &symbolizer->pool,
                                  &symbolizer->source_map);
    }
    if (!good) {
        module_state_destroy(state);
        return NULL;
    }
    state->status = state->debug_info.unit_count > 0 ? CA_SYMBOLS_LINES : state->binary.status;
    symbolizer->states[index] = state;
    return state;
}

static const struct module_state *module_state(const struct ca_symbolizer *symbolizer, uint32_t module)
{
    return module > 0 && module < symbolizer->module_count ? symbolizer->states[module] : NULL;
}

enum ca_module_symbols ca_symbolizer_status(const struct ca_symbolizer *symbolizer, uint32_t module)
{
    const struct module_state *state = module_state(symbolizer, module);
    return state ? state->status : CA_SYMBOLS_NOT_ASKED;
}

const char *ca_symbolizer_problem(const struct ca_symbolizer *symbolizer, uint32_t module)
{
    const struct module_state *state = module_state(symbolizer, module);
    return state ? state->binary.problem : NULL;
}

/* ---------------------------------------------------------------------------------------------- positions */

/* Which of a function's symbols names it: the symbol table's best one, so that it is called the same with
 * debug information and without (glibc's DWARF says __libc_malloc), unless the DWARF's name is as good: where
 * the compiler has merged equal functions, the line belongs to that one. */
static size_t symbol_choose(const struct ca_symbol *symbols, const char *const *names, size_t count,
                            const char *dwarf_name)
{
    size_t best = count - 1;
    for (size_t i = 0; dwarf_name && i < count; i++) {
        if (names[i] == dwarf_name && symbols[i].local <= symbols[best].local &&
            ca_symbol_is_reserved(&symbols[i]) <= ca_symbol_is_reserved(&symbols[best])) {
            return i;
        }
    }
    return best;
}

/* The physical function's name and aliases. position->function is the DWARF's name, NULL when it has none. */
static void position_name(struct ca_symbolizer *symbolizer, const struct module_state *state,
                          uint64_t address, struct ca_position *position)
{
    struct ca_pool *pool = &symbolizer->pool;
    size_t count = 0, used = 0;
    const struct ca_symbol *symbols = ca_symbol_table_find(&state->symbol_table, address, &count);
    const char **names = symbols ? ca_pool_allocate(pool, (count + 2) * sizeof(*names)) : NULL;
    for (size_t i = 0; names && i < count; i++) {
        names[i] = ca_function_name(pool, symbols[i].name);
    }
    if (!names || pool->failed) {
        return;
    }
    const char *dwarf_name = position->function;
    position->function = names[symbol_choose(symbols, names, count, dwarf_name)];
    for (size_t i = 0; i < count; i++) {
        dwarf_name = names[i] == dwarf_name ? NULL : dwarf_name;
        if (names[i] != position->function) {
            names[used++] = names[i];
        }
    }
    if (dwarf_name) {
        names[used++] = dwarf_name;
    }
    names[used] = NULL;
    position->aliases = used > 0 ? names : NULL;
}

/* MODULE(FUNCTION) or MODULE(+0xOFFSET), for a position without line information. */
static void position_name_file(struct ca_symbolizer *symbolizer, const struct module_state *state,
                               uint64_t shown_address, struct ca_position *position)
{
    char *name = NULL;
    int size = position->function
                   ? asprintf(&name, "%s(%s)", state->name, position->function)
                   : asprintf(&name, "%s(+0x%llx)", state->name, (unsigned long long)shown_address);
    if (size < 0) {
        symbolizer->pool.failed = true;
        return;
    }
    position->filename = ca_pool_string_bytes(&symbolizer->pool, name, (size_t)size);
    position->lineno = 0;
    free(name);
}

/* `address` and `shown_address` are addresses in the ELF file. */
static struct result positions_build(struct ca_symbolizer *symbolizer, struct module_state *state,
                                     const char *module, uint64_t address, uint64_t shown_address)
{
    struct ca_pool *pool = &symbolizer->pool;
    size_t line_count = 0;
    const struct ca_line *lines = ca_debug_info_find(&state->debug_info, address, &line_count);
    size_t count = line_count > 0 ? line_count : 1;
    struct ca_position *positions = ca_pool_allocate(pool, count * sizeof(*positions));
    for (size_t i = 0; positions && i < count; i++) {
        struct ca_position *position = &positions[i];
        *position = (struct ca_position){.module = module};
        if (i < line_count) {
            position->filename = lines[i].filename;
            position->function = lines[i].function;
            position->lineno = lines[i].lineno;
        }
        if (i + 1 == count) {
            position_name(symbolizer, state, address, position);
        }
        if (!position->filename) {
            position_name_file(symbolizer, state, shown_address, position);
        }
    }
    return (struct result){positions, count};
}

static const struct result *result_build(struct ca_symbolizer *symbolizer, uint32_t module, uint64_t address,
                                         unsigned shown_delta)
{
    struct module_state *state = module_open(symbolizer, module);
    struct result *result = state ? ca_pool_allocate(&symbolizer->pool, sizeof(*result)) : NULL;
    if (!result) {
        return NULL;
    }
    const struct ca_module *described = &symbolizer->modules[module];
    const char *name = described->path && described->path[0] != '\0' ? state->name : NULL;
    uint64_t file_address = address - described->bias;
    *result = positions_build(symbolizer, state, name, file_address, file_address + shown_delta);
    return symbolizer->pool.failed ? NULL : result;
}

const struct ca_position *ca_symbolizer_find(struct ca_symbolizer *symbolizer, uint32_t module,
                                             uint64_t address, unsigned shown_delta, size_t *ret_count)
{
    if (module == 0 || module >= symbolizer->module_count) {
        *ret_count = symbolizer->unknown.count;
        return symbolizer->unknown.positions;
    }
    uint64_t key = (uint64_t)module << 32 | shown_delta;
    const struct result *result = ca_map_get(&symbolizer->results, key, address);
    if (!result) {
        result = result_build(symbolizer, module, address, shown_delta);
        if (!result || !ca_map_set(&symbolizer->results, key, address, result)) {
            symbolizer->pool.failed = false;
            return NULL;
        }
    }
    *ret_count = result->count;
    return result->positions;
}

/* ---------------------------------------------------------------------------------------------- symbols */

static bool variables_read(struct module_state *state)
{
    if (!state->variables_read && state->binary.module &&
        !ca_symbol_table_read(&state->variables, state->binary.module, CA_SYMBOLS_OF_DATA)) {
        ca_symbol_table_deinit(&state->variables);
        return false;
    }
    state->variables_read = true;
    return true;
}

bool ca_symbolizer_name(struct ca_symbolizer *symbolizer, uint32_t module, uint64_t address,
                        struct ca_symbol_name *ret_name, bool *ret_found, struct ca_error **ret_error)
{
    *ret_found = false;
    if (module == 0 || module >= symbolizer->module_count) {
        return true;
    }
    struct module_state *state = module_open(symbolizer, module);
    if (!state || !variables_read(state)) {
        return ca_fail_memory(ret_error);
    }
    uint64_t file_address = address - symbolizer->modules[module].bias;
    size_t count = 0;
    const struct ca_symbol *found = ca_symbol_table_find(&state->symbol_table, file_address, &count);
    bool is_code = found != NULL;
    if (!found) {
        found = ca_symbol_table_find(&state->variables, file_address, &count);
    }
    if (!found) {
        return true;
    }
    const struct ca_symbol *best = &found[count - 1];
    const char *name = ca_function_name(&symbolizer->pool, best->name);
    if (!name) {
        symbolizer->pool.failed = false;
        return ca_fail_memory(ret_error);
    }
    *ret_name = (struct ca_symbol_name){
        .name = name,
        .start = best->start + symbolizer->modules[module].bias,
        .size = best->end - best->start,
        .is_code = is_code,
    };
    *ret_found = true;
    return true;
}

bool ca_symbolizer_variable(struct ca_symbolizer *symbolizer, uint32_t module, const char *name,
                            uint64_t *ret_address, struct ca_error **ret_error)
{
    *ret_address = 0;
    if (module == 0 || module >= symbolizer->module_count) {
        return true;
    }
    struct module_state *state = module_open(symbolizer, module);
    if (!state || !variables_read(state)) {
        return ca_fail_memory(ret_error);
    }
    size_t size = strlen(name);
    for (size_t i = 0; i < state->variables.count; i++) {
        const struct ca_symbol *symbol = &state->variables.symbols[i];
        if (strncmp(symbol->name, name, size) == 0 &&
            (symbol->name[size] == '\0' || symbol->name[size] == '@')) {
            *ret_address = symbol->start + symbolizer->modules[module].bias;
            return true;
        }
    }
    return true;
}

/* ----------------------------------------------------------------------------------------- call frames */

struct Dwarf_CFI_s *ca_symbolizer_cfi(struct ca_symbolizer *symbolizer, uint32_t module, unsigned number)
{
    struct module_state *state =
        module > 0 && module < symbolizer->module_count ? module_open(symbolizer, module) : NULL;
    GElf_Addr bias = 0;
    if (!state || !state->binary.module) {
        return NULL;
    }
    return number ? dwfl_module_dwarf_cfi(state->binary.module, &bias)
                  : dwfl_module_eh_cfi(state->binary.module, &bias);
}

/* ------------------------------------------------------------------------------------------------ bytes */

/* The section that has bytes for an address in the ELF file. */
static bool section_find(Elf *elf, uint64_t address, GElf_Shdr *header)
{
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        if (gelf_getshdr(section, header) && (header->sh_flags & SHF_ALLOC) &&
            header->sh_type != SHT_NOBITS && address - header->sh_addr < header->sh_size) {
            return true;
        }
    }
    return false;
}

size_t ca_symbolizer_bytes(struct ca_symbolizer *symbolizer, uint32_t module, uint64_t address, void *buffer,
                           size_t size)
{
    struct module_state *state =
        module > 0 && module < symbolizer->module_count ? module_open(symbolizer, module) : NULL;
    GElf_Addr bias = 0;
    Elf *elf = state && state->binary.module ? dwfl_module_getelf(state->binary.module, &bias) : NULL;
    uint64_t file_address =
        address - symbolizer->modules[module < symbolizer->module_count ? module : 0].bias;
    GElf_Shdr header;
    if (!elf || !section_find(elf, file_address, &header)) {
        return 0;
    }
    uint64_t within = file_address - header.sh_addr;
    size_t wanted = header.sh_size - within < size ? (size_t)(header.sh_size - within) : size;
    const Elf_Data *data =
        elf_getdata_rawchunk(elf, (int64_t)(header.sh_offset + within), wanted, ELF_T_BYTE);
    size_t got = data && data->d_buf ? data->d_size : 0;
    memcpy(buffer, got ? data->d_buf : "", got);
    return got;
}
