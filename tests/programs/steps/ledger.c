#include "ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPOSSIBLE (UINT64_C(1) << 47) /* for a block of domain 0: its allocation will fail */
#define FOLD_BYTES UINT64_C(65536)     /* by what each of several threads may hide from the peak */

static bool differ(struct view *view, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(view->error, sizeof(view->error), format, arguments);
    va_end(arguments);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Blocks
 */

static struct view_block *block_find(const struct ledger *ledger, uint32_t domain, uint64_t address)
{
    for (size_t i = 0; i < ledger->count; i++) {
        if (ledger->blocks[i].address == address && ledger->blocks[i].domain == domain) {
            return &ledger->blocks[i];
        }
    }
    return NULL;
}

bool ledger_has(const struct ledger *ledger, uint32_t domain, uint64_t address, struct view_block *ret_block)
{
    const struct view_block *block = block_find(ledger, domain, address);
    if (block && ret_block) {
        *ret_block = *block;
    }
    return block != NULL;
}

static void block_add(struct ledger *ledger, const struct view_block *block)
{
    if (ledger->count == ledger->capacity) {
        ledger->capacity = ledger->capacity ? 2 * ledger->capacity : 256;
        ledger->blocks = realloc(ledger->blocks, ledger->capacity * sizeof(*ledger->blocks));
    }
    ledger->blocks[ledger->count++] = *block;
    ledger->current_bytes += block->size;
}

static void block_remove(struct ledger *ledger, uint32_t domain, uint64_t address)
{
    struct view_block *block = block_find(ledger, domain, address);
    if (block) {
        ledger->current_bytes -= block->size;
        *block = ledger->blocks[--ledger->count];
    }
}

static void sums_copy(struct view_sums *to, const struct view_sums *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        view_sum_add(to, from->items[i].traceback, from->items[i].count, from->items[i].size);
    }
}

static void sums_of_blocks(struct view_sums *sums, const struct view_block *blocks, size_t count)
{
    sums->count = 0;
    for (size_t i = 0; i < count; i++) {
        view_sum_add(sums, blocks[i].traceback, 1, blocks[i].size);
    }
}

/* The blocks that calls under way may have taken away already, and those that they may have added: bytes. */
static void calls_may(const struct ledger *ledger, uint64_t *ret_removed, uint64_t *ret_added)
{
    *ret_removed = *ret_added = 0;
    for (size_t i = 0; i < ledger->call_count; i++) {
        const struct call *call = ledger->calls[i];
        const struct view_block *old = call->known ? block_find(ledger, call->domain, call->address) : NULL;
        bool adds = call->kind != CALL_FREE && call->kind != CALL_UNTRACK && call->size < IMPOSSIBLE;
        *ret_added += adds ? call->size : 0;
        *ret_removed += old ? old->size : 0;
    }
}

/* A call has returned. */
static void peak_note(struct ledger *ledger)
{
    uint64_t removed, added;
    calls_may(ledger, &removed, &added);
    ledger->peak_is_unsure = ledger->peak_is_unsure || ledger->call_count != 0;
    bool is_new = ledger->current_bytes > ledger->peak_most;
    if (is_new || (ledger->current_bytes == ledger->peak_most && !ledger->has_fallen)) {
        sums_of_blocks(&ledger->peak, ledger->blocks, ledger->count);
        ledger->has_fallen = false;
    } else {
        ledger->has_fallen = true;
    }
    uint64_t least = ledger->current_bytes - removed, most = ledger->current_bytes + added;
    ledger->peak_least = least > ledger->peak_least ? least : ledger->peak_least;
    ledger->peak_most = most > ledger->peak_most ? most : ledger->peak_most;
}

void ledger_begin(struct ledger *ledger, const struct view *view)
{
    for (size_t i = 0; i < view->block_count; i++) {
        block_add(ledger, &view->blocks[i]);
    }
    sums_copy(&ledger->total, &view->total);
    sums_copy(&ledger->peak, &view->peak);
    ledger->peak_least = ledger->peak_most = view->peak_bytes;
    ledger->threads = 1;
}

