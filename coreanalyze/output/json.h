/* json.h: JSON as a stream: an answer of ten million traces needs memory for none of them.
 *
 * Not by json-c, which builds trees, has no number of more than 64 bits, copies bytes that are no UTF-8, and
 * loses text without a word when memory runs out while it serialises (34 of the 245 allocations of an answer,
 * failed one by one, gave broken JSON). Running out of memory here is text->failed.
 *
 * Bytes of a name that are no UTF-8 are written as the escape of a lone surrogate, \udc80..\udcff: Python's
 * json.loads and os.fsencode give the bytes back. What a terminal acts on (ca_text_is_dangerous) is escaped, too. */
#ifndef CA_OUTPUT_JSON_H
#define CA_OUTPUT_JSON_H

#include <stdint.h>

#include "../util/text.h"

struct ca_json {
    struct ca_text *text; /* where it is written to */
    bool more;            /* something stands before the next value in its object or array */
    bool line;            /* the next value begins a line */
    bool markup;          /* '<' is escaped, too: it all stands in an element of HTML */
};

/* key: the member's name, which needs no escaping; NULL in an array and for the outermost value. */
void ca_json_object_open(struct ca_json *json, const char *key);
void ca_json_object_close(struct ca_json *json);
void ca_json_array_open(struct ca_json *json, const char *key);
void ca_json_array_close(struct ca_json *json);
void ca_json_string(struct ca_json *json, const char *key, const char *string); /* NULL gives null */
void ca_json_unsigned(struct ca_json *json, const char *key, unsigned __int128 number);
void ca_json_integer(struct ca_json *json, const char *key, __int128 number);
void ca_json_boolean(struct ca_json *json, const char *key, bool value);
void ca_json_null(struct ca_json *json, const char *key);
void ca_json_address(struct ca_json *json, const char *key, uint64_t address); /* "0x..."; 0 gives null */
void ca_json_seconds(struct ca_json *json, const char *key, uint64_t nanoseconds); /* with all decimals */
/* Members that were written before, of which there is one at least. */
void ca_json_members(struct ca_json *json, const struct ca_text *members);
/* The next value begins a line. */
void ca_json_line(struct ca_json *json);

#endif
