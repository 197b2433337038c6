/* allocator.c: what glibc's malloc found wrong, and with which block. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "heap.h"

enum {
    MESSAGE_MAX = 256,
    DAMAGES_MAX = 2, /* how many more there are says nothing */
};

struct allocator {
    const struct ca_case *crash;
    struct ca_text *text;
    char message[MESSAGE_MAX]; /* "" = none */
    struct ca_block
        given; /* that free or realloc was given, as it was; size 0 and stack 0: no block of ours */
    bool has_given, is_block;
};

static struct ca_memory *memory_of(const struct allocator *allocator)
{
    return allocator->crash->teller.memory;
}

/* ---------------------------------------------------------------------------------------------- message */

static bool is_libc(const struct ca_image *image)
{
    const char *slash = strrchr(image->module.path, '/');
    const char *name = slash ? slash + 1 : image->module.path;
    return strncmp(name, "libc.so.", 8) == 0 || strncmp(name, "libc-2.", 7) == 0;
}

/* Of libc's variable __abort_msg: it points to the size of the whole, then the text (glibc's
 * struct abort_msg_s). */
static bool message_at(struct allocator *allocator, uint64_t variable, struct ca_error **ret_error)
{
    struct ca_source *source = ca_memory_source(memory_of(allocator));
    uint64_t pointer = 0;
    size_t got = 0;
    if (!ca_source_read_some(source, variable, &pointer, sizeof pointer, &got, ret_error)) {
        return false;
    }
    if (got < sizeof pointer || pointer == 0 || pointer + sizeof(uint32_t) < pointer) {
        return true;
    }
    if (!ca_source_read_some(source, pointer + sizeof(uint32_t), allocator->message, MESSAGE_MAX - 1, &got,
                             ret_error)) {
        return false;
    }
    allocator->message[got < MESSAGE_MAX ? got : MESSAGE_MAX - 1] = '\0';
    for (size_t end = strlen(allocator->message); end && allocator->message[end - 1] == '\n'; end--) {
        allocator->message[end - 1] = '\0';
    }
    return true;
}

