/* image.c: see image.h. */
#include "image.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "image: %s\n", what);
    abort();
}

/* ------------------------------------------------------------------------------------------ memory */

struct image *image_create(void)
{
    struct image *image = calloc(1, sizeof(*image));
    if (!image) {
        fail("out of memory");
    }
    image->process.pid = 4711;
    image->process.tids[0] = 4711;
    image->process.thread_count = 1;
    image->process.name = "victim";
    image->process.arguments = "victim --now";
    return image;
}

void image_destroy(struct image *image)
{
    for (size_t i = 0; i < image->range_count; i++) {
        free(image->ranges[i].bytes);
    }
    free(image);
}

uint8_t *image_add(struct image *image, uint64_t address, size_t size, uint32_t protection, const char *path,
                   uint64_t offset)
{
    size_t at = image->range_count;
    if (at == IMAGE_RANGES) {
        fail("too many ranges");
    }
    for (; at > 0 && image->ranges[at - 1].address > address; at--) {
        image->ranges[at] = image->ranges[at - 1];
    }
    image->ranges[at] = (struct image_range){
        .address = address,
        .bytes = calloc(1, size),
        .size = size,
        .protection = protection,
        .path = path,
        .offset = offset,
    };
    image->range_count++;
    return image->ranges[at].bytes;
}

static const struct image_range *range_at(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *range = &image->ranges[i];
        if (address - range->address < range->size) {
            return range;
        }
    }
    return NULL;
}

uint8_t *image_at(struct image *image, uint64_t address)
{
    const struct image_range *range = range_at(image, address);
    if (!range) {
        fail("no such address");
    }
    return range->bytes + (address - range->address);
}

/* --------------------------------------------------------------------------------------- callbacks */

void image_seal(const struct image *image)
{
    struct tm_root *root = image->root;
    if (!root || image->is_spoilt) {
        return;
    }
    root->check = tm_root_check(root);
    size_t size = root->region_size < sizeof(struct tm_region) ? sizeof(struct tm_region) : root->region_size;
    for (uint32_t i = 0; i < root->region_count && i < TM_REGION_MAX && size <= 4096 / TM_REGION_MAX; i++) {
        struct tm_region *region = (struct tm_region *)((uint8_t *)root->regions + i * size);
        region->check = tm_region_check(region);
    }
}

static size_t read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    struct image *image = context;
    image_seal(image);
    image->calls.reads++;
    image->calls.largest = size > image->calls.largest ? size : image->calls.largest;
    if (image->calls.reads == image->calls.interrupt_at) {
        return CA_READ_INTERRUPTED;
    }
    size_t filled = 0;
    while (filled < size) {
        const struct image_range *range = range_at(image, address + filled);
        if (!range) {
            break;
        }
        size_t within = (size_t)(address + filled - range->address);
        size_t step = range->size - within < size - filled ? range->size - within : size - filled;
        memcpy((uint8_t *)buffer + filled, range->bytes + within, step);
        filled += step;
    }
    return filled;
}

static size_t describe_process(void *context, struct ca_target *target)
{
    const struct image *image = context;
    ca_target_set_process(target, image->process.pid, EM_X86_64, image->process.signal,
                          image->process.tids[0], image->process.name, image->process.arguments);
    ca_target_set_auxv(target, image->process.auxv, image->process.auxv_words * sizeof(uint64_t));
    return 0;
}

static size_t describe_mappings(void *context, struct ca_target *target)
{
    struct image *image = context;
    image->calls.mappings_described++;
    if (image->calls.interrupt_mappings) {
        return CA_READ_INTERRUPTED;
    }
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *range = &image->ranges[i];
        ca_target_add_mapping(target, range->address, range->address + range->size, range->offset,
                              range->protection, range->path);
    }
    return 0;
}

static size_t describe_threads(void *context, struct ca_target *target)
{
    const struct image *image = context;
    for (size_t i = 0; i < image->process.thread_count; i++) {
        ca_target_add_thread(target, image->process.tids[i], image->process.registers[i], IMAGE_REGISTERS);
    }
    return 0;
}

