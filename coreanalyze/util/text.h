/* text.h: a growing byte buffer for everything that is printed. */
#ifndef CA_UTIL_TEXT_H
#define CA_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../coreanalyze.h"

/* How text is shown on a terminal. */
struct ca_look {
    const char *const *styles; /* by enum ca_style: SGR parameters, "" = none; NULL = no colours */
    size_t columns; /* names and source lines are marked for ca_text_fit; 0 = they stay as they are */
};

/* A name or a source line in a text, by its bytes. */
struct ca_mark {
    size_t start, end;
    bool is_line;
};

/* Zero-initialise. After a failed allocation `failed` is set and everything added is ignored: check once at
 * the end.
 *
 * escape_names chooses what the functions that put names and source lines of the target into a text do with
 * them (statistic and traceback texts, ca_text_add_target): false, the default, writes their bytes as they
 * are, which is what CPython prints and what the Python API needs; true writes them by ca_text_add_name's
 * rules. Every text that a terminal may show sets it. */
struct ca_text {
    char *bytes; /* NUL-terminated once anything was added; NULL before */
    size_t size;
    size_t capacity;
    bool failed;
    bool escape_names;
    bool short_names; /* names are shortened first (util/short_name.h) */
    const struct ca_look *look; /* borrowed; NULL: as in a file */
    enum ca_style style;        /* of what is added now */
    struct ca_mark *marks;      /* in the order of the text; none without look->columns */
    size_t mark_count, mark_capacity;
};

void ca_text_deinit(struct ca_text *text); /* keeps escape_names, short_names and look */
/* What is added from now on has this style. Names that are added in plain text have CA_STYLE_FILE and source
 * lines CA_STYLE_NOTE of themselves. Nothing where the text has no colours. */
void ca_text_style(struct ca_text *text, enum ca_style style);
/* That of a difference. */
static inline enum ca_style ca_style_of_change(__int128 change)
{
    return change > 0 ? CA_STYLE_GROWTH : change < 0 ? CA_STYLE_SHRINK : CA_STYLE_PLAIN;
}
void ca_text_add(struct ca_text *text, const char *string);
void ca_text_add_bytes(struct ca_text *text, const char *bytes, size_t size);
void ca_text_printf(struct ca_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Decimal. `plus`: a '+' before what is not negative ("%+d"). */
void ca_text_add_integer(struct ca_text *text, __int128 number, bool plus);
void ca_text_add_unsigned(struct ca_text *text, unsigned __int128 number);

/* Adds a name that came from the target for a terminal, so that no name can move the cursor, forge a line,
 * colour or reorder the text. Written as \xNN: control characters, DEL and each byte that is no UTF-8.
 * Written as \uNNNN: C1 codes, line and paragraph separators (U+2028, U+2029) and the bidirectional controls
 * (U+061C, U+200E, U+200F, U+202A..U+202E, U+2066..U+2069). Everything else, backslashes too, stays as it is.
 */
void ca_text_add_name(struct ca_text *text, const char *name);
/* The same in a style of its own. */
void ca_text_add_styled(struct ca_text *text, enum ca_style style, const char *name);
/* The code points that are not written as they are (of ca_utf8_next: bytes that are no UTF-8 among them). */
bool ca_text_is_dangerous(uint32_t code_point);
void ca_text_add_name_bytes(struct ca_text *text, const char *name, size_t size);
/* The same for a source line: tabs stay. */
void ca_text_add_line_bytes(struct ca_text *text, const char *line, size_t size);

/* A name as text->escape_names says. */
void ca_text_add_target(struct ca_text *text, const char *name, size_t size);
/* repr() of a Python string: quotes, \\, \n \r \t, and \xhh \uhhhh \Uhhhhhhhh for what is not printable.
 * Nothing in it is dangerous to a terminal, so escape_names changes nothing. */
void ca_text_add_repr(struct ca_text *text, const char *string, size_t size);

#endif
