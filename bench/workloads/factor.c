/* factor: factors numbers with arithmetic on heap-allocated digits, every intermediate value a new small
 * block: the pattern of cfrac, a continued-fraction factoring program that is a classic of allocator
 * benchmarks. Here: Pollard's rho. */
#include <string.h>

#include "workload.h"

struct number {
    unsigned count;    /* digits, least significant first */
    uint16_t digits[]; /* base 65536 */
};

static struct number *number_make(unsigned count)
{
    struct number *made = allocate(sizeof *made + count * sizeof made->digits[0]);
    made->count = count;
    memset(made->digits, 0, count * sizeof made->digits[0]);
    return made;
}

static struct number *number_trim(struct number *number)
{
    while (number->count > 1 && number->digits[number->count - 1] == 0) {
        number->count--;
    }
    return number;
}

static struct number *number_from(uint64_t value)
{
    struct number *made = number_make(4);
    for (unsigned i = 0; i < 4; i++) {
        made->digits[i] = (uint16_t)(value >> (16 * i));
    }
    return number_trim(made);
}

static int number_compare(const struct number *a, const struct number *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (unsigned i = a->count; i-- > 0;) {
        if (a->digits[i] != b->digits[i]) {
            return a->digits[i] < b->digits[i] ? -1 : 1;
        }
    }
    return 0;
}

static struct number *number_multiply(const struct number *a, const struct number *b)
{
    struct number *made = number_make(a->count + b->count);
    for (unsigned i = 0; i < a->count; i++) {
        uint32_t carry = 0;
        for (unsigned j = 0; j < b->count; j++) {
            uint32_t sum = (uint32_t)a->digits[i] * b->digits[j] + made->digits[i + j] + carry;
            made->digits[i + j] = (uint16_t)sum;
            carry = sum >> 16;
        }
        made->digits[i + b->count] = (uint16_t)(made->digits[i + b->count] + carry);
    }
    return number_trim(made);
}

/* a - b, a >= b */
static struct number *number_subtract(const struct number *a, const struct number *b)
{
    struct number *made = number_make(a->count);
    int32_t borrow = 0;
    for (unsigned i = 0; i < a->count; i++) {
        int32_t digit = a->digits[i] - borrow - (i < b->count ? b->digits[i] : 0);
        borrow = digit < 0;
        made->digits[i] = (uint16_t)(digit + (borrow << 16));
    }
    return number_trim(made);
}

/* number modulo divisor by shifting and subtracting: deliberately many small blocks. Takes ownership of
 * number. */
static struct number *number_modulo(struct number *number, const struct number *divisor)
{
    while (number_compare(number, divisor) >= 0) {
        unsigned shift = number->count - divisor->count;
        struct number *shifted = number_make(divisor->count + shift);
        memcpy(shifted->digits + shift, divisor->digits, divisor->count * sizeof divisor->digits[0]);
        if (number_compare(shifted, number) > 0) {
            shift--;
            memset(shifted->digits, 0, shifted->count * sizeof shifted->digits[0]);
            memcpy(shifted->digits + shift, divisor->digits, divisor->count * sizeof divisor->digits[0]);
            shifted->count--;
        }
        uint32_t top = number->digits[number->count - 1];
        if (number->count > shifted->count) {
            top = top << 16 | number->digits[number->count - 2];
        }
        uint32_t times = top / ((uint32_t)shifted->digits[shifted->count - 1] + 1);
        struct number *factor = number_from(times ? times : 1);
        struct number *part = number_multiply(shifted, factor);
        struct number *rest = number_subtract(number, part);
        free(shifted);
        free(factor);
        free(part);
        free(number);
        number = rest;
    }
    return number;
}

static uint64_t number_value(const struct number *number)
{
    uint64_t value = 0;
    for (unsigned i = number->count; i-- > 0;) {
        value = value << 16 | number->digits[i];
    }
    return value;
}

static struct number *rho_step(struct number *x, const struct number *modulus)
{
    struct number *square = number_modulo(number_multiply(x, x), modulus);
    struct number *next = number_make(square->count + 1);
    uint32_t carry = 1;
    for (unsigned i = 0; i < square->count; i++) {
        carry += square->digits[i];
        next->digits[i] = (uint16_t)carry;
        carry >>= 16;
    }
    next->digits[square->count] = (uint16_t)carry;
    free(square);
    free(x);
    return number_modulo(number_trim(next), modulus);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t find_factor(uint64_t value)
{
    struct number *modulus = number_from(value), *slow = number_from(2), *fast = number_from(2);
    uint64_t factor = 1;
    while (factor == 1) {
        slow = rho_step(slow, modulus);
        fast = rho_step(rho_step(fast, modulus), modulus);
        uint64_t a = number_value(slow), b = number_value(fast);
        factor = greatest_divisor(a > b ? a - b : b - a, value);
    }
    free(modulus);
    free(slow);
    free(fast);
    return factor;
}

int main(int argc, char **argv)
{
    long rounds = work_amount(argc, argv, 30);
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        sum += find_factor(UINT64_C(1000000007) * UINT64_C(998244353));
        sum += find_factor(UINT64_C(67280421310721) % UINT64_C(4294967291) * 3);
    }
    printf("factor %llu\n", (unsigned long long)sum);
    return 0;
}
