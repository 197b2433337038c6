/* kept.c: what a debugger keeps of a process that goes on, and what it asks about one address
 * (coreanalyze.h). */
#include "profile/profile.h"
#include "target.h"

struct ca_target *ca_target_keep(struct ca_target *target, const char *name, struct ca_error **ret_error)
{
    struct ca_text bytes = {0};
    if (!ca_target_snapshot_bytes(target, &bytes, ret_error)) {
        ca_text_deinit(&bytes);
        return NULL;
    }
    return ca_target_create_kept(name, bytes.bytes, bytes.size, ret_error);
}

struct ca_moment *ca_moment_keep(struct ca_target *target, struct ca_error **ret_error)
{
    struct ca_table *table = ca_target_table(target, ret_error);
    struct ca_snapshot *snapshot = table ? ca_target_snapshot(target, NULL, 0, false, ret_error) : NULL;
    return snapshot ? ca_moment_create(table, snapshot, ret_error) : NULL;
}

struct ca_target *ca_moment_open(const struct ca_moment *moment, struct ca_target *target,
                                 struct ca_error **ret_error)
{
    return ca_target_create_moment(moment, target, ret_error);
}

bool ca_target_find_around(struct ca_target *target, uint64_t address, struct ca_around *ret_around,
                           bool *ret_found, struct ca_error **ret_error)
{
    struct ca_block block = {0};
    struct ca_table *table = ca_target_table(target, ret_error);
    if (!table || !ca_table_block_around(table, address, &block, ret_found, ret_error)) {
        return false;
    }
    *ret_around = (struct ca_around){.base = block.address, .size = block.size, .domain = block.domain};
    return true;
}
