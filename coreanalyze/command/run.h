/* run.h: one command line on its way: what the commands share. */
#ifndef CA_COMMAND_RUN_H
#define CA_COMMAND_RUN_H

#include "../output/listing.h"
#include "../output/sink.h"
#include "../target.h"
#include "options.h"

struct ca_run {
    const char *command; /* its name, for messages */
    struct ca_options options;
    const struct ca_output *output;
    struct ca_sink sink;
    struct ca_target
        *targets[2]; /* in the order of the operands; with a given target, that one is the last */
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
