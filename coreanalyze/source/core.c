/* core.c: an ELF core file, mapped into memory. The program headers and notes are read here and not by libelf
 * or libdwfl, because a core may be cut anywhere or be written by somebody hostile: every number in it is
 * checked against the file. */
#include "internal.h"
#include "process.h"
#include "stream/stream.h"

#include <elf.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../util/grow.h"

/* A PT_LOAD: bytes [offset, offset + size) of the file are the target's memory from `start` on. */
struct segment {
    uint64_t start;
    uint64_t end;    /* of the memory; bytes from start + size on are not in the file */
    uint64_t offset; /* valid when size is not 0 */
    uint64_t size;   /* bytes that the file really has */
    uint32_t protection;
};

/* An entry of NT_FILE: this file was mapped here. */
struct file_range {
    uint64_t start, end, offset;
    const char *path; /* in the file */
};

struct core_source {
    struct ca_source base;
    const uint8_t *bytes; /* the whole file, decompressed */
    size_t size;
    bool cut; /* the stream that it came by ended early */
    uint32_t machine;
    struct segment *segments; /* sorted, not overlapping */
    size_t segment_count, segment_capacity;
    struct file_range *files;
    size_t file_count, file_capacity;
    /* From the notes */
    uint32_t pid;
    int32_t signal;
    char short_name[17];
    char arguments[81];
    bool failed; /* memory ran out */
};

/* ---------------------------------------------------------------------------------------- the file */

/* The part of [offset, offset + size) that the file has. */
static uint64_t file_clip(const struct core_source *source, uint64_t offset, uint64_t size)
{
    if (offset >= source->size) {
        return 0;
    }
    uint64_t room = source->size - offset;
    return size < room ? size : room;
}

/* -------------------------------------------------------------------------------------- ELF header */

static bool fail_no_elf(const struct core_source *source, const char *path, struct ca_error **ret_error)
{
    char found[4 * 3 + 1] = "";
    for (size_t i = 0; i < 4 && i < source->size; i++) {
        snprintf(found + 3 * i, sizeof(found) - 3 * i, " %02x", source->bytes[i]);
    }
    return ca_fail(ret_error, CA_NOTHING,
                   "%s: is no core file: ELF magic 7f 45 4c 46 expected, found%s; give the core file of a "
                   "crashed program",
                   path, found);
}

static bool fail_no_core(const struct core_source *source, const char *path, const Elf64_Ehdr *header,
                         struct ca_error **ret_error)
{
    const char *kind = "an ELF file of another kind";
    if (header->e_type == ET_EXEC) {
        kind = "an executable";
    } else if (header->e_type == ET_REL) {
        kind = "an object file";
    } else if (header->e_type == ET_DYN) {
        kind = "a shared object";
        for (size_t i = 0; i < header->e_phnum; i++) {
            uint64_t at = header->e_phoff + i * sizeof(Elf64_Phdr);
            Elf64_Phdr program;
            if (header->e_phoff < source->size && file_clip(source, at, sizeof(program)) == sizeof(program)) {
                memcpy(&program, source->bytes + at, sizeof(program));
                kind = program.p_type == PT_INTERP ? "an executable" : kind;
            }
        }
    }
    return ca_fail(ret_error, CA_NOTHING,
                   "%s: is no core file but %s; give the core file that it left when it crashed", path, kind);
}

static const char *machine_name(uint16_t machine)
{
    switch (machine) {
    case EM_386:
        return "i386";
    case EM_ARM:
        return "arm";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390";
    case EM_RISCV:
        return "riscv";
    default:
        return "unknown";
    }
}

static bool header_read(struct core_source *source, const char *path, Elf64_Ehdr *header,
                        struct ca_error **ret_error)
{
    if (source->size < SELFMAG || memcmp(source->bytes, ELFMAG, SELFMAG) != 0) {
        return fail_no_elf(source, path, ret_error);
    }
    if (source->size < sizeof(*header)) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: ends within its ELF header: %zu bytes expected, %zu found; the file is truncated",
                       path, sizeof(*header), source->size);
    }
    memcpy(header, source->bytes, sizeof(*header));
    if (header->e_ident[EI_CLASS] != ELFCLASS64) {
        return ca_fail(ret_error, CA_NOTHING, "%s: is %s; only 64-bit programs are supported", path,
                       header->e_ident[EI_CLASS] == ELFCLASS32 ? "a 32-bit ELF file"
                                                               : "an ELF file of an unknown class");
    }
    if (header->e_ident[EI_DATA] != ELFDATA2LSB) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: is a big-endian ELF file; only little-endian machines are supported", path);
    }
    if (header->e_machine != EM_X86_64 && header->e_machine != EM_AARCH64) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: is of machine %u (%s); x86-64 (62) and aarch64 (183) are supported", path,
                       header->e_machine, machine_name(header->e_machine));
    }
    if (header->e_type != ET_CORE) {
        return fail_no_core(source, path, header, ret_error);
    }
    source->machine = header->e_machine;
    return true;
}

