/* image.h: a made-up address space for tests of the reader, with the tracer's tables in it as a tracer would
 * have written them, to be read through callbacks or from an ELF core file around it. */
#ifndef TESTS_UNIT_IMAGE_H
#define TESTS_UNIT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coreanalyze/coreanalyze.h"
#include "tracer/layout.h"

enum {
    IMAGE_RANGES = 64,
    IMAGE_REGISTERS = 27,
    IMAGE_THREADS = 4,
    IMAGE_REGION_BYTES = 0x8000, /* of each table region */
    IMAGE_RSP = 19,              /* in struct user_regs_struct */
};

struct image_range {
    uint64_t address;
    uint8_t *bytes;
    size_t size;
    uint32_t protection;
    const char *path; /* NULL = anonymous */
    uint64_t offset;
    bool absent; /* mapped, but not dumped to a core */
};

struct image {
    struct image_range ranges[IMAGE_RANGES]; /* by address */
    size_t range_count;

    struct { /* how it is described */
        uint32_t pid;
        uint32_t tids[IMAGE_THREADS];
        uint64_t registers[IMAGE_THREADS][IMAGE_REGISTERS];
        size_t thread_count;
        int32_t signal;
        uint64_t auxv[16];
        size_t auxv_words;
        uint64_t hint;
        const char *name, *arguments;
    } process;

    struct { /* what callbacks did */
        size_t reads;
        size_t largest;
        size_t interrupt_at; /* the read of this number, from 1, is interrupted */
        bool interrupt_mappings;
        size_t mappings_described;
    } calls;

    uint64_t root_address;
    struct tm_root *root;
    bool is_spoilt; /* the checks of root and regions are left as they are when it is read */
    uint32_t string_size;
    uint64_t next_free[TM_REGION_HISTORY +
                       1]; /* per kind: address of the next directory, middle table or segment */
};

struct image *image_create(void);
void image_destroy(struct image *image);

/* Zeroed memory; the pointer is good until image_destroy. */
uint8_t *image_add(struct image *image, uint64_t address, size_t size, uint32_t protection, const char *path,
                   uint64_t offset);
uint8_t *image_at(struct image *image, uint64_t address);

/* Writes the checks of the root and its regions anew, whatever tests did to these. */
void image_seal(const struct image *image);
/* A target that reads the image through callbacks. Each read and each core seals it first. */
struct ca_target *image_target(struct image *image);
struct ca_callbacks image_callbacks(struct image *image);
/* An ELF core of it; caller frees *ret_bytes. The size. */
size_t image_core(const struct image *image, uint8_t **ret_bytes);
/* Writes the first `size` bytes to a new file under /tmp; its name, good until the next call. */
const char *image_file(const void *bytes, size_t size);

/* ------------------------------------------------------------------------------------------------------
 * tables
 *
 * The shapes of the regions are small, so that a few elements need several segments. */

struct image_shape {
    uint64_t root_address; /* 0: TM_PREFERRED_ADDRESS */
    uint64_t features;
    uint32_t header_extra;  /* bytes that the root is longer than ours, before the descriptors' end */
    uint32_t element_extra; /* bytes that elements are larger than ours */
};

/* Root, tracing, generation 1, one descriptor per kind that `features` asks for. */
void image_add_tables(struct image *image, const struct image_shape *shape);
struct tm_region *image_region(struct image *image, uint32_t kind);
/* The element, made with its segment when it is not there. */
void *image_element(struct image *image, uint32_t kind, uint64_t index);

uint32_t image_add_string(struct image *image, const char *string);
void image_add_module(struct image *image, uint32_t index, const char *path, uint64_t start, uint64_t end,
                      uint64_t bias);
/* Write the check anew after a field was changed. */
void image_seal_module(struct image *image, uint32_t index);
void image_seal_frame(struct image *image, uint32_t index);
void image_add_frame(struct image *image, uint32_t index, uint64_t word, uint32_t module);
/* frames: own ones, most recent first. */
void image_add_stack(struct image *image, uint32_t index, uint32_t parent, uint16_t shared,
                     const uint32_t *frames, uint16_t own, uint16_t total, uint16_t flags);
void image_set_stack_domain(struct image *image, uint32_t index, uint32_t domain);
void image_seal_stack(struct image *image, uint32_t index);
void image_set_live(struct image *image, uint64_t address, uint64_t size, uint32_t stack);
void image_clear_live(struct image *image, uint64_t address);
/* The live word that such a block has. */
uint64_t image_word(const struct image *image, uint64_t address, uint64_t size, uint32_t stack);
void image_set_wide(struct image *image, uint64_t index, uint32_t domain, uint64_t address, uint64_t size,
                    uint32_t stack);
/* An element of the history, with its check. */
void image_set_freed(struct image *image, uint64_t index, const struct tm_freed *freed);
/* Slot of a thread, used, of the root's generation. */
struct tm_thread *image_thread(struct image *image, uint64_t index, uint32_t tid);
/* Completed allocations on level 0 of thread slot 0. */
void image_count(struct image *image, uint64_t allocated_count, uint64_t allocated_size, uint64_t freed_count,
                 uint64_t freed_size);

/* ------------------------------------------------------------------------------------------------------
 * example
 *
 *   stack 2   frames 1 2 3
 *   stack 3   frames 4 2 3, the last two its parent's (2)
 *   stack 4   frames 5 6 3, the last one its parent's (3), cut by the limit
 *   stack 5   frame 3 alone, its parent's (4)
 *   stack 6   that of 2, in domain 1
 *   stack 7   that of 3, in domain 7
 * All frames lie in module 1, a file that does not exist, but frame 6, which lies in none. */
enum {
    EXAMPLE_BLOCKS = 8,
    EXAMPLE_SIZE = 100 + 20 + 0 + 7 + 5000 + 1 + 65536 + 9,
    EXAMPLE_MODULE = 0x400000,
};
struct example_block {
    uint64_t address, size;
    uint32_t domain, stack;
};
extern const struct example_block example_blocks[EXAMPLE_BLOCKS]; /* in order of domain and address */

struct image *image_example(const struct image_shape *shape);

#endif
