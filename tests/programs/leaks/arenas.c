/* Lists that threads make in heaps of their own: half of them are forgotten, and the threads end.
 * EXPECT direct 4 96 indirect 396 9504 */
#include <pthread.h>

#include "leaks.h"

struct node {
    struct node *next;
    long number, square;
};

static HOLDER struct node *kept[4];

static struct node *make(void)
{
    struct node *head = NULL;
    for (long i = 0; i < 100; i++) {
        struct node *node = allocate(sizeof *node);
        *node = (struct node){head, i, i * i};
        head = node;
        free(allocate(500 + (size_t)i)); /* leaves pointers behind */
    }
    return head;
}

static void *work(void *place)
{
    *(struct node **)place = make();
    return make() ? place : NULL;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, work, &kept[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    scrub();
    finish();
}
