#include "objects.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include "linked.h"

#pragma weak _dl_find_object
#pragma weak dl_iterate_phdr

struct search {
    uintptr_t address;
    struct tm_object *object;
};

static int object_matches(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct search *search = context;
    uintptr_t start = UINTPTR_MAX, end = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD) {
            uintptr_t first = info->dlpi_addr + header->p_vaddr;
            start = first < start ? first : start;
            end = first + header->p_memsz > end ? first + header->p_memsz : end;
        }
    }
    if (search->address < start || search->address >= end) {
        return 0;
    }
    *search->object = (struct tm_object){
        .start = start & ~(uintptr_t)4095,
        .end = end,
        .bias = info->dlpi_addr,
        .name = info->dlpi_name ? info->dlpi_name : "",
    };
    return 1;
}

bool tm_object_find(uintptr_t address, struct tm_object *ret_object)
{
    const uint8_t *unwind;
    if (tm_linked_find(address, ret_object, &unwind)) {
        return true;
    }
#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 or newer at build time */
    if (_dl_find_object) {
        struct dl_find_object found;
        if (_dl_find_object((void *)address, &found) != 0) {
            return false;
        }
        const struct link_map *map = found.dlfo_link_map;
        *ret_object = (struct tm_object){
            .start = (uintptr_t)found.dlfo_map_start,
            .end = (uintptr_t)found.dlfo_map_end,
            .bias = map ? map->l_addr : 0,
            .name = map && map->l_name ? map->l_name : "",
        };
        return true;
    }
#endif
    struct search search = { address, ret_object };
    return dl_iterate_phdr && dl_iterate_phdr(object_matches, &search) != 0;
}

/* Not by the name dlopen: linkers warn of it in every static program. */
void *tm_object_open(const char *name)
{
    void *(*open)(const char *, int) =
        dlsym && !tm_linked_with_libc() ? (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen") : NULL;
    return open ? open(name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

static bool notes_read(struct tm_object *object, const uint8_t *notes, size_t size, size_t alignment)
{
    size_t mask = alignment == 8 ? 7 : 3;
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof(note));
        size_t name = (sizeof(note) + note.n_namesz + mask) & ~mask;
        size_t next = (name + note.n_descsz + mask) & ~mask;
        if (name > size || note.n_descsz > size - name) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + sizeof(note), "GNU", 4) == 0) {
            object->build_id = notes + name;
            object->build_id_length = note.n_descsz;
            return true;
        }
        if (next >= size) {
            return false;
        }
        notes += next;
        size -= next;
    }
    return false;
}

/* The first page of an object is its ELF header wherever a linker or loader of this platform made the image; program headers
 * that do not lie in that page are left alone. */
void tm_object_read_build_id(struct tm_object *object)
{
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)object->start;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr)) ||
        elf->e_phoff > 4096 || elf->e_phoff + (size_t)elf->e_phnum * sizeof(ElfW(Phdr)) > 4096) {
        return;
    }
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)(object->start + elf->e_phoff);
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        const ElfW(Phdr) *header = &headers[i];
        uintptr_t first = object->bias + header->p_vaddr;
        if (header->p_type == PT_NOTE && first >= object->start && first < object->end &&
            header->p_memsz <= object->end - first &&
            notes_read(object, (const uint8_t *)first, header->p_memsz, header->p_align)) {
            return;
        }
    }
}
