/* evidence.c: which blocks a fault has to do with. A finding is strong when the fault itself leads to the
 * block: its address lies there, or the pointer that the instruction followed was read from there. Where it
 * was read from a live block in memory that was freed before, the program may have meant what was freed. That
 * a register or the stack points to a freed block is weak: it may be left over. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "instruction.h"

enum {
    FINDINGS_MAX = 8,
    STRONG_SHOWN = 3,
    WEAK_SHOWN = 2,
    STACK_FRAMES = 3,   /* innermost calls whose part of the stack is looked through */
    STACK_WORDS = 512,  /* at most */
    CONTENT_MAX = 1024, /* bytes of a freed block that are looked through */
    HISTORY_SEARCHED = 65536,
    SMALL = 0x10000, /* values below are no pointers */
    PAGE = 4096,
    GUARD = 1 << 16, /* bytes below a stack in which its overflow faults */
};

struct finding {
    struct ca_place place; /* of the first pointer into it */
    struct ca_text how;
    bool strong;
    bool reused;    /* the place is a live block, and `place.freed` what lay there before */
    bool by_stack;  /* a word of the stack is among the ways already */
    uint64_t value; /* the pointer that was followed, which was read from it at `value_at`; 0 = none */
    uint64_t value_at;
};

struct evidence {
    const struct ca_case *crash;
    struct ca_text *text;
    bool has_address; /* of the fault */
    uint64_t address;
    struct ca_operand operands[CA_OPERANDS_MAX];
    size_t operand_count;
    const struct ca_operand *operand; /* that faulted; NULL = not known */
    bool jumped;                      /* the fault is at the program counter itself */
    bool read;                        /* from the operand was `address`, to which a call or jump was to go */
    struct finding findings[FINDINGS_MAX];
    size_t count;
    bool told; /* something was said of the fault's address */
};

static struct ca_memory *memory_of(const struct evidence *evidence)
{
    return evidence->crash->teller.memory;
}

/* ------------------------------------------------------------------------------------------------ fault */

static bool is_wild(uint64_t address)
{
    return address >> 47 != 0 && address >> 47 != UINT64_MAX >> 47;
}

/* The operand that the fault's address lies in, or the wild one where the kernel names none. */
static void operand_choose(struct evidence *evidence)
{
    enum { WIDEST = 64 };
    for (size_t i = 0; i < evidence->operand_count && !evidence->operand; i++) {
        const struct ca_operand *operand = &evidence->operands[i];
        bool fits =
            evidence->has_address ? evidence->address - operand->address < WIDEST : is_wild(operand->address);
        evidence->operand = fits ? operand : NULL;
    }
    if (evidence->operand && !evidence->has_address) {
        evidence->has_address = true;
        evidence->address = evidence->operand->address;
    }
}

/* A call or jump through memory that holds no address: the instruction has a fault of its own, for which the
 * kernel names none. */
static bool target_read(struct evidence *evidence, struct ca_error **ret_error)
{
    const struct ca_operand *operand = evidence->operands;
    uint64_t target = 0;
    size_t got = 0;
    if (evidence->has_address || !evidence->operand_count || !operand->holds_target) {
        return true;
    }
    if (!ca_source_read_some(ca_memory_source(memory_of(evidence)), operand->address, &target, sizeof target,
                             &got, ret_error)) {
        return false;
    }
    if (got == sizeof target && is_wild(target)) {
        evidence->operand = operand;
        evidence->has_address = evidence->read = true;
        evidence->address = target;
    }
    return true;
}

static bool fault_read(struct evidence *evidence, struct ca_error **ret_error)
{
    const struct ca_case *crash = evidence->crash;
    const siginfo_t *information = &crash->information;
    uint8_t code[CA_INSTRUCTION_MAX];
    size_t got = 0;
    bool named = information->si_signo && information->si_code > 0 && information->si_code != SI_KERNEL;
    evidence->has_address = named;
    evidence->address = named ? (uintptr_t)information->si_addr : 0;
    if (!ca_memory_code(memory_of(evidence), crash->thread->pc, code, sizeof code, &got, ret_error)) {
        return false;
    }
    evidence->jumped = named && evidence->address == crash->thread->pc;
    if (crash->thread->register_count >= CA_REGISTER_COUNT && !evidence->jumped) {
        evidence->operand_count =
            ca_instruction_operands(code, got, crash->thread->registers, evidence->operands);
    }
    operand_choose(evidence);
    return target_read(evidence, ret_error);
}

