/* place.c: see place.h. */
#include "place.h"

#include <inttypes.h>
#include <string.h>

enum {
    NEAR = 64, /* bytes outside a live block that are told as a distance from it */
    NULL_PAGE = 4096,
    EXECUTABLE = 4,
    TLS_ABOVE = 2304, /* glibc's struct pthread begins at the thread pointer */
};

/* ----------------------------------------------------------------------------------------------- blocks */

static bool in_one_mapping(const struct ca_place *place, uint64_t address)
{
    return !place->mapping || (address >= place->mapping->start && address < place->mapping->end);
}

/* Outside of every block: how far from the nearest ones of malloc. */
static bool find_near(struct ca_memory *memory, struct ca_place *place, struct ca_error **ret_error)
{
    struct ca_neighbours neighbours;
    if (!ca_table_neighbours(ca_memory_table(memory), 0, place->address, &neighbours, ret_error)) {
        return false;
    }
    const struct ca_block *before = &neighbours.before, *after = &neighbours.after;
    bool has_before = neighbours.has_before && in_one_mapping(place, before->address);
    bool has_after = neighbours.has_after && in_one_mapping(place, after->address);
    uint64_t past = has_before ? place->address - (before->address + before->size) : UINT64_MAX;
    uint64_t ahead = has_after ? after->address - place->address : UINT64_MAX;
    if (past < NEAR && past <= ahead) {
        place->kind = CA_PLACE_PAST;
        place->block = *before;
        place->offset = past;
    } else if (ahead <= NEAR && place->mapping) {
        place->kind = CA_PLACE_BEFORE;
        place->block = *after;
        place->offset = ahead;
    } else if ((has_before || has_after) && place->mapping && !place->mapping->path[0]) {
        place->kind = CA_PLACE_HEAP;
        place->offset = place->address - place->mapping->start;
    }
    return true;
}

