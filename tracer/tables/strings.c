#include "strings.h"

#include <string.h>

#include "region.h"

static struct tm_region *strings;

bool tm_strings_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_STRINGS,
        .element_size = 1,
        .segment_shift = 16,
        .directory_bits = 9,
        .count = 1,
    };
    strings = tm_region_create(&shape);
    return strings && tm_region_make(strings, 0);
}

uint32_t tm_string_add(const char *text, size_t length)
{
    if (length > 0xffff) {
        return 0;
    }
    uint64_t index = tm_region_take(strings, (uint32_t)length + 1);
    if (index == TM_REGION_FULL) {
        return 0;
    }
    memcpy(tm_region_find(strings, index), text, length);
    return (uint32_t)index;
}