static bool message_read(struct allocator *allocator, struct ca_error **ret_error)
{
    size_t count;
    const struct ca_image *images = ca_memory_images(memory_of(allocator), &count);
    for (size_t i = 0; i < count && allocator->crash->process->signal == SIGABRT; i++) {
        uint64_t variable;
        if (!is_libc(&images[i])) {
            continue;
        }
        if (!ca_symbolizer_variable(images[i].symbolizer, images[i].index, "__abort_msg", &variable,
                                    ret_error)) {
            return false;
        }
        if (variable && !message_at(allocator, variable, ret_error)) {
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- pointer */

/* The operation's block: its record was taken out before the allocator was asked. */
static void given_read(struct allocator *allocator)
{
    const struct tm_operation *operation = allocator->crash->operation;
    if (!operation || operation->address == 0 || operation->code == TM_OPERATION_TRACK ||
        operation->code == TM_OPERATION_UNTRACK || operation->code == TM_OPERATION_CONTROL) {
        return;
    }
    allocator->has_given = true;
    allocator->is_block = operation->code == TM_OPERATION_FREE || operation->code == TM_OPERATION_REALLOCATE;
    allocator->given.address = operation->address;
    if (!allocator->is_block) {
        return;
    }
    uint64_t word = operation->entry;
    allocator->given.stack = word ? (uint32_t)(word >> TM_LIVE_STACK_SHIFT) & TM_LIVE_STACK_MAX : 1;
    allocator->given.size = operation->code == TM_OPERATION_FREE ? operation->size
                            : word                               ? word & TM_LIVE_SIZE_MASK
                                                                 : 0;
    if (allocator->given.stack >= allocator->crash->teller.table->stack_count) {
        allocator->given.stack = 1;
    }
}

static const char *call_name(const struct allocator *allocator)
{
    const struct tm_operation *operation = allocator->crash->operation;
    bool reallocates = operation->code == TM_OPERATION_REALLOCATE || operation->code == TM_OPERATION_ALLOCATE;
    return reallocates ? "realloc" : "free";
}

/* Detail of the block that is being freed is in the history, if that is kept. */
static bool tell_given_block(struct allocator *allocator, struct ca_error **ret_error)
{
    const struct ca_block *given = &allocator->given;
    struct ca_deed deed = ca_deed_of_allocation(given);
    struct ca_freed freed;
    bool found;
    if (!ca_table_freed_around(allocator->crash->teller.table, given->address, &freed, &found, ret_error)) {
        return false;
    }
    if (found && freed.block.address == given->address && freed.block.size == given->size) {
        deed = ca_deed_of_allocation(&freed.block);
    }
    ca_text_printf(allocator->text,
                   "\nIt happened while %s was given 0x%" PRIx64 ", a block of %" PRIu64 " byte%s\n",
                   call_name(allocator), given->address, given->size, given->size == 1 ? "" : "s");
    return ca_tell_deed(&allocator->crash->teller, allocator->text, "The block was allocated", &deed,
                        ret_error);
}

/* What free was given is no live block: freed already, or never one. */
static bool tell_given_other(struct allocator *allocator, struct ca_error **ret_error)
{
    const struct ca_teller *teller = &allocator->crash->teller;
    struct ca_place place;
    if (!ca_place_find(memory_of(allocator), allocator->given.address, &place, ret_error)) {
        return false;
    }
    bool is_known = place.kind == CA_PLACE_FREED && place.offset == 0;
    bool is_gone =
        place.kind == CA_PLACE_HEAP || place.kind == CA_PLACE_PAST || place.kind == CA_PLACE_BEFORE;
    bool twice = is_known || (is_gone && strstr(allocator->message, "double free"));
    ca_text_printf(allocator->text, "\n%s: %s was given 0x%" PRIx64 ", which is ",
                   twice ? "Double free" : "Invalid free", call_name(allocator), place.address);
    ca_place_add_words(allocator->text, &place);
    ca_text_add(allocator->text, "\n");
    if (is_gone) {
        ca_text_add(allocator->text,
                    teller->table->root.features & TM_FEATURE_FREED
                        ? "The history of freed blocks does not reach back to a block there.\n"
                        : "A block that was freed there is not known: no history of freed blocks "
                          "was kept (tm-run -o freed=COUNT).\n");
    }
    if (place.kind == CA_PLACE_FREED) {
        struct ca_deed allocation = ca_deed_of_allocation(&place.freed.block);
        struct ca_deed release = ca_deed_of_free(&place.freed);
        return ca_tell_deed(teller, allocator->text, "The block was allocated", &allocation, ret_error) &&
               ca_tell_deed(teller, allocator->text, "and freed first", &release, ret_error);
    }
    if (place.kind == CA_PLACE_LIVE || (is_gone && !twice && place.kind != CA_PLACE_HEAP)) {
        struct ca_deed deed = ca_deed_of_allocation(&place.block);
        return ca_tell_deed(teller, allocator->text, "That block was allocated", &deed, ret_error);
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------- damage */

/* A block that was freed since may have reached up to the damaged word. */
static bool freed_before(const struct allocator *allocator, const struct ca_damage *damage,
                         struct ca_freed *ret_freed, bool *ret_found, struct ca_error **ret_error)
{
    static const uint8_t distances[] = {9, 17, 25};
    *ret_found = false;
    for (size_t i = 0; i < sizeof distances && !*ret_found; i++) {
        struct ca_place place;
        if (!ca_place_find(memory_of(allocator), damage->where - distances[i], &place, ret_error)) {
            return false;
        }
        *ret_found = place.kind == CA_PLACE_FREED && place.freed.block.address < damage->where;
        *ret_freed = place.freed;
    }
    return true;
}

static bool tell_culprit(struct allocator *allocator, const struct ca_damage *damage,
                         struct ca_error **ret_error)
{
    const struct ca_teller *teller = &allocator->crash->teller;
    struct ca_freed freed;
    bool found;
    if (!freed_before(allocator, damage, &freed, &found, ret_error)) {
        return false;
    }
    const struct ca_block *block = found ? &freed.block : &damage->before;
    if (!found && !damage->has_before) {
        return true;
    }
    uint64_t end = block->address + block->size;
    ca_text_printf(allocator->text, "Before it: a %s block of %" PRIu64 " byte%s at 0x%" PRIx64,
                   found ? "freed" : "live", block->size, block->size == 1 ? "" : "s", block->address);
    if (end <= damage->where - 8) {
        uint64_t distance = damage->where - 8 - end;
        if (distance) {
            ca_text_printf(allocator->text, ", which ends %" PRIu64 " byte%s before that word", distance,
                           distance == 1 ? "" : "s");
        } else {
            ca_text_add(allocator->text, ", which ends where that word begins");
        }
    }
    struct ca_deed deed = ca_deed_of_allocation(block);
    return ca_tell_deed(teller, allocator->text, ", allocated", &deed, ret_error);
}

static bool tell_damage(struct allocator *allocator, const struct ca_damage *damage,
                        struct ca_error **ret_error)
{
    struct ca_text *text = allocator->text;
    ca_text_printf(text, "\n%s: malloc's word at 0x%" PRIx64 ", before ",
                   damage->is_live ? "Overflow or underflow" : "Overflow", damage->where - 8);
    if (damage->is_live) {
        ca_text_printf(text, "the block of %" PRIu64 " byte%s at 0x%" PRIx64, damage->block.size,
                       damage->block.size == 1 ? "" : "s", damage->block.address);
    } else {
        ca_text_add(text, "memory that is not in use");
    }
    ca_text_printf(text, ", was overwritten: it is 0x%" PRIx64 "\n", damage->word);
    if (!tell_culprit(allocator, damage, ret_error)) {
        return false;
    }
    if (!damage->is_live) {
        return true;
    }
    struct ca_deed deed = ca_deed_of_allocation(&damage->block);
    return ca_tell_deed(&allocator->crash->teller, text, "The block behind that word was allocated", &deed,
                        ret_error);
}

bool ca_case_add_damages(const struct ca_case *crash, struct ca_text *text, const struct ca_block *extra,
                         size_t *ret_count, struct ca_error **ret_error)
{
    static const struct ca_block none;
    struct ca_damage damages[DAMAGES_MAX];
    struct allocator allocator = {.crash = crash, .text = text};
    if (!ca_heap_check(crash->teller.memory, extra ? extra : &none, damages, DAMAGES_MAX, ret_count,
                       ret_error)) {
        return false;
    }
    if (*ret_count == 0) {
        return true;
    }
    if (!tell_damage(&allocator, &damages[0], ret_error)) {
        return false;
    }
    if (*ret_count > 1) {
        ca_text_add(text, "More such words at higher addresses are overwritten, too.\n");
    }
    return true;
}

/* What malloc's functions say when they abort (malloc/malloc.c). */
static bool is_of_malloc(const char *message)
{
    static const char *const words[] = {"free()",  "malloc",    "realloc()", "calloc",   "corrupted",
                                        "corrupt", "munmap_ch", "tcache",    "unaligned"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strstr(message, words[i])) {
            return true;
        }
    }
    return false;
}

bool ca_case_add_allocator(const struct ca_case *crash, struct ca_text *text, struct ca_error **ret_error)
{
    struct allocator allocator = {.crash = crash, .text = text};
    int32_t signal = crash->process->signal;
    bool died = signal == SIGABRT || signal == SIGSEGV || signal == SIGBUS;
    if (!died) {
        return true;
    }
    if (!message_read(&allocator, ret_error)) {
        return false;
    }
    if (allocator.message[0]) {
        ca_text_add(text, "\nlibc's message: ");
        ca_text_add_name(text, allocator.message);
        ca_text_add(text, "\n");
    }
    given_read(&allocator);
    if (!(allocator.message[0] ? is_of_malloc(allocator.message) : crash->operation != NULL)) {
        return true;
    }
    if (allocator.has_given &&
        !(allocator.is_block ? tell_given_block : tell_given_other)(&allocator, ret_error)) {
        return false;
    }
    size_t count;
    return ca_case_add_damages(
        crash, text, allocator.is_block && allocator.given.size ? &allocator.given : NULL, &count, ret_error);
}
