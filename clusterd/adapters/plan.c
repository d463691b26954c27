#include "adapters/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"

#define ROUNDS_MAX 8 /* a drain begins its moves in one round and places them in the next */

int plan_init(struct plan *p, const struct view *v, struct err *err)
{
    struct buf b = BUF_INIT;

    memset(p, 0, sizeof *p);
    p->world = v->world;
    state_encode(v->s, &b);
    if (!b.failed) {
        p->s = state_decode(b.data, b.len, err);
    }
    buf_fini(&b);
    if (p->s == NULL) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    /* A plan shows the whole of it, not what would go first. */
    p->s->opt.migrations_per_node = UINT32_MAX;
    for (unsigned i = 0; i < p->s->volumes; i++) { /* nor what waits for the proof of image locks (C5) */
        for (uint32_t id = 1; id <= NODES_MAX; id++) {
            p->s->volume[i]->proven[id] = ~(node_set)0;
        }
    }
    p->rows = json_object_new_array();
    return 0;
}

void plan_fini(struct plan *p)
{
    state_free(p->s);
    json_object_put(p->rows);
}

static struct json_object *name_or_null(const struct state *s, uint32_t id)
{
    const struct node *n = state_node(s, id);

    return n ? json_object_new_string(n->name) : NULL;
}

static void add_row(struct plan *p, const char *vm, uint32_t from, uint32_t to, const char *how,
                    const char *why)
{
    struct json_object *row = json_object_new_object();

    (void)json_object_object_add(row, "vm", json_object_new_string(vm));
    (void)json_object_object_add(row, "from", name_or_null(p->s, from));
    (void)json_object_object_add(row, "to", name_or_null(p->s, to));
    (void)json_object_object_add(row, "how", how ? json_object_new_string(how) : NULL);
    (void)json_object_object_add(row, "why", json_object_new_string(why));
    (void)json_object_object_add(row, "refused", json_object_new_boolean(how == NULL));
    (void)json_object_array_add(p->rows, row);
}

static bool has_row(const struct plan *p, const char *vm)
{
    for (size_t i = 0; i < json_object_array_length(p->rows); i++) {
        struct json_object *name = NULL;

        (void)json_object_object_get_ex(json_object_array_get_idx(p->rows, i), "vm", &name);
        if (strcmp(json_object_get_string(name), vm) == 0) {
            return true;
        }
    }
    return false;
}

static int apply(struct plan *p, struct event *e, struct applied *out)
{
    const struct node *self = state_node(p->s, p->world.self);

    if (event_who(e->kind) == 'C' && self != NULL) { /* as the next request of this node */
        e->origin = self->id;
        e->session = self->session;
        e->seq = self->seq + 1;
    }
    e->time_ms = p->s->time_ms;
    core_apply(p->s, e, p->s->term, p->s->index + 1, out);
    return out->rc;
}

int plan_command(struct plan *p, struct event *e, struct err *err)
{
    struct applied out;

    if (apply(p, e, &out) != 0) {
        *err = out.err;
    }
    return out.rc;
}

void plan_refused(struct plan *p, const char *vm, const char *why)
{
    add_row(p, vm, 0, 0, NULL, why);
}

/* A decision as a row, when it moves a VM. */
static void note(struct plan *p, const struct event *e)
{
    const struct vm *vm = state_vm(p->s, e->subject);

    if (vm == NULL || has_row(p, vm->name)) {
        return;
    }
    if (e->kind == EV_JOB && e->num == JOB_MIGRATE) {
        add_row(p, vm->name, e->node, e->to, "live-migrate", e->why);
    } else if (e->kind == EV_JOB && e->num == JOB_SAVE && e->to != 0) {
        add_row(p, vm->name, e->node, e->to, "quick-migrate", e->why);
    } else if (e->kind == EV_JOB && e->num == JOB_STOP && e->node == vm->owner) {
        add_row(p, vm->name, e->node, 0, "stop", e->why);
    } else if (e->kind == EV_ASSIGN) {
        add_row(p, vm->name, vm->owner, e->to, "move", e->why);
    } else if (e->kind == EV_OP_END) {
        const struct op *o = state_op(p->s, e->id);

        if (o != NULL && e->num != OPS_DONE) {
            add_row(p, o->subject, o->from, 0, NULL, e->text ? e->text : e->why);
        }
    }
}

struct json_object *plan_finish(struct plan *p, node_set drained)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct decisions d = {NULL, 0, 0};
        unsigned n;

        (void)core_decide(p->s, &p->world, &d);
        n = d.n;
        for (unsigned i = 0; i < n; i++) {
            struct applied out;

            note(p, &d.e[i]);
            (void)apply(p, &d.e[i], &out);
        }
        decisions_fini(&d);
        if (n == 0) {
            break;
        }
    }
    for (unsigned i = 0; i < p->s->vms; i++) {
        const struct vm *vm = p->s->vm[i];
        char why[TEXT_SIZE];

        if (vm->owner != 0 && (drained & NODE_BIT(vm->owner)) != 0 && !has_row(p, vm->name)) {
            view_waits(p->s, &p->world, vm, why);
            add_row(p, vm->name, vm->owner, 0, NULL, why[0] ? why : "it is blocked");
        }
    }
    return json_object_get(p->rows);
}
