/* steps.c: runs a program under the tracer and under ptrace, follows every call of the malloc family by its
 * arguments and its result, and has the engine read the stopped process after each instruction that the
 * tracer executes: what it reads must be what the calls so far left, and the one that is under way either
 * done or not.
 *
 * usage: steps [-c N] [-f N] PROGRAM ARGUMENT...    with LD_PRELOAD's value for the program in STEPS_PRELOAD
 *   -c N   after N readings the thread gets SIGSEGV where it is, and the core that the process leaves is read
 * as well
 *   -f N   the tracer keeps the last N freed blocks of each thread: they are looked at, too
 * Environment: with STEPS_ALL the engine is asked after instructions, too, that store to nothing that
 * it reads. Exits 0 when everything was right, with a line of what was done; else 1 with a line on stderr. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "ledger.h"
#include "stores.h"
#include "tracee.h"

enum {
    OPTIONS = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL,
    TASKS_MAX = 64,
    PROCESSES_MAX = 64
};

/* ---------------------------------------------------------------------------------------------------------------
 * The calls that are followed
 */

struct function {
    const char *name;
    enum call_kind kind;
    int8_t address, size, times, domain; /* which arguments, from 0; -1 = none */
    bool by_reference;                   /* posix_memalign: the block is where argument 0 points to */
};

