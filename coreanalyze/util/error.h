/* error.h: the engine's one error type. Functions that can fail take `struct ca_error **ret_error` last,
 * return false, NULL or a negative number, and write *ret_error only then. A message is one sentence: the
 * fact with file, address, expected and found, then "; " and what to try, where there is something to try. */
#ifndef CA_UTIL_ERROR_H
#define CA_UTIL_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#include "../coreanalyze.h"

struct ca_error {
    enum ca_status status;
    char *message; /* NULL: out of memory */
};

/* Never returns NULL: falls back to a static "out of memory" error. */
struct ca_error *ca_error_create(enum ca_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets *ret_error (when ret_error is not NULL) and returns false. */
bool ca_fail(struct ca_error **ret_error, enum ca_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool ca_fail_memory(struct ca_error **ret_error);

/* Interrupted, or out of memory: it says nothing about the source, and may go otherwise the next time. */
bool ca_error_is_passing(const struct ca_error *error);

#endif
