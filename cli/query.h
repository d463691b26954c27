/*
 * query.h - commands that ask one question and print its answer.
 */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include "cli.h"

/* Asks, and prints the document as JSON or XML, or through text(). args are taken over. what, for the error:
 * "cannot WHAT". element as for output_document. */
int query_print(struct cli *c, const char *command, struct json_object *args, const char *element,
                void (*text)(struct json_object *document), const char *what);
/* Asks; on failure the error is printed. */
int query_get(struct cli *c, const char *command, struct json_object *args, struct json_object **result,
              const char *what);
/* "KEY=VALUE" arguments from the n-th on, as an object (owned by the caller); NULL with the error printed. */
struct json_object *query_pairs(struct cli *c, unsigned from);
/* "a,b,c" as an array. */
struct json_object *query_split(const char *text);

#endif
