/* speedscope.c: see speedscope.h. */
#include "speedscope.h"

#include "../json.h"
#include "numbers.h"

struct writer {
    const struct ca_flames *flames;
    struct ca_sink *sink;
    struct ca_json json;
    struct ca_numbers frames; /* their numbers come after those of the named parts */
    size_t named_parts;
};

enum weight { BYTES, BLOCKS, GROWN, SHRUNK, MORE, FEWER };

static unsigned __int128 positive(__int128 number)
{
    return number > 0 ? (unsigned __int128)number : 0;
}

static unsigned __int128 weight_of(const struct ca_statistic *item, enum weight weight)
{
    switch (weight) {
    case BYTES:
        return item->size;
    case BLOCKS:
        return item->count;
    case GROWN:
        return positive(item->size_diff);
    case SHRUNK:
        return positive(-item->size_diff);
    case MORE:
        return positive(item->count_diff);
    default:
        return positive(-item->count_diff);
    }
}

/* ------------------------------------------------------------------------------------------------ profiles
 */

/* Calls `each` for the stacks that weigh something. */
static unsigned __int128 each_stack(struct writer *writer, enum weight weight,
                                    void (*each)(struct writer *writer, size_t part,
                                                 const struct ca_statistic *item, unsigned __int128 value))
{
    unsigned __int128 sum = 0;
    for (size_t i = 0; i < writer->flames->part_count; i++) {
        const struct ca_flames_part *part = &writer->flames->parts[i];
        for (size_t j = 0; j < part->stack_count; j++) {
            const struct ca_statistic *item = &part->stacks->items[j];
            unsigned __int128 value = weight_of(item, weight);
            if (value && each) {
                each(writer, i, item, value);
                ca_sink_flush(writer->sink);
            }
            sum += value;
        }
    }
    return sum;
}

/* Of a named part: the parts are numbered first. */
static size_t part_number(const struct writer *writer, size_t part)
{
    size_t number = 0;
    for (size_t i = 0; i < part; i++) {
        number += writer->flames->parts[i].name != NULL;
    }
    return number;
}

static void add_sample(struct writer *writer, size_t part, const struct ca_statistic *item,
                       unsigned __int128 value)
{
    (void)value;
    struct ca_json *json = &writer->json;
    ca_json_line(json);
    ca_json_array_open(json, NULL);
    if (writer->flames->parts[part].name) {
        ca_json_unsigned(json, NULL, part_number(writer, part));
    }
    for (size_t i = item->frame_count; i-- > 0;) {
        uint32_t number = ca_numbers_add(&writer->frames, item->frames[i]);
        json->text->failed |= number == CA_NO_NUMBER;
        ca_json_unsigned(json, NULL, writer->named_parts + number);
    }
    ca_json_array_close(json);
}

static void add_weight(struct writer *writer, size_t part, const struct ca_statistic *item,
                       unsigned __int128 value)
{
    (void)part;
    (void)item;
    ca_json_unsigned(&writer->json, NULL, value);
}

static void add_profile(struct writer *writer, enum weight weight)
{
    static const char *const names[] = {
        [GROWN] = "bytes grown", [SHRUNK] = "bytes shrunk", [MORE] = "blocks more", [FEWER] = "blocks fewer"};
    static const char *const values[][2] = {
        [CA_VALUE_LIVE] = {"bytes", "blocks"},
        [CA_VALUE_PEAK] = {"bytes at the peak", "blocks at the peak"},
        [CA_VALUE_TOTAL] = {"bytes since the start", "blocks since the start"},
    };
    struct ca_json *json = &writer->json;
    ca_json_line(json);
    ca_json_object_open(json, NULL);
    ca_json_string(json, "type", "sampled");
    ca_json_string(json, "name", weight > BLOCKS ? names[weight] : values[writer->flames->value][weight]);
    ca_json_string(json, "unit", weight == BYTES || weight == GROWN || weight == SHRUNK ? "bytes" : "none");
    ca_json_unsigned(json, "startValue", 0);
    ca_json_unsigned(json, "endValue", each_stack(writer, weight, NULL));
    ca_json_array_open(json, "samples");
    each_stack(writer, weight, add_sample);
    ca_json_array_close(json);
    ca_json_line(json);
    ca_json_array_open(json, "weights");
    each_stack(writer, weight, add_weight);
    ca_json_array_close(json);
    ca_json_object_close(json);
}

/* -------------------------------------------------------------------------------------------------- frames
 */

static void add_part_frames(struct writer *writer)
{
    for (size_t i = 0; i < writer->flames->part_count; i++) {
        if (writer->flames->parts[i].name) {
            ca_json_line(&writer->json);
            ca_json_object_open(&writer->json, NULL);
            ca_json_string(&writer->json, "name", writer->flames->parts[i].name);
            ca_json_object_close(&writer->json);
        }
    }
}

/* A name as folded stacks have it. scratch: reused. */
static void add_text(struct ca_json *json, const char *key, struct ca_text *scratch)
{
    json->text->failed |= scratch->failed;
    ca_json_string(json, key, scratch->failed ? "" : scratch->bytes);
    scratch->size = 0;
    ca_text_add(scratch, "");
}

static void add_frames(struct writer *writer)
{
    struct ca_json *json = &writer->json;
    struct ca_snapshot *snapshot = writer->flames->snapshot;
    struct ca_text scratch = {.short_names = writer->sink->text.short_names};
    ca_text_add(&scratch, "");
    for (size_t i = 0; i < writer->frames.count; i++) {
        const struct ca_frame *frame = ca_snapshot_frame(snapshot, writer->frames.ids[i]);
        ca_json_line(json);
        ca_json_object_open(json, NULL);
        ca_folded_add_frames(&scratch, snapshot, &writer->frames.ids[i], 1, writer->flames->label);
        add_text(json, "name", &scratch);
        ca_text_add_name(&scratch, ca_snapshot_string(snapshot, frame->filename));
        add_text(json, "file", &scratch);
        if (frame->lineno) {
            ca_json_unsigned(json, "line", frame->lineno);
        }
        ca_json_object_close(json);
        ca_sink_flush(writer->sink);
    }
    ca_text_deinit(&scratch);
}

void ca_speedscope_write(const struct ca_flames *flames, struct ca_sink *sink)
{
    struct writer writer = {.flames = flames, .sink = sink, .json = {.text = &sink->text}};
    struct ca_json *json = &writer.json;
    writer.named_parts = part_number(&writer, flames->part_count);
    ca_json_object_open(json, NULL);
    ca_json_string(json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    ca_json_string(json, "exporter", "coreanalyze " TM_VERSION);
    ca_json_string(json, "name", flames->title);
    ca_json_unsigned(json, "activeProfileIndex", 0);
    ca_json_line(json);
    ca_json_array_open(json, "profiles");
    for (enum weight weight = flames->diff ? GROWN : BYTES; weight <= (flames->diff ? FEWER : BLOCKS);
         weight++) {
        add_profile(&writer, weight);
    }
    ca_json_array_close(json);
    ca_json_line(json);
    ca_json_object_open(json, "shared");
    ca_json_array_open(json, "frames");
    add_part_frames(&writer);
    add_frames(&writer);
    ca_json_array_close(json);
    ca_json_object_close(json);
    ca_json_object_close(json);
    ca_text_add(&sink->text, "\n");
    ca_numbers_deinit(&writer.frames);
}