/* --------------------------------------------------------------------------------- program headers */

struct program_headers {
    uint64_t offset;
    uint64_t count;
    uint64_t stride;
};

/* With 65535 or more of them the count is in section header 0. Linux writes that behind the memory, where a
 * truncated file has lost it; but it puts the notes straight after the program headers, so that their offset
 * tells. */
static uint64_t header_count(const struct core_source *source, const Elf64_Ehdr *header)
{
    if (header->e_phnum != PN_XNUM) {
        return header->e_phnum;
    }
    Elf64_Shdr section;
    if (header->e_shoff && file_clip(source, header->e_shoff, sizeof(section)) == sizeof(section)) {
        memcpy(&section, source->bytes + header->e_shoff, sizeof(section));
        return section.sh_info;
    }
    Elf64_Phdr first;
    if (file_clip(source, header->e_phoff, sizeof(first)) == sizeof(first)) {
        memcpy(&first, source->bytes + header->e_phoff, sizeof(first));
        if (first.p_type == PT_NOTE && first.p_offset > header->e_phoff) {
            return (first.p_offset - header->e_phoff) / sizeof(first);
        }
    }
    return PN_XNUM;
}

static bool headers_locate(struct core_source *source, const char *path, const Elf64_Ehdr *header,
                           struct program_headers *headers, struct ca_error **ret_error)
{
    headers->offset = header->e_phoff;
    headers->count = header_count(source, header);
    headers->stride = header->e_phentsize;
    if (headers->stride < sizeof(Elf64_Phdr)) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: is damaged: program headers of %zu bytes expected, found %u", path,
                       sizeof(Elf64_Phdr), header->e_phentsize);
    }
    /* count and stride have at most 32 and 16 bits: no overflow */
    uint64_t size = headers->count * headers->stride;
    uint64_t found = file_clip(source, headers->offset, size);
    if (found < size) {
        return ca_fail(ret_error, CA_NOTHING,
                       "%s: ends within its program headers: %" PRIu64 " bytes at offset %" PRIu64
                       " expected, %" PRIu64 " found; the file is truncated",
                       path, size, headers->offset, found);
    }
    if (headers->count == 0) {
        return ca_fail(ret_error, CA_NOTHING, "%s: is damaged: it has no program headers", path);
    }
    return true;
}

static Elf64_Phdr headers_get(const struct core_source *source, const struct program_headers *headers,
                              uint64_t i)
{
    Elf64_Phdr program;
    memcpy(&program, source->bytes + headers->offset + i * headers->stride, sizeof(program));
    return program;
}

static void segment_add(struct core_source *source, const Elf64_Phdr *program)
{
    uint64_t end;
    if (program->p_memsz == 0 || __builtin_add_overflow(program->p_vaddr, program->p_memsz, &end)) {
        return;
    }
    if (!CA_GROW(source->segments, source->segment_capacity, source->segment_count + 1)) {
        source->failed = true;
        return;
    }
    uint64_t promised = program->p_filesz < program->p_memsz ? program->p_filesz : program->p_memsz;
    source->segments[source->segment_count++] = (struct segment){
        .start = program->p_vaddr,
        .end = end,
        .offset = program->p_offset,
        .size = file_clip(source, program->p_offset, promised),
        .protection = (program->p_flags & PF_R ? 1u : 0) | (program->p_flags & PF_W ? 2u : 0) |
                      (program->p_flags & PF_X ? 4u : 0),
    };
}

static int compare_segments(const void *a, const void *b)
{
    const struct segment *left = a, *right = b;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    return (left->offset > right->offset) - (left->offset < right->offset);
}

/* Sorts; where two overlap, which no honest core has, the first keeps the range. */
static void segments_sort(struct core_source *source)
{
    if (source->segment_count == 0) {
        return;
    }
    qsort(source->segments, source->segment_count, sizeof(*source->segments), compare_segments);
    size_t kept = 1;
    for (size_t i = 1; i < source->segment_count; i++) {
        struct segment segment = source->segments[i];
        uint64_t covered = source->segments[kept - 1].end;
        if (segment.end <= covered) {
            continue;
        }
        if (segment.start < covered) {
            uint64_t cut = covered - segment.start;
            segment.start = covered;
            segment.size = segment.size > cut ? segment.size - cut : 0;
            segment.offset += segment.size ? cut : 0;
        }
        source->segments[kept++] = segment;
    }
    source->segment_count = kept;
}

