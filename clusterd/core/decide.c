/* decide.c - a round of the coordinator's decisions: who is looked at, and in which order. */
#include "core/decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

void decisions_fini(struct decisions *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        event_fini(&d->e[i]);
    }
    free(d->e);
    memset(d, 0, sizeof *d);
}

void decide_init(struct decide *d, const struct state *s, const struct world *w, struct decisions *out)
{
    memset(d, 0, sizeof *d);
    d->s = s;
    d->w = w;
    d->out = out;
    d->used = s->used;
    d->placed = malloc((s->vms + 1) * sizeof(struct vm *));
    if (d->placed == NULL) {
        d->rc = RC_NO_MEMORY;
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = &s->node[id];

        if (n->id != 0 && n->mode == MODE_ACTIVE && decide_ready(d, id)) {
            d->open |= NODE_BIT(id);
            d->total.mib[id] = node_memory_mib(s, n);
            d->total.cpus[id] = node_vcpus(s, n);
        }
    }
    for (unsigned i = 0; i < s->jobs; i++) {
        const struct job *j = &s->job[i];
        const struct op *o = j->kind == JOB_START ? NULL : state_op(s, j->op); /* that is no move */

        if (j->kind == JOB_START || j->kind == JOB_RESTORE) {
            d->starts[j->node]++;
        }
        if (o != NULL && (o->kind == OP_LIVE || o->kind == OP_QUICK)) {
            d->moves[o->from]++;
            d->moves[o->to]++;
        }
    }
}

void decide_fini(struct decide *d)
{
    place_forget(d);
}

struct event *decide_emit(struct decide *d, enum event_kind kind, const char *why, ...)
{
    struct event *e;
    va_list ap;

    /* A13: an older node could not read it. */
    if (d->out == NULL || d->rc != 0 || d->out->n >= DECISIONS_MAX ||
        (event_level(kind) > d->s->level && kind != EV_LEVEL)) {
        return NULL;
    }
    if (d->out->n == d->out->cap) {
        unsigned cap = d->out->cap ? 2 * d->out->cap : 16;

        e = realloc(d->out->e, cap * sizeof *e);
        if (e == NULL) {
            d->rc = RC_NO_MEMORY;
            return NULL;
        }
        d->out->e = e;
        d->out->cap = cap;
    }
    e = &d->out->e[d->out->n++];
    event_init(e, kind);
    e->origin = d->w->self;
    va_start(ap, why);
    (void)vsnprintf(e->why, sizeof e->why, why, ap);
    va_end(ap);
    return e;
}

void decide_note(struct decide *d, const char *fmt, ...)
{
    va_list ap;

    if (d->out != NULL && !d->noting) {
        return; /* nobody reads it */
    }
    va_start(ap, fmt);
    (void)vsnprintf(d->note, sizeof d->note, fmt, ap);
    va_end(ap);
}

void decide_op_end(struct decide *d, const struct op *o, enum op_state st, const char *why)
{
    struct event *e = decide_emit(d, EV_OP_END, "%s", why);

    if (e != NULL) {
        e->id = o->id;
        e->num = st;
        if (event_set_text(e, why) != 0) {
            d->rc = RC_NO_MEMORY;
        }
    }
}

bool decide_ready(const struct decide *d, uint32_t node)
{
    const struct node *n = state_node(d->s, node);

    return n != NULL && n->state == NODE_ONLINE &&
           (n->inventory_term == d->s->term || MUTANT(no_inventory_needed)) &&
           (d->w->present & NODE_BIT(node)) != 0 && !node_is_leaving(d->s, n);
}

const char *decide_node_name(const struct decide *d, uint32_t node)
{
    const struct node *n = state_node(d->s, node);

    return n != NULL ? n->name : "none";
}

bool decide_paused(struct decide *d)
{
    const struct disarm *p = &d->s->disarm;

    if (p->index == 0 || MUTANT(fence_while_disarmed)) {
        return false;
    }
    decide_note(d, "N4: high availability is paused (by %s, %s): clusterctl arm goes on",
                p->by[0] ? p->by : "root", p->ms ? "for a time" : "until it is armed");
    return true;
}

/* ---- decisions about one VM ---- */

