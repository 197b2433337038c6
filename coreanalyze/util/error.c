/* error.c: see error.h. */
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every failed allocation of an error becomes; never freed. */
static struct ca_error out_of_memory = {CA_NOTHING, NULL};

__attribute__((format(printf, 2, 0))) static struct ca_error *
error_create(enum ca_status status, const char *format, va_list arguments)
{
    struct ca_error *error = malloc(sizeof(*error));
    if (!error) {
        return &out_of_memory;
    }
    error->status = status;
    if (vasprintf(&error->message, format, arguments) < 0) {
        free(error);
        return &out_of_memory;
    }
    return error;
}

struct ca_error *ca_error_create(enum ca_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct ca_error *error = error_create(status, format, arguments);
    va_end(arguments);
    return error;
}

bool ca_fail(struct ca_error **ret_error, enum ca_status status, const char *format, ...)
{
    if (ret_error) {
        va_list arguments;
        va_start(arguments, format);
        *ret_error = error_create(status, format, arguments);
        va_end(arguments);
    }
    return false;
}

bool ca_fail_memory(struct ca_error **ret_error)
{
    if (ret_error) {
        *ret_error = &out_of_memory;
    }
    return false;
}

bool ca_error_is_passing(const struct ca_error *error)
{
    return error->message == NULL || strcmp(error->message, "interrupted") == 0;
}

const char *ca_error_message(const struct ca_error *error)
{
    return error->message ? error->message : "out of memory";
}

enum ca_status ca_error_status(const struct ca_error *error)
{
    return error->status;
}

void ca_error_destroy(struct ca_error *error)
{
    if (error && error != &out_of_memory) {
        free(error->message);
        free(error);
    }
}