/* ------------------------------------------------------------------------------------------- notes */

/* struct elf_prstatus of 64-bit machines: pr_cursig at 12, pr_pid at 32, pr_reg at 112, then pr_fpvalid
 * padded to 8 bytes. */
#define PRSTATUS_SIGNAL    12
#define PRSTATUS_PID       32
#define PRSTATUS_REGISTERS 112
#define PRSTATUS_TAIL      8
/* struct elf_prpsinfo: pr_pid at 24, pr_fname[16] at 40, pr_psargs[80] at 56. */
#define PRPSINFO_PID       24
#define PRPSINFO_NAME      40
#define PRPSINFO_ARGUMENTS 56
#define PRPSINFO_SIZE      136
#define SHORT_NAME_MAX     15 /* the kernel's TASK_COMM_LEN - 1 */

static void read_prstatus(struct core_source *source, const uint8_t *bytes, size_t size)
{
    if (size < PRSTATUS_REGISTERS + PRSTATUS_TAIL) {
        return;
    }
    uint64_t registers[64];
    size_t count = (size - PRSTATUS_REGISTERS - PRSTATUS_TAIL) / sizeof(registers[0]);
    count = count < 64 ? count : 64;
    memcpy(registers, bytes + PRSTATUS_REGISTERS, count * sizeof(registers[0]));
    uint32_t tid;
    memcpy(&tid, bytes + PRSTATUS_PID, sizeof(tid));
    /* The kernel writes the thread that got the signal first, GDB the selected one. */
    if (source->base.thread_count == 0) {
        int16_t signal;
        memcpy(&signal, bytes + PRSTATUS_SIGNAL, sizeof(signal));
        source->signal = signal;
    }
    ca_source_add_thread(&source->base, tid, registers, count);
}

static void read_prpsinfo(struct core_source *source, const uint8_t *bytes, size_t size)
{
    if (size < PRPSINFO_SIZE) {
        return;
    }
    memcpy(&source->pid, bytes + PRPSINFO_PID, sizeof(source->pid));
    memcpy(source->short_name, bytes + PRPSINFO_NAME, 16);
    memcpy(source->arguments, bytes + PRPSINFO_ARGUMENTS, 80);
    for (size_t end = strlen(source->arguments); end > 0 && source->arguments[end - 1] == ' '; end--) {
        source->arguments[end - 1] = '\0';
    }
}

/* NT_FILE: count, page size, count times (start, end, offset in pages), then the paths, each ended by NUL. */
static void read_files(struct core_source *source, const uint8_t *bytes, size_t size)
{
    uint64_t header[2];
    if (size < sizeof(header)) {
        return;
    }
    memcpy(header, bytes, sizeof(header));
    if (header[0] > (size - sizeof(header)) / 24) {
        return; /* the paths would begin after the end: a cut note */
    }
    const char *path = (const char *)bytes + sizeof(header) + header[0] * 24;
    const char *end = (const char *)bytes + size;
    for (uint64_t i = 0; i < header[0] && path < end; i++) {
        const char *next = memchr(path, '\0', (size_t)(end - path));
        uint64_t entry[3];
        memcpy(entry, bytes + sizeof(header) + i * 24, sizeof(entry));
        if (!next) {
            return;
        }
        if (entry[0] < entry[1]) {
            if (!CA_GROW(source->files, source->file_capacity, source->file_count + 1)) {
                source->failed = true;
                return;
            }
            source->files[source->file_count++] =
                (struct file_range){entry[0], entry[1], entry[2] * header[1], path};
        }
        path = next + 1;
    }
}

static void note_read(struct core_source *source, uint32_t type, const uint8_t *bytes, size_t size)
{
    switch (type) {
    case NT_PRSTATUS:
        read_prstatus(source, bytes, size);
        break;
    case NT_PRPSINFO:
        read_prpsinfo(source, bytes, size);
        break;
    case NT_SIGINFO: /* the kernel writes one, GDB one for each thread, the signalled thread's first */
        if (!source->base.process.siginfo) {
            ca_source_set_siginfo(&source->base, bytes, size);
        }
        break;
    case NT_AUXV:
        ca_source_set_auxv(&source->base, bytes, size);
        break;
    case NT_FILE:
        read_files(source, bytes, size);
        break;
    default:
        break;
    }
}

