/* reader.c: see reader.h. */
#include "reader.h"

#include <stdlib.h>

/* Enough for any mapping: a view costs nothing. */
#define VIEW_MAX ((size_t)1 << 46)

void ca_reader_deinit(struct ca_reader *reader)
{
    free(reader->buffer);
    *reader = (struct ca_reader){.source = reader->source};
}

static bool chunk_read(struct ca_reader *reader, uint64_t address, uint64_t end, struct ca_error **ret_error)
{
    if (!reader->buffer) {
        reader->buffer = malloc(CA_READER_CHUNK);
    }
    if (!reader->buffer) {
        return ca_fail_memory(ret_error);
    }
    size_t size = CA_READER_CHUNK - (size_t)(address % CA_READER_CHUNK), got = 0;
    size = end - address < size ? (size_t)(end - address) : size;
    if (!ca_source_read_some(reader->source, address, reader->buffer, size, &got, ret_error)) {
        return false;
    }
    reader->bytes = reader->buffer;
    reader->size = got;
    return true;
}

bool ca_reader_fill(struct ca_reader *reader, uint64_t address, uint64_t end, size_t *ret_size,
                    struct ca_error **ret_error)
{
    reader->start = address;
    reader->size = 0;
    if (ca_source_in_memory(reader->source)) {
        reader->bytes = ca_source_view(reader->source, address, VIEW_MAX, &reader->size);
    } else if (end > address && !chunk_read(reader, address, end, ret_error)) {
        return false;
    }
    *ret_size = reader->size;
    return true;
}
