/* case.c: see case.h. */
#include "case.h"

#include <inttypes.h>
#include <string.h>

#include "crash.h"

static void information_read(struct ca_case *crash)
{
    const struct ca_process *process = crash->process;
    size_t size = process->siginfo_size;
    if (process->siginfo && size >= offsetof(siginfo_t, si_addr) + sizeof(void *)) {
        memcpy(&crash->information, process->siginfo,
               size < sizeof crash->information ? size : sizeof crash->information);
    }
    if (crash->information.si_signo != process->signal) {
        memset(&crash->information, 0, sizeof crash->information);
    }
}

static bool is_tracer(const struct ca_image *image)
{
    const char *slash = strrchr(image->module.path, '/');
    return slash && strcmp(slash, "/libtm.so") == 0;
}

/* Whether a call is one of the tracer's hooks: its library, or a function of their names. */
static bool is_hook(const struct ca_case *crash, const struct ca_stack_frame *frame, bool *ret_is,
                    struct ca_error **ret_error)
{
    uint64_t pc = frame->pc - frame->is_return;
    const struct ca_image *image = ca_memory_image_at(crash->teller.memory, pc);
    struct ca_symbol_name name;
    bool found;
    if (!ca_memory_name(crash->teller.memory, pc, &name, &found, ret_error)) {
        return false;
    }
    *ret_is = (image && is_tracer(image)) || (found && ca_is_allocator_function(name.name, NULL, 0));
    return true;
}

/* An operation is under way when a hook will return to the stack pointer that it noted. */
static bool operation_find(struct ca_case *crash, struct ca_error **ret_error)
{
    const struct tm_operation *operations = ca_table_operations(crash->teller.table, crash->thread->tid);
    for (int level = 0; operations && level < TM_OPERATION_LEVELS; level++) {
        for (size_t i = 1; i < crash->frame_count; i++) {
            bool is;
            if (operations[level].stack_pointer == 0 ||
                operations[level].stack_pointer != crash->frames[i].sp) {
                continue;
            }
            if (!is_hook(crash, &crash->frames[i - 1], &is, ret_error)) {
                return false;
            }
            crash->operation = is ? &operations[level] : crash->operation;
        }
    }
    return true;
}

bool ca_case_open(struct ca_case *crash, struct ca_run *run, bool *ret_found, struct ca_error **ret_error)
{
    struct ca_target *target = run->targets[0];
    *crash = (struct ca_case){.process = ca_source_process(ca_target_source(target))};
    *ret_found = false;
    if (!ca_signal_is_crash(crash->process->signal)) {
        return true;
    }
    if (!ca_teller_init(&crash->teller, run, ret_error)) {
        return false;
    }
    information_read(crash);
    size_t count;
    const struct ca_thread_state *threads = ca_memory_threads(crash->teller.memory, &count);
    for (size_t i = 0; i < count && !crash->thread; i++) {
        if ((crash->process->signal_thread == 0 || threads[i].tid == crash->process->signal_thread) &&
            threads[i].register_count > CA_RSP) {
            crash->thread = &threads[i];
            crash->thread_number = i;
        }
    }
    if (!crash->thread) {
        return true;
    }
    if (!ca_memory_frames(crash->teller.memory, crash->thread_number, &crash->frames, &crash->frame_count,
                          ret_error)) {
        return false;
    }
    *ret_found = true;
    return operation_find(crash, ret_error);
}

/* ------------------------------------------------------------------------------------------------ stack */

static void add_position(const struct ca_case *crash, struct ca_text *text,
                         const struct ca_position *position)
{
    ca_text_add(text, "  File \"");
    ca_text_add_name(text, position->filename);
    ca_text_printf(text, "\", line %" PRIu32 "\n", position->lineno);
    const char *line = crash->teller.run->options.no_source || position->lineno == 0
                           ? ""
                           : ca_linecache_line(position->filename, position->lineno);
    if (line[0]) {
        ca_text_add(text, "    ");
        ca_text_add_line_bytes(text, line, strlen(line));
        ca_text_add(text, "\n");
    }
}

static bool add_frame(const struct ca_case *crash, struct ca_text *text, const struct ca_stack_frame *frame,
                      struct ca_error **ret_error)
{
    size_t count;
    uint64_t pc = frame->pc - frame->is_return;
    const struct ca_image *image = ca_memory_image_at(crash->teller.memory, pc);
    const struct ca_position *positions =
        ca_memory_positions(crash->teller.memory, frame->pc, frame->is_return, &count, ret_error);
    if (positions && image && is_tracer(image)) { /* its lines are nobody's business */
        const char *function = positions[count - 1].function;
        ca_text_add(text, "  File \"");
        ca_text_add_name(text, image->module.path);
        ca_text_add(text, "(");
        ca_text_add_name(text, function ? function : "?");
        ca_text_add(text, ")\", line 0\n");
        return true;
    }
    for (size_t i = count; positions && i-- > 0;) {
        add_position(crash, text, &positions[i]);
    }
    return positions;
}

/* Calls that come in turn again and again: a recursion. */
struct turns {
    size_t calls; /* in one turn */
    size_t times;
};

/* Those that begin at this frame; one call, once, where none do. */
static struct turns turns_at(const struct ca_case *crash, size_t frame)
{
    enum { CALLS_MAX = 8, TIMES_MIN = 3 };
    const struct ca_stack_frame *frames = crash->frames;
    for (size_t calls = 1; calls <= CALLS_MAX && frame + calls <= crash->frame_count; calls++) {
        size_t end = frame + calls;
        while (end < crash->frame_count && frames[end].pc == frames[end - calls].pc) {
            end++;
        }
        size_t times = (end - frame) / calls;
        if (times >= TIMES_MIN || (calls == 1 && times > 1)) {
            return (struct turns){calls, times};
        }
    }
    return (struct turns){1, 1};
}

static void add_repeats(struct ca_text *text, const struct turns *turns)
{
    size_t more = turns->times - 1;
    if (more && turns->calls == 1) {
        ca_text_printf(text, "  [the same %zu more time%s]\n", more, more == 1 ? "" : "s");
    } else if (more) {
        ca_text_printf(text, "  [these %zu calls %zu more time%s]\n", turns->calls, more,
                       more == 1 ? "" : "s");
    }
}

bool ca_case_add_stack(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error)
{
    enum { SHOWN = 40 };
    const struct ca_number *nframe = &crash->teller.run->options.nframe;
    size_t limit = nframe->given && nframe->value < SHOWN ? (size_t)nframe->value : SHOWN;
    struct turns turns[SHOWN]; /* of the frame that is shown, where it is the first one of a turn */
    size_t frames[SHOWN], shown = 0, next = 0;
    while (shown < limit && next < crash->frame_count) { /* a recursion is one */
        struct turns here = turns_at(crash, next);
        for (size_t i = 0; i < here.calls && shown < limit; i++, shown++) {
            frames[shown] = next + i;
            turns[shown] = i == 0 ? here : (struct turns){1, 1};
        }
        next += here.calls * here.times;
    }
    ca_text_add(text, "\n");
    ca_text_style(text, CA_STYLE_TITLE);
    ca_text_printf(text, "Stack of thread %" PRIu32 "%s:", crash->thread->tid,
                   next < crash->frame_count ? ", its most recent calls" : "");
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_text_add(text, "\n");
    for (size_t i = shown; i-- > 0;) {
        if (!add_frame(crash, text, &crash->frames[frames[i]], ret_error)) {
            return false;
        }
        add_repeats(text, &turns[i]);
    }
    return true;
}
