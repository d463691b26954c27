/*
 * view_impl.h - shared by the files that make the documents: view.c (documents), view_put.c (their members),
 * view_problem.c (what is wrong).
 */
#ifndef CLUSTERD_ADAPTERS_VIEW_IMPL_H
#define CLUSTERD_ADAPTERS_VIEW_IMPL_H

#include "adapters/view.h"

/* view_put.c: members of an object. Texts are made clean UTF-8; an empty text, 0 as an id or time, is null.
 */
void view_put(struct json_object *o, const char *key, struct json_object *value);
void view_put_int(struct json_object *o, const char *key, uint64_t value);
void view_put_bool(struct json_object *o, const char *key, bool value);
void view_put_text(struct json_object *o, const char *key, const char *value);
void view_put_id(struct json_object *o, const char *key, uint64_t id);
void view_put_time(struct json_object *o, const char *key, int64_t ms);
struct json_object *view_text(const char *text, size_t len);
struct json_object *view_node_name(const struct view *v, uint32_t id);
struct json_object *view_node_names(const struct view *v, node_set set);

unsigned view_vms_on(const struct state *s, uint32_t node);
/* The nodes that a volume should be on: those whose daemon takes part now. */
node_set view_nodes_online(const struct state *s);

/* view_problem.c */
struct json_object *view_problems(const struct view *v);

#endif
