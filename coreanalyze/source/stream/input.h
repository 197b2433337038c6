/* input.h: what a user names as a SOURCE, opened and looked at: a file, a pipe, or "-" for standard input.
 * What it is is told by its first bytes, never by its name. */
#ifndef CA_SOURCE_STREAM_INPUT_H
#define CA_SOURCE_STREAM_INPUT_H

#include "../../util/error.h"

enum ca_compression { CA_PLAIN, CA_ZSTD, CA_XZ, CA_GZIP, CA_LZ4, CA_BZIP2 };

#define CA_INPUT_HEAD 512

struct ca_input {
    const char *name; /* as the user gave it; borrowed */
    int file;         /* -1 = closed */
    uint64_t size;    /* of a file; 0 of a stream */
    bool is_stream;   /* no seeking: `head` was read from it already */
    uint8_t head[CA_INPUT_HEAD];
    size_t head_size;
    enum ca_compression compression;
    /* The first bytes of the contents: of what is in it, where it is compressed by gzip. */
    uint8_t first[16];
    size_t first_size;
};

/* Errors name the path and say what is wrong: missing, no permission, a directory, empty. */
bool ca_input_open(struct ca_input *input, const char *path, struct ca_error **ret_error);
void ca_input_close(struct ca_input *input);

/* "zstd", "xz", ...; "" of CA_PLAIN. */
const char *ca_compression_name(enum ca_compression compression);

#endif
