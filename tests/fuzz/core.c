/* core.c: fuzz target: the bytes are a core file. */
#include "commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct ca_symbol_options nowhere = {.sysroot = "/nonexistent", .debug_directory = ""};
    struct ca_error *error = NULL;
    struct ca_target *target = ca_target_open_core(fuzz_file(bytes, size), &nowhere, &error);
    if (target) {
        fuzz_commands(target);
        ca_target_destroy(target);
    }
    ca_error_destroy(error);
    return 0;
}
