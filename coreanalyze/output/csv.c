/* csv.c: quoting. */
#include "csv.h"

#include <string.h>

void ca_csv_add_text(struct ca_text *text, const struct ca_text *field)
{
    text->failed = text->failed || field->failed;
    if (text->failed || field->size == 0) {
        return;
    }
    if (!strpbrk(field->bytes, ",\"\r\n")) {
        ca_text_add_bytes(text, field->bytes, field->size);
        return;
    }
    ca_text_add(text, "\"");
    const char *at = field->bytes;
    for (const char *quote; (quote = strchr(at, '"')); at = quote + 1) {
        ca_text_add_bytes(text, at, (size_t)(quote - at));
        ca_text_add(text, "\"\"");
    }
    ca_text_add(text, at);
    ca_text_add(text, "\"");
}

void ca_csv_add_name(struct ca_text *text, const char *name)
{
    if (!name) {
        return;
    }
    struct ca_text field = {0};
    ca_text_add_name(&field, name);
    ca_csv_add_text(text, &field);
    ca_text_deinit(&field);
}
