/* slots.h: the words of an object file in memory through which it reaches functions of other objects. */
#ifndef TM_ATTACH_SLOTS_H
#define TM_ATTACH_SLOTS_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An object that is mapped, and stays so meanwhile. */
struct tm_slots {
    uintptr_t bias;       /* run-time address = bias + address in the file */
    uintptr_t start, end; /* of its mappings */
    const ElfW(Phdr) * headers;
    size_t header_count;
    const ElfW(Dyn) * dynamic;
};

struct tm_slot {
    const char *name; /* of the function; NULL = not known */
    bool is_unbound;  /* it leads to the object's own code that binds it at the first call */
};

/* What a slot that holds `value` is to hold; `value` = as it is. */
typedef uintptr_t tm_slot_visit(const struct tm_slot *slot, uintptr_t value, void *context);

/* Visits the slots that relocations fill with the plain address of a function: of procedure linkage table and
 * global offset table, and pointers in data. What was made read-only after relocation (RELRO) is made
 * writable meanwhile. Reads nothing outside start..end. */
void tm_slots_visit(const struct tm_slots *slots, tm_slot_visit *visit, void *context);

/* The same for every aligned word of the object's writable segments. */
void tm_slots_visit_words(const struct tm_slots *slots, tm_slot_visit *visit, void *context);

#endif
