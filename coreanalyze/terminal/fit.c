/* fit.c: see fit.h. */
#include "fit.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "../util/unicode.h"

enum {
    TAB = 8,
    MARKS_MAX = 16, /* of a line; further ones are not shortened */
    SEPARATOR = 8,  /* columns within which a cut moves to the next slash */
};

static const char ellipsis[] = "\xE2\x80\xA6"; /* U+2026, one column */

/* ---------------------------------------------------------------------------------------------- measuring */

/* wcwidth goes by the thread's locale; that of the process may know ASCII alone. This one is made once. */
static locale_t utf8_locale; /* NULL: there is none */

static void utf8_locale_make(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* The locale before, for locale_leave. */
static locale_t locale_enter(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, utf8_locale_make);
    return uselocale(utf8_locale);
}

static void locale_leave(locale_t before)
{
    uselocale(before);
}

static size_t columns_of(uint32_t code_point)
{
    if (code_point < 0x7F) {
        return code_point == '\t' ? TAB : 1;
    }
    int columns = wcwidth((wchar_t)code_point);
    return columns < 0 ? 1 : (size_t)columns;
}

/* "\033[...m" at `at`: what is behind it. */
static const char *sequence_skip(const char *at, const char *end)
{
    if (end - at < 2 || at[0] != '\033' || at[1] != '[') {
        return at;
    }
    at += 2;
    while (at < end && *at != 'm') {
        at++;
    }
    return at < end ? at + 1 : at;
}

static size_t measure(const char *bytes, size_t size)
{
    const char *end = bytes + size;
    size_t columns = 0;
    while (bytes < end) {
        const char *behind = sequence_skip(bytes, end);
        if (behind != bytes) {
            bytes = behind;
            continue;
        }
        columns += columns_of(ca_utf8_next(&bytes, end));
    }
    return columns;
}

size_t ca_text_columns(const char *bytes, size_t size)
{
    locale_t before = locale_enter();
    size_t columns = measure(bytes, size);
    locale_leave(before);
    return columns;
}

/* ---------------------------------------------------------------------------------------------- shortening
 */

/* The bytes of the first code points that take no more than `columns`. */
static size_t head_size(const char *bytes, size_t size, size_t columns)
{
    const char *at = bytes, *end = bytes + size;
    while (at < end) {
        const char *next = at;
        size_t wide = columns_of(ca_utf8_next(&next, end));
        if (wide > columns) {
            break;
        }
        columns -= wide;
        at = next;
    }
    return (size_t)(at - bytes);
}

/* Where the last code points begin that take no more than `columns`. */
static size_t tail_start(const char *bytes, size_t size, size_t columns)
{
    size_t total = measure(bytes, size);
    size_t start = head_size(bytes, size, total > columns ? total - columns : 0);
    if (measure(bytes + start, size - start) > columns) { /* the cut is in the middle of a wide one */
        start += head_size(bytes + start, size - start, 2);
    }
    return start;
}

/* Two thirds of what is left are of the end, which says more of a path and of a qualified name; of paths
 * whole components where that costs little. */
static void name_shorten(struct ca_text *text, const char *name, size_t size, size_t columns)
{
    size_t head = head_size(name, size, (columns - 1) / 3);
    size_t start = tail_start(name, size, columns - 1 - (columns - 1) / 3);
    const char *slash = memrchr(name, '/', head);
    if (slash && (size_t)(slash + 1 - name) + SEPARATOR >= head) {
        head = (size_t)(slash + 1 - name);
    }
    size_t rest = size - start < SEPARATOR ? size - start : SEPARATOR;
    slash = memchr(name + start, '/', rest);
    if (slash && slash + 1 < name + size) {
        start = (size_t)(slash - name);
    }
    ca_text_add_bytes(text, name, head);
    ca_text_add(text, ellipsis);
    ca_text_add_bytes(text, name + start, size - start);
}

