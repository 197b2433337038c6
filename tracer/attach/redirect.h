/* redirect.h: leads the calls of a running process to the hooks, and back.
 *
 * Object files call other object files through slots that the loader has filled: of their procedure linkage
 * table and global offset table, and pointers in their data. While redirected, each slot that leads to a
 * function of the malloc family leads to the tracer's hook instead; so do the loader's own pointers to the
 * allocator. They are written one by one, each by one store, while the process runs on.
 *
 * Objects that are loaded later are redirected before their constructors run: glibc's dlopen frees an array
 * of its own once a new object is relocated and _dl_find_object() knows it (dl-find_object.c), and that call
 * is one of those that come here. Nothing is remembered about slots: to lead them back, all are looked at
 * again, so that what was unloaded meanwhile is never touched.
 */
#ifndef TM_ATTACH_REDIRECT_H
#define TM_ATTACH_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>

/* Finds what leads where; to be called first in the constructor. False when this cannot be done here: glibc
 * is older than 2.35, or nothing is found. */
bool tm_redirect_prepare(void);

/* Number of slots that lead to the hooks now; 0 when tm_redirect_prepare() did not succeed. */
size_t tm_redirect_begin(void);

/* All of them lead again to where they led before (slots that were to be bound at their first call are
 * bound). No effect when nothing is redirected. */
void tm_redirect_end(void);

#endif
