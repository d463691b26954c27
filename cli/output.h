/*
 * output.h - what people and programs read: JSON, XML, and text in aligned columns.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli.h"

#include <stdint.h>

/* Where asked for JSON or XML: prints the document and returns true. `element` names the XML element that the
 * document's members stand in; NULL: the root itself. */
bool output_document(const struct cli *c, struct json_object *document, const char *element);

/* The same as XML (output_xml.c), without asking what was asked for. */
void output_xml(struct json_object *document, const char *element);

/* Members of an object; a missing or null one is "-", 0, false, or NULL. */
const char *out_text(struct json_object *o, const char *key);
int64_t out_int(struct json_object *o, const char *key);
bool out_bool(struct json_object *o, const char *key);
struct json_object *out_get(struct json_object *o, const char *key);
bool out_is_null(struct json_object *o, const char *key);
size_t out_length(struct json_object *list);
/* "a, b, c" of an array of texts; "-" when it is empty. Valid until 32 later calls of this kind. */
const char *out_join(struct json_object *list);
/* "12.3 GiB" of bytes. */
const char *out_bytes(int64_t bytes);
/* A text for a terminal: without control characters. */
const char *out_clean(const char *text);
/* "14:03:22" of the contract's time, or with the day when it is not today; local time. */
const char *out_when(const char *time);
/* "1.3 s", "4 min 10 s" between two of the contract's times, until now when `to` is NULL. */
const char *out_lasted(const char *from, const char *to);
/* Milliseconds since 1970 of the contract's time; 0 when it is none. */
int64_t out_time_ms(const char *time);

/* A table: cells are added row by row; printed, its columns are as wide as they need to be. */
struct table;
struct table *table_new(unsigned columns);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees it. indent: blanks before each row. The first row is the head, set apart on a terminal. */
void table_print(struct table *t, unsigned indent);

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW };
/* The escape that begins or (COLOUR_NONE) ends it; "" where standard output is no terminal. */
const char *colour(enum colour c);
/* The colour of a state: green is fine, red needs somebody, yellow is on its way. */
enum colour state_colour(const char *state);

#endif
