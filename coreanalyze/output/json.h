/* json.h: JSON by json-c, one element at a time, so that an answer of ten million traces needs memory for
 * one.
 *
 * Two things go beyond json-c: numbers of more than 64 bits are written digit by digit, and in names that are
 * no UTF-8 each offending byte is written as the escape of a lone surrogate, \udc80..\udcff: Python's
 * json.loads and os.fsencode give the name's bytes back. Running out of memory is remembered in `failed`,
 * asked once at the end. */
#ifndef CA_OUTPUT_JSON_H
#define CA_OUTPUT_JSON_H

#include <json-c/json.h>

#include "sink.h"

struct ca_json {
    struct ca_sink *sink;
    bool failed;
    bool first; /* no element of the open list was written yet */
};

/* Values: caller's, given away by the functions below. NULL is JSON's null. */
struct json_object *ca_json_name(struct ca_json *json, const char *name); /* NULL gives null */
struct json_object *ca_json_unsigned(struct ca_json *json, unsigned __int128 number);
struct json_object *ca_json_integer(struct ca_json *json, __int128 number);
struct json_object *ca_json_boolean(struct ca_json *json, bool value);
struct json_object *ca_json_address(struct ca_json *json, uint64_t address); /* "0x…"; 0 gives null */
struct json_object *ca_json_object(struct ca_json *json);
struct json_object *ca_json_array(struct ca_json *json);
/* Text that is JSON already; copied. */
struct json_object *ca_json_raw(struct ca_json *json, const char *text);

/* Take ownership of value. Both do nothing when memory ran out. */
void ca_json_set(struct ca_json *json, struct json_object *object, const char *key,
                 struct json_object *value);
void ca_json_append(struct ca_json *json, struct json_object *array, struct json_object *value);

/* The JSON text of a value; borrowed until it changes. "" when memory ran out. */
const char *ca_json_text(struct ca_json *json, struct json_object *value);

/* The outermost object, written member by member: open, members and lists, close. */
void ca_json_open(struct ca_json *json, struct ca_sink *sink);
void ca_json_member(struct ca_json *json, const char *key, struct json_object *value); /* takes ownership */
void ca_json_list_open(struct ca_json *json, const char *key);
void ca_json_list_add(struct ca_json *json, struct json_object *value); /* takes ownership */
/* For an element that the caller writes into the sink himself: only what separates it from the one before. */
void ca_json_list_next(struct ca_json *json);
void ca_json_list_close(struct ca_json *json);
bool ca_json_close(struct ca_json *json, struct ca_error **ret_error);

#endif
