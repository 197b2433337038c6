/* symbolize.c: drives the symbolizer from a script.
 *
 *   symbolize [--sysroot DIR] [--debug-dir DIRS] [--source-map OLD=NEW]... FILE [BUILD-ID]
 *
 * Reads addresses of the ELF file FILE from standard input, one hexadecimal number a line. Writes for each
 * one line for each of its positions, innermost first ("?" = NULL), and an empty line:
 *
 *   ADDRESS<TAB>FUNCTION<TAB>FILENAME<TAB>LINENO[<TAB>ALIAS...]
 *
 * At the end "status N", and "problem TEXT" if there is one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/symbols/symbols.h"
#include "coreanalyze/table/table.h"

#define MAPS_MAX 16

static void positions_print(const struct ca_position *positions, size_t count, uint64_t address)
{
    for (size_t i = 0; i < count; i++) {
        const struct ca_position *position = &positions[i];
        printf("%" PRIx64 "\t%s\t%s\t%" PRIu32, address, position->function ? position->function : "?",
               position->filename, position->lineno);
        for (const char *const *alias = position->aliases; alias && *alias; alias++) {
            printf("\t%s", *alias);
        }
        printf("\n");
    }
    printf("\n");
}

static void build_id_parse(struct ca_module *module, const char *text)
{
    while (module->build_id_length < sizeof(module->build_id) && text[0] != '\0' && text[1] != '\0') {
        char digits[3] = {text[0], text[1], '\0'};
        module->build_id[module->build_id_length++] = (uint8_t)strtoul(digits, NULL, 16);
        text += 2;
    }
}

int main(int argc, char **argv)
{
    struct ca_symbol_options options = {0};
    const char *maps[MAPS_MAX];
    int argument = 1;
    for (; argument + 1 < argc && strncmp(argv[argument], "--", 2) == 0; argument += 2) {
        const char *value = argv[argument + 1];
        if (strcmp(argv[argument], "--sysroot") == 0) {
            options.sysroot = value;
        } else if (strcmp(argv[argument], "--debug-dir") == 0) {
            options.debug_directory = value;
        } else if (strcmp(argv[argument], "--source-map") == 0 && options.source_map_count < MAPS_MAX) {
            maps[options.source_map_count++] = value;
            options.source_map = maps;
        } else {
            return 64;
        }
    }
    if (argument >= argc) {
        return 64;
    }
    struct ca_module modules[2] = {{0}, {.path = argv[argument], .end = UINT64_MAX}};
    if (argument + 1 < argc) {
        build_id_parse(&modules[1], argv[argument + 1]);
    }
    struct ca_error *error = NULL;
    struct ca_symbolizer *symbolizer = ca_symbolizer_create(modules, 2, &options, &error);
    if (!symbolizer) {
        return 2;
    }
    char line[64];
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t address = strtoull(line, NULL, 16);
        size_t count = 0;
        const struct ca_position *positions = ca_symbolizer_find(symbolizer, 1, address, 0, &count);
        if (!positions) {
            return 2;
        }
        positions_print(positions, count, address);
    }
    printf("status %d\n", (int)ca_symbolizer_status(symbolizer, 1));
    const char *problem = ca_symbolizer_problem(symbolizer, 1);
    if (problem) {
        printf("problem %s\n", problem);
    }
    ca_symbolizer_destroy(symbolizer);
    return 0;
}
