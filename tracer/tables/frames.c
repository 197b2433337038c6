#include "frames.h"

#include "../unwind.h"
#include "index.h"
#include "modules.h"
#include "region.h"

static struct tm_region *frames;
static struct tm_index by_word;

bool tm_frames_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_FRAMES,
        .element_size = sizeof(struct tm_frame),
        .segment_shift = 12,
        .directory_bits = 6,
        .middle_bits = 9,
        .count = 1,
    };
    frames = tm_region_create(&shape);
    return frames && tm_index_init(&by_word, 11);
}

uint64_t tm_frame_word(uint32_t id)
{
    const struct tm_frame *frame = tm_region_find(frames, id);
    return frame ? tm_load_acquire(&frame->word) : 0;
}

bool tm_frames_agree(uint32_t a, uint32_t b)
{
    const struct tm_frame *one = tm_region_find(frames, a), *other = tm_region_find(frames, b);
    return a == b || (one && other && tm_load_acquire(&one->word) == tm_load_acquire(&other->word) &&
                      one->module == other->module);
}

/* Same position, and still the same code? */
static bool frame_matches(const void *key, uint32_t id)
{
    const uint64_t *word = key;
    const struct tm_frame *frame = tm_region_find(frames, id);
    return frame && tm_load_acquire(&frame->word) == *word && tm_module_is_loaded(frame->module);
}

static uint64_t word_hash(uint64_t word)
{
    uint64_t hash = word * UINT64_C(0x9e3779b97f4a7c15);
    return (hash ^ (hash >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

uint32_t tm_frame_intern(uint64_t word, uintptr_t code_address)
{
    uint64_t hash = word_hash(word);
    uint32_t id = tm_index_find(&by_word, hash, frame_matches, &word);
    if (id) {
        return id;
    }
    uint32_t module = tm_module_find(code_address);
    uint64_t index = tm_region_take(frames, 1);
    if (index == TM_REGION_FULL) {
        return 0;
    }
    struct tm_frame *frame = tm_region_find(frames, index);
    frame->module = module;
    frame->check = tm_frame_check(word, module);
    tm_publish(&frame->word, word);
    tm_index_insert(&by_word, hash, (uint32_t)index);
    return (uint32_t)index;
}
