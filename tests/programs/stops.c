/* stops.c: a program to be looked at by GDB: it stops at checkpoint() three times, holding other blocks each time, and can
 * then crash in a second thread, wait for a line on standard input, or end.
 *
 * At checkpoint 1: 20 rows of 1000 bytes. At 2: 5 tables of 4096 bytes too, made by a thread that still runs. At 3: the rows
 * are freed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20, ROW_BYTES = 1000, TABLES = 5, TABLE_BYTES = 4096 };

static void *rows[ROWS];
static void *tables[TABLES];
static pthread_barrier_t made;
static int thread_crashes;
static volatile int *volatile nowhere = (volatile int *)0x10;

__attribute__((noinline)) static void *make_row(size_t size)
{
    void *row = malloc(size);
    __asm__ volatile("" : "+r"(row));
    return row;
}

__attribute__((noinline)) static void *make_table(size_t size)
{
    void *table = calloc(1, size);
    __asm__ volatile("" : "+r"(table));
    return table;
}

/* For GDB to call. */
__attribute__((noinline, used)) static void drop_row(int number)
{
    free(rows[number]);
    rows[number] = NULL;
}

__attribute__((noinline)) void checkpoint(int number)
{
    __asm__ volatile("" : : "r"(number));
}

static void *work(void *unused)
{
    for (int i = 0; i < TABLES; i++) {
        tables[i] = make_table(TABLE_BYTES);
    }
    pthread_barrier_wait(&made);
    pthread_barrier_wait(&made);
    if (thread_crashes) {
        *nowhere = 1;
    }
    return unused;
}

int main(int argc, char **argv)
{
    const char *end = argc > 1 ? argv[1] : "";
    thread_crashes = strcmp(end, "crash") == 0;
    pthread_barrier_init(&made, NULL, 2);
    for (int i = 0; i < ROWS; i++) {
        rows[i] = make_row(ROW_BYTES);
    }
    checkpoint(1);

    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_barrier_wait(&made);
    checkpoint(2);

    for (int i = 0; i < ROWS; i++) {
        free(rows[i]);
    }
    checkpoint(3);

    if (strcmp(end, "wait") == 0) {
        puts("waiting");
        fflush(stdout);
        getchar();
    }
    pthread_barrier_wait(&made);
    pthread_join(thread, NULL);
    return 0;
}
