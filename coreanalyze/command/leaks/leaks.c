/* leaks.c: the command leaks: blocks that nothing reaches. */
#include <inttypes.h>
#include <string.h>

#include "../../output/coverage.h"
#include "../problems.h"
#include "found.h"

static void fail_over_check(const struct ca_leaks_found *found, struct ca_run *run)
{
    run->over = run->options.fail_over.given && found->size > run->options.fail_over.value;
    if (run->over) {
        struct ca_text number = {0};
        ca_text_add_unsigned(&number, found->size);
        ca_message_print(run->output, "%s bytes are leaked, more than --fail-over %" PRIu64,
                         number.failed ? "?" : number.bytes, run->options.fail_over.value);
        ca_text_deinit(&number);
    }
}

/* Where the format has no place for them, notes and coverage are messages. */
static void notes_message(const struct ca_leaks_found *found, struct ca_run *run)
{
    struct ca_text text = {0};
    ca_leaks_add_suppressed(found, &text);
    ca_leaks_add_notes(found, &text);
    ca_coverage_add_text(&text, "coverage", found->table);
    char *rest = text.failed ? NULL : text.bytes;
    for (char *end; rest && (end = strchr(rest, '\n')); rest = end + 1) {
        *end = '\0';
        ca_message_print(run->output, "%s", rest);
    }
    ca_text_deinit(&text);
}

bool ca_run_leaks(struct ca_run *run, struct ca_error **ret_error)
{
    static bool (*const writers[])(const struct ca_leaks_found *, struct ca_error **) = {
        [CA_FORMAT_TEXT] = ca_leaks_write_text,         [CA_FORMAT_JSON] = ca_leaks_write_json,
        [CA_FORMAT_CSV] = ca_leaks_write_csv,           [CA_FORMAT_FOLDED] = ca_leaks_write_folded,
        [CA_FORMAT_SPEEDSCOPE] = ca_leaks_write_flames, [CA_FORMAT_HTML] = ca_leaks_write_flames,
    };
    struct ca_leaks_found found;
    int format = run->options.format;
    bool done = ca_leaks_find(&found, run, ret_error) && writers[format](&found, ret_error);
    if (done) {
        run->partial = !ca_coverage_is_complete(found.table) || found.reach->missing_bytes;
        if (format == CA_FORMAT_CSV || format == CA_FORMAT_FOLDED || format == CA_FORMAT_SPEEDSCOPE) {
            notes_message(&found, run);
        }
        fail_over_check(&found, run);
        done = ca_problems_print_all(run, run->targets[0], ret_error);
    }
    ca_leaks_deinit(&found);
    return done;
}
