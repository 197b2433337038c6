/* Blocks held by thread-local variables of two threads, and by thread-specific data.
 * EXPECT direct 0 0 indirect 0 0 */
#include <pthread.h>
#include <unistd.h>

#include "leaks.h"

static int ready[2], never[2];
static HOLDER __thread void *zero;
static HOLDER __thread void *initialised = &ready;
static pthread_key_t key;

static NOINLINE void hold(void)
{
    zero = allocate(64);
    initialised = allocate(65);
    if (pthread_setspecific(key, allocate(66)) != 0) {
        perror("pthread_setspecific");
    }
}

static void *wait_with_blocks(void *unused)
{
    char byte = 0;
    hold();
    scrub();
    if (write(ready[1], &byte, 1) != 1 || read(never[0], &byte, 1) != 1) {
        perror("pipe");
    }
    return unused;
}

int main(void)
{
    char byte;
    pthread_t thread;
    if (pipe(ready) != 0 || pipe(never) != 0 || pthread_key_create(&key, NULL) != 0 ||
        pthread_create(&thread, NULL, wait_with_blocks, NULL) != 0 || read(ready[0], &byte, 1) != 1) {
        perror("thread");
        return 1;
    }
    hold();
    scrub();
    finish();
}
