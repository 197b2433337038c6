/* A list whose head is forgotten. EXPECT direct 1 24 indirect 9 216 */
#include "leaks.h"

struct node {
    struct node *next;
    long number, square;
};

static NOINLINE void make(void)
{
    struct node *head = NULL;
    for (long i = 0; i < 10; i++) {
        struct node *node = allocate(sizeof *node);
        *node = (struct node){head, i, i * i};
        head = node;
        escape(head);
    }
}

int main(void)
{
    make();
    scrub();
    finish();
}
