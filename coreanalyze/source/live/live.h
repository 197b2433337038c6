/* live.h: a process of this machine as a source. Parts of its memory are copied while it stands still, the
 * rest is read while it runs: what does not change (its modules' headers, its command line). */
#ifndef CA_SOURCE_LIVE_LIVE_H
#define CA_SOURCE_LIVE_LIVE_H

#include "../source.h"
#include "image.h"

/* Opens what there is to be read of the process, so that its owner's rights are enough afterwards. The memory
 * stays that of this program: when the process ends or runs another, nothing is read any more. A process
 * whose core the kernel is just writing stands still for that and is not stopped. */
struct ca_source *ca_source_open_process(uint32_t pid, struct ca_error **ret_error);

bool ca_source_is_process(const struct ca_source *source);

/* Says which parts of the memory are to be copied, reading the source itself. Called before the process is
 * stopped, so that room for as much can be made, and again while it stands. */
typedef bool ca_live_ranges(struct ca_source *source, void *context, struct ca_ranges *ranges,
                            struct ca_error **ret_error);

/* From now on ca_live_copy copies besides all pages in use that the process may write to, so that everything
 * that is read is of one moment. Takes as much memory as they have. */
void ca_live_copy_whole(struct ca_source *source);

/* Copies these parts at one moment. The threads and their registers are those of that moment, too. */
bool ca_live_copy(struct ca_source *source, ca_live_ranges *ranges, void *context,
                  struct ca_error **ret_error);

#endif
