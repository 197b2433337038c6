/* sites.c: a program whose blocks come from the call sites of a library: `sites LIBRARY UNITS STEP FILE`
 * calls library_unit_0 to the last one, keeps a block for each STEPth call of keep(), writes the offset of
 * its call site in the library into FILE, a hexadecimal number a line, and aborts. */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void keep(unsigned long weight);

static uintptr_t base;
static FILE *offsets;
static unsigned long calls, step;

void bench_report_tables(void) __attribute__((weak));

/* A return address belongs to the call before it, hence minus one, as for every reader of tracebacks. */
__attribute__((visibility("default"))) void keep(unsigned long weight)
{
    if (calls++ % step != 0) {
        return;
    }
    void **volatile block = malloc(sizeof *block + weight % 64);
    if (!block) {
        abort();
    }
    *block = block;
    fprintf(offsets, "0x%lx\n", (unsigned long)((uintptr_t)__builtin_return_address(0) - base - 1));
}

static void call_unit(void *library, unsigned long unit)
{
    char name[64];
    snprintf(name, sizeof name, "library_unit_%lu", unit);
    void *symbol = dlsym(library, name);
    Dl_info info;
    if (!symbol || !dladdr(symbol, &info)) {
        fprintf(stderr, "sites: %s\n", dlerror());
        exit(1);
    }
    base = (uintptr_t)info.dli_fbase;
    ((void (*)(void))(uintptr_t)symbol)();
}

int main(int argc, char **argv)
{
    void *library = argc == 5 ? dlopen(argv[1], RTLD_NOW) : NULL;
    offsets = library ? fopen(argv[4], "w") : NULL;
    if (!offsets) {
        fprintf(stderr, "usage: sites LIBRARY UNITS STEP FILE: %s\n",
                argc == 5 ? dlerror() : "four arguments");
        return 64;
    }
    step = strtoul(argv[3], NULL, 10);
    step = step > 0 ? step : 1;
    for (unsigned long unit = 0; unit < strtoul(argv[2], NULL, 10); unit++) {
        call_unit(library, unit);
    }
    if (fclose(offsets) != 0) {
        return 1;
    }
    if (bench_report_tables) {
        bench_report_tables();
    }
    signal(SIGABRT, SIG_DFL);
    abort();
}
