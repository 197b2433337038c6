/* A variable, a block, a block, and a pointer into the middle of a third. EXPECT direct 0 0 indirect 0 0 */
#include "leaks.h"

struct holder {
    long number;
    void *held;
};

static HOLDER struct holder table[4];

static NOINLINE void make(void)
{
    struct holder *first = allocate(100), *second = allocate(60);
    char *third = allocate(40);
    first[2] = (struct holder){1, second};
    second[1] = (struct holder){2, third + 24};
    table[3] = (struct holder){3, first};
    escape(first);
    escape(second);
}

int main(void)
{
    make();
    scrub();
    finish();
}
