/* block.c: the command block: all about one address. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../../output/coverage.h"
#include "../problems.h"
#include "told.h"

/* The address, and what was found there. */
struct answer {
    struct ca_teller teller;
    struct ca_place place;
    const struct ca_block *block; /* live, or as it was; NULL = none */
    struct ca_neighbours neighbours;
};

/* Whether the blocks around it say something about it. */
static bool is_among_blocks(const struct ca_place *place)
{
    switch (place->kind) {
    case CA_PLACE_LIVE:
    case CA_PLACE_FREED:
    case CA_PLACE_PAST:
    case CA_PLACE_BEFORE:
    case CA_PLACE_HEAP:
        return true;
    default:
        return false;
    }
}

static bool answer_find(struct answer *answer, struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_place *place = &answer->place;
    if (!ca_teller_init(&answer->teller, run, ret_error) ||
        !ca_place_find(answer->teller.memory, run->address, place, ret_error)) {
        return false;
    }
    answer->block = ca_place_block(place);
    const struct ca_block *block = answer->block;
    return !is_among_blocks(place) || ca_tell_neighbours_find(&answer->teller, block ? block->domain : 0,
                                                              block ? block->address : place->address,
                                                              !block        ? 0
                                                              : block->size ? block->size
                                                                            : 1,
                                                              &answer->neighbours, ret_error);
}

/* --------------------------------------------------------------------------------------------------- text */

/* The line of code that is there. */
static bool add_code(struct ca_text *text, const struct answer *answer, struct ca_error **ret_error)
{
    const struct ca_run *run = answer->teller.run;
    size_t count;
    const struct ca_position *positions =
        ca_memory_positions(answer->teller.memory, answer->place.address, 0, &count, ret_error);
    if (!positions) {
        return false;
    }
    if (count == 0 || positions[0].lineno == 0) {
        return true;
    }
    ca_text_add(text, "  File \"");
    ca_text_add_name(text, positions[0].filename);
    ca_text_printf(text, "\", line %" PRIu32 "\n", positions[0].lineno);
    const char *line =
        run->options.no_source ? "" : ca_linecache_line(positions[0].filename, positions[0].lineno);
    if (line[0]) {
        ca_text_add(text, "    ");
        ca_text_add_line_bytes(text, line, strlen(line));
        ca_text_add(text, "\n");
    }
    return true;
}

static bool add_life(struct ca_text *text, const struct answer *answer, struct ca_error **ret_error)
{
    const struct ca_block *block = answer->block;
    struct ca_deed deed = ca_deed_of_allocation(block);
    ca_text_printf(text,
                   "The block: 0x%" PRIx64 " to 0x%" PRIx64 ", %" PRIu64 " byte%s, domain %" PRIu32 "\n",
                   block->address, block->address + block->size, block->size, block->size == 1 ? "" : "s",
                   block->domain);
    if (!ca_tell_deed(&answer->teller, text, "Allocated", &deed, ret_error)) {
        return false;
    }
    if (answer->place.kind == CA_PLACE_FREED) {
        deed = ca_deed_of_free(&answer->place.freed);
        return ca_tell_deed(&answer->teller, text, "Freed", &deed, ret_error);
    }
    return true;
}

/* What was in the place of a live block before: a stale pointer to it points into the live one now. */
static bool add_former(struct ca_text *text, const struct answer *answer, struct ca_error **ret_error)
{
    struct ca_freed former;
    bool found;
    if (!ca_table_freed_around(answer->teller.table, answer->place.address, &former, &found, ret_error)) {
        return false;
    }
    if (!found) {
        return true;
    }
    ca_text_printf(text,
                   "Before that it was in a block of %" PRIu64 " byte%s at 0x%" PRIx64 ", which is freed\n",
                   former.block.size, former.block.size == 1 ? "" : "s", former.block.address);
    struct ca_deed allocated = ca_deed_of_allocation(&former.block), freed = ca_deed_of_free(&former);
    return ca_tell_deed(&answer->teller, text, "That was allocated", &allocated, ret_error) &&
           ca_tell_deed(&answer->teller, text, "and freed", &freed, ret_error);
}

