/* operators.h: C++'s operators new and delete.
 *
 * Those of libstdc++ and libc++ call malloc and free: then there is nothing to do but to hand the call on.
 * Other allocators (jemalloc, tcmalloc, mimalloc) bring operators of their own, which do not: these are
 * recorded as malloc is. What the operators below are is settled once, when the process starts; where there
 * are none (a C program that loads C++ libraries for their own use only), they are done here, by malloc and
 * free as libstdc++'s.
 */
#ifndef TM_ENTRY_OPERATORS_H
#define TM_ENTRY_OPERATORS_H

/* Finds the operators behind the tracer's own in the search order. The allocator below is known. */
void tm_operators_find(void);

#endif
