/* image.h: a copy of parts of a process's memory, made while the process stands still: room is taken before,
 * with its pages there, so that copying is all that the process waits for. */
#ifndef CA_SOURCE_LIVE_IMAGE_H
#define CA_SOURCE_LIVE_IMAGE_H

#include "../../util/error.h"

struct ca_range {
    uint64_t start, end; /* end > start */
};

/* Zero-initialise. */
struct ca_ranges {
    struct ca_range *items;
    size_t count, capacity;
};

/* Adds a range; false when out of memory. Empty ones and those that wrap around are left out. */
bool ca_ranges_add(struct ca_ranges *ranges, uint64_t start, uint64_t size);
/* Sorts, and joins what overlaps or adjoins. */
void ca_ranges_join(struct ca_ranges *ranges);
uint64_t ca_ranges_size(const struct ca_ranges *ranges);
void ca_ranges_deinit(struct ca_ranges *ranges);

/* A joined range of the process and its bytes. */
struct ca_piece {
    uint64_t start, size; /* size: bytes that could be read */
    const uint8_t *bytes;
};

/* Zero-initialise. */
struct ca_copied {
    struct ca_piece *pieces; /* by address */
    size_t count;
    uint8_t *room; /* mapped */
    size_t room_size;
};

/* Makes room for as many bytes, and a sixteenth more. */
bool ca_copied_reserve(struct ca_copied *image, uint64_t size, struct ca_error **ret_error);
/* Copies joined ranges of the process, by process_vm_readv, or where that is not allowed through `memory`,
 * its open /proc/PID/mem. Bytes that are not there end a piece. */
bool ca_copied_copy(struct ca_copied *image, uint32_t pid, int memory, const struct ca_ranges *ranges,
                   struct ca_error **ret_error);
/* The piece that holds this address, or NULL. */
const struct ca_piece *ca_copied_find(const struct ca_copied *image, uint64_t address);
void ca_copied_deinit(struct ca_copied *image);

#endif
