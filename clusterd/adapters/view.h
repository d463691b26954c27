/*
 * view.h - the state as people's programs see it: the JSON documents of clusterctl(8).
 *
 * Every function returns a new object (owned by the caller); json-c aborts when there is no memory.
 */
#ifndef CLUSTERD_ADAPTERS_VIEW_H
#define CLUSTERD_ADAPTERS_VIEW_H

#include "core/core.h"
#include "ports/ports.h"
#include "shell.h"

#include <json-c/json.h>

/* All that a view looks at, borrowed. */
struct view {
    const struct state *s;
    struct world world;
    bool quorate;
    char problem[TEXT_SIZE];       /* why it is not quorate */
    const struct journal *journal; /* may be NULL (tests): no votes are shown then */
    const struct shell *shell;     /* for progress; may be NULL */
};

void view_init(struct view *v, const struct shell *sh);

struct json_object *view_status(const struct view *v);
struct json_object *view_cluster(const struct view *v);
struct json_object *view_quorum(const struct view *v);
struct json_object *view_options(const struct view *v);

/* An element as in a list; `full` adds the fields of `X show`. */
struct json_object *view_node(const struct view *v, const struct node *n, bool full);
struct json_object *view_vm(const struct view *v, const struct vm *vm, bool full);
struct json_object *view_volume(const struct view *v, const struct volume *vol, bool full);
struct json_object *view_operation(const struct view *v, const struct op *op, bool full);
/* secrets: parameters such as passwords are shown as they are, else as "********". */
struct json_object *view_fence(const struct view *v, const struct fence_device *f, bool secrets);
struct json_object *view_rule(const struct view *v, const struct rule *r);
struct json_object *view_event(const struct history_row *row);

/* What a VM waits for, in one line; empty when it waits for nothing. */
void view_waits(const struct state *s, const struct world *w, const struct vm *vm, char why[TEXT_SIZE]);

/* "2026-01-01T00:00:00.000Z" */
void view_time(int64_t ms, char out[32]);

#endif
