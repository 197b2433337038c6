/* attach.c: see attach.h. */
#include "attach.h"

#include "source/live/live.h"

#define ATTEMPTS 3

static bool table_ranges(struct ca_source *source, void *context, struct ca_ranges *ranges,
                         struct ca_error **ret_error)
{
    const uint64_t *root = context;
    return ca_table_add_ranges(source, *root, ranges, ret_error);
}

uint64_t ca_attach(struct ca_source *source, const char *sysroot, enum ca_route *ret_route,
                   struct ca_error **ret_error)
{
    struct ca_error *error = NULL;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        ca_error_destroy(error);
        error = NULL;
        uint64_t root = ca_table_find(source, sysroot, CA_ROUTE_ALL, ret_route, &error);
        if (root && ca_live_copy(source, table_ranges, &root, &error)) {
            return root;
        }
        if (!root) {
            break;
        }
        ca_source_invalidate(source);
    }
    if (ret_error) {
        *ret_error = error;
    } else {
        ca_error_destroy(error);
    }
    return 0;
}
