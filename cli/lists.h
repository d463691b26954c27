/*
 * lists.h - the lists of `status` and of each `X list`, as tables. Each takes the document that holds its
 * key.
 */
#ifndef CLI_LISTS_H
#define CLI_LISTS_H

#include <json-c/json.h>

void list_nodes(struct json_object *document);
void list_vms(struct json_object *document);
void list_volumes(struct json_object *document);
void list_operations(struct json_object *document);

#endif