static size_t align4(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

static void notes_read(struct core_source *source, uint64_t offset, uint64_t promised)
{
    size_t size = (size_t)file_clip(source, offset, promised);
    const uint8_t *notes = source->bytes + (size ? offset : 0);
    size_t at = 0;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof(note));
        size_t name = at + sizeof(note);
        if (note.n_namesz > size - name || align4(note.n_namesz) > size - name) {
            return;
        }
        size_t descriptor = name + align4(note.n_namesz);
        if (note.n_descsz > size - descriptor) {
            return;
        }
        if (note.n_namesz >= 4 && memcmp(notes + name, "CORE", 4) == 0) {
            note_read(source, note.n_type, notes + descriptor, note.n_descsz);
        }
        size_t next = descriptor + align4(note.n_descsz);
        if (next > size) {
            return;
        }
        at = next;
    }
}

/* ------------------------------------------------------------------------------------- description */

static int compare_files(const void *a, const void *b)
{
    const struct file_range *left = a, *right = b;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    return (left->end > right->end) - (left->end < right->end);
}

/* The mapping [start, end) within a segment (NULL: it is not in the core) and a file (NULL: anonymous). */
static void mapping_add(struct core_source *source, uint64_t start, uint64_t end,
                        const struct segment *segment, const struct file_range *file)
{
    uint64_t readable =
        segment && segment->start + segment->size > start ? segment->start + segment->size - start : 0;
    struct ca_mapping mapping = {
        .start = start,
        .end = end,
        .offset = file ? file->offset + (start - file->start) : 0,
        .present = readable < end - start ? readable : end - start,
        .protection = segment ? segment->protection : 1,
        .named = file != NULL,
        .path = file ? file->path : "",
    };
    ca_source_add_mapping(&source->base, &mapping);
}

