/* problems.h: modules of printed frames whose file is missing or is another build: the answer is partial and says so. */
#ifndef CA_COMMAND_PROBLEMS_H
#define CA_COMMAND_PROBLEMS_H

#include "run.h"

/* One message for each such module of the frames that the listing prints; sets run->partial if there is one. */
bool ca_problems_print(struct ca_run *run, const struct ca_listing *listing, struct ca_error **ret_error);
/* The same for all modules that were looked at: for answers that print every frame. */
bool ca_problems_print_all(struct ca_run *run, struct ca_target *target, struct ca_error **ret_error);

#endif