static void line_shorten(struct ca_text *text, const char *line, size_t size, size_t columns)
{
    ca_text_add_bytes(text, line, head_size(line, size, columns - 1));
    ca_text_add(text, ellipsis);
}

/* By how much a line is too wide: for one row of the terminal, or for as few as it can be made to take. */
static size_t excess_of(size_t wide, const size_t *widths, size_t count, size_t columns)
{
    size_t least = wide;
    for (size_t i = 0; i < count; i++) {
        least -= widths[i] > CA_FIT_NAME_MIN ? widths[i] - CA_FIT_NAME_MIN : 0;
    }
    size_t rows = least > columns ? (least + columns - 1) / columns : 1;
    return wide > rows * columns ? wide - rows * columns : 0;
}

/* Takes `excess` columns from the widths, as far as they go: always from the widest. */
static void widths_cut(size_t *widths, size_t count, size_t excess)
{
    while (excess) {
        size_t widest = 0, second = CA_FIT_NAME_MIN;
        for (size_t i = 1; i < count; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        for (size_t i = 0; i < count; i++) {
            second = i != widest && widths[i] > second ? widths[i] : second;
        }
        if (widths[widest] <= CA_FIT_NAME_MIN) {
            return;
        }
        size_t taken = widths[widest] > second ? widths[widest] - second : 1;
        taken = taken < excess ? taken : excess;
        widths[widest] -= taken;
        excess -= taken;
    }
}

/* Adds the line text[start, end), whose marks these are, to `fitted`. */
static void line_fit(struct ca_text *fitted, const struct ca_text *text, size_t start, size_t end,
                     const struct ca_mark *marks, size_t count)
{
    size_t columns = text->look->columns, before[MARKS_MAX], widths[MARKS_MAX];
    size_t wide = measure(text->bytes + start, end - start);
    count = count < MARKS_MAX ? count : MARKS_MAX;
    for (size_t i = 0; i < count; i++) {
        before[i] = widths[i] = measure(text->bytes + marks[i].start, marks[i].end - marks[i].start);
    }
    widths_cut(widths, count, excess_of(wide, widths, count, columns));
    for (size_t i = 0; i < count; i++) {
        ca_text_add_bytes(fitted, text->bytes + start, marks[i].start - start);
        const char *piece = text->bytes + marks[i].start;
        size_t size = marks[i].end - marks[i].start;
        if (widths[i] == before[i]) {
            ca_text_add_bytes(fitted, piece, size);
        } else {
            (marks[i].is_line ? line_shorten : name_shorten)(fitted, piece, size, widths[i]);
        }
        start = marks[i].end;
    }
    ca_text_add_bytes(fitted, text->bytes + start, end - start);
}

void ca_text_fit(struct ca_text *text)
{
    if (!text->mark_count || text->failed) {
        text->mark_count = 0;
        return;
    }
    locale_t before = locale_enter();
    struct ca_text fitted = {0};
    size_t done = 0;
    for (size_t mark = 0, next; mark < text->mark_count; mark = next) {
        const char *newline = memrchr(text->bytes + done, '\n', text->marks[mark].start - done);
        size_t start = newline ? (size_t)(newline + 1 - text->bytes) : done;
        newline = memchr(text->bytes + text->marks[mark].end, '\n', text->size - text->marks[mark].end);
        size_t end = newline ? (size_t)(newline - text->bytes) : text->size;
        for (next = mark + 1; next < text->mark_count && text->marks[next].start < end; next++) {
        }
        ca_text_add_bytes(&fitted, text->bytes + done, start - done);
        line_fit(&fitted, text, start, end, &text->marks[mark], next - mark);
        done = end;
    }
    ca_text_add_bytes(&fitted, text->bytes + done, text->size - done);
    locale_leave(before);
    free(text->bytes);
    text->bytes = fitted.bytes;
    text->size = fitted.size;
    text->capacity = fitted.capacity;
    text->failed = fitted.failed;
    text->mark_count = 0;
}
