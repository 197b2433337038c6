/* spool.h: where the bytes of a stream are kept so that they can be mapped: a file without a name in TMPDIR
 * (else /var/tmp, else /tmp), with holes where the bytes are 0. It is gone with the process, however that
 * ends. */
#ifndef CA_SOURCE_STREAM_SPOOL_H
#define CA_SOURCE_STREAM_SPOOL_H

#include "../../util/error.h"

struct ca_spool {
    int file;      /* -1 = none */
    uint64_t size; /* bytes added */
    char directory[4096];
};

bool ca_spool_open(struct ca_spool *spool, struct ca_error **ret_error);
/* A full file system is named in the error, with the directory and what to do. name: what is being kept. */
bool ca_spool_add(struct ca_spool *spool, const char *name, const void *bytes, size_t size,
                  struct ca_error **ret_error);
/* Everything that was added, mapped for reading until munmap; NULL with an error. The file is closed, also on
 * an error. size is not 0. */
const void *ca_spool_map(struct ca_spool *spool, const char *name, struct ca_error **ret_error);
void ca_spool_close(struct ca_spool *spool);

#endif
