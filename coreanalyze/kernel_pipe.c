/* kernel_pipe.c: see kernel_pipe.h.
 *
 * Four processes, so that nothing that a hostile program puts into its memory or its files is looked at by
 * root, and the crash waits for the copy of the tables alone:
 *
 *   handler      root: opens the process and the file, waits for the copy, then runs HANDLER or ends
 *   (between)    ends at once, so that HANDLER does not find children that it does not know
 *   supervisor   root: waits for the worker, puts its file in place or deletes it, writes the log
 *   worker       the process's owner: copies and reads the tables, looks for names, writes the snapshot */
#include "kernel_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "coreanalyze.h"

#define DEFAULT_DIRECTORY "/var/lib/coreanalyze"
#define SUFFIX            ".pb.gz"

enum {
    COPY_SECONDS = 10,   /* that the crash waits at most */
    WRITE_SECONDS = 120, /* that finding names may take */
    NAMES_TRIED = 100,
    LOG_MAX = 900,
    NOT_TRACED = 77, /* the worker's exit code */
};

struct crash {
    uint32_t pid;
    char comm[32];
    uid_t user;
    gid_t group;
    int directory;           /* where the snapshot goes; -1 = nowhere */
    char name[NAME_MAX + 1]; /* of the snapshot in it */
    char temporary[64];      /* while it is written */
    int file;
    int root, namespace; /* the process's files; -1 = ours */
    struct ca_target *target;
};

/* ---------------------------------------------------------------------------------------------------- log */

static bool has_stderr; /* somebody tries us by hand: the kernel gives none */

/* To syslog; where there is none, to the kernel's own log. */
__attribute__((format(printf, 3, 4))) static void log_line(int priority, const struct crash *crash,
                                                           const char *format, ...)
{
    char message[LOG_MAX], line[LOG_MAX + 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "process %u (%s): %s", crash->pid, crash->comm, message);
    for (char *at = line; *at; at++) {
        *at = *at > 0 && *at < ' ' ? ' ' : *at;
    }
    if (has_stderr) {
        fprintf(stderr, "coreanalyze: %s\n", line);
        return;
    }
    if (access("/dev/log", F_OK) == 0) {
        openlog("coreanalyze", LOG_PID, LOG_DAEMON);
        syslog(priority, "%s", line);
        closelog();
        return;
    }
    int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (log >= 0) {
        dprintf(log, "<%d>coreanalyze: %s\n", priority, line);
        close(log);
    }
}

/* ------------------------------------------------------------------------------------------------ process */

static void text_read(const char *path, char *buffer, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, buffer, size - 1) : -1;
    buffer[got > 0 ? got : 0] = '\0';
    if (file >= 0) {
        close(file);
    }
}

/* Its files, where they are not ours: in a container. The namespace is kept so that its mounts outlive it. */
static void files_open(struct crash *crash)
{
    char path[64];
    struct stat own, theirs;
    crash->root = crash->namespace = -1;
    snprintf(path, sizeof path, "/proc/%u/root", crash->pid);
    if (stat("/proc/self/root/", &own) != 0) {
        return;
    }
    int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char namespace[64];
    snprintf(namespace, sizeof namespace, "/proc/%u/ns/mnt", crash->pid);
    struct stat own_namespace, their_namespace;
    bool same_root =
        root >= 0 && fstat(root, &theirs) == 0 && own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
    bool same_namespace = stat("/proc/self/ns/mnt", &own_namespace) == 0 &&
                          stat(namespace, &their_namespace) == 0 &&
                          own_namespace.st_ino == their_namespace.st_ino;
    if (root < 0 || (same_root && same_namespace)) {
        if (root >= 0) {
            close(root);
        }
        return;
    }
    crash->root = root;
    crash->namespace = open(namespace, O_RDONLY | O_CLOEXEC);
}

