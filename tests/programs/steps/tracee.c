#include "tracee.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("steps: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

bool object_find(pid_t pid, const char *name, struct object *ret_object)
{
    char path[64], line[1000];
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t start, end;
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) < 2 || !at ||
            !strstr(line + at, name)) {
            continue;
        }
        if (!found) {
            *ret_object = (struct object){.start = start};
            snprintf(ret_object->path, sizeof(ret_object->path), "%s", line + at);
        } else if (strcmp(ret_object->path, line + at) != 0) {
            continue;
        }
        found = true;
        ret_object->end = end;
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static uint64_t symbol_find(const uint8_t *image, const char *name)
{
    const Elf64_Ehdr *header = (const void *)image;
    const Elf64_Shdr *sections = (const void *)(image + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_DYNSYM) {
            continue;
        }
        const Elf64_Sym *symbols = (const void *)(image + sections[i].sh_offset);
        const char *names = (const char *)image + sections[sections[i].sh_link].sh_offset;
        for (uint64_t j = 0; j < sections[i].sh_size / sizeof(*symbols); j++) {
            if (symbols[j].st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbols[j].st_info) == STT_FUNC &&
                strcmp(names + symbols[j].st_name, name) == 0) {
                return symbols[j].st_value;
            }
        }
    }
    return 0;
}

uint64_t object_function(const struct object *object, const char *name)
{
    int file = open(object->path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        give_up("%s: %s", object->path, strerror(errno));
    }
    uint8_t *image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    uint64_t value = image == MAP_FAILED ? 0 : symbol_find(image, name);
    if (image != MAP_FAILED) {
        munmap(image, (size_t)status.st_size);
    }
    return value ? object->start + value : 0;
}

bool memory_read(int memory, uint64_t address, void *buffer, size_t size)
{
    return pread(memory, buffer, size, (off_t)address) == (ssize_t)size;
}

bool memory_write(int memory, uint64_t address, const void *bytes, size_t size)
{
    return pwrite(memory, bytes, size, (off_t)address) == (ssize_t)size;
}

void breakpoint_insert(int memory, struct breakpoint *breakpoint)
{
    static const uint8_t trap = 0xcc;
    if (!memory_read(memory, breakpoint->address, &breakpoint->byte, 1) ||
        !memory_write(memory, breakpoint->address, &trap, 1)) {
        give_up("no breakpoint at 0x%lx", breakpoint->address);
    }
}

void breakpoint_remove(int memory, const struct breakpoint *breakpoint)
{
    if (!memory_write(memory, breakpoint->address, &breakpoint->byte, 1)) {
        give_up("no breakpoint at 0x%lx", breakpoint->address);
    }
}

int thread_step(pid_t tid, int signal)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, tid, 0, signal) != 0 || waitpid(tid, &status, __WALL) != tid) {
        give_up("thread %d cannot be stepped: %s", tid, strerror(errno));
    }
    return status;
}

void registers_read(pid_t tid, struct user_regs_struct *registers)
{
    if (ptrace(PTRACE_GETREGS, tid, 0, registers) != 0) {
        give_up("registers of thread %d: %s", tid, strerror(errno));
    }
}

void registers_write(pid_t tid, const struct user_regs_struct *registers)
{
    if (ptrace(PTRACE_SETREGS, tid, 0, registers) != 0) {
        give_up("registers of thread %d: %s", tid, strerror(errno));
    }
}
