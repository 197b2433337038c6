#include "proof.h"

#ifdef TM_PROVE_WALKS

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tables/frames.h"
#include "../tables/stacks.h"
#include "operation.h"

/* Walks by how they were answered. */
static uint64_t recalled_count, kept_count, fresh_count, full_count, unknown_count;
static uint64_t frame_count;

static void say(const char *text, size_t length)
{
    if (write(STDERR_FILENO, text, length) < 0) {
        abort();
    }
}

static void traceback_say(const char *name, const uint32_t *frames, const struct tm_stack *stack,
                          uint32_t count)
{
    char text[96];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = frames ? frames[i] : tm_stack_frame(stack, i);
        int length = snprintf(text, sizeof(text), "%s %u: frame %u, word %#lx\n", name, i, id,
                              (unsigned long)tm_frame_word(id));
        say(text, (size_t)length);
    }
}

static _Noreturn void differ(const struct tm_call *call, const struct tm_walk *walk, uint16_t total,
                             const char *how)
{
    char text[256];
    const struct tm_stack *stack = tm_stack_find(call->stack);
    uint32_t depth = tm_stack_depth(stack);
    int length =
        snprintf(text, sizeof(text),
                 "libtm: a %s walk differs from the full one: stack %u has %u frames of %u, flags %#x; "
                 "expected %u of %u, flags %#x\n",
                 how, call->stack, depth, stack->total_nframe, stack->flags, walk->count, total, walk->flags);
    say(text, (size_t)length);
    traceback_say("recorded", NULL, stack, depth);
    traceback_say("full", walk->frames, NULL, walk->count);
    abort();
}

static bool is_same(const struct tm_stack *stack, const struct tm_walk *walk, uint16_t total)
{
    if (tm_stack_depth(stack) != walk->count || stack->total_nframe != total || stack->flags != walk->flags) {
        return false;
    }
    for (uint32_t i = 0; i < walk->count; i++) {
        if (!tm_frames_agree(tm_stack_frame(stack, i), walk->frames[i])) {
            return false;
        }
    }
    return true;
}

static void count_one(const struct tm_memo *memo, bool recalled)
{
    bool trail = memo->trail.count != 0;
    uint64_t *counter = recalled           ? &recalled_count
                        : !trail           ? &full_count
                        : memo->trail.kept ? &kept_count
                                           : &fresh_count;
    tm_add(counter, 1);
}

void tm_proof_walk(struct tm_call *call, const struct tm_walk_start *caller, bool recalled)
{
    struct tm_thread_private *private = call->local->private;
    struct tm_memo *memo = &private->memos[call->level];
    uint64_t generation = __atomic_load_n(&tm_rules_generation, __ATOMIC_ACQUIRE);
    uint32_t limit = tm_root->traceback_limit;
    struct tm_walk walk = {
        .frames = private->frames + (size_t)call->level * private->capacity,
        .limit = limit < private->capacity ? limit : private->capacity,
    };
    tm_unwind(caller, &walk);
    if (call->stack == TM_STACK_UNKNOWN || walk.count == 0) {
        tm_add(&unknown_count, 1);
        return;
    }
    count_one(memo, recalled);
    tm_add(&frame_count, walk.count);
    uint16_t total = walk.flags & TM_STACK_NO_DEPTH ? 0 : (uint16_t)walk.total;
    const struct tm_stack *stack = tm_stack_find(call->stack);
    if (!is_same(stack, &walk, total) &&
        generation == __atomic_load_n(&tm_rules_generation, __ATOMIC_ACQUIRE)) {
        differ(call, &walk, total, recalled ? "recalled" : memo->trail.count ? "kept" : "full");
    }
}

__attribute__((destructor)) static void proof_end(void)
{
    const char *path = getenv("TM_PROOF");
    char text[256];
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (file < 0) {
        return;
    }
    int length =
        snprintf(text, sizeof(text), "recalled=%lu kept=%lu fresh=%lu full=%lu unknown=%lu frames=%lu\n",
                 (unsigned long)recalled_count, (unsigned long)kept_count, (unsigned long)fresh_count,
                 (unsigned long)full_count, (unsigned long)unknown_count, (unsigned long)frame_count);
    if (write(file, text, (size_t)length) != length) {
        abort();
    }
    close(file);
}

#endif
