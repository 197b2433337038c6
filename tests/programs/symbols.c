/* symbols.c: inlined calls, cold paths and clones in C, for the tests of the symbolizer; it is looked into
 * and never run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE      __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))

struct node {
    struct node *next;
    char *name;
};

static ALWAYS_INLINE void *checked(void *block)
{
    if (__builtin_expect(!block, 0)) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return block;
}

static ALWAYS_INLINE void *xmalloc(size_t size)
{
    return checked(malloc(size));
}

static ALWAYS_INLINE char *xstrdup(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(xmalloc(size), string, size);
}

/* clang-format off */
static ALWAYS_INLINE struct node *node_create(const char *name) { struct node *node = xmalloc(sizeof(*node)); node->name = xstrdup(name); return node; }
/* clang-format on */

NOINLINE struct node *list_create(int count)
{
    struct node *list = NULL;
    for (int i = 0; i < count; i++) {
        struct node *node = node_create(i & 1 ? "odd" : "even");
        node->next = list;
        list = node;
    }
    return list;
}

static NOINLINE int list_count(const struct node *list, int start, int step)
{
    int count = start;
    for (; list; list = list->next) {
        count += step;
        if (__builtin_expect(count < 0, 0)) {
            fprintf(stderr, "negative: %d %s\n", count, xstrdup(list->name));
        }
    }
    return count;
}

static NOINLINE void list_destroy(struct node *list)
{
    while (list) {
        struct node *next = list->next;
        free(list->name);
        free(list);
        list = next;
    }
}

/* A function that the linker throws away with --gc-sections, larger than what lies before .text: its line
 * table starts at 0. */
#define TIMES_4(text)   text text text text
#define TIMES_256(text) TIMES_4(TIMES_4(TIMES_4(TIMES_4(text))))
__attribute__((used, section(".text.unused"))) static void unused(volatile int *value)
{
    TIMES_256(value[1]++; value[2]--; value[3] ^= 5;)
}

int main(int argc, char **argv)
{
    (void)argv;
    struct node *list = list_create(argc * 10);
    int count = list_count(list, 0, 1);
    list_destroy(list);
    return count == argc * 10 ? 0 : 1;
}
