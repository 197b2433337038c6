/* images.h: the object files of a target, for memory.c alone. */
#ifndef CA_MEMORY_IMAGES_H
#define CA_MEMORY_IMAGES_H

#include "memory.h"

struct ca_images {
    struct ca_image *items; /* by start */
    size_t count, capacity;
    struct ca_module *modules; /* of those that the tables do not know; [0] is unused; paths are owned */
    size_t module_count, module_capacity;
    struct ca_symbolizer *symbolizer; /* over them */
};

/* Zero-initialise. Those of the tables that are loaded, with the target's own symbolizer, and those that the
 * source names besides. */
bool ca_images_read(struct ca_images *images, struct ca_source *source, const struct ca_table *table,
                    struct ca_symbolizer *symbolizer, const struct ca_symbol_options *options,
                    struct ca_error **ret_error);
void ca_images_deinit(struct ca_images *images);

#endif
