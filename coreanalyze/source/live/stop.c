/* stop.c: see stop.h and ptrace(2). */
#include "stop.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../util/grow.h"

/* A thread that does not stand still by then is in the kernel and stays there (a vfork, a dead file server).
 */
#define PATIENCE_NS (INT64_C(500) * 1000 * 1000)

/* -------------------------------------------------------------------------------------------- /proc */

/* The start of /proc/PID/NAME or, with a tid, of /proc/PID/task/TID/NAME, NUL-terminated; false if there is
 * none. */
static bool proc_read(uint32_t pid, uint32_t tid, const char *name, char *buffer, size_t size)
{
    char path[96];
    if (tid) {
        snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%" PRIu32 "/%s", pid, tid, name);
    } else {
        snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, buffer, size - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    buffer[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* The number after "NAME:" in /proc/PID/status; 0 = none. */
static unsigned long status_number(uint32_t pid, const char *name)
{
    char status[4096];
    const char *line = proc_read(pid, 0, "status", status, sizeof(status)) ? strstr(status, name) : NULL;
    return line ? strtoul(line + strlen(name), NULL, 10) : 0;
}

/* R, S, D, T, t, Z, X; 0 = the thread is gone. */
static char thread_state(uint32_t pid, uint32_t tid)
{
    char stat[1024];
    const char *name_end = proc_read(pid, tid, "stat", stat, sizeof(stat)) ? strrchr(stat, ')') : NULL;
    return name_end && name_end[1] == ' ' ? name_end[2] : '\0';
}

/* ------------------------------------------------------------------------------------------- errors */

static bool fail_same_user(uint32_t pid, struct ca_error **ret_error)
{
    char scope[8] = "";
    int file = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t got = read(file, scope, sizeof(scope) - 1);
        scope[got > 0 ? got : 0] = '\0';
        close(file);
    }
    switch (scope[0]) {
    case '1':
        return ca_fail(
            ret_error, CA_NOTHING,
            "process %" PRIu32
            ": may not be looked at: kernel.yama.ptrace_scope is 1, so that only its ancestors may; try "
            "with sudo, or allow it for all: sudo sysctl kernel.yama.ptrace_scope=0",
            pid);
    case '2':
        return ca_fail(ret_error, CA_NOTHING,
                       "process %" PRIu32
                       ": may not be looked at: kernel.yama.ptrace_scope is 2, so that only root "
                       "may; try with sudo",
                       pid);
    case '3':
        return ca_fail(ret_error, CA_NOTHING,
                       "process %" PRIu32
                       ": may not be looked at: kernel.yama.ptrace_scope is 3, which forbids it to "
                       "everybody until the machine starts anew",
                       pid);
    default:
        return ca_fail(
            ret_error, CA_NOTHING,
            "process %" PRIu32 ": may not be looked at, although it is yours: it has other privileges "
            "(set-user-ID, capabilities), or a container forbids ptrace; try with sudo, or start the "
            "container with --cap-add=SYS_PTRACE",
            pid);
    }
}

bool ca_fail_attach(uint32_t pid, int error, struct ca_error **ret_error)
{
    char path[32];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
    bool there = stat(path, &status) == 0;
    if (!there || error == ESRCH || error == ENOENT) {
        return ca_fail(ret_error, CA_NOTHING,
                       there ? "process %" PRIu32 ": it has no memory: it has ended, or is of the kernel"
                             : "process %" PRIu32 ": there is no such process",
                       pid);
    }
    if (error != EPERM && error != EACCES) {
        return ca_fail(ret_error, CA_NOTHING, "process %" PRIu32 ": cannot be looked at: %s", pid,
                       strerror(error));
    }
    unsigned long user = status_number(pid, "\nUid:");
    if (user != (unsigned long)geteuid()) {
        return ca_fail(ret_error, CA_NOTHING,
                       "process %" PRIu32 ": belongs to user %lu: permission denied; try with sudo", pid,
                       user);
    }
    return fail_same_user(pid, ret_error);
}

/* ------------------------------------------------------------------------------------------ threads */

struct stop {
    uint32_t pid;
    ca_stop_work *work;
    void *context;
    struct ca_stopped_threads threads;
    int *signals; /* by thread: to be handed on when it is let go */
    size_t signal_capacity;
    bool *standing; /* by thread: it is in a ptrace stop */
    size_t standing_capacity;
    bool is_cut;  /* a thread ended while /proc/PID/task was read: those after it may be missing there */
    bool already; /* it stands, held by somebody else */
    bool done;
    struct ca_error *error;
};

static bool is_known(const struct stop *stop, uint32_t tid)
{
    for (size_t i = 0; i < stop->threads.count; i++) {
        if (stop->threads.items[i].tid == tid) {
            return true;
        }
    }
    return false;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool thread_add(struct stop *stop, uint32_t tid)
{
    size_t wanted = stop->threads.count + 1;
    if (!CA_GROW(stop->threads.items, stop->threads.capacity, wanted) ||
        !CA_GROW(stop->signals, stop->signal_capacity, wanted) ||
        !CA_GROW(stop->standing, stop->standing_capacity, wanted)) {
        return ca_fail_memory(&stop->error);
    }
    stop->threads.items[stop->threads.count] = (struct ca_stopped_thread){.tid = tid};
    stop->signals[stop->threads.count] = 0;
    stop->standing[stop->threads.count] = false;
    stop->threads.count++;
    return true;
}

/* Seizes what is new in /proc/PID/task. *ret_new: how many. False with stop->error. */
static bool threads_seize(struct stop *stop, size_t *ret_new)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task", stop->pid);
    DIR *tasks = opendir(path);
    if (!tasks) {
        return ca_fail_attach(stop->pid, errno, &stop->error);
    }
    bool good = true;
    *ret_new = 0;
    stop->is_cut = false;
    for (struct dirent *entry; good && (entry = readdir(tasks));) {
        uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
        if (tid == 0 || is_known(stop, tid)) {
            continue;
        }
        if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0) {
            good = thread_add(stop, tid);
            (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
            ++*ret_new;
        } else if (errno == EPERM) {
            char state = thread_state(stop->pid, tid); /* an ended thread cannot be seized */
            good = state == 'Z' || state == 'X' || state == '\0' ||
                   ca_fail_attach(stop->pid, EPERM, &stop->error);
            stop->is_cut = stop->is_cut || tid != stop->pid; /* a main thread may stay a zombie */
        } else if (errno != ESRCH) {
            good = ca_fail_attach(stop->pid, errno, &stop->error);
        } else {
            stop->is_cut = true;
        }
    }
    closedir(tasks);
    return good;
}

/* Forgets thread i: it has ended. */
static void thread_drop(struct stop *stop, size_t i)
{
    size_t last = --stop->threads.count;
    stop->threads.items[i] = stop->threads.items[last];
    stop->signals[i] = stop->signals[last];
    stop->standing[i] = stop->standing[last];
}

/* One look at thread i; false while it is on its way. */
static bool thread_poll(struct stop *stop, size_t i)
{
    int status;
    pid_t got = waitpid((pid_t)stop->threads.items[i].tid, &status, __WALL | WNOHANG);
    if (got == 0) {
        return false;
    }
    if (got < 0 || !WIFSTOPPED(status)) {
        thread_drop(stop, i);
        return true;
    }
    stop->standing[i] = true;
    /* A signal that came first is handed on later; a stop by the event is nobody's signal. */
    stop->signals[i] = status >> 16 == 0 ? WSTOPSIG(status) : 0;
    return true;
}

static void threads_wait(struct stop *stop)
{
    int64_t deadline = now_ns() + PATIENCE_NS;
    for (size_t i = 0; i < stop->threads.count;) {
        if (stop->standing[i]) {
            i++;
        } else if (!thread_poll(stop, i)) {
            if (now_ns() > deadline) {
                i++; /* not in its own code, else it would stand */
            } else {
                nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
            }
        }
    }
}

static void registers_read(struct ca_stopped_thread *thread)
{
    struct iovec registers = {thread->registers, sizeof(thread->registers)};
    if (ptrace(PTRACE_GETREGSET, thread->tid, (void *)(uintptr_t)NT_PRSTATUS, &registers) == 0) {
        thread->register_count = registers.iov_len / sizeof(thread->registers[0]);
    }
}

static void threads_release(struct stop *stop)
{
    for (size_t i = 0; i < stop->threads.count; i++) {
        uint32_t tid = stop->threads.items[i].tid;
        if (!stop->standing[i]) {
            (void)thread_poll(stop, i); /* in the last moment; else the end of our thread lets it go */
        }
        (void)ptrace(PTRACE_DETACH, tid, NULL, (void *)(uintptr_t)stop->signals[i]);
    }
}

/* True when somebody else traces the process and holds all its threads. */
static bool stands_already(uint32_t pid)
{
    char path[48];
    if (status_number(pid, "\nTracerPid:") == 0) {
        return false;
    }
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task", pid);
    DIR *tasks = opendir(path);
    bool stands = tasks != NULL;
    for (struct dirent *entry; stands && (entry = readdir(tasks));) {
        uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
        stands = tid == 0 || strchr("tTZX", thread_state(pid, tid)) != NULL;
    }
    if (tasks) {
        closedir(tasks);
    }
    return stands;
}

static bool fail_traced(uint32_t pid, unsigned long tracer, struct ca_error **ret_error)
{
    char name[64] = "";
    if (proc_read((uint32_t)tracer, 0, "comm", name, sizeof(name))) {
        name[strcspn(name, "\n")] = '\0';
    }
    return ca_fail(ret_error, CA_NOTHING,
                   "process %" PRIu32
                   ": is traced by process %lu%s%s%s; stop it there and ask again, or detach from it",
                   pid, tracer, name[0] ? " (" : "", name, name[0] ? ")" : "");
}

/* While the process stands, nobody on a busy machine goes before us and our copying threads, who inherit
 * this; where that is not allowed (it takes CAP_SYS_NICE) it takes as long as it takes. */
static void hurry(void)
{
    struct sched_param priority = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

static void *stop_run(void *context)
{
    struct stop *stop = context;
    hurry();
    size_t fresh = 1;
    bool good = true;
    int64_t deadline = now_ns() + PATIENCE_NS; /* a zombie that somebody else traces stays */
    /* A thread that does not stand yet may start another. */
    while (good && (fresh || (stop->is_cut && now_ns() < deadline))) {
        good = threads_seize(stop, &fresh);
        threads_wait(stop);
    }
    if (good && stop->threads.count == 0) {
        good = ca_fail_attach(stop->pid, ESRCH, &stop->error);
    }
    stop->done = good && stop->work(stop->context, &stop->error);
    for (size_t i = 0; good && i < stop->threads.count; i++) {
        registers_read(&stop->threads.items[i]);
    }
    threads_release(stop);
    return NULL;
}

bool ca_stop_and(uint32_t pid, ca_stop_work *work, void *context, struct ca_stopped_threads *ret_threads,
                 struct ca_error **ret_error)
{
    if (stands_already(pid)) {
        return work(context, ret_error);
    }
    unsigned long tracer = status_number(pid, "\nTracerPid:");
    if (tracer) {
        return fail_traced(pid, tracer, ret_error);
    }
    struct stop stop = {.pid = pid, .work = work, .context = context};
    pthread_t thread;
    if (pthread_create(&thread, NULL, stop_run, &stop) != 0) {
        return ca_fail_memory(ret_error);
    }
    pthread_join(thread, NULL);
    free(stop.signals);
    free(stop.standing);
    if (!stop.done) {
        free(stop.threads.items);
        if (ret_error) {
            *ret_error = stop.error;
        } else {
            ca_error_destroy(stop.error);
        }
        return false;
    }
    *ret_threads = stop.threads;
    return true;
}
