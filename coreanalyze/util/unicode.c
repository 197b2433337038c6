#include "unicode.h"

#include "printable.h"

/* Length of the valid sequence at `bytes` (Unicode table 3-7), 0 if there is none. */
static size_t sequence_length(const unsigned char *bytes, size_t available)
{
    unsigned char lead = bytes[0];
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || available < length) {
        return 0;
    }
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

uint32_t ca_utf8_next(const char **cursor, const char *end)
{
    const unsigned char *bytes = (const unsigned char *)*cursor;
    if (bytes[0] < 0x80) {
        *cursor += 1;
        return bytes[0];
    }
    size_t length = sequence_length(bytes, (size_t)(end - *cursor));
    if (length == 0) {
        *cursor += 1;
        return CA_ESCAPED_BYTE + bytes[0];
    }
    *cursor += length;
    uint32_t code_point = bytes[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        code_point = code_point << 6 | (bytes[i] & 0x3Fu);
    }
    return code_point;
}

bool ca_utf8_is_valid(const char *bytes, size_t size)
{
    const char *end = bytes + size;
    while (bytes < end) {
        uint32_t code_point = ca_utf8_next(&bytes, end);
        if (code_point >= CA_ESCAPED_BYTE && code_point <= CA_ESCAPED_BYTE + 0xFF) {
            return false;
        }
    }
    return true;
}

int ca_name_compare(const char *left, size_t left_size, const char *right, size_t right_size)
{
    const char *left_end = left + left_size;
    const char *right_end = right + right_size;
    while (left < left_end && right < right_end && *left == *right && (unsigned char)*left < 0x80) {
        left++;
        right++;
    }
    while (left < left_end && right < right_end) {
        uint32_t l = ca_utf8_next(&left, left_end);
        uint32_t r = ca_utf8_next(&right, right_end);
        if (l != r) {
            return l < r ? -1 : 1;
        }
    }
    return (left < left_end) - (right < right_end);
}

bool ca_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

bool ca_is_printable(uint32_t code_point)
{
    size_t low = 0;
    size_t high = ca_unprintable_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ca_unprintable[middle].last < code_point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == ca_unprintable_count || code_point < ca_unprintable[low].first;
}
