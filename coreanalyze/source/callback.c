/* callback.c: a target whose memory a caller reads for us: GDB, whatever it is connected to.
 *
 * Behind the callback there may be a serial line, so calls are what costs. Small reads go through a cache of
 * pages that fetches a run of pages at a time; large ones pass by it, in chunks. */
#include "internal.h"
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE       4096u
#define RUN_SIZE        (16 * PAGE_SIZE)      /* fetched at a miss */
#define CACHE_PAGES_MAX 4096u                 /* then all are dropped */
#define CACHE_SLOTS     (2 * CACHE_PAGES_MAX) /* power of two */
#define SMALL_READ      RUN_SIZE              /* larger ones pass by the cache */
#define CHUNK_SIZE      ((size_t)1 << 20)     /* most that one call asks for */

struct cached_page {
    uint64_t address;
    uint32_t valid; /* bytes from the start that can be read, 0 = none */
    uint8_t bytes[PAGE_SIZE];
};

struct callback_source {
    struct ca_source base;
    struct ca_callbacks callbacks;
    struct ca_target *target;
    struct cached_page **slots; /* open addressing by page number */
    size_t page_count;
    uint8_t *run; /* RUN_SIZE bytes */
};

static size_t call_read(struct callback_source *source, uint64_t address, void *buffer, size_t size)
{
    size_t got = source->callbacks.read_memory(source->callbacks.context, address, buffer, size);
    return got == CA_READ_INTERRUPTED || got < size ? got : size;
}

/* ------------------------------------------------------------------------------------------- cache */

static void cache_clear(struct callback_source *source)
{
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        free(source->slots[i]);
        source->slots[i] = NULL;
    }
    source->page_count = 0;
}

