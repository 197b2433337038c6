/* cover: repeatedly merges and splits sets of cubes of a boolean function, arrays of pointers to small blocks
 * that are made, grown by realloc, sorted and freed: the pattern of espresso, a logic minimiser that is a
 * classic of allocator benchmarks. */
#include <string.h>

#include "workload.h"

enum { VARIABLES = 20 };

struct cube {
    uint32_t mask;  /* variables that matter */
    uint32_t value; /* their values */
};

struct cover {
    struct cube **cubes;
    size_t count, capacity;
};

static void cover_add(struct cover *cover, uint32_t mask, uint32_t value)
{
    if (cover->count == cover->capacity) {
        cover->capacity = cover->capacity ? cover->capacity + cover->capacity / 2 : 4;
        cover->cubes = realloc(cover->cubes, cover->capacity * sizeof *cover->cubes);
        if (!cover->cubes) {
            abort();
        }
    }
    struct cube *cube = allocate(sizeof *cube);
    *cube = (struct cube){mask, value & mask};
    cover->cubes[cover->count++] = cube;
}

static void cover_destroy(struct cover *cover)
{
    for (size_t i = 0; i < cover->count; i++) {
        free(cover->cubes[i]);
    }
    free(cover->cubes);
    *cover = (struct cover){0};
}

static int compare_cubes(const void *a, const void *b)
{
    const struct cube *left = *(struct cube *const *)a, *right = *(struct cube *const *)b;
    if (left->mask != right->mask) {
        return left->mask < right->mask ? -1 : 1;
    }
    return left->value < right->value ? -1 : left->value > right->value;
}

/* The cofactor of a cover with respect to one variable: a new cover. */
static struct cover cover_restrict(const struct cover *cover, unsigned variable, unsigned value)
{
    struct cover result = {0};
    uint32_t bit = UINT32_C(1) << variable;
    for (size_t i = 0; i < cover->count; i++) {
        const struct cube *cube = cover->cubes[i];
        if (!(cube->mask & bit) || ((cube->value & bit) != 0) == (value != 0)) {
            cover_add(&result, cube->mask & ~bit, cube->value);
        }
    }
    return result;
}

/* Merges cubes that differ in one value; returns how many were merged. */
static size_t cover_merge(struct cover *cover)
{
    qsort(cover->cubes, cover->count, sizeof *cover->cubes, compare_cubes);
    struct cover merged = {0};
    size_t merges = 0;
    for (size_t i = 0; i < cover->count; i++) {
        const struct cube *cube = cover->cubes[i];
        const struct cube *next = i + 1 < cover->count ? cover->cubes[i + 1] : NULL;
        uint32_t difference = next && next->mask == cube->mask ? next->value ^ cube->value : 0;
        if (next && next->mask == cube->mask && (difference & (difference - 1)) == 0) {
            cover_add(&merged, cube->mask & ~difference, cube->value);
            merges++;
            i++;
        } else {
            cover_add(&merged, cube->mask, cube->value);
        }
    }
    cover_destroy(cover);
    *cover = merged;
    return merges;
}

static uint64_t minimise(struct cover *cover, unsigned variable)
{
    if (cover->count < 2 || variable >= VARIABLES) {
        return cover->count;
    }
    while (cover_merge(cover) > 0) {
    }
    struct cover off = cover_restrict(cover, variable, 0), on = cover_restrict(cover, variable, 1);
    uint64_t cubes = minimise(&off, variable + 3) + minimise(&on, variable + 3);
    cover_destroy(&off);
    cover_destroy(&on);
    return cubes;
}

int main(int argc, char **argv)
{
    long rounds = work_amount(argc, argv, 150);
    uint64_t seed = 7, sum = 0;
    for (long round = 0; round < rounds; round++) {
        struct cover cover = {0};
        for (int i = 0; i < 300; i++) {
            cover_add(&cover, (uint32_t)random_below(&seed, 1u << VARIABLES), (uint32_t)random_next(&seed));
        }
        sum += minimise(&cover, 0);
        cover_destroy(&cover);
    }
    printf("cover %llu\n", (unsigned long long)sum);
    return 0;
}
