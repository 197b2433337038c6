/* text.h: a growing byte buffer for everything that is printed. */
#ifndef CA_UTIL_TEXT_H
#define CA_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. After a failed allocation `failed` is set and everything added is ignored: check once at the end. */
struct ca_text {
    char *bytes; /* NUL-terminated once anything was added; NULL before */
    size_t size;
    size_t capacity;
    bool failed;
};

void ca_text_deinit(struct ca_text *text);
void ca_text_add(struct ca_text *text, const char *string);
void ca_text_add_bytes(struct ca_text *text, const char *bytes, size_t size);
void ca_text_printf(struct ca_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds a name that came from the target for a terminal: control characters, C1 codes and invalid UTF-8 are written as \xNN
 * so that no name can move the cursor, forge a line or colour the text. */
void ca_text_add_name(struct ca_text *text, const char *name);

#endif