static size_t describe_modules(void *context, struct ca_target *target)
{
    const struct image *image = context;
    ca_target_set_table(target, image->process.hint);
    return 0;
}

struct ca_callbacks image_callbacks(struct image *image)
{
    return (struct ca_callbacks){
        .context = image,
        .read_memory = read_memory,
        .describe_process = describe_process,
        .describe_mappings = describe_mappings,
        .describe_threads = describe_threads,
        .describe_modules = describe_modules,
    };
}

struct ca_target *image_target(struct image *image)
{
    struct ca_callbacks callbacks = image_callbacks(image);
    struct ca_target *target = ca_target_create(&callbacks, NULL, NULL);
    if (!target) {
        fail("no target");
    }
    return target;
}

/* --------------------------------------------------------------------------------------- core file */

struct buffer {
    uint8_t *bytes;
    size_t size;
};

static size_t append(struct buffer *buffer, const void *bytes, size_t size)
{
    size_t at = buffer->size;
    buffer->bytes = realloc(buffer->bytes, at + size + 1);
    if (!buffer->bytes) {
        fail("out of memory");
    }
    if (size) {
        memcpy(buffer->bytes + at, bytes, size);
    }
    buffer->size += size;
    return at;
}

static void pad(struct buffer *buffer, size_t alignment)
{
    while (buffer->size % alignment) {
        append(buffer, "", 1);
    }
}

static void append_note(struct buffer *notes, uint32_t type, const void *bytes, size_t size)
{
    Elf64_Nhdr header = {.n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type};
    append(notes, &header, sizeof(header));
    append(notes, "CORE", 5);
    pad(notes, 4);
    append(notes, bytes, size);
    pad(notes, 4);
}

static void append_thread_note(struct buffer *notes, const struct image *image, size_t thread)
{
    uint8_t status[336] = {0}; /* struct elf_prstatus of x86-64 */
    int16_t signal = (int16_t)image->process.signal;
    memcpy(status + 12, &signal, sizeof(signal));
    memcpy(status + 32, &image->process.tids[thread], 4);
    memcpy(status + 112, image->process.registers[thread], sizeof(image->process.registers[thread]));
    append_note(notes, NT_PRSTATUS, status, sizeof(status));
}

static void append_process_note(struct buffer *notes, const struct image *image)
{
    uint8_t info[136] = {0}; /* struct elf_prpsinfo */
    memcpy(info + 24, &image->process.pid, 4);
    strncpy((char *)info + 40, image->process.name, 15);
    strncpy((char *)info + 56, image->process.arguments, 79);
    append_note(notes, NT_PRPSINFO, info, sizeof(info));
}

static void append_file_note(struct buffer *notes, const struct image *image)
{
    struct buffer entries = {0}, names = {0};
    uint64_t header[2] = {0, 4096};
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *range = &image->ranges[i];
        if (range->path) {
            uint64_t entry[3] = {range->address, range->address + range->size, range->offset / 4096};
            append(&entries, entry, sizeof(entry));
            append(&names, range->path, strlen(range->path) + 1);
            header[0]++;
        }
    }
    struct buffer all = {0};
    append(&all, header, sizeof(header));
    append(&all, entries.bytes, entries.size);
    append(&all, names.bytes, names.size);
    append_note(notes, NT_FILE, all.bytes, all.size);
    free(entries.bytes);
    free(names.bytes);
    free(all.bytes);
}

/* In the kernel's order: the first thread, then the process, then the other threads. */
static struct buffer make_notes(const struct image *image)
{
    struct buffer notes = {0};
    append_thread_note(&notes, image, 0);
    append_process_note(&notes, image);
    uint8_t siginfo[128] = {0};
    memcpy(siginfo, &image->process.signal, sizeof(image->process.signal));
    append_note(&notes, NT_SIGINFO, siginfo, sizeof(siginfo));
    append_note(&notes, NT_AUXV, image->process.auxv, image->process.auxv_words * sizeof(uint64_t));
    append_file_note(&notes, image);
    for (size_t i = 1; i < image->process.thread_count; i++) {
        append_thread_note(&notes, image, i);
    }
    return notes;
}

