/* stream.c: see stream.h. libarchive is loaded when the first compressed file comes: it brings ICU and
 * libxml2 along, which nobody should pay for who reads a plain core, least of all GDB. */
#include "stream.h"

#include <archive.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../terminal/progress.h"
#include "spool.h"

#define BUFFER_SIZE  ((size_t)1 << 20)
#define LIBRARY_NAME "libarchive.so.13"

/* ------------------------------------------------------------------------------------------ libarchive */

#define LIBARCHIVE_FUNCTIONS(do)                                                                                                                                                                  \
    do                                                                                                                                                                                            \
    (archive_read_new) do(archive_read_free) do(archive_read_support_format_raw) do(archive_read_support_filter_zstd) do(archive_read_support_filter_xz) do(archive_read_support_filter_gzip) do( \
        archive_read_support_filter_lz4) do(archive_read_support_filter_bzip2) do(archive_read_open) do(archive_read_next_header) do(archive_read_data) do(archive_error_string)

#define DECLARE_FUNCTION(name) __typeof__(name) *name;
static struct {
    LIBARCHIVE_FUNCTIONS(DECLARE_FUNCTION)
    bool loaded;
} library;
#undef DECLARE_FUNCTION

static void library_load(void)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    library.loaded = handle != NULL;
#define LOAD_FUNCTION(name)                                                                                  \
    library.name = handle ? (__typeof__(name) *)dlsym(handle, #name) : NULL;                                 \
    library.loaded = library.loaded && library.name;
    LIBARCHIVE_FUNCTIONS(LOAD_FUNCTION)
#undef LOAD_FUNCTION
}

static bool library_get(const struct ca_input *input, struct ca_error **ret_error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_load);
    if (!library.loaded) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: is compressed by %s, which needs " LIBRARY_NAME
                       " (Debian: libarchive13); install it, or decompress the file first",
                       input->name, ca_compression_name(input->compression));
    }
    return true;
}

/* -------------------------------------------------------------------------------------------- reading */

struct stream {
    struct ca_input *input;
    bool head_used;
    uint8_t *buffer;   /* BUFFER_SIZE */
    uint8_t *contents; /* BUFFER_SIZE, decompressed */
    uint64_t used;     /* bytes of the input that were read */
    int failure;       /* errno of a read that failed */
};

/* The next bytes of the input: 0 = its end, -1 = failure is set. */
static ssize_t input_read(struct stream *stream, const void **ret_bytes)
{
    struct ca_input *input = stream->input;
    if (input->is_stream && !stream->head_used) {
        stream->head_used = true;
        *ret_bytes = input->head;
        return (ssize_t)input->head_size;
    }
    ssize_t got;
    do {
        got = read(input->file, stream->buffer, BUFFER_SIZE);
    } while (got < 0 && errno == EINTR);
    stream->failure = got < 0 ? errno : 0;
    stream->used += got > 0 ? (uint64_t)got : 0;
    ca_progress_report(&(struct ca_progress){
        .phase = input->compression == CA_PLAIN ? "reading" : "decompressing",
        .subject = strcmp(input->name, "-") == 0 ? "standard input" : input->name,
        .done = stream->used,
        .total = input->size,
        .bytes = true,
    });
    *ret_bytes = stream->buffer;
    return got;
}

static la_ssize_t archive_read_input(struct archive *archive, void *context, const void **ret_bytes)
{
    (void)archive;
    return input_read(context, ret_bytes);
}

static struct archive *archive_create(struct stream *stream)
{
    struct archive *archive = library.archive_read_new();
    if (!archive) {
        return NULL;
    }
    library.archive_read_support_format_raw(archive);
    /* A filter that the library was built without is ARCHIVE_WARN: it would run a program of that name. */
    int added = ARCHIVE_OK;
    switch (stream->input->compression) {
    case CA_ZSTD:
        added = library.archive_read_support_filter_zstd(archive);
        break;
    case CA_XZ:
        added = library.archive_read_support_filter_xz(archive);
        break;
    case CA_GZIP:
        added = library.archive_read_support_filter_gzip(archive);
        break;
    case CA_LZ4:
        added = library.archive_read_support_filter_lz4(archive);
        break;
    default:
        added = library.archive_read_support_filter_bzip2(archive);
        break;
    }
    if (added == ARCHIVE_OK) {
        (void)library.archive_read_open(archive, stream, NULL, archive_read_input,
                                        NULL); /* the next call fails */
    }
    return archive;
}

