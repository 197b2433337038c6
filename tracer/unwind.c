#include "unwind.h"

#include "layout.h"
#include "walk/arch.h"
#include "walk/cfi.h"
#include "walk/rules.h"
#include "walk/window.h"

/* How a walk came to its end. */
enum outcome {
    STEPPED,         /* not at all: there is a caller */
    ENDED,           /* at the outermost frame */
    BROKEN,          /* no way on is known, or the stack makes no sense */
    TOO_DEEP,        /* TM_WALK_MAX frames */
    NO_MEMORY,       /* a frame has no id */
    NEEDS_REGISTERS, /* a rule needs other registers than the three that `struct state` has */
};

/* All that the rest of a walk depends on, besides the words of the stack. */
struct state {
    uintptr_t pc;
    uintptr_t sp;
    uintptr_t bp;
    bool interrupted; /* pc is no return address: a signal came there */
};

struct walker {
    const struct tm_walk_start *start;
    struct tm_walk *walk;
    struct tm_rules rules;
    struct tm_window window; /* sp is not below it, unless it is empty */
    uint32_t depth;
    bool guessed;
};

static inline uint64_t state_key(uintptr_t pc, bool interrupted)
{
    uint64_t kind = interrupted ? TM_FRAME_INTERRUPTED : TM_FRAME_RETURN;
    return (pc & TM_FRAME_ADDRESS_MASK) | kind << TM_FRAME_KIND_SHIFT;
}

static inline uintptr_t word_at(uintptr_t address)
{
    return *(const volatile uintptr_t *)address;
}

/* Is there nothing left to look up? The bottom of a hand-made stack is a zero return address. */
static inline bool is_bottom(uintptr_t pc)
{
    return pc == 0;
}

