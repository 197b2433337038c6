/* plugin.c: a library that allocates, built under two names to be loaded in turns at one address. */
#include <stdlib.h>

void *plugin_allocate(void);

void *plugin_allocate(void)
{
    void *volatile block = malloc(PLUGIN_SIZE);
    return block;
}