struct event *decide_emit_job(struct decide *d, const struct vm *vm, enum job_kind kind, uint32_t node,
                              const char *why)
{
    struct event *e = decide_emit(d, EV_JOB, "%s", why);

    if (e != NULL) {
        e->num = kind;
        e->node = node;
        e->id = vm->op;
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
    return e;
}

struct event *decide_emit_begin(struct decide *d, const struct vm *vm, enum op_kind kind, uint64_t parent,
                                uint32_t from, uint32_t to, const char *why)
{
    struct event *e = decide_emit(d, EV_OP_BEGIN, "%s", why);

    if (e != NULL) {
        e->num = kind;
        e->id = parent;
        e->node = from;
        e->to = to;
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
    return e;
}

void decide_emit_vm(struct decide *d, const struct vm *vm, enum event_kind kind, const char *why)
{
    struct event *e = decide_emit(d, kind, "%s", why);

    if (e != NULL) {
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
}

void decide_emit_assign(struct decide *d, const struct vm *vm, uint32_t to, uint64_t op, const char *why)
{
    struct event *e = decide_emit(d, EV_ASSIGN, "%s", why);

    if (e != NULL) {
        e->to = to;
        e->id = op;
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
}

/* ---- the cluster itself, and operations that are no VM's ---- */

/* A13: raised only when every member has reported that it can; one that has never come has not. */
static void decide_level(struct decide *d)
{
    unsigned level = d->w->level;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(d->s, id);
        unsigned known = n != NULL ? n->feature_level : 0;

        if ((d->w->members & NODE_BIT(id)) != 0 && known < level && !MUTANT(level_of_the_newest)) {
            level = known;
        }
    }
    if (level > d->s->level && d->w->members != 0) {
        struct event *e =
            decide_emit(d, EV_LEVEL, "A13: all %d members run a version that knows feature level %u",
                        __builtin_popcountll(d->w->members), level);

        if (e != NULL) {
            e->num = level;
        }
    }
}

/* A9: the journal does it, one member at a time; here its end is said. */
static void decide_member(struct decide *d, const struct op *o)
{
    const struct node *n = state_node(d->s, o->node);
    bool member = (d->w->members & NODE_BIT(o->node)) != 0;
    struct event *e;

    if (n == NULL || n->op != o->id) {
        decide_op_end(d, o, OPS_FAILED, "the node is not there any more");
        return;
    }
    if (member != (o->kind == OP_NODE_ADD)) {
        return;
    }
    e = member
            ? decide_emit(d, EV_NODE_ADDED, "A9: node '%s' is a member; it votes once it has come", n->name)
            : decide_emit(d, EV_NODE_REMOVED, "A9: node '%s' is no member any more", n->name);
    if (e != NULL) {
        e->node = n->id;
    }
}

static void decide_ops(struct decide *d)
{
    for (unsigned i = 0; i < d->s->ops; i++) {
        const struct op *o = &d->s->op[i];

        if (o->state >= OPS_DONE) {
            continue;
        }
        if (o->kind == OP_CONFIRM) {
            decide_confirm(d, o);
        } else if (o->kind == OP_FENCE_TEST) {
            decide_fence_test(d, o);
        } else if (o->kind == OP_FENCE) {
            decide_node_fence_op(d, o);
        } else if (o->kind == OP_DRAIN) {
            decide_drain(d, o);
        } else if (o->kind == OP_RESUME) {
            decide_resume(d, o);
        } else if (o->kind == OP_NODE_ADD || o->kind == OP_NODE_REMOVE) {
            decide_member(d, o);
        }
    }
}

/* ---- a round ---- */

/* Nothing but a fact about this VM, its node, or the operation of one can make it need anything. */
static bool is_settled(const struct decide *d, const struct vm *vm)
{
    const struct node *n = state_node(d->s, vm->claims ? vm->claim[0].node : vm->owner);
    const struct node *home = state_node(d->s, vm->home);

    if (vm->job != 0) {
        return true; /* its end is such a fact */
    }
    if (vm->op != 0 || (n != NULL && n->op != 0) || (home != NULL && home->op != 0)) {
        return false;
    }
    if (vm->claims == 0) {
        return vm->wanted != WANT_RUNNING;
    }
    return vm->claims == 1 && vm->claim[0].obs == OBS_RUNNING && vm->wanted == WANT_RUNNING &&
           decide_ready(d, vm->claim[0].node);
}

bool decide_stuck(const struct decide *d, const struct vm *vm)
{
    /* A drain or a failback asks anew what could become of each. */
    return !d->all && d->s->node_ops == 0 && vm->stuck == d->s->room &&
           (vm->queued == 0 ? !d->anew : d->starts[vm->queued] >= d->s->opt.starts_per_node);
}

/* Looks at one VM, and remembers when nothing can be done before there is room or a start is free. */
static void look_at(struct decide *d, struct vm *vm)
{
    unsigned before = d->out->n;

    if (vm->unit == 0 && decide_stuck(d, vm)) {
        return;
    }
    decide_vm(d, vm);
    if (d->out->n == before && before < DECISIONS_MAX && d->rc == 0 &&
        (vm->unit != 0 ? vm->plan == 0 : vm->queued != 0)) {
        vm->stuck = d->s->room;
    }
    vm->planned = vm->plan != 0;
}

static void look_at_nodes(struct decide *d)
{
    decide_level(d);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (d->s->node[id].id != 0) {
            decide_node(d, &d->s->node[id]);
        }
    }
    for (unsigned i = 0; i < d->s->volumes; i++) {
        decide_volume(d, d->s->volume[i]);
        decide_locks(d, d->s->volume[i]);
    }
}

/* vm: those to look at, by name. */
static void look_at_vms(struct decide *d, struct vm *const *vm, unsigned n)
{
    struct place where;

    for (unsigned i = 0; i < n && !d->anew; i++) {
        d->anew = vm[i]->planned || (!decide_stuck(d, vm[i]) && decide_needs_place(d, vm[i], &where));
    }
    place_plan(d, vm, n);
    for (unsigned i = 0; i < d->units; i++) {
        for (unsigned k = 0; k < d->unit[i].vms; k++) {
            look_at(d, d->unit[i].vm[k]);
        }
    }
    for (int p = PRIO_HIGH; p >= PRIO_NONE; p--) { /* REQ-F6 */
        for (unsigned i = 0; i < n; i++) {
            if ((int)vm[i]->set.priority == p && vm[i]->unit == 0) {
                look_at(d, vm[i]);
            }
        }
    }
    if (d->s->node_ops > 0) {
        decide_ops(d);
    }
}

int core_decide_all(const struct state *s, const struct world *w, struct decisions *out)
{
    struct decide d;

    decide_init(&d, s, w, out);
    d.all = true;
    look_at_nodes(&d);
    look_at_vms(&d, s->vm, s->vms);
    decide_fini(&d);
    return d.rc;
}

/* Padding that differs makes a look too many, never one too few. */
static bool looks_anew(const struct state *s, const struct world *w)
{
    _Static_assert(sizeof *w <= sizeof s->looked, "size");
    return s->look_all || s->looked_term != s->term || memcmp(s->looked, w, sizeof *w) != 0;
}

/* What is settled has not to be looked at again before a fact touches it. */
static void look_less(struct state *s, const struct decide *d)
{
    unsigned n = d->all ? s->vms : s->looks, kept = 0;

    if (d->all) {
        s->looks = 0;
        for (unsigned i = 0; i < n; i++) {
            s->vm[i]->looked_at = false;
            state_look_at(s, s->vm[i], !is_settled(d, s->vm[i]));
        }
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        s->look[i]->looked_at = !is_settled(d, s->look[i]);
        if (s->look[i]->looked_at) {
            s->look[kept++] = s->look[i];
        }
    }
    s->looks = kept;
}

int core_decide(struct state *s, const struct world *w, struct decisions *out)
{
    unsigned before = out->n;
    struct decide d;

    decide_init(&d, s, w, out);
    d.all = looks_anew(s, w);
    if (d.all) {
        s->look_all = false;
        s->looked_term = s->term;
        memcpy(s->looked, w, sizeof *w);
    }
    look_less(s, &d);
    if (d.all || s->look_nodes) {
        look_at_nodes(&d);
        s->look_nodes = out->n > before; /* what was decided may come to nothing */
    }
    look_at_vms(&d, s->look, s->looks);
    decide_fini(&d);
    s->look_all = s->look_all || d.rc != 0;
    return d.rc;
}
