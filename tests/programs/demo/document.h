/* document.h: parses the documents that searchd is fed: header lines "Name: value", an empty line, the body. */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct document {
    char *title;
    char *body;
    int year;
};

/* NULL when the text is no valid document. The caller frees with document_free(). */
struct document *document_parse(const char *text, size_t size);
void document_free(struct document *document);

#ifdef __cplusplus
}
#endif

#endif
