/* told.h: what commands about addresses say of blocks: by whom and where they were allocated and freed. */
#ifndef CA_COMMAND_TOLD_H
#define CA_COMMAND_TOLD_H

#include "../../memory/place.h"
#include "../../output/json.h"
#include "../run.h"

/* What it is told from; all borrowed. */
struct ca_teller {
    const struct ca_run *run;
    struct ca_memory *memory;
    struct ca_table *table;
    struct ca_snapshot *snapshot; /* with the command line's --skip and --no-skip */
    uint64_t newest;              /* time stamp that ages count to */
};

/* Of the run's first target. Fails with CA_USAGE for a snapshot file. */
bool ca_teller_init(struct ca_teller *teller, const struct ca_run *run, struct ca_error **ret_error);

/* One side of a block's life: who did it, when, where. */
struct ca_deed {
    uint32_t thread; /* 0 = not known */
    uint64_t time;   /* 0 = not known */
    uint32_t stack;
};
struct ca_deed ca_deed_of_allocation(const struct ca_block *block);
struct ca_deed ca_deed_of_free(const struct ca_freed *freed);

/* "allocated by thread 4711, 0.5 s before the newest record:", with what is known of it, and the traceback on
 * the lines after it. `what`: "allocated". */
bool ca_tell_deed(const struct ca_teller *teller, struct ca_text *text, const char *what,
                  const struct ca_deed *deed, struct ca_error **ret_error);
/* {"thread","age_seconds","traceback"} */
bool ca_tell_deed_json(const struct ca_teller *teller, struct ca_json *json, const char *key,
                       const struct ca_deed *deed, struct ca_error **ret_error);

/* The live blocks next to a block, or to an address that is in none, and in one mapping with it. size: of the
 * block; 0 = an address. */
bool ca_tell_neighbours_find(const struct ca_teller *teller, uint32_t domain, uint64_t address, uint64_t size,
                             struct ca_neighbours *ret_neighbours, struct ca_error **ret_error);
/* "Before it: a live block of 32 bytes at 0x..., whose end is 16 bytes away" and its traceback; the same
 * after it. */
bool ca_tell_neighbours(const struct ca_teller *teller, struct ca_text *text, uint64_t address, uint64_t size,
                        const struct ca_neighbours *neighbours, struct ca_error **ret_error);

#endif