static const struct function functions[] = {
    {"malloc", CALL_ALLOCATE, -1, 0, -1, -1, false},
    {"calloc", CALL_ALLOCATE, -1, 0, 1, -1, false},
    {"realloc", CALL_REALLOCATE, 0, 1, -1, -1, false},
    {"reallocarray", CALL_REALLOCATE, 0, 1, 2, -1, false},
    {"free", CALL_FREE, 0, -1, -1, -1, false},
    {"posix_memalign", CALL_ALLOCATE, -1, 2, -1, -1, true},
    {"aligned_alloc", CALL_ALLOCATE, -1, 1, -1, -1, false},
    {"memalign", CALL_ALLOCATE, -1, 1, -1, -1, false},
    {"valloc", CALL_ALLOCATE, -1, 0, -1, -1, false},
    {"pvalloc", CALL_ALLOCATE, -1, 0, -1, -1, false},
    {"tm_track", CALL_TRACK, 1, 2, -1, 0, false},
    {"tm_untrack", CALL_UNTRACK, 1, -1, -1, 0, false},
    {"_Znwm", CALL_ALLOCATE, -1, 0, -1, -1, false},
    {"_ZdlPv", CALL_FREE, 0, -1, -1, -1, false},
    {"tm_clear_traces", CALL_CLEAR, -1, -1, -1, -1, false},
    {"tm_reset_peak", CALL_RESET_PEAK, -1, -1, -1, -1, false},
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static struct object tracer, program;
static struct breakpoint entries[FUNCTIONS];
static uint64_t allocator[4]; /* where the functions of the allocator below begin */

/* ---------------------------------------------------------------------------------------------------------------
 * Processes and threads
 */

struct process {
    pid_t pid;
    unsigned breakpoints_off; /* how many want them out of the code */
    struct view_source source;
    struct ledger ledger;
    bool is_child; /* of a fork, and has not called anything yet: its parent's other threads' calls may seem
                      under way */
};

struct frozen {
    uint64_t return_address, return_sp, reference;
    const struct function *function;
    struct call call;
};

struct task {
    pid_t tid;
    struct process *process;
    bool stepping;   /* to its end */
    bool has_called; /* counted among the ledger's threads */
    bool is_frozen;
    struct frozen frozen;
};

/* A clear goes on by sweeping all tables of words that are void already, a fork's child may count all blocks
 * anew: so much of that is stepped. */
#define LONG_STEPS 10000

static struct task tasks[TASKS_MAX];
static struct process processes[PROCESSES_MAX];
static size_t task_count, process_count;
static struct control *control;
static struct view view;
static unsigned long readings, instructions, calls, signals_sent, jumps, thrown, crash_after;
static bool every_instruction;
static size_t freed_kept;

static void crash(struct task *task);

static struct task *task_find(pid_t tid)
{
    for (size_t i = 0; i < task_count; i++) {
        if (tasks[i].tid == tid) {
            return &tasks[i];
        }
    }
    return NULL;
}

/* They stay where they are. */
static struct task *task_add(pid_t tid, struct process *process)
{
    struct task *task = task_find(0);
    if (!task && task_count < TASKS_MAX) {
        task = &tasks[task_count++];
    }
    if (!task) {
        give_up("more than %d threads", TASKS_MAX);
    }
    *task = (struct task){.tid = tid, .process = process};
    return task;
}

static void task_remove(struct task *task)
{
    *task = (struct task){0};
}

static struct process *process_add(pid_t pid)
{
    if (process_count == PROCESSES_MAX) {
        give_up("more than %d processes", PROCESSES_MAX);
    }
    struct process *process = &processes[process_count++];
    *process = (struct process){.pid = pid};
    if (!view_source_open(&process->source, (uint32_t)pid)) {
        give_up("process %d cannot be read", pid);
    }
    return process;
}

/* Steps must not meet breakpoints. */
static void breakpoints_off(struct process *process)
{
    for (size_t i = 0; process->breakpoints_off == 0 && i < FUNCTIONS; i++) {
        breakpoint_remove(process->source.memory, &entries[i]);
    }
    process->breakpoints_off++;
}

static void breakpoints_on(struct process *process)
{
    process->breakpoints_off--;
    for (size_t i = 0; process->breakpoints_off == 0 && i < FUNCTIONS; i++) {
        breakpoint_insert(process->source.memory, &entries[i]);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Reading
 */

static bool is_in_tracer(const struct user_regs_struct *registers)
{
    return registers->rip - tracer.start < tracer.end - tracer.start;
}

static void complain(const struct task *task, const struct user_regs_struct *registers, const char *where)
{
    const char *kind = task->process->ledger.call_count ? functions[0].name : "no call";
    for (size_t i = 0; i < FUNCTIONS && task->process->ledger.call_count; i++) {
        if (functions[i].kind == task->process->ledger.calls[task->process->ledger.call_count - 1]->kind) {
            kind = functions[i].name;
            break;
        }
    }
    if (is_in_tracer(registers)) {
        give_up("%s, at libtm.so+0x%llx (a call like %s under way; reading %lu): %s", where,
                registers->rip - tracer.start, kind, readings, view.error);
    }
    give_up("%s, at 0x%llx (a call like %s under way; reading %lu): %s", where, registers->rip, kind,
            readings, view.error);
}

static void read_tables(struct task *task, struct user_regs_struct *registers)
{
    readings++;
    if (crash_after && readings >= crash_after) {
        crash(task);
    }
    if (!view_read(&task->process->source, (uint32_t)task->tid, registers, &view)) {
        complain(task, registers, "unreadable");
    }
}

static void check_freed_at(struct task *task, struct user_regs_struct *registers, uint64_t address,
                           uint64_t size)
{
    uint64_t seen;
    bool found = view_freed_at(task->process->source.target, address, &seen);
    if (!found || seen != size) {
        snprintf(view.error, sizeof(view.error),
                 "freed block 0x%lx of %lu bytes is not in the history: %s%lu", address, size,
                 found ? "" : "nothing of ", seen);
        complain(task, registers, "freed");
    }
}

static void check_freed(struct task *task, struct user_regs_struct *registers)
{
    struct view_block freed[FREED_MAX];
    size_t count = ledger_freed(&task->process->ledger, &view, freed_kept, freed);
    for (size_t i = 0; i < count; i++) {
        check_freed_at(task, registers, freed[i].address, freed[i].size);
    }
}

static void check_tables(struct task *task, struct user_regs_struct *registers, bool resting)
{
    read_tables(task, registers);
    if (!ledger_check(&task->process->ledger, &view, resting && !task->process->is_child)) {
        complain(task, registers, resting ? "at rest" : "under way");
    }
    check_freed(task, registers);
}

/* May the instruction that comes change anything that the engine read last? What does not store into that
 * leaves the engine's answer as it is; every 64th instruction is looked at all the same. */
static bool may_change(const struct task *task, const struct user_regs_struct *registers)
{
    uint64_t address = 0;
    instructions++;
    if (!is_in_tracer(registers)) {
        return instructions % 64 == 0;
    }
    enum store store = store_of(registers->rip - tracer.start, registers, tracer.start, &address);
    return store == STORE_UNKNOWN || instructions % 64 == 0 || every_instruction ||
           (store == STORE_AT && view_has_read(&task->process->source, address, address + 64));
}

/* ---------------------------------------------------------------------------------------------------------------
 * Following a call
 */

enum ending { RETURNED, JUMPED, FROZEN, GONE };

struct following {
    struct task *task;
    const struct function *function;
    struct call call;
    uint64_t return_address, return_sp;
    uint64_t reference;
    uint32_t mode;
    bool looks; /* MODE_GROWTH: a system call was made */
    bool signalled;
    bool thrown;        /* left by an exception */
    uint64_t signal_sp; /* the stack pointer where the handler must return to */
    unsigned long own_steps;
};

static const struct function *function_at(uint64_t pc)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (entries[i].address == pc && pc) {
            return &functions[i];
        }
    }
    return NULL;
}

static uint64_t product(uint64_t left, uint64_t right)
{
    uint64_t result;
    return __builtin_mul_overflow(left, right, &result) ? UINT64_MAX : result;
}

static uint64_t argument(const struct user_regs_struct *registers, int number)
{
    const uint64_t values[] = {registers->rdi, registers->rsi, registers->rdx, registers->rcx};
    return number < 0 ? 0 : values[number];
}

static void following_begin(struct following *following, struct task *task, const struct function *function,
                            const struct user_regs_struct *registers)
{
    *following = (struct following){.task = task, .function = function, .mode = control->mode};
    following->call = (struct call){
        .kind = function->kind,
        .domain = (uint32_t)argument(registers, function->domain),
        .address = argument(registers, function->address),
        .size = product(argument(registers, function->size),
                        function->times < 0 ? 1 : argument(registers, function->times)),
    };
    if (function->kind == CALL_REALLOCATE && following->call.address == 0) {
        following->call.kind = CALL_ALLOCATE;
    }
    following->reference = registers->rdi;
    following->return_sp = registers->rsp + 8;
    if (!memory_read(task->process->source.memory, registers->rsp, &following->return_address, 8)) {
        give_up("no return address at 0x%llx", registers->rsp);
    }
}

static uint64_t result_of(const struct following *following, const struct user_regs_struct *registers)
{
    uint64_t block = 0;
    if (!following->function->by_reference) {
        return registers->rax;
    }
    if (registers->rax == 0) {
        memory_read(following->task->process->source.memory, following->reference, &block, 8);
    }
    return block;
}

static enum ending follow(struct task *task, const struct function *function);

/* After a step: a breakpoint that the thread stands before is a call of its own. */
static void handle_stop(struct task *task, int status, int *ret_signal)
{
    *ret_signal = 0;
    if (!WIFSTOPPED(status)) {
        give_up("thread %d ended inside a call: status %x", task->tid, (unsigned)status);
    }
    if (WSTOPSIG(status) != SIGTRAP) {
        *ret_signal = WSTOPSIG(status);
    }
}

/* Is the next instruction a system call? */
static bool is_system_call(const struct task *task, const struct user_regs_struct *registers)
{
    uint8_t bytes[2];
    return memory_read(task->process->source.memory, registers->rip, bytes, 2) && bytes[0] == 0x0f &&
           bytes[1] == 0x05;
}

static bool wants_looks(struct following *following, const struct user_regs_struct *registers)
{
    if (following->mode == MODE_GROWTH && !following->looks && is_in_tracer(registers) &&
        is_system_call(following->task, registers)) {
        following->looks = true;
    }
    return following->mode == MODE_STEP || following->looks;
}

/* The allocator below is called: the call must be shown as under way. */
static void check_flight(const struct following *following, struct user_regs_struct *registers)
{
    bool recorded = following->call.known || following->call.kind == CALL_ALLOCATE ||
                    following->call.kind == CALL_REALLOCATE;
    for (int i = 0; recorded && i < 4; i++) {
        if (registers->rip == allocator[i] && following->mode == MODE_STEP) {
            check_tables(following->task, registers, false);
            if (view.in_flight == 0) {
                snprintf(view.error, sizeof(view.error), "not in flight where the allocator is called");
                complain(following->task, registers, "under way");
            }
            struct view_block old;
            if (freed_kept && following->call.kind == CALL_FREE &&
                ledger_has(&following->task->process->ledger, 0, following->call.address, &old)) {
                check_freed_at(following->task, registers, old.address, old.size);
            }
        }
    }
}

/* The handler of SIGUSR1 has begun: until it returns or jumps away. */
static enum ending follow_handler(struct following *following, const struct user_regs_struct *interrupted)
{
    struct task *task = following->task;
    struct user_regs_struct registers;
    int signal = 0;
    for (;;) {
        registers_read(task->tid, &registers);
        if (registers.rip == interrupted->rip && registers.rsp == interrupted->rsp) {
            return RETURNED;
        }
        if (registers.rsp >= following->return_sp) {
            return JUMPED;
        }
        const struct function *function = function_at(registers.rip);
        if (function) {
            uint32_t mode = control->mode;
            control->mode = MODE_WATCH;
            follow(task, function);
            control->mode = mode;
            continue;
        }
        handle_stop(task, thread_step(task->tid, signal), &signal);
    }
}

static enum ending follow_signal(struct following *following, const struct user_regs_struct *registers)
{
    struct user_regs_struct interrupted = *registers;
    int signal;
    signals_sent++;
    control->reached = 1;
    following->signalled = true;
    handle_stop(following->task, thread_step(following->task->tid, SIGUSR1), &signal);
    enum ending ending = follow_handler(following, &interrupted);
    registers_read(following->task->tid, &interrupted);
    if (interrupted.rip == following->return_address && interrupted.rsp == following->return_sp) {
        ending = RETURNED; /* the call's last instruction was interrupted: the step out of the handler took
                              it, too */
    }
    jumps += ending == JUMPED;
    check_tables(following->task, &interrupted, false);
    return ending;
}

static bool reaches(struct following *following, const struct user_regs_struct *registers)
{
    bool wanted = following->mode == MODE_SIGNAL || following->mode == MODE_FREEZE;
    return wanted && !following->signalled && is_in_tracer(registers) &&
           following->own_steps++ == control->instruction;
}

static void freeze(struct following *following)
{
    struct task *task = following->task;
    task->is_frozen = true;
    task->frozen = (struct frozen){following->return_address, following->return_sp, following->reference,
                                   following->function, following->call};
    struct ledger *ledger = &task->process->ledger;
    ledger->calls[ledger->call_count - 1] = &task->frozen.call;
}

static enum ending follow_quickly(struct following *following);

/* An operator new that fails throws, for which memory is allocated. */
static const struct function *called_inside(const struct following *following,
                                            const struct user_regs_struct *registers)
{
    const struct function *function = function_at(registers->rip);
    bool is_operator = strcmp(following->function->name, "_Znwm") == 0;
    return is_operator && function != following->function ? function : NULL;
}

static enum ending follow_steps(struct following *following)
{
    struct task *task = following->task;
    struct user_regs_struct registers;
    bool changed = true, was_in_tracer = true;
    int signal = 0;
    for (;;) {
        registers_read(task->tid, &registers);
        if (registers.rip == following->return_address && registers.rsp == following->return_sp) {
            return RETURNED;
        }
        if (registers.rsp >= following->return_sp) {
            following->thrown = true;
            return JUMPED;
        }
        const struct function *inner = called_inside(following, &registers);
        if (inner) {
            follow(task, inner);
            continue;
        }
        if (reaches(following, &registers)) {
            if (following->mode == MODE_FREEZE) {
                freeze(following);
                return FROZEN;
            }
            if (follow_signal(following, &registers) == JUMPED) {
                return JUMPED;
            }
            continue;
        }
        check_flight(following, &registers);
        if (following->call.kind == CALL_CLEAR && following->own_steps++ > LONG_STEPS) {
            return follow_quickly(following);
        }
        if (wants_looks(following, &registers) && (changed || is_in_tracer(&registers) != was_in_tracer)) {
            check_tables(task, &registers, false);
        }
        was_in_tracer = is_in_tracer(&registers);
        changed = may_change(task, &registers);
        handle_stop(task, thread_step(task->tid, signal), &signal);
    }
}

/* By a breakpoint where it returns. What it calls on the way of the malloc family is the tracer's own. */
static enum ending follow_quickly(struct following *following)
{
    struct task *task = following->task;
    int memory = task->process->source.memory, status, signal = 0;
    struct breakpoint back = {.address = following->return_address};
    struct user_regs_struct registers;
    breakpoint_insert(memory, &back);
    do {
        if (ptrace(PTRACE_CONT, task->tid, 0, signal) != 0 ||
            waitpid(task->tid, &status, __WALL) != task->tid) {
            give_up("thread %d: %s", task->tid, strerror(errno));
        }
        handle_stop(task, status, &signal);
        registers_read(task->tid, &registers);
        if (registers.rip == back.address + 1 && registers.rsp != following->return_sp) {
            give_up("a call returned into another one's caller");
        }
    } while (registers.rip != back.address + 1);
    registers.rip = back.address;
    registers_write(task->tid, &registers);
    breakpoint_remove(memory, &back);
    return RETURNED;
}

static void follow_end(struct following *following, enum ending ending)
{
    struct task *task = following->task;
    struct ledger *ledger = &task->process->ledger;
    struct user_regs_struct registers;
    registers_read(task->tid, &registers);
    if (following->mode == MODE_COUNT) {
        ledger_call_count(ledger, &following->call, result_of(following, &registers));
        return;
    }
    read_tables(task, &registers);
    if (ending == JUMPED) {
        ledger->left += following->thrown;
        thrown += following->thrown;
        if (!ledger_call_abandon(ledger, &following->call, &view)) {
            complain(task, &registers, "left by longjmp");
        }
        return;
    }
    if (!ledger_call_end(ledger, &following->call, result_of(following, &registers), &view)) {
        complain(task, &registers, "returned");
    }
}

/* What the parent's other threads were at will not be ended: each is done or was not begun, and none is under
 * way. */
static void child_settle(struct task *task, struct user_regs_struct *registers)
{
    struct ledger *ledger = &task->process->ledger;
    while (ledger->call_count) {
        read_tables(task, registers);
        if (!ledger_call_abandon(ledger, ledger->calls[0], &view)) {
            complain(task, registers, "of another thread, in the child");
        }
    }
    task->process->is_child = false;
    check_tables(task, registers, true);
}

/* The thread stands at the beginning of the function. */
static enum ending follow(struct task *task, const struct function *function)
{
    struct following following;
    struct user_regs_struct registers;
    struct ledger *ledger = &task->process->ledger;
    static uint32_t last_mode;
    registers_read(task->tid, &registers);
    following_begin(&following, task, function, &registers);
    if (last_mode == MODE_COUNT && following.mode != MODE_COUNT) {
        read_tables(task, &registers);
        if (!ledger_resume(ledger, &view)) {
            complain(task, &registers, "counted");
        }
    }
    last_mode = following.mode;
    if (!task->has_called) {
        task->has_called = true;
        ledger->threads += ledger->threads == 1 || task->tid != task->process->pid;
    }
    if (task->process->is_child) {
        child_settle(task, &registers);
    }
    calls++;
    ledger_call_begin(ledger, &following.call);
    bool steps = following.mode != MODE_WATCH && following.mode != MODE_COUNT;
    breakpoints_off(task->process);
    enum ending ending = steps ? follow_steps(&following) : follow_quickly(&following);
    breakpoints_on(task->process);
    if (ending == FROZEN) {
        control->reached = 1; /* other threads go on, and must meet breakpoints */
    } else {
        follow_end(&following, ending);
    }
    return ending;
}

/* ---------------------------------------------------------------------------------------------------------------
 * A thread outside of calls
 */

static void go_on(const struct task *task, int signal)
{
    if (ptrace(PTRACE_CONT, task->tid, 0, signal) != 0 && errno != ESRCH) {
        give_up("thread %d: %s", task->tid, strerror(errno));
    }
}

static uint8_t byte_at(const struct task *task, uint64_t address)
{
    uint8_t byte = 0;
    memory_read(task->process->source.memory, address, &byte, 1);
    return byte;
}

/* Steps a thread to TRAP_RUN, to its exit, or, in a fork's child, to where it is back in the program; the
 * tables are looked at after each instruction of the tracer. */
static void step_outside(struct task *task, bool to_program)
{
    struct user_regs_struct registers;
    bool changed = true;
    unsigned steps = 0;
    int signal = 0;
    breakpoints_off(task->process);
    for (;;) {
        registers_read(task->tid, &registers);
        bool is_in_program = registers.rip - program.start < program.end - program.start;
        if ((to_program && (is_in_program || steps++ > LONG_STEPS)) ||
            (is_system_call(task, &registers) && registers.rax == 60)) {
            break;
        }
        if (is_in_program && byte_at(task, registers.rip) == 0xcc) {
            registers.rip++;
            registers_write(task->tid, &registers);
            if (registers.rdi == TRAP_RUN) {
                break;
            }
            continue;
        }
        const struct function *function = function_at(registers.rip);
        if (function) {
            follow(task, function);
            continue;
        }
        if (changed && is_in_tracer(&registers)) {
            check_tables(task, &registers, false);
        }
        changed = may_change(task, &registers);
        handle_stop(task, thread_step(task->tid, signal), &signal);
    }
    breakpoints_on(task->process);
}

static void thaw(struct task *task)
{
    struct ledger *ledger = &task->process->ledger;
    struct following following = {
        .task = task,
        .function = task->frozen.function,
        .call = task->frozen.call,
        .return_address = task->frozen.return_address,
        .return_sp = task->frozen.return_sp,
        .reference = task->frozen.reference,
        .mode = MODE_STEP,
    };
    for (size_t i = 0; i < ledger->call_count; i++) {
        if (ledger->calls[i] == &task->frozen.call) {
            ledger->calls[i] = &following.call;
        }
    }
    breakpoints_off(task->process);
    follow_steps(&following);
    breakpoints_on(task->process);
    follow_end(&following, RETURNED);
    task->is_frozen = false;
    go_on(task, 0);
}

static void begin(struct task *task)
{
    struct process *process = task->process;
    struct user_regs_struct registers;
    struct object libc;
    static const char *const below[] = {"malloc", "calloc", "realloc", "free"};
    if (!object_find(task->tid, "libtm", &tracer) || !object_find(task->tid, "/libc.so", &libc)) {
        give_up("the tracer is not there");
    }
    for (size_t i = 0; i < FUNCTIONS; i++) {
        entries[i].address = object_function(&tracer, functions[i].name);
        if (!entries[i].address) {
            give_up("the tracer has no %s", functions[i].name);
        }
        breakpoint_insert(process->source.memory, &entries[i]);
    }
    stores_read(tracer.path);
    for (int i = 0; i < 4; i++) {
        allocator[i] = object_function(&libc, below[i]);
    }
    char path[64], name[500];
    snprintf(path, sizeof(path), "/proc/%d/exe", task->tid);
    ssize_t length = readlink(path, name, sizeof(name) - 1);
    name[length < 0 ? 0 : length] = '\0';
    if (!object_find(task->tid, name, &program)) {
        give_up("%s is not there", name);
    }
    registers_read(task->tid, &registers);
    read_tables(task, &registers);
    ledger_begin(&process->ledger, &view);
    task->has_called = true;
    check_tables(task, &registers, true);
}

static void trapped(struct task *task, enum trap what)
{
    switch (what) {
    case TRAP_READY:
        begin(task);
        break;
    case TRAP_STEP:
        step_outside(task, false);
        break;
    case TRAP_THAW:
        for (size_t i = 0; i < task_count; i++) {
            if (tasks[i].is_frozen && tasks[i].process == task->process) {
                thaw(&tasks[i]);
            }
        }
        break;
    case TRAP_RUN:
        break;
    default:
        give_up("an unexpected trap");
    }
    go_on(task, 0);
}

/* The thread got SIGTRAP: at a breakpoint or in trap(). */
static void stopped(struct task *task)
{
    struct user_regs_struct registers;
    registers_read(task->tid, &registers);
    const struct function *function = function_at(registers.rip - 1);
    if (!function) {
        trapped(task, (enum trap)registers.rdi);
        return;
    }
    registers.rip--;
    registers_write(task->tid, &registers);
    if (follow(task, function) != FROZEN) {
        go_on(task, 0);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Processes
 */

static pid_t early[TASKS_MAX]; /* stopped before their parent told of them */
static size_t early_count;

static void wait_for_new(pid_t tid)
{
    int status;
    for (size_t i = 0; i < early_count; i++) {
        if (early[i] == tid) {
            early[i] = early[--early_count];
            return;
        }
    }
    if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) {
        give_up("thread %d did not begin", tid);
    }
}

/* The child holds what its parent held, and what other threads were at is done or was not begun. */
static void forked(struct task *parent, pid_t pid)
{
    struct process *child = process_add(pid);
    ledger_copy(&child->ledger, &parent->process->ledger);
    for (size_t i = 0; i < child->ledger.call_count; i++) {
        struct call *copy = malloc(sizeof(*copy));
        *copy = *child->ledger.calls[i];
        child->ledger.calls[i] = copy;
    }
    child->ledger.peak_is_unsure = true;
    child->is_child = true;
    struct task *task = task_add(pid, child);
    task->has_called = true;
    if (tracer.start == 0) {
        give_up("forked before it was ready");
    }
    if (control->mode == MODE_STEP) {
        step_outside(task, true);
    }
    go_on(task, 0);
}

static void event(struct task *task, int number)
{
    unsigned long tid;
    if (number == PTRACE_EVENT_CLONE || number == PTRACE_EVENT_FORK) {
        if (ptrace(PTRACE_GETEVENTMSG, task->tid, 0, &tid) != 0) {
            give_up("thread %d: %s", task->tid, strerror(errno));
        }
        wait_for_new((pid_t)tid);
        if (number == PTRACE_EVENT_FORK) {
            forked(task, (pid_t)tid);
        } else {
            go_on(task_add((pid_t)tid, task->process), 0);
        }
    }
    pid_t parent = task->tid;
    go_on(task_find(parent), 0);
}

static void happened(pid_t tid, int status)
{
    struct task *task = task_find(tid);
    if (!task) {
        if (WIFSTOPPED(status)) {
            early[early_count++] = tid;
        }
        return;
    }
    if (!WIFSTOPPED(status)) {
        if ((WIFSIGNALED(status) || WEXITSTATUS(status) != 0) && tid == task->process->pid) {
            give_up("process %d ended with status %x", tid, (unsigned)status);
        }
        task_remove(task);
    } else if (status >> 16) {
        event(task, status >> 16);
    } else if (WSTOPSIG(status) == SIGTRAP) {
        stopped(task);
    } else {
        go_on(task, WSTOPSIG(status));
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * A core of it
 */

static void crash(struct task *task)
{
    pid_t pid = task->process->pid;
    int status = 0;
    struct ca_error *error = NULL;
    glob_t found;
    go_on(task, SIGSEGV);
    while (waitpid(-1, &status, __WALL) != pid || WIFSTOPPED(status)) {
    }
    if (!WIFSIGNALED(status) || !WCOREDUMP(status) || glob("core*", 0, NULL, &found) != 0 ||
        found.gl_pathc != 1) {
        give_up("no core was left: status %x", (unsigned)status);
    }
    struct ca_target *target = ca_target_open(found.gl_pathv[0], NULL, &error);
    if (!target || !view_read_target(target, &view)) {
        give_up("%s: %s", found.gl_pathv[0], target ? view.error : ca_error_message(error));
    }
    if (!ledger_check(&task->process->ledger, &view, false)) {
        give_up("core after %lu readings: %s", readings, view.error);
    }
    printf("a core with %zu blocks and %lu in flight after %lu readings\n", view.block_count, view.in_flight,
           readings);
    exit(0);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Beginning
 */

static void become(char **arguments, int page)
{
    char number[16];
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    snprintf(number, sizeof(number), "%d", page);
    setenv(CONTROL_VARIABLE, number, 1);
    setenv("LD_PRELOAD", getenv("STEPS_PRELOAD") ? getenv("STEPS_PRELOAD") : "", 1);
    if (crash_after) {
        setrlimit(RLIMIT_CORE, &unlimited);
    }
    personality(ADDR_NO_RANDOMIZE);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execv(arguments[0], arguments);
    _exit(127);
}

static pid_t start(char **arguments)
{
    int page = memfd_create("steps", 0), status;
    if (page < 0 || ftruncate(page, 4096) != 0) {
        give_up("memfd: %s", strerror(errno));
    }
    control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    pid_t pid = fork();
    if (pid == 0) {
        become(arguments, page);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, 0, OPTIONS) != 0) {
        give_up("%s does not start", arguments[0]);
    }
    return pid;
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "+c:f:")) != -1) {
        switch (option) {
        case 'c':
            crash_after = strtoul(optarg, NULL, 10);
            break;
        case 'f':
            freed_kept = strtoul(optarg, NULL, 10);
            break;
        default:
            return 64;
        }
    }
    if (optind == argc) {
        return 64;
    }
    every_instruction = getenv("STEPS_ALL") != NULL;
    alarm(500);
    pid_t pid = start(argv + optind);
    struct task *first = task_add(pid, process_add(pid));
    go_on(first, 0);
    int status;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
        happened(tid, status);
    }
    if (readings == 0) {
        give_up("nothing was read");
    }
    printf("%lu calls, %lu instructions, %lu readings, %lu signals, %lu jumps, %lu thrown\n", calls,
           instructions, readings, signals_sent, jumps, thrown);
    return 0;
}
