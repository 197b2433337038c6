/* template.c: see template.h. The file is taken in by the assembler: of 100 KB, C source would be 500 KB. */
#include "template.h"

#include <stdint.h>
#include <string.h>

#ifndef CA_PAGE_FILE /* the Makefile says it; without it the file can be checked, not assembled */
#define CA_PAGE_FILE "page.html"
#endif

__asm__(".pushsection .rodata\n"
        "ca_page_bytes:\n"
        ".incbin \"" CA_PAGE_FILE "\"\n"
        "1:\n"
        ".byte 0\n"
        ".balign 8\n"
        "ca_page_size:\n"
        ".quad 1b - ca_page_bytes\n"
        ".popsection\n");

extern const char ca_page_bytes[] __attribute__((visibility("hidden")));
extern const uint64_t ca_page_size __attribute__((visibility("hidden")));

/* Where the data go; coreanalyze/page/bundle.mjs has seen to it that it is there once. */
static const char marker[] = "@@TM-DATA@@";

bool ca_page_template_find(struct ca_page_template *ret_template)
{
    const char *found = memmem(ca_page_bytes, ca_page_size, marker, sizeof marker - 1);
    if (!found) {
        return false;
    }
    size_t head_size = (size_t)(found - ca_page_bytes);
    *ret_template = (struct ca_page_template){
        .head = ca_page_bytes,
        .head_size = head_size,
        .tail = found + sizeof marker - 1,
        .tail_size = ca_page_size - head_size - (sizeof marker - 1),
    };
    return true;
}
