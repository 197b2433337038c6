/* main.c: the command coreanalyze: hands its command line to the engine and writes what comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "coreanalyze.h"
#include "kernel_pipe.h"

/* Nobody gets the answer: a reader that went away is no error to talk about, everything else is. */
static void output_failed(int number)
{
    console_progress_end();
    if (number != EPIPE) {
        fprintf(stderr, "coreanalyze: cannot write standard output: %s\n", strerror(number));
    }
    _exit(CA_NOTHING);
}

static bool is_file(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

/* The answer may go to the terminal that shows progress, also by way of a pager. */
static void progress_make_room(int stream)
{
    if (stream == 2) {
        console_progress_clear();
    } else if (!is_file(STDOUT_FILENO)) {
        console_progress_end();
    }
}

static void write_stream(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    FILE *file = stream == 2 ? stderr : stdout;
    progress_make_room(stream);
    if (stream == 2) {
        fflush(stdout);
    }
    if (fwrite(bytes, 1, size, file) != size && stream != 2) {
        output_failed(errno);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--kernel-pipe") == 0) {
        return kernel_pipe_run(argc - 2, argv + 2);
    }
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) {
        fputs("coreanalyze: out of memory\n", stderr);
        return CA_NOTHING;
    }
    for (int i = 1; i < argc; i++) {
        words[i] = argv[i];
    }
    words[0] = "coreanalyze";
    struct ca_output output = {
        .write = write_stream,
        .color = console_shows_colors(),
        .columns = console_columns(),
        .progress = console_progress,
    };
    console_progress_begin();
    enum ca_status status = ca_command_run(NULL, argc > 0 ? argc : 1, words, &output);
    console_progress_end();
    free(words);
    /* Also a disk that is full is often noticed only here. */
    if (fflush(stdout) != 0 || (fclose(stdout) != 0 && errno != EBADF)) {
        output_failed(errno);
    }
    return (int)status;
}
