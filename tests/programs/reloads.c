/* reloads.c: allocates from libraries that come and go at one address, before main, and from the resolver of an indirect
 * function while this program is being relocated.
 *
 * usage: reloads ROUNDS LIBRARY...    each with a function `int plugin(int)`; exits with 3 if no two of them ever stood at one
 * address
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

NOINLINE static void allocate(size_t size)
{
    void *volatile block = malloc(size);
    free(block);
}

static int identity(int value)
{
    return value;
}

static int (*chosen(void))(int)
{
    allocate(24);
    return identity;
}

int choose(int value) __attribute__((ifunc("chosen")));

__attribute__((constructor)) static void begin(void)
{
    allocate(32);
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[1]) : 0;
    const void *before = NULL;
    int same = 0;
    for (int i = 0; i < rounds; i++) {
        void *library = dlopen(argv[2 + i % (argc - 2)], RTLD_NOW);
        int (*plugin)(int) = library ? (int (*)(int))dlsym(library, "plugin") : NULL;
        if (!plugin) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        const char *here = (const char *)plugin;
        same += here == before;
        before = here;
        (void)plugin(choose(3));
        dlclose(library);
    }
    return same > 0 ? 0 : 3;
}