size_t image_core(const struct image *image, uint8_t **ret_bytes)
{
    image_seal(image);
    struct buffer notes = make_notes(image), file = {0};
    size_t count = image->range_count + 1;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)count,
    };
    append(&file, &header, sizeof(header));
    size_t notes_at = sizeof(header) + count * sizeof(Elf64_Phdr);
    size_t data = (notes_at + notes.size + 4095) / 4096 * 4096;
    Elf64_Phdr program = {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes.size, .p_align = 4};
    append(&file, &program, sizeof(program));
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *range = &image->ranges[i];
        program = (Elf64_Phdr){
            .p_type = PT_LOAD,
            .p_flags = (range->protection & 1 ? PF_R : 0) | (range->protection & 2 ? PF_W : 0) |
                       (range->protection & 4 ? PF_X : 0),
            .p_offset = data,
            .p_vaddr = range->address,
            .p_filesz = range->absent ? 0 : range->size,
            .p_memsz = range->size,
            .p_align = 4096,
        };
        append(&file, &program, sizeof(program));
        data += range->absent ? 0 : (range->size + 4095) / 4096 * 4096;
    }
    append(&file, notes.bytes, notes.size);
    for (size_t i = 0; i < image->range_count; i++) {
        pad(&file, 4096);
        append(&file, image->ranges[i].bytes, image->ranges[i].absent ? 0 : image->ranges[i].size);
    }
    free(notes.bytes);
    *ret_bytes = file.bytes;
    return file.size;
}

const char *image_file(const void *bytes, size_t size)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/tm-image-XXXXXX");
    int file = mkstemp(path);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) {
        fail("cannot write a file");
    }
    close(file);
    return path;
}

/* ----------------------------------------------------------------------------------------- regions */

struct region_shape {
    uint32_t kind;
    uint32_t element_size;
    uint32_t segment_shift;
    uint32_t directory_length;
    uint32_t middle_bits;
    uint32_t key_shift;
    uint64_t feature; /* made when the image has it; 0 = always */
};

static const struct region_shape shapes[] = {
    {TM_REGION_THREADS, sizeof(struct tm_thread), 1, 8, 0, 0, 0},
    {TM_REGION_MODULES, sizeof(struct tm_module), 1, 8, 0, 0, 0},
    {TM_REGION_STRINGS, 1, 8, 16, 0, 0, 0},
    {TM_REGION_FRAMES, sizeof(struct tm_frame), 2, 32, 0, 0, 0},
    {TM_REGION_STACKS, sizeof(struct tm_stack), 2, 32, 0, 0, 0},
    {TM_REGION_STACK_FRAMES, sizeof(uint32_t), 3, 32, 0, 0, 0},
    {TM_REGION_LIVE, sizeof(uint64_t), 5, 32, 4, 5, 0}, /* addresses below 512 KiB */
    {TM_REGION_STATS, sizeof(struct tm_stack_stats), 2, 32, 0, 0, TM_FEATURE_STATS},
    {TM_REGION_WIDE, sizeof(struct tm_wide), 1, 32, 0, 0, 0},
    {TM_REGION_HISTORY, sizeof(struct tm_freed), 2, 8, 0, 0, TM_FEATURE_FREED},
};

static uint64_t region_memory(const struct image *image, uint32_t kind)
{
    return image->root_address + 0x10000 + (uint64_t)kind * IMAGE_REGION_BYTES;
}

static uint64_t region_take(struct image *image, uint32_t kind, uint64_t size)
{
    uint64_t address = image->next_free[kind];
    image->next_free[kind] += (size + 7) / 8 * 8;
    if (image->next_free[kind] > region_memory(image, kind) + IMAGE_REGION_BYTES) {
        fail("a region is full");
    }
    return address;
}

