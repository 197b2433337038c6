/* types.c: see types.h. A table of virtual functions begins with the offset to the whole object and a pointer
 * to the type's description (Itanium C++ ABI 2.5.2): objects point behind these two words, or, in a class of
 * several bases, behind those of a part of the table. */
#include "types.h"

#include <stdlib.h>
#include <string.h>

#include "../symbols/pool.h"

#define PREFIX "vtable for "

enum { WORD = 8, HEAD = 2 * WORD };

struct ca_types {
    struct ca_memory *memory;
    struct ca_source *source;
    struct ca_map names; /* by the first word of a block: const char * */
    uint64_t last;       /* word and its name */
    const char *last_name;
};

struct ca_types *ca_types_create(struct ca_memory *memory, struct ca_error **ret_error)
{
    struct ca_types *types = calloc(1, sizeof *types);
    if (!types) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    types->memory = memory;
    types->source = ca_memory_source(memory);
    types->last_name = CA_NO_TYPE;
    return types;
}

void ca_types_destroy(struct ca_types *types)
{
    if (types) {
        ca_map_deinit(&types->names);
        free(types);
    }
}

/* The class whose table of virtual functions this address lies in. */
static bool name_find(struct ca_types *types, uint64_t word, const char **ret_name,
                      struct ca_error **ret_error)
{
    struct ca_symbol_name symbol;
    bool found;
    *ret_name = CA_NO_TYPE;
    if (!ca_memory_name(types->memory, word, &symbol, &found, ret_error)) {
        return false;
    }
    if (found && !symbol.is_code && word % WORD == 0 && word - symbol.start >= HEAD &&
        strncmp(symbol.name, PREFIX, strlen(PREFIX)) == 0) {
        *ret_name = symbol.name + strlen(PREFIX);
    }
    return true;
}

bool ca_types_find(struct ca_types *types, uint64_t address, uint64_t size, const char **ret_name,
                   struct ca_error **ret_error)
{
    uint64_t word = 0;
    size_t got = 0;
    if (size >= WORD && !ca_source_read_some(types->source, address, &word, WORD, &got, ret_error)) {
        return false;
    }
    if (got == WORD && word != types->last) {
        const char *name = CA_NO_TYPE;
        if (ca_memory_image_at(types->memory, word)) {
            name = ca_map_get(&types->names, word, 0);
            if (!name && (!name_find(types, word, &name, ret_error) ||
                          (!ca_map_set(&types->names, word, 0, name) && !ca_fail_memory(ret_error)))) {
                return false;
            }
        }
        types->last = word;
        types->last_name = name;
    }
    *ret_name = got == WORD ? types->last_name : CA_NO_TYPE;
    return true;
}
