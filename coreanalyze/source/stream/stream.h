/* stream.h: a compressed file or a stream, mapped like a file: its contents go through libarchive where they
 * are compressed (zstd, lz4, xz, gzip, bzip2) and into a spool. */
#ifndef CA_SOURCE_STREAM_STREAM_H
#define CA_SOURCE_STREAM_STREAM_H

#include "input.h"

struct ca_contents {
    const uint8_t *bytes; /* until munmap(bytes, size) */
    size_t size;          /* not 0 */
    bool cut;             /* the stream ended early, or is damaged from there on */
};

/* The contents of an input, which is read to its end unless it is a plain file. Fails where nothing of them
 * could be read. */
bool ca_contents_map(struct ca_input *input, struct ca_contents *ret_contents, struct ca_error **ret_error);

#endif