/* "(rax + 16)" */
static void add_operand(struct ca_text *text, const struct evidence *evidence)
{
    const struct ca_operand *operand = evidence->operand;
    const uint64_t *registers = evidence->crash->thread->registers;
    if (operand->base < 0) {
        return;
    }
    ca_text_printf(text, " (%s", ca_register_name((unsigned)operand->base));
    if (operand->index >= 0) {
        ca_text_printf(text, " and %s)", ca_register_name((unsigned)operand->index));
        return;
    }
    int64_t offset = (int64_t)(operand->address - registers[operand->base]);
    if (offset) {
        ca_text_printf(text, " %c %" PRIu64, offset < 0 ? '-' : '+',
                       offset < 0 ? -(uint64_t)offset : (uint64_t)offset);
    }
    ca_text_add(text, ")");
}

/* ---------------------------------------------------------------------------------------- fault in words */

static bool tell_block(struct evidence *evidence, const struct ca_block *block, struct ca_error **ret_error)
{
    struct ca_deed deed = ca_deed_of_allocation(block);
    return ca_tell_deed(&evidence->crash->teller, evidence->text, "It was allocated", &deed, ret_error);
}

/* The address lies outside of what is mapped and right behind, or before, memory of malloc: the nearest
 * block. */
static bool tell_border(struct evidence *evidence, struct ca_error **ret_error)
{
    struct ca_source *source = ca_memory_source(memory_of(evidence));
    uint64_t page = evidence->address & ~(uint64_t)(PAGE - 1);
    struct ca_neighbours neighbours;
    if (!ca_table_neighbours(evidence->crash->teller.table, 0, evidence->address, &neighbours, ret_error)) {
        return false;
    }
    const struct ca_mapping *below = page ? ca_source_mapping_at(source, page - 1) : NULL;
    const struct ca_mapping *above = ca_source_mapping_at(source, page + PAGE);
    const struct ca_block *before = &neighbours.before, *after = &neighbours.after;
    size_t damages = 0;
    if (below && !below->path[0] && neighbours.has_before && before->address >= below->start) {
        ca_text_printf(evidence->text,
                       "\nPerhaps an overflow: 0x%" PRIx64 " is where malloc's memory ends, %" PRIu64
                       " bytes past the end of the last live block in it, of %" PRIu64 " bytes at 0x%" PRIx64
                       "\n",
                       evidence->address, evidence->address - (before->address + before->size), before->size,
                       before->address);
        evidence->told = true;
        return ca_case_add_damages(evidence->crash, evidence->text, NULL, &damages, ret_error) &&
               (damages || tell_block(evidence, before, ret_error));
    }
    if (above && !above->path[0] && neighbours.has_after && after->address < above->end) {
        ca_text_printf(evidence->text,
                       "\nPerhaps an underflow: 0x%" PRIx64 " is right before malloc's memory, %" PRIu64
                       " bytes before the first live block in it, of %" PRIu64 " bytes at 0x%" PRIx64 "\n",
                       evidence->address, after->address - evidence->address, after->size, after->address);
        evidence->told = true;
        return tell_block(evidence, after, ret_error);
    }
    return true;
}

/* Below the stack of the thread, whose stack pointer is near. */
static bool is_stack_overflow(const struct evidence *evidence)
{
    const struct ca_thread_state *thread = evidence->crash->thread;
    const struct ca_mapping *above =
        ca_source_mapping_at(ca_memory_source(memory_of(evidence)), evidence->address + GUARD);
    uint64_t distance =
        thread->sp > evidence->address ? thread->sp - evidence->address : evidence->address - thread->sp;
    return distance <= GUARD && above && (above->protection & 2) && evidence->address < above->start &&
           thread->tls && (thread->sp < above->start + GUARD);
}

