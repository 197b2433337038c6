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

/* Whether operator new is among the calls of a thread that aborted: it threw, and nobody caught. */
static bool new_threw(const struct ca_case *crash, bool *ret_threw, struct ca_error **ret_error)
{
    *ret_threw = false;
    bool terminates = false;
    for (size_t i = 0; i < crash->frame_count; i++) {
        struct ca_symbol_name name;
        bool found;
        if (!ca_memory_name(crash->teller.memory, crash->frames[i].pc - crash->frames[i].is_return, &name,
                            &found, ret_error)) {
            return false;
        }
        if (!found) {
            continue;
        }
        terminates = terminates || strncmp(name.name, "std::terminate", 14) == 0 ||
                     strcmp(name.name, "__cxa_throw") == 0;
        *ret_threw = *ret_threw || (terminates && strncmp(name.name, "operator new", 12) == 0) ||
                     (terminates && strcmp(name.name, "std::__throw_bad_alloc") == 0);
    }
    return true;
}

/* Bytes that were allocated in all, by the stacks' counters. */
static uint64_t total_of(const struct ca_table *table)
{
    uint64_t total = 0;
    for (size_t i = 0; table->stats && i < table->stack_count; i++) {
        total += table->stats[i].total_size;
    }
    return total;
}

static void add_rates(const struct ca_case *crash, struct ca_text *text)
{
    const struct ca_table *table = crash->teller.table;
    uint64_t start = table->root.start_time, newest = crash->teller.newest, total = total_of(table);
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
    run->options.by = CA_KEY_TRACEBACK;
    run->options.value = crash->teller.table->stats ? CA_VALUE_PEAK : CA_VALUE_LIVE;
    run->options.cumulative = CA_CUMULATIVE_OFF;
    run->options.limit.value = SHOWN;
    bool good = ca_listing_init(&owner, run, run->targets[0], ret_error);
    if (good) {
        ca_text_add(text, "Where its memory came from:\n");
        good = ca_listing_write_text(&owner.listing, &run->sink, ret_error);
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