void ledger_copy(struct ledger *to, const struct ledger *from)
{
    *to = *from;
    to->blocks = malloc(from->capacity * sizeof(*to->blocks));
    memcpy(to->blocks, from->blocks, from->count * sizeof(*to->blocks));
    to->total = to->peak = (struct view_sums){0};
    sums_copy(&to->total, &from->total);
    sums_copy(&to->peak, &from->peak);
}

void ledger_deinit(struct ledger *ledger)
{
    free(ledger->blocks);
    free(ledger->total.items);
    free(ledger->peak.items);
    memset(ledger, 0, sizeof(*ledger));
}

/* ---------------------------------------------------------------------------------------------------------------
 * What a view has beyond the ledger, and what it lacks
 */

enum { DIFFERENCES = 2 * CALLS_MAX };

struct difference {
    struct view_block extra[DIFFERENCES], missing[DIFFERENCES];
    size_t extra_count, missing_count;
};

static int compare_blocks(const void *left, const void *right)
{
    const struct view_block *a = left, *b = right;
    if (a->domain != b->domain) {
        return a->domain < b->domain ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

static bool difference_add(struct view_block *list, size_t *count, const struct view_block *block)
{
    if (*count < DIFFERENCES) {
        list[*count] = *block;
    }
    return ++*count <= DIFFERENCES;
}

/* Both in order. False for a block that is there twice. */
static bool difference_find(struct ledger *ledger, struct view *view, struct difference *difference)
{
    qsort(view->blocks, view->block_count, sizeof(*view->blocks), compare_blocks);
    qsort(ledger->blocks, ledger->count, sizeof(*ledger->blocks), compare_blocks);
    difference->extra_count = difference->missing_count = 0;
    size_t i = 0, j = 0;
    while (i < view->block_count || j < ledger->count) {
        const struct view_block *seen = i < view->block_count ? &view->blocks[i] : NULL;
        const struct view_block *kept = j < ledger->count ? &ledger->blocks[j] : NULL;
        int order = !seen ? 1 : !kept ? -1 : compare_blocks(seen, kept);
        if (i > 0 && seen && compare_blocks(seen, seen - 1) == 0) {
            return differ(view, "block 0x%lx is shown twice", seen->address);
        }
        if (order == 0 && seen->size == kept->size && seen->traceback == kept->traceback) {
            i++, j++;
            continue;
        }
        if (order <= 0) {
            difference_add(difference->extra, &difference->extra_count, seen);
            i++;
        }
        if (order >= 0) {
            difference_add(difference->missing, &difference->missing_count, kept);
            j++;
        }
    }
    return true;
}

static bool take(struct view_block *list, size_t *count, uint32_t domain, uint64_t address, uint64_t size,
                 bool by_size)
{
    for (size_t i = 0; i < *count && i < DIFFERENCES; i++) {
        if (list[i].domain == domain && (by_size ? list[i].size == size : list[i].address == address)) {
            list[i] = list[--*count];
            return true;
        }
    }
    return false;
}

/* Takes out of the difference what the call explains when it is shown as done. */
static bool call_explains(const struct ledger *ledger, const struct call *call, struct difference *difference)
{
    bool adds = call->kind == CALL_ALLOCATE || call->kind == CALL_TRACK ||
                (call->kind == CALL_REALLOCATE && call->size != 0);
    bool removes = call->known && call->kind != CALL_ALLOCATE;
    if (call->kind == CALL_CLEAR) {
        bool all = difference->missing_count == ledger->count;
        difference->missing_count = all ? 0 : difference->missing_count;
        return all;
    }
    return (!removes ||
            take(difference->missing, &difference->missing_count, call->domain, call->address, 0, false)) &&
           (!adds || take(difference->extra, &difference->extra_count, call->domain, 0, call->size, true));
}

/* Which of the calls under way must be done for the view to be right; none when it cannot be. */
static bool calls_explain(struct ledger *ledger, const struct difference *difference)
{
    for (unsigned set = 0; set < 1U << ledger->call_count; set++) {
        struct difference rest = *difference;
        bool possible = true;
        for (size_t i = 0; possible && i < ledger->call_count; i++) {
            bool after = set >> i & 1;
            possible = after ? call_explains(ledger, ledger->calls[i], &rest) : !ledger->calls[i]->after;
        }
        if (possible && rest.extra_count == 0 && rest.missing_count == 0) {
            for (size_t i = 0; i < ledger->call_count; i++) {
                ledger->calls[i]->after = set >> i & 1;
            }
            return true;
        }
    }
    return false;
}

static bool differ_by_blocks(struct view *view, const struct difference *difference)
{
    char text[300] = "";
    size_t length = 0;
    for (size_t i = 0; i < difference->extra_count && i < 3; i++) {
        const struct view_block *block = &difference->extra[i];
        length += (size_t)snprintf(text + length, sizeof(text) - length, " +0x%lx:%lu (%lx)", block->address,
                                   block->size, block->traceback & 0xffff);
    }
    for (size_t i = 0; i < difference->missing_count && i < 3; i++) {
        const struct view_block *block = &difference->missing[i];
        length += (size_t)snprintf(text + length, sizeof(text) - length, " -0x%lx:%lu (%lx)", block->address,
                                   block->size, block->traceback & 0xffff);
    }
    return differ(view, "blocks differ from the ledger's: %zu more, %zu missing:%s", difference->extra_count,
                  difference->missing_count, text);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Sums
 */

/* A block that is put in the place of one that is just like it is no difference: the call may have or not. */
static bool call_may_add(const struct call *call, uint64_t *count, uint64_t *size)
{
    bool replaces = call->known && (call->kind == CALL_REALLOCATE || call->kind == CALL_TRACK);
    if (!replaces || *count == 0 || *size < call->size) {
        return false;
    }
    *count -= 1;
    *size -= call->size;
    return true;
}

/* The totals are those of the calls so far, and of the blocks that calls under way have added. */
static bool totals_check(const struct ledger *ledger, const struct difference *difference, struct view *view)
{
    bool used[CALLS_MAX] = {false}, cleared = false;
    for (size_t i = 0; i < ledger->call_count; i++) {
        cleared = cleared || ledger->calls[i]->kind == CALL_CLEAR;
    }
    for (size_t i = 0; i < view->total.count; i++) {
        const struct view_sum *seen = &view->total.items[i];
        struct view_sum kept = view_sum_of(&ledger->total, seen->traceback);
        for (size_t j = 0; j < difference->extra_count; j++) {
            bool mine = difference->extra[j].traceback == seen->traceback;
            kept.count += mine;
            kept.size += mine ? difference->extra[j].size : 0;
        }
        uint64_t count = seen->count - kept.count, size = seen->size - kept.size;
        for (size_t j = 0; (count || size) && j < ledger->call_count; j++) {
            used[j] = used[j] || call_may_add(ledger->calls[j], &count, &size);
        }
        if (count || size) {
            return differ(view, "total of traceback %lx: %lu blocks of %lu bytes, not %lu of %lu",
                          seen->traceback & 0xffff, seen->count, seen->size, kept.count, kept.size);
        }
    }
    for (size_t i = 0; i < difference->extra_count; i++) {
        if (view_sum_of(&view->total, difference->extra[i].traceback).count == 0) {
            return differ(view, "no total of traceback %lx, of which there is a block",
                          difference->extra[i].traceback & 0xffff);
        }
    }
    for (size_t i = 0; i < ledger->total.count && !cleared; i++) {
        const struct view_sum *kept = &ledger->total.items[i];
        struct view_sum seen = view_sum_of(&view->total, kept->traceback);
        if (seen.count < kept->count) {
            return differ(view, "total of traceback %lx: %lu blocks, not %lu", kept->traceback & 0xffff,
                          seen.count, kept->count);
        }
    }
    return true;
}

static bool sums_equal(struct view *view, const char *what, const struct view_sums *seen,
                       const struct view_sums *kept)
{
    for (size_t i = 0; i < seen->count || i < kept->count; i++) {
        uint64_t traceback = i < seen->count ? seen->items[i].traceback : kept->items[i].traceback;
        struct view_sum a = view_sum_of(seen, traceback), b = view_sum_of(kept, traceback);
        if (a.count != b.count || a.size != b.size) {
            return differ(view, "%s of traceback %lx: %lu blocks of %lu bytes, not %lu of %lu", what,
                          traceback & 0xffff, a.count, a.size, b.count, b.size);
        }
        if (i < kept->count && i < seen->count && kept->items[i].traceback != traceback) {
            traceback = kept->items[i].traceback;
            a = view_sum_of(seen, traceback);
            b = view_sum_of(kept, traceback);
            if (a.count != b.count || a.size != b.size) {
                return differ(view, "%s of traceback %lx: %lu blocks, not %lu", what, traceback & 0xffff,
                              a.count, b.count);
            }
        }
    }
    return true;
}

static uint64_t sums_size(const struct view_sums *sums)
{
    uint64_t size = 0;
    for (size_t i = 0; i < sums->count; i++) {
        size += sums->items[i].size;
    }
    return size;
}

static bool peak_check(const struct ledger *ledger, struct view *view)
{
    uint64_t removed, added;
    bool resets = false;
    calls_may(ledger, &removed, &added);
    for (size_t i = 0; i < ledger->call_count; i++) {
        resets = resets || ledger->calls[i]->kind == CALL_RESET_PEAK || ledger->calls[i]->kind == CALL_CLEAR;
    }
    uint64_t slack = ledger->threads > 1 ? (ledger->threads + 1) * FOLD_BYTES : 0;
    uint64_t least = ledger->peak_least > slack && !resets ? ledger->peak_least - slack : 0;
    uint64_t now = ledger->current_bytes + added, most = now > ledger->peak_most ? now : ledger->peak_most;
    if (view->peak_bytes < view->current_bytes || view->peak_bytes < least || view->peak_bytes > most) {
        return differ(view, "peak %lu, current %lu, but the peak was %lu to %lu", view->peak_bytes,
                      view->current_bytes, ledger->peak_least, ledger->peak_most);
    }
    if (ledger->threads > 1 || ledger->peak_is_unsure || resets) {
        return true;
    }
    if (sums_size(&view->peak) != view->peak_bytes) {
        return differ(view, "the peak is %lu, its composition %lu", view->peak_bytes, sums_size(&view->peak));
    }
    if (view->peak_damaged) {
        return differ(view, "the peak's composition is taken for damaged");
    }
    return ledger->call_count != 0 || sums_equal(view, "peak", &view->peak, &ledger->peak);
}

static bool sums_check(const struct ledger *ledger, const struct difference *difference, struct view *view)
{
    struct view_sums live = {0};
    sums_of_blocks(&live, view->blocks, view->block_count);
    uint64_t size = sums_size(&live);
    bool right = sums_equal(view, "live size", &view->live, &live);
    free(live.items);
    if (!right) {
        return false;
    }
    if (view->current_bytes != size || view->covered != view->block_count) {
        return differ(view, "current is %lu in %lu blocks, but there are %lu in %zu", view->current_bytes,
                      view->covered, size, view->block_count);
    }
    if (view->dropped != 0 || view->ambiguous || view->damaged) {
        return differ(view, "%lu dropped%s%s", view->dropped,
                      view->ambiguous ? ", and one that cannot be told" : "",
                      view->damaged ? ", and what is there is taken for damaged" : "");
    }
    return totals_check(ledger, difference, view) && peak_check(ledger, view);
}

bool ledger_check(struct ledger *ledger, struct view *view, bool resting)
{
    struct difference difference;
    if (!difference_find(ledger, view, &difference)) {
        return false;
    }
    if (!calls_explain(ledger, &difference)) {
        return differ_by_blocks(view, &difference);
    }
    if (view->in_flight > ledger->call_count + ledger->left ||
        (resting && ledger->call_count == 0 && view->in_flight > ledger->left)) {
        return differ(view, "%lu in flight, %zu under way", view->in_flight, ledger->call_count);
    }
    return sums_check(ledger, &difference, view);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Freed blocks
 */

static bool block_holds(const struct view_block *block, uint64_t address)
{
    return address - block->address < (block->size ? block->size : 1);
}

static bool is_taken(const struct ledger *ledger, const struct view *view, size_t freed)
{
    uint64_t address = ledger->freed[freed].address;
    bool taken = false;
    for (size_t i = 0; i < view->block_count; i++) {
        taken = taken || block_holds(&view->blocks[i], address);
    }
    for (size_t i = freed + 1; i < ledger->freed_count; i++) {
        taken = taken || block_holds(&ledger->freed[i], address);
    }
    for (size_t i = 0; i < ledger->call_count; i++) {
        const struct call *call = ledger->calls[i];
        const struct view_block *old = call->known ? block_find(ledger, call->domain, call->address) : NULL;
        taken = taken || (old && block_holds(old, address));
    }
    return taken;
}

size_t ledger_freed(const struct ledger *ledger, const struct view *view, size_t kept,
                    struct view_block ret_freed[FREED_MAX])
{
    size_t sure = ledger->call_count && kept ? kept - 1 : kept; /* the oldest one may be giving way */
    size_t first = ledger->freed_count > sure ? ledger->freed_count - sure : 0, count = 0;
    for (size_t i = first; i < ledger->freed_count; i++) {
        if (!is_taken(ledger, view, i)) {
            ret_freed[count++] = ledger->freed[i];
        }
    }
    return count;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Calls
 */

void ledger_call_begin(struct ledger *ledger, struct call *call)
{
    call->known = call->address && ledger_has(ledger, call->domain, call->address, NULL);
    call->after = false;
    ledger->calls[ledger->call_count++] = call;
}

static void freed_note(struct ledger *ledger, const struct call *call)
{
    const struct view_block *old = block_find(ledger, call->domain, call->address);
    if (!old) {
        return;
    }
    if (ledger->freed_count == FREED_MAX) {
        memmove(ledger->freed, ledger->freed + 1, --ledger->freed_count * sizeof(*ledger->freed));
    }
    ledger->freed[ledger->freed_count++] = *old;
}

static void call_forget(struct ledger *ledger, const struct call *call)
{
    for (size_t i = 0; i < ledger->call_count; i++) {
        if (ledger->calls[i] == call) {
            ledger->calls[i] = ledger->calls[--ledger->call_count];
            return;
        }
    }
}

/* What the call did to the blocks. The new block's traceback is not known yet. */
static void call_apply(struct ledger *ledger, const struct call *call, uint64_t result)
{
    struct view_block added = {.address = result, .size = call->size, .domain = call->domain};
    bool adds = false;
    switch (call->kind) {
    case CALL_ALLOCATE:
        adds = result != 0;
        break;
    case CALL_FREE:
    case CALL_UNTRACK:
        freed_note(ledger, call);
        block_remove(ledger, call->domain, call->address);
        break;
    case CALL_REALLOCATE:
        adds = result != 0;
        if (result != call->address && (result || call->size == 0)) {
            freed_note(ledger, call);
        }
        if (result || call->size == 0) {
            block_remove(ledger, call->domain, call->address);
        }
        break;
    case CALL_TRACK:
        adds = (int32_t)result == 0;
        if (adds) {
            block_remove(ledger, call->domain, call->address);
        }
        added.address = call->address;
        break;
    case CALL_CLEAR:
        ledger->count = ledger->current_bytes = ledger->peak_least = ledger->peak_most = 0;
        ledger->total.count = ledger->peak.count = 0;
        break;
    case CALL_RESET_PEAK:
        ledger->peak_least = ledger->peak_most = 0;
        break;
    }
    if (adds) {
        block_add(ledger, &added);
    }
}

static bool traceback_learn(struct ledger *ledger, const struct call *call, uint64_t address,
                            struct view *view)
{
    for (size_t i = 0; i < view->block_count; i++) {
        const struct view_block *seen = &view->blocks[i];
        if (seen->address == address && seen->domain == call->domain) {
            block_find(ledger, call->domain, address)->traceback = seen->traceback;
            view_sum_add(&ledger->total, seen->traceback, 1, call->size);
            return true;
        }
    }
    return differ(view, "block 0x%lx of %lu bytes is not there", address, call->size);
}

bool ledger_call_end(struct ledger *ledger, struct call *call, uint64_t result, struct view *view)
{
    call_forget(ledger, call);
    call_apply(ledger, call, result);
    uint64_t address = call->kind == CALL_TRACK ? call->address : result;
    bool adds = call->kind == CALL_TRACK
                    ? (int32_t)result == 0
                    : (call->kind == CALL_ALLOCATE || call->kind == CALL_REALLOCATE) && result;
    if (adds && !traceback_learn(ledger, call, address, view)) {
        return false;
    }
    peak_note(ledger);
    return ledger_check(ledger, view, true);
}

bool ledger_call_abandon(struct ledger *ledger, struct call *call, struct view *view)
{
    if (!ledger_check(ledger, view, false)) {
        return false;
    }
    uint64_t result = 0;
    bool adds = call->after && call->size && call->kind != CALL_FREE && call->kind != CALL_UNTRACK;
    for (size_t i = 0; adds && i < view->block_count; i++) {
        struct view_block same;
        const struct view_block *seen = &view->blocks[i];
        if (seen->size == call->size && (!ledger_has(ledger, seen->domain, seen->address, &same) ||
                                         same.size != seen->size || same.traceback != seen->traceback)) {
            result = seen->address;
        }
    }
    call_forget(ledger, call);
    if (call->after) {
        bool tracks = call->kind == CALL_TRACK; /* of which 0 is an answer, not an address */
        call_apply(ledger, call, tracks ? 0 : result);
        if (adds && !traceback_learn(ledger, call, tracks ? call->address : result, view)) {
            return false;
        }
    }
    sums_copy(&ledger->total, &view->total);
    peak_note(ledger);
    ledger->peak_is_unsure = true;
    return true;
}

void ledger_call_count(struct ledger *ledger, struct call *call, uint64_t result)
{
    call_forget(ledger, call);
    call_apply(ledger, call, result);
    peak_note(ledger);
}

bool ledger_resume(struct ledger *ledger, struct view *view)
{
    qsort(view->blocks, view->block_count, sizeof(*view->blocks), compare_blocks);
    qsort(ledger->blocks, ledger->count, sizeof(*ledger->blocks), compare_blocks);
    if (view->block_count != ledger->count) {
        return differ(view, "%zu blocks, not %zu", view->block_count, ledger->count);
    }
    for (size_t i = 0; i < ledger->count; i++) {
        const struct view_block *seen = &view->blocks[i], *kept = &ledger->blocks[i];
        if (compare_blocks(seen, kept) != 0 || seen->size != kept->size) {
            return differ(view, "block 0x%lx:%lu, not 0x%lx:%lu", seen->address, seen->size, kept->address,
                          kept->size);
        }
    }
    memcpy(ledger->blocks, view->blocks, ledger->count * sizeof(*ledger->blocks));
    sums_copy(&ledger->total, &view->total);
    sums_copy(&ledger->peak, &view->peak);
    return ledger_check(ledger, view, true);
}
