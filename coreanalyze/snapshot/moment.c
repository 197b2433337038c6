/* moment.c: see moment.h. */
#include "moment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Blocks that may be looked at one by one where counters cannot be used; 8 bytes of every 16 or 32 of the
 * heap are read then. */
#define SCANNED_BLOCKS_MAX UINT64_C(100000)

enum { VALUES = 3 }; /* enum ca_value */

struct ca_moment {
    uint64_t root, start_time; /* whose tables */
    uint32_t pid;

    uint64_t features, newest_time;
    uint32_t limit;
    struct ca_coverage coverage;
    struct ca_weight *weights[VALUES]; /* index = enum ca_value; NULL = not recorded by the tracer */
    size_t counts[VALUES];
};

void ca_moment_destroy(struct ca_moment *moment)
{
    for (size_t i = 0; moment && i < VALUES; i++) {
        free(moment->weights[i]);
    }
    free(moment);
}

static bool moment_weigh(struct ca_moment *moment, struct ca_snapshot *snapshot, struct ca_error **ret_error)
{
    for (size_t i = 0; i < VALUES; i++) {
        bool kept = i == CA_VALUE_LIVE || (moment->features & TM_FEATURE_STATS);
        if (kept && !ca_snapshot_weights(snapshot, (enum ca_value)i, false, &moment->weights[i],
                                         &moment->counts[i], ret_error)) {
            return false;
        }
    }
    return true;
}

struct ca_moment *ca_moment_create(struct ca_table *table, struct ca_snapshot *snapshot,
                                   struct ca_error **ret_error)
{
    if (!ca_table_has_counters(table) && table->coverage.blocks > SCANNED_BLOCKS_MAX) {
        ca_fail(ret_error, CA_NOTHING,
                "the sums per stack could not be had without reading %" PRIu64
                " blocks: an operation was in flight, or the counters "
                "are off (stats=0)",
                table->coverage.blocks);
        return NULL;
    }
    struct ca_moment *moment = calloc(1, sizeof(*moment));
    if (!moment) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    moment->root = table->address;
    moment->start_time = table->root.start_time;
    moment->pid = table->root.pid;
    moment->features = table->root.features;
    moment->newest_time = table->newest_time;
    moment->limit = table->root.traceback_limit;
    if (!moment_weigh(moment, snapshot, ret_error)) {
        ca_moment_destroy(moment);
        return NULL;
    }
    moment->coverage = table->coverage; /* last: a scan counts blocks */
    return moment;
}

bool ca_moment_check(const struct ca_moment *moment, const struct ca_table *table,
                     struct ca_error **ret_error)
{
    if (moment->root != table->address || moment->start_time != table->root.start_time ||
        moment->pid != table->root.pid) {
        return ca_fail(ret_error, CA_NOTHING,
                       "what was kept is of process %" PRIu32 " before it was replaced; keep snapshots with "
                       "tm-snapshot to compare processes",
                       moment->pid);
    }
    return true;
}

const struct ca_coverage *ca_moment_coverage(const struct ca_moment *moment)
{
    return &moment->coverage;
}

void ca_moment_describe(const struct ca_moment *moment, struct ca_table *table)
{
    table->coverage = moment->coverage;
    table->root.traceback_limit = moment->limit;
    table->root.features = moment->features;
    table->newest_time = moment->newest_time;
}

bool ca_moment_weights(const struct ca_moment *moment, enum ca_value value, struct ca_weight **ret_weights,
                       size_t *ret_count, struct ca_error **ret_error)
{
    if (!moment->weights[value]) {
        return ca_fail(ret_error, CA_USAGE,
                       "peak and total values were not recorded; run the program with: tm-run -o stats=1");
    }
    size_t count = moment->counts[value];
    struct ca_weight *copy = malloc((count ? count : 1) * sizeof(*copy));
    if (!copy) {
        return ca_fail_memory(ret_error);
    }
    if (count) {
        memcpy(copy, moment->weights[value], count * sizeof(*copy));
    }
    *ret_weights = copy;
    *ret_count = count;
    return true;
}

bool ca_moment_refuse(const char *what, struct ca_error **ret_error)
{
    return ca_fail(ret_error, CA_USAGE,
                   "%s: of a prompt only the sums per stack are kept; keep moments with tm-snapshot NAME and "
                   "compare with those",
                   what);
}
