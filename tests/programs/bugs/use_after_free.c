/* use_after_free.c: the classic misuses of a freed block.
 *
 * usage: use_after_free read|write|wild|realloc|thread|reused|near|called
 *
 * Each overwrites or follows a pointer that is read from the freed memory, and dies of it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

struct item {
    struct item *next; /* the allocator's own word comes here when it is freed */
    struct item *other;
    char name[48];
};

static struct item *volatile shared;

NOINLINE static struct item *item_create(const char *name)
{
    struct item *item = malloc(sizeof *item); /* allocated */
    item->next = item;
    item->other = item;
    strcpy(item->name, name);
    return item;
}

NOINLINE static void item_drop(struct item *item)
{
    free(item); /* freed */
}

NOINLINE static int item_read(struct item *item)
{
    return item->next->name[0]; /* read */
}

NOINLINE static void item_write(struct item *item)
{
    item->next->name[0] = 'w'; /* write */
}

/* The allocator's second word is a random number: hardly ever an address. */
NOINLINE static int item_look(struct item *item)
{
    return item->other->name[0]; /* look */
}

/* A text comes to the place of a freed block, which malloc hands out first. As pointers, its words have this
 * many bytes. */
NOINLINE static char *text_create(size_t size, size_t bytes)
{
    char *text = malloc(size); /* text */
    for (size_t i = 0; i < size; i++) {
        text[i] = i % 8 < bytes ? 'x' : 0;
    }
    return text;
}

NOINLINE static int item_call(struct item *item)
{
    return ((int (*)(struct item *))item->next)(item) + 1; /* call */
}

NOINLINE static char *text_enlarge(char *text)
{
    char *larger = realloc(text, 1 << 20); /* moved */
    larger[0] = 'x';
    return larger;
}

NOINLINE static void *worker(void *unused)
{
    (void)unused;
    item_drop(shared);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "read";
    struct item *before = item_create("before");
    struct item *item = item_create("item");
    struct item *after = item_create("after");
    shared = item;
    if (strcmp(what, "read") == 0) {
        item_drop(item);
        return item_read(shared);
    }
    if (strcmp(what, "write") == 0) {
        item_drop(item);
        item_write(shared);
    }
    if (strcmp(what, "wild") == 0) {
        item_drop(item);
        return item_look(shared);
    }
    if (strcmp(what, "thread") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, worker, NULL);
        pthread_join(thread, NULL);
        return item_read(shared);
    }
    if (strcmp(what, "reused") == 0 || strcmp(what, "near") == 0 || strcmp(what, "called") == 0) {
        item_drop(item);
        char *text = text_create(sizeof *item, what[0] == 'n' ? 6 : 8);
        printf("%c", text[0]);
        return what[0] == 'c' ? item_call(shared) : item_read(shared);
    }
    if (strcmp(what, "realloc") == 0) {
        shared->next = NULL;
        char *larger = text_enlarge((char *)item);
        printf("%d%c", larger[0], before->name[0]);
        return item_read(shared);
    }
    return after->name[0];
}