/* False with an error when the contents cannot be kept; what is wrong with the stream itself is in
 * *ret_problem (NULL = nothing). */
static bool archive_spool(struct stream *stream, struct archive *archive, struct ca_spool *spool,
                          const char **ret_problem, struct ca_error **ret_error)
{
    struct archive_entry *entry;
    if (library.archive_read_next_header(archive, &entry) != ARCHIVE_OK) {
        *ret_problem = library.archive_error_string(archive);
        *ret_problem = *ret_problem ? *ret_problem : "it cannot be decompressed";
        return true;
    }
    for (;;) {
        la_ssize_t got = library.archive_read_data(archive, stream->contents, BUFFER_SIZE);
        if (got == 0) {
            return true;
        }
        if (got < 0) {
            *ret_problem = library.archive_error_string(archive);
            *ret_problem = *ret_problem ? *ret_problem : "it cannot be decompressed";
            return true;
        }
        if (!ca_spool_add(spool, stream->input->name, stream->contents, (size_t)got, ret_error)) {
            return false;
        }
    }
}

static bool plain_spool(struct stream *stream, struct ca_spool *spool, const char **ret_problem,
                        struct ca_error **ret_error)
{
    const void *bytes;
    ssize_t got;
    while ((got = input_read(stream, &bytes)) > 0) {
        if (!ca_spool_add(spool, stream->input->name, bytes, (size_t)got, ret_error)) {
            return false;
        }
    }
    *ret_problem = got < 0 ? strerror(stream->failure) : NULL;
    return true;
}

static bool spool_fill(struct stream *stream, struct ca_spool *spool, struct ca_contents *contents,
                       struct ca_error **ret_error)
{
    const struct ca_input *input = stream->input;
    struct archive *archive = NULL;
    const char *problem = NULL;
    bool done;
    if (input->compression == CA_PLAIN) {
        done = plain_spool(stream, spool, &problem, ret_error);
    } else {
        archive = archive_create(stream);
        done =
            archive ? archive_spool(stream, archive, spool, &problem, ret_error) : ca_fail_memory(ret_error);
    }
    contents->cut = problem != NULL;
    if (done && spool->size == 0) {
        done =
            ca_fail(ret_error, CA_NOTHING, "%s: is no whole %s file: %s; was it copied whole?", input->name,
                    ca_compression_name(input->compression), problem ? problem : "there is nothing in it");
    }
    if (archive) {
        library.archive_read_free(archive);
    }
    return done;
}

static bool stream_map(struct ca_input *input, struct ca_contents *contents, struct ca_error **ret_error)
{
    struct ca_spool spool;
    if ((input->compression != CA_PLAIN && !library_get(input, ret_error)) ||
        !ca_spool_open(&spool, ret_error)) {
        return false;
    }
    struct stream stream = {.input = input, .buffer = malloc(2 * BUFFER_SIZE)};
    stream.contents = stream.buffer ? stream.buffer + BUFFER_SIZE : NULL;
    bool done = stream.buffer ? spool_fill(&stream, &spool, contents, ret_error) : ca_fail_memory(ret_error);
    free(stream.buffer);
    if (done) {
        contents->size = (size_t)spool.size;
        contents->bytes = ca_spool_map(&spool, input->name, ret_error);
        return contents->bytes != NULL;
    }
    ca_spool_close(&spool);
    return false;
}

bool ca_contents_map(struct ca_input *input, struct ca_contents *ret_contents, struct ca_error **ret_error)
{
    *ret_contents = (struct ca_contents){0};
    if (input->is_stream || input->compression != CA_PLAIN) {
        return stream_map(input, ret_contents, ret_error);
    }
    void *bytes = mmap(NULL, (size_t)input->size, PROT_READ, MAP_PRIVATE, input->file, 0);
    if (bytes == MAP_FAILED) {
        return ca_fail(ret_error, CA_NOTHING, "%s: cannot be mapped: %s", input->name, strerror(errno));
    }
    ret_contents->bytes = bytes;
    ret_contents->size = (size_t)input->size;
    return true;
}
