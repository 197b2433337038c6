/* known.h: what the C and the C++ half of the program with known allocations share.
 *
 * A marker at the end of a line says what the line holds when the program aborts, and test_known_program.py reads it:
 *     EXPECT count=N size=BYTES [thread=NAME]   live blocks whose most recent frame, allocator frames taken off, is this line,
 *                                               all of that thread (main when none is named; others: each of another one)
 *     WITHIN count=N size=BYTES                 live blocks whose traceback has this line somewhere
 * Lines without a marker allocate nothing, or nothing that is left at the end.
 */
#ifndef KNOWN_H
#define KNOWN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps a block reachable and its allocation from being optimised away; the caller goes on after it, so that no
 * allocating call is the last one of a function. Returns the block. */
void *keep(void *block);

/* A size that the compiler does not know. */
size_t opaque(size_t size);

void allocate_in_cxx(void);

#ifdef __cplusplus
}
#endif

#endif
