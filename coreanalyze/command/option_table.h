/* option_table.h: the one table of options, for the parser and for what is written from it. */
#ifndef CA_COMMAND_OPTION_TABLE_H
#define CA_COMMAND_OPTION_TABLE_H

#include "options.h"

struct ca_option_parse;

/* One option, or, without a name, the heading of those that follow. */
struct ca_option_spec {
    const char *name;
    char letter;          /* short form, 0 = none */
    const char *argument; /* as --help calls it, in brackets when it may be left out; NULL = takes none */
    unsigned commands;    /* enum ca_command_bit, or'ed */
    bool (*set)(struct ca_option_parse *parse, const struct ca_option_spec *spec, const char *argument);
    size_t field;             /* offset in struct ca_options that `set` writes to */
    const char *const *words; /* of a choice: index = the value, ended by NULL */
    const char *text;         /* what --help says */
};

extern const struct ca_option_spec ca_option_table[];
extern const size_t ca_option_count;

#endif
