/* sink.c: the answer's way out. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../terminal/fit.h"

enum { CHUNK_SIZE = 1 << 16 };

static bool sink_fail(const struct ca_sink *sink, int number, struct ca_error **ret_error)
{
    return ca_fail(ret_error, CA_NOTHING, "cannot write %s: %s", sink->path, strerror(number));
}

/* A new file beside `target`. open() rather than mkstemp(): the umask applies. */
static bool temporary_create(struct ca_sink *sink, const struct stat *old, struct ca_error **ret_error)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        uint32_t number;
        if (getrandom(&number, sizeof number, 0) != sizeof number) {
            return sink_fail(sink, errno, ret_error);
        }
        if (asprintf(&sink->temporary, "%s.%08x", sink->target, number) < 0) {
            sink->temporary = NULL;
            return ca_fail_memory(ret_error);
        }
        sink->descriptor = open(sink->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (sink->descriptor >= 0) {
            if (old) {
                (void)!fchmod(sink->descriptor, old->st_mode & 07777);
            }
            return true;
        }
        int number_of_error = errno;
        free(sink->temporary);
        sink->temporary = NULL;
        if (number_of_error != EEXIST) {
            return sink_fail(sink, number_of_error, ret_error);
        }
    }
    return sink_fail(sink, EEXIST, ret_error);
}

static bool file_open(struct ca_sink *sink, struct ca_error **ret_error)
{
    struct stat status;
    bool there = stat(sink->path, &status) == 0;
    if (there && !S_ISREG(status.st_mode)) {
        sink->descriptor = open(sink->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return sink->descriptor >= 0 || sink_fail(sink, errno, ret_error);
    }
    if (there && access(sink->path, W_OK) != 0) {
        return sink_fail(sink, errno, ret_error);
    }
    sink->target = there ? realpath(sink->path, NULL) : strdup(sink->path);
    if (!sink->target) {
        return sink_fail(sink, errno, ret_error);
    }
    return temporary_create(sink, there ? &status : NULL, ret_error);
}

bool ca_sink_open(struct ca_sink *sink, const struct ca_output *output, const char *path,
                  struct ca_error **ret_error)
{
    *sink = (struct ca_sink){.output = output, .descriptor = -1, .text.escape_names = true};
    if (!path || strcmp(path, "-") == 0) {
        return true;
    }
    sink->path = path;
    if (!file_open(sink, ret_error)) {
        ca_sink_abandon(sink);
        return false;
    }
    return true;
}

static void file_write(struct ca_sink *sink, const char *bytes, size_t size)
{
    while (size && !sink->failure) {
        ssize_t written = write(sink->descriptor, bytes, size);
        if (written < 0 && errno != EINTR) {
            sink->failure = errno;
        } else if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

static void sink_write(struct ca_sink *sink)
{
    ca_text_fit(&sink->text);
    if (sink->text.failed || sink->text.size == 0) {
        return;
    }
    if (sink->descriptor >= 0) {
        file_write(sink, sink->text.bytes, sink->text.size);
    } else {
        sink->output->write(sink->output->context, 1, sink->text.bytes, sink->text.size);
    }
    sink->text.size = 0;
}

void ca_sink_flush(struct ca_sink *sink)
{
    if (sink->text.size >= CHUNK_SIZE) {
        sink_write(sink);
    }
}

bool ca_sink_commit(struct ca_sink *sink, struct ca_error **ret_error)
{
    sink_write(sink);
    bool done = !sink->text.failed || ca_fail_memory(ret_error);
    if (sink->descriptor >= 0) {
        int descriptor = sink->descriptor;
        sink->descriptor = -1;
        /* Some file systems tell only here that the disk is full. */
        if (close(descriptor) != 0 && !sink->failure) {
            sink->failure = errno;
        }
        if (done && !sink->failure && sink->temporary && rename(sink->temporary, sink->target) != 0) {
            sink->failure = errno;
        }
        if (done && !sink->failure) {
            free(sink->temporary);
            sink->temporary = NULL;
        }
        done = done && (!sink->failure || sink_fail(sink, sink->failure, ret_error));
    }
    ca_sink_abandon(sink);
    return done;
}

void ca_sink_abandon(struct ca_sink *sink)
{
    if (sink->descriptor >= 0) {
        close(sink->descriptor);
        sink->descriptor = -1;
    }
    if (sink->temporary) {
        unlink(sink->temporary);
        free(sink->temporary);
        sink->temporary = NULL;
    }
    free(sink->target);
    sink->target = NULL;
    ca_text_deinit(&sink->text);
}
