/* sessiond.c: a little session server that grows; docs/my-server-grows.md walks through it.
 *
 *     cc -g -O2 -o sessiond sessiond.c && tm-run ./sessiond serve &
 *     ./sessiond load 1000 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SESSIONS = 64 };

struct visit {
    struct visit *before;
    char page[48];
};

struct session {
    char user[32];
    struct visit *visits;
};

static struct session *sessions[SESSIONS];

static void session_close(struct session *session)
{
    free(session); /* and its visits? */
}

static struct session *session_open(const char *user)
{
    static unsigned next;
    struct session **place = &sessions[next++ % SESSIONS];
    if (*place) {
        session_close(*place);
    }
    *place = calloc(1, sizeof **place);
    snprintf((*place)->user, sizeof (*place)->user, "%.31s", user);
    return *place;
}

static void session_visit(struct session *session, const char *page)
{
    struct visit *visit = malloc(sizeof *visit);
    snprintf(visit->page, sizeof visit->page, "%.47s", page);
    visit->before = session->visits;
    session->visits = visit;
}

static void answer(FILE *client)
{
    char user[64];
    while (fgets(user, sizeof user, client)) {
        user[strcspn(user, "\n")] = '\0';
        struct session *session = session_open(user);
        session_visit(session, "/");
        session_visit(session, "/news");
        fputs("welcome\n", client);
        fflush(client);
    }
}

static int serve(int socket)
{
    unlink("sessiond.socket");
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sessiond.socket"};
    if (bind(socket, (struct sockaddr *)&address, sizeof address) || listen(socket, 8)) {
        perror("sessiond.socket");
        return 1;
    }
    for (;;) {
        FILE *client = fdopen(accept(socket, NULL, NULL), "r+");
        answer(client);
        fclose(client);
    }
}

static int load(int socket, long requests)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sessiond.socket"};
    while (connect(socket, (struct sockaddr *)&address, sizeof address)) {
        usleep(10000); /* until it serves */
    }
    FILE *server = fdopen(socket, "r+");
    char line[64];
    long answered = 0;
    for (long i = 0; i < requests; i++) {
        fprintf(server, "user%ld\n", i);
        fflush(server);
        answered += fgets(line, sizeof line, server) != NULL;
    }
    printf("%ld requests answered\n", answered);
    return 0;
}

int main(int argc, char **argv)
{
    int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
    return argc > 2 ? load(unix_socket, atol(argv[2])) : serve(unix_socket);
}
