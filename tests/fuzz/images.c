/* images.c: writes images of tests/unit/image.h: images DIRECTORY. Each as DIRECTORY/table/NAME, which the
 * fuzz target "table" reads, and as the core file DIRECTORY/core/NAME. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/image.h"

enum { GAP = 64 }; /* so many zeros end a piece */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    size_t i = 0;
    while (i < size && bytes[i] == 0) {
        i++;
    }
    return i == size;
}

static void piece_write(FILE *file, uint64_t address, const uint8_t *bytes, uint32_t size,
                        uint32_t memory_size)
{
    fwrite(&address, 8, 1, file);
    fwrite(&size, 4, 1, file);
    fwrite(&memory_size, 4, 1, file);
    fwrite(bytes, 1, size, file);
}

/* Each piece reaches in memory to the next one. */
static void range_write(FILE *file, const struct image_range *range)
{
    size_t at = 0;
    while (at < range->size) {
        size_t end = at, next;
        while (end < range->size && !is_zero(range->bytes + end, GAP)) {
            end += GAP;
        }
        next = end;
        while (next < range->size && is_zero(range->bytes + next, GAP)) {
            next += GAP;
        }
        piece_write(file, range->address + at, range->bytes + at, (uint32_t)(end - at),
                    (uint32_t)(next - at));
        at = next;
    }
}

static FILE *create(const char *directory, const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/%s", directory, folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void finish(FILE *file)
{
    if (fclose(file) != 0) {
        perror("cannot write");
        exit(1);
    }
}

static void image_write(const char *directory, const char *name, struct image *image)
{
    image_seal(image);
    FILE *file = create(directory, "table", name);
    for (size_t i = 0; i < image->range_count; i++) {
        range_write(file, &image->ranges[i]);
    }
    finish(file);

    uint8_t *bytes;
    size_t size = image_core(image, &bytes);
    file = create(directory, "core", name);
    fwrite(bytes, 1, size, file);
    finish(file);
    free(bytes);
    image_destroy(image);
}

/* A thread in the middle of an operation about the block of 20 bytes. */
static void flight_write(const char *directory, uint32_t code)
{
    struct image *image = image_example(&(struct image_shape){.features = TM_FEATURE_STATS});
    struct tm_operation *operation = &image_thread(image, 1, 4712)->operations[code % 2];
    *operation = (struct tm_operation){
        .code = code,
        .address = code == TM_OPERATION_TRACK ? 0x123 : 0x1030,
        .domain = code == TM_OPERATION_TRACK ? 7 : 0,
        .new_address = code == TM_OPERATION_REALLOCATE ? 0x3000 : 0,
        .size = 200,
        .entry = code == TM_OPERATION_TRACK ? 9 : image_word(image, 0x1030, 20, 2),
        .stack = code == TM_OPERATION_TRACK ? 7 : 3,
        .flags = code == TM_OPERATION_TRACK ? TM_OPERATION_REPLACES : 0,
        .generation = image->root->generation,
    };
    char name[32];
    snprintf(name, sizeof(name), "flight-%u", code);
    image_write(directory, name, image);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        struct image_shape shape;
    } plain[] = {
        {"plain", {0}},
        {"stats", {.features = TM_FEATURE_STATS}},
        {"detail", {.features = TM_FEATURE_DETAIL | TM_FEATURE_STATS}},
        {"freed", {.features = TM_FEATURE_FREED}},
        {"larger", {.features = TM_FEATURE_DETAIL, .header_extra = 64, .element_extra = 64}},
    };
    if (argc != 2) {
        fprintf(stderr, "usage: images DIRECTORY\n");
        return 64;
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        image_write(argv[1], plain[i].name, image_example(&plain[i].shape));
    }
    for (uint32_t code = TM_OPERATION_ALLOCATE; code <= TM_OPERATION_CONTROL; code++) {
        flight_write(argv[1], code);
    }
    struct image *control = image_example(&(struct image_shape){0});
    control->process.name = "\x1b[31mred";
    control->process.arguments = "\x1b]0;title\x07 \xff\x9b";
    image_add_module(control, 2, "/tmp/\x1b[31mred\n\x07\xff\xc2\x9b.so", EXAMPLE_MODULE + 0x20000,
                     EXAMPLE_MODULE + 0x30000, 0);
    image_add_frame(control, 6, EXAMPLE_MODULE + 0x20600, 2);
    image_write(argv[1], "control-characters", control);
    return 0;
}