static void add_region(struct image *image, const struct image_shape *shape, const struct region_shape *of)
{
    struct tm_region *region = &image->root->regions[image->root->region_count++];
    bool detail = of->kind == TM_REGION_LIVE && (shape->features & TM_FEATURE_DETAIL);
    bool extra = of->kind != TM_REGION_STRINGS && of->kind != TM_REGION_STACK_FRAMES;
    image->next_free[of->kind] = region_memory(image, of->kind);
    *region = (struct tm_region){
        .kind = of->kind,
        .element_size = (detail ? (uint32_t)sizeof(struct tm_live_detail) : of->element_size) +
                        (extra ? shape->element_extra : 0),
        .segment_shift = of->segment_shift,
        .directory = region_take(image, of->kind, 8 * of->directory_length),
        .directory_length = of->directory_length,
        .middle_bits = of->middle_bits,
        .key_shift = of->key_shift,
        .count = of->kind == TM_REGION_LIVE || of->kind == TM_REGION_WIDE ? UINT64_MAX : 0,
    };
}

void image_add_tables(struct image *image, const struct image_shape *shape)
{
    uint64_t address = shape->root_address ? shape->root_address : TM_PREFERRED_ADDRESS;
    image->root_address = address;
    image->root = (struct tm_root *)image_add(
        image, address, 0x10000 + (TM_REGION_HISTORY + 1) * IMAGE_REGION_BYTES, 3, NULL, 0);
    *image->root = (struct tm_root){
        .magic = TM_ROOT_MAGIC,
        .major = TM_LAYOUT_MAJOR,
        .minor = TM_LAYOUT_MINOR,
        .byte_order = TM_BYTE_ORDER_PROBE,
        .header_size = sizeof(struct tm_root) + shape->header_extra,
        .machine = EM_X86_64,
        .self = address,
        .pid = image->process.pid,
        .state = TM_STATE_TRACING,
        .features = shape->features,
        .traceback_limit = 25,
        .region_size = sizeof(struct tm_region),
        .generation = 1,
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if ((shapes[i].feature & shape->features) == shapes[i].feature) {
            add_region(image, shape, &shapes[i]);
        }
    }
    memset(image_element(image, TM_REGION_STACKS, 1), 0, sizeof(struct tm_stack));
    image->string_size = 1;
}

struct tm_region *image_region(struct image *image, uint32_t kind)
{
    for (uint32_t i = 0; i < image->root->region_count; i++) {
        if (image->root->regions[i].kind == kind) {
            return &image->root->regions[i];
        }
    }
    fail("no such region");
    return NULL;
}

static uint64_t table_word(struct image *image, uint32_t kind, uint64_t at, uint64_t size)
{
    uint64_t *word = (uint64_t *)image_at(image, at);
    if (*word == 0) {
        *word = region_take(image, kind, size);
    }
    return *word;
}

void *image_element(struct image *image, uint32_t kind, uint64_t index)
{
    struct tm_region *region = image_region(image, kind);
    uint64_t segment = index >> region->segment_shift,
             within = index & ((UINT64_C(1) << region->segment_shift) - 1);
    uint64_t at = region->directory + 8 * (segment >> region->middle_bits);
    if (segment >> region->middle_bits >= region->directory_length) {
        fail("an index is too large");
    }
    if (region->middle_bits) {
        uint64_t middle = table_word(image, kind, at, UINT64_C(8) << region->middle_bits);
        at = middle + 8 * (segment & ((UINT64_C(1) << region->middle_bits) - 1));
    }
    uint64_t base = table_word(image, kind, at, (uint64_t)region->element_size << region->segment_shift);
    if (region->count != UINT64_MAX && index >= region->count) {
        region->count = index + 1;
    }
    return image_at(image, base + within * region->element_size);
}

/* ---------------------------------------------------------------------------------------- elements */

uint32_t image_add_string(struct image *image, const char *string)
{
    size_t size = strlen(string) + 1;
    size_t segment = (size_t)1 << image_region(image, TM_REGION_STRINGS)->segment_shift;
    if (image->string_size % segment + size > segment) { /* never across segments */
        image->string_size = (uint32_t)((image->string_size / segment + 1) * segment);
    }
    uint32_t index = image->string_size;
    memcpy(image_element(image, TM_REGION_STRINGS, index), string, size);
    image->string_size += (uint32_t)size;
    image_region(image, TM_REGION_STRINGS)->count = image->string_size;
    return index;
}

