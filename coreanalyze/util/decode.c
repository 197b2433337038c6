#include "decode.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "unicode.h"

#define CODEC_NAME_MAX 64

enum codec { CODEC_UTF8, CODEC_LATIN1, CODEC_ASCII, CODEC_ICONV };

struct encoding {
    enum codec codec;
    bool is_utf8_proper;       /* spelt so that it may stand beside a byte order mark */
    char name[CODEC_NAME_MAX]; /* normalized: lower case, '_' between the parts */
};

struct slice {
    const char *bytes;
    size_t size;
};

/* ------------------------------------------------------------------------------------ codec names */

/* encodings.aliases of Python 3.11, and the modules themselves. */
static const char *const utf8_names[] = {"utf_8",     "cp65001",   "u8",        "utf", "utf8",
                                         "utf8_ucs2", "utf8_ucs4", "utf_8_sig", NULL};
static const char *const latin1_names[] = {
    "latin_1",         "8859",       "cp819", "csisolatin1", "ibm819", "iso8859", "iso8859_1", "iso_8859_1",
    "iso_8859_1_1987", "iso_ir_100", "l1",    "latin",       "latin1", NULL};
static const char *const ascii_names[] = {
    "ascii",    "646",    "ansi_x3.4_1968", "ansi_x3.4_1986",   "ansi_x3_4_1968",   "ansi_x3_4_1986", "cp367",
    "csascii",  "ibm367", "iso646_us",      "iso_646.irv_1991", "iso_646_irv_1991", "iso_ir_6",       "us",
    "us_ascii", NULL};

/* Python wants the byte order mark of these, which a file with a readable comment cannot have. */
static const char *const marked_names[] = {"utf_16", "u16", "utf16", "utf_32", "u32", "utf32", NULL};

static bool listed(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

/* encodings.normalize_encoding and lower case. */
static bool codec_normalize(struct slice name, char *normalized)
{
    size_t length = 0;
    bool gap = false;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.bytes[i];
        if (!isalnum(c) && c != '.') {
            gap = true;
            continue;
        }
        if (length + 3 > CODEC_NAME_MAX) {
            return false;
        }
        if (gap && length != 0) {
            normalized[length++] = '_';
        }
        gap = false;
        normalized[length++] = (char)tolower(c);
    }
    normalized[length] = '\0';
    return length != 0;
}

/* `name` is one of `stems` or begins with it and a '-', where '_' counts as '-' and only 12 characters count:
 * what tokenizers look at before they ask the codec registry. */
static bool has_stem(struct slice name, const char *const *stems)
{
    char start[13] = "";
    size_t size = name.size < 12 ? name.size : 12;
    for (size_t i = 0; i < size; i++) {
        start[i] = name.bytes[i] == '_' ? '-' : (char)tolower((unsigned char)name.bytes[i]);
    }
    for (; *stems != NULL; stems++) {
        size_t length = strlen(*stems);
        if (strncmp(start, *stems, length) == 0 && (start[length] == '\0' || start[length] == '-')) {
            return true;
        }
    }
    return false;
}

/* False for a name that no codec can have. */
static bool encoding_set(struct encoding *encoding, struct slice name)
{
    static const char *const utf8_stems[] = {"utf-8", NULL};
    static const char *const latin1_stems[] = {"latin-1", "iso-8859-1", "iso-latin-1", NULL};
    *encoding = (struct encoding){.codec = CODEC_ICONV};
    if (has_stem(name, utf8_stems)) {
        encoding->codec = CODEC_UTF8;
        encoding->is_utf8_proper = true;
        return true;
    }
    if (has_stem(name, latin1_stems)) {
        encoding->codec = CODEC_LATIN1;
        return true;
    }
    if (!codec_normalize(name, encoding->name) || listed(marked_names, encoding->name)) {
        return false;
    }
    encoding->codec = listed(utf8_names, encoding->name)     ? CODEC_UTF8
                      : listed(latin1_names, encoding->name) ? CODEC_LATIN1
                      : listed(ascii_names, encoding->name)  ? CODEC_ASCII
                                                             : CODEC_ICONV;
    return true;
}

/* ------------------------------------------------------------------------------------ the comment */

/* Up to and with its '\n'. */
static struct slice line_at(struct slice text)
{
    const char *end = text.size != 0 ? memchr(text.bytes, '\n', text.size) : NULL;
    return (struct slice){text.bytes, end != NULL ? (size_t)(end - text.bytes) + 1 : text.size};
}

static size_t skip_blanks(struct slice line, const char *blanks)
{
    size_t at = 0;
    while (at < line.size && line.bytes[at] != '\0' && strchr(blanks, line.bytes[at]) != NULL) {
        at++;
    }
    return at;
}

static bool is_name_character(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* tokenize.cookie_re: ^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+) */
static bool find_cookie(struct slice line, struct slice *ret_name)
{
    size_t at = skip_blanks(line, " \t\f");
    if (at == line.size || line.bytes[at] != '#') {
        return false;
    }
    for (at++; at + 7 < line.size; at++) {
        if (memcmp(line.bytes + at, "coding", 6) != 0 ||
            (line.bytes[at + 6] != ':' && line.bytes[at + 6] != '=')) {
            continue;
        }
        struct slice rest = {line.bytes + at + 7, line.size - at - 7};
        size_t blanks = skip_blanks(rest, " \t");
        size_t end = blanks;
        while (end < rest.size && is_name_character(rest.bytes[end])) {
            end++;
        }
        if (end > blanks) {
            *ret_name = (struct slice){rest.bytes + blanks, end - blanks};
            return true;
        }
    }
    return false;
}

