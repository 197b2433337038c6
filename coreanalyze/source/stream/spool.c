/* spool.c: see spool.h. */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096u

/* ------------------------------------------------------------------------------------------ opening */

static int file_create(const char *directory)
{
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (file >= 0 || errno == ENOENT || errno == EACCES || errno == ENOTDIR) {
        return file;
    }
    char *path = NULL; /* a file system that has no files without a name */
    if (asprintf(&path, "%s/coreanalyze-XXXXXX", directory) < 0) {
        errno = ENOMEM;
        return -1;
    }
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0) {
        unlink(path);
    }
    free(path);
    return file;
}

bool ca_spool_open(struct ca_spool *spool, struct ca_error **ret_error)
{
    const char *chosen = secure_getenv("TMPDIR");
    const char *directories[] = {chosen && chosen[0] ? chosen : "/var/tmp", "/tmp"};
    size_t count = chosen && chosen[0] ? 1 : 2;
    *spool = (struct ca_spool){.file = -1};
    for (size_t i = 0; i < count && spool->file < 0; i++) {
        snprintf(spool->directory, sizeof(spool->directory), "%s", directories[i]);
        spool->file = file_create(directories[i]);
    }
    if (spool->file < 0) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: no temporary file can be made there: %s; set TMPDIR to a directory with room for "
                       "the whole core",
                       spool->directory, strerror(errno));
    }
    return true;
}

void ca_spool_close(struct ca_spool *spool)
{
    if (spool->file >= 0) {
        close(spool->file);
        spool->file = -1;
    }
}

/* ------------------------------------------------------------------------------------------- adding */

/* The directory at which the file system of `directory` is mounted, as far as names show it. */
static void mount_point(const char *directory, char *buffer, size_t size)
{
    char *path = realpath(directory, NULL);
    struct stat here, above;
    if (!path || stat(path, &here) != 0) {
        snprintf(buffer, size, "%s", directory);
        free(path);
        return;
    }
    for (char *slash; path[1] && (slash = strrchr(path, '/'));) {
        size_t end = slash == path ? 1 : (size_t)(slash - path);
        char *parent = strndup(path, end);
        bool same = parent && stat(parent, &above) == 0 && above.st_dev == here.st_dev;
        free(parent);
        if (!same) {
            break;
        }
        path[end] = '\0';
    }
    snprintf(buffer, size, "%s", path);
    free(path);
}

static bool fail_write(const struct ca_spool *spool, const char *name, int error, struct ca_error **ret_error)
{
    if (error != ENOSPC && error != EDQUOT && error != EFBIG) {
        return ca_fail(ret_error, CA_NOTHING, "%s: cannot be kept in %s: %s", name, spool->directory,
                       strerror(error));
    }
    char mount[4096];
    mount_point(spool->directory, mount, sizeof(mount));
    return ca_fail(ret_error, CA_NOTHING,
                   "%s: cannot be kept in %s, on the file system mounted at %s: %s after %" PRIu64
                   " bytes; set TMPDIR to a directory with room for the whole core",
                   name, spool->directory, mount, strerror(error), spool->size);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Size of the run of blocks from `bytes` on that are all zero, or all not. Blocks are those of the file. */
static size_t run_size(const uint8_t *bytes, size_t size, uint64_t offset, bool *ret_zero)
{
    size_t run = 0;
    while (run < size) {
        size_t block = BLOCK - (size_t)((offset + run) % BLOCK);
        block = block < size - run ? block : size - run;
        bool zero = is_zero(bytes + run, block);
        if (run > 0 && zero != *ret_zero) {
            break;
        }
        *ret_zero = zero;
        run += block;
    }
    return run;
}

bool ca_spool_add(struct ca_spool *spool, const char *name, const void *bytes, size_t size,
                  struct ca_error **ret_error)
{
    const uint8_t *next = bytes;
    while (size > 0) {
        bool zero = false;
        size_t run = run_size(next, size, spool->size, &zero);
        ssize_t written = zero ? (ssize_t)run : pwrite(spool->file, next, run, (off_t)spool->size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return fail_write(spool, name, written < 0 ? errno : ENOSPC, ret_error);
        }
        spool->size += (uint64_t)written;
        next += written;
        size -= (size_t)written;
    }
    return true;
}

const void *ca_spool_map(struct ca_spool *spool, const char *name, struct ca_error **ret_error)
{
    void *bytes = MAP_FAILED;
    if (ftruncate(spool->file, (off_t)spool->size) != 0) { /* zeros at the end were not written */
        fail_write(spool, name, errno, ret_error);
    } else {
        bytes = mmap(NULL, (size_t)spool->size, PROT_READ, MAP_PRIVATE, spool->file, 0);
        if (bytes == MAP_FAILED) {
            ca_fail(ret_error, CA_NOTHING, "%s: cannot be mapped: %s", name, strerror(errno));
        }
    }
    ca_spool_close(spool);
    return bytes == MAP_FAILED ? NULL : bytes;
}