void image_add_module(struct image *image, uint32_t index, const char *path, uint64_t start, uint64_t end,
                      uint64_t bias)
{
    struct tm_module *module = image_element(image, TM_REGION_MODULES, index);
    *module = (struct tm_module){
        .start = start,
        .end = end,
        .bias = bias,
        .path = image_add_string(image, path),
        .path_length = (uint32_t)strlen(path),
        .path_check = tm_text_check(path, (uint32_t)strlen(path)),
    };
    image_seal_module(image, index);
}

void image_seal_module(struct image *image, uint32_t index)
{
    struct tm_module *module = image_element(image, TM_REGION_MODULES, index);
    module->check = tm_module_check(module);
}

void image_add_frame(struct image *image, uint32_t index, uint64_t word, uint32_t module)
{
    *(struct tm_frame *)image_element(image, TM_REGION_FRAMES, index) =
        (struct tm_frame){.word = word, .module = module};
    image_seal_frame(image, index);
}

void image_seal_frame(struct image *image, uint32_t index)
{
    struct tm_frame *frame = image_element(image, TM_REGION_FRAMES, index);
    frame->check = tm_frame_check(frame->word, frame->module);
}

void image_add_stack(struct image *image, uint32_t index, uint32_t parent, uint16_t shared,
                     const uint32_t *frames, uint16_t own, uint16_t total, uint16_t flags)
{
    struct tm_region *region = image_region(image, TM_REGION_STACK_FRAMES);
    struct tm_stack *stack = image_element(image, TM_REGION_STACKS, index);
    *stack = (struct tm_stack){
        .frames = (uint32_t)region->count,
        .parent = parent,
        .own = own,
        .shared = shared,
        .total_nframe = total,
        .flags = flags,
    };
    for (uint16_t i = 0; i < own; i++) {
        *(uint32_t *)image_element(image, TM_REGION_STACK_FRAMES, stack->frames + i) = frames[i];
    }
    image_seal_stack(image, index);
}

void image_seal_stack(struct image *image, uint32_t index)
{
    struct tm_stack *stack = image_element(image, TM_REGION_STACKS, index);
    uint32_t frames[64];
    for (uint16_t i = 0; i < stack->own && i < 64; i++) {
        frames[i] = *(uint32_t *)image_element(image, TM_REGION_STACK_FRAMES, stack->frames + i);
    }
    stack->check = tm_stack_check(stack, frames);
}

void image_set_stack_domain(struct image *image, uint32_t index, uint32_t domain)
{
    ((struct tm_stack *)image_element(image, TM_REGION_STACKS, index))->domain = domain;
    image_seal_stack(image, index);
}

static uint64_t *live_cell(struct image *image, uint64_t address)
{
    return image_element(image, TM_REGION_LIVE, address >> image_region(image, TM_REGION_LIVE)->key_shift);
}

uint64_t image_word(const struct image *image, uint64_t address, uint64_t size, uint32_t stack)
{
    return size | (address & 16 ? TM_LIVE_OFFSET : 0) | (uint64_t)stack << TM_LIVE_STACK_SHIFT |
           (image->root->generation & 1 ? TM_LIVE_GENERATION : 0);
}

void image_set_live(struct image *image, uint64_t address, uint64_t size, uint32_t stack)
{
    *live_cell(image, address) = image_word(image, address, size, stack);
}

void image_clear_live(struct image *image, uint64_t address)
{
    *live_cell(image, address) = 0;
}

void image_set_wide(struct image *image, uint64_t index, uint32_t domain, uint64_t address, uint64_t size,
                    uint32_t stack)
{
    *(struct tm_wide *)image_element(image, TM_REGION_WIDE, index) = (struct tm_wide){
        .state = TM_WIDE_LIVE | image->root->generation << 8,
        .address = address,
        .size = size,
        .domain = domain,
        .stack = stack,
    };
}

void image_set_freed(struct image *image, uint64_t index, const struct tm_freed *freed)
{
    struct tm_freed *element = image_element(image, TM_REGION_HISTORY, index);
    *element = *freed;
    element->check = tm_freed_check(element);
}

