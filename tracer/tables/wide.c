#include "wide.h"

#include "region.h"

#define SEGMENT_SHIFT 10
#define LEVELS        17
#define RUN           16

static struct tm_region *wide;
bool tm_wide_has_malloc;

bool tm_wide_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_WIDE,
        .element_size = sizeof(struct tm_wide),
        .segment_shift = SEGMENT_SHIFT,
        .directory_bits = 8,
        .middle_bits = 9,
        .count = UINT64_MAX,
    };
    wide = tm_region_create(&shape);
    return wide != NULL;
}

static uint64_t key_hash(uint32_t domain, uint64_t address)
{
    uint64_t hash = (address ^ (uint64_t)domain << 32) * UINT64_C(0x9e3779b97f4a7c15) + domain;
    hash = (hash ^ (hash >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return hash ^ (hash >> 32);
}

/* First element of the key's segment in a level; level n has 1 << n segments behind those of the levels before. */
static uint64_t segment_start(uint64_t hash, unsigned level)
{
    uint64_t segment = ((UINT64_C(1) << level) - 1) + (hash >> SEGMENT_SHIFT & ((UINT64_C(1) << level) - 1));
    return segment << SEGMENT_SHIFT;
}

static uint64_t run_position(uint64_t hash, unsigned probe)
{
    return (hash + probe) & ((UINT64_C(1) << SEGMENT_SHIFT) - 1);
}

static uint64_t live_state(uint64_t generation)
{
    return TM_WIDE_LIVE | generation << 8;
}

/* Does the search go past this entry, end with it, or is it what is looked for? */
enum match { OTHER, FOUND, END };
typedef enum match wide_match(const struct tm_wide *entry, const void *key);

static struct tm_wide *wide_search(uint32_t domain, uint64_t address, wide_match *match, const void *key)
{
    uint64_t hash = key_hash(domain, address);
    for (unsigned level = 0; level < LEVELS; level++) {
        struct tm_wide *segment = tm_region_find(wide, segment_start(hash, level));
        if (!segment) {
            return NULL;
        }
        for (unsigned probe = 0; probe < RUN; probe++) {
            struct tm_wide *entry = &segment[run_position(hash, probe)];
            enum match matched = match(entry, key);
            if (matched != OTHER) {
                return matched == FOUND ? entry : NULL;
            }
        }
    }
    return NULL;
}

struct live_key {
    uint64_t state;
    uint64_t address;
    uint32_t domain;
};

static enum match match_live(const struct tm_wide *entry, const void *context)
{
    const struct live_key *key = context;
    uint64_t state = tm_load_acquire(&entry->state);
    if (state == TM_WIDE_EMPTY) {
        return END;
    }
    return state == key->state && tm_load(&entry->address) == key->address && tm_load(&entry->domain) == key->domain
               ? FOUND
               : OTHER;
}

struct tm_wide *tm_wide_find(uint32_t domain, uint64_t address, uint64_t generation)
{
    struct live_key key = { live_state(generation), address, domain };
    return wide_search(domain, address, match_live, &key);
}

struct held_key {
    uint64_t state, address, size;
    uint32_t domain, stack;
};

static enum match match_held(const struct tm_wide *entry, const void *context)
{
    const struct held_key *key = context;
    if (entry->state == TM_WIDE_EMPTY) {
        return END;
    }
    bool is_key = entry->state == key->state && entry->address == key->address && entry->domain == key->domain;
    return is_key && (entry->size != key->size || entry->stack != key->stack) ? FOUND : OTHER;
}

struct tm_wide *tm_wide_find_held(uint32_t domain, uint64_t address, uint64_t size, uint32_t stack)
{
    struct held_key key = { TM_WIDE_BUSY, address, size, domain, stack };
    struct tm_wide *held = wide_search(domain, address, match_held, &key);
    if (!held) {
        key.state = TM_WIDE_DEAD;
        held = wide_search(domain, address, match_held, &key);
    }
    return held;
}

/* May this entry be taken? Those of older generations are void. */
static bool state_is_vacant(uint64_t state, uint64_t generation)
{
    return state == TM_WIDE_EMPTY || (state & 0xff) == TM_WIDE_DEAD ||
           ((state & 0xff) == TM_WIDE_LIVE && state >> 8 != generation);
}

static struct tm_wide *segment_claim(struct tm_wide *segment, uint64_t hash, uint64_t generation)
{
    for (unsigned probe = 0; probe < RUN; probe++) {
        struct tm_wide *entry = &segment[run_position(hash, probe)];
        uint64_t state = tm_load(&entry->state);
        if (state_is_vacant(state, generation) && tm_swap_if(&entry->state, state, TM_WIDE_BUSY)) {
            return entry;
        }
    }
    return NULL;
}

struct tm_wide *tm_wide_claim(uint32_t domain, uint64_t address, uint64_t generation)
{
    uint64_t hash = key_hash(domain, address);
    for (unsigned level = 0; level < LEVELS; level++) {
        struct tm_wide *segment = tm_region_make(wide, segment_start(hash, level));
        if (!segment) {
            return NULL;
        }
        struct tm_wide *entry = segment_claim(segment, hash, generation);
        if (entry) {
            tm_store(&entry->domain, domain); /* others may be looking at what the entry was */
            tm_store(&entry->address, address);
            return entry;
        }
    }
    return NULL;
}

void tm_wide_publish(struct tm_wide *entry, uint64_t generation)
{
    if (entry->domain == 0) {
        tm_store(&tm_wide_has_malloc, true);
    }
    tm_publish(&entry->state, live_state(generation));
}

bool tm_wide_hold(struct tm_wide *entry, uint64_t generation)
{
    return tm_swap_if(&entry->state, live_state(generation), TM_WIDE_BUSY);
}

bool tm_wide_remove(struct tm_wide *entry, uint64_t generation)
{
    return tm_swap_if(&entry->state, live_state(generation), TM_WIDE_DEAD);
}

void tm_wide_drop(struct tm_wide *entry)
{
    tm_publish(&entry->state, TM_WIDE_DEAD);
}

void tm_wide_each(tm_wide_visit *visit, uint64_t generation)
{
    for (uint64_t i = 0; i < tm_region_segments(wide); i++) {
        const struct tm_wide *segment = (const void *)tm_region_segment(wide, i);
        for (uint64_t j = 0; segment && j < UINT64_C(1) << SEGMENT_SHIFT; j++) {
            if (tm_load_acquire(&segment[j].state) == live_state(generation)) {
                visit(&segment[j], generation);
            }
        }
    }
}
