#include "environment.h"

#include <string.h>
#include <unistd.h>

#include "objects.h"
#include "system.h"

#define PROC_SIZE_FIRST ((size_t)64 << 10)
#define PROC_SIZE_MAX   ((size_t)8 << 20)

static const char *after_prefix(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static const char *base_name(const char *path, size_t *length)
{
    const char *base = path;
    for (size_t i = 0; i < *length; i++) {
        if (path[i] == '/') {
            base = path + i + 1;
        }
    }
    *length -= (size_t)(base - path);
    return base;
}

/* Does one of the names, separated by blanks or colons, have the base name of the object that this code is
 * in? */
static bool preload_names_us(const char *names)
{
    struct tm_object own;
    if (!tm_object_find((uintptr_t)&tm_environment_read, &own)) {
        return false;
    }
    size_t own_length = strlen(own.name);
    const char *own_base = base_name(own.name, &own_length);
    while (*names && own_length) {
        size_t length = strcspn(names, " :");
        size_t left = length;
        const char *base = base_name(names, &left);
        if (left == own_length && memcmp(base, own_base, left) == 0) {
            return true;
        }
        names += length + (names[length] != '\0');
    }
    return false;
}

static void environment_take(struct tm_environment *environment, const char *entry)
{
    const char *value = after_prefix(entry, "TRACEMALLOC=");
    if (value && *value && !environment->has_options) {
        size_t length = strnlen(value, TM_ENVIRONMENT_MAX - 1);
        memcpy(environment->options, value, length);
        environment->options[length] = '\0';
        environment->has_options = true;
    }
    value = after_prefix(entry, "LD_PRELOAD=");
    if (value) {
        environment->preloaded = preload_names_us(value);
    }
}

/* The whole of /proc/self/environ into `buffer`; its length, or `size` when it does not fit. */
static size_t proc_read(char *buffer, size_t size)
{
    long file = tm_system_open("/proc/self/environ");
    if (tm_system_failed(file)) {
        return 0;
    }
    size_t length = 0;
    while (length < size) {
        long got = tm_system_read(file, buffer + length, size - length);
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
    }
    tm_system_close(file);
    return length;
}

/* False when a buffer of this size is too small. */
static bool proc_take(struct tm_environment *environment, size_t size)
{
    long answer = tm_system_mmap(0, size, 0);
    if (tm_system_failed(answer)) {
        return true;
    }
    char *buffer = (char *)answer;
    size_t length = proc_read(buffer, size - 1);
    bool complete = length < size - 1;
    for (size_t at = 0; complete && at < length; at += strlen(buffer + at) + 1) {
        environment_take(environment, buffer + at);
    }
    tm_system_munmap(buffer, size);
    return complete;
}

void tm_environment_read(struct tm_environment *ret_environment)
{
    ret_environment->has_options = false;
    ret_environment->options[0] = '\0';
    ret_environment->preloaded = false;
    if (!environ) {
        size_t size = PROC_SIZE_FIRST;
        while (size <= PROC_SIZE_MAX && !proc_take(ret_environment, size)) {
            size *= 2;
        }
        return;
    }
    for (char **entry = environ; *entry; entry++) {
        environment_take(ret_environment, *entry);
    }
}
