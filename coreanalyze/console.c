/* console.c: see console.h. A thread of its own draws the line: reading the symbols of one large file is one
 * call into a library that reports nothing. */
#include "console.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    COLUMNS_DEFAULT = 80,
    COLUMNS_MAX = 10000,
    TEXT_SIZE = 1024,
    FIRST_MS = 1000, /* nothing is shown before */
    NEXT_MS = 100,
};

static const char erase[] = "\r\033[K";

static struct {
    bool running;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool ended;
    bool shown;        /* the line is on the terminal */
    uint64_t made;     /* when `text` was, ms */
    const char *phase; /* that it is about, to be compared only */
    char text[TEXT_SIZE];
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---------------------------------------------------------------------------------------------- the terminal
 */

static bool is_smart(int descriptor)
{
    const char *terminal = getenv("TERM");
    return isatty(descriptor) && terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
}

bool console_shows_colors(void)
{
    const char *no_color = getenv("NO_COLOR");
    return is_smart(STDOUT_FILENO) && !(no_color && no_color[0]);
}

static int columns_of(int descriptor)
{
    struct winsize window;
    const char *chosen = getenv("COLUMNS");
    char *end = NULL;
    if (!isatty(descriptor)) {
        return 0;
    }
    errno = 0;
    long columns = chosen ? strtol(chosen, &end, 10) : 0;
    if (columns > 0 && *end == '\0' && errno == 0) {
        return columns < COLUMNS_MAX ? (int)columns : COLUMNS_MAX;
    }
    return ioctl(descriptor, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col : COLUMNS_DEFAULT;
}

int console_columns(void)
{
    return columns_of(STDOUT_FILENO);
}

/* --------------------------------------------------------------------------------------------------- the
 * line */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void terminal_write(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* line.lock is held. A job in the background leaves the terminal to others. */
static void draw(void)
{
    if (line.text[0] && tcgetpgrp(STDERR_FILENO) == getpgrp()) {
        char text[sizeof erase + TEXT_SIZE];
        snprintf(text, sizeof text, "%s%s", erase, line.text);
        terminal_write(text);
        line.shown = true;
    }
}

static void clear(void)
{
    if (line.shown) {
        terminal_write(erase);
        line.shown = false;
    }
}

static void *line_draw(void *context)
{
    (void)context;
    uint64_t due = now_ms() + FIRST_MS;
    pthread_mutex_lock(&line.lock);
    while (!line.ended) {
        struct timespec until = {.tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000};
        if (pthread_cond_timedwait(&line.wake, &line.lock, &until) == ETIMEDOUT) {
            draw();
            due = now_ms() + NEXT_MS;
        }
    }
    clear();
    pthread_mutex_unlock(&line.lock);
    return NULL;
}

void console_progress_begin(void)
{
    pthread_condattr_t attributes;
    if (line.running || !is_smart(STDERR_FILENO) || pthread_condattr_init(&attributes) != 0) {
        return;
    }
    line.ended = false;
    line.text[0] = '\0';
    line.running = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                   pthread_cond_init(&line.wake, &attributes) == 0 &&
                   pthread_create(&line.thread, NULL, line_draw, NULL) == 0;
    pthread_condattr_destroy(&attributes);
}

void console_progress(void *context, const struct ca_progress *progress)
{
    (void)context;
    uint64_t now = now_ms();
    if (!line.running || (progress->phase == line.phase && now - line.made < NEXT_MS)) {
        return;
    }
    pthread_mutex_lock(&line.lock);
    line.made = now;
    line.phase = progress->phase;
    ca_progress_text(progress, columns_of(STDERR_FILENO) - 1, line.text, sizeof line.text);
    pthread_mutex_unlock(&line.lock);
}

void console_progress_clear(void)
{
    if (line.running) {
        pthread_mutex_lock(&line.lock);
        clear();
        pthread_mutex_unlock(&line.lock);
    }
}

void console_progress_end(void)
{
    if (line.running) {
        pthread_mutex_lock(&line.lock);
        line.ended = true;
        pthread_cond_signal(&line.wake);
        pthread_mutex_unlock(&line.lock);
        pthread_join(line.thread, NULL);
        pthread_cond_destroy(&line.wake);
        line.running = false;
    }
}
