/* test_flips.c: bits of the tables are flipped, one at a time. Whatever totals and names the reader then
 * gives are right, or it says that something is wrong.
 *
 * Every 7th bit; TM_FLIPS=all: every one. No reader can notice a root's peak that has become less than what
 * is allocated now: the peak then is now. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/output/coverage.h"
#include "coreanalyze/table/internal.h"
#include "coreanalyze/target.h"
#include "image.h"

static struct image *image;

/* What the answers of the commands are made from. */
struct answer {
    uint64_t blocks, size;                 /* of traces */
    uint64_t weighed_blocks, weighed_size; /* of top */
    uint64_t current, peak;                /* of info and report */
    struct ca_stack_weight stacks[8];      /* of top, by stack */
    uint64_t total, peak_sum;              /* of top --value total and peak */
    uint64_t by_scan[8];                   /* bytes of traces, by stack */
    uint64_t names;                        /* hash of all that names of code are made from */
    bool warned;
};

static bool add_block(void *context, const struct ca_block *block)
{
    struct answer *answer = context;
    answer->blocks++;
    answer->size += block->size;
    answer->by_scan[block->stack < 8 ? block->stack : 0] += block->size;
    return true;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* Every stack with its domain, frame by frame, each with its module. */
static uint64_t hash_names(const struct ca_table *table)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (uint32_t i = 0; i < table->stack_count; i++) {
        uint32_t frames[16];
        size_t depth = ca_table_stack(table, i, frames, 16);
        hash = hash_bytes(hash, &table->stacks[i].domain, sizeof(uint32_t));
        hash = hash_bytes(hash, &table->stacks[i].total_nframe, sizeof(uint16_t));
        for (size_t f = 0; f < depth && f < 16; f++) {
            const struct tm_frame *frame = &table->frames[frames[f]];
            const struct ca_module *module = &table->modules[frame->module];
            hash = hash_bytes(hash, &frame->word, frame->module ? sizeof(frame->word) : 0);
            hash = hash_bytes(hash, &module->bias, sizeof(module->bias));
            hash = hash_bytes(hash, module->build_id, sizeof(module->build_id));
            hash = hash_bytes(hash, module->path, strlen(module->path) + 1);
        }
    }
    return hash;
}

/* The commands end with another status than 0, or the coverage line says that it is not traced. */
static bool has_warned(const struct ca_table *table)
{
    return !ca_coverage_is_complete(table) || table->root.state != TM_STATE_TRACING ||
           table->root.request != 0;
}

static void weigh(struct ca_table *table, struct answer *answer)
{
    struct ca_stack_weight *weights;
    ck_assert(ca_table_weigh(table, UINT32_MAX, &weights, NULL));
    for (size_t i = 0; i < table->stack_count; i++) {
        answer->weighed_blocks += weights[i].count;
        answer->weighed_size += weights[i].size;
        answer->stacks[i < 8 ? i : 0] = weights[i];
    }
    free(weights);
}

static bool counters_expected;

static void add_counters(struct ca_table *table, struct answer *answer)
{
    for (size_t i = 0; table->stats && i < table->stack_count; i++) {
        answer->total += table->stats[i].total_size;
        answer->peak_sum += table->stats[i].peak_size;
    }
    if (table->stats) {
        ca_agreement_check_counters(table, true);
    }
    answer->warned = answer->warned || (!table->stats && counters_expected); /* refused */
}

/* Three readings, as three commands do: of the blocks, of the weights, and of the counters alone. */
static struct answer answer_read(void)
{
    struct answer answer = {0};
    for (int part = 0; part < 3; part++) {
        struct ca_error *error = NULL;
        struct ca_target *target = image_target(image);
        struct ca_table *table = ca_target_table(target, &error);
        if (table && part == 0) {
            ck_assert(ca_table_each_block(table, add_block, &answer, NULL));
            answer.names = hash_names(table);
            answer.current = table->current;
            answer.peak = table->peak;
        } else if (table && part == 1) {
            weigh(table, &answer);
        } else if (table) {
            add_counters(table, &answer);
        }
        answer.warned = answer.warned || !table || has_warned(table);
        ca_error_destroy(error);
        ca_target_destroy(target);
    }
    return answer;
}

