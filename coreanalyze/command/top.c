/* top.c: the commands top and diff. */
#include "listings.h"

/* A snapshot file has no sums: --fail-over looks at those of a listing. */
static bool run_pprof(struct ca_run *run, struct ca_error **ret_error)
{
    bool done = true;
    if (run->options.fail_over.given) {
        struct ca_listing_owner owner;
        done = ca_listing_init(&owner, run, run->targets[0], ret_error);
        if (done) {
            ca_listing_check(&owner, run);
        }
        ca_listing_deinit(&owner);
    }
    return done && ca_run_save(run, ret_error);
}

bool ca_run_top(struct ca_run *run, struct ca_error **ret_error)
{
    if (run->options.format == CA_FORMAT_PPROF) {
        return run_pprof(run, ret_error);
    }
    struct ca_listing_owner owner;
    bool done =
        ca_listing_init(&owner, run, run->targets[0], ret_error) && ca_listing_write(&owner, run, ret_error);
    ca_listing_deinit(&owner);
    return done;
}

bool ca_run_diff(struct ca_run *run, struct ca_error **ret_error)
{
    struct ca_listing_owner owner;
    bool done = ca_listing_init_diff(&owner, run, run->targets[0], run->targets[1], ret_error) &&
                ca_listing_write(&owner, run, ret_error);
    ca_listing_deinit(&owner);
    return done;
}
