/*
 * plan.h - what a command would do: the very commands and decisions of the core, on a copy of the state.
 *
 * Agents are not asked, so a plan is what would be tried, not a promise. Nothing is proposed.
 */
#ifndef CLUSTERD_ADAPTERS_PLAN_H
#define CLUSTERD_ADAPTERS_PLAN_H

#include "adapters/view.h"

struct plan {
    struct state *s; /* the copy; owned */
    struct world world;
    struct json_object *rows; /* owned */
};

/* RC_NO_MEMORY, with err. */
int plan_init(struct plan *p, const struct view *v, struct err *err);
void plan_fini(struct plan *p);
/* Applies a command to the copy; its rc, and err when it is refused. */
int plan_command(struct plan *p, struct event *e, struct err *err);
/* A row for a VM that will not move. */
void plan_refused(struct plan *p, const char *vm, const char *why);
/* Decides until all that the commands began has found its place, and returns the rows (owned by the caller):
 * {"vm", "from", "to", "how": "live-migrate"|"quick-migrate"|"move"|"stop"|null, "why", "refused"}. */
struct json_object *plan_finish(struct plan *p, node_set drained);

#endif
