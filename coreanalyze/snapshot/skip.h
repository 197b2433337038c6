/* skip.h: which frames at the recent end of a traceback are the allocator's.
 *
 * An allocator function's frame is (symbols/allocators.c), and so is one without a name that an allocator
 * function of the same module calls, at once or through a few others without names: what a stripped library's
 * asprintf does its work in. */
#ifndef CA_SNAPSHOT_SKIP_H
#define CA_SNAPSHOT_SKIP_H

#include "snapshot.h"

/* Frames without names between a block and the allocator function that they belong to; more are somebody's
 * own. */
#define CA_NAMELESS_MAX 4

/* Zero-initialise; then hand over the frames from the recent end on. */
struct ca_skip {
    size_t kept;     /* frames since the last one that was skipped */
    uint32_t module; /* of these, while undecided */
    bool undecided;  /* they have no names: the next one may show them to be the allocator's */
};

/* False: leave out this frame and all before it. */
static inline bool ca_skip_next(struct ca_skip *skip, const struct ca_frame *frame, bool is_allocator)
{
    if (is_allocator && (skip->kept == 0 || (skip->undecided && frame->module == skip->module))) {
        *skip = (struct ca_skip){0};
        return false;
    }
    bool nameless = frame->function == 0 && frame->module != 0;
    skip->undecided = nameless && (skip->kept == 0 || (skip->undecided && frame->module == skip->module &&
                                                       skip->kept < CA_NAMELESS_MAX));
    skip->module = frame->module;
    skip->kept++;
    return true;
}

/* Whether any frame can still be skipped. */
static inline bool ca_skip_goes_on(const struct ca_skip *skip)
{
    return skip->kept == 0 || skip->undecided;
}

#endif
