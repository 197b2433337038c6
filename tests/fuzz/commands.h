/* commands.h: what every fuzz target does with what it opened: runs commands on it and looks at what they
 * write. */
#ifndef TESTS_FUZZ_COMMANDS_H
#define TESTS_FUZZ_COMMANDS_H

#include <stddef.h>
#include <stdint.h>

#include "coreanalyze/coreanalyze.h"

/* Runs the commands that read `target`, in several formats. Aborts when one of them writes a byte that acts
 * on a terminal, ends with an undocumented status, or fails without a word. */
void fuzz_commands(struct ca_target *target);

/* Likewise, of the sum of the file with itself. */
void fuzz_sum(const char *path);

/* A file that holds these bytes: its path, good until the next call. Nothing reaches a disk. */
const char *fuzz_file(const uint8_t *bytes, size_t size);

#endif
