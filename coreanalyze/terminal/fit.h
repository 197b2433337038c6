/* fit.h: lines that fit a terminal. */
#ifndef CA_TERMINAL_FIT_H
#define CA_TERMINAL_FIT_H

#include "../util/text.h"

/* Names keep at least so many columns: enough for most file names. */
#define CA_FIT_NAME_MIN 12

/* Shortens what is marked (names, source lines) in lines that are wider than text->look->columns, the widest
 * first, until they fit; those that cannot are left to take as few rows as they can. Of names an ellipsis
 * takes the place of the middle, so that directory and file name stay, of source lines that of the end.
 * Forgets the marks. The text ends with a whole line. */
void ca_text_fit(struct ca_text *text);

/* The columns that a piece of text takes on a terminal: colours none, ideographs two, combining marks none.
 */
size_t ca_text_columns(const char *bytes, size_t size);

#endif