static bool write_text(const struct answer *answer, struct ca_text *text, struct ca_error **ret_error)
{
    const struct ca_place *place = &answer->place;
    ca_place_add_text(text, place);
    ca_text_add(text, "\n");
    if (answer->block && !add_life(text, answer, ret_error)) {
        return false;
    }
    if (place->kind == CA_PLACE_LIVE && !add_former(text, answer, ret_error)) {
        return false;
    }
    if (place->kind == CA_PLACE_CODE && !add_code(text, answer, ret_error)) {
        return false;
    }
    if (!ca_tell_neighbours(&answer->teller, text, answer->block ? answer->block->address : place->address,
                            answer->block ? answer->block->size : 0, &answer->neighbours, ret_error)) {
        return false;
    }
    ca_coverage_add_text(text, "coverage", answer->teller.table);
    return true;
}

/* --------------------------------------------------------------------------------------------------- JSON */

static bool add_neighbour_json(const struct answer *answer, struct ca_json *json, const char *key,
                               bool is_there, const struct ca_block *block, struct ca_error **ret_error)
{
    ca_json_line(json);
    if (!is_there) {
        ca_json_null(json, key);
        return true;
    }
    struct ca_deed deed = ca_deed_of_allocation(block);
    ca_json_object_open(json, key);
    ca_json_address(json, "address", block->address);
    ca_json_unsigned(json, "size", block->size);
    ca_json_unsigned(json, "domain", block->domain);
    bool good = ca_tell_deed_json(&answer->teller, json, "allocated", &deed, ret_error);
    ca_json_object_close(json);
    return good;
}

static void add_block_json(const struct answer *answer, struct ca_json *json)
{
    const struct ca_block *block = answer->block;
    if (block) {
        ca_json_address(json, "base", block->address);
        ca_json_unsigned(json, "offset", answer->place.offset);
        ca_json_unsigned(json, "size", block->size);
        ca_json_unsigned(json, "domain", block->domain);
    } else {
        ca_json_null(json, "base");
        ca_json_null(json, "offset");
        ca_json_null(json, "size");
        ca_json_null(json, "domain");
    }
}

static bool add_life_json(const struct answer *answer, struct ca_json *json, struct ca_error **ret_error)
{
    ca_json_line(json);
    if (!answer->block) {
        ca_json_null(json, "allocated");
    } else {
        struct ca_deed deed = ca_deed_of_allocation(answer->block);
        if (!ca_tell_deed_json(&answer->teller, json, "allocated", &deed, ret_error)) {
            return false;
        }
    }
    ca_json_line(json);
    if (answer->place.kind != CA_PLACE_FREED) {
        ca_json_null(json, "freed");
        return true;
    }
    struct ca_deed deed = ca_deed_of_free(&answer->place.freed);
    return ca_tell_deed_json(&answer->teller, json, "freed", &deed, ret_error);
}

static bool write_json(const struct answer *answer, struct ca_text *text, struct ca_error **ret_error)
{
    struct ca_json json = {.text = text};
    const struct ca_neighbours *neighbours = &answer->neighbours;
    char address[32];
    snprintf(address, sizeof address, "0x%" PRIx64, answer->place.address);
    ca_json_object_open(&json, NULL);
    ca_json_string(&json, "address", address);
    ca_json_string(&json, "state",
                   answer->place.kind == CA_PLACE_LIVE    ? "live"
                   : answer->place.kind == CA_PLACE_FREED ? "freed"
                                                          : "unknown");
    add_block_json(answer, &json);
    if (!add_life_json(answer, &json, ret_error) ||
        !add_neighbour_json(answer, &json, "previous", neighbours->has_before, &neighbours->before,
                            ret_error) ||
        !add_neighbour_json(answer, &json, "next", neighbours->has_after, &neighbours->after, ret_error)) {
        return false;
    }
    ca_json_object_close(&json);
    ca_text_add(text, "\n");
    return true;
}

bool ca_run_block(struct ca_run *run, struct ca_error **ret_error)
{
    struct answer answer = {0};
    if (!answer_find(&answer, run, ret_error)) {
        return false;
    }
    bool json = run->options.format == CA_FORMAT_JSON;
    if (!(json ? write_json : write_text)(&answer, &run->sink.text, ret_error)) {
        return false;
    }
    run->partial = !ca_coverage_is_complete(answer.teller.table);
    return ca_problems_print_all(run, run->targets[0], ret_error);
}
