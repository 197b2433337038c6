/* process.c: the program is the file that holds the program headers. The command line is what the kernel put on the
 * stack:
 *
 *   argc, argv[0] ... argv[argc - 1], NULL, envp[0] ..., NULL, auxiliary vector, random bytes, strings of argv,
 *   strings of envp, path given to execve, 8 bytes of 0                              (Linux, fs/binfmt_elf.c)
 *
 * The notes of a core file have 80 bytes of it at most, and GDB writes others than the kernel does. Programs move
 * the pointers (getopt) and overwrite the strings (to change their title in ps): the strings are read as they are
 * now. */
#include "process.h"

#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    AUXV_WINDOW = 8192,        /* bytes below the random bytes in which the auxiliary vector lies */
    POINTERS_WINDOW = 1 << 18, /* bytes below the auxiliary vector in which argc lies */
    TEXT_MAX = 1 << 17,        /* bytes of the command line */
};

/* A copy of some of the target's memory. */
struct window {
    uint64_t start;
    size_t size;
    uint8_t *bytes; /* caller frees with free() */
};

/* Bytes that end before `end`, at most `size`, fewer where the mapping begins later. */
static bool window_read(struct ca_source *source, uint64_t end, size_t size, struct window *window)
{
    uint64_t start = end > size ? end - size : 0;
    for (size_t i = 0; i < source->mapping_count; i++) {
        const struct ca_mapping *mapping = &source->mappings[i];
        if (mapping->start < end && end <= mapping->end && mapping->start > start) {
            start = mapping->start;
        }
    }
    window->start = start;
    window->size = (size_t)(end - start);
    window->bytes = malloc(window->size ? window->size : 1);
    if (!window->bytes) {
        source->failed = true;
        return true;
    }
    size_t got = source->operations->read(source, start, window->bytes, window->size);
    if (got == CA_READ_INTERRUPTED) {
        return false;
    }
    window->size = got;
    return true;
}

static uint64_t word_at(const struct window *window, size_t at)
{
    uint64_t word;
    memcpy(&word, window->bytes + at, sizeof(word));
    return word;
}

/* Where the program's own copy of the auxiliary vector is. *ret_address = 0: not found. */
static bool auxv_locate(struct ca_source *source, uint64_t random, uint64_t *ret_address)
{
    struct window window;
    const struct ca_process *process = &source->process;
    *ret_address = 0;
    bool done = window_read(source, random, AUXV_WINDOW, &window);
    if (done && window.bytes) {
        const uint8_t *found = memmem(window.bytes, window.size, process->auxv, process->auxv_size);
        *ret_address = found ? window.start + (size_t)(found - window.bytes) : 0;
    }
    free(window.bytes);
    return done;
}

/* argc is the word n that n words and a NULL follow, one of which at least points to the strings: their start is
 * then the lowest of these pointers. */
static bool argc_fits(const struct window *window, size_t at, uint64_t lowest, uint64_t highest,
                      uint64_t *ret_strings)
{
    uint64_t count = word_at(window, at);
    size_t room = (window->size - at) / 8 - 1;
    if (count == 0 || count >= room || word_at(window, at + 8 * (count + 1)) != 0) {
        return false;
    }
    uint64_t strings = UINT64_MAX;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t pointer = word_at(window, at + 8 * i);
        if (pointer == 0) {
            return false;
        }
        strings = pointer >= lowest && pointer < highest && pointer < strings ? pointer : strings;
    }
    *ret_strings = strings;
    return strings != UINT64_MAX;
}

struct command_line {
    uint64_t strings; /* address of the first; 0 = not found */
    uint64_t count;
};

