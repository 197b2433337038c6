/* console.h: the terminal that coreanalyze was started at: what its text may look like, and a line on
 * standard error that shows how far it has come. */
#ifndef CA_CONSOLE_H
#define CA_CONSOLE_H

#include <stdbool.h>

#include "coreanalyze.h"

/* Standard output shows colours: it is a terminal that is not "dumb", and NO_COLOR is empty or not set. */
bool console_shows_colors(void);
/* Columns of standard output: COLUMNS, else what the terminal says, else 80; 0 where it is no terminal. */
int console_columns(void);

/* The line. It is there when something takes longer than a second, where standard error is a terminal and
 * this process in its foreground; else these do nothing. */
void console_progress_begin(void);
void console_progress(void *context, const struct ca_progress *progress); /* for ca_output.progress */
void console_progress_clear(void); /* before something else is written there; it comes again */
void console_progress_end(void);   /* may be called again */

#endif
