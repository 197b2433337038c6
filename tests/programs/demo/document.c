#include "document.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *begin, const char *end)
{
    size_t size = (size_t)(end - begin);
    char *copy = malloc(size + 1);
    if (copy) {
        memcpy(copy, begin, size);
        copy[size] = '\0';
    }
    return copy;
}

static int parse_year(const char *value, const char *end)
{
    int year = 0;
    for (; value < end && isdigit((unsigned char)*value); value++) {
        year = 10 * year + (*value - '0');
    }
    return value == end && year > 0 ? year : -1;
}

static int parse_header(struct document *document, const char *line, const char *end)
{
    if (strncmp(line, "Title: ", 7) == 0) {
        document->title = copy_text(line + 7, end);
        return document->title ? 0 : -1;
    }
    if (strncmp(line, "Year: ", 6) == 0) {
        document->year = parse_year(line + 6, end);
        return document->year > 0 ? 0 : -1;
    }
    return 0;
}

struct document *document_parse(const char *text, size_t size)
{
    const char *body = strstr(text, "\n\n");
    if (!body) {
        return NULL;
    }
    struct document *document = calloc(1, sizeof(*document));
    if (!document) {
        return NULL;
    }
    document->body = copy_text(body + 2, text + size);
    for (const char *line = text; line < body;) {
        const char *end = strchr(line, '\n');
        if (parse_header(document, line, end) != 0) {
            return NULL; /* the leak of the demo: document, its body and perhaps its title are lost */
        }
        line = end + 1;
    }
    return document;
}

void document_free(struct document *document)
{
    if (document) {
        free(document->title);
        free(document->body);
        free(document);
    }
}
