/* growth.c: a process that died for want of memory. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../listings.h"
#include "case.h"

static void add_size(struct ca_text *text, double size)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, size, false);
    ca_text_add(text, buffer);
}

/* The request that malloc refused last, if nothing was asked of it since; 0 = none. The slot still shows it:
 * no block came of it. */
static uint64_t refused_request(const struct ca_case *crash)
{
    const struct ca_table *table = crash->teller.table;
    const struct tm_operation *operation = ca_table_operations(table, crash->thread->tid);
    bool asked = operation && operation->generation == table->root.generation && operation->stack > 1 &&
                 operation->new_address == 0 && operation->size != 0;
    return asked && (operation->code == TM_OPERATION_NONE || operation->code == TM_OPERATION_ALLOCATE ||
                     operation->code == TM_OPERATION_REALLOCATE)
               ? operation->size
               : 0;
}

/* Whether one of the type infos in `wanted` stands in the block that the word points into: the run-time puts
 * the exception's header, which names its type, and the exception into one block (libsupc++, unwind-cxx.h).
 */
static bool is_exception(const struct ca_case *crash, uint64_t word, const uint64_t *wanted,
                         size_t wanted_count, bool *ret_is, struct ca_error **ret_error)
{
    enum { HEADER_MAX = 256 };
    uint64_t words[HEADER_MAX / sizeof(uint64_t)];
    struct ca_block block;
    size_t got = 0;
    bool found;
    if (!ca_table_block_around(crash->teller.table, word, &block, &found, ret_error)) {
        return false;
    }
    size_t size = found && block.size < sizeof words ? (size_t)block.size : 0;
    if (!ca_source_read_some(ca_memory_source(crash->teller.memory), block.address, words, size, &got,
                             ret_error)) {
        return false;
    }
    for (size_t i = 0; i < got / sizeof *words; i++) {
        for (size_t j = 0; j < wanted_count; j++) {
            *ret_is = *ret_is || words[i] == wanted[j];
        }
    }
    return true;
}

/* Where the type infos of the exceptions are that operator new throws. */
static bool types_find(const struct ca_case *crash, uint64_t *types, size_t capacity, size_t *ret_count,
                       struct ca_error **ret_error)
{
    static const char *const names[] = {"_ZTISt9bad_alloc", "_ZTISt20bad_array_new_length"};
    size_t count;
    const struct ca_image *images = ca_memory_images(crash->teller.memory, &count);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            uint64_t address;
            if (!ca_symbolizer_variable(images[i].symbolizer, images[i].index, names[j], &address,
                                        ret_error)) {
                return false;
            }
            if (address && *ret_count < capacity) {
                types[(*ret_count)++] = address;
            }
        }
    }
    return true;
}

/* Whether the thread aborted because nobody caught what operator new threw: std::terminate is among its
 * calls, and the exception on its stack. */
static bool new_threw(const struct ca_case *crash, bool *ret_threw, struct ca_error **ret_error)
{
    enum { WORDS = 1024, TYPES = 8 };
    uint64_t words[WORDS], types[TYPES];
    size_t got = 0, type_count;
    bool terminates = false;
    *ret_threw = false;
    for (size_t i = 0; i < crash->frame_count && !terminates; i++) {
        struct ca_symbol_name name;
        bool found;
        if (!ca_memory_name(crash->teller.memory, crash->frames[i].pc - crash->frames[i].is_return, &name,
                            &found, ret_error)) {
            return false;
        }
        terminates = found && strcmp(name.name, "std::terminate") == 0;
    }
    if (!terminates) {
        return true;
    }
    if (!types_find(crash, types, TYPES, &type_count, ret_error) ||
        !ca_source_read_some(ca_memory_source(crash->teller.memory), crash->thread->sp, words, sizeof words,
                             &got, ret_error)) {
        return false;
    }
    for (size_t i = 0; i < got / sizeof *words && type_count && !*ret_threw; i++) {
        if (!is_exception(crash, words[i], types, type_count, ret_threw, ret_error)) {
            return false;
        }
    }
    return true;
}

static void add_rates(const struct ca_case *crash, struct ca_text *text)
{
    const struct ca_table *table = crash->teller.table;
    uint64_t start = table->root.start_time, newest = crash->teller.newest, total = ca_table_allocated(table);
    ca_text_add(text, "It held ");
    add_size(text, (double)table->current);
    ca_text_add(text, ", at most ");
    add_size(text, (double)table->peak);
    if (total) {
        ca_text_add(text, "; it had asked for ");
        add_size(text, (double)total);
        ca_text_add(text, " in all");
    }
    if (newest > start && start && total) {
        double seconds = (double)(newest - start) / 1e9;
        ca_text_printf(text, ", in %.3f s: ", seconds);
        add_size(text, (double)total / seconds);
        ca_text_add(text, " per second, of which ");
        add_size(text, (double)table->current / seconds);
        ca_text_add(text, " per second stayed");
    }
    ca_text_add(text, ".\n");
}

/* The stacks that held most when most was held. */
static bool add_holders(const struct ca_case *crash, struct ca_run *run, struct ca_text *text,
                        struct ca_error **ret_error)
{
    enum { SHOWN = 3 };
    struct ca_listing_owner owner;
    struct ca_options options = run->options;
    bool peak = crash->teller.table->stats != NULL;
    run->options.by = CA_KEY_TRACEBACK;
    run->options.value = peak ? CA_VALUE_PEAK : CA_VALUE_LIVE;
    run->options.cumulative = CA_CUMULATIVE_OFF;
    run->options.limit.value = SHOWN;
    bool good = ca_listing_init(&owner, run, run->targets[0], ret_error);
    const struct ca_statistics *statistics = owner.listing.statistics;
    for (size_t i = 0; good && i < owner.listing.shown; i++) {
        const struct ca_statistic *item = &statistics->items[i];
        ca_text_add(text, i ? "" : peak ? "What held most when most was held:\n" : "What held most:\n");
        ca_text_add_unsigned(text, item->count);
        ca_text_add(text, " memory blocks: ");
        add_size(text, (double)item->size);
        ca_text_add(text, "\n");
        good = ca_traceback_format(text, statistics->snapshot, item->frames, item->frame_count,
                                   options.nframe.given, (int64_t)(options.nframe.value & INT64_MAX), false,
                                   !options.no_source) ||
               ca_fail_memory(ret_error);
    }
    ca_listing_deinit(&owner);
    run->options = options;
    return good;
}

bool ca_case_add_growth(const struct ca_case *crash, struct ca_run *run, struct ca_text *text,
                        struct ca_error **ret_error)
{
    int32_t signal = crash->process->signal;
    bool killed = signal == SIGKILL || signal == SIGXCPU, threw = false;
    uint64_t refused = signal == SIGABRT ? refused_request(crash) : 0;
    if (signal == SIGABRT && !new_threw(crash, &threw, ret_error)) {
        return false;
    }
    if (!killed && !refused && !threw) {
        return true;
    }
    ca_text_add(text, "\n");
    if (refused) {
        ca_text_printf(text,
                       "Out of memory: the last request of the thread, for %" PRIu64 " bytes, was refused.\n",
                       refused);
    } else if (threw) {
        ca_text_add(text, "Out of memory: operator new threw std::bad_alloc, which nobody caught.\n");
    } else {
        ca_text_add(text, "Somebody killed it, as the kernel does for want of memory.\n");
    }
    add_rates(crash, text);
    return add_holders(crash, run, text, ret_error);
}