static bool word_read(void *context, uintptr_t address, uintptr_t *ret_word)
{
    struct walker *walker = context;
    if (!tm_window_cover(&walker->window, address, address + sizeof(uintptr_t))) {
        return false;
    }
    *ret_word = word_at(address);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Frames that are no plain calls
 */

/* Onto the stack that a signal interrupted. Its stack pointer may lie in a guard page (that is why there was
 * a signal): nothing is read there before a frame says where. */
static void window_leave(struct walker *walker, uintptr_t sp)
{
    walker->window = (struct tm_window){.low = sp, .high = sp};
}

static enum outcome step_signal(struct walker *walker, struct state *state)
{
    struct state caller = {.interrupted = true};
    if (!word_read(walker, state->sp + tm_arch_signal_offset[TM_ARCH_PC], &caller.pc) ||
        !word_read(walker, state->sp + tm_arch_signal_offset[TM_ARCH_SP], &caller.sp) ||
        !word_read(walker, state->sp + tm_arch_signal_offset[TM_ARCH_BP], &caller.bp)) {
        return BROKEN;
    }
    *state = caller;
    window_leave(walker, state->sp);
    return STEPPED;
}

/* A realigned frame: the CFA was saved in it. */
static enum outcome step_drap(struct walker *walker, struct state *state, uintptr_t offset,
                              uintptr_t return_slot)
{
    uintptr_t cfa;
    uintptr_t bp;
    uintptr_t pc;
    if (state->bp - offset < state->sp || state->bp % 8 != 0 ||
        !word_read(walker, state->bp - offset, &cfa) || cfa <= state->bp || cfa % 8 != 0 ||
        !word_read(walker, state->bp, &bp) || !word_read(walker, cfa - return_slot, &pc)) {
        return BROKEN;
    }
    *state = (struct state){.pc = tm_arch_code_pointer(pc), .sp = cfa, .bp = bp};
    return STEPPED;
}

/* Any CFI. Changes the registers only if it gives STEPPED. */
static enum outcome step_cfi(struct walker *walker, struct tm_registers *registers, bool *interrupted)
{
    struct tm_eh_module module;
    struct tm_cfi_row row;
    uintptr_t pc = registers->value[TM_ARCH_PC];
    uintptr_t sp = registers->value[TM_ARCH_SP];
    uintptr_t address = *interrupted ? pc : pc - 1;
    if (!tm_eh_module_find(address, &module) || !tm_cfi_row_find(&module, address, &row)) {
        return BROKEN;
    }
    struct tm_registers caller = *registers;
    switch (tm_cfi_step(&row, &caller, word_read, walker)) {
    case TM_CFI_OUTERMOST:
        return ENDED;
    case TM_CFI_UNKNOWN:
        return NEEDS_REGISTERS;
    case TM_CFI_UNREADABLE:
        return BROKEN;
    default:
        break;
    }
    if (row.signal) {
        window_leave(walker, caller.value[TM_ARCH_SP]);
    } else if (caller.value[TM_ARCH_SP] % 8 != 0 || caller.value[TM_ARCH_SP] < sp ||
               (caller.value[TM_ARCH_SP] == sp && !(*interrupted && !TM_ARCH_CALL_PUSHES))) {
        return BROKEN; /* only a leaf of no frame at all leaves the stack where it was */
    }
    *registers = caller;
    *interrupted = row.signal;
    return STEPPED;
}

static enum outcome step_slow(struct walker *walker, struct state *state)
{
    struct tm_registers registers = {.known = 0};
    tm_register_set(&registers, TM_ARCH_PC, state->pc);
    tm_register_set(&registers, TM_ARCH_SP, state->sp);
    tm_register_set(&registers, TM_ARCH_BP, state->bp);
    enum outcome outcome = step_cfi(walker, &registers, &state->interrupted);
    if (outcome != STEPPED) {
        return outcome;
    }
    if (!tm_register_known(&registers, TM_ARCH_BP)) {
        return NEEDS_REGISTERS;
    }
    state->pc = registers.value[TM_ARCH_PC];
    state->sp = registers.value[TM_ARCH_SP];
    state->bp = registers.value[TM_ARCH_BP];
    return STEPPED;
}

/* Could this be a return address? One that was met before is; else there must be a call before it. */
static bool is_plausible_return(const struct walker *walker, uintptr_t pc)
{
    if (pc >> TM_ARCH_ADDRESS_BITS != 0 || pc < 4096) {
        return false;
    }
    if (tm_rules_find(&walker->rules, state_key(pc, false)) != 0) {
        return true;
    }
    return tm_arch_is_readable(pc - 8) && tm_arch_is_readable(pc - 1) &&
           tm_arch_follows_call((const uint8_t *)pc - 8);
}

/* The caller of a function that was interrupted at its first instruction; BROKEN if it does not look like
 * one. Here the call pushed the return address, */
static enum outcome guess_pushed(struct walker *walker, struct state *state)
{
    uintptr_t pc;
    if (!word_read(walker, state->sp, &pc) || !is_plausible_return(walker, pc)) {
        return BROKEN;
    }
    *state = (struct state){.pc = pc, .sp = state->sp + sizeof(uintptr_t), .bp = state->bp};
    walker->guessed = true;
    return STEPPED;
}

/* here it is in the link register: NULL if that is not known. In code that has run it may be left over from
 * the last call, so it counts in linkage stubs and where no code is. */
static enum outcome guess_linked(struct walker *walker, struct state *state, const uintptr_t *link)
{
    uintptr_t pushed = 0;
    bool stub = tm_arch_is_stub(state->pc, &pushed);
    if (!stub && tm_arch_is_readable(state->pc)) {
        return BROKEN;
    }
    if (!link) {
        return NEEDS_REGISTERS;
    }
    uintptr_t pc = tm_arch_code_pointer(*link);
    if (!stub && !is_plausible_return(walker, pc)) {
        return BROKEN;
    }
    *state = (struct state){.pc = pc, .sp = state->sp + pushed, .bp = state->bp};
    walker->guessed = walker->guessed || !stub;
    return STEPPED;
}

/* Without CFI (code made at run time, assembler): the frame-pointer chain, or, where a signal came, a
 * function that has not pushed anything yet, such as the one at 0 that a null pointer called. A zero frame
 * pointer marks the outermost frame (AMD64 ABI, 3.4.1); the start of ld.so, below which the constructors of
 * libraries run, has no other mark. */
static enum outcome step_guess(struct walker *walker, struct state *state, bool in_module,
                               const uintptr_t *link)
{
    if (in_module && state->bp == 0 && !state->interrupted) {
        return ENDED;
    }
    if (state->interrupted) {
        enum outcome outcome =
            TM_ARCH_CALL_PUSHES ? guess_pushed(walker, state) : guess_linked(walker, state, link);
        if (outcome != BROKEN) {
            return outcome;
        }
    }
    struct state caller = {.sp = state->bp + 16};
    if (state->bp < state->sp || state->bp % 8 != 0 || !word_read(walker, state->bp + 8, &caller.pc) ||
        !word_read(walker, state->bp, &caller.bp) || walker->window.low > state->sp ||
        !is_plausible_return(walker, tm_arch_code_pointer(caller.pc))) {
        return BROKEN; /* the last but one: not on this stack */
    }
    caller.pc = tm_arch_code_pointer(caller.pc);
    *state = caller;
    walker->guessed = true;
    return STEPPED;
}

/* ---------------------------------------------------------------------------------------------------------------
 * The walk
 */

/* The value for a frame, which is put into the traceback; 0 when memory runs out. */
static inline uint64_t frame_visit(struct walker *walker, uintptr_t pc, bool interrupted)
{
    uint64_t key = state_key(pc, interrupted);
    uint64_t value = tm_rules_find(&walker->rules, key);
    if (__builtin_expect(tm_rule_kind(value) == TM_RULE_ABSENT, false)) {
        value = tm_rules_fill(&walker->rules, key);
    }
    if (walker->depth < walker->walk->limit) {
        walker->walk->frames[walker->depth] = tm_rule_id(value);
    }
    walker->depth++;
    return value;
}

/* Code that lay in no module when its rule was made: is there one by now? */
static bool is_loaded_since(struct walker *walker, const struct state *state, uint64_t value)
{
    struct tm_eh_module module;
    return tm_rule_cfa(value) == 0 && tm_eh_module_find(state->pc - !state->interrupted, &module) &&
           tm_rule_kind(tm_rules_fill(&walker->rules, state_key(state->pc, state->interrupted))) !=
               TM_RULE_NONE;
}

static __attribute__((noinline)) enum outcome step_barrier(struct walker *walker, struct state *state,
                                                           uint64_t value)
{
    switch (tm_rule_kind(value)) {
    case TM_RULE_DRAP:
        return step_drap(walker, state, tm_rule_cfa(value), tm_rule_return_slot(value));
    case TM_RULE_SIGNAL:
        return step_signal(walker, state);
    case TM_RULE_END:
        return ENDED;
    case TM_RULE_SLOW:
        return step_slow(walker, state);
    case TM_RULE_NONE:
        if (is_loaded_since(walker, state, value)) {
            walker->depth--;
            return STEPPED; /* the same frame again, with its new rule */
        }
        return step_guess(walker, state, tm_rule_cfa(value) != 0, NULL);
    default:
        return NO_MEMORY;
    }
}

/* Walks with the three registers of `struct state`. */
static enum outcome walk_states(struct walker *walker)
{
    struct state state = {.pc = walker->start->pc, .sp = walker->start->sp, .bp = walker->start->bp};
    while (walker->depth < TM_WALK_MAX) {
        uint64_t value = frame_visit(walker, state.pc, state.interrupted);
        uintptr_t cfa = tm_rule_cfa(value);
        if (__builtin_expect(tm_rule_kind(value) == TM_RULE_SP, true)) {
            cfa += state.sp;
        } else if (__builtin_expect(tm_rule_kind(value) == TM_RULE_BP, true)) {
            cfa += state.bp;
            if (__builtin_expect(state.bp < state.sp || state.bp % 8 != 0 || cfa < state.bp, false)) {
                return BROKEN;
            }
        } else {
            enum outcome outcome = step_barrier(walker, &state, value);
            if (outcome != STEPPED) {
                return outcome;
            }
            if (is_bottom(state.pc) && !state.interrupted) {
                return ENDED;
            }
            continue;
        }
        uintptr_t slot = tm_rule_slot(value);
        uintptr_t return_slot = tm_rule_return_slot(value);
        uintptr_t deepest = slot > return_slot ? slot : return_slot;
        if (__builtin_expect(cfa > walker->window.high, false) &&
            !tm_window_move(&walker->window, cfa - deepest, cfa)) {
            return BROKEN;
        }
        if (slot != 0) {
            state.bp = word_at(cfa - slot);
        }
        state.pc = tm_arch_code_pointer(word_at(cfa - return_slot));
        state.sp = cfa;
        state.interrupted = false;
        if (is_bottom(state.pc)) {
            return ENDED;
        }
    }
    return TOO_DEEP;
}

/* The registers of the hook's caller, found by walking out of the tracer. Where that fails: the three of the
 * start. */
static void registers_recover(struct walker *walker, struct tm_registers *registers, bool interrupted)
{
    for (int i = 0; i < 64 && registers->value[TM_ARCH_SP] < walker->start->sp; i++) {
        if (step_cfi(walker, registers, &interrupted) != STEPPED) {
            break;
        }
    }
    if (registers->value[TM_ARCH_SP] != walker->start->sp ||
        registers->value[TM_ARCH_PC] != walker->start->pc) {
        registers->known = 0;
        tm_register_set(registers, TM_ARCH_PC, walker->start->pc);
        tm_register_set(registers, TM_ARCH_SP, walker->start->sp);
    }
    tm_register_set(registers, TM_ARCH_BP, walker->start->bp);
}

static enum outcome registers_step_signal(struct walker *walker, struct tm_registers *registers,
                                          bool *interrupted)
{
    struct tm_registers caller = {.known = 0};
    for (unsigned column = 0; column < TM_ARCH_REGISTERS; column++) {
        uintptr_t value;
        if (!word_read(walker, registers->value[TM_ARCH_SP] + tm_arch_signal_offset[column], &value)) {
            return BROKEN;
        }
        tm_register_set(&caller, column, value);
    }
    *registers = caller;
    *interrupted = true;
    window_leave(walker, registers->value[TM_ARCH_SP]);
    return STEPPED;
}

static enum outcome registers_step_guess(struct walker *walker, struct tm_registers *registers,
                                         bool *interrupted, bool in_module)
{
    struct state state = {.pc = registers->value[TM_ARCH_PC],
                          .sp = registers->value[TM_ARCH_SP],
                          .bp = tm_register_known(registers, TM_ARCH_BP) ? registers->value[TM_ARCH_BP] : 0,
                          .interrupted = *interrupted};
    bool has_link = tm_register_known(registers, TM_ARCH_RETURN);
    enum outcome outcome =
        step_guess(walker, &state, in_module, has_link ? &registers->value[TM_ARCH_RETURN] : NULL);
    if (outcome == STEPPED) {
        registers->known = 0;
        tm_register_set(registers, TM_ARCH_PC, state.pc);
        tm_register_set(registers, TM_ARCH_SP, state.sp);
        tm_register_set(registers, TM_ARCH_BP, state.bp);
        *interrupted = state.interrupted;
    }
    return outcome;
}

/* Walks with all registers that can be known, for stacks in which a rule needs them: _dl_runtime_resolve
 * counts from rbx, say. Begins here, in the tracer, where all are known. */
static __attribute__((noinline)) enum outcome walk_registers(struct walker *walker)
{
    struct tm_registers registers;
    tm_arch_capture(&registers);
    registers_recover(walker, &registers, true);
    bool interrupted = false;
    walker->depth = 0;
    while (walker->depth < TM_WALK_MAX) {
        uint64_t value = frame_visit(walker, registers.value[TM_ARCH_PC], interrupted);
        enum outcome outcome;
        if (value == 0) {
            outcome = NO_MEMORY;
        } else if (tm_rule_kind(value) == TM_RULE_END) {
            outcome = ENDED;
        } else if (tm_rule_kind(value) == TM_RULE_SIGNAL) {
            outcome = registers_step_signal(walker, &registers, &interrupted);
        } else if (tm_rule_kind(value) == TM_RULE_NONE) {
            outcome = registers_step_guess(walker, &registers, &interrupted, tm_rule_cfa(value) != 0);
        } else {
            outcome = step_cfi(walker, &registers, &interrupted);
        }
        if (outcome != STEPPED) {
            return outcome;
        }
        if (is_bottom(registers.value[TM_ARCH_PC]) && !interrupted) {
            return ENDED;
        }
    }
    return TOO_DEEP;
}

static void walk_finish(const struct walker *walker, enum outcome outcome)
{
    struct tm_walk *walk = walker->walk;
    if (outcome == NO_MEMORY) {
        walk->flags = TM_STACK_BROKEN | TM_STACK_NO_DEPTH;
        return;
    }
    bool cut = walker->depth > walk->limit || outcome == TOO_DEEP;
    bool broken = outcome == BROKEN || outcome == NEEDS_REGISTERS;
    walk->count = walker->depth < walk->limit ? walker->depth : walk->limit;
    walk->total = walker->depth;
    walk->flags = (uint16_t)((cut ? TM_STACK_TRUNCATED : 0) | (broken ? TM_STACK_BROKEN : 0) |
                             (walker->guessed ? TM_STACK_GUESSED : 0));
    if (outcome == TOO_DEEP || (cut && (broken || walker->guessed))) {
        walk->flags |= TM_STACK_NO_DEPTH;
    }
}

bool tm_unwind_init(void)
{
    return tm_rules_init();
}

void tm_unwind_forget(void)
{
    tm_rules_forget();
}

void tm_unwind(const struct tm_walk_start *start, struct tm_walk *walk)
{
    struct walker walker = {.start = start, .walk = walk, .rules = tm_rules_open()};
    walk->count = 0;
    walk->total = 0;
    enum outcome outcome = NO_MEMORY;
    if (walker.rules.table && tm_window_cover(&walker.window, start->sp - sizeof(uintptr_t), start->sp)) {
        outcome = walk_states(&walker);
        if (outcome == NEEDS_REGISTERS) {
            outcome = walk_registers(&walker);
        }
    }
    walk_finish(&walker, outcome);
}
