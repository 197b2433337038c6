/* styles.h: the colours that text has where the caller names none. */
#ifndef CA_TERMINAL_STYLES_H
#define CA_TERMINAL_STYLES_H

#include "../coreanalyze.h"

/* SGR parameters by enum ca_style, of the sixteen colours that every terminal lets its user choose. */
extern const char *const ca_styles[CA_STYLES];

#endif
