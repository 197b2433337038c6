/* types.h: what class an object in a block is of, where that can be had: C++ objects of classes with virtual
 * functions begin with a pointer to the class's table of them, whose symbol (_ZTV...) names the class.
 */
#ifndef CA_MEMORY_TYPES_H
#define CA_MEMORY_TYPES_H

#include "memory.h"

/* Of everything else: no C++ object, no virtual functions, or a table without a symbol (a stripped program).
 */
#define CA_NO_TYPE "<no type>"

struct ca_types;

/* The memory is borrowed until ca_types_destroy. */
struct ca_types *ca_types_create(struct ca_memory *memory, struct ca_error **ret_error);
void ca_types_destroy(struct ca_types *types); /* NULL is allowed */

/* The class of what a block begins with. Cheapest for blocks in the order of their addresses. The name is
 * borrowed until ca_types_destroy. */
bool ca_types_find(struct ca_types *types, uint64_t address, uint64_t size, const char **ret_name,
                   struct ca_error **ret_error);

#endif
