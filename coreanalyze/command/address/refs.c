/* refs.c: the command refs: who points to the block of an address, and how the program reaches it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../output/coverage.h"
#include "../../reach/reach.h"
#include "../../reach/refs.h"
#include "../../util/grow.h"
#include "../problems.h"
#include "told.h"

/* The references that are shown, of all that there are. */
struct references {
    struct ca_reference *items;
    size_t count, capacity;
    uint64_t total, limit;
    bool failed; /* out of memory */
};

struct answer {
    struct ca_teller teller;
    struct ca_place place;        /* of the address */
    const struct ca_block *block; /* that it lies in, live or as it was; NULL = none */
    struct ca_areas areas;
    struct ca_block_set set;
    const struct ca_areas *areas_used; /* those above, or the chain's */
    const struct ca_block_set *set_used;
    struct references references;
    struct ca_reach *reach; /* for the chain; else NULL */
    struct references chain;
    uint64_t missing;
};

/* ------------------------------------------------------------------------------------------------ finding */

static bool take_reference(void *context, const struct ca_reference *reference)
{
    struct references *references = context;
    references->total++;
    if (references->count < references->limit) {
        if (!CA_GROW(references->items, references->capacity, references->count + 1)) {
            references->failed = true;
            return false;
        }
        references->items[references->count++] = *reference;
    }
    return true;
}

static bool references_find(struct answer *answer, struct ca_error **ret_error)
{
    struct references *references = &answer->references;
    uint64_t limit = answer->teller.run->options.limit.value;
    uint64_t start = answer->block ? answer->block->address : answer->place.address;
    references->limit = limit ? limit : UINT64_MAX;
    return ca_refs_find(answer->teller.memory, answer->areas_used, answer->set_used, start,
                        answer->block ? answer->block->size : 1, NULL, take_reference, references,
                        &answer->missing, ret_error) &&
           (!references->failed || ca_fail_memory(ret_error));
}

/* Adds the first word that points to the block `to`: of the block `from`, of a root where that is NULL. */
static bool link_find(struct answer *answer, const struct ca_extent *from, const struct ca_extent *to,
                      struct ca_error **ret_error)
{
    struct references first = {.limit = 1};
    uint64_t missing;
    bool good = ca_refs_find(answer->teller.memory, answer->areas_used, answer->set_used, to->start,
                             ca_extent_size(to), from, take_reference, &first, &missing, ret_error);
    if (good && first.count) {
        good =
            (!first.failed && take_reference(&answer->chain, &first.items[0])) || ca_fail_memory(ret_error);
    }
    free(first.items);
    return good;
}

static bool chain_find(struct answer *answer, struct ca_error **ret_error)
{
    const struct ca_block_set *set = answer->set_used;
    uint32_t id = ca_block_set_find(set, answer->block->address, answer->block->size), *ids;
    size_t count;
    answer->chain.limit = UINT64_MAX;
    if (id == CA_NO_BLOCK) {
        return true;
    }
    if (!ca_graph_path(&answer->reach->graph, id, &ids, &count)) {
        return ca_fail_memory(ret_error);
    }
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        good = link_find(answer, i ? ca_block_set_get(set, ids[i - 1]) : NULL, ca_block_set_get(set, ids[i]),
                         ret_error);
    }
    free(ids);
    return good;
}

static bool answer_prepare(struct answer *answer, struct ca_run *run, struct ca_error **ret_error)
{
    bool mappings = run->options.roots == CA_ROOTS_ALL;
    struct ca_memory *memory = answer->teller.memory;
    if (run->options.chain) {
        if (answer->place.kind != CA_PLACE_LIVE) {
            return ca_fail(ret_error, CA_USAGE, "--chain: 0x%" PRIx64 " is in no live block", run->address);
        }
        answer->reach = ca_reach_create(memory, mappings, ret_error);
        if (answer->reach) {
            answer->areas_used = &answer->reach->areas;
            answer->set_used = &answer->reach->set;
        }
        return answer->reach;
    }
    answer->areas_used = &answer->areas;
    answer->set_used = &answer->set;
    return ca_block_set_init(&answer->set, answer->teller.table, ret_error) &&
           ca_areas_init(&answer->areas, memory, &answer->set, mappings, ret_error);
}