struct tm_thread *image_thread(struct image *image, uint64_t index, uint32_t tid)
{
    struct tm_thread *thread = image_element(image, TM_REGION_THREADS, index);
    thread->tid = tid;
    thread->state = TM_THREAD_USED;
    for (int level = 0; level < TM_OPERATION_LEVELS; level++) {
        thread->operations[level].generation = image->root->generation;
    }
    return thread;
}

void image_count(struct image *image, uint64_t allocated_count, uint64_t allocated_size, uint64_t freed_count,
                 uint64_t freed_size)
{
    struct tm_operation *operation = &image_thread(image, 0, image->process.tids[0])->operations[0];
    operation->allocated_count += allocated_count;
    operation->allocated_size += allocated_size;
    operation->freed_count += freed_count;
    operation->freed_size += freed_size;
}

/* ----------------------------------------------------------------------------------------- example */

const struct example_block example_blocks[EXAMPLE_BLOCKS] = {
    {0x1000, 100, 0, 2},       {0x1030, 20, 0, 2},
    {0x1060, 0, 0, 3},         {0x2008, 7, 0, 3},  /* in WIDE: its address is no multiple of 16 */
    {0x40000, 5000, 0, 4},     {0x7ffe0, 1, 0, 5}, /* the last word of the last segment */
    {0x70000000, 65536, 1, 6}, {0x123, 9, 7, 7},
};

static void add_example_stats(struct image *image)
{
    for (size_t i = 0; i < EXAMPLE_BLOCKS; i++) {
        struct tm_stack_stats *stats = image_element(image, TM_REGION_STATS, example_blocks[i].stack);
        stats->stack = example_blocks[i].stack;
        stats->generation = (uint32_t)image->root->generation;
        stats->allocated_count += 2;
        stats->allocated_size += 2 * example_blocks[i].size;
        stats->freed_count++;
        stats->freed_size += example_blocks[i].size;
        stats->peak_count += 2;
        stats->peak_size += 2 * example_blocks[i].size;
    }
}

struct image *image_example(const struct image_shape *shape)
{
    struct image *image = image_create();
    image_add_tables(image, shape);
    image_add_module(image, 1, "/no/such/dir/server", EXAMPLE_MODULE, EXAMPLE_MODULE + 0x10000,
                     EXAMPLE_MODULE);
    for (uint32_t i = 1; i <= 6; i++) {
        image_add_frame(image, i, EXAMPLE_MODULE + 0x100 * i, i != 6);
    }
    image_add_stack(image, 2, 0, 0, (const uint32_t[]){1, 2, 3}, 3, 3, 0);
    image_add_stack(image, 3, 2, 2, (const uint32_t[]){4}, 1, 3, 0);
    image_add_stack(image, 4, 3, 1, (const uint32_t[]){5, 6}, 2, 40, TM_STACK_TRUNCATED);
    image_add_stack(image, 5, 4, 1, NULL, 0, 1, 0);
    image_add_stack(image, 6, 2, 3, NULL, 0, 3, 0);
    image_set_stack_domain(image, 6, 1);
    image_add_stack(image, 7, 3, 3, NULL, 0, 3, 0);
    image_set_stack_domain(image, 7, 7);
    uint64_t wide = 0;
    for (size_t i = 0; i < EXAMPLE_BLOCKS; i++) {
        const struct example_block *block = &example_blocks[i];
        if (block->domain || block->address % 16) {
            image_set_wide(image, wide, block->domain, block->address, block->size, block->stack);
            wide += 3; /* with empty elements between */
        } else {
            image_set_live(image, block->address, block->size, block->stack);
        }
    }
    image_count(image, 2 * EXAMPLE_BLOCKS, 2 * EXAMPLE_SIZE, EXAMPLE_BLOCKS, EXAMPLE_SIZE);
    image->root->peak = 2 * EXAMPLE_SIZE;
    if (shape->features & TM_FEATURE_STATS) {
        add_example_stats(image);
    }
    return image;
}
