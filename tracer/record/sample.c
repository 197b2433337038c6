#include "sample.h"

#include "../host/system.h"

uint64_t tm_sample_bytes;
uint8_t tm_sample_places[1 << TM_SAMPLE_PLACE_BITS];

#define PLACE_FULL 255

/* xorshift64*, seeded by what differs between threads and runs. */
static uint64_t random_next(struct tm_local *local)
{
    uint64_t state = local->sample_state;
    if (state == 0) {
        state = tm_system_time() ^ ((uint64_t)tm_system_tid() << 32) ^ (uintptr_t)local;
        state = state * UINT64_C(0xbf58476d1ce4e5b9) | 1;
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    local->sample_state = state;
    return state * UINT64_C(2685821657736338717);
}

/* Natural logarithm of 1 <= x < 2, to 8 digits: 2 artanh((x - 1) / (x + 1)). */
static double logarithm(double x)
{
    double t = (x - 1) / (x + 1), square = t * t, power = t, sum = 0;
    for (int i = 1; i <= 15; i += 2) {
        sum += power / i;
        power *= square;
    }
    return 2 * sum;
}

/* Bytes until the next sample: of an exponential distribution, -ln(u) times the mean. */
static uint64_t distance_draw(struct tm_local *local)
{
    uint64_t random = random_next(local) | 1;
    int zeros = __builtin_clzll(random);
    double mantissa = (double)(random << zeros >> 11) * 0x1p-52;
    double exponent = (zeros + 1) * 0.69314718055994530942 - logarithm(mantissa);
    double distance = exponent * (double)tm_sample_bytes;
    return distance < 0x1p62 ? (uint64_t)distance + 1 : UINT64_C(1) << 62;
}

/* Of the blocks that a sample fell on, so many that one in a whole number of blocks is recorded. */
static bool is_kept(struct tm_local *local, size_t size)
{
    uint64_t inverse = tm_sample_inverse(size, tm_sample_bytes);
    uint64_t range = tm_sample_count(size, tm_sample_bytes) << 16;
    return (unsigned __int128)random_next(local) * range >> 64 < inverse;
}

bool tm_sample_draw(size_t size)
{
    struct tm_local *local = &tm_local;
    if (size >= tm_sample_bytes) {
        return true;
    }
    if (local->sample_state == 0) {
        uint64_t left = distance_draw(local);
        if (size < left) {
            tm_store(&local->sample_left, left - size);
            return false;
        }
    }
    local->sample_left = distance_draw(local);
    return is_kept(local, size);
}

void tm_sample_mark(uintptr_t address)
{
    uint8_t *place = tm_sample_place(address);
    uint8_t count = tm_load(place);
    while (count != PLACE_FULL && !tm_swap_if(place, count, (uint8_t)(count + 1))) {
        count = tm_load(place);
    }
}

void tm_sample_unmark(uintptr_t address)
{
    uint8_t *place = tm_sample_place(address);
    uint8_t count = tm_load(place);
    while (count != PLACE_FULL && count != 0 && !tm_swap_if(place, count, (uint8_t)(count - 1))) {
        count = tm_load(place);
    }
}