/* Walks segments and files, both sorted, side by side and cuts where either begins or ends. */
static void mappings_make(struct core_source *source)
{
    if (source->file_count) {
        qsort(source->files, source->file_count, sizeof(*source->files), compare_files);
    }
    uint64_t at = 0;
    size_t segment = 0, file = 0;
    for (;;) {
        while (segment < source->segment_count && source->segments[segment].end <= at) {
            segment++;
        }
        while (file < source->file_count && source->files[file].end <= at) {
            file++;
        }
        const struct segment *s = segment < source->segment_count ? &source->segments[segment] : NULL;
        const struct file_range *f = file < source->file_count ? &source->files[file] : NULL;
        if (!s && !f) {
            return;
        }
        uint64_t start = s && f ? (s->start < f->start ? s->start : f->start) : s ? s->start : f->start;
        start = start > at ? start : at;
        bool in_segment = s && s->start <= start, in_file = f && f->start <= start;
        uint64_t end = UINT64_MAX;
        if (s) {
            uint64_t border = in_segment ? s->end : s->start;
            end = border < end ? border : end;
        }
        if (f) {
            uint64_t border = in_file ? f->end : f->start;
            end = border < end ? border : end;
        }
        mapping_add(source, start, end, in_segment ? s : NULL, in_file ? f : NULL);
        at = end;
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where neither the auxiliary vector nor the stack tells: a mapped file of the short name; else the short
 * name, which the kernel cuts at 15 bytes. */
static const char *program_by_name(const struct core_source *source)
{
    size_t length = strlen(source->short_name);
    size_t compared =
        length < SHORT_NAME_MAX ? length + 1 : length; /* with the NUL, where the kernel did not cut */
    for (size_t i = 0; length && i < source->file_count; i++) {
        if (strncmp(base_name(source->files[i].path), source->short_name, compared) == 0) {
            return source->files[i].path;
        }
    }
    return source->short_name;
}

static void process_make(struct core_source *source)
{
    struct ca_source *base = &source->base;
    if (!base->process.auxv) {
        ca_source_set_auxv(base, "", 0);
    }
    if (source->signal == 0 && base->process.siginfo && base->process.siginfo_size >= sizeof(int32_t)) {
        memcpy(&source->signal, base->process.siginfo, sizeof(source->signal));
    }
    if (source->signal == SIGSTOP) {
        source->signal = 0; /* how a debugger stops a process that it has attached to: a core that it wrote */
    }
    uint32_t signal_thread = source->signal && base->thread_count ? base->threads[0].tid : 0;
    ca_source_set_process(base, source->pid, source->machine, source->signal, signal_thread,
                          program_by_name(source), source->arguments);
    ca_process_complete(base);
}

static bool core_read_headers(struct core_source *source, const char *path, struct ca_error **ret_error)
{
    Elf64_Ehdr header;
    struct program_headers headers;
    if (!header_read(source, path, &header, ret_error) ||
        !headers_locate(source, path, &header, &headers, ret_error)) {
        return false;
    }
    uint64_t expected = 0;
    for (uint64_t i = 0; i < headers.count; i++) {
        Elf64_Phdr program = headers_get(source, &headers, i);
        uint64_t end;
        if (program.p_type == PT_LOAD) {
            segment_add(source, &program);
        } else if (program.p_type == PT_NOTE) {
            notes_read(source, program.p_offset, program.p_filesz);
        } else {
            continue;
        }
        if (program.p_filesz && !__builtin_add_overflow(program.p_offset, program.p_filesz, &end) &&
            end > expected) {
            expected = end;
        }
    }
    source->base.truncated = expected > source->size || source->cut;
    source->base.expected_size = expected > source->size ? expected : source->size;
    source->base.found_size = source->size;
    segments_sort(source);
    return true;
}

/* -------------------------------------------------------------------------------------- operations */

/* The last segment that begins at or before the address; segment_count if none does. */
static size_t segment_find(const struct core_source *source, uint64_t address)
{
    size_t low = 0, high = source->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (source->segments[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? low - 1 : source->segment_count;
}

static const void *core_view(struct ca_source *base, uint64_t address, size_t size, size_t *ret_size)
{
    const struct core_source *source = (const struct core_source *)base;
    size_t i = segment_find(source, address);
    *ret_size = 0;
    if (i == source->segment_count || address - source->segments[i].start >= source->segments[i].size) {
        return NULL;
    }
    const struct segment *segment = &source->segments[i];
    uint64_t within = address - segment->start;
    const uint8_t *bytes = source->bytes + segment->offset + within;
    uint64_t run = segment->size - within;
    /* Neighbours in memory that are neighbours in the file as well */
    while (run < size && segment->start + segment->size == segment->end && ++i < source->segment_count) {
        const struct segment *next = &source->segments[i];
        if (next->size == 0 || next->start != segment->end ||
            next->offset != segment->offset + segment->size) {
            break;
        }
        run += next->size;
        segment = next;
    }
    *ret_size = run < size ? (size_t)run : size;
    return bytes;
}

static size_t core_read(struct ca_source *base, uint64_t address, void *buffer, size_t size)
{
    size_t filled = 0;
    while (filled < size) {
        size_t got;
        const void *bytes = core_view(base, address + filled, size - filled, &got);
        if (!bytes) {
            break;
        }
        memcpy((uint8_t *)buffer + filled, bytes, got);
        filled += got;
    }
    return filled;
}

static void core_destroy(struct ca_source *base)
{
    struct core_source *source = (struct core_source *)base;
    if (source->bytes) {
        munmap((void *)source->bytes, source->size);
    }
    free(source->segments);
    free(source->files);
    ca_source_deinit(base);
    free(source);
}

static const struct ca_source_operations core_operations = {
    .read = core_read,
    .view = core_view,
    .destroy = core_destroy,
};

struct ca_source *ca_source_open_input(struct ca_input *input, struct ca_error **ret_error)
{
    struct core_source *source = calloc(1, sizeof(*source));
    if (!source) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    const char *path = input->name;
    if (!ca_source_init(&source->base, &core_operations, path, ret_error)) {
        free(source);
        return NULL;
    }
    struct ca_contents contents;
    if (ca_contents_map(input, &contents, ret_error)) {
        source->bytes = contents.bytes;
        source->size = contents.size;
        source->cut = contents.cut;
    }
    if (!source->bytes || !core_read_headers(source, path, ret_error)) {
        core_destroy(&source->base);
        return NULL;
    }
    mappings_make(source);
    process_make(source);
    source->base.described = true;
    if (source->failed || source->base.failed) {
        core_destroy(&source->base);
        ca_fail_memory(ret_error);
        return NULL;
    }
    return &source->base;
}

struct ca_source *ca_source_open_core(const char *path, struct ca_error **ret_error)
{
    struct ca_input input;
    if (!ca_input_open(&input, path, ret_error)) {
        return NULL;
    }
    struct ca_source *source = ca_source_open_input(&input, ret_error);
    ca_input_close(&input);
    return source;
}
