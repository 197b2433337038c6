/* input.c: see input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const struct {
    const char magic[7];
    uint8_t size;
    enum ca_compression compression;
    const char *name;
} compressions[] = {
    {"\x28\xb5\x2f\xfd", 4, CA_ZSTD, "zstd"},
    {"\xfd\x37zXZ", 6, CA_XZ, "xz"},
    {"\x1f\x8b", 2, CA_GZIP, "gzip"},
    {"\x04\x22\x4d\x18", 4, CA_LZ4, "lz4"},
    {"BZh", 3, CA_BZIP2, "bzip2"},
};

const char *ca_compression_name(enum ca_compression compression)
{
    for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
        if (compressions[i].compression == compression) {
            return compressions[i].name;
        }
    }
    return "";
}

static enum ca_compression recognise(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
        if (size >= compressions[i].size && memcmp(bytes, compressions[i].magic, compressions[i].size) == 0) {
            return compressions[i].compression;
        }
    }
    return CA_PLAIN;
}

static bool fail_open(const char *path, int error, struct ca_error **ret_error)
{
    if (error == ENOENT) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: no such file; look where core files go with: cat /proc/sys/kernel/core_pattern, "
                       "coredumpctl list",
                       path);
    }
    if (error == EACCES || error == EPERM) {
        return ca_fail(
            ret_error, CA_NOTHING,
            "%s: permission denied; core files belong to the user whose program crashed: try with sudo",
            path);
    }
    return ca_fail(ret_error, CA_NOTHING, "%s: cannot be opened: %s", path, strerror(error));
}

/* Fills `head`; of a file without moving its offset. */
static bool head_read(struct ca_input *input, struct ca_error **ret_error)
{
    while (input->head_size < sizeof(input->head)) {
        uint8_t *to = input->head + input->head_size;
        size_t room = sizeof(input->head) - input->head_size;
        ssize_t got = input->is_stream ? read(input->file, to, room)
                                       : pread(input->file, to, room, (off_t)input->head_size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ca_fail(ret_error, CA_NOTHING, "%s: cannot be read: %s", input->name, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        input->head_size += (size_t)got;
    }
    if (input->head_size == 0) {
        return ca_fail(
            ret_error, CA_NOTHING,
            input->is_stream
                ? "%s: nothing comes from it, a core file expected; did what writes to it fail?"
                : "%s: is empty, a core file expected; was the disk full, or `ulimit -c` too small?",
            input->name);
    }
    return true;
}

/* A snapshot file is compressed by gzip as well: what is in it tells the two apart. */
static void first_decompress(struct ca_input *input)
{
    z_stream stream = {
        .next_in = input->head,
        .avail_in = (uInt)input->head_size,
        .next_out = input->first,
        .avail_out = sizeof(input->first),
    };
    if (inflateInit2(&stream, 15 + 16) == Z_OK) {
        (void)inflate(&stream, Z_SYNC_FLUSH);
        input->first_size = sizeof(input->first) - stream.avail_out;
        inflateEnd(&stream);
    }
}

static bool kind_check(struct ca_input *input, struct ca_error **ret_error)
{
    struct stat status;
    if (fstat(input->file, &status) != 0) {
        return fail_open(input->name, errno, ret_error);
    }
    if (S_ISDIR(status.st_mode)) {
        return ca_fail(ret_error, CA_NOTHING, "%s: is a directory, a core file expected", input->name);
    }
    if (isatty(input->file)) {
        return ca_fail(ret_error, CA_NOTHING, "%s: is a terminal, a core file expected", input->name);
    }
    bool named = strcmp(input->name, "-") != 0;
    if (named && !S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: is no regular file and no pipe, a core file expected; write it to a file first",
                       input->name);
    }
    bool whole = named || lseek(input->file, 0, SEEK_CUR) == 0; /* standard input may be half read */
    input->is_stream = !S_ISREG(status.st_mode) || !whole;
    input->size = input->is_stream ? 0 : (uint64_t)status.st_size;
    if (S_ISFIFO(status.st_mode)) {
        int flags = fcntl(input->file, F_GETFL);
        (void)fcntl(input->file, F_SETFL, flags & ~O_NONBLOCK);
    }
    return true;
}

bool ca_input_open(struct ca_input *input, const char *path, struct ca_error **ret_error)
{
    memset(input, 0, sizeof(*input));
    input->name = path;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    input->file = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                         : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (input->file < 0) {
        return fail_open(path, errno, ret_error);
    }
    if (!kind_check(input, ret_error) || !head_read(input, ret_error)) {
        ca_input_close(input);
        return false;
    }
    input->compression = recognise(input->head, input->head_size);
    if (input->compression == CA_GZIP) {
        first_decompress(input);
    } else if (input->compression == CA_PLAIN) {
        input->first_size = input->head_size < sizeof(input->first) ? input->head_size : sizeof(input->first);
        memcpy(input->first, input->head, input->first_size);
    }
    return true;
}

void ca_input_close(struct ca_input *input)
{
    if (input->file >= 0) {
        close(input->file);
        input->file = -1;
    }
}
