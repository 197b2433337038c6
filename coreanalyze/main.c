/* main.c: the command coreanalyze: hands its command line to the engine and writes what comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "coreanalyze.h"
#include "kernel_pipe.h"

/* Nobody gets the answer: a reader that went away is no error to talk about, everything else is. */
static void output_failed(int number)
{
    if (number != EPIPE) {
        fprintf(stderr, "coreanalyze: cannot write standard output: %s\n", strerror(number));
    }
    _exit(CA_NOTHING);
}

static void write_stream(void *context, int stream, const char *bytes, size_t size)
{
    (void)context;
    FILE *file = stream == 2 ? stderr : stdout;
    if (stream == 2) {
        fflush(stdout);
    }
    if (fwrite(bytes, 1, size, file) != size && stream != 2) {
        output_failed(errno);
    }
}

static int terminal_columns(void)
{
    struct winsize window;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
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
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    struct ca_output output = {
        .write = write_stream,
        .color =
            isatty(STDOUT_FILENO) && !(no_color && no_color[0]) && terminal && strcmp(terminal, "dumb") != 0,
        .columns = terminal_columns(),
    };
    enum ca_status status = ca_command_run(NULL, argc > 0 ? argc : 1, words, &output);
    free(words);
    /* Also a disk that is full is often noticed only here. */
    if (fflush(stdout) != 0 || (fclose(stdout) != 0 && errno != EBADF)) {
        output_failed(errno);
    }
    return (int)status;
}