static bool tell_fault(struct evidence *evidence, struct ca_error **ret_error)
{
    struct ca_text *text = evidence->text;
    struct ca_place place;
    if (!evidence->has_address) {
        return true;
    }
    if (!ca_place_find(memory_of(evidence), evidence->address, &place, ret_error)) {
        return false;
    }
    if (evidence->operand && evidence->crash->information.si_code == SI_KERNEL) {
        ca_text_printf(text, "\nThe faulting instruction %s 0x%" PRIx64,
                       evidence->read || evidence->operand->is_target ? "goes to" : "touches",
                       evidence->address);
        ca_text_add(text, evidence->read ? ", which it reads from memory" : "");
        add_operand(text, evidence);
        ca_text_add(text, ", ");
        ca_place_add_words(text, &place);
        ca_text_add(text, "\n");
        evidence->told = true;
        return true;
    }
    if (evidence->jumped) {
        ca_text_printf(text, "\nThe program went to 0x%" PRIx64 " for code, which is ", evidence->address);
        ca_place_add_words(text, &place);
        ca_text_add(text, "\n");
        evidence->told = true;
        return true;
    }
    if (is_stack_overflow(evidence)) {
        ca_text_printf(text,
                       "\nStack overflow: 0x%" PRIx64 " is just below the stack of thread %" PRIu32 "\n",
                       evidence->address, evidence->crash->thread->tid);
        evidence->told = true;
        return true;
    }
    switch (place.kind) {
    case CA_PLACE_FREED: /* a finding */
    case CA_PLACE_HEAP:
        return true;
    case CA_PLACE_UNMAPPED:
    case CA_PLACE_WILD:
        return tell_border(evidence, ret_error);
    default:
        break;
    }
    bool outside = place.kind == CA_PLACE_PAST || place.kind == CA_PLACE_BEFORE;
    ca_text_add(text, "\n");
    ca_text_style(text, CA_STYLE_ALARM);
    ca_text_add(text, place.kind == CA_PLACE_PAST     ? "Overflow: "
                      : place.kind == CA_PLACE_BEFORE ? "Underflow: "
                                                      : "");
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_place_add_text(text, &place);
    ca_text_add(text, "\n");
    evidence->told = true;
    return !(outside || place.kind == CA_PLACE_LIVE) || tell_block(evidence, &place.block, ret_error);
}

/* --------------------------------------------------------------------------------------------- findings */

/* The finding about the freed block at this place, made if need be; NULL = there are too many. */
static struct finding *finding_of(struct evidence *evidence, const struct ca_place *place)
{
    for (size_t i = 0; i < evidence->count; i++) {
        const struct ca_freed *known = &evidence->findings[i].place.freed;
        if (known->block.address == place->freed.block.address && known->order == place->freed.order &&
            known->time == place->freed.time) {
            return &evidence->findings[i];
        }
    }
    if (evidence->count == FINDINGS_MAX) {
        return NULL;
    }
    struct finding *finding = &evidence->findings[evidence->count++];
    *finding = (struct finding){.place = *place, .how = {.escape_names = true}};
    return finding;
}

static void finding_add_how(struct finding *finding, const char *how)
{
    ca_text_add(&finding->how, finding->how.size ? ", " : "");
    ca_text_add(&finding->how, how);
}

/* The tracer notes a free before the allocator is asked: the block that the thread was just freeing, of which
 * the report speaks already, is in the history without having been used since. */
static bool is_under_way(const struct evidence *evidence, const struct ca_place *place)
{
    const struct tm_operation *operation = evidence->crash->operation;
    return operation && operation->address && operation->address == place->freed.block.address;
}

static bool is_finding(const struct evidence *evidence, const struct ca_place *place)
{
    return place->kind == CA_PLACE_FREED && !is_under_way(evidence, place);
}

