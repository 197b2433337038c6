#include "trail.h"

#include <string.h>

#include "../layout.h"
#include "arch.h"
#include "rules.h"
#include "window.h"

#define CAPACITY_FIRST 128

/* Deeper stacks are walked in full. */
#define CAPACITY_MAX 32768

/* Words that one state adds at most: those of a realigned frame. */
#define CHECKS_OF_STATE 3

#define HASH_SEED UINT64_C(0x2545f4914f6cdd1d)

/* A state that the last walk did not have. */
struct tm_trail_fresh {
    uintptr_t pc;
    uintptr_t sp;
    uintptr_t bp;
    uint64_t rule; /* as tm_rules_find() gives it */
};

/* One walk. */
struct hike {
    struct tm_trail *trail;
    struct tm_rules rules;
    struct tm_window window;
    uintptr_t pc, sp, bp;
    uint32_t fresh;  /* states in trail->fresh */
    uintptr_t end;   /* address of the return address 0 that ended the walk; 0 = a rule did */
    int64_t matched; /* index of the state that was met again, -1 = none */
};

enum advance { ADVANCED, ENDED, LEFT /* not a plain call */ };

#define word_at tm_trail_word

static inline uint64_t hash_step(uint64_t hash, uint32_t frame)
{
    hash = (hash ^ frame) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Room
 */
static bool trail_grow(struct tm_trail *trail)
{
    uint32_t capacity = trail->capacity ? trail->capacity * 4 : CAPACITY_FIRST;
    size_t states = capacity * sizeof(struct tm_trail_state);
    size_t checks = capacity * sizeof(struct tm_trail_check) * CHECKS_OF_STATE;
    size_t fresh = capacity * sizeof(struct tm_trail_fresh);
    if (capacity > CAPACITY_MAX) {
        return false;
    }
    char *memory = tm_private_allocate(states + checks + fresh);
    if (!memory) {
        return false;
    }
    struct tm_trail old = *trail;
    trail->count = trail->capacity = 0; /* should a signal handler longjmp away here */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    trail->states = (struct tm_trail_state *)memory;
    trail->checks = (struct tm_trail_check *)(memory + states);
    trail->fresh = (struct tm_trail_fresh *)(memory + states + checks);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    trail->capacity = capacity;
    if (old.capacity) {
        memcpy(trail->fresh, old.fresh, old.capacity * sizeof(struct tm_trail_fresh));
        size_t size = old.capacity * (sizeof(struct tm_trail_state) + sizeof(struct tm_trail_fresh) +
                                      sizeof(struct tm_trail_check) * CHECKS_OF_STATE);
        tm_private_free(old.states, size);
    }
    return true;
}

void tm_trail_reset(struct tm_trail *trail)
{
    trail->count = 0;
    trail->low = trail->high = 0;
}

/* ---------------------------------------------------------------------------------------------------------------
 * One step
 */
static enum advance advance_plain(struct hike *hike, uint64_t rule, uintptr_t cfa)
{
    uintptr_t slot = tm_rule_slot(rule);
    uintptr_t back = tm_rule_return_slot(rule);
    uintptr_t deepest = slot > back ? slot : back;
    if (__builtin_expect(cfa > hike->window.high, false) &&
        !tm_window_move(&hike->window, cfa - deepest, cfa)) {
        return LEFT;
    }
    if (slot != 0) {
        hike->bp = word_at(cfa - slot);
    }
    hike->pc = tm_arch_code_pointer(word_at(cfa - back));
    hike->sp = cfa;
    hike->end = cfa - back;
    return hike->pc == 0 ? ENDED : ADVANCED;
}

/* A realigned frame: its CFA is in a word below the frame pointer. */
static enum advance advance_realigned(struct hike *hike, uint64_t rule)
{
    uintptr_t place = hike->bp - tm_rule_cfa(rule);
    uintptr_t back = tm_rule_return_slot(rule);
    if (place < hike->sp || hike->bp % 8 != 0 ||
        !tm_window_cover(&hike->window, place, hike->bp + sizeof(uintptr_t))) {
        return LEFT;
    }
    uintptr_t cfa = word_at(place);
    if (cfa <= hike->bp || cfa % 8 != 0 || !tm_window_cover(&hike->window, cfa - back, cfa)) {
        return LEFT;
    }
    hike->bp = word_at(hike->bp);
    hike->pc = tm_arch_code_pointer(word_at(cfa - back));
    hike->sp = cfa;
    hike->end = cfa - back;
    return hike->pc == 0 ? ENDED : ADVANCED;
}

static inline enum advance advance(struct hike *hike, uint64_t rule)
{
    switch (tm_rule_kind(rule)) {
    case TM_RULE_SP:
        return advance_plain(hike, rule, hike->sp + tm_rule_cfa(rule));
    case TM_RULE_BP: {
        uintptr_t cfa = hike->bp + tm_rule_cfa(rule);
        bool sane = hike->bp >= hike->sp && hike->bp % 8 == 0 && cfa >= hike->bp;
        return sane ? advance_plain(hike, rule, cfa) : LEFT;
    }
    case TM_RULE_DRAP:
        return advance_realigned(hike, rule);
    case TM_RULE_END:
        hike->end = 0;
        return ENDED;
    default:
        return LEFT;
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * What is kept
 */

/* The first state, from `index` on outwards, whose words have changed; -1 = all are what they were. */
static inline int64_t state_changed(const struct tm_trail *trail, int64_t index)
{
    int64_t check = tm_trail_check_changed(trail->checks, trail->states[index].checks);
    while (check >= 0 && index > 0 && trail->states[index - 1].checks > check) {
        index--;
    }
    return check < 0 ? -1 : index;
}

static inline bool state_is(const struct tm_trail_state *state, const struct hike *hike)
{
    return tm_trail_state_is(state, hike->pc, hike->sp, hike->bp);
}

static void check_add(struct tm_trail *trail, uint32_t *count, uintptr_t address)
{
    trail->checks[*count] = (struct tm_trail_check){address, word_at(address)};
    (*count)++;
}

/* The words that lead from a fresh state to the one outside of it, whose stack pointer is cfa. In a walk they
 * come in the opposite order. */
static uint32_t checks_push(struct tm_trail *trail, const struct tm_trail_fresh *fresh, uint32_t count,
                            uintptr_t cfa, bool outer_needs_bp)
{
    if (tm_rule_kind(fresh->rule) == TM_RULE_DRAP) {
        check_add(trail, &count, cfa - tm_rule_return_slot(fresh->rule));
        check_add(trail, &count, fresh->bp);
        check_add(trail, &count, fresh->bp - tm_rule_cfa(fresh->rule));
    } else {
        uintptr_t slot = tm_rule_slot(fresh->rule);
        if (slot != 0 && outer_needs_bp) {
            check_add(trail, &count, cfa - slot);
        }
        check_add(trail, &count, cfa - tm_rule_return_slot(fresh->rule));
    }
    return count;
}

static bool fresh_needs_bp(const struct tm_trail_fresh *fresh, bool outer_needs_bp)
{
    switch (tm_rule_kind(fresh->rule)) {
    case TM_RULE_SP:
        return tm_rule_slot(fresh->rule) == 0 && outer_needs_bp;
    case TM_RULE_END:
        return false;
    default:
        return true;
    }
}

/* Puts the fresh states on what is kept. */
static void trail_extend(struct hike *hike)
{
    struct tm_trail *trail = hike->trail;
    uint32_t count = (uint32_t)(hike->matched + 1);
    const struct tm_trail_state *outer = count ? &trail->states[count - 1] : NULL;
    trail->kept = count;
    for (uint32_t i = hike->fresh; i-- > 0;) {
        const struct tm_trail_fresh *fresh = &trail->fresh[i];
        struct tm_trail_state *state = &trail->states[count++];
        uintptr_t cfa = outer ? outer->sp : hike->end ? hike->end + tm_rule_return_slot(fresh->rule) : 0;
        uint32_t checks = outer ? outer->checks : 0;
        bool outer_needs_bp = outer && outer->needs_bp;
        *state = (struct tm_trail_state){
            .sp = fresh->sp,
            .pc = fresh->pc,
            .bp = fresh->bp,
            .rule = fresh->rule,
            .hash = hash_step(outer ? outer->hash : HASH_SEED, tm_rule_id(fresh->rule)),
            .checks = cfa ? checks_push(trail, fresh, checks, cfa, outer_needs_bp) : checks,
            .needs_bp = fresh_needs_bp(fresh, outer_needs_bp),
        };
        outer = state;
    }
    trail->count = count;
}

/* ---------------------------------------------------------------------------------------------------------------
 * The walk
 */

/* Calls that follow one another often differ in the innermost frames only by their stack pointers: the rule
 * of the state that was `expected` here spares a search. */
static inline uint64_t rule_here(struct hike *hike, int64_t expected)
{
    const struct tm_trail_state *states = hike->trail->states;
    if (expected >= 0 && states[expected].pc == hike->pc) {
        return states[expected].rule;
    }
    uint64_t key = hike->pc & TM_FRAME_ADDRESS_MASK;
    uint64_t rule = tm_rules_find(&hike->rules, key);
    return __builtin_expect(rule != 0, true) ? rule : tm_rules_fill(&hike->rules, key);
}

/* False when the stack must be walked in full. */
static bool hike_go(struct hike *hike)
{
    struct tm_trail *trail = hike->trail;
    int64_t candidate = (int64_t)trail->count - 1, expected = candidate, limit = candidate;
    for (;; expected--) {
        while (candidate >= 0 && trail->states[candidate].sp < hike->sp) {
            candidate--;
        }
        if (candidate >= 0 && candidate <= limit && state_is(&trail->states[candidate], hike)) {
            int64_t changed = state_changed(trail, candidate);
            if (changed < 0) {
                hike->matched = candidate;
                return true;
            }
            expected = candidate;
            limit = changed - 1;
        }
        if (__builtin_expect(hike->fresh == trail->capacity, false)) {
            candidate = expected = -1;
            if (!trail_grow(trail)) {
                return false;
            }
        }
        uint64_t rule = rule_here(hike, expected);
        trail->fresh[hike->fresh++] = (struct tm_trail_fresh){hike->pc, hike->sp, hike->bp, rule};
        enum advance advanced = advance(hike, rule);
        if (__builtin_expect(advanced != ADVANCED, false)) {
            return advanced == ENDED;
        }
    }
}

/* Where there is none, this walk is lost and the next one has it. */
static bool has_room(const struct hike *hike)
{
    if (__builtin_expect((uint64_t)(hike->matched + 1) + hike->fresh <= hike->trail->capacity, true)) {
        return true;
    }
    trail_grow(hike->trail);
    return false;
}

bool tm_trail_walk(struct tm_trail *trail, const struct tm_walk_start *start)
{
    uint64_t generation = __atomic_load_n(&tm_rules_generation, __ATOMIC_ACQUIRE);
    struct hike hike = {
        .trail = trail,
        .rules = tm_rules_open(),
        .window = {.low = trail->low, .high = trail->high},
        .pc = start->pc,
        .sp = start->sp,
        .bp = start->bp,
        .matched = -1,
    };
    if (__builtin_expect(trail->generation != generation, false)) {
        trail->count = 0;
        trail->generation = generation;
    }
    if (!hike.rules.table || !tm_window_cover(&hike.window, start->sp - sizeof(uintptr_t), start->sp)) {
        return false;
    }
    if (__builtin_expect(hike.window.high != trail->high, false)) {
        trail->count = 0; /* another stack, or one of which more is known */
    }
    bool whole = hike_go(&hike);
    trail->low = hike.window.low;
    trail->high = hike.window.high;
    if (__builtin_expect(!whole || !has_room(&hike), false)) {
        trail->count = 0;
        return false;
    }
    trail_extend(&hike);
    return true;
}

uint32_t tm_trail_frames(const struct tm_trail *trail, uint32_t *frames, uint32_t limit)
{
    uint32_t count = trail->count < limit ? trail->count : limit;
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = tm_rule_id(trail->states[trail->count - 1 - i].rule);
    }
    return count;
}
