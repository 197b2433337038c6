/* cli_header.h: a second file that allocates, inlined into the first where that is optimised. */
#ifndef CLI_HEADER_H
#define CLI_HEADER_H

#include <stdlib.h>

void *cli_keep(void *block);

static inline void cli_header_allocate(void)
{
    for (int i = 0; i < 25; i++) {
        cli_keep(malloc(200));
    }
    cli_keep(realloc(NULL, 5000));
}

#endif
