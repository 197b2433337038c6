/* suppressions.c: see suppressions.h. */
#include "suppressions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../util/grow.h"

enum { FILE_SIZE_MAX = 16 << 20 };

static const char prefix[] = "leak:";

/* ----------------------------------------------------------------------------------------------- patterns */

/* After a mismatch only the last star is tried again, one character further. */
bool ca_suppression_matches(const char *glob, const char *name)
{
    const char *star = NULL, *retry = NULL;
    if (!name[0]) {
        return false;
    }
    for (;;) {
        if (*glob == '*') {
            star = ++glob;
            retry = name;
        } else if (*glob && *glob == *name) {
            glob++;
            name++;
        } else if (!*glob && !*name) {
            return true;
        } else if (!star || !*retry) {
            return false;
        } else {
            glob = star;
            name = ++retry;
        }
    }
}

/* Where the parameters of a function begin; `size` where it has none. */
static size_t parameters_find(const char *name, size_t size)
{
    static const char anonymous[] = "(anonymous namespace)", call[] = "operator()";
    size_t depth = 0;
    for (size_t i = 0; i < size; i++) {
        if (strncmp(name + i, anonymous, sizeof anonymous - 1) == 0) {
            i += sizeof anonymous - 2;
        } else if (strncmp(name + i, call, sizeof call - 1) == 0) {
            i += sizeof call - 2;
        } else if (name[i] == '<') {
            depth++;
        } else if (name[i] == '>' && depth) {
            depth--;
        } else if (name[i] == '(' && depth == 0 && i > 0) {
            return i;
        }
    }
    return size;
}

/* The glob of the whole name: what a pattern may be part of is a star. */
static char *glob_make(const char *pattern, size_t size, bool begins, bool ends)
{
    char *glob;
    return asprintf(&glob, "%s%.*s%s", begins ? "" : "*", (int)size, pattern, ends ? "" : "*") < 0 ? NULL
                                                                                                   : glob;
}

static bool suppression_make(struct ca_suppression *suppression, const char *pattern, size_t size)
{
    suppression->pattern = strndup(pattern, size);
    bool begins = pattern[0] == '^', ends = size > 1 && pattern[size - 1] == '$';
    pattern += begins;
    size -= (size_t)begins + ends;
    size_t bare = parameters_find(pattern, size);
    suppression->glob = glob_make(pattern, size, begins, ends);
    suppression->function = bare < size ? glob_make(pattern, bare, begins, true) : NULL;
    return suppression->pattern && suppression->glob && (bare == size || suppression->function);
}

/* -------------------------------------------------------------------------------------------------- files */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* `line` has no blanks around it. */
static bool line_read(struct ca_suppressions *suppressions, const char *file, size_t number, const char *line,
                      size_t size, struct ca_error **ret_error)
{
    size_t skipped = sizeof prefix - 1;
    if (size == 0 || line[0] == '#') {
        return true;
    }
    if (size <= skipped || memcmp(line, prefix, skipped) != 0 || memchr(line, '\0', size)) {
        return ca_fail(
            ret_error, CA_USAGE,
            "%s:%zu: '%.*s' is no suppression; leak:PATTERN expected, or a comment that begins with #", file,
            number, size < 200 ? (int)size : 200, line);
    }
    if (!CA_GROW(suppressions->items, suppressions->capacity, suppressions->count + 1)) {
        return ca_fail_memory(ret_error);
    }
    struct ca_suppression *suppression = &suppressions->items[suppressions->count++];
    *suppression = (struct ca_suppression){.file = file, .line = number};
    return suppression_make(suppression, line + skipped, size - skipped) || ca_fail_memory(ret_error);
}

static bool lines_read(struct ca_suppressions *suppressions, const char *file, const struct ca_text *text,
                       struct ca_error **ret_error)
{
    const char *at = text->bytes, *end = at + text->size;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *last = newline ? newline : end;
        const char *next = newline ? newline + 1 : end;
        while (at < last && is_blank(*at)) {
            at++;
        }
        while (at < last && is_blank(last[-1])) {
            last--;
        }
        if (!line_read(suppressions, file, number, at, (size_t)(last - at), ret_error)) {
            return false;
        }
        at = next;
    }
    return true;
}

