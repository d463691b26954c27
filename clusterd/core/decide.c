/* decide.c - the coordinator's decisions about nodes, fences and volumes; VMs are in mobility.c. */
#include "core/decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

#define REPORT_MS    5000 /* a result's way into the journal: repeated, and through a change of coordinators */
#define ORDER_ROUNDS 3    /* an operator's fence tries each device so often */

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
 * Who runs the agent: the coordinator first, then the others in turn (its way to the BMC may be cut); those
 * that are still joining only where nobody is online.
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
    return n ? online[MUTANT(executor_fixed) ? 0 : round % n] : m ? joining[round % m] : 0;
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

/* ---- operations of nodes and devices ---- */

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
static void decide_confirm(struct decide *d, const struct op *o)
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

static void decide_fence_test(struct decide *d, const struct op *o)
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
static void decide_node_fence_op(struct decide *d, const struct op *o)
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

/* What is left on a node that is being drained; false when it is empty and its VMs have arrived. */
static bool drain_rest(struct decide *d, const struct node *n, const struct op *drain, bool *moving,
                       const struct vm **stuck)
{
    bool rest = false;

    *moving = false;
    *stuck = NULL;
    for (unsigned i = 0; i < d->s->ops; i++) {
        if (d->s->op[i].parent == drain->id && d->s->op[i].state < OPS_DONE) {
            rest = *moving = true;
        }
    }
    for (unsigned i = 0; i < d->s->vms; i++) {
        const struct vm *vm = d->s->vm[i];

        if (vm->owner != n->id && vm_claim(vm, n->id) == NULL) {
            continue;
        }
        rest = true;
        if (drain_blocked(d, vm, drain)) {
            *stuck = vm;
        } else {
            *moving = true;
        }
    }
    return rest;
}

static void decide_drain(struct decide *d, const struct op *o)
{
    const struct node *n = state_node(d->s, o->node);
    const struct vm *stuck;
    struct event *e;
    bool moving;
    char why[TEXT_SIZE];

    if (n == NULL || n->mode != MODE_DRAINING || n->state == NODE_UNCLEAN) {
        decide_op_end(d, o, OPS_FAILED, "the node was lost; its VMs are recovered, not drained");
        return;
    }
    if (drain_rest(d, n, o, &moving, &stuck)) {
        if (!moving && stuck != NULL) {
            d->noting = true;
            (void)drain_blocked(d, stuck, o);
            d->noting = false;
            text_format(why, sizeof why, "VM '%s' stays on the node: %s", stuck->name, d->note);
            decide_op_end(d, o, OPS_FAILED, why);
        }
        return;
    }
    e = decide_emit(d, EV_NODE_DRAINED, "nothing is left on node '%s'", n->name);
    if (e != NULL) {
        e->node = n->id;
    }
}

static void decide_resume(struct decide *d, const struct op *o)
{
    const struct node *n = state_node(d->s, o->node);

    if (n == NULL || n->state == NODE_UNCLEAN || n->state == NODE_OFFLINE) {
        decide_op_end(d, o, OPS_FAILED, "the node was lost");
        return;
    }
    for (unsigned i = 0; i < d->s->vms; i++) {
        const struct vm *vm = d->s->vm[i];

        if (vm->home == o->node && (vm->owner != o->node || vm->op != 0) && !home_blocked(d, vm)) {
            return;
        }
    }
    decide_op_end(d, o, OPS_DONE, "what could come home is back");
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

/* ---- volumes (REQ-C1) ---- */

static void decide_volume(struct decide *d, const struct volume *v)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        node_set bit = NODE_BIT(id);
        bool online = (v->online & bit) != 0;
        struct event *e;

        if (!decide_ready(d, id) || ((v->busy | v->wait) & bit) != 0 || online != v->removing) {
            continue;
        }
        e = decide_emit(d, EV_JOB,
                        v->removing ? "volume '%s' is being removed" : "volume '%s' belongs on every node",
                        v->name);
        if (e != NULL) {
            e->num = v->removing ? JOB_VOLUME_STOP : JOB_VOLUME_START;
            e->node = id;
            text_copy(e->subject, sizeof e->subject, v->name);
        }
    }
}

node_set volume_provable(const struct decide *d, const struct volume *v)
{
    node_set set = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (decide_ready(d, id) && (v->online & ~v->unproven & NODE_BIT(id)) != 0) {
            set |= NODE_BIT(id);
        }
    }
    /* n x n tries: in larger clusters a migrated VM arrives paused instead */
    return __builtin_popcountll(set) <= PROOF_NODES_MAX ? set : 0;
}

static struct event *emit_lock_job(struct decide *d, const struct volume *v, enum job_kind kind,
                                   uint32_t node, const char *why)
{
    struct event *e = decide_emit(d, EV_JOB, "%s", why);

    if (e != NULL) {
        e->num = kind;
        e->node = node;
        e->to = kind == JOB_LOCK_TRY ? v->prover : 0;
        e->flags = kind == JOB_LOCK_TRY && v->holding ? EVF_HELD : 0;
        text_copy(e->subject, sizeof e->subject, v->name);
    }
    return e;
}