static bool process_open(struct crash *crash)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/comm", crash->pid);
    text_read(path, crash->comm, sizeof crash->comm);
    crash->comm[strcspn(crash->comm, "\n")] = '\0';
    struct stat status;
    snprintf(path, sizeof path, "/proc/%u", crash->pid);
    if (stat(path, &status) != 0) {
        log_line(LOG_ERR, crash, "no such process");
        return false;
    }
    crash->user = status.st_uid; /* root for programs that keep their memory from their user */
    crash->group = status.st_gid;
    files_open(crash);
    char sysroot[64];
    snprintf(sysroot, sizeof sysroot, "/proc/self/fd/%d", crash->root);
    struct ca_symbol_options options = {.sysroot = crash->root >= 0 ? sysroot : NULL};
    struct ca_error *error = NULL;
    crash->target = ca_target_open_process(crash->pid, &options, &error);
    if (!crash->target) {
        log_line(LOG_ERR, crash, "%s", ca_error_message(error));
        ca_error_destroy(error);
    }
    return crash->target != NULL;
}

/* ------------------------------------------------------------------------------------------------ the file
 */

/* NAME.PID.pb.gz; a name that could lead elsewhere, or hide, does not. */
static void name_default(struct crash *crash)
{
    char safe[sizeof crash->comm];
    size_t size = 0;
    for (const char *at = crash->comm; *at; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     *at == '-' || *at == '+' || (*at == '.' && size > 0);
        safe[size++] = plain ? *at : '_';
    }
    safe[size] = '\0';
    snprintf(crash->name, sizeof crash->name, "%s.%u" SUFFIX, size ? safe : "core", crash->pid);
}

/* Opens the directory of `output`: a directory, a file in one, or NULL for the default, which is made. */
static bool directory_open(struct crash *crash, const char *output)
{
    struct stat status;
    char directory[PATH_MAX];
    name_default(crash);
    if (!output) {
        if (mkdir(DEFAULT_DIRECTORY, 0755) == 0) {
            (void)chmod(DEFAULT_DIRECTORY, 0755); /* whatever the umask: each file's mode is its own */
        }
        output = DEFAULT_DIRECTORY;
    }
    bool whole = stat(output, &status) == 0 && S_ISDIR(status.st_mode);
    const char *slash = strrchr(output, '/');
    if (output[0] != '/' || (!whole && (!slash[1] || strlen(slash + 1) > NAME_MAX - sizeof ".100"))) {
        log_line(LOG_ERR, crash, "-o %s: an absolute path of a file or a directory expected", output);
        return false;
    }
    snprintf(directory, sizeof directory, "%s", output);
    if (!whole) {
        directory[slash == output ? 1 : slash - output] = '\0';
        snprintf(crash->name, sizeof crash->name, "%s", slash + 1);
    }
    crash->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (crash->directory < 0) {
        log_line(LOG_ERR, crash, "%s: %s", directory, strerror(errno));
    }
    return crash->directory >= 0;
}

/* A new file that nobody else can have prepared, for the owner of the process alone. */
static bool file_create(struct crash *crash)
{
    uint64_t number = 0;
    (void)getrandom(&number, sizeof number, GRND_NONBLOCK);
    snprintf(crash->temporary, sizeof crash->temporary, ".coreanalyze.%u.%016llx", crash->pid,
             (unsigned long long)number);
    crash->file = openat(crash->directory, crash->temporary,
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (crash->file < 0) {
        log_line(LOG_ERR, crash, "no file can be made for %s: %s", crash->name, strerror(errno));
        return false;
    }
    if (fchown(crash->file, crash->user, crash->group) != 0 && geteuid() == 0) {
        log_line(LOG_ERR, crash, "%s cannot be given to user %u: %s", crash->name, crash->user,
                 strerror(errno));
        (void)unlinkat(crash->directory, crash->temporary, 0);
        return false;
    }
    return true;
}

/* Gives the file its name, or, where that is taken, one with a number: no file is ever replaced. */
static bool file_place(struct crash *crash)
{
    size_t size = strlen(crash->name), suffix = strlen(SUFFIX);
    bool ends = size > suffix && strcmp(crash->name + size - suffix, SUFFIX) == 0;
    int stem = (int)(ends ? size - suffix : size);
    for (int i = 0; i < NAMES_TRIED; i++) {
        char name[NAME_MAX + 1], number[16] = "";
        if (i > 0) {
            snprintf(number, sizeof number, ".%d", i);
        }
        int length = snprintf(name, sizeof name, "%.*s%s%s", stem, crash->name, number, ends ? SUFFIX : "");
        if (length >= (int)sizeof name) {
            break;
        }
        if (renameat2(crash->directory, crash->temporary, crash->directory, name, RENAME_NOREPLACE) == 0) {
            snprintf(crash->name, sizeof crash->name, "%s", name);
            return true;
        }
        if (errno != EEXIST) {
            log_line(LOG_ERR, crash, "%s: %s", name, strerror(errno));
            return false;
        }
    }
    log_line(LOG_ERR, crash, "%s and %d names like it are taken", crash->name, NAMES_TRIED);
    return false;
}

/* ------------------------------------------------------------------------------------------------- worker */

static bool privileges_drop(const struct crash *crash)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() != 0) {
        return true;
    }
    return setgroups(0, NULL) == 0 && setresgid(crash->group, crash->group, crash->group) == 0 &&
           setresuid(crash->user, crash->user, crash->user) == 0;
}

