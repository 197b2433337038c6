/* short_name.c: see short_name.h. */
#include "short_name.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 64, ARGUMENTS_MAX = 64 };

struct cursor {
    const char *at, *end;
    unsigned depth;
    bool failed; /* brackets that do not match: the name stays as it is */
};

static bool starts_with(const char *at, const char *end, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(end - at) >= size && memcmp(at, word, size) == 0;
}

static bool ends_with(const struct ca_text *text, const char *word)
{
    size_t size = strlen(word);
    return text->size >= size && memcmp(text->bytes + text->size - size, word, size) == 0;
}

/* What is added last is the beginning of an operator's name: < and > belong to it. */
static bool in_operator(const struct ca_text *text)
{
    static const char *const words[] = {"operator", "operator<", "operator>", "operator-", "operator<="};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (ends_with(text, words[i])) {
            return true;
        }
    }
    return false;
}

/* Where the qualified name begins that the text ends with. */
static size_t head_start(const struct ca_text *text)
{
    size_t start = text->size;
    while (start > 0 && (isalnum((unsigned char)text->bytes[start - 1]) || text->bytes[start - 1] == '_' ||
                         text->bytes[start - 1] == ':')) {
        start--;
    }
    return start;
}

/* Past the inline namespaces of the standard libraries. */
static bool namespace_skip(struct cursor *cursor, const struct ca_text *text)
{
    static const char *const names[] = {"__cxx11::", "__1::", "__debug::", "__cxx1998::", "__ndk1::"};
    if (!ends_with(text, "std::")) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (starts_with(cursor->at, cursor->end, names[i])) {
            cursor->at += strlen(names[i]);
            return true;
        }
    }
    return false;
}

static bool is_default(const char *at, const char *end)
{
    static const char *const words[] = {"std::allocator<", "std::char_traits<", "std::less<",
                                        "std::equal_to<",  "std::hash<",        "std::default_delete<"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (starts_with(at, end, words[i])) {
            return true;
        }
    }
    return false;
}

/* std::basic_NAME<char> at the end of the text becomes std::NAME, of wchar_t std::wNAME. */
static void common_name(struct ca_text *text, size_t head)
{
    static const char *const names[] = {
        "string",   "string_view",   "ostream",   "istream",      "iostream",      "ofstream",
        "ifstream", "fstream",       "streambuf", "stringstream", "ostringstream", "stringbuf",
        "filebuf",  "istringstream", "ios",       "regex",        "syncbuf",       "osyncstream",
    };
    for (size_t i = 0; i < 2 * (sizeof(names) / sizeof(names[0])); i++) {
        char full[64], brief[64];
        bool wide = i % 2;
        size_t full_size = (size_t)snprintf(full, sizeof(full), "std::basic_%s<%s>", names[i / 2],
                                            wide ? "wchar_t" : "char");
        if (text->size - head == full_size && memcmp(text->bytes + head, full, full_size) == 0) {
            snprintf(brief, sizeof(brief), "std::%s%s", wide ? "w" : "", names[i / 2]);
            text->size = head;
            ca_text_add(text, brief);
            return;
        }
    }
}

static void copy_until(struct cursor *cursor, struct ca_text *text, const char *stops);

/* A template's arguments, the cursor at their '<'. */
static void copy_arguments(struct cursor *cursor, struct ca_text *text)
{
    size_t head = head_start(text), count = 0;
    size_t ends[ARGUMENTS_MAX], starts[ARGUMENTS_MAX];
    bool standard = starts_with(text->bytes + head, text->bytes + text->size, "std::");
    ca_text_add(text, "<");
    do {
        cursor->at++; /* '<' or ',' */
        while (cursor->at < cursor->end && *cursor->at == ' ') {
            cursor->at++;
        }
        ca_text_add(text, count ? ", " : "");
        if (count == ARGUMENTS_MAX) {
            cursor->failed = true;
            return;
        }
        starts[count] = text->size;
        copy_until(cursor, text, ",>");
        while (!text->failed && text->size > starts[count] && text->bytes[text->size - 1] == ' ') {
            text->size--;
        }
        ends[count++] = text->size;
        cursor->failed = cursor->failed || cursor->at == cursor->end || text->failed;
    } while (!cursor->failed && *cursor->at == ',');
    if (cursor->failed) {
        return;
    }
    while (standard && count > 1 &&
           is_default(text->bytes + starts[count - 1], text->bytes + ends[count - 1])) {
        text->size = ends[--count - 1];
    }
    ca_text_add(text, ">");
    cursor->at++;
    if (standard && count == 1 && !text->failed) {
        common_name(text, head);
    }
}

/* What a bracket holds, with the bracket, whose closing one may be missing at the end of a cut name. */
static void copy_bracket(struct cursor *cursor, struct ca_text *text)
{
    char open[] = {*cursor->at, '\0'};
    char close[] = {*cursor->at == '(' ? ')' : *cursor->at == '[' ? ']' : '}', '\0'};
    ca_text_add(text, open);
    cursor->at++;
    copy_until(cursor, text, close);
    if (cursor->at < cursor->end) {
        ca_text_add(text, close);
        cursor->at++;
    }
}

/* Up to one of these characters that is in no bracket, or to the end. */
static void copy_until(struct cursor *cursor, struct ca_text *text, const char *stops)
{
    cursor->failed = cursor->failed || ++cursor->depth > DEPTH_MAX;
    while (cursor->at < cursor->end && !cursor->failed && !text->failed) {
        char character = *cursor->at;
        bool named = (character == '<' || character == '>') && in_operator(text);
        if (!named && strchr(stops, character)) {
            break;
        }
        if (character == '<' && !named && text->size > 0 && head_start(text) < text->size) {
            copy_arguments(cursor, text);
        } else if (character == '(' || character == '[' || character == '{') {
            copy_bracket(cursor, text);
        } else if (!namespace_skip(cursor, text)) {
            ca_text_add_bytes(text, cursor->at++, 1);
        }
    }
    cursor->depth--;
}

void ca_short_name(struct ca_text *text, const char *name, size_t size)
{
    size_t before = text->size;
    struct cursor cursor = {.at = name, .end = name + size};
    if (memmem(name, size, "std::", 5)) {
        struct ca_text brief = {0};
        copy_until(&cursor, &brief, "");
        if (!cursor.failed && !brief.failed && brief.size) {
            ca_text_add_bytes(text, brief.bytes, brief.size);
        }
        ca_text_deinit(&brief);
    }
    if (text->size == before) {
        ca_text_add_bytes(text, name, size);
    }
}
