/* location.c: physical positions, from the resolver or, for a snapshot built by hand, one for each frame. */
#include "location.h"

#include <stdlib.h>

#include "internal.h"

static bool locate_by_frames(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                             size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error)
{
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, traceback, SIZE_MAX, &count, ret_error);
    if (!frames && count > 0) {
        return false;
    }
    struct ca_location *locations = calloc(count ? count : 1, sizeof *locations);
    if (!locations) {
        return ca_fail_memory(ret_error);
    }
    for (size_t i = 0; i < count; i++) {
        locations[i] = (struct ca_location){.frame_count = 1, .frames = &frames[i]};
    }
    *ret_locations = locations;
    *ret_count = count;
    *ret_total = ca_snapshot_total_nframe(snapshot, traceback);
    return true;
}

bool ca_snapshot_locations(struct ca_snapshot *snapshot, uint32_t traceback, struct ca_location **ret_locations,
                           size_t *ret_count, uint32_t *ret_total, struct ca_error **ret_error)
{
    bool by_resolver = snapshot->resolver && snapshot->resolver->locate && traceback < snapshot->reserved_tracebacks;
    return (by_resolver ? snapshot->resolver->locate : locate_by_frames)(snapshot, traceback, ret_locations, ret_count,
                                                                         ret_total, ret_error);
}

const struct ca_mapped *ca_snapshot_mapped(struct ca_snapshot *snapshot, size_t *ret_count)
{
    if (snapshot->resolver && snapshot->resolver->mapped) {
        return snapshot->resolver->mapped(snapshot, ret_count);
    }
    *ret_count = 0;
    return NULL;
}
