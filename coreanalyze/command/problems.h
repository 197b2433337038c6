/* problems.h: modules of printed frames whose file is missing or is another build: the answer is partial and
 * says so. */
#ifndef CA_COMMAND_PROBLEMS_H
#define CA_COMMAND_PROBLEMS_H

#include "run.h"

/* A module's build-id in hexadecimal, "none" where it has none. */
#define CA_BUILD_ID_TEXT (2 * TM_BUILD_ID_MAX + 1)
void ca_build_id_format(char *buffer, const struct ca_module *module);

/* One message for each such module of the frames that the listing prints; sets run->partial then. */
bool ca_problems_print(struct ca_run *run, const struct ca_listing *listing, struct ca_error **ret_error);
/* One message for each module of which the two sides of a difference, or the sources of a sum, have different
 * builds, where the listing names its code by addresses alone: equal names may be different code then. */
bool ca_problems_print_builds(struct ca_run *run, const struct ca_listing *listing,
                              struct ca_error **ret_error);
/* Keeps what is to be said of a source of a sum, which is closed before anything is printed: the printing
 * functions say it, each message once. */
bool ca_problems_collect(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error);
void ca_problems_forget(struct ca_run *run);
/* As ca_problems_print for all modules that were looked at: for answers that print every frame. */
bool ca_problems_print_all(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error);

#endif