/* What the command says: the answer to the file, messages to the supervisor. */
struct streams {
    int file, messages;
    bool failed;
};

static void stream_write(void *context, int stream, const char *bytes, size_t size)
{
    struct streams *streams = context;
    int to = stream == 1 ? streams->file : streams->messages;
    while (size > 0) {
        ssize_t written = write(to, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            streams->failed = streams->failed || stream == 1;
            return;
        }
        bytes += written;
        size -= (size_t)written;
    }
}

static int worker_run(struct crash *crash, int copied, int messages)
{
    if (!privileges_drop(crash)) {
        dprintf(messages, "cannot become user %u: %s", crash->user, strerror(errno));
        return CA_NOTHING;
    }
    struct ca_state state;
    struct ca_error *error = NULL;
    bool traced = ca_target_state(crash->target, &state, &error); /* copies the tables */
    (void)!write(copied, "c", 1);
    close(copied);
    if (!traced) {
        bool none = strstr(ca_error_message(error), "no tm tracer found") != NULL;
        dprintf(messages, "%s", none ? "" : ca_error_message(error));
        ca_error_destroy(error);
        return none ? NOT_TRACED : CA_NOTHING;
    }
    struct streams streams = {.file = crash->file, .messages = messages};
    struct ca_output output = {.context = &streams, .write = stream_write};
    static const char *const command[] = {"top", "--format", "pprof", NULL};
    enum ca_status status = ca_command_run(crash->target, 3, command, &output);
    if (streams.failed || fsync(crash->file) != 0) {
        dprintf(messages, "cannot be written: %s", strerror(errno));
        return CA_NOTHING;
    }
    return status == CA_COMPLETE || status == CA_PARTIAL ? 0 : CA_NOTHING;
}

/* --------------------------------------------------------------------------------------------- supervisor */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What comes by the pipe until it ends, as far as it fits; false when it takes too long. */
static bool pipe_read(int pipe, int seconds, char *buffer, size_t size)
{
    int64_t deadline = now_ms() + (int64_t)seconds * 1000;
    size_t filled = 0;
    for (;;) {
        char rest[256];
        int64_t left = deadline - now_ms();
        struct pollfd wait = {.fd = pipe, .events = POLLIN};
        if (left <= 0 || (poll(&wait, 1, (int)left) == 0)) {
            return false;
        }
        bool room = filled + 1 < size;
        ssize_t got = read(pipe, room ? buffer + filled : rest, room ? size - 1 - filled : sizeof rest);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return true;
        }
        filled += room ? (size_t)got : 0;
        buffer[filled] = '\0';
    }
}

