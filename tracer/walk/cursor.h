/* cursor.h: reading bytes that nobody vouches for, between two bounds. Little-endian. */
#ifndef TM_CURSOR_H
#define TM_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A position in a module. Reading past the end gives zeros and makes it bad for good. */
struct tm_cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline void tm_cursor_fail(struct tm_cursor *cursor)
{
    cursor->bad = true;
    cursor->at = cursor->end;
}

static inline size_t tm_cursor_left(const struct tm_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline uint64_t tm_cursor_read(struct tm_cursor *cursor, unsigned size)
{
    if (tm_cursor_left(cursor) < size) {
        tm_cursor_fail(cursor);
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)cursor->at[i] << (8 * i);
    }
    cursor->at += size;
    return value;
}

static inline int64_t tm_cursor_sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (int64_t)(value << shift) >> shift;
}

static inline uint64_t tm_cursor_leb128(struct tm_cursor *cursor, bool with_sign)
{
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7f) << shift;
        }
        if ((byte & 0x80) == 0) {
            if (with_sign && (byte & 0x40) != 0 && shift + 7 < 64) {
                value |= ~UINT64_C(0) << (shift + 7);
            }
            return value;
        }
    }
    tm_cursor_fail(cursor);
    return 0;
}

static inline uint64_t tm_cursor_uleb(struct tm_cursor *cursor)
{
    return tm_cursor_leb128(cursor, false);
}

static inline int64_t tm_cursor_sleb(struct tm_cursor *cursor)
{
    return (int64_t)tm_cursor_leb128(cursor, true);
}

static inline void tm_cursor_skip(struct tm_cursor *cursor, uint64_t size)
{
    if (size > tm_cursor_left(cursor)) {
        tm_cursor_fail(cursor);
    } else {
        cursor->at += size;
    }
}

/* Takes the next `size` bytes as a cursor of their own. */
static inline struct tm_cursor tm_cursor_take(struct tm_cursor *cursor, uint64_t size)
{
    struct tm_cursor part = {.at = cursor->at, .end = cursor->at};
    tm_cursor_skip(cursor, size);
    if (cursor->bad) {
        part.bad = true;
    } else {
        part.end = cursor->at;
    }
    return part;
}

#endif
