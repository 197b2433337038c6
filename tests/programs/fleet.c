/* fleet.c: one process of a service, of which a fleet has many.
 *
 *   fleet SESSIONS [wait]   keeps SESSIONS sessions of 1000 bytes with a buffer of 64 bytes each, as many notes of
 *                           16 bytes from elsewhere, and a table of 4096 bytes; what it held at its peak is freed.
 *                           Aborts; with `wait` it says "ready" and ends when standard input does. */
#include <stdlib.h>
#include <unistd.h>

static void **kept;
static size_t count;

static void keep(void *block)
{
    kept[count++] = block;
}

__attribute__((noinline)) static void *make_buffer(size_t size)
{
    return malloc(size);
}

__attribute__((noinline)) static void open_session(void)
{
    keep(malloc(1000));
    keep(make_buffer(64));
}

__attribute__((noinline)) static void write_note(size_t size)
{
    keep(malloc(size));
}

__attribute__((noinline)) static void load(void)
{
    void *volatile large = malloc(1 << 20);
    free(large);
}

int main(int argc, char **argv)
{
    long sessions = argc > 1 ? atol(argv[1]) : 1;
    kept = malloc(4096);
    if (sessions > 170) {
        return 64; /* the table is full then */
    }
    for (long i = 0; i < sessions; i++) {
        open_session();
        write_note(16);
    }
    load();
    if (argc > 2) {
        char byte;
        return write(STDOUT_FILENO, "ready\n", 6) == 6 && read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
    }
    abort();
}
