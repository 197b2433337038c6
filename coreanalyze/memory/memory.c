/* memory.c: see memory.h. */
#include "memory.h"

#include <elf.h>
#include <stdlib.h>

#include "../util/grow.h"
#include "images.h"
#include "unwind.h"

enum {
    RED_ZONE = 128,      /* bytes below the stack pointer that a function may use (x86-64 ABI) */
    PTHREAD_SIZE = 2304, /* glibc's struct pthread, which ends a thread's stack; rounded up to a page */
    PAGE_SIZE = 4096,
    WRITABLE = 2,
    AARCH64_SP = 31, /* in user_regs_struct: Linux arch/arm64/include/uapi/asm/ptrace.h */
    AARCH64_PC = 32,
};

struct ca_memory {
    struct ca_source *source;
    struct ca_table *table;
    struct ca_symbolizer *symbolizer;
    struct ca_images images;
    struct ca_thread_state *threads;
    size_t thread_count;
    struct ca_unwound *unwound; /* by thread */
};

/* ---------------------------------------------------------------------------------------------- threads */

const char *ca_register_name(unsigned number)
{
    static const char *const names[CA_REGISTER_COUNT] = {
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx",
        "rdx", "rsi", "rdi", NULL,  "rip", NULL,  NULL,  "rsp", NULL, NULL, NULL,
    };
    return number < CA_REGISTER_COUNT ? names[number] : NULL;
}

/* A thread that glibc made has its struct pthread at the end of its stack. What the kernel has merged with
 * the stack's mapping begins behind it. */
