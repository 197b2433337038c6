/* source_path.c: see source_path.h. */
#include "source_path.h"

#include <stdlib.h>
#include <string.h>

/* Where the last component of path[root..end) starts. */
static size_t component_start(const char *path, size_t root, size_t end)
{
    while (end > root && path[end - 1] != '/') {
        end--;
    }
    return end;
}

static bool is_parent(const char *component, size_t size)
{
    return size == 2 && component[0] == '.' && component[1] == '.';
}

size_t ca_path_normalize(char *path)
{
    size_t root = path[0] == '/' ? 1 : 0;
    size_t written = root;
    for (const char *next = path + root; *next != '\0';) {
        size_t size = strcspn(next, "/");
        const char *component = next;
        next += size + (next[size] == '/' ? 1 : 0);
        if (size == 0 || (size == 1 && component[0] == '.')) {
            continue;
        }
        if (is_parent(component, size)) {
            size_t last = component_start(path, root, written);
            if (last < written && !is_parent(path + last, written - last)) {
                written = last > root ? last - 1 : root;
                continue;
            }
            if (root == 1) {
                continue;
            }
        }
        if (written > root) {
            path[written++] = '/';
        }
        memmove(path + written, component, size);
        written += size;
    }
    if (written == 0) {
        path[written++] = '.';
    }
    path[written] = '\0';
    return written;
}

/* Size of the part of `name` that OLD stands for; 0 = the rule does not fit. */
static size_t rule_match(const char *rule, size_t old_size, const char *name)
{
    while (old_size > 1 && rule[old_size - 1] == '/') {
        old_size--;
    }
    if (old_size == 0 || strncmp(name, rule, old_size) != 0) {
        return 0;
    }
    bool whole = name[old_size] == '\0' || name[old_size] == '/' || rule[old_size - 1] == '/';
    return whole ? old_size : 0;
}

static const char *path_map(struct ca_pool *pool, const char *replacement, const char *rest)
{
    size_t size = strlen(replacement);
    while (size > 0 && replacement[size - 1] == '/') {
        size--;
    }
    size_t rest_size = strlen(rest);
    char *mapped = malloc(size + 1 + rest_size + 1);
    if (!mapped) {
        pool->failed = true;
        return NULL;
    }
    memcpy(mapped, replacement, size);
    if (rest_size > 0 && *rest != '/') {
        mapped[size++] = '/';
    }
    memcpy(mapped + size, rest, rest_size);
    const char *result = ca_pool_string_bytes(pool, mapped, size + rest_size);
    free(mapped);
    return result;
}

const char *ca_source_path(struct ca_pool *pool, const struct ca_source_map *map, const char *name)
{
    char *normal = strdup(name);
    if (!normal) {
        pool->failed = true;
        return NULL;
    }
    size_t size = ca_path_normalize(normal);
    const char *result = NULL;
    for (size_t i = 0; i < map->count && !result && !pool->failed; i++) {
        const char *rule = map->rules[i];
        const char *equals = strchr(rule, '=');
        size_t matched = equals ? rule_match(rule, (size_t)(equals - rule), normal) : 0;
        if (matched > 0) {
            result = path_map(pool, equals + 1, normal + matched);
        }
    }
    if (!result && !pool->failed) {
        result = ca_pool_string_bytes(pool, normal, size);
    }
    free(normal);
    return result;
}
