/* tables: preloaded behind libtm.so, it adds to the file that BENCH_TABLES names, at the end of a process,
 * what the tracer's memory holds, as tracer/layout.h describes it: "committed BYTES", "private BYTES", then
 * for each region "KIND ELEMENT_SIZE COUNT COMMITTED" (COUNT is -1 where the region does not count its
 * elements). */
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tracer/layout.h"

void bench_report_tables(void); /* for programs that end by a signal */

static void write_tables(int file, const struct tm_root *root)
{
    dprintf(file, "committed %" PRIu64 "\nprivate %" PRIu64 "\n", root->committed_bytes, root->private_bytes);
    for (uint32_t i = 0; i < root->region_count; i++) {
        const struct tm_region *region = &root->regions[i];
        dprintf(file, "%" PRIu32 " %" PRIu32 " %" PRId64 " %" PRIu64 "\n", region->kind, region->element_size,
                (int64_t)region->count, region->committed);
    }
}

__attribute__((visibility("default"), destructor)) void bench_report_tables(void)
{
    const char *path = getenv("BENCH_TABLES");
    const struct tm_beacon *beacon = dlsym(RTLD_DEFAULT, "tm_table");
    const struct tm_root *root = beacon ? (const struct tm_root *)(uintptr_t)beacon->root : NULL;
    if (!path || !root || root->major != TM_LAYOUT_MAJOR || root->region_size != sizeof(struct tm_region)) {
        return;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) {
        perror(path);
        return;
    }
    write_tables(file, root);
    close(file);
}
