/* decide_node.c - nodes that are gone (N1, N2), and their fences (S3, N3). */
#include "core/decide.h"

#include <stdio.h>

#include "common/mutant.h"

#define ORDER_ROUNDS 3 /* an operator's fence tries each device so often */

/* ---- nodes that are gone (N1, N2) ---- */

static void decide_lost(struct decide *d, const struct node *n)
{
    bool ring = (d->w->ring & NODE_BIT(n->id)) != 0;
    struct event *e;

    if (n->outcast && n->state == NODE_OFFLINE && ring) {
        e = decide_emit(
            d, EV_NODE_LOST,
            "A16: node '%s' was given up and is seen again: it joins within restart_grace_ms, or it is "
            "fenced",
            n->name);
        if (e != NULL) {
            e->node = n->id;
            e->id = n->session;
        }
        return;
    }
    if ((d->w->present & NODE_BIT(n->id)) != 0 ||
        (n->state != NODE_ONLINE && n->state != NODE_JOINING && n->state != NODE_GRACE)) {
        return;
    }
    if (d->s->startup && n->inventory_term != d->s->term && n->state != NODE_GRACE) {
        decide_note(d, "the cluster has just been started: it gets startup_grace_ms to come");
        return;
    }
    if (n->state == NODE_GRACE && (d->w->observing & NODE_BIT(n->id)) != 0) {
        decide_note(d, "A15: its clusterd only observes, after crashes: what runs there is left alone");
        return;
    }
    if (n->state == NODE_GRACE && ring) {
        decide_note(d, "its clusterd is gone, its corosync is there: it gets restart_grace_ms to come back");
        return;
    }
    e = decide_emit(d, EV_NODE_LOST,
                    ring ? "N2: clusterd of node '%s' is gone, its corosync is there"
                         : "N2: node '%s' is out of the membership and had not left",
                    n->name);
    if (e != NULL) {
        e->node = n->id;
        e->num = ring && !MUTANT(no_grace) ? 0 : 1;
        e->id = n->session; /* which daemon of it is lost: it may be back by the time this is committed */
    }
}

/* ---- fencing (S3, N1) ---- */

/* The devices that reach a node, by level, then name: the try-th one, round and round. */
static const struct fence_device *fence_pick(const struct state *s, uint32_t node, uint32_t try,
                                             unsigned *count)
{
    const struct fence_device *best = NULL;
    uint32_t skip;

    *count = 0;
    for (unsigned i = 0; i < s->fences; i++) {
        *count += (s->fence[i]->nodes & NODE_BIT(node)) != 0;
    }
    if (*count == 0) {
        return NULL;
    }
    skip = MUTANT(first_device_only) ? 0 : try % *count;
    for (uint32_t level = 0, next = 0;; level = next) {
        next = UINT32_MAX;
        for (unsigned i = 0; i < s->fences; i++) {
            const struct fence_device *f = s->fence[i];

            if ((f->nodes & NODE_BIT(node)) == 0 || f->level < level) {
                continue;
            }
            if (f->level == level) {
                best = f;
                if (skip-- == 0) {
                    return best;
                }
            } else if (f->level < next) {
                next = f->level;
            }
        }
        if (next == UINT32_MAX) {
            return best;
        }
    }
}

/*
 * Who runs the agent: the coordinator first, then the others in turn (its way to the BMC may be cut), those
 * that are still joining last: one may be joining for as long as this very node is not fenced (N1).
 */
static uint32_t fence_executor(const struct decide *d, uint32_t target, uint32_t round)
{
    uint32_t online[NODES_MAX], joining[NODES_MAX], n = 0, m = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((d->w->present & NODE_BIT(id)) == 0 || !node_may_fence(d->s, id, target)) {
            continue;
        }
        if (d->s->node[id].state != NODE_ONLINE) {
            joining[m++] = id;
            continue;
        }
        online[n++] = id;
        if (id == d->w->self) {
            online[n - 1] = online[0];
            online[0] = id;
        }
    }
    if (n + m == 0) {
        return 0;
    }
    round = MUTANT(executor_fixed) ? 0 : round % (n + m);
    return round < n ? online[round] : joining[round - n];
}

static bool fence_runs(const struct state *s, uint32_t node)
{
    for (unsigned i = 0; i < s->jobs; i++) {
        if (s->job[i].kind == JOB_FENCE && s->job[i].to == node && !s->job[i].orphan) {
            return true;
        }
    }
    return false;
}

static void decide_fence(struct decide *d, const struct node *n)
{
    unsigned devices;
    const struct fence_device *f = fence_pick(d->s, n->id, n->fence_tries, &devices);
    uint32_t executor;
    struct event *e;

    if (n->state != NODE_UNCLEAN) {
        return;
    }
    if (f == NULL) {
        decide_note(d,
                    "it is lost and no fence device reaches it: confirm that its power is off "
                    "(clusterctl node confirm-down %s), or bring it back",
                    n->name);
        return;
    }
    if (fence_runs(d->s, n->id)) {
        decide_note(d, "it is being fenced");
        return;
    }
    if (!n->fence_wanted && decide_paused(d)) {
        return;
    }
    if (n->fence_wait) {
        decide_note(d, "%s; the next try comes by itself", n->error);
        return;
    }
    executor = fence_executor(d, n->id, n->fence_tries / devices);
    if (executor == 0) {
        decide_note(d, "no node is ready to fence it yet");
        return;
    }
    e = decide_emit(d, EV_JOB,
                    "S3: node '%s' is lost (loss %llu): nothing of it may start elsewhere before it is "
                    "confirmed off; try %u, device '%s' from node '%s'",
                    n->name, (unsigned long long)n->loss, n->fence_tries + 1, f->name,
                    decide_node_name(d, executor));
    if (e != NULL) {
        e->num = JOB_FENCE;
        e->node = executor;
        e->to = n->id;
        e->index = n->loss;
        text_copy(e->subject, sizeof e->subject, f->name);
    }
}