static bool file_read(FILE *stream, const char *file, struct ca_text *text, struct ca_error **ret_error)
{
    char buffer[4096];
    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, stream)) > 0) {
        ca_text_add_bytes(text, buffer, got);
        if (text->size > FILE_SIZE_MAX) {
            return ca_fail(ret_error, CA_USAGE,
                           "--suppressions: %s is larger than %d MiB; is it the right file?", file,
                           FILE_SIZE_MAX >> 20);
        }
    }
    if (ferror(stream)) {
        return ca_fail(ret_error, CA_USAGE, "--suppressions: cannot read %s: %s", file, strerror(errno));
    }
    return !text->failed || ca_fail_memory(ret_error);
}

bool ca_suppressions_read(struct ca_suppressions *suppressions, const char *file, struct ca_error **ret_error)
{
    FILE *stream = fopen(file, "re");
    if (!stream) {
        return ca_fail(ret_error, CA_USAGE, "--suppressions: cannot read %s: %s", file, strerror(errno));
    }
    struct ca_text text = {0};
    bool done = file_read(stream, file, &text, ret_error) &&
                (text.size == 0 || lines_read(suppressions, file, &text, ret_error));
    ca_text_deinit(&text);
    fclose(stream);
    return done;
}

void ca_suppressions_deinit(struct ca_suppressions *suppressions)
{
    for (size_t i = 0; i < suppressions->count; i++) {
        free(suppressions->items[i].pattern);
        free(suppressions->items[i].glob);
        free(suppressions->items[i].function);
    }
    free(suppressions->items);
    free(suppressions->verdicts);
    *suppressions = (struct ca_suppressions){0};
}

/* ------------------------------------------------------------------------------------------------ matching
 */

/* Names of the symbol table, "MODULE(FUNCTION)", stand where no file is known. */
static const char *file_of(struct ca_snapshot *snapshot, const struct ca_frame *frame)
{
    const char *name = ca_snapshot_string(snapshot, frame->filename);
    size_t size = strlen(name);
    return frame->lineno == 0 && size && name[size - 1] == ')' ? "" : name;
}

static uint32_t frame_judge(const struct ca_suppressions *suppressions, struct ca_snapshot *snapshot,
                            uint32_t id)
{
    const struct ca_frame *frame = ca_snapshot_frame(snapshot, id);
    const char *file = file_of(snapshot, frame);
    const char *function = ca_snapshot_string(snapshot, frame->function);
    const char *module = ca_snapshot_string(snapshot, frame->module);
    for (size_t i = 0; i < suppressions->count; i++) {
        const struct ca_suppression *item = &suppressions->items[i];
        if (ca_suppression_matches(item->glob, module) || ca_suppression_matches(item->glob, file) ||
            ca_suppression_matches(item->function ? item->function : item->glob, function)) {
            return (uint32_t)i + 2;
        }
    }
    return 1;
}

static uint32_t *verdict_of(struct ca_suppressions *suppressions, uint32_t frame)
{
    size_t before = suppressions->verdict_count;
    if (frame >= before) {
        if (!CA_GROW(suppressions->verdicts, suppressions->verdict_count, (size_t)frame + 1)) {
            return NULL;
        }
        memset(suppressions->verdicts + before, 0,
               (suppressions->verdict_count - before) * sizeof *suppressions->verdicts);
    }
    return &suppressions->verdicts[frame];
}

bool ca_suppressions_find(struct ca_suppressions *suppressions, struct ca_snapshot *snapshot,
                          uint32_t traceback, struct ca_suppression **ret_found, struct ca_error **ret_error)
{
    size_t count;
    const uint32_t *frames = ca_snapshot_traceback(snapshot, traceback, SIZE_MAX, &count, ret_error);
    *ret_found = NULL;
    for (size_t i = 0; frames && i < count; i++) {
        uint32_t *verdict = verdict_of(suppressions, frames[i]);
        if (!verdict) {
            return ca_fail_memory(ret_error);
        }
        *verdict = *verdict ? *verdict : frame_judge(suppressions, snapshot, frames[i]);
        if (*verdict >= 2) {
            *ret_found = &suppressions->items[*verdict - 2];
            return true;
        }
    }
    return frames != NULL;
}
