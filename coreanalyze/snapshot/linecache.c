/* linecache.c: source lines, by the rules of Python's linecache.
 *
 * One cache for the process, as in Python, behind a mutex. A file that is not there is looked for anew each
 * time; one that is there is read once. Other than Python, whatever is not a regular file has no lines (names
 * come from the target, and a FIFO would never end), nor has a file of more than SOURCE_MAX bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util/decode.h"
#include "../util/grow.h"
#include "../util/unicode.h"
#include "index.h"
#include "statistics.h"

#define SOURCE_MAX ((size_t)256 << 20)

struct line {
    size_t start;
    size_t size;
    bool stripped; /* and NUL-terminated */
};

struct source_file {
    char *name;
    size_t name_size;
    uint32_t hash;
    char *text;
    struct line *lines;
    size_t line_count, lines_capacity;
};

static struct {
    pthread_mutex_t mutex;
    struct source_file *files;
    size_t count, capacity;
    struct ca_index index;
} cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ------------------------------------------------------------------------------------ reading */

static bool read_all(int fd, char **ret_bytes, size_t *ret_size)
{
    char *bytes = NULL;
    size_t size = 0;
    size_t capacity = 0;
    for (;;) {
        if (size > SOURCE_MAX || !CA_GROW(bytes, capacity, size + 65536)) {
            break;
        }
        ssize_t got = read(fd, bytes + size, capacity - size - 1);
        if (got == 0) {
            *ret_bytes = bytes;
            *ret_size = size;
            return true;
        }
        if (got < 0 && errno != EINTR) {
            break;
        }
        size += got > 0 ? (size_t)got : 0;
    }
    free(bytes);
    return false;
}

/* True if the file exists, *ret_bytes then NULL or its bytes. */
static bool read_file(const char *name, char **ret_bytes, size_t *ret_size)
{
    *ret_bytes = NULL;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        read_all(fd, ret_bytes, ret_size);
    }
    close(fd);
    return true;
}

/* Lines end at "\n", "\r\n" and "\r". */
static bool split_lines(struct source_file *file, size_t size)
{
    for (size_t start = 0; start < size;) {
        size_t end = start;
        while (end < size && file->text[end] != '\n' && file->text[end] != '\r') {
            end++;
        }
        if (!CA_GROW(file->lines, file->lines_capacity, file->line_count + 1)) {
            return false;
        }
        file->lines[file->line_count++] = (struct line){.start = start, .size = end - start};
        start = end + (end + 1 < size && file->text[end] == '\r' && file->text[end + 1] == '\n' ? 2 : 1);
    }
    return true;
}

/* Without its lines when it is no text. */
static void source_load(struct source_file *file, char *bytes, size_t size)
{
    if (bytes == NULL) {
        return;
    }
    bool decoded = ca_decode_source(&bytes, &size);
    file->text = bytes;
    if (!decoded || !split_lines(file, size)) {
        file->line_count = 0;
    }
}

/* ------------------------------------------------------------------------------------ the cache */

struct name_key {
    const char *name;
    size_t size;
    uint32_t hash;
};

static bool file_equal(const void *array, uint32_t element, const void *key)
{
    const struct source_file *file = &((const struct source_file *)array)[element];
    const struct name_key *wanted = key;
    return file->hash == wanted->hash && file->name_size == wanted->size &&
           memcmp(file->name, wanted->name, wanted->size) == 0;
}

static uint32_t file_hash(const void *array, uint32_t element)
{
    return ((const struct source_file *)array)[element].hash;
}

static const struct ca_index_type file_type = {file_equal, file_hash};

static void file_deinit(struct source_file *file)
{
    free(file->name);
    free(file->text);
    free(file->lines);
}

/* NULL if there is no such file, or no memory for it. */
static struct source_file *file_add(const struct name_key *key)
{
    struct source_file file = {.name = malloc(key->size + 1), .name_size = key->size, .hash = key->hash};
    char *bytes = NULL;
    size_t size = 0;
    if (file.name == NULL) {
        return NULL;
    }
    memcpy(file.name, key->name, key->size);
    file.name[key->size] = '\0';
    bool exists = strlen(file.name) == key->size && read_file(file.name, &bytes, &size);
    if (!exists || !CA_GROW(cache.files, cache.capacity, cache.count + 1) ||
        !ca_index_reserve(&cache.index, &file_type, cache.files)) {
        free(bytes);
        file_deinit(&file);
        return NULL;
    }
    source_load(&file, bytes, size);
    cache.files[cache.count] = file;
    ca_index_insert(&cache.index, (uint32_t)cache.count, key->hash);
    return &cache.files[cache.count++];
}

static struct source_file *file_find(const char *name, size_t size)
{
    if (size == 0 || (name[0] == '<' && name[size - 1] == '>')) {
        return NULL;
    }
    struct name_key key = {name, size, ca_hash_bytes(name, size)};
    uint32_t found = ca_index_find(&cache.index, &file_type, cache.files, &key, key.hash);
    return found != CA_INDEX_NONE ? &cache.files[found] : file_add(&key);
}

/* The byte after a line is the end of it or of the text: the NUL goes there. */
static void line_strip(char *text, struct line *line)
{
    const char *at = text + line->start;
    const char *end = at + line->size;
    const char *first = end;
    const char *last = end;
    while (at < end) {
        const char *next = at;
        if (!ca_is_space(ca_utf8_next(&next, end))) {
            first = first == end ? at : first;
            last = next;
        }
        at = next;
    }
    line->size = first == end ? 0 : (size_t)(last - first);
    line->start = (size_t)(first - text);
    text[line->start + line->size] = '\0';
    line->stripped = true;
}

const char *ca_linecache_find(const char *filename, size_t filename_size, uint64_t lineno, size_t *ret_size)
{
    const char *found = "";
    *ret_size = 0;
    pthread_mutex_lock(&cache.mutex);
    struct source_file *file = file_find(filename, filename_size);
    if (file != NULL && lineno >= 1 && lineno <= file->line_count) {
        struct line *line = &file->lines[lineno - 1];
        if (!line->stripped) {
            line_strip(file->text, line);
        }
        found = file->text + line->start;
        *ret_size = line->size;
    }
    pthread_mutex_unlock(&cache.mutex);
    return found;
}

const char *ca_linecache_line(const char *filename, uint64_t lineno)
{
    size_t size = 0;
    return ca_linecache_find(filename, strlen(filename), lineno, &size);
}

void ca_linecache_clear(void)
{
    pthread_mutex_lock(&cache.mutex);
    for (size_t i = 0; i < cache.count; i++) {
        file_deinit(&cache.files[i]);
    }
    free(cache.files);
    cache.files = NULL;
    cache.count = 0;
    cache.capacity = 0;
    ca_index_deinit(&cache.index);
    pthread_mutex_unlock(&cache.mutex);
}
