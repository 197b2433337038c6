/* environment.h: what the process was started with, also before libc has set environ. */
#ifndef TM_HOST_ENVIRONMENT_H
#define TM_HOST_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#define TM_ENVIRONMENT_MAX 4096

struct tm_environment {
    bool has_options;                 /* TRACEMALLOC is set and not empty */
    char options[TM_ENVIRONMENT_MAX]; /* its value, cut to fit */
    bool preloaded;                   /* LD_PRELOAD names this library */
};

void tm_environment_read(struct tm_environment *ret_environment);

#endif
