/* csv.h: fields of RFC 4180. Control characters of names are escaped as for a terminal, so that a record is
 * one line. */
#ifndef CA_OUTPUT_CSV_H
#define CA_OUTPUT_CSV_H

#include "../util/text.h"

/* NULL gives an empty field. */
void ca_csv_add_name(struct ca_text *text, const char *name);
void ca_csv_add_text(struct ca_text *text, const struct ca_text *field);

#endif
