/* Is loaded after the tracer came: its constructor allocates 3 blocks of 333 bytes, plugin_make() 4 of 444.
 */
#include <stdlib.h>

void plugin_make(void);

void *plugin_blocks[7];

__attribute__((constructor)) static void plugin_constructor(void)
{
    for (int i = 0; i < 3; i++) {
        plugin_blocks[i] = malloc(333);
    }
}

void plugin_make(void)
{
    for (int i = 3; i < 7; i++) {
        plugin_blocks[i] = malloc(444);
    }
}

__attribute__((destructor)) static void plugin_destructor(void)
{
    for (int i = 0; i < 7; i++) {
        free(plugin_blocks[i]);
    }
}
