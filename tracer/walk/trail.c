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

/* Where a walk is; a value of its own, so that it stays in registers. */
struct place {
    uintptr_t pc, sp, bp;
};

/* One walk. */
struct hike {
    struct tm_trail *trail;
    struct tm_rules rules;
    struct tm_window window;
    uint32_t fresh;  /* states in trail->fresh */
    uintptr_t end;   /* address of the return address 0 that ended the walk; 0 = a rule did */
    int64_t matched; /* index of the state that was met again, -1 = none */
};

enum advance { ADVANCED, ENDED, LEFT /* not a plain call */ };

#define word_at tm_trail_word
#define INLINE  static inline __attribute__((always_inline))

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
INLINE enum advance arrive(struct hike *hike, struct place *at, uintptr_t pc, uintptr_t cfa, uintptr_t back)
{
    at->pc = tm_arch_code_pointer(pc);
    at->sp = cfa;
    if (__builtin_expect(at->pc != 0, true)) {
        return ADVANCED;
    }
    hike->end = cfa - back;
    return ENDED;
}

INLINE enum advance advance_plain(struct hike *hike, struct place *at, uint64_t rule, uintptr_t cfa)
{
    uintptr_t slot = tm_rule_slot(rule);
    uintptr_t back = tm_rule_return_slot(rule);
    uintptr_t deepest = slot > back ? slot : back;
    if (__builtin_expect(cfa > hike->window.high, false) &&
        !tm_window_move(&hike->window, cfa - deepest, cfa)) {
        return LEFT;
    }
    /* without a branch: frames that save it and others take turns */
    uintptr_t saved = word_at(cfa - (slot != 0 ? slot : back));
    at->bp = slot != 0 ? saved : at->bp;
    return arrive(hike, at, word_at(cfa - back), cfa, back);
}

/* A realigned frame: its CFA is in a word below the frame pointer. */
INLINE enum advance advance_realigned(struct hike *hike, struct place *at, uint64_t rule)
{
    uintptr_t word = at->bp - tm_rule_cfa(rule);
    uintptr_t back = tm_rule_return_slot(rule);
    if (word < at->sp || at->bp % 8 != 0 ||
        !tm_window_cover(&hike->window, word, at->bp + sizeof(uintptr_t))) {
        return LEFT;
    }
    uintptr_t cfa = word_at(word);
    if (cfa <= at->bp || cfa % 8 != 0 || !tm_window_cover(&hike->window, cfa - back, cfa)) {
        return LEFT;
    }
    at->bp = word_at(at->bp);
    return arrive(hike, at, word_at(cfa - back), cfa, back);
}

INLINE enum advance advance(struct hike *hike, struct place *at, uint64_t rule)
{
    enum tm_rule_kind kind = tm_rule_kind(rule);
    if (__builtin_expect(kind == TM_RULE_SP || kind == TM_RULE_BP, true)) {
        uintptr_t base = kind == TM_RULE_SP ? at->sp : at->bp;
        uintptr_t cfa = base + tm_rule_cfa(rule);
        bool sane = base >= at->sp && base % 8 == 0 && cfa >= base;
        return __builtin_expect(sane, true) ? advance_plain(hike, at, rule, cfa) : LEFT;
    }
    if (kind == TM_RULE_END) {
        hike->end = 0;
        return ENDED;
    }
    return kind == TM_RULE_DRAP ? advance_realigned(hike, at, rule) : LEFT;
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
    uint32_t same = count;
    trail->kept = count;
    for (uint32_t i = hike->fresh; i-- > 0;) {
        const struct tm_trail_fresh *fresh = &trail->fresh[i];
        struct tm_trail_state *state = &trail->states[count++];
        uintptr_t cfa = outer ? outer->sp : hike->end ? hike->end + tm_rule_return_slot(fresh->rule) : 0;
        uint32_t checks = outer ? outer->checks : 0;
        bool outer_needs_bp = outer && outer->needs_bp;
        uint64_t hash = hash_step(outer ? outer->hash : HASH_SEED, tm_rule_id(fresh->rule));
        same += same == count - 1 && count <= trail->count && state->sp == fresh->sp && state->hash == hash;
        *state = (struct tm_trail_state){
            .sp = fresh->sp,
            .pc = fresh->pc,
            .bp = fresh->bp,
            .rule = fresh->rule,
            .hash = hash,
            .checks = cfa ? checks_push(trail, fresh, checks, cfa, outer_needs_bp) : checks,
            .needs_bp = fresh_needs_bp(fresh, outer_needs_bp),
        };
        outer = state;
    }
    trail->likely = trail->count ? same : count;
    trail->count = count;
}

/* ---------------------------------------------------------------------------------------------------------------
 * The walk
 */

/* Calls that follow one another often differ in the innermost frames only by their stack pointers: the rule
 * of the state that was `expected` here spares a search. */
INLINE uint64_t rule_here(struct hike *hike, const struct tm_trail_state *states, int64_t expected,
                          uintptr_t pc)
{
    if (expected >= 0 && states[expected].pc == pc) {
        return states[expected].rule;
    }
    uint64_t key = pc & TM_FRAME_ADDRESS_MASK;
    uint64_t rule = tm_rules_find(&hike->rules, key);
    return __builtin_expect(rule != 0, true) ? rule : tm_rules_fill(&hike->rules, key);
}

/* False when the stack must be walked in full. */
static bool hike_go(struct hike *hike, struct place at)
{
    struct tm_trail *trail = hike->trail;
    const struct tm_trail_state *states = trail->states;
    uint32_t fresh = 0, capacity = trail->capacity;
    enum advance advanced = ADVANCED;
    int64_t expected = (int64_t)trail->count - 1, likely = (int64_t)trail->likely - 1;
    bool at_top = expected >= 0 && states[expected].sp == at.sp;
    int64_t candidate = at_top || likely > expected ? expected : likely, limit = candidate;
    for (; __builtin_expect(advanced == ADVANCED, true); expected--) {
        while (candidate >= 0 && states[candidate].sp < at.sp) {
            candidate--;
        }
        if (candidate >= 0 && candidate <= limit &&
            tm_trail_state_is(&states[candidate], at.pc, at.sp, at.bp)) {
            int64_t changed = state_changed(trail, candidate);
            if (changed < 0) {
                hike->matched = candidate;
                break;
            }
            expected = candidate;
            limit = changed - 1;
        }
        if (__builtin_expect(fresh == capacity, false)) {
            candidate = expected = -1;
            if (!trail_grow(trail)) {
                return false;
            }
            states = trail->states;
            capacity = trail->capacity;
        }
        uint64_t rule = rule_here(hike, states, expected, at.pc);
        trail->fresh[fresh++] = (struct tm_trail_fresh){at.pc, at.sp, at.bp, rule};
        advanced = advance(hike, &at, rule);
    }
    hike->fresh = fresh;
    return advanced != LEFT;
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
    bool whole = hike_go(&hike, (struct place){start->pc, start->sp, start->bp});
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
