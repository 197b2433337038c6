/* Blocks that threads held on their stacks and in their thread-local storage when they ended; libc keeps the
 * stacks. EXPECT direct 8 800 indirect 0 0 */
#include <pthread.h>

#include "leaks.h"

static HOLDER __thread void *local;

static NOINLINE void *leave(void *unused)
{
    void *volatile block = allocate(99);
    local = allocate(101);
    return block ? unused : NULL;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, leave, NULL) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    scrub();
    finish();
}