static bool answer_find(struct answer *answer, struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_place *place = &answer->place;
    if (!ca_teller_init(&answer->teller, run, ret_error) ||
        !ca_place_find(answer->teller.memory, run->address, place, ret_error)) {
        return false;
    }
    answer->block = ca_place_block(place);
    return answer_prepare(answer, run, ret_error) && references_find(answer, ret_error) &&
           (!answer->reach || chain_find(answer, ret_error));
}

static void answer_deinit(struct answer *answer)
{
    ca_reach_destroy(answer->reach);
    ca_areas_deinit(&answer->areas);
    ca_block_set_deinit(&answer->set);
    free(answer->references.items);
    free(answer->chain.items);
}

/* The block that holds a reference, with its traceback. */
static bool holder_find(const struct answer *answer, const struct ca_reference *reference,
                        struct ca_block *block, struct ca_error **ret_error)
{
    bool found;
    const struct ca_extent *extent = &reference->block;
    if (!ca_table_block_at(answer->teller.table, extent->start, ca_extent_size(extent),
                           extent->size & CA_EXTENT_FOREIGN, block, &found, ret_error)) {
        return false;
    }
    if (!found) {
        *block = (struct ca_block){.address = extent->start, .size = ca_extent_size(extent), .stack = 1};
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------- text */

/* Where a word of a root lies. */
static bool add_place(struct ca_text *text, const struct answer *answer, const struct ca_reference *reference,
                      struct ca_error **ret_error)
{
    struct ca_place place;
    if (reference->area == CA_AREA_TLS) {
        ca_text_printf(text, "in the thread-local storage of thread %" PRIu32, reference->tid);
        return true;
    }
    if (!ca_place_find(answer->teller.memory, reference->address, &place, ret_error)) {
        return false;
    }
    ca_place_add_words(text, &place);
    return true;
}

/* ", holds 0x..., its start"; just ", holds 0x..." where the address is in no block. */
static void add_value(struct ca_text *text, const struct answer *answer, uint64_t value, uint64_t start)
{
    ca_text_printf(text, ", holds 0x%" PRIx64, value);
    if (!answer->block) {
        ca_text_add(text, "\n");
    } else if (value == start) {
        ca_text_add(text, ", its start\n");
    } else {
        ca_text_printf(text, ", %" PRIu64 " bytes into it\n", value - start);
    }
}

/* target: start of the block that it points to. */
static bool add_reference(struct ca_text *text, const struct answer *answer,
                          const struct ca_reference *reference, uint64_t target, struct ca_error **ret_error)
{
    if (reference->holder == CA_HOLDER_REGISTER) {
        const char *name = ca_register_name((unsigned)reference->address);
        ca_text_printf(text, "register %s of thread %" PRIu32, name ? name : "?", reference->tid);
        add_value(text, answer, reference->value, target);
        return true;
    }
    ca_text_printf(text, "0x%" PRIx64 ", ", reference->address);
    if (reference->holder == CA_HOLDER_AREA) {
        bool done = add_place(text, answer, reference, ret_error);
        add_value(text, answer, reference->value, target);
        return done;
    }
    struct ca_block block;
    if (!holder_find(answer, reference, &block, ret_error)) {
        return false;
    }
    struct ca_deed deed = ca_deed_of_allocation(&block);
    if (reference->address == block.address) {
        ca_text_add(text, "the start of");
    } else {
        ca_text_printf(text, "%" PRIu64 " bytes inside", reference->address - block.address);
    }
    ca_text_printf(text, " a live block of %" PRIu64 " bytes at 0x%" PRIx64, block.size, block.address);
    add_value(text, answer, reference->value, target);
    return ca_tell_deed(&answer->teller, text, "allocated", &deed, ret_error);
}

static bool add_block(struct ca_text *text, const struct answer *answer, struct ca_error **ret_error)
{
    const struct ca_block *block = answer->block;
    ca_place_add_text(text, &answer->place);
    ca_text_add(text, "\n");
    if (!block) {
        return true;
    }
    struct ca_deed deed = ca_deed_of_allocation(block);
    ca_text_printf(text,
                   "The block: 0x%" PRIx64 " to 0x%" PRIx64 ", %" PRIu64 " byte%s, domain %" PRIu32 "\n",
                   block->address, block->address + block->size, block->size, block->size == 1 ? "" : "s",
                   block->domain);
    return ca_tell_deed(&answer->teller, text, "Allocated", &deed, ret_error);
}

static bool add_chain(struct ca_text *text, const struct answer *answer, struct ca_error **ret_error)
{
    const struct references *chain = &answer->chain;
    if (!chain->count) {
        ca_text_add(text, "[ Chain ]\nNothing reaches it: it is leaked.\n");
        return true;
    }
    ca_text_printf(text, "[ Chain of %zu pointer%s, from a root to the block ]\n", chain->count,
                   chain->count == 1 ? "" : "s");
    for (size_t i = 0; i < chain->count; i++) {
        uint64_t target = i + 1 < chain->count ? chain->items[i + 1].block.start : answer->block->address;
        if (!add_reference(text, answer, &chain->items[i], target, ret_error)) {
            return false;
        }
    }
    return true;
}

static void add_missing(struct ca_text *text, uint64_t missing)
{
    if (missing) {
        ca_text_printf(text, "NOT SEEN: %" PRIu64 " bytes of memory that may hold pointers are missing\n",
                       missing);
    }
}

static bool write_text(const struct answer *answer, struct ca_text *text, struct ca_error **ret_error)
{
    const struct references *references = &answer->references;
    uint64_t start = answer->block ? answer->block->address : answer->place.address;
    if (!add_block(text, answer, ret_error)) {
        return false;
    }
    ca_text_printf(text, "[ %" PRIu64 " pointer%s to it ]\n", references->total,
                   references->total == 1 ? "" : "s");
    for (size_t i = 0; i < references->count; i++) {
        if (!add_reference(text, answer, &references->items[i], start, ret_error)) {
            return false;
        }
    }
    if (references->total > references->count) {
        ca_text_printf(text, "%" PRIu64 " other\n", references->total - references->count);
    }
    if (answer->reach && !add_chain(text, answer, ret_error)) {
        return false;
    }
    add_missing(text, answer->missing);
    ca_coverage_add_text(text, "coverage", answer->teller.table);
    return true;
}

/* --------------------------------------------------------------------------------------------------- JSON */

static bool add_holder_json(struct ca_json *json, const struct answer *answer,
                            const struct ca_reference *reference, struct ca_error **ret_error)
{
    struct ca_block block;
    if (reference->holder != CA_HOLDER_BLOCK) {
        ca_json_null(json, "block");
        return true;
    }
    if (!holder_find(answer, reference, &block, ret_error)) {
        return false;
    }
    struct ca_deed deed = ca_deed_of_allocation(&block);
    ca_json_object_open(json, "block");
    ca_json_address(json, "base", block.address);
    ca_json_unsigned(json, "offset", reference->address - block.address);
    ca_json_unsigned(json, "size", block.size);
    ca_json_unsigned(json, "domain", block.domain);
    bool good = ca_tell_deed_json(&answer->teller, json, "allocated", &deed, ret_error);
    ca_json_object_close(json);
    return good;
}

/* Variable or function that the word belongs to. */
static bool add_symbol_json(struct ca_json *json, const struct answer *answer,
                            const struct ca_reference *reference, struct ca_error **ret_error)
{
    struct ca_place place = {0};
    bool in_place = reference->holder == CA_HOLDER_AREA && reference->area != CA_AREA_TLS;
    if (in_place && !ca_place_find(answer->teller.memory, reference->address, &place, ret_error)) {
        return false;
    }
    ca_json_string(json, "symbol", place.has_symbol ? place.symbol.name : NULL);
    if (place.has_symbol && reference->area == CA_AREA_DATA) {
        ca_json_unsigned(json, "symbol_offset", place.offset);
    } else {
        ca_json_null(json, "symbol_offset");
    }
    ca_json_string(json, "module", place.image ? place.image->module.path : NULL);
    return true;
}

static bool add_reference_json(struct ca_json *json, const struct answer *answer,
                               const struct ca_reference *reference, uint64_t target,
                               struct ca_error **ret_error)
{
    static const char *const areas[CA_AREA_KINDS] = {[CA_AREA_MAPPING] = "mapping",
                                                     [CA_AREA_DATA] = "data",
                                                     [CA_AREA_STACK] = "stack",
                                                     [CA_AREA_TLS] = "tls"};
    bool in_register = reference->holder == CA_HOLDER_REGISTER;
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    ca_json_string(json, "kind",
                   in_register                            ? "register"
                   : reference->holder == CA_HOLDER_BLOCK ? "block"
                                                          : areas[reference->area]);
    ca_json_address(json, "address", in_register ? 0 : reference->address);
    ca_json_string(json, "register", in_register ? ca_register_name((unsigned)reference->address) : NULL);
    ca_json_address(json, "value", reference->value);
    ca_json_unsigned(json, "target_offset", reference->value - target);
    if (reference->tid) {
        ca_json_unsigned(json, "thread", reference->tid);
    } else {
        ca_json_null(json, "thread");
    }
    if (!add_symbol_json(json, answer, reference, ret_error) ||
        !add_holder_json(json, answer, reference, ret_error)) {
        return false;
    }
    ca_json_object_close(json);
    return true;
}

static bool add_target_json(struct ca_json *json, const struct answer *answer, struct ca_error **ret_error)
{
    const struct ca_block *block = answer->block;
    ca_json_line(json);
    if (!block) {
        ca_json_null(json, "block");
        return true;
    }
    struct ca_deed deed = ca_deed_of_allocation(block);
    ca_json_object_open(json, "block");
    ca_json_string(json, "state", answer->place.kind == CA_PLACE_LIVE ? "live" : "freed");
    ca_json_address(json, "base", block->address);
    ca_json_unsigned(json, "offset", answer->place.address - block->address);
    ca_json_unsigned(json, "size", block->size);
    ca_json_unsigned(json, "domain", block->domain);
    bool good = ca_tell_deed_json(&answer->teller, json, "allocated", &deed, ret_error);
    ca_json_object_close(json);
    return good;
}

static bool add_chain_json(struct ca_json *json, const struct answer *answer, struct ca_error **ret_error)
{
    const struct references *chain = &answer->chain;
    ca_json_line(json);
    if (!answer->reach) {
        ca_json_null(json, "chain");
        return true;
    }
    ca_json_array_open(json, "chain");
    for (size_t i = 0; i < chain->count; i++) {
        uint64_t target = i + 1 < chain->count ? chain->items[i + 1].block.start : answer->block->address;
        if (!add_reference_json(json, answer, &chain->items[i], target, ret_error)) {
            return false;
        }
    }
    ca_json_array_close(json);
    return true;
}

static bool write_json(const struct answer *answer, struct ca_text *text, struct ca_error **ret_error)
{
    struct ca_json json = {.text = text};
    const struct references *references = &answer->references;
    uint64_t start = answer->block ? answer->block->address : answer->place.address;
    ca_json_object_open(&json, NULL);
    ca_json_string(&json, "command", "refs");
    ca_json_address(&json, "address", answer->place.address);
    if (!add_target_json(&json, answer, ret_error)) {
        return false;
    }
    ca_json_line(&json);
    ca_json_array_open(&json, "references");
    for (size_t i = 0; i < references->count; i++) {
        if (!add_reference_json(&json, answer, &references->items[i], start, ret_error)) {
            return false;
        }
    }
    ca_json_array_close(&json);
    ca_json_line(&json);
    ca_json_unsigned(&json, "total", references->total);
    if (!add_chain_json(&json, answer, ret_error)) {
        return false;
    }
    ca_json_unsigned(&json, "missing_bytes", answer->missing);
    ca_coverage_add_json(&json, "coverage", &answer->teller.table->coverage);
    ca_json_object_close(&json);
    ca_text_add(text, "\n");
    return true;
}

bool ca_run_refs(struct ca_run *run, struct ca_error **ret_error)
{
    struct answer answer = {0};
    bool json = run->options.format == CA_FORMAT_JSON;
    bool done = answer_find(&answer, run, ret_error) &&
                (json ? write_json : write_text)(&answer, &run->sink.text, ret_error);
    if (done) {
        run->partial = !ca_coverage_is_complete(answer.teller.table) || answer.missing;
        done = ca_problems_print_all(run, run->targets[0], ret_error);
    }
    answer_deinit(&answer);
    return done;
}