static int supervisor_run(struct crash *crash, int copied)
{
    int messages[2], status = 0;
    char text[LOG_MAX] = "";
    if (pipe2(messages, O_CLOEXEC) != 0) {
        return CA_NOTHING;
    }
    pid_t worker = fork();
    if (worker == 0) {
        close(messages[0]);
        _exit(worker_run(crash, copied, messages[1]));
    }
    close(copied);
    close(messages[1]);
    bool in_time = worker > 0 && pipe_read(messages[0], WRITE_SECONDS, text, sizeof text);
    if (worker > 0 && !in_time) {
        kill(worker, SIGKILL);
    }
    if (worker > 0) {
        waitpid(worker, &status, 0);
    }
    bool written = in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (written && file_place(crash)) {
        log_line(LOG_INFO, crash, "what it held is in %s%s%s", crash->name, text[0] ? ": " : "", text);
        return 0;
    }
    (void)unlinkat(crash->directory, crash->temporary, 0);
    if (!written && !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_TRACED)) {
        log_line(LOG_ERR, crash, "no snapshot: %s",
                 text[0]      ? text
                 : worker < 0 ? "no process could be started"
                 : !in_time   ? "it took too long"
                              : "the worker failed");
    }
    return CA_NOTHING;
}

/* ------------------------------------------------------------------------------------------------ handler */

/* Runs supervisor and worker beside us; returns when the tables are copied, or will not be. */
static void snapshot_start(struct crash *crash)
{
    int copied[2];
    if (pipe2(copied, O_CLOEXEC) != 0) {
        (void)unlinkat(crash->directory, crash->temporary, 0);
        return;
    }
    pid_t between = fork();
    if (between == 0) {
        setsid();
        if (fork() == 0) {
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            (void)dup2(null, STDIN_FILENO); /* the kernel waits until nobody holds the pipe */
            close(copied[0]);
            _exit(supervisor_run(crash, copied[1]));
        }
        _exit(0);
    }
    close(copied[1]);
    if (between > 0) {
        waitpid(between, NULL, 0);
    } else {
        (void)unlinkat(crash->directory, crash->temporary, 0);
    }
    char byte[2];
    (void)pipe_read(copied[0], COPY_SECONDS, byte, sizeof byte);
    close(copied[0]);
}

/* The kernel gives standard input alone: what is opened next must not become standard output. */
static void streams_open(void)
{
    has_stderr = fcntl(STDERR_FILENO, F_GETFD) >= 0;
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) < 0) {
            (void)open("/dev/null", stream == STDIN_FILENO ? O_RDONLY : O_WRONLY);
        }
    }
}

/* False with a line in the log: wrong usage. */
static bool arguments_read(struct crash *crash, int argc, char **argv, const char **ret_output,
                           char ***ret_next)
{
    char *end = NULL;
    unsigned long pid = argc > 0 ? strtoul(argv[0], &end, 10) : 0;
    crash->pid = pid <= INT32_MAX ? (uint32_t)pid : 0;
    bool good = argc > 0 && crash->pid && *end == '\0';
    *ret_output = NULL;
    *ret_next = NULL;
    for (int i = 1; i < argc && !*ret_next; i++) {
        if (strcmp(argv[i], "--") == 0 && argv[i + 1]) {
            *ret_next = &argv[i + 1];
        } else if ((strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0) && argv[i + 1]) {
            *ret_output = argv[++i];
        } else {
            log_line(LOG_ERR, crash,
                     "--kernel-pipe %%P [-o FILE|DIRECTORY] [-- HANDLER [ARG...]] expected, found %s",
                     argv[i]);
            good = false;
        }
    }
    if (!crash->pid) {
        log_line(LOG_ERR, crash, "--kernel-pipe: a process id expected: %%P");
    }
    return good;
}

int kernel_pipe_run(int argc, char **argv)
{
    struct crash crash = {.directory = -1, .file = -1};
    const char *output;
    char **next;
    streams_open();
    umask(077);
    bool good = arguments_read(&crash, argc, argv, &output, &next);
    bool begun = good && process_open(&crash) && directory_open(&crash, output) && file_create(&crash);
    if (begun) {
        snapshot_start(&crash);
    }
    ca_target_destroy(crash.target);
    if (next) {
        execv(next[0], next);
        log_line(LOG_ERR, &crash, "%s: %s", next[0], strerror(errno));
    }
    return begun ? CA_COMPLETE : good ? CA_NOTHING : CA_USAGE;
}
