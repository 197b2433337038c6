/* table.c: fuzz target: the bytes are pieces of memory, the tracer's tables among them.
 *
 * Each piece: address (8 bytes), size of what follows (4), size in memory (4; zeros fill it up), then the
 * bytes. */
#include <string.h>

#include "commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { PIECES = 64, PIECE_MAX = 1 << 20 };

struct piece {
    uint64_t address;
    const uint8_t *bytes;
    uint32_t size, memory_size;
};

struct memory {
    struct piece pieces[PIECES];
    size_t count;
};

static void memory_parse(struct memory *memory, const uint8_t *bytes, size_t size)
{
    memory->count = 0;
    while (size >= 16 && memory->count < PIECES) {
        struct piece *piece = &memory->pieces[memory->count++];
        memcpy(&piece->address, bytes, 8);
        memcpy(&piece->size, bytes + 8, 4);
        memcpy(&piece->memory_size, bytes + 12, 4);
        bytes += 16;
        size -= 16;
        piece->bytes = bytes;
        piece->size = piece->size < size ? piece->size : (uint32_t)size;
        piece->memory_size = piece->memory_size < PIECE_MAX ? piece->memory_size : PIECE_MAX;
        piece->memory_size = piece->memory_size > piece->size ? piece->memory_size : piece->size;
        bytes += piece->size;
        size -= piece->size;
    }
}

static const struct piece *memory_find(const struct memory *memory, uint64_t address)
{
    for (size_t i = 0; i < memory->count; i++) {
        if (address - memory->pieces[i].address < memory->pieces[i].memory_size) {
            return &memory->pieces[i];
        }
    }
    return NULL;
}

static size_t read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    uint8_t *to = buffer;
    size_t filled = 0;
    while (filled < size) {
        const struct piece *piece = memory_find(context, address + filled);
        if (!piece) {
            break;
        }
        size_t within = (size_t)(address + filled - piece->address);
        size_t step =
            piece->memory_size - within < size - filled ? piece->memory_size - within : size - filled;
        size_t there = within < piece->size ? piece->size - within : 0;
        there = there < step ? there : step;
        memcpy(to + filled, piece->bytes + within, there);
        memset(to + filled + there, 0, step - there);
        filled += step;
    }
    return filled;
}

static size_t describe_process(void *context, struct ca_target *target)
{
    (void)context;
    ca_target_set_process(target, 4711, 62, 11, 4711, "victim", "victim --now");
    return 0;
}

static size_t describe_mappings(void *context, struct ca_target *target)
{
    const struct memory *memory = context;
    for (size_t i = 0; i < memory->count; i++) {
        const struct piece *piece = &memory->pieces[i];
        ca_target_add_mapping(target, piece->address, piece->address + piece->memory_size, 0, 3, "");
    }
    return 0;
}

static size_t describe_threads(void *context, struct ca_target *target)
{
    (void)context;
    ca_target_add_thread(target, 4711, (uint64_t[27]){[19] = 0x7fff00000000}, 27);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct ca_symbol_options nowhere = {.sysroot = "/nonexistent", .debug_directory = ""};
    struct memory memory;
    memory_parse(&memory, bytes, size);
    struct ca_callbacks callbacks = {&memory,           read_memory,      describe_process,
                                     describe_mappings, describe_threads, NULL};
    struct ca_target *target = ca_target_create(&callbacks, &nowhere, NULL);
    if (target) {
        fuzz_commands(target);
        ca_target_destroy(target);
    }
    return 0;
}