/* C5: one node holds an image lock, all others must be refused; released, they must get it. Then the next. */
static void decide_locks(struct decide *d, const struct volume *v)
{
    node_set set = v->removing ? 0 : volume_provable(d, v);
    bool under_way = v->holding || volume_is_tried(d->s, v);
    /* One tries at a time: two could refuse each other, which would prove nothing. */
    bool turn = v->prover != 0 && (v->busy & ~NODE_BIT(v->prover)) == 0;

    for (uint32_t b = 1; b <= NODES_MAX && v->prover != 0; b++) {
        node_set bit = NODE_BIT(b);

        if (b == v->prover || (set & bit) == 0 || (v->proven[v->prover] & bit) != 0) {
            continue;
        }
        if (!v->holding && (v->refused & bit) == 0) {
            continue; /* it came too late for this round */
        }
        under_way = under_way || (v->busy & bit) != 0 || !v->holding;
        if (turn && ((v->holding ? v->refused : v->granted) & bit) == 0) {
            (void)emit_lock_job(d, v, JOB_LOCK_TRY, b,
                                v->holding
                                    ? "C5: another node holds the image lock, so it must be refused here"
                                    : "C5: the image lock is free again, so it must be granted here");
            turn = false;
        }
    }
    for (uint32_t a = 1; a <= NODES_MAX && !under_way; a++) {
        if ((set & NODE_BIT(a)) != 0 && (set & ~v->proven[a] & ~NODE_BIT(a)) != 0 &&
            (v->busy & NODE_BIT(a)) == 0) {
            (void)emit_lock_job(d, v, JOB_LOCK_HOLD, a,
                                "C5: do image locks hold between this node and the others?");
            return;
        }
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

/* ---- deadlines ---- */

const char *deadline_key(enum deadline_kind k)
{
    static const char *const keys[] = {
        [DL_GRACE] = "grace", [DL_FENCE] = "fence",     [DL_VM] = "vm",  [DL_VOLUME] = "volume",
        [DL_JOB] = "job",     [DL_STARTUP] = "startup", [DL_ARM] = "arm"};

    return (unsigned)k < sizeof keys / sizeof keys[0] && keys[k] != NULL ? keys[k] : "unknown";
}

static uint32_t backoff_ms(uint32_t first, uint32_t tries, uint32_t max)
{
    uint64_t ms = first;

    for (; tries > 1 && ms < max; tries--) {
        ms *= 2;
    }
    return ms < max ? (uint32_t)ms : max;
}

/* The pause before a VM's next try, or the next look at it where it could not be seen. */
static uint32_t vm_pause_ms(const struct vm *vm)
{
    return backoff_ms(2000, vm->looks != 0 ? vm->looks : vm->tries + vm->conflicts, 60000);
}

/*
 * How long the coordinator waits for a job's end: the agent's time, its end, what its executor looks at
 * afterwards, and the report. What it waited in the executor's queue is not in it: nobody should wait twice
 * as long for a node that is silent. A result after that is refused, and the VM looked at (C1).
 */
static uint32_t job_deadline_ms(const struct job *j)
{
    uint32_t ms = j->timeout_ms + AGENT_END_MS + REPORT_MS;

    if (j->kind == JOB_FENCE) {
        ms += j->timeout_ms + AGENT_END_MS; /* `status` after `off` */
    } else if (j->kind >= JOB_START && j->kind <= JOB_MIGRATE) {
        ms += AGENT_LOOK_MS + AGENT_END_MS;
    }
    return ms;
}

void core_deadlines(const struct state *s, void (*cb)(void *ctx, const struct deadline *d), void *ctx)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = &s->node[id];

        if (n->id != 0 && n->state == NODE_GRACE) {
            cb(ctx, &(struct deadline){DL_GRACE, id, n->loss, s->opt.restart_grace_ms});
        }
        if (n->id != 0 && n->fence_wait) {
            cb(ctx,
               &(struct deadline){DL_FENCE, id, n->fence_tries, backoff_ms(1000, n->fence_tries, 30000)});
        }
    }
    for (unsigned i = 0; i < s->vms; i++) {
        if (s->vm[i]->wait && !MUTANT(wait_for_ever)) {
            cb(ctx, &(struct deadline){DL_VM, name_hash(s->vm[i]->name), s->vm[i]->changed,
                                       vm_pause_ms(s->vm[i])});
        }
    }
    for (unsigned i = 0; i < s->volumes; i++) {
        for (uint32_t id = 1; id <= NODES_MAX && s->volume[i]->wait != 0; id++) {
            if ((s->volume[i]->wait & NODE_BIT(id)) != 0) {
                cb(ctx, &(struct deadline){DL_VOLUME, name_hash(s->volume[i]->name) ^ id, 0, 10000});
            }
        }
    }
    for (unsigned i = 0; i < s->jobs; i++) {
        if (!s->job[i].orphan) {
            cb(ctx, &(struct deadline){DL_JOB, s->job[i].id, 0, job_deadline_ms(&s->job[i])});
        }
    }
    if (s->startup) {
        cb(ctx, &(struct deadline){DL_STARTUP, s->term, 0, s->opt.startup_grace_ms});
    }
    if (s->disarm.index != 0 && s->disarm.ms != 0) {
        int64_t gone = s->time_ms - s->disarm.since_ms; /* so that a new coordinator does not begin anew */
        uint32_t left = gone <= 0 ? s->disarm.ms : gone >= s->disarm.ms ? 1 : s->disarm.ms - (uint32_t)gone;

        cb(ctx, &(struct deadline){DL_ARM, s->disarm.index, 0, left});
    }
}