static bool command_line_locate(struct ca_source *source, uint64_t auxv, uint64_t lowest, uint64_t highest,
                                struct command_line *line)
{
    struct window window;
    bool done = window_read(source, auxv, POINTERS_WINDOW, &window);
    *line = (struct command_line){0};
    if (done && window.bytes && window.start + window.size == auxv) {
        size_t first = (size_t)(-window.start & 7);
        /* The nearest to the vector: what lies further down are frames of functions. */
        for (size_t at = window.size; at >= first + 32 && !line->strings; at -= 8) {
            if (argc_fits(&window, at - 32, lowest, highest, &line->strings)) {
                line->count = word_at(&window, at - 32);
            }
        }
    }
    free(window.bytes);
    return done;
}

/* The strings with blanks between them; those at the end that a program has emptied are left out. */
static void arguments_set(struct ca_source *source, char *text, size_t size, uint64_t count)
{
    size_t end = 0;
    for (uint64_t i = 0; i < count && end < size; i++) {
        size_t length = strnlen(text + end, size - end);
        if (end + length < size) {
            text[end + length] = ' ';
        }
        end += length + 1;
    }
    end = end < size ? end : size;
    while (end > 0 && text[end - 1] == ' ') {
        end--;
    }
    char *copy = end ? strndup(text, end) : NULL;
    if (copy) {
        free((char *)source->process.arguments);
        source->process.arguments = copy;
    }
    source->failed = source->failed || (end && !copy);
}

static bool arguments_complete(struct ca_source *source)
{
    uint64_t random, highest, auxv;
    if (!ca_source_auxv(source, AT_RANDOM, &random) || !ca_source_auxv(source, AT_EXECFN, &highest) ||
        highest <= random) {
        return true;
    }
    if (!auxv_locate(source, random, &auxv)) {
        return false;
    }
    struct command_line line = {0};
    if (auxv && !command_line_locate(source, auxv, random, highest, &line)) {
        return false;
    }
    uint64_t room = line.strings ? highest - line.strings : 0;
    size_t size = room < TEXT_MAX ? (size_t)room : TEXT_MAX;
    char *text = line.strings ? malloc(size) : NULL;
    size_t got = text ? source->operations->read(source, line.strings, text, size) : 0;
    if (got != CA_READ_INTERRUPTED && got > 0) {
        arguments_set(source, text, got, line.count);
    }
    free(text);
    return got != CA_READ_INTERRUPTED;
}

/* Path of the mapped file that holds this address; NULL = none. */
static const char *file_at(const struct ca_source *source, uint64_t address)
{
    for (size_t i = 0; i < source->mapping_count; i++) {
        const struct ca_mapping *mapping = &source->mappings[i];
        if (mapping->start <= address && address < mapping->end && mapping->named) {
            return mapping->path;
        }
    }
    return NULL;
}

/* What execve was given, which is relative perhaps. */
static bool execfn_read(struct ca_source *source, char *path, size_t size)
{
    uint64_t address;
    *path = '\0';
    if (!ca_source_auxv(source, AT_EXECFN, &address)) {
        return true;
    }
    size_t got = source->operations->read(source, address, path, size);
    if (got == CA_READ_INTERRUPTED || got == 0 || !memchr(path, '\0', got)) {
        *path = '\0';
    }
    return got != CA_READ_INTERRUPTED;
}

static bool program_complete(struct ca_source *source)
{
    uint64_t address;
    char given[PATH_MAX] = "";
    const char *path = NULL;
    if (ca_source_auxv(source, AT_PHDR, &address)) {
        path = file_at(source, address);
    }
    if (!path && ca_source_auxv(source, AT_ENTRY, &address)) {
        path = file_at(source, address);
    }
    if (!path) {
        if (!execfn_read(source, given, sizeof given)) {
            return false;
        }
        path = given;
    }
    char *copy = *path ? strdup(path) : NULL;
    if (copy) {
        free((char *)source->process.program);
        source->process.program = copy;
    }
    source->failed = source->failed || (*path && !copy);
    return true;
}

bool ca_process_complete(struct ca_source *source)
{
    return program_complete(source) && arguments_complete(source);
}
