/* tm-run: starts a program with the tracer loaded, as python3 -X tracemalloc=NFRAME does for Python programs. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

enum { EXIT_USAGE = 64, EXIT_OWN = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

__attribute__((visibility("default"))) const char *argp_program_version = "tm-run " TM_VERSION; /* argp's own is weak */

static const char usage[] = "PROGRAM [ARG...]";
static const char documentation[] =
    "Run PROGRAM with every heap block on record, for coreanalyze and for GDB's tm-* commands.\v"
    "OPTIONS is KEY=VALUE[,KEY=VALUE]...:\n"
    "  detail=0|1   record thread and time of every block (default 0)\n"
    "  freed=COUNT  remember the last COUNT blocks that a thread freed, and where (default 0)\n"
    "  mmap=0|1     record anonymous mappings, too, as domain 1 (default 0)\n"
    "  sample=SIZE  record samples only, one in SIZE bytes on average; readers scale them up (default 0, every block)\n"
    "  stats=0|1    keep counters per stack (default 1)\n"
    "  max=SIZE     cap on the tracer's own memory (default 0, none)\n"
    "SIZE may end in K, M or G. Options win over the variable TRACEMALLOC=NFRAME[,OPTIONS], which is also how PROGRAM "
    "gets them. The loader ignores the tracer in set-user-ID programs, and statically linked programs have no loader.\n\n"
    "Exit status: that of PROGRAM; 64 usage, 125 tm-run itself failed, 126 PROGRAM cannot be run, 127 it was not found.";

static const struct argp_option options_table[] = {
    { "nframe", 'n', "NFRAME", 0, "Frames of each traceback, 0..65535 (default 25); 0 = loaded, not tracing", 0 },
    { "options", 'o', "OPTIONS", 0, "What to record, see below", 0 },
    { 0 },
};

struct arguments {
    const char *nframe;
    const char *keys;
    char **command;
};

static error_t argument_read(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'n':
        arguments->nframe = value;
        return 0;
    case 'o':
        arguments->keys = value;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->command = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program? (try: tm-run -- PROGRAM)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void refuse(const char *where, const struct tm_options_error *error)
{
    char text[512];
    tm_options_error_format(error, text, sizeof(text));
    fprintf(stderr, "tm-run: %s: %s\n", where, text);
    exit(EXIT_USAGE);
}

/* The variable first, then what wins over it. */
static struct tm_options options_merge(const struct arguments *arguments)
{
    struct tm_options options;
    struct tm_options_error error;
    const char *variable = getenv("TRACEMALLOC");
    tm_options_init(&options);
    if (variable && *variable && !tm_options_read(variable, &options, &error)) {
        refuse("TRACEMALLOC", &error);
    }
    if (arguments->nframe && !tm_options_read_nframe(arguments->nframe, &options, &error)) {
        refuse("-n", &error);
    }
    if (arguments->keys && !tm_options_read_keys(arguments->keys, &options, &error)) {
        refuse("-o", &error);
    }
    return options;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "tm-run: %s: %s\n", what, why);
    exit(EXIT_OWN);
}

static void variable_set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        fail(name, strerror(errno));
    }
}

static void options_pass_on(const struct tm_options *options)
{
    char text[256];
    snprintf(text, sizeof(text), "%" PRIu32 ",sample=%" PRIu64 ",freed=%" PRIu64 ",detail=%d,max=%" PRIu64 ",stats=%d,mmap=%d",
             options->nframe, options->sample, options->freed, options->detail, options->max, options->stats,
             options->mmap);
    variable_set("TRACEMALLOC", text);
}

/* ../LIBDIR/libtm.so, seen from the directory of this program. */
static char *library_find(void)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0) {
        fail("/proc/self/exe", strerror(errno));
    }
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    char beside[PATH_MAX + sizeof("/../" TM_LIBDIR "/libtm.so")];
    snprintf(beside, sizeof(beside), "%s/../" TM_LIBDIR "/libtm.so", self);
    char *library = realpath(beside, NULL);
    if (!library) {
        fail(beside, strerror(errno));
    }
    if (strpbrk(library, " :")) {
        fail(library, "the loader cannot preload a path with a blank or a colon in it: install it elsewhere");
    }
    return library;
}

static void library_preload(const char *library)
{
    const char *others = getenv("LD_PRELOAD");
    size_t size = strlen(library) + 1 + (others ? strlen(others) : 0) + 1;
    char *value = malloc(size);
    if (!value) {
        fail("LD_PRELOAD", strerror(ENOMEM));
    }
    snprintf(value, size, "%s%s%s", library, others && *others ? ":" : "", others ? others : "");
    variable_set("LD_PRELOAD", value);
    free(value);
}

/* The file that execvp() runs; false when there is none. */
static bool program_find(const char *name, struct stat *ret_status)
{
    if (strchr(name, '/')) {
        return stat(name, ret_status) == 0;
    }
    const char *path = getenv("PATH");
    while (path) {
        char file[PATH_MAX];
        int length = (int)strcspn(path, ":");
        int needed = snprintf(file, sizeof(file), "%.*s%s%s", length, path, length ? "/" : "", name);
        if (needed < (int)sizeof(file) && access(file, X_OK) == 0 && stat(file, ret_status) == 0 &&
            S_ISREG(ret_status->st_mode)) {
            return true;
        }
        path = path[length] ? path + length + 1 : NULL;
    }
    return false;
}

/* Programs that run as somebody else than who starts them: ld.so(8), secure-execution mode. */
static void privileges_check(const char *name)
{
    struct stat status;
    if (!program_find(name, &status)) {
        return;
    }
    bool user = status.st_mode & S_ISUID && status.st_uid != getuid();
    bool group = status.st_mode & S_ISGID && status.st_gid != getgid();
    if (user || group) {
        fprintf(stderr,
                "tm-run: %s: not traced: the loader ignores the tracer in set-%s-ID programs; "
                "run it as its owner, or a copy without that bit\n",
                name, user ? "user" : "group");
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    const struct argp argp = { options_table, argument_read, usage, documentation, NULL, NULL, NULL };
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &arguments);
    struct tm_options options = options_merge(&arguments);
    char *library = library_find();
    options_pass_on(&options);
    library_preload(library);
    free(library);
    privileges_check(arguments.command[0]);
    execvp(arguments.command[0], arguments.command);
    int error = errno;
    fprintf(stderr, "tm-run: %s: %s\n", arguments.command[0], strerror(error));
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