static bool same_totals(const struct answer *left, const struct answer *right)
{
    return left->blocks == right->blocks && left->size == right->size &&
           left->weighed_blocks == right->weighed_blocks && left->weighed_size == right->weighed_size &&
           left->current == right->current && left->total == right->total;
}

static bool same_groups(const struct answer *left, const struct answer *right)
{
    return memcmp(left->stacks, right->stacks, sizeof(left->stacks)) == 0 &&
           memcmp(left->by_scan, right->by_scan, sizeof(left->by_scan)) == 0;
}

static struct {
    unsigned flips, warned, same, peak, groups;
    unsigned silent;
} found;

static void judge(const struct answer *right, const struct answer *flipped, uint64_t address, unsigned bit)
{
    found.flips++;
    if (flipped->warned) {
        found.warned++;
    } else if (!same_totals(right, flipped)) {
        found.silent++;
        printf("0x%lx bit %u: a wrong total without a word\n", (unsigned long)(address - image->root_address),
               bit);
    } else if (right->names != flipped->names) {
        found.silent++;
        printf("0x%lx bit %u: a wrong name without a word\n", (unsigned long)(address - image->root_address),
               bit);
    } else if (!same_groups(right, flipped)) {
        found.groups++;
        printf("0x%lx bit %u: another group\n", (unsigned long)(address - image->root_address), bit);
    } else if (right->peak != flipped->peak || right->peak_sum != flipped->peak_sum) {
        uint64_t field = address - image->root_address - offsetof(struct tm_root, peak);
        ck_assert_msg(field < sizeof(uint64_t) && (!counters_expected || flipped->peak == flipped->current),
                      "0x%lx bit %u: a wrong peak", (unsigned long)(address - image->root_address), bit);
        found.peak++;
    } else {
        found.same++;
    }
}

static void flip_range(const struct answer *right, uint64_t address, uint64_t size)
{
    const char *wanted = getenv("TM_FLIPS");
    uint64_t step = wanted && strcmp(wanted, "all") == 0 ? 1 : 7;
    uint8_t *bytes = image_at(image, address);
    for (uint64_t bit = 0; bit < 8 * size; bit += step) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct answer flipped = answer_read();
        judge(right, &flipped, address + bit / 8, (unsigned)(bit % 8));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void flip_all(uint64_t features)
{
    memset(&found, 0, sizeof(found));
    image = image_example(&(struct image_shape){.features = features});
    counters_expected = features & TM_FEATURE_STATS;
    struct answer right = answer_read(); /* with that the checks of root and regions are there */
    image->is_spoilt = true;
    ck_assert(!right.warned);
    ck_assert_uint_eq(right.size, EXAMPLE_SIZE);
    flip_range(&right, image->root_address,
               offsetof(struct tm_root, regions) + image->root->region_count * sizeof(struct tm_region));
    for (uint32_t kind = 1; kind <= TM_REGION_HISTORY; kind++) {
        uint64_t begin = image->root_address + 0x10000 + (uint64_t)kind * IMAGE_REGION_BYTES;
        if (image->next_free[kind]) {
            flip_range(&right, begin, image->next_free[kind] - begin);
        }
    }
    printf("%u flips: %u warned, %u same, %u peak, %u groups, %u silent\n", found.flips, found.warned,
           found.same, found.peak, found.groups, found.silent);
    image_destroy(image);
    image = NULL;
}

START_TEST(flips_with_counters)
{
    flip_all(TM_FEATURE_STATS);
    ck_assert_uint_eq(found.silent, 0);
    ck_assert_uint_eq(found.groups, 0);
}
END_TEST

START_TEST(flips_without_counters)
{
    flip_all(0);
    ck_assert_uint_eq(found.silent, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flips");
    TCase *flips = tcase_create("flips");
    tcase_set_timeout(flips, 300);
    tcase_add_test(flips, flips_with_counters);
    tcase_add_test(flips, flips_without_counters);
    suite_add_tcase(suite, flips);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
