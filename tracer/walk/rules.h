/* rules.h: how to step over one call, packed beside the frame's id and cached by code address.
 *
 * At call sites almost all rules have one of two forms (99.2 % in the worst of libc, libstdc++, gdb, python3,
 * LLVM and libcrypto): the CFA is the stack or the frame pointer plus a constant, the return address lies
 * below the CFA, the caller's frame pointer is saved below the CFA or untouched. Those fit in 26 bits; what
 * else occurs is named by its kind and looked at again at each walk.
 *
 * The cache is one open-addressed table of (key, value) for the whole process, filled without locks: a key is
 * claimed once by compare-and-swap and never changes, a value is one word that is right by itself. A value
 * holds the low bits of the generation in which it was made; tm_rules_forget begins a new one, and all older
 * values no longer count. A thread that was filling meanwhile stores a value of the old generation, so it
 * cannot bring back what was forgotten, and nothing need be freed. The table grows by publishing a larger
 * one; the old one stays readable for walks that still use it.
 */
#ifndef TM_RULES_H
#define TM_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"

enum tm_rule_kind {
    TM_RULE_ABSENT = 0, /* no value */
    TM_RULE_SP = 1,     /* CFA = stack pointer + cfa; return address and saved frame pointer below it */
    TM_RULE_BP = 2,     /* CFA = frame pointer + cfa; the same */
    TM_RULE_DRAP = 3, /* CFA = word at frame pointer - cfa, caller's frame pointer = word at frame pointer */
    TM_RULE_SIGNAL = 4, /* signal trampoline: the registers are in the ucontext at the stack pointer */
    TM_RULE_END = 5,    /* outermost frame */
    TM_RULE_SLOW = 6,   /* CFI of any other form */
    TM_RULE_NONE = 7,   /* no CFI; cfa != 0 if the address lies in a module */
};

/* Value: bits 0..27 frame id, 28..30 kind, 31..53 place (arch.h), 54..63 generation. */
#define TM_RULE_ID_BITS          28
#define TM_RULE_KIND_SHIFT       28
#define TM_RULE_PLACE_SHIFT      31
#define TM_RULE_PLACE_MAX        UINT64_C(0x7fffff)
#define TM_RULE_GENERATION_SHIFT 54
#define TM_RULE_GENERATION_MASK  UINT64_C(0x3ff)

struct tm_rule_slot {
    uint64_t key; /* struct tm_frame's word; 0 = empty */
    uint64_t value;
};

struct tm_rule_table {
    unsigned shift; /* 64 - log2 of the number of slots */
    uint32_t used;  /* slots claimed */
    int32_t grower; /* process whose thread makes the next table, 0 = none */
    struct tm_rule_slot slots[] __attribute__((aligned(64)));
};

/* What a walk looks rules up in; taken once per walk. */
struct tm_rules {
    const struct tm_rule_table *table; /* NULL before tm_rules_init */
    uint64_t generation;               /* as it stands in values: shifted */
};

/* How often rules were forgotten, from 1. Values hold its low bits. */
extern uint64_t tm_rules_generation __attribute__((visibility("hidden")));

bool tm_rules_init(void);
struct tm_rules tm_rules_open(void);
void tm_rules_forget(void);

/* Computes the value of a key that was not found, interns its frame and caches it; 0 when memory runs out.
 * May move `rules` to a larger table. */
uint64_t tm_rules_fill(struct tm_rules *rules, uint64_t key);

/* The value for a key; kind TM_RULE_ABSENT if it must be filled. */
static inline uint64_t tm_rules_find(const struct tm_rules *rules, uint64_t key)
{
    const struct tm_rule_table *table = rules->table;
    size_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;
    for (size_t i = (key * UINT64_C(0x9e3779b97f4a7c15)) >> table->shift;; i = (i + 1) & mask) {
        uint64_t found = __atomic_load_n(&table->slots[i].key, __ATOMIC_RELAXED);
        if (__builtin_expect(found == key, true)) {
            uint64_t value = __atomic_load_n(&table->slots[i].value, __ATOMIC_RELAXED);
            return __builtin_expect((value ^ rules->generation) >> TM_RULE_GENERATION_SHIFT == 0, true)
                       ? value
                       : 0;
        }
        if (found == 0) {
            return 0;
        }
    }
}

static inline enum tm_rule_kind tm_rule_kind(uint64_t value)
{
    return (enum tm_rule_kind)(value >> TM_RULE_KIND_SHIFT & 7);
}

static inline uint32_t tm_rule_id(uint64_t value)
{
    return (uint32_t)(value & ((UINT64_C(1) << TM_RULE_ID_BITS) - 1));
}

static inline uintptr_t tm_rule_cfa(uint64_t value)
{
    return tm_arch_place_cfa(value >> TM_RULE_PLACE_SHIFT);
}

/* The return address lies this far below the CFA, */
static inline uintptr_t tm_rule_return_slot(uint64_t value)
{
    return tm_arch_place_return(value >> TM_RULE_PLACE_SHIFT);
}

/* the caller's frame pointer this far; 0 = it is unchanged. */
static inline uintptr_t tm_rule_slot(uint64_t value)
{
    return tm_arch_place_bp(value >> TM_RULE_PLACE_SHIFT);
}

#endif
