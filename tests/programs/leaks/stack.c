/* A block held by a variable of main, one by one of a thread that waits, and one that a function held which
 * has returned. EXPECT direct 1 32 indirect 0 0 */
#include <pthread.h>
#include <unistd.h>

#include "leaks.h"

static int ready[2], never[2];

static NOINLINE void forget(void)
{
    void *volatile block = allocate(32);
    (void)block;
}

static void *wait_with_block(void *unused)
{
    char byte = 0;
    void *volatile block = allocate(64);
    scrub();
    if (write(ready[1], &byte, 1) != 1 || read(never[0], &byte, 1) != 1) {
        perror("pipe");
    }
    free(block);
    return unused;
}

int main(void)
{
    char byte;
    pthread_t thread;
    void *volatile block = allocate(48);
    if (pipe(ready) != 0 || pipe(never) != 0 || pthread_create(&thread, NULL, wait_with_block, NULL) != 0 ||
        read(ready[0], &byte, 1) != 1) {
        perror("thread");
        return 1;
    }
    forget();
    scrub();
    finish();
    free(block);
}