/* If the value points into a freed block: one more way to it. */
static bool pointer_try(struct evidence *evidence, uint64_t value, bool strong, bool by_stack,
                        const char *how, struct ca_error **ret_error)
{
    struct ca_place place;
    bool found = false;
    if (value < SMALL || is_wild(value)) {
        return true;
    }
    if (!ca_table_freed_around(evidence->crash->teller.table, value, &place.freed, &found, ret_error)) {
        return false;
    }
    if (!found) {
        return true;
    }
    if (!ca_place_find(memory_of(evidence), value, &place, ret_error)) {
        return false;
    }
    struct finding *finding = is_finding(evidence, &place) ? finding_of(evidence, &place) : NULL;
    if (finding && !(by_stack && finding->by_stack)) {
        finding->strong = finding->strong || strong;
        finding->by_stack = finding->by_stack || by_stack;
        finding_add_how(finding, how);
    }
    return true;
}

static bool registers_try(struct evidence *evidence, bool is_null, struct ca_error **ret_error)
{
    const struct ca_thread_state *thread = evidence->crash->thread;
    for (unsigned i = 0; i < CA_REGISTER_COUNT && i < thread->register_count; i++) {
        char how[32];
        bool leftover = is_null && i >= CA_R11 && i <= CA_R8; /* scratch registers, of free itself often */
        if (!ca_register_name(i) || i == CA_RIP || i == CA_RSP || leftover) {
            continue;
        }
        snprintf(how, sizeof how, "register %s", ca_register_name(i));
        if (!pointer_try(evidence, thread->registers[i], false, false, how, ret_error)) {
            return false;
        }
    }
    return true;
}

