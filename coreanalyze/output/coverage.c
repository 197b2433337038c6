/* coverage.c: the coverage line. */
#include "coverage.h"

#include <inttypes.h>
#include <string.h>

#include "../snapshot/statistics.h"

enum { THREADS_SHOWN = 8 };

static bool ambiguous(const struct ca_table *table)
{
    for (size_t i = 0; i < table->in_flight_count; i++) {
        if (table->in_flight[i].ambiguous) {
            return true;
        }
    }
    return false;
}

static void add_threads(struct ca_text *text, const struct ca_table *table)
{
    size_t count = table->in_flight_count;
    ca_text_add(text, count == 1 ? " (thread" : " (threads");
    for (size_t i = 0; i < count && i < THREADS_SHOWN; i++) {
        ca_text_printf(text, "%s %" PRIu32, i ? "," : "", table->in_flight[i].tid);
    }
    ca_text_add(text, count > THREADS_SHOWN ? ", ..." : "");
    ca_text_add(text, ambiguous(table) ? "; done or not cannot be told)" : ")");
}

static void add_size(struct ca_text *text, uint64_t size)
{
    char buffer[CA_SIZE_TEXT];
    ca_format_size(buffer, (double)size, false);
    ca_text_add(text, buffer);
}

static bool has_failed(const struct ca_table *table)
{
    return table->address && table->root.state == TM_STATE_FAILED;
}

/* The table of a snapshot file has no root. */
static const char *words_of_state(const struct ca_table *table)
{
    if (!table->address || table->root.state == TM_STATE_TRACING) {
        return table->coverage.bypassed ? "" : ", every block traced";
    }
    return has_failed(table) ? ", NOTHING TRACED: the tracer could not make its tables" : ", not tracing";
}

/* "3 sources, ", "3 of 4 sources, " where one could not be read. */
static void add_sources(struct ca_text *text, const struct ca_coverage *coverage)
{
    if (coverage->sources) {
        ca_text_printf(text, "%" PRIu64, coverage->sources);
        if (coverage->unread) {
            ca_text_printf(text, " of %" PRIu64, coverage->sources + coverage->unread);
        }
        ca_text_add(text, coverage->sources + coverage->unread == 1 ? " source, " : " sources, ");
    }
}

static void add_sampling(struct ca_text *text, const struct ca_coverage *coverage)
{
    if (coverage->sources > coverage->sampled) {
        ca_text_printf(text, ", of %" PRIu64 " source%s", coverage->sampled,
                       coverage->sampled == 1 ? "" : "s");
    } else {
        ca_text_add(text, ",");
    }
    ca_text_add(text, " one sample per ");
    if (coverage->least_sample_bytes && coverage->least_sample_bytes < coverage->sample_bytes) {
        add_size(text, coverage->least_sample_bytes);
        ca_text_add(text, " to ");
    }
    add_size(text, coverage->sample_bytes);
}

/* The tracer came later than the program did. */
static void add_untraced_time(struct ca_text *text, const struct ca_table *table)
{
    double seconds = (double)table->coverage.untraced_time / 1e9;
    bool is_tracing = !table->address || table->root.state == TM_STATE_TRACING;
    if (seconds > 0 && is_tracing) {
        ca_text_printf(text,
                       " since %s%.1f seconds after the process started; blocks from before are unknown",
                       table->coverage.sources > 1 ? "up to " : "", seconds);
    }
}

void ca_coverage_add_text(struct ca_text *text, const char *what, const struct ca_table *table)
{
    const struct ca_coverage *coverage = &table->coverage;
    ca_text_printf(text, "%s: ", what);
    add_sources(text, coverage);
    ca_text_printf(text, "%" PRIu64 " blocks, %" PRIu64 " dropped", coverage->blocks, coverage->dropped);
    if (coverage->dropped) {
        ca_text_add(text, " (");
        add_size(text, coverage->dropped_size);
        ca_text_add(text, ")");
    }
    ca_text_printf(text, ", %" PRIu64 " in flight", coverage->in_flight);
    if (table->in_flight_count) {
        add_threads(text, table);
    }
    if (coverage->sample_bytes) {
        add_sampling(text, coverage);
    } else {
        ca_text_add(text, coverage->dropped ? ", all others traced" : words_of_state(table));
    }
    if (coverage->bypassed) {
        ca_text_add(text, ", THE PROGRAM HAS A malloc OF ITS OWN: only what that hands on is traced");
    }
    add_untraced_time(text, table);
    if (coverage->rejected) {
        ca_text_printf(text, ", %" PRIu64 " DAMAGED RECORDS LEFT OUT", coverage->rejected);
    }
    if (coverage->missing_bytes) {
        ca_text_printf(text, ", %s: ", coverage->truncated ? "TRUNCATED" : "INCOMPLETE");
        add_size(text, coverage->missing_bytes);
        ca_text_add(text, " of tables missing, sizes are lower bounds");
    } else if (coverage->truncated) {
        ca_text_add(text, ", truncated core, tables complete");
    }
    if (coverage->disagree) {
        ca_text_add(
            text,
            ", TOTALS DISAGREE: records or counters are incomplete or were overwritten, sizes may be wrong");
    }
    ca_text_add(text, "\n");
}

void ca_coverage_add_json(struct ca_json *json, const char *key, const struct ca_coverage *coverage)
{
    ca_json_line(json);
    ca_json_object_open(json, key);
    ca_json_unsigned(json, "blocks", coverage->blocks);
    ca_json_unsigned(json, "dropped", coverage->dropped);
    ca_json_unsigned(json, "dropped_size", coverage->dropped_size);
    ca_json_unsigned(json, "in_flight", coverage->in_flight);
    ca_json_boolean(json, "truncated", coverage->truncated);
    ca_json_unsigned(json, "missing_bytes", coverage->missing_bytes);
    ca_json_unsigned(json, "rejected", coverage->rejected);
    ca_json_boolean(json, "disagree", coverage->disagree);
    ca_json_unsigned(json, "sample_bytes", coverage->sample_bytes);
    if (coverage->sources) {
        ca_json_unsigned(json, "sources", coverage->sources);
        ca_json_unsigned(json, "unread_sources", coverage->unread);
        ca_json_unsigned(json, "sampled_sources", coverage->sampled);
    }
    if (coverage->bypassed) {
        ca_json_boolean(json, "bypassed", true);
    }
    if (coverage->untraced_time) {
        ca_json_unsigned(json, "untraced_time", coverage->untraced_time);
    }
    ca_json_object_close(json);
}

bool ca_coverage_is_complete(const struct ca_table *table)
{
    const struct ca_coverage *coverage = &table->coverage;
    return !coverage->truncated && !coverage->missing_bytes && !coverage->rejected && !coverage->disagree &&
           !coverage->bypassed && !coverage->unread && !ambiguous(table) && !has_failed(table);
}
