/* What a program normally does: threads that come and go, files, locales, at exit, sorted lists, an
 * environment. EXPECT direct 0 0 indirect 0 0 */
#include <locale.h>
#include <pthread.h>
#include <search.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "leaks.h"

static int ready[2], never[2];
static void *tree;
static char *lines[64];
static FILE *file;

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void *work(void *argument)
{
    char byte = 0, *text = strdup("of a thread");
    if (argument && (write(ready[1], &byte, 1) != 1 || read(never[0], &byte, 1) != 1)) {
        perror("pipe");
    }
    free(text);
    return NULL;
}

static void nothing(void)
{
}

static NOINLINE void use_library(void)
{
    char name[32];
    setlocale(LC_ALL, "");
    setenv("LEAKS_TEST", "a value that is copied", 1);
    tzset();
    file = fopen("/proc/self/status", "r");
    for (int i = 0; i < 64; i++) {
        size_t size = 0;
        if (!file || getline(&lines[i], &size, file) < 0) {
            break;
        }
        snprintf(name, sizeof name, "key %d", i * 37 % 64);
        if (!tsearch(strdup(name), &tree, compare)) {
            exit(1);
        }
    }
    for (int i = 0; i < 40; i++) {
        atexit(nothing);
    }
}

int main(void)
{
    pthread_t threads[12];
    char byte;
    use_library();
    if (pipe(ready) != 0 || pipe(never) != 0) {
        return 1;
    }
    for (intptr_t i = 0; i < 12; i++) {
        if (pthread_create(&threads[i], NULL, work, (void *)(i % 3)) != 0 ||
            (i % 3 && read(ready[0], &byte, 1) != 1)) {
            return 1;
        }
    }
    for (int i = 0; i < 12; i += 3) {
        pthread_join(threads[i], NULL);
    }
    scrub();
    finish();
}
