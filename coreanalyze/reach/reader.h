/* reader.h: memory of a target read from low addresses to high ones: where the source has it at hand it is
 * not copied, else it comes in a few large pieces.
 */
#ifndef CA_REACH_READER_H
#define CA_REACH_READER_H

#include <string.h>

#include "../source/source.h"

struct ca_reader {
    struct ca_source *source;
    const uint8_t *bytes; /* of [start, start + size) */
    uint64_t start;
    size_t size;
    uint8_t *buffer; /* of CA_READER_CHUNK bytes, or NULL */
};

#define CA_READER_CHUNK ((size_t)1 << 20)

/* Zero-initialise, with the source. */
void ca_reader_deinit(struct ca_reader *reader);

/* Makes the reader hold memory from `address` on, up to `end` at most if it has to be fetched. *ret_size: how
 * many bytes of it there are, 0 = none. False with an error. */
bool ca_reader_fill(struct ca_reader *reader, uint64_t address, uint64_t end, size_t *ret_size,
                    struct ca_error **ret_error);

/* Bytes from `address` on that the reader holds; 0 = none. */
static inline size_t ca_reader_has(const struct ca_reader *reader, uint64_t address)
{
    uint64_t offset = address - reader->start;
    return offset < reader->size ? reader->size - (size_t)offset : 0;
}

static inline const uint8_t *ca_reader_at(const struct ca_reader *reader, uint64_t address)
{
    return reader->bytes + (address - reader->start);
}

#endif
