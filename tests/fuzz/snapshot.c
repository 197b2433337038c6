/* snapshot.c: fuzz target: the bytes are a snapshot file, or one that is to be compressed first: checksums
 * would keep the fuzzer out. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* As gzip has it, uncompressed; caller frees. */
static uint8_t *wrap(const uint8_t *bytes, size_t size, size_t *ret_size)
{
    z_stream stream = {0};
    size_t capacity = size + 1024 + size / 1000;
    uint8_t *wrapped = malloc(capacity);
    if (!wrapped || deflateInit2(&stream, 0, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        abort();
    }
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = wrapped;
    stream.avail_out = (uInt)capacity;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
        abort();
    }
    *ret_size = stream.total_out;
    deflateEnd(&stream);
    return wrapped;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    bool gzip = size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    size_t wrapped_size = 0;
    uint8_t *wrapped = gzip ? NULL : wrap(bytes, size, &wrapped_size);
    struct ca_error *error = NULL;
    const char *path = gzip ? fuzz_file(bytes, size) : fuzz_file(wrapped, wrapped_size);
    struct ca_target *target = ca_target_open(path, NULL, &error);
    if (target) {
        fuzz_commands(target);
        ca_target_destroy(target);
        fuzz_sum(path);
    }
    ca_error_destroy(error);
    free(wrapped);
    return 0;
}
