/* large.h: arrays that are read at random: on huge pages, where the system gives them, a look costs half. */
#ifndef CA_UTIL_LARGE_H
#define CA_UTIL_LARGE_H

#include <stddef.h>

/* As malloc. Freed with free(); it may grow with realloc(), but on small pages then. */
void *ca_allocate_large(size_t size);

#endif
