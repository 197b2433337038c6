/* grow.h: arrays that grow. */
#ifndef CA_UTIL_GROW_H
#define CA_UTIL_GROW_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The array, moved if need be, with room for `wanted` >= 1 elements; NULL when memory runs out: then the old
 * one stays. */
static inline void *ca_grow(void *array, size_t *capacity, size_t wanted, size_t element_size)
{
    if (wanted <= *capacity) {
        return array;
    }
    size_t enlarged = *capacity < 8 ? 16 : *capacity + *capacity / 2;
    enlarged = enlarged < wanted ? wanted : enlarged;
    if (enlarged > SIZE_MAX / element_size) {
        return NULL;
    }
    void *moved = realloc(array, enlarged * element_size);
    if (moved) {
        *capacity = enlarged;
    }
    return moved;
}

/* True when `array` has room for `wanted` >= 1 elements in all. */
#define CA_GROW(array, capacity, wanted)                                                                     \
    (__extension__({                                                                                         \
        void *grown_ = ca_grow((array), &(capacity), (wanted), sizeof(*(array)));                            \
        if (grown_) {                                                                                        \
            (array) = grown_;                                                                                \
        }                                                                                                    \
        grown_ != NULL;                                                                                      \
    }))

#endif