/* The slot of this page, or the free one where it belongs. */
static struct cached_page **cache_slot(struct callback_source *source, uint64_t address)
{
    size_t slot = (size_t)(((address / PAGE_SIZE) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (CACHE_SLOTS - 1);
    while (source->slots[slot] && source->slots[slot]->address != address) {
        slot = (slot + 1) & (CACHE_SLOTS - 1);
    }
    return &source->slots[slot];
}

static void cache_add(struct callback_source *source, uint64_t address, const uint8_t *bytes, size_t valid)
{
    struct cached_page **slot = cache_slot(source, address);
    struct cached_page *page = *slot ? NULL : malloc(sizeof(*page));
    if (page) {
        page->address = address;
        page->valid = (uint32_t)valid;
        memcpy(page->bytes, bytes, valid);
        *slot = page;
        source->page_count++;
    }
}

/* Fetches the page and a run after it, as far as the next page that is there already. */
static bool cache_fetch(struct callback_source *source, uint64_t address)
{
    if (source->page_count + RUN_SIZE / PAGE_SIZE > CACHE_PAGES_MAX) {
        cache_clear(source);
    }
    size_t wanted = PAGE_SIZE;
    while (wanted < RUN_SIZE && address + wanted > address && !*cache_slot(source, address + wanted)) {
        wanted += PAGE_SIZE;
    }
    size_t got = call_read(source, address, source->run, wanted);
    if (got == CA_READ_INTERRUPTED) {
        return false;
    }
    cache_add(source, address, source->run, got < PAGE_SIZE ? got : PAGE_SIZE);
    for (size_t at = PAGE_SIZE; at < got; at += PAGE_SIZE) {
        cache_add(source, address + at, source->run + at, got - at < PAGE_SIZE ? got - at : PAGE_SIZE);
    }
    return true;
}

static size_t read_cached(struct callback_source *source, uint64_t address, uint8_t *buffer, size_t size)
{
    size_t filled = 0;
    while (filled < size) {
        uint64_t at = address + filled;
        uint64_t start = at - at % PAGE_SIZE;
        if (!*cache_slot(source, start) && !cache_fetch(source, start)) {
            return CA_READ_INTERRUPTED;
        }
        const struct cached_page *page = *cache_slot(source, start);
        size_t within = (size_t)(at - start);
        if (!page) { /* no memory for it: done without */
            size_t got = call_read(source, at, buffer + filled, size - filled);
            return got == CA_READ_INTERRUPTED ? got : filled + got;
        }
        /* One that begins before the readable memory counts as unreadable: mappings begin at pages. */
        if (page->valid <= within) {
            break;
        }
        size_t step = page->valid - within;
        step = step < size - filled ? step : size - filled;
        memcpy(buffer + filled, page->bytes + within, step);
        filled += step;
    }
    return filled;
}

static size_t read_chunks(struct callback_source *source, uint64_t address, uint8_t *buffer, size_t size)
{
    size_t filled = 0;
    while (filled < size) {
        uint64_t at = address + filled;
        size_t step = CHUNK_SIZE - (size_t)(at % CHUNK_SIZE);
        step = step < size - filled ? step : size - filled;
        size_t got = call_read(source, at, buffer + filled, step);
        if (got == CA_READ_INTERRUPTED) {
            return got;
        }
        filled += got;
        if (got < step) {
            break;
        }
    }
    return filled;
}

/* -------------------------------------------------------------------------------------- operations */

static size_t callback_read(struct ca_source *base, uint64_t address, void *buffer, size_t size)
{
    struct callback_source *source = (struct callback_source *)base;
    return size < SMALL_READ ? read_cached(source, address, buffer, size)
                             : read_chunks(source, address, buffer, size);
}

static bool callback_describe_threads(struct ca_source *base)
{
    struct callback_source *source = (struct callback_source *)base;
    const struct ca_callbacks *callbacks = &source->callbacks;
    return !callbacks->describe_threads ||
           callbacks->describe_threads(callbacks->context, source->target) != CA_READ_INTERRUPTED;
}

static bool callback_describe(struct ca_source *base)
{
    struct callback_source *source = (struct callback_source *)base;
    const struct ca_callbacks *callbacks = &source->callbacks;
    size_t (*const describe[])(void *, struct ca_target *) = {
        callbacks->describe_process,
        callbacks->describe_mappings,
        callbacks->describe_modules,
    };
    for (size_t i = 0; i < sizeof(describe) / sizeof(describe[0]); i++) {
        if (describe[i] && describe[i](callbacks->context, source->target) == CA_READ_INTERRUPTED) {
            return false;
        }
    }
    char *name = NULL;
    if (base->process.pid && asprintf(&name, "process %" PRIu32, base->process.pid) >= 0) {
        free(base->name);
        base->name = name;
    }
    return ca_process_complete(base);
}

static void callback_invalidate(struct ca_source *base)
{
    struct callback_source *source = (struct callback_source *)base;
    cache_clear(source);
    ca_source_forget(base);
}

static void callback_destroy(struct ca_source *base)
{
    struct callback_source *source = (struct callback_source *)base;
    if (source->slots) {
        cache_clear(source);
    }
    free(source->slots);
    free(source->run);
    ca_source_deinit(base);
    free(source);
}

static const struct ca_source_operations callback_operations = {
    .read = callback_read,
    .describe = callback_describe,
    .describe_threads = callback_describe_threads,
    .invalidate = callback_invalidate,
    .destroy = callback_destroy,
};

struct ca_source *ca_source_create_callback(const struct ca_callbacks *callbacks, struct ca_target *target,
                                            struct ca_error **ret_error)
{
    struct callback_source *source = calloc(1, sizeof(*source));
    if (!source) {
        ca_fail_memory(ret_error);
        return NULL;
    }
    if (!ca_source_init(&source->base, &callback_operations, "the process", ret_error)) {
        free(source);
        return NULL;
    }
    source->callbacks = *callbacks;
    source->target = target;
    source->slots = calloc(CACHE_SLOTS, sizeof(struct cached_page *));
    source->run = malloc(RUN_SIZE);
    if (!source->slots || !source->run) {
        callback_destroy(&source->base);
        ca_fail_memory(ret_error);
        return NULL;
    }
    return &source->base;
}