static bool stack_try(struct evidence *evidence, struct ca_error **ret_error)
{
    const struct ca_case *crash = evidence->crash;
    uint64_t words[STACK_WORDS];
    size_t got = 0;
    size_t last = crash->frame_count > STACK_FRAMES ? STACK_FRAMES : crash->frame_count - 1;
    uint64_t start = crash->thread->sp, end = crash->frames[last].sp;
    uint64_t size = end > start && end - start < sizeof words ? end - start : sizeof words;
    if (!ca_source_read_some(ca_memory_source(memory_of(evidence)), start, words, (size_t)size, &got,
                             ret_error)) {
        return false;
    }
    for (size_t i = 0; i < got / sizeof *words; i++) {
        char how[64];
        snprintf(how, sizeof how, "the stack at 0x%" PRIx64, start + i * sizeof *words);
        if (!pointer_try(evidence, words[i], false, true, how, ret_error)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------- values of freed blocks */

/* Whether the freed block holds the value in one of its words, or one that is a little less: a member's or an
 * element's address is made of it. *ret_address: where, 0 = nowhere. */
static bool content_has(struct evidence *evidence, const struct ca_block *block, uint64_t value,
                        uint64_t *ret_address, uint64_t *ret_word, struct ca_error **ret_error)
{
    uint64_t words[CONTENT_MAX / sizeof(uint64_t)];
    size_t got = 0;
    size_t size = block->size < sizeof words ? (size_t)block->size : sizeof words;
    *ret_address = 0;
    if (!ca_source_read_some(ca_memory_source(memory_of(evidence)), block->address, words, size, &got,
                             ret_error)) {
        return false;
    }
    for (size_t i = 0; i < got / sizeof *words && !*ret_address; i++) {
        bool matches = words[i] >= SMALL && value - words[i] < PAGE;
        *ret_address = matches ? block->address + i * sizeof *words : 0;
        *ret_word = words[i];
    }
    return true;
}

static void finding_set_value(struct finding *finding, uint64_t word, uint64_t address)
{
    finding->value = word;
    finding->value_at = address;
    finding->strong = true;
}

/* Among the newest records of the history; only when there is one block alone that has it. */
static bool history_try(struct evidence *evidence, uint64_t value, struct ca_error **ret_error)
{
    const struct ca_freed *freed;
    size_t count, matches = 0;
    uint64_t where = 0, pointer = 0;
    struct ca_place match = {0};
    if (!ca_table_history(evidence->crash->teller.table, &freed, &count, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < count && count <= HISTORY_SEARCHED && matches < 2; i++) {
        uint64_t address, word;
        struct ca_place place;
        if (!content_has(evidence, &freed[i].block, value, &address, &word, ret_error)) {
            return false;
        }
        if (!address) {
            continue;
        }
        if (!ca_place_find(memory_of(evidence), address, &place, ret_error)) {
            return false;
        }
        if (is_finding(evidence, &place) && place.freed.order == freed[i].order &&
            place.freed.time == freed[i].time) {
            matches++;
            match = place;
            where = address;
            pointer = word;
        }
    }
    struct finding *finding = matches == 1 ? finding_of(evidence, &match) : NULL;
    if (finding) {
        finding_set_value(finding, pointer, where);
    }
    return true;
}

/* If the pointer goes into a live block that holds the value, where a freed one lay before: the program may
 * still have meant that one. */
static bool reuse_try(struct evidence *evidence, uint64_t pointer, uint64_t value, const char *how,
                      bool *ret_found, struct ca_error **ret_error)
{
    struct ca_place place;
    uint64_t address = 0, word;
    bool reused = false;
    if (pointer < SMALL || is_wild(pointer)) {
        return true;
    }
    if (!ca_table_freed_around(evidence->crash->teller.table, pointer, &place.freed, &reused, ret_error)) {
        return false;
    }
    if (!reused) {
        return true;
    }
    struct ca_freed former = place.freed;
    if (!ca_place_find(memory_of(evidence), pointer, &place, ret_error)) {
        return false;
    }
    if (place.kind != CA_PLACE_LIVE) {
        return true;
    }
    if (!content_has(evidence, &place.block, value, &address, &word, ret_error)) {
        return false;
    }
    if (address - former.block.address >= former.block.size) {
        return true; /* not there, or beyond what the freed block had */
    }
    if (evidence->count == FINDINGS_MAX) { /* a weak one makes room */
        ca_text_deinit(&evidence->findings[--evidence->count].how);
    }
    place.freed = former;
    struct finding *finding = finding_of(evidence, &place);
    finding->place = place;
    finding->reused = true;
    finding->value = word;
    finding->value_at = address;
    finding_add_how(finding, how);
    *ret_found = true;
    return true;
}

/* By the first register that points there. */
static bool reuses_try(struct evidence *evidence, uint64_t value, struct ca_error **ret_error)
{
    const struct ca_thread_state *thread = evidence->crash->thread;
    bool found = false;
    for (unsigned i = 0; i < CA_REGISTER_COUNT && i < thread->register_count && !found; i++) {
        char how[32];
        if (!ca_register_name(i) || i == CA_RIP || i == CA_RSP) {
            continue;
        }
        snprintf(how, sizeof how, "register %s", ca_register_name(i));
        if (!reuse_try(evidence, thread->registers[i], value, how, &found, ret_error)) {
            return false;
        }
    }
    return true;
}

/* The pointer that was followed: was it read from a freed block? */
static bool value_try(struct evidence *evidence, struct ca_error **ret_error)
{
    const struct ca_operand *operand = evidence->operand;
    if (!evidence->has_address || (!operand && !evidence->jumped)) {
        return true;
    }
    uint64_t value = evidence->jumped || evidence->read || operand->base < 0
                         ? evidence->address
                         : evidence->crash->thread->registers[operand->base];
    bool found = false;
    if (value < SMALL) {
        return true;
    }
    for (size_t i = 0; i < evidence->count; i++) {
        uint64_t address, word;
        if (!content_has(evidence, &evidence->findings[i].place.freed.block, value, &address, &word,
                         ret_error)) {
            return false;
        }
        if (address) {
            finding_set_value(&evidence->findings[i], word, address);
            found = true;
        }
    }
    if (!found && !history_try(evidence, value, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < evidence->count; i++) {
        found = found || evidence->findings[i].strong;
    }
    return found || reuses_try(evidence, value, ret_error);
}

/* ------------------------------------------------------------------------------------------------- text */

static bool finding_tell(struct evidence *evidence, const struct finding *finding,
                         struct ca_error **ret_error)
{
    struct ca_text *text = evidence->text;
    const struct ca_teller *teller = &evidence->crash->teller;
    const struct ca_freed *freed = &finding->place.freed;
    struct ca_deed allocation = ca_deed_of_allocation(&freed->block), release = ca_deed_of_free(freed);
    ca_text_add(text, "\n");
    ca_text_style(text, finding->strong ? CA_STYLE_ALARM : CA_STYLE_TITLE);
    ca_text_add(text, finding->strong ? "Use after free: " : "Perhaps a use after free: ");
    ca_text_style(text, CA_STYLE_PLAIN);
    ca_place_add_text(text, &finding->place);
    bool reused = finding->reused;
    if (reused) {
        ca_text_printf(text, ", where a block of %" PRIu64 " byte%s was freed before", freed->block.size,
                       freed->block.size == 1 ? "" : "s");
    }
    ca_text_add(text, "\n  found by: ");
    if (finding->value) {
        ca_text_printf(text,
                       "0x%" PRIx64
                       ", which the program took for a pointer and which stands in it at 0x%" PRIx64 "%s",
                       finding->value, finding->value_at, finding->how.size ? "; " : "");
    }
    ca_text_add_bytes(text, finding->how.bytes ? finding->how.bytes : "", finding->how.size);
    ca_text_add(text, "\n");
    struct ca_deed now = ca_deed_of_allocation(&finding->place.block);
    return ca_tell_deed(teller, text, reused ? "The freed block was allocated" : "The block was allocated",
                        &allocation, ret_error) &&
           ca_tell_deed(teller, text, "and freed", &release, ret_error) &&
           (!reused ||
            ca_tell_deed(teller, text, "Since then the live block was allocated there", &now, ret_error));
}

static bool findings_tell(struct evidence *evidence, struct ca_error **ret_error)
{
    size_t strong = 0, reused = 0, shown = 0;
    for (size_t i = 0; i < evidence->count; i++) {
        strong += evidence->findings[i].strong;
        reused += evidence->findings[i].reused;
    }
    size_t limit = strong ? STRONG_SHOWN : WEAK_SHOWN;
    for (size_t i = 0; i < evidence->count && shown < limit; i++) {
        const struct finding *finding = &evidence->findings[i];
        if (strong ? !finding->strong : reused && !finding->reused) {
            continue;
        }
        shown++;
        if (!finding_tell(evidence, finding, ret_error)) {
            return false;
        }
    }
    return true;
}

static bool evidence_collect(struct evidence *evidence, struct ca_error **ret_error)
{
    if (!fault_read(evidence, ret_error) || !tell_fault(evidence, ret_error)) {
        return false;
    }
    if (evidence->has_address &&
        !pointer_try(evidence, evidence->address, true, false, "the address of the fault", ret_error)) {
        return false;
    }
    /* What explains itself need not come from a freed block. A null pointer may have been read from one, but
     * nothing in it says so. */
    bool is_null = evidence->has_address && evidence->address < SMALL;
    bool wild = evidence->jumped || evidence->crash->information.si_code == SI_KERNEL;
    if (evidence->told && !wild && !is_null) {
        return findings_tell(evidence, ret_error);
    }
    if (!registers_try(evidence, is_null, ret_error) || (!is_null && !stack_try(evidence, ret_error)) ||
        !value_try(evidence, ret_error)) {
        return false;
    }
    bool kept = evidence->crash->teller.table->root.features & TM_FEATURE_FREED;
    if (evidence->has_address && !is_null && !kept) {
        ca_text_add(evidence->text,
                    "\nWhether that pointer outlived its block is not known: no history of freed "
                    "blocks was kept (tm-run -o freed=COUNT).\n");
    }
    return findings_tell(evidence, ret_error);
}

bool ca_case_add_evidence(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error)
{
    int32_t signal = crash->process->signal;
    bool fault = signal == SIGSEGV || signal == SIGBUS ||
                 (signal == SIGILL && !ca_memory_image_at(crash->teller.memory, crash->thread->pc));
    bool sent = crash->information.si_signo && crash->information.si_code <= 0; /* by kill */
    if (!fault || sent || crash->frame_count == 0) {
        return true;
    }
    struct evidence evidence = {.crash = crash, .text = text};
    bool good = evidence_collect(&evidence, ret_error);
    for (size_t i = 0; i < evidence.count; i++) {
        text->failed = text->failed || evidence.findings[i].how.failed;
        ca_text_deinit(&evidence.findings[i].how);
    }
    return good;
}
