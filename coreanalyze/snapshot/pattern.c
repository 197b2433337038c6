/* pattern.c: fnmatch.fnmatchcase, as CPython 3.10 and later do it.
 *
 * CPython translates a pattern to a regular expression; what that expression means is done here directly.
 * There is no escape character. A '[' without its ']' is itself. In a set, the hyphens that make ranges are
 * found first, ranges whose ends are reversed vanish with both ends, and only then a '!' that has come to
 * stand first negates.
 */
#include "../util/unicode.h"
#include "statistics.h"

/* First `wanted` from `at`; NULL if there is none. Not memchr: gcc 12 then warns of pointers to locals that
 * it made up. */
static const char *find(const char *at, const char *end, char wanted)
{
    while (at < end && *at != wanted) {
        at++;
    }
    return at < end ? at : NULL;
}

/* `count` code points after `at`, but not beyond `end`. */
static const char *skip_points(const char *at, const char *end, unsigned count)
{
    while (count-- > 0 && at < end) {
        ca_utf8_next(&at, end);
    }
    return at;
}

/* The ']' that ends the set whose body begins at `body`, or NULL. */
static const char *set_end(const char *body, const char *end)
{
    const char *at = body;
    if (at < end && *at == '!') {
        at++;
    }
    if (at < end && *at == ']') {
        at++;
    }
    return find(at, end, ']');
}

/* What has been found out about a set while its items are read in order. */
struct set {
    uint32_t wanted; /* the code point that is looked for */
    bool any_item;   /* an item that counts was seen */
    bool negated;
    bool found;
};

static void set_add(struct set *set, uint32_t low, uint32_t high)
{
    set->found |= set->wanted >= low && set->wanted <= high;
    set->any_item = true;
}

static void set_add_single(struct set *set, uint32_t c)
{
    if (c == '!' && !set->any_item && !set->negated) {
        set->negated = true;
    } else {
        set_add(set, c, c);
    }
}

/* A range that begins with '!' and has come to stand first is written "!-b", which negates '-' and 'b'. */
static void set_add_range(struct set *set, uint32_t low, uint32_t high)
{
    if (low > high) {
        return;
    }
    if (low == '!' && !set->any_item && !set->negated) {
        set->negated = true;
        set_add(set, '-', '-');
        set_add(set, high, high);
    } else {
        set_add(set, low, high);
    }
}

/* The hyphen that makes the next range, or NULL: the first at or after `from`, unless nothing follows it. */
static const char *range_hyphen(const char *from, const char *end)
{
    const char *hyphen = find(from, end, '-');
    return hyphen != NULL && hyphen + 1 < end ? hyphen : NULL;
}

static bool set_matches(const char *body, const char *end, uint32_t wanted)
{
    struct set set = {.wanted = wanted};
    const char *at = body;
    const char *hyphen = range_hyphen(skip_points(body, end, body < end && *body == '!' ? 2 : 1), end);
    while (at < end) {
        const char *after = at;
        uint32_t c = ca_utf8_next(&after, end);
        if (after == hyphen) {
            const char *from =
                skip_points(hyphen, end, 3); /* two code points lie between two such hyphens at least */
            after = hyphen + 1;
            set_add_range(&set, c, ca_utf8_next(&after, end));
            hyphen = range_hyphen(from, end);
        } else {
            set_add_single(&set, c);
        }
        at = after;
    }
    return set.found != set.negated;
}

/* One step of a pattern: '*', or what one code point is tested against. */
struct token {
    enum { TOKEN_END, TOKEN_STAR, TOKEN_ANY, TOKEN_SET, TOKEN_LITERAL } kind;
    uint32_t literal;
    const char *body, *body_end; /* of a set */
};

static struct token token_next(const char **cursor, const char *end)
{
    struct token token = {.kind = TOKEN_END};
    if (*cursor == end) {
        return token;
    }
    token.literal = ca_utf8_next(cursor, end);
    token.kind = token.literal == '*' ? TOKEN_STAR : token.literal == '?' ? TOKEN_ANY : TOKEN_LITERAL;
    if (token.literal == '[') {
        token.body = *cursor;
        token.body_end = set_end(token.body, end);
        if (token.body_end != NULL) {
            token.kind = TOKEN_SET;
            *cursor = token.body_end + 1;
        }
    }
    return token;
}

static bool token_matches(const struct token *token, uint32_t c)
{
    switch (token->kind) {
    case TOKEN_ANY:
        return true;
    case TOKEN_SET:
        return set_matches(token->body, token->body_end, c);
    case TOKEN_LITERAL:
        return token->literal == c;
    default:
        return false;
    }
}

/* After a mismatch only the last star is tried again, one code point further: what lies between two stars is
 * of fixed length, so the first place where it matches is as good as any. Time is at most pattern times text.
 */
bool ca_pattern_matches(const char *pattern, size_t pattern_size, const char *text, size_t text_size)
{
    const char *pattern_end = pattern + pattern_size;
    const char *text_end = text + text_size;
    const char *after_star = NULL;
    const char *retry = NULL; /* where the text that follows the last star is tried next */
    for (;;) {
        const char *pattern_next = pattern;
        struct token token = token_next(&pattern_next, pattern_end);
        if (token.kind == TOKEN_STAR) {
            after_star = pattern = pattern_next;
            retry = text;
            if (pattern == pattern_end) {
                return true;
            }
            continue;
        }
        if (text == text_end) {
            return token.kind == TOKEN_END;
        }
        const char *text_next = text;
        if (token_matches(&token, ca_utf8_next(&text_next, text_end))) {
            pattern = pattern_next;
            text = text_next;
        } else if (after_star == NULL) {
            return false;
        } else {
            ca_utf8_next(&retry, text_end);
            pattern = after_star;
            text = retry;
        }
    }
}
