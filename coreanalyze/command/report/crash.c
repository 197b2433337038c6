/* crash.c: signal, si_code and the place of a crash. */
#include "crash.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

struct code_words {
    int signal;
    int code;
    const char *words; /* the address follows */
};

/* sigaction(2). */
static const struct code_words code_words[] = {
    {SIGSEGV, SEGV_MAPERR, "address not mapped,"},
    {SIGSEGV, SEGV_ACCERR, "no permission for the address,"},
    {SIGSEGV, SEGV_BNDERR, "address out of bounds,"},
    {SIGSEGV, SEGV_PKUERR, "access denied by a memory protection key,"},
    {SIGBUS, BUS_ADRALN, "misaligned address,"},
    {SIGBUS, BUS_ADRERR, "address not there (past the end of a mapped file),"},
    {SIGBUS, BUS_OBJERR, "hardware error at the address,"},
    {SIGBUS, BUS_MCEERR_AR, "memory failure at the address,"},
    {SIGBUS, BUS_MCEERR_AO, "memory failure at the address,"},
    {SIGFPE, FPE_INTDIV, "integer division by zero, at"},
    {SIGFPE, FPE_INTOVF, "integer overflow, at"},
    {SIGFPE, FPE_FLTDIV, "floating-point division by zero, at"},
    {SIGFPE, FPE_FLTOVF, "floating-point overflow, at"},
    {SIGFPE, FPE_FLTUND, "floating-point underflow, at"},
    {SIGFPE, FPE_FLTRES, "inexact floating-point result, at"},
    {SIGFPE, FPE_FLTINV, "invalid floating-point operation, at"},
    {SIGILL, ILL_ILLOPC, "illegal opcode at"},
    {SIGILL, ILL_ILLOPN, "illegal operand at"},
    {SIGILL, ILL_ILLADR, "illegal addressing mode at"},
    {SIGILL, ILL_ILLTRP, "illegal trap at"},
    {SIGILL, ILL_PRVOPC, "privileged opcode at"},
    {SIGILL, ILL_PRVREG, "privileged register at"},
    {SIGILL, ILL_COPROC, "coprocessor error at"},
    {SIGILL, ILL_BADSTK, "internal stack error at"},
};

bool ca_signal_is_crash(int32_t signal)
{
    switch (signal) {
    case 0:
    case SIGTRAP:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGINT:
    case SIGCONT:
        return false;
    default:
        return true;
    }
}

static bool is_fault(int32_t signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
}

static void add_sender(struct ca_text *text, const siginfo_t *information, uint32_t pid)
{
    if (information->si_pid == 0) {
        return;
    }
    if ((uint32_t)information->si_pid == pid) {
        bool aborted =
            information->si_signo == SIGABRT && information->si_code == SI_TKILL; /* abort, raise */
        ca_text_add(text, aborted ? ": it aborted itself" : ", sent by itself");
    } else {
        ca_text_printf(text, ", sent by process %d of user %u", (int)information->si_pid,
                       (unsigned)information->si_uid);
    }
}

static void add_fault(struct ca_text *text, const siginfo_t *information)
{
    uint64_t address = (uintptr_t)information->si_addr;
    if (information->si_code == SI_KERNEL) {
        ca_text_add(text, ": the kernel names no address (a pointer that cannot be an address, or a "
                          "forbidden instruction)");
        return;
    }
    for (size_t i = 0; i < sizeof code_words / sizeof *code_words; i++) {
        if (code_words[i].signal == information->si_signo && code_words[i].code == information->si_code) {
            ca_text_printf(text, ": %s 0x%" PRIx64, code_words[i].words, address);
            return;
        }
    }
    ca_text_printf(text, ": code %d, address 0x%" PRIx64, information->si_code, address);
}

void ca_crash_add_text(struct ca_text *text, const struct ca_process *process)
{
    if (!ca_signal_is_crash(process->signal)) {
        ca_text_add(text, "is stopped, it has not crashed");
        return;
    }
    bool fault = is_fault(process->signal);
    const char *name = sigabbrev_np(process->signal);
    ca_text_add(text, fault || process->signal == SIGABRT || process->signal == SIGSYS ? "crashed with "
                                                                                       : "received ");
    if (name) {
        ca_text_printf(text, "SIG%s", name);
    } else {
        ca_text_printf(text, "signal %" PRId32, process->signal);
    }
    siginfo_t information = {0};
    if (!process->siginfo ||
        process->siginfo_size < offsetof(siginfo_t, si_addr) + sizeof information.si_addr) {
        return;
    }
    memcpy(&information, process->siginfo,
           process->siginfo_size < sizeof information ? process->siginfo_size : sizeof information);
    if (information.si_signo != process->signal) {
        return;
    }
    if (information.si_code == SI_USER || information.si_code == SI_TKILL ||
        information.si_code == SI_QUEUE) {
        add_sender(text, &information, process->pid);
    } else if (fault) {
        add_fault(text, &information);
    }
}
