/* template.h: the page of --format html as coreanalyze/page/ makes it, built into the library. */
#ifndef CA_OUTPUT_FLAMES_TEMPLATE_H
#define CA_OUTPUT_FLAMES_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* What stands before and after the data. */
struct ca_page_template {
    const char *head;
    size_t head_size;
    const char *tail;
    size_t tail_size;
};

/* False where the library was built without it: npm was not there. */
bool ca_page_template_find(struct ca_page_template *ret_template);

#endif
