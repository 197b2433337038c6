/* memory.h: what the engine knows of a target's address space besides the tracer's tables: the object files
 * in it, the threads and their stacks. Made from the target when it is first asked for; see ca_target_memory.
 */
#ifndef CA_MEMORY_MEMORY_H
#define CA_MEMORY_MEMORY_H

#include "../source/source.h"
#include "../symbols/symbols.h"
#include "../table/table.h"

struct ca_memory;

/* All three are borrowed and must outlive it. */
struct ca_memory *ca_memory_create(struct ca_source *source, struct ca_table *table,
                                   struct ca_symbolizer *symbolizer, const struct ca_symbol_options *options,
                                   struct ca_error **ret_error);
void ca_memory_destroy(struct ca_memory *memory); /* NULL is allowed */

struct ca_source *ca_memory_source(const struct ca_memory *memory);
struct ca_table *ca_memory_table(const struct ca_memory *memory);

/* ------------------------------------------------------------------------------------------ object files */

/* An object file that is mapped now, whether or not the tracer recorded a frame of it. */
struct ca_image {
    struct ca_module module;          /* path and build-id; start, end: of all its segments, .bss too */
    struct ca_symbolizer *symbolizer; /* that knows it, as number `index` */
    uint32_t index;
};

/* By start, not overlapping. */
const struct ca_image *ca_memory_images(const struct ca_memory *memory, size_t *ret_count);
/* NULL = none there. */
const struct ca_image *ca_memory_image_at(const struct ca_memory *memory, uint64_t address);
/* Function or variable at an address; *ret_found false: no symbol covers it. */
bool ca_memory_name(struct ca_memory *memory, uint64_t address, struct ca_symbol_name *ret_name,
                    bool *ret_found, struct ca_error **ret_error);
/* Bytes of code at an address: those of the process, or its file's where the source has none. False only when
 * interrupted. */
bool ca_memory_code(struct ca_memory *memory, uint64_t address, void *buffer, size_t size, size_t *ret_size,
                    struct ca_error **ret_error);
/* Source positions of code, innermost first, as ca_symbolizer_find has them: `shown_delta` 1 for a return
 * address, of which the byte before is looked up. NULL with an error. Borrowed until the memory is destroyed.
 */
const struct ca_position *ca_memory_positions(struct ca_memory *memory, uint64_t address,
                                              unsigned shown_delta, size_t *ret_count,
                                              struct ca_error **ret_error);

/* ---------------------------------------------------------------------------------------------- threads */

/* Numbers in struct user_regs_struct of x86-64. */
enum ca_register {
    CA_R15,
    CA_R14,
    CA_R13,
    CA_R12,
    CA_RBP,
    CA_RBX,
    CA_R11,
    CA_R10,
    CA_R9,
    CA_R8,
    CA_RAX,
    CA_RCX,
    CA_RDX,
    CA_RSI,
    CA_RDI,
    CA_ORIG_RAX,
    CA_RIP,
    CA_CS,
    CA_EFLAGS,
    CA_RSP,
    CA_SS,
    CA_FS_BASE,
    CA_GS_BASE,
    CA_REGISTER_COUNT,
};

/* "rax"; NULL for a number that has no name. */
const char *ca_register_name(unsigned number);

struct ca_thread_state {
    uint32_t tid;
    const uint64_t *registers; /* struct user_regs_struct; borrowed */
    size_t register_count;
    uint64_t pc, sp;
    uint64_t tls; /* thread pointer: of glibc's struct pthread, which static TLS lies before; 0 = unknown */
    /* What the thread uses of its stack: [stack_start, stack_end), with the 128 bytes below the stack pointer
     * that functions may use. Both 0 where the stack pointer is in no mapping that can be written. The rest
     * of the mapping, down to stack_limit, holds what functions that have returned left there. A stack that
     * lies in a live block ends with it. */
    uint64_t stack_limit, stack_start, stack_end;
};

/* A call that is on a thread's stack. */
struct ca_stack_frame {
    uint64_t pc;
    uint64_t
        sp; /* its own part of the stack begins here, and ends where that of the next older frame begins */
    bool is_return; /* pc is a return address: the call is before it */
};

/* The calls on the stack of thread number `thread`, most recent first, by the unwind tables of the object
 * files; it ends where there are none. Made once; borrowed until the memory is destroyed. */
bool ca_memory_frames(struct ca_memory *memory, size_t thread, const struct ca_stack_frame **ret_frames,
                      size_t *ret_count, struct ca_error **ret_error);

/* The crashed thread first when known. */
const struct ca_thread_state *ca_memory_threads(const struct ca_memory *memory, size_t *ret_count);

#endif