/* ---- operations of fences and their devices ---- */

static bool op_has_job(const struct state *s, uint64_t op)
{
    for (unsigned i = 0; i < s->jobs; i++) {
        if (s->job[i].op == op && !s->job[i].orphan) {
            return true;
        }
    }
    return false;
}

static void ask_status(struct decide *d, const struct op *o, const struct fence_device *f, uint32_t target)
{
    uint32_t executor = fence_executor(d, target, o->tries);
    struct event *e;

    if (executor == 0 && decide_ready(d, target)) {
        executor = target; /* a test where there is no other */
    }
    if (executor == 0) {
        return; /* nobody is ready yet */
    }
    e = decide_emit(d, EV_JOB, "ask fence device '%s' whether the power is on", f->name);
    if (e != NULL) {
        e->num = JOB_FENCE_STATUS;
        e->node = executor;
        e->to = target;
        e->id = o->id;
        text_copy(e->subject, sizeof e->subject, f->name);
    }
}

/* N3: the operator's word is refused while anything says that the node lives. */
void decide_confirm(struct decide *d, const struct op *o)
{
    const struct node *n = state_node(d->s, o->node);
    const struct fence_device *f;
    unsigned devices;
    struct event *e;

    if (n == NULL || n->state != NODE_UNCLEAN) {
        if (n == NULL || n->state != NODE_GRACE) {
            decide_op_end(d, o, OPS_FAILED, "the node is not lost any more");
        }
        return;
    }
    if (n->loss >= o->id) {
        decide_op_end(d, o, OPS_FAILED, "N1: the node came back and is lost anew: confirm it once more");
        return;
    }
    if (((d->w->present | d->w->ring) & NODE_BIT(n->id)) != 0 && !MUTANT(confirm_the_living)) {
        decide_op_end(d, o, OPS_FAILED, "N3: the node's corosync is in the membership, so it is not down");
        return;
    }
    f = fence_pick(d->s, n->id, o->tries, &devices);
    if ((o->flags & EVF_FORCE) == 0 && f != NULL && o->tries < devices) {
        if (!op_has_job(d->s, o->id)) {
            ask_status(d, o, f, n->id);
        }
        return;
    }
    e = decide_emit(d, EV_NODE_DOWN, "S3: %s confirmed that the power of node '%s' is off",
                    o->by[0] ? o->by : "root", n->name);
    if (e != NULL) {
        e->node = n->id;
        e->id = o->id;
    }
}

void decide_fence_test(struct decide *d, const struct op *o)
{
    const struct fence_device *f = state_fence(d->s, o->subject);
    uint32_t target = 0;

    if (f == NULL) {
        decide_op_end(d, o, OPS_FAILED, "the fence device was removed");
        return;
    }
    while (target < NODES_MAX && (f->nodes & NODE_BIT(target + 1)) == 0) {
        target++;
    }
    if (!op_has_job(d->s, o->id)) {
        ask_status(d, o, f, target + 1);
    }
}

/* L2: an order ends. A node that is lost goes on being fenced without it; one that lives comes back. */
void decide_node_fence_op(struct decide *d, const struct op *o)
{
    const struct node *n = state_node(d->s, o->node);
    char why[TEXT_SIZE];
    unsigned devices;

    if (n == NULL || n->state != NODE_UNCLEAN) {
        if (!MUTANT(order_never_ends)) {
            decide_op_end(d, o, OPS_FAILED, "the node came back before it was fenced");
        }
        return;
    }
    if (fence_pick(d->s, n->id, 0, &devices) == NULL) {
        decide_op_end(d, o, OPS_FAILED, "no fence device reaches the node any more");
    } else if (n->fence_tries >= ORDER_ROUNDS * devices && !fence_runs(d->s, n->id)) {
        (void)snprintf(why, sizeof why, "not fenced in %u tries: %.300s", n->fence_tries, n->error);
        decide_op_end(d, o, OPS_FAILED, why);
    }
}

/* A16: the word that the operator gave with `quorum force`. */
static void decide_given_up(struct decide *d, const struct node *n)
{
    struct event *e;

    if (n->given_up != 0 && n->given_up == n->loss && n->state == NODE_UNCLEAN) {
        e = decide_emit(d, EV_NODE_GIVEN_UP, "N3: node '%s' was said to be down when the quorum was forced",
                        n->name);
        if (e != NULL) {
            e->node = n->id;
        }
    }
}

void decide_node(struct decide *d, const struct node *n)
{
    d->note[0] = '\0';
    decide_lost(d, n);
    decide_given_up(d, n);
    decide_fence(d, n);
}
