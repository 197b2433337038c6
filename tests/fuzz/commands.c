/* commands.c: see commands.h. */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEPT = 1 << 16, TRACES = 10000 };

struct written {
    size_t bytes[3]; /* by stream */
    const char *command;
    char answer[KEPT]; /* its end */
    size_t answer_size;
};

/* A control character: C0 and DEL, or C1 as UTF-8 has it. */
static bool acts_on_terminal(const unsigned char *bytes, size_t size, size_t i)
{
    unsigned char c = bytes[i], next = i + 1 < size ? bytes[i + 1] : 0;
    bool line_end = c == '\n' || (c == '\r' && next == '\n');
    return (c < 0x20 && !line_end) || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0);
}

/* Names come from the input; a terminal must not obey them. */
static void write_checked(void *context, int stream, const char *bytes, size_t size)
{
    struct written *written = context;
    written->bytes[stream == 2 ? 2 : 1] += size;
    if (stream == 1 && size < KEPT - written->answer_size) {
        memcpy(written->answer + written->answer_size, bytes, size);
        written->answer_size += size;
    }
    for (size_t i = 0; i < size; i++) {
        if (acts_on_terminal((const unsigned char *)bytes, size, i)) {
            fprintf(stderr, "%s writes byte 0x%02x on stream %d\n", written->command, (unsigned char)bytes[i],
                    stream);
            abort();
        }
    }
}

/* Blocks that there are, if the answer says it. */
static unsigned long long count_of(struct written *written)
{
    unsigned long long count = 0;
    written->answer[written->answer_size] = '\0';
    const char *total = strstr(written->answer, "\n \"total\": {\"size\": ");
    const char *found = total ? strstr(total, "\"count\": ") : NULL;
    if (found) {
        sscanf(found, "\"count\": %llu", &count);
    }
    return count;
}

static unsigned long long run(struct ca_target *target, const char *const *words)
{
    int count = 0;
    while (words[count]) {
        count++;
    }
    static struct written written;
    written = (struct written){.command = words[0]};
    struct ca_output output = {.context = &written, .write = write_checked};
    enum ca_status status = ca_command_run(target, count, words, &output);
    bool known = status == CA_COMPLETE || status == CA_PARTIAL || status == CA_NOTHING;
    bool refused =
        status == CA_USAGE && written.bytes[2]; /* threads and the like, where they were not recorded */
    if ((!known && !refused) || (status == CA_NOTHING && !written.bytes[2]) ||
        (status == CA_COMPLETE && !written.bytes[1] && !written.bytes[2])) {
        fprintf(stderr, "%s ends with %d, %zu bytes of answer, %zu of messages\n", words[0], (int)status,
                written.bytes[1], written.bytes[2]);
        abort();
    }
    return count_of(&written);
}

void fuzz_commands(struct ca_target *target)
{
    static const char *const lines[][8] = {
        {"top", "--no-source", "-n", "0", "--by", "traceback", NULL},
        {"top", "--no-source", "--format", "speedscope", NULL},
        {"top", "--no-source", "--value", "peak", "--format", "json", NULL},
        {"top", "--no-source", "-n", "1", "--format", "json", NULL}, /* how many blocks there are */
        {"traces", "--no-source", "--format", "json", NULL},
        {"traces", "--no-source", "--format", "csv", "--no-skip", NULL},
        {"traces", "--format", "folded", NULL},
        {"info", NULL},
        {"report", "--no-source", NULL},
    };
    unsigned long long blocks = 0;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        /* A few bytes of a snapshot file stand for as many blocks as they say, each of which is a line of
         * traces. */
        if (blocks < TRACES || strcmp(lines[i][0], "traces") != 0) {
            unsigned long long count = run(target, lines[i]);
            blocks = strcmp(lines[i][0], "top") == 0 ? count : blocks;
        }
    }
}

void fuzz_sum(const char *path)
{
    const char *const lines[][9] = {
        {"top", "--no-source", "-n", "0", "--by", "source", path, path, NULL},
        {"top", "--no-source", "--by", "traceback", "--no-skip", path, path, NULL},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        run(NULL, lines[i]);
    }
}

const char *fuzz_file(const uint8_t *bytes, size_t size)
{
    static char path[64];
    static int file = -1;
    if (file >= 0) {
        close(file);
    }
    file = memfd_create("input", MFD_CLOEXEC);
    for (size_t done = 0; done < size;) {
        ssize_t step = write(file, bytes + done, size - done);
        if (step <= 0) {
            abort();
        }
        done += (size_t)step;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return path;
}