static uint64_t stack_end(const struct ca_mapping *mapping, const struct ca_thread_state *thread)
{
    uint64_t end = mapping->end;
    if (thread->tls > thread->sp && thread->tls < mapping->end) {
        uint64_t own = (thread->tls + PTHREAD_SIZE + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
        end = own < end ? own : end;
    }
    return end;
}

static bool stack_find(struct ca_memory *memory, struct ca_thread_state *thread, struct ca_error **ret_error)
{
    const struct ca_mapping *mapping = ca_source_mapping_at(memory->source, thread->sp);
    struct ca_block block;
    bool found = false;
    if (!mapping || !(mapping->protection & WRITABLE)) {
        return true;
    }
    if (!ca_table_block_around(memory->table, thread->sp, &block, &found, ret_error)) {
        return false;
    }
    thread->stack_limit = found ? block.address : mapping->start;
    thread->stack_end = found ? block.address + block.size : stack_end(mapping, thread);
    thread->stack_start =
        thread->sp - thread->stack_limit > RED_ZONE ? thread->sp - RED_ZONE : thread->stack_limit;
    return true;
}

static bool threads_read(struct ca_memory *memory, struct ca_error **ret_error)
{
    const struct ca_process *process = ca_source_process(memory->source);
    size_t count;
    const struct ca_thread *threads = ca_source_threads(memory->source, &count);
    memory->threads = calloc(count + 1, sizeof *memory->threads);
    if (!memory->threads) {
        return ca_fail_memory(ret_error);
    }
    memory->unwound = calloc(count + 1, sizeof *memory->unwound);
    if (!memory->unwound) {
        return ca_fail_memory(ret_error);
    }
    bool known = process->machine == EM_X86_64, other = process->machine == EM_AARCH64;
    size_t pc = other ? AARCH64_PC : CA_RIP, sp = other ? AARCH64_SP : CA_RSP;
    for (size_t i = 0; i < count; i++) {
        bool complete = (known || other) && threads[i].register_count > (other ? AARCH64_PC : CA_RSP);
        struct ca_thread_state *thread = &memory->threads[i];
        *thread = (struct ca_thread_state){
            .tid = threads[i].tid,
            .registers = threads[i].registers,
            .register_count = threads[i].register_count,
            .pc = complete ? threads[i].registers[pc] : 0,
            .sp = complete ? threads[i].registers[sp] : 0,
            .tls = known && threads[i].register_count > CA_FS_BASE ? threads[i].registers[CA_FS_BASE] : 0,
        };
        memory->thread_count = i + 1;
        if (!stack_find(memory, thread, ret_error)) {
            return false;
        }
    }
    return true;
}

const struct ca_thread_state *ca_memory_threads(const struct ca_memory *memory, size_t *ret_count)
{
    *ret_count = memory->thread_count;
    return memory->threads;
}

bool ca_memory_frames(struct ca_memory *memory, size_t thread, const struct ca_stack_frame **ret_frames,
                      size_t *ret_count, struct ca_error **ret_error)
{
    struct ca_unwound *unwound = &memory->unwound[thread];
    if (!unwound->frames && !ca_unwind(memory, &memory->threads[thread], unwound, ret_error)) {
        return false;
    }
    *ret_frames = unwound->frames;
    *ret_count = unwound->count;
    return true;
}

/* ----------------------------------------------------------------------------------------- object files */

const struct ca_image *ca_memory_images(const struct ca_memory *memory, size_t *ret_count)
{
    *ret_count = memory->images.count;
    return memory->images.items;
}

const struct ca_image *ca_memory_image_at(const struct ca_memory *memory, uint64_t address)
{
    size_t low = 0, high = memory->images.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memory->images.items[middle].module.start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct ca_image *image = low ? &memory->images.items[low - 1] : NULL;
    return image && address < image->module.end ? image : NULL;
}

bool ca_memory_name(struct ca_memory *memory, uint64_t address, struct ca_symbol_name *ret_name,
                    bool *ret_found, struct ca_error **ret_error)
{
    const struct ca_image *image = ca_memory_image_at(memory, address);
    *ret_found = false;
    return !image ||
           ca_symbolizer_name(image->symbolizer, image->index, address, ret_name, ret_found, ret_error);
}

bool ca_memory_code(struct ca_memory *memory, uint64_t address, void *buffer, size_t size, size_t *ret_size,
                    struct ca_error **ret_error)
{
    const struct ca_image *image = ca_memory_image_at(memory, address);
    if (!ca_source_read_some(memory->source, address, buffer, size, ret_size, ret_error)) {
        return false;
    }
    if (*ret_size == 0 && image) {
        *ret_size = ca_symbolizer_bytes(image->symbolizer, image->index, address, buffer, size);
    }
    return true;
}

const struct ca_position *ca_memory_positions(struct ca_memory *memory, uint64_t address,
                                              unsigned shown_delta, size_t *ret_count,
                                              struct ca_error **ret_error)
{
    uint64_t looked_up = address - shown_delta;
    const struct ca_image *image = ca_memory_image_at(memory, looked_up);
    struct ca_symbolizer *symbolizer = image ? image->symbolizer : memory->symbolizer;
    const struct ca_position *positions =
        ca_symbolizer_find(symbolizer, image ? image->index : 0, looked_up, shown_delta, ret_count);
    if (!positions) {
        ca_fail_memory(ret_error);
    }
    return positions;
}

/* -------------------------------------------------------------------------------------------------- life */

struct ca_memory *ca_memory_create(struct ca_source *source, struct ca_table *table,
                                   struct ca_symbolizer *symbolizer, const struct ca_symbol_options *options,
                                   struct ca_error **ret_error)
{
    if (!ca_source_described(source, ret_error)) {
        return NULL;
    }
    struct ca_memory *memory = calloc(1, sizeof *memory);
    if (!memory) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    memory->source = source;
    memory->table = table;
    memory->symbolizer = symbolizer;
    if (!ca_images_read(&memory->images, source, table, symbolizer, options, ret_error) ||
        !threads_read(memory, ret_error)) {
        ca_memory_destroy(memory);
        return NULL;
    }
    return memory;
}

void ca_memory_destroy(struct ca_memory *memory)
{
    if (memory) {
        ca_images_deinit(&memory->images);
        for (size_t i = 0; memory->unwound && i < memory->thread_count; i++) {
            free(memory->unwound[i].frames);
        }
        free(memory->unwound);
        free(memory->threads);
        free(memory);
    }
}

struct ca_source *ca_memory_source(const struct ca_memory *memory)
{
    return memory->source;
}

struct ca_table *ca_memory_table(const struct ca_memory *memory)
{
    return memory->table;
}