/* tokenize.blank_re: a line that is blank or a comment. */
static bool is_blank(struct slice line)
{
    size_t at = skip_blanks(line, " \t\f");
    return at == line.size || (line.bytes[at] != '\0' && strchr("#\r\n", line.bytes[at]) != NULL);
}

/* tokenize.detect_encoding, but for looking the codec up. `text` is without the byte order mark. */
static bool encoding_detect(struct slice text, bool mark, struct encoding *ret_encoding)
{
    *ret_encoding = (struct encoding){.codec = CODEC_UTF8, .is_utf8_proper = true};
    for (int i = 0; i < 2 && text.size != 0; i++) {
        struct slice line = line_at(text);
        struct slice name;
        if (!ca_utf8_is_valid(line.bytes, line.size)) {
            return false;
        }
        if (find_cookie(line, &name)) {
            return encoding_set(ret_encoding, name) && (!mark || ret_encoding->is_utf8_proper);
        }
        if (!is_blank(line)) {
            return true;
        }
        text.bytes += line.size;
        text.size -= line.size;
    }
    return true;
}

/* ------------------------------------------------------------------------------------ decoding */

static bool is_ascii(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)bytes[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void replace(char **bytes, size_t *size, char *decoded, size_t decoded_size)
{
    free(*bytes);
    *bytes = decoded;
    *size = decoded_size;
}

static bool decode_latin1(char **bytes, size_t *size)
{
    char *decoded = malloc(*size * 2 + 1);
    if (decoded == NULL) {
        return false;
    }
    size_t length = 0;
    for (size_t i = 0; i < *size; i++) {
        unsigned char c = (unsigned char)(*bytes)[i];
        if (c < 0x80) {
            decoded[length++] = (char)c;
        } else {
            decoded[length++] = (char)(0xC0 | c >> 6);
            decoded[length++] = (char)(0x80 | (c & 0x3F));
        }
    }
    replace(bytes, size, decoded, length);
    return true;
}

/* iconv spells names in its own ways: "iso8859_15" is ISO8859-15, "utf_16_le" UTF16LE, "shift_jis" SHIFT_JIS.
 */
static iconv_t converter_open(const char *name)
{
    static const char separators[] = {'-', '_', '\0'};
    for (size_t i = 0; i < sizeof(separators); i++) {
        char spelt[CODEC_NAME_MAX];
        size_t length = 0;
        for (const char *at = name; *at != '\0'; at++) {
            char c = *at == '_' ? separators[i] : *at;
            if (c != '\0') {
                spelt[length++] = c;
            }
        }
        spelt[length] = '\0';
        iconv_t converter = iconv_open("UTF-8", spelt);
        if (converter != (iconv_t)-1) {
            return converter;
        }
    }
    return (iconv_t)-1;
}

static bool convert(iconv_t converter, char **bytes, size_t *size)
{
    size_t capacity = *size * 2 + 64;
    char *decoded = malloc(capacity + 1);
    char *in = *bytes;
    size_t in_left = *size;
    size_t length = 0;
    while (decoded != NULL) {
        char *out = decoded + length;
        size_t out_left = capacity - length;
        /* The last call, without input, flushes. */
        size_t result = iconv(converter, in_left != 0 ? &in : NULL, &in_left, &out, &out_left);
        bool flushed = result != (size_t)-1 && in == *bytes + *size && length == (size_t)(out - decoded);
        length = (size_t)(out - decoded);
        if (flushed) {
            replace(bytes, size, decoded, length);
            return true;
        }
        if (result == (size_t)-1) {
            char *larger = errno == E2BIG ? realloc(decoded, capacity * 2 + 1) : NULL;
            if (larger == NULL) {
                free(decoded);
                return false;
            }
            decoded = larger;
            capacity *= 2;
        }
    }
    return false;
}

static bool decode_iconv(const char *name, char **bytes, size_t *size)
{
    iconv_t converter = converter_open(name);
    if (converter == (iconv_t)-1) {
        return false;
    }
    bool ok = convert(converter, bytes, size);
    iconv_close(converter);
    return ok;
}

bool ca_decode_source(char **bytes, size_t *size)
{
    bool mark = *size >= 3 && memcmp(*bytes, "\xEF\xBB\xBF", 3) == 0;
    struct slice text = {*bytes + (mark ? 3 : 0), *size - (mark ? 3 : 0)};
    struct encoding encoding;
    if (!encoding_detect(text, mark, &encoding)) {
        return false;
    }
    switch (encoding.codec) {
    case CODEC_LATIN1:
        return decode_latin1(bytes, size);
    case CODEC_ICONV:
        return decode_iconv(encoding.name, bytes, size);
    case CODEC_ASCII:
        return is_ascii(*bytes, *size);
    default:
        if (!ca_utf8_is_valid(text.bytes, text.size)) {
            return false;
        }
        memmove(*bytes, text.bytes, text.size);
        *size = text.size;
        return true;
    }
}
