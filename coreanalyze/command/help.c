/* help.c: --help and the list of options from the table of options. Not by argp_help(), which sorts options
 * by name, obeys ARGP_HELP_FMT and complains about it on the process's stderr. */
#include <string.h>

#include "option_table.h"

enum { WIDTH = 80, TEXT_COLUMN = 29 };

/* Words of `words` from `column` on, in lines that begin at TEXT_COLUMN or, without indent, at 0. */
static void add_wrapped(struct ca_text *text, size_t column, size_t indent, const char *words)
{
    while (*words) {
        size_t size = strcspn(words, " ");
        bool first = column == indent;
        if (!first && column + 1 + size > WIDTH) {
            ca_text_printf(text, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        ca_text_add(text, first ? "" : " ");
        ca_text_add_bytes(text, words, size);
        column += size + !first;
        words += size + (words[size] == ' ');
    }
    ca_text_add(text, "\n");
}

static void add_option(struct ca_text *text, const struct ca_option_spec *spec)
{
    size_t start = text->size;
    if (spec->letter) {
        ca_text_printf(text, "  -%c, ", spec->letter);
    } else {
        ca_text_add(text, "      ");
    }
    ca_text_printf(text, "--%s", spec->name);
    if (spec->argument && spec->argument[0] == '[') {
        ca_text_printf(text, "[=%s", spec->argument + 1);
    } else if (spec->argument) {
        ca_text_printf(text, "=%s", spec->argument);
    }
    size_t column = text->size - start;
    if (column + 2 > TEXT_COLUMN) {
        ca_text_add(text, "\n");
        column = 0;
    }
    ca_text_printf(text, "%*s", (int)(TEXT_COLUMN - column), "");
    add_wrapped(text, TEXT_COLUMN, TEXT_COLUMN, spec->text);
}

void ca_options_help(struct ca_text *text, enum ca_command_bit command, const char *name,
                     const char *operands, const char *description, const char *epilogue)
{
    ca_text_printf(text, "Usage: %s [OPTION...] %s\n", name, operands);
    add_wrapped(text, 0, 0, description);
    for (const struct ca_option_spec *spec = ca_option_table; spec < ca_option_table + ca_option_count;
         spec++) {
        if (!(spec->commands & command)) {
            continue;
        }
        if (spec->name) {
            add_option(text, spec);
        } else {
            ca_text_printf(text, "\n%s\n", spec->text);
        }
    }
    ca_text_printf(text, "\n%s\n", epilogue);
}

/* ------------------------------------------------------------------------------------------ as a list */

static void add_words(struct ca_text *text, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++) {
        ca_text_printf(text, "%s%s", i ? " " : "", words[i]);
    }
}

void ca_options_list(struct ca_text *text, enum ca_command_bit command, const char *name)
{
    for (size_t i = 0; i < ca_option_count; i++) {
        const struct ca_option_spec *spec = &ca_option_table[i];
        if (!(spec->commands & command)) {
            continue;
        }
        ca_text_printf(text, "%s\t%zu\t%s\t", spec->name ? "option" : "heading", i, name);
        if (spec->name) {
            char letter[] = {spec->letter ? '-' : '\0', spec->letter, '\0'};
            ca_text_printf(text, "%s\t--%s\t%s\t", letter, spec->name, spec->argument ? spec->argument : "");
            add_words(text, spec->words);
            ca_text_add(text, "\t");
        }
        ca_text_printf(text, "%s\n", spec->text);
    }
}
