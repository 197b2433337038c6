/* api.c: snapshot files for callers that are no command: see coreanalyze.h. */
#include <stdlib.h>

#include "profile.h"

struct ca_snapshot *ca_snapshot_load(const char *path, struct ca_error **ret_error)
{
    return ca_profile_load(path, NULL, 0, false, ret_error);
}

bool ca_snapshot_encode(struct ca_snapshot *snapshot, struct ca_lines *ret_lines, struct ca_error **ret_error)
{
    struct ca_text text = {0};
    size_t *ends = malloc(sizeof(*ends));
    if (ends == NULL || !ca_profile_encode(snapshot, NULL, &text, ret_error)) {
        if (ends == NULL) {
            ca_fail_memory(ret_error);
        }
        free(ends);
        ca_text_deinit(&text);
        return false;
    }
    ends[0] = text.size;
    *ret_lines = (struct ca_lines){.bytes = text.bytes, .size = text.size, .ends = ends, .count = 1};
    return true;
}
