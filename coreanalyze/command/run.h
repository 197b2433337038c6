/* run.h: one command line on its way: what the commands share. */
#ifndef CA_COMMAND_RUN_H
#define CA_COMMAND_RUN_H

#include "../output/listing.h"
#include "../output/sink.h"
#include "../target.h"
#include "options.h"

struct ca_problem;

struct ca_run {
    const char *command; /* its name, for messages */
    struct ca_options options;
    const struct ca_output *output;
    struct ca_sink sink;
    struct ca_target
        *targets[2]; /* in the order of the operands; with a given target, that one is the last */
    bool needs_memory;   /* the command looks at the memory itself */
    size_t source_count; /* SOURCEs that the command line names: operands, then processes */
    bool is_sum;         /* targets[0] is the sum of them, in which the filters have been applied */
    struct ca_problem *problems; /* of the sources of a sum: problems.h */
    size_t problem_count;
    uint64_t address; /* of a command that is about one */
    struct ca_look look;      /* of text, on a terminal */
    const char *place_module; /* report: path of the module in which the process crashed; NULL = none */
    bool partial; /* the answer is: CA_PARTIAL */
    bool over;    /* --fail-over was exceeded: CA_OVER */
};

/* One line on stream 2, with "coreanalyze: " before and a newline after it; what would not be safe on a
 * terminal is escaped. */
void ca_message_print(const struct ca_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One line on stream 2, with "coreanalyze: " before it, and the error destroyed. */
void ca_message_print_error(const struct ca_output *output, struct ca_error *error);

/* One of the command line's sources; caller frees with ca_target_destroy. */
struct ca_target *ca_run_open(const struct ca_run *run, size_t number, struct ca_error **ret_error);
/* The sum of all of them, each closed before the next one is opened. Those that cannot be read are messages
 * and make the answer partial; none left is an error. Sets run->is_sum. blocks: as ca_run_save needs it. */
struct ca_target *ca_run_open_sum(struct ca_run *run, bool blocks, struct ca_error **ret_error);

/* The commands. Each adds its answer to run->sink; false with an error when there is none. */
bool ca_run_report(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_top(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_diff(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_traces(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_block(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_blocks(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_leaks(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_refs(struct ca_run *run, struct ca_error **ret_error);
bool ca_run_info(struct ca_run *run, struct ca_error **ret_error);
/* Also what --format pprof of top and traces is. */
bool ca_run_save(struct ca_run *run, struct ca_error **ret_error);

#endif
