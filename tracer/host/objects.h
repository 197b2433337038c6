/* objects.h: the object files that the dynamic loader has mapped, asked without its locks where glibc can (2.35). */
#ifndef TM_HOST_OBJECTS_H
#define TM_HOST_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tm_object {
    uintptr_t start, end; /* of its mappings */
    uintptr_t bias;       /* run-time address = bias + address in the file */
    const char *name;     /* as the loader knows it; "" = the main program. Borrowed until it is unloaded */
    const uint8_t *build_id;
    size_t build_id_length;
};

/* The object at this address; false when there is none. */
bool tm_object_find(uintptr_t address, struct tm_object *ret_object);

/* dlopen's handle of an object that is loaded already, NULL = the program; NULL when it is not, or where the
 * dynamic loader is not. To be closed. */
void *tm_object_open(const char *name);

/* Build-id of the ELF image whose header is mapped at start. */
void tm_object_read_build_id(struct tm_object *object);

#endif
