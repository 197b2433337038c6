/* import.c: an import in three steps, one of which keeps more than it should; docs/two-breakpoints.md walks through it.
 *
 *     cc -g -O1 -o import import.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    char *key;
    char *value;
};

static struct row *rows;
static size_t count;
static char *lines;

__attribute__((noinline)) static void step_done(const char *name)
{
    printf("%s\n", name);
}

static void read_lines(void)
{
    lines = malloc(100000);
    for (size_t i = 0, used = 0; i < 2000; i++) {
        used += (size_t)sprintf(lines + used, "key%zu=value of row %zu\n", i, i);
    }
    step_done("read");
}

static char *copy(const char *text, size_t size)
{
    char *made = malloc(size + 1);
    memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

static void parse_rows(void)
{
    rows = calloc(2000, sizeof *rows);
    for (char *line = lines; *line; line = strchr(line, '\n') + 1) {
        char *equals = strchr(line, '=');
        rows[count].key = copy(line, (size_t)(equals - line));
        rows[count].value = copy(equals + 1, (size_t)(strchr(line, '\n') - equals - 1));
        count++;
    }
    step_done("parsed");
}

static void store_rows(void)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].value[0] == 'v') {
            free(rows[i].value); /* stored elsewhere; the key stays */
        }
    }
    free(rows);
    free(lines);
    step_done("stored");
}

int main(void)
{
    read_lines();
    parse_rows();
    store_rows();
    return 0;
}
