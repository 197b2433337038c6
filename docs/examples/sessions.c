/* A server for docs/ci.md: sessions that are opened and closed by lines of standard input; each is answered
 * by one. It forgets the name of a session that is closed, and loads a configuration that it never frees.
 * -DMENDED does not forget. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct session *next;
    char *name;
    char buffer[200];
};

static struct session *sessions;
static char **volatile settings;

/* Known: what it has read is there until the process ends, and nobody frees it. */
static void config_load(void)
{
    settings = calloc(16, sizeof *settings);
    settings[0] = strdup("a setting that is read once");
    settings = NULL;
}

static void session_open(const char *name)
{
    struct session *session = calloc(1, sizeof *session);
    session->name = strdup(name);
    session->next = sessions;
    sessions = session;
}

static void session_close(const char *name)
{
    struct session **at = &sessions;
    while (*at && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    struct session *found = *at;
    if (found) {
        *at = found->next;
#ifdef MENDED
        free(found->name);
#endif
        free(found);
    }
}

int main(void)
{
    char line[256];
    config_load();
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "open ", 5) == 0) {
            session_open(line + 5);
        } else if (strncmp(line, "close ", 6) == 0) {
            session_close(line + 6);
        }
        puts("done");
        fflush(stdout);
    }
    return 0;
}
