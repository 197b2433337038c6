/* place.h: what an address is, in words. */
#ifndef CA_MEMORY_PLACE_H
#define CA_MEMORY_PLACE_H

#include "../util/text.h"
#include "memory.h"

enum ca_place_kind {
    CA_PLACE_LIVE,   /* in `block`, `offset` bytes from its start */
    CA_PLACE_FREED,  /* in `freed.block`, and in no live block */
    CA_PLACE_PAST,   /* `offset` bytes past the end of `block`: 0 is the first byte after it */
    CA_PLACE_BEFORE, /* `offset` bytes before `block` */
    CA_PLACE_STACK,  /* on the stack of thread `tid`, `offset` bytes above its stack pointer; `symbol`: the
                        function whose frame that is, where it has one */
    CA_PLACE_BELOW_STACK, /* on it, `offset` bytes below the stack pointer: what ended functions left */
    CA_PLACE_TLS,         /* in the thread-local storage or the struct pthread of thread `tid` */
    CA_PLACE_CODE,   /* in code or constants of `image` that can be executed; `symbol` where there is one */
    CA_PLACE_DATA,   /* in other segments of `image` */
    CA_PLACE_TRACER, /* in the tracer's own memory */
    CA_PLACE_HEAP,   /* in a mapping that live blocks of malloc lie in, in or near none of them */
    CA_PLACE_FILE,   /* in a mapping of the file `mapping->path` at `offset` of it */
    CA_PLACE_ANONYMOUS, /* in another mapping */
    CA_PLACE_NULL,      /* in the first page: a null pointer and `offset` */
    CA_PLACE_WILD,      /* no address that a program can have: bits 47..63 differ */
    CA_PLACE_UNMAPPED,
};

struct ca_place {
    enum ca_place_kind kind;
    uint64_t address;
    uint64_t offset; /* as the kind says; of the symbol where there is one, else of the image or mapping */
    struct ca_block block;
    struct ca_freed freed;
    uint32_t tid;
    const struct ca_image *image;
    const struct ca_mapping *mapping; /* NULL where nothing is mapped; borrowed until the source changes */
    struct ca_symbol_name symbol;
    bool has_symbol;
};

/* Live blocks come before freed ones, those before what lies near a live block. Blocks of other domains than
 * malloc's count as well, the innermost. */
bool ca_place_find(struct ca_memory *memory, uint64_t address, struct ca_place *ret_place,
                   struct ca_error **ret_error);

/* The block that the place lies in, live or freed; NULL where there is none. */
static inline const struct ca_block *ca_place_block(const struct ca_place *place)
{
    return place->kind == CA_PLACE_LIVE    ? &place->block
           : place->kind == CA_PLACE_FREED ? &place->freed.block
                                           : NULL;
}

/* Adds "0x5555557a2f50 is 16 bytes inside a freed block of 64 bytes". ca_place_add_words: what comes after
 * the "is". */
void ca_place_add_text(struct ca_text *text, const struct ca_place *place);
void ca_place_add_words(struct ca_text *text, const struct ca_place *place);

#endif