static bool find_block(struct ca_memory *memory, struct ca_place *place, struct ca_error **ret_error)
{
    bool found;
    struct ca_table *table = ca_memory_table(memory);
    if (!ca_table_block_around(table, place->address, &place->block, &found, ret_error)) {
        return false;
    }
    if (found) {
        place->kind = CA_PLACE_LIVE;
        place->offset = place->address - place->block.address;
        return true;
    }
    if (!ca_table_freed_around(table, place->address, &place->freed, &found, ret_error)) {
        return false;
    }
    if (found) {
        place->kind = CA_PLACE_FREED;
        place->offset = place->address - place->freed.block.address;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------- the rest */

/* The function whose frame the address lies in. */
static bool find_frame(struct ca_memory *memory, size_t thread, struct ca_place *place,
                       struct ca_error **ret_error)
{
    const struct ca_stack_frame *frames;
    size_t count;
    if (!ca_memory_frames(memory, thread, &frames, &count, ret_error)) {
        return false;
    }
    for (size_t i = 0; i + 1 < count; i++) { /* where the oldest one's ends is not known */
        if (place->address >= frames[i].sp && place->address < frames[i + 1].sp) {
            return ca_memory_name(memory, frames[i].pc - frames[i].is_return, &place->symbol,
                                  &place->has_symbol, ret_error);
        }
    }
    return true;
}

static bool find_stack(struct ca_memory *memory, struct ca_place *place, bool *ret_found,
                       struct ca_error **ret_error)
{
    *ret_found = true;
    size_t count;
    const struct ca_thread_state *threads = ca_memory_threads(memory, &count);
    for (size_t i = 0; i < count; i++) {
        const struct ca_thread_state *thread = &threads[i];
        if (place->address < thread->stack_limit || place->address >= thread->stack_end) {
            continue;
        }
        bool above = place->address >= thread->sp;
        bool is_tls = thread->tls > thread->sp && place->address >= thread->tls;
        place->kind = is_tls ? CA_PLACE_TLS : above ? CA_PLACE_STACK : CA_PLACE_BELOW_STACK;
        place->tid = thread->tid;
        place->offset = is_tls  ? place->address - thread->tls
                        : above ? place->address - thread->sp
                                : thread->sp - place->address;
        return place->kind != CA_PLACE_STACK || find_frame(memory, i, place, ret_error);
    }
    for (size_t i = 0; i < count; i++) {
        if (threads[i].tls && place->address - threads[i].tls < TLS_ABOVE) {
            place->kind = CA_PLACE_TLS;
            place->tid = threads[i].tid;
            place->offset = place->address - threads[i].tls;
            return true;
        }
    }
    *ret_found = false;
    return true;
}

static bool find_image(struct ca_memory *memory, struct ca_place *place, bool *ret_found,
                       struct ca_error **ret_error)
{
    place->image = ca_memory_image_at(memory, place->address);
    *ret_found = place->image;
    if (!place->image) {
        return true;
    }
    if (!ca_memory_name(memory, place->address, &place->symbol, &place->has_symbol, ret_error)) {
        return false;
    }
    bool executable = place->mapping && (place->mapping->protection & EXECUTABLE);
    place->kind = executable || (place->has_symbol && place->symbol.is_code) ? CA_PLACE_CODE : CA_PLACE_DATA;
    place->offset = place->address - (place->has_symbol ? place->symbol.start : place->image->module.bias);
    return true;
}

static bool is_tracers(const struct ca_memory *memory, const struct ca_place *place)
{
    const struct ca_table *table = ca_memory_table(memory);
    if (ca_table_owns(table, place->address)) {
        return true;
    }
    const struct ca_mapping *mapping = place->mapping;
    return mapping && !mapping->path[0] &&
           ((table->address >= mapping->start && table->address < mapping->end) ||
            mapping->start == TM_PRIVATE_ADDRESS);
}

static void find_mapping(struct ca_place *place)
{
    const struct ca_mapping *mapping = place->mapping;
    if (mapping) {
        place->kind = mapping->path[0] ? CA_PLACE_FILE : CA_PLACE_ANONYMOUS;
        place->offset = place->address - mapping->start + (mapping->path[0] ? mapping->offset : 0);
    } else if (place->address < NULL_PAGE) {
        place->kind = CA_PLACE_NULL;
        place->offset = place->address;
    } else if (place->address >> 47 != 0 && place->address >> 47 != UINT64_MAX >> 47) {
        place->kind = CA_PLACE_WILD;
    }
}

bool ca_place_find(struct ca_memory *memory, uint64_t address, struct ca_place *ret_place,
                   struct ca_error **ret_error)
{
    *ret_place = (struct ca_place){
        .kind = CA_PLACE_UNMAPPED,
        .address = address,
        .mapping = ca_source_mapping_at(ca_memory_source(memory), address),
    };
    if (is_tracers(memory, ret_place)) {
        ret_place->kind = CA_PLACE_TRACER;
        return true;
    }
    if (!find_block(memory, ret_place, ret_error)) {
        return false;
    }
    bool found = ret_place->kind != CA_PLACE_UNMAPPED;
    if (!found && !find_stack(memory, ret_place, &found, ret_error)) {
        return false;
    }
    if (!found && !find_image(memory, ret_place, &found, ret_error)) {
        return false;
    }
    if (found) {
        return true;
    }
    if (!find_near(memory, ret_place, ret_error)) {
        return false;
    }
    if (ret_place->kind == CA_PLACE_UNMAPPED) {
        find_mapping(ret_place);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ words */

static void add_bytes(struct ca_text *text, uint64_t count)
{
    ca_text_printf(text, "%" PRIu64 " byte%s", count, count == 1 ? "" : "s");
}

/* "a live block of 64 bytes", with its domain where that is not malloc's. */
static void add_block(struct ca_text *text, const struct ca_block *block, const char *state)
{
    ca_text_printf(text, "a %s block of ", state);
    add_bytes(text, block->size);
    if (block->domain) {
        ca_text_printf(text, " of domain %" PRIu32, block->domain);
    }
}

static void add_inside(struct ca_text *text, const struct ca_block *block, uint64_t offset, const char *state)
{
    if (offset == 0) {
        ca_text_add(text, "the start of ");
    } else {
        add_bytes(text, offset);
        ca_text_add(text, " inside ");
    }
    add_block(text, block, state);
}

static void add_past(struct ca_text *text, const struct ca_place *place)
{
    if (place->offset == 0) {
        ca_text_add(text, "one past the end of ");
    } else {
        add_bytes(text, place->offset);
        ca_text_add(text, " past the end of ");
    }
    add_block(text, &place->block, "live");
    ca_text_printf(text, " at 0x%" PRIx64, place->block.address);
}

static void add_symbol(struct ca_text *text, const struct ca_place *place)
{
    if (place->has_symbol) {
        ca_text_add(text, place->symbol.is_code ? "in the function " : "in the variable ");
        ca_text_add_styled(text, CA_STYLE_FUNCTION, place->symbol.name);
        if (place->offset) {
            ca_text_printf(text, "+%" PRIu64, place->offset);
        }
        ca_text_add(text, " of ");
        ca_text_add_name(text, place->image->module.path);
        return;
    }
    ca_text_add(text, place->kind == CA_PLACE_CODE ? "in the code of " : "in the data of ");
    ca_text_add_name(text, place->image->module.path);
    ca_text_printf(text, "(+0x%" PRIx64 ")", place->offset);
}

static void add_mapping(struct ca_text *text, const struct ca_place *place)
{
    const struct ca_mapping *mapping = place->mapping;
    if (place->kind == CA_PLACE_FILE) {
        ca_text_add(text, "in a mapping of the file ");
        ca_text_add_name(text, mapping->path);
        ca_text_printf(text, " at offset 0x%" PRIx64, place->offset);
    } else {
        ca_text_add(text, "in an anonymous mapping");
    }
    ca_text_printf(text, " (%s%s%s, 0x%" PRIx64 " to 0x%" PRIx64 ")", mapping->protection & 1 ? "r" : "-",
                   mapping->protection & 2 ? "w" : "-", mapping->protection & 4 ? "x" : "-", mapping->start,
                   mapping->end);
}

static void add_stack(struct ca_text *text, const struct ca_place *place)
{
    ca_text_printf(text, "on the stack of thread %" PRIu32 ", ", place->tid);
    if (place->has_symbol) {
        ca_text_add(text, "in the frame of ");
        ca_text_add_styled(text, CA_STYLE_FUNCTION, place->symbol.name);
        ca_text_add(text, ", ");
    }
    if (place->offset == 0) {
        ca_text_add(text, "at its stack pointer");
        return;
    }
    add_bytes(text, place->offset);
    ca_text_add(text,
                place->kind == CA_PLACE_STACK ? " above its stack pointer" : " below its stack pointer");
}

/* What lies in a block or beside one. */
static void add_near(struct ca_text *text, const struct ca_place *place)
{
    if (place->kind == CA_PLACE_LIVE) {
        add_inside(text, &place->block, place->offset, "live");
    } else if (place->kind == CA_PLACE_FREED) {
        add_inside(text, &place->freed.block, place->offset, "freed");
    } else if (place->kind == CA_PLACE_PAST) {
        add_past(text, place);
    } else {
        add_bytes(text, place->offset);
        ca_text_add(text, " before ");
        add_block(text, &place->block, "live");
        ca_text_printf(text, " at 0x%" PRIx64, place->block.address);
    }
}

void ca_place_add_words(struct ca_text *text, const struct ca_place *place)
{
    switch (place->kind) {
    case CA_PLACE_LIVE:
    case CA_PLACE_FREED:
    case CA_PLACE_PAST:
    case CA_PLACE_BEFORE:
        add_near(text, place);
        break;
    case CA_PLACE_STACK:
    case CA_PLACE_BELOW_STACK:
        add_stack(text, place);
        break;
    case CA_PLACE_TLS:
        ca_text_printf(text,
                       "in what libc keeps of thread %" PRIu32 ", %" PRIu64 " bytes from its thread pointer",
                       place->tid, place->offset);
        break;
    case CA_PLACE_CODE:
    case CA_PLACE_DATA:
        add_symbol(text, place);
        break;
    case CA_PLACE_TRACER:
        ca_text_add(text, "in the tracer's own memory");
        break;
    case CA_PLACE_HEAP:
        ca_text_add(text, "in malloc's memory, in no block that is live or remembered");
        break;
    case CA_PLACE_FILE:
    case CA_PLACE_ANONYMOUS:
        add_mapping(text, place);
        break;
    case CA_PLACE_NULL:
        if (place->offset) {
            add_bytes(text, place->offset);
        }
        ca_text_add(text, place->offset ? " past a null pointer" : "the null pointer");
        break;
    case CA_PLACE_WILD:
        ca_text_add(text, "no address that a pointer can have");
        break;
    case CA_PLACE_UNMAPPED:
        ca_text_add(text, "not mapped");
        break;
    }
}

void ca_place_add_text(struct ca_text *text, const struct ca_place *place)
{
    ca_text_printf(text, "0x%" PRIx64 " is ", place->address);
    ca_place_add_words(text, place);
}
