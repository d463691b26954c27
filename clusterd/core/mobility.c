/*
 * mobility.c - what to do about one VM: start, stop, save, move, recover, and clear up what went wrong.
 *
 * It looks at three things: what is wanted, where the VM may exist (its claims and what was last seen there),
 * and the operation that is under way. It is asked again after every change, so each function does the one
 * next step.
 */
#include "core/decide.h"

#include <string.h>

static struct event *emit_job(struct decide *d, const struct vm *vm, enum job_kind kind, uint32_t node,
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

/* Ends an operation whose last try failed, with the reason that the try left. */
static void end_failed(struct decide *d, const struct op *o, const char *otherwise)
{
    decide_op_end(d, o, o->cancel ? OPS_CANCELLED : OPS_FAILED,
                  o->cancel     ? "cancelled by the operator"
                  : o->error[0] ? o->error
                                : otherwise);
}

/* The same after a failed try or a cancellation: the reason is there. */
static void end_tried(struct decide *d, const struct op *o)
{
    end_failed(d, o, "");
}

static struct event *begin_op(struct decide *d, const struct vm *vm, enum op_kind kind, uint64_t parent,
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

static void emit_vm(struct decide *d, const struct vm *vm, enum event_kind kind, const char *why)
{
    struct event *e = decide_emit(d, kind, "%s", why);

    if (e != NULL) {
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
}

/* ---- what exists where ---- */

static const struct claim *claim_with(const struct decide *d, const struct vm *vm, enum obs_state obs)
{
    for (unsigned i = 0; i < vm->claims; i++) {
        if (vm->claim[i].obs == obs && decide_ready(d, vm->claim[i].node)) {
            return &vm->claim[i];
        }
    }
    return NULL;
}

static void stop_half(struct decide *d, const struct vm *vm, const struct claim *c, const char *why)
{
    struct event *e;

    if (vm->wait) {
        decide_note(d, "its leftover half on node '%s' could not be ended yet: %s",
                    decide_node_name(d, c->node), vm->error);
        return;
    }
    e = emit_job(d, vm, JOB_STOP, c->node, why);
    if (e != NULL) {
        e->flags = EVF_FORCE;
    }
}

/* Asks ready nodes for what is not known of the VM there. True: something is not known, so wait. */
static bool learn(struct decide *d, const struct vm *vm)
{
    for (unsigned i = 0; i < vm->claims; i++) {
        const struct claim *c = &vm->claim[i];

        if (c->obs != OBS_UNKNOWN || !decide_ready(d, c->node)) {
            continue;
        }
        if (vm->wait) {
            decide_note(d, "node '%s' cannot say yet whether it runs there", decide_node_name(d, c->node));
        } else {
            (void)emit_job(d, vm, JOB_PROBE, c->node, "C1: whether it exists there is not known");
        }
        return true;
    }
    return false;
}

/*
 * The VM may exist on more than one node: a migration was interrupted (C5, S6). The half that runs is the VM;
 * where none runs, the older one, which has never been left. The other half is ended, so that one claim
 * remains.
 */
static void settle(struct decide *d, const struct vm *vm)
{
    const struct claim *runs = MUTANT(source_ended) ? &vm->claim[1] : claim_with(d, vm, OBS_RUNNING);

    for (unsigned i = 0; i < vm->claims; i++) {
        const struct claim *c = &vm->claim[i];

        if (c->obs == OBS_ABSENT) {
            continue; /* nothing to end there, but a migration may still bring it (claim.from) */
        }
        if (!decide_ready(d, c->node)) {
            const struct node *n = state_node(d->s, c->node);

            if (n != NULL && n->state == NODE_OFFLINE) {
                decide_note(d, "C5: a migration from node '%s' may still bring it to node '%s'",
                            decide_node_name(d, c->from), n->name);
            } else {
                decide_note(d, "S3: it may exist on node '%s', which is %s", decide_node_name(d, c->node),
                            n ? node_state_key(d->s, n) : "gone");
            }
            continue;
        }
        if (c->obs == OBS_INCOMING && c->from != 0 && !decide_ready(d, c->from)) {
            decide_note(d, "S6: node '%s' is lost, but may still deliver it to node '%s'",
                        decide_node_name(d, c->from), decide_node_name(d, c->node));
            continue;
        }
        if (c == runs || (c->obs == OBS_RUNNING && runs != NULL && !MUTANT(source_ended))) {
            continue; /* two that run: nothing here may choose; core_check cries */
        }
        if (c->obs == OBS_INCOMING || runs != NULL || (i > 0 && decide_ready(d, vm->claim[0].node))) {
            stop_half(d, vm, c,
                      runs != NULL ? "C5: it runs on the other node; this half never ran on its own"
                                   : "C5: a half that came in is never taken for the VM");
            return;
        }
    }
}

/* C1: added a moment ago, and it may run somewhere already. Only what launches it has to wait. */
static bool is_unseen(struct decide *d, const struct vm *vm)
{
    const struct op *o = state_op(d->s, vm->op);

    if (vm->unseen == 0 || MUTANT(unseen_ignored) || vm->wanted != WANT_RUNNING || (o != NULL && o->cancel)) {
        return false;
    }
    decide_note(d, "C1: node '%s' has not said yet whether it runs there already",
                decide_node_name(d, (uint32_t)__builtin_ctzll(vm->unseen) + 1));
    return true;
}

/* True when the claims are clear: none, or one whose state is known and that can be worked with. */
static bool is_clear(struct decide *d, const struct vm *vm)
{
    const struct claim *c = &vm->claim[0];

    if (vm->claims == 0 || (MUTANT(launch_beside_a_claim) && !decide_ready(d, c->node))) {
        return !is_unseen(d, vm);
    }
    if (learn(d, vm)) {
        return false;
    }
    if (vm->claims > 1 && !(MUTANT(torn_source_resumed) && c->obs == OBS_PAUSED)) {
        settle(d, vm);
        return false;
    }
    if (!decide_ready(d, c->node)) {
        const struct node *n = state_node(d->s, c->node);

        decide_note(d, "S3: it may still run on node '%s', which is %s", decide_node_name(d, c->node),
                    n == NULL                 ? "gone"
                    : n->state == NODE_ONLINE ? "not ready yet"
                                              : node_state_key(d->s, n));
        return false;
    }
    if (c->obs == OBS_INCOMING) {
        stop_half(d, vm, c, "C5: a half that came in is never taken for the VM");
        return false;
    }
    if (c->obs == OBS_PAUSED && c->half && !MUTANT(half_resumed) && !MUTANT(torn_source_resumed)) {
        stop_half(d, vm, c,
                  "C5, S6: the end of its migration is not known: the VM may have run on elsewhere, and this "
                  "memory is older than the disks then");
        return false;
    }
    return true;
}

/* ---- bringing a VM up: cold, or from its saved state ---- */

static bool start_slot(struct decide *d, uint32_t node)
{
    if (d->starts[node] >= d->s->opt.starts_per_node) {
        decide_note(d, "starts_per_node: %u starts are in flight on node '%s'", d->starts[node],
                    decide_node_name(d, node));
        return false;
    }
    d->starts[node]++;
    return true;
}

static void launch(struct decide *d, const struct vm *vm, uint32_t node, const char *why)
{
    enum job_kind kind = vm->saved.tag != 0 ? JOB_RESTORE : JOB_START;

    place_take(d, vm, node);
    if (start_slot(d, node)) {
        (void)emit_job(d, vm, kind, node, why);
    }
}

static bool conflict_waits(struct decide *d, const struct vm *vm)
{
    if (!vm->wait || vm->conflicts == 0) {
        return false;
    }
    decide_note(d, "C7: an image lock is still held, try %u comes by itself: %s", vm->conflicts + 1,
                vm->error);
    return true;
}

/* The cluster itself chose where to, when it began the operation. */
static bool own_choice(const struct op *o)
{
    return o->by[0] == '\0';
}

/* No QEMU of the VM exists anywhere: choose a node. */
static void bring_up_from_nothing(struct decide *d, const struct vm *vm, const struct op *o)
{
    const struct place p = {.tried = o->tried, .prefer = o->to, .need_room = true};
    char why[TEXT_SIZE];
    bool soon = false;
    uint32_t node;

    if (vm->saved.tag != 0 && (vm->saved.consumed || (MUTANT(state_discarded) && o->tries > 0)) &&
        !MUTANT(restored_twice)) {
        emit_vm(d, vm, EV_VOID,
                "C6: its saved state was consumed and the VM is gone: it crashed, and starts cold");
        return;
    }
    if (o->cancel) {
        end_tried(d, o);
        return;
    }
    if (o->recovery && decide_paused(d)) {
        decide_op_end(d, o, OPS_CANCELLED,
                      "N4: high availability is paused; it is tried again once it is armed");
        return;
    }
    if (conflict_waits(d, vm)) {
        return;
    }
    if (vm->unit == 0 && o->to != 0 && d->starts[o->to] >= d->s->opt.starts_per_node) {
        (void)start_slot(d, o->to); /* it has its place, and waits for its turn */
        return;
    }
    node = place_of(d, vm, &p, &soon, why);
    if (node != 0) {
        launch(d, vm, node, node == o->to && own_choice(o) ? o->why : why);
    } else if (soon) {
        decide_note(d, "%s", why);
    } else {
        end_failed(d, o, why);
    }
}

/* One next step towards running. The claims are clear. */
static void bring_up(struct decide *d, const struct vm *vm, const struct op *o)
{
    const struct claim *c = &vm->claim[0];

    if (vm->claims == 0) {
        bring_up_from_nothing(d, vm, o);
    } else if (c->obs == OBS_RUNNING) {
        decide_op_end(d, o, OPS_DONE, "it runs");
    } else if (vm->saved.tag != 0 && !vm->saved.consumed && !MUTANT(resumed_unconsumed)) {
        emit_vm(d, vm, EV_CONSUME, "C6: restored and paused; consumed before it may run (S7)");
    } else if (o->tries >= DRAIN_TRIES) {
        end_tried(d, o);
    } else if (o->cancel || !conflict_waits(d, vm)) {
        (void)emit_job(d, vm, JOB_RESUME, c->node, "it is there, paused, and nowhere else");
    }
}

/* ---- operations ---- */

static bool move_slot(struct decide *d, uint32_t from, uint32_t to)
{
    uint32_t max = d->s->opt.migrations_per_node;

    if (d->moves[from] >= max || d->moves[to] >= max) {
        decide_note(d, "migrations_per_node: %u moves are in flight on node '%s'",
                    d->moves[from] >= max ? d->moves[from] : d->moves[to],
                    decide_node_name(d, d->moves[from] >= max ? from : to));
        return false;
    }
    d->moves[from]++;
    d->moves[to]++;
    return true;
}

/* A move to there or not at all: an operator said where to, or it goes home. */
static bool to_there_only(const struct decide *d, const struct op *o)
{
    const struct op *parent = state_op(d->s, o->parent);

    return o->to != 0 && (!own_choice(o) || (parent != NULL && parent->kind == OP_RESUME));
}

/* The target of a move, or 0 with the operation ended or a note. */
static uint32_t move_target(struct decide *d, const struct vm *vm, const struct op *o, uint32_t from,
                            char why[TEXT_SIZE])
{
    const struct place p = {.avoid = NODE_BIT(from), .prefer = o->to, .need_room = true};
    char reason[TEXT_SIZE];
    bool soon = false;
    uint32_t to = 0;

    if (!to_there_only(d, o)) {
        to = place_of(d, vm, &p, &soon, why);
    } else {
        to = place_fits(d, vm, o->to, &p, &soon, reason) ? o->to : 0;
        text_format(why, TEXT_SIZE, "node '%s': %.300s", decide_node_name(d, o->to), reason);
    }
    if (to == 0 && soon) {
        decide_note(d, "%s", why);
    } else if (to == 0) {
        end_failed(d, o, why);
    } else if (!move_slot(d, from, to)) {
        to = 0;
    } else {
        place_take(d, vm, to);
        if (to == o->to && own_choice(o) && !to_there_only(d, o)) {
            text_format(why, TEXT_SIZE, "%s", o->why);
        }
    }
    return to;
}

/* The proof is still to come, or under way. */
static bool locks_coming(const struct decide *d, const struct vm *vm, uint32_t x, uint32_t y)
{
    node_set both = NODE_BIT(x) | NODE_BIT(y);

    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(d->s, vm->disk[i]);

        if (v == NULL || (volume_provable(d, v) & both) != both) {
            return false;
        }
    }
    return vm->disks > 0 && !vm_locks_proven(d->s, vm, x, y);
}

static void run_live(struct decide *d, const struct vm *vm, const struct op *o)
{
    const struct claim *c = &vm->claim[0];
    char why[TEXT_SIZE];
    struct event *e;
    uint32_t to;

    if (vm->claims == 0) {
        end_failed(d, o, "the VM ended during its migration");
    } else if (c->obs == OBS_PAUSED) {
        bring_up(d, vm, o); /* arrived, or left behind paused: it exists here alone (C5) */
    } else if (c->node != o->from) {
        decide_op_end(d, o, OPS_DONE, "it runs on its new node");
    } else if (o->tries > 0 || o->cancel) {
        end_tried(d, o);
    } else {
        to = move_target(d, vm, o, c->node, why);
        if (to != 0 && d->s->opt.live_arrival == ARRIVE_DIRECT && locks_coming(d, vm, c->node, to)) {
            decide_note(d, "C5: whether image locks hold between nodes '%s' and '%s' is being proven",
                        decide_node_name(d, c->node), decide_node_name(d, to));
            return;
        }
        e = to ? emit_job(d, vm, JOB_MIGRATE, c->node, why) : NULL;
        if (e != NULL) {
            e->to = to;
            e->flags = d->s->opt.live_arrival == ARRIVE_DIRECT && vm_locks_proven(d->s, vm, c->node, to)
                           ? 0
                           : EVF_PAUSED;
        }
    }
}

static void run_quick(struct decide *d, const struct vm *vm, const struct op *o)
{
    const struct claim *c = &vm->claim[0];
    char why[TEXT_SIZE];
    struct event *e;
    uint32_t to;

    if (vm->claims == 0 && vm->saved.tag == 0) {
        end_failed(d, o, "the VM ended while it was saved or restored");
        return;
    }
    if (vm->claims == 0 || vm->saved.tag != 0 || (c->obs == OBS_RUNNING && c->node != o->from)) {
        bring_up(d, vm, o);
        return;
    }
    if (o->to == o->from) { /* no other node could take it once it was saved */
        end_failed(d, o, "it was restored on the node that it came from");
        return;
    }
    if (o->tries > 0 || o->cancel) {
        if (c->obs == OBS_PAUSED && o->tries < DRAIN_TRIES) {
            (void)emit_job(d, vm, JOB_RESUME, c->node, "S6: it was not saved, so it goes on where it is");
            return;
        }
        end_tried(d, o);
        return;
    }
    to = move_target(d, vm, o, c->node, why);
    e = to ? emit_job(d, vm, JOB_SAVE, c->node, why) : NULL;
    if (e != NULL) {
        e->to = to;
    }
}

static void run_stop(struct decide *d, const struct vm *vm, const struct op *o)
{
    struct event *e;

    if (vm->claims == 0) {
        if (vm->saved.tag != 0 && (vm->saved.consumed || (o->flags & EVF_FORCE) != 0)) {
            emit_vm(d, vm, EV_VOID,
                    vm->saved.consumed ? "C6: its saved state was consumed, and the VM is gone"
                                       : "an operator discards the saved state");
        } else {
            decide_op_end(d, o, OPS_DONE, "it is off");
        }
    } else if (o->cancel || o->tries >= 2) {
        end_tried(d, o);
    } else {
        e = emit_job(d, vm, JOB_STOP, vm->claim[0].node, o->tries ? "once more, by force" : "it is to stop");
        if (e != NULL) {
            e->flags = o->tries ? EVF_FORCE : o->flags & EVF_FORCE;
        }
    }
}

static void run_save(struct decide *d, const struct vm *vm, const struct op *o)
{
    if (vm->claims == 0) {
        if (vm->saved.tag != 0) {
            decide_op_end(d, o, OPS_DONE, "it is saved");
        } else {
            end_failed(d, o, "the VM ended while it was saved");
        }
    } else if (o->cancel || o->tries > 0) {
        if (vm->claim[0].obs == OBS_PAUSED && o->tries < DRAIN_TRIES) {
            (void)emit_job(d, vm, JOB_RESUME, vm->claim[0].node, "S6: it was not saved, so it goes on");
            return;
        }
        end_tried(d, o);
    } else {
        (void)emit_job(d, vm, JOB_SAVE, vm->claim[0].node, "an operator asked for it");
    }
}

static void run_reset(struct decide *d, const struct vm *vm, const struct op *o)
{
    if (vm->claims == 0) {
        end_failed(d, o, "the VM ended");
    } else if (o->tries > 0 || o->cancel) {
        end_tried(d, o);
    } else if (o->state == OPS_QUEUED) {
        (void)emit_job(d, vm, JOB_RESET, vm->claim[0].node, "an operator asked for it");
    } else {
        end_failed(d, o, "its node was lost before it said whether it was reset");
    }
}

static void emit_assign(struct decide *d, const struct vm *vm, uint32_t to, uint64_t op, const char *why)
{
    struct event *e = decide_emit(d, EV_ASSIGN, "%s", why);

    if (e != NULL) {
        e->to = to;
        e->id = op;
        text_copy(e->subject, sizeof e->subject, vm->name);
    }
}

/* A VM that is off leaves a node, for its own move (o) or a drain (op). */
static void assign(struct decide *d, const struct vm *vm, const struct op *o, uint32_t avoid, uint32_t prefer,
                   uint64_t op)
{
    const struct place p = {.avoid = avoid ? NODE_BIT(avoid) : 0, .prefer = prefer};
    char why[TEXT_SIZE], text[TEXT_SIZE];
    bool soon = false;
    uint32_t to = place_choose(d, vm, &p, &soon, why);

    if (to != 0) {
        text_format(text, sizeof text, "it is off, so only its owner changes; %.300s", why);
        emit_assign(d, vm, to, op, text);
        return;
    }
    decide_note(d, "%s", why);
    if (o != NULL && !soon) {
        end_failed(d, o, why);
    }
}

static void run_op(struct decide *d, const struct vm *vm, const struct op *o)
{
    switch (o->kind) {
    case OP_START:
        bring_up(d, vm, o);
        return;
    case OP_STOP:
        run_stop(d, vm, o);
        return;
    case OP_SAVE:
        run_save(d, vm, o);
        return;
    case OP_RESET:
        run_reset(d, vm, o);
        return;
    case OP_LIVE:
        run_live(d, vm, o);
        return;
    case OP_QUICK:
        run_quick(d, vm, o);
        return;
    case OP_MOVE:
        if (vm->claims != 0) {
            end_failed(d, o, "the VM is not off any more");
        } else {
            assign(d, vm, o, o->from, o->to, o->id);
        }
        return;
    case OP_NONE:
    case OP_DRAIN:
    case OP_RESUME:
    case OP_FENCE:
    case OP_CONFIRM:
    case OP_FENCE_TEST:
    case OP_VOLUME_REMOVE:
    case OP_NODE_ADD:
    case OP_NODE_REMOVE:
    case OP_KINDS:
        return;
    }
}

/* ---- without an operation: is it as it is wanted, and where it should be? ---- */

/* How it is to leave its node in a drain (REQ-F5), if it can be saved. OP_NONE: it may not move. */
static enum op_kind drain_wish(const struct decide *d, const struct vm *vm, const struct op *drain)
{
    if (vm->claim[0].obs != OBS_RUNNING) {
        return OP_QUICK;
    }
    if (vm->tries >= DRAIN_TRIES && strcmp(drain->blocked, "quick") == 0) {
        return OP_QUICK;
    }
    if (vm->tries >= DRAIN_TRIES || vm->set.migration == MIG_NONE) {
        return strcmp(drain->blocked, "shutdown") == 0 ? OP_STOP : OP_NONE;
    }
    if (drain->mode == MIG_QUICK || vm->set.migration == MIG_QUICK) {
        return OP_QUICK;
    }
    if (drain->mode == MIG_LIVE || vm->set.migration == MIG_LIVE) {
        return OP_LIVE;
    }
    return vm->set.priority <= d->s->opt.quick_priority ? OP_QUICK : OP_LIVE;
}

static enum op_kind drain_kind(const struct decide *d, const struct vm *vm, const struct op *drain)
{
    enum op_kind kind = drain_wish(d, vm, drain);

    if (kind != OP_QUICK || vm_savable(d->s, vm)) {
        return kind;
    }
    return vm->claim[0].obs == OBS_RUNNING && vm->tries < DRAIN_TRIES ? OP_LIVE : OP_NONE;
}

static const char *drain_obstacle(const struct vm *vm)
{
    return vm->set.migration == MIG_NONE ? "migration=none" : vm->error;
}

bool drain_blocked(struct decide *d, const struct vm *vm, const struct op *drain)
{
    const struct place p = {.avoid = NODE_BIT(drain->node), .need_room = vm->claims != 0};
    bool soon = false;
    char why[TEXT_SIZE];

    if (vm->op != 0 || vm->job != 0) {
        return false;
    }
    if (vm->claims != 0 && drain_kind(d, vm, drain) == OP_NONE) {
        decide_note(d, "%s", drain_obstacle(vm));
        return true;
    }
    if (place_of(d, vm, &p, &soon, why) == 0 && !soon) {
        decide_note(d, "%s", why);
        return true;
    }
    return false;
}

static void drain_vm(struct decide *d, const struct vm *vm, const struct op *drain)
{
    const struct place p = {.avoid = NODE_BIT(drain->node), .need_room = true};
    char why[TEXT_SIZE], text[TEXT_SIZE];
    bool soon = false;
    enum op_kind kind;
    uint32_t to;

    if (vm->claims == 0) {
        assign(d, vm, NULL, drain->node, 0, drain->id);
        return;
    }
    kind = drain_kind(d, vm, drain);
    if (kind == OP_NONE) {
        decide_note(d, "it is blocked in the drain of node '%s': %s", decide_node_name(d, drain->node),
                    drain_obstacle(vm));
        return;
    }
    if (kind == OP_STOP) {
        (void)begin_op(d, vm, kind, drain->id, drain->node, 0,
                       "its node is being drained and it cannot move: shut down");
        return;
    }
    to = place_of(d, vm, &p, &soon, why);
    if (to == 0) {
        decide_note(d, "it is to leave node '%s', but %s", decide_node_name(d, drain->node), why);
        return;
    }
    text_format(text, sizeof text, "its node is being drained: %s; %s",
                kind == OP_LIVE ? "live, by its priority" : "quick migration, by its priority or setting",
                why);
    (void)begin_op(d, vm, kind, drain->id, drain->node, to, text);
}

static void go_home(struct decide *d, const struct vm *vm, const struct op *resume)
{
    const struct place p = {.prefer = resume->node, .need_room = vm->claims != 0};
    bool soon = false, quick = vm->set.migration == MIG_QUICK || vm->set.priority <= d->s->opt.quick_priority;
    bool fits;
    char why[TEXT_SIZE];

    fits = vm->plan == resume->node || place_fits(d, vm, resume->node, &p, &soon, why);
    if (!fits) {
        decide_note(d, "it is to go home to node '%s', but %s", decide_node_name(d, resume->node), why);
        if (soon) {
            return;
        }
    }
    if (vm->claims == 0) {
        emit_assign(d, vm, fits ? resume->node : vm->owner, resume->id,
                    fits ? "it is off, so only its owner changes; failback: it goes home"
                         : "failback: its home cannot take it, so it belongs where it is now");
        return;
    }
    (void)begin_op(d, vm, quick && vm_savable(d->s, vm) ? OP_QUICK : OP_LIVE, resume->id, vm->claim[0].node,
                   resume->node, "failback: it goes home");
}

/* The drain or failback that this VM is part of, or NULL. */
static const struct op *node_op(const struct decide *d, uint32_t node, enum op_kind kind)
{
    const struct node *n = state_node(d->s, node);
    const struct op *o = n != NULL ? state_op(d->s, n->op) : NULL;

    return o != NULL && o->kind == kind && o->state < OPS_DONE ? o : NULL;
}

/* The node where it was cannot take it yet, but soon can (it joins, its volume is being mounted). */
static bool owner_soon(const struct decide *d, const struct vm *vm)
{
    const struct place p = {.need_room = true};
    char why[TEXT_SIZE];
    bool soon = false;

    return state_node(d->s, vm->owner) != NULL && (place_reachable(d, vm) & NODE_BIT(vm->owner)) == 0 &&
           !place_fits(d, vm, vm->owner, &p, &soon, why) && soon;
}

/* The cluster starts it again by itself when it is gone. */
static bool comes_back(const struct vm *vm)
{
    return vm->wanted == WANT_RUNNING && vm->set.priority != PRIO_NONE &&
           vm->restarts <= vm->set.restart_limit && vm->tries <= vm->set.restart_limit;
}

bool home_blocked(const struct decide *d, const struct vm *vm)
{
    const struct place p = {.need_room = true};
    bool soon = false;
    char why[TEXT_SIZE];

    return vm->claims == 0 && vm->op == 0 && comes_back(vm) &&
           (d->s->disarm.index != 0 || (place_of(d, vm, &p, &soon, why) == 0 && !soon));
}

/* Wanted running, and nowhere. */
static void recover(struct decide *d, const struct vm *vm)
{
    static const char wanted[] = "it is wanted running and exists nowhere (its claims are empty)";
    const struct place p = {.need_room = true};
    char why[TEXT_SIZE], text[TEXT_SIZE];
    bool soon = false, slot;
    uint32_t node;

    if (vm->set.priority == PRIO_NONE) {
        decide_note(d, "priority=none: it is never restarted by itself");
    } else if (vm->restarts > vm->set.restart_limit || vm->tries > vm->set.restart_limit) {
        decide_note(
            d, "restart_limit: it ended or failed to start %u times; start it by hand when that is mended",
            vm->restarts > vm->tries ? vm->restarts : vm->tries);
    } else if (decide_paused(d)) {
        return;
    } else if (vm->wait) {
        decide_note(d, "%s; the next try comes by itself", vm->error);
    } else if (vm->unit == 0 && owner_soon(d, vm)) {
        decide_note(d, "node '%s', where it was, is coming", decide_node_name(d, vm->owner));
    } else {
        node = place_of(d, vm, &p, &soon, why);
        if (node == 0) {
            decide_note(d, "%s", why);
        } else if (vm->saved.tag != 0 && vm->saved.consumed && !MUTANT(restored_twice)) {
            emit_vm(d, vm, EV_VOID,
                    "C6: its saved state was consumed and the VM is gone: it crashed, and starts cold");
        } else {
            /* Where no start is free there it has its place at least: those that need one are placed as a
             * set. */
            slot = d->starts[node] < d->s->opt.starts_per_node;
            text_format(text, sizeof text, "%s%s%s", wanted, slot ? "" : "; ", slot ? "" : why);
            place_take(d, vm, node);
            if (begin_op(d, vm, OP_START, 0, vm->owner, node, text) != NULL && slot) {
                /* In the same batch, so that a recovery costs one commit: it binds to the operation just
                 * begun. */
                launch(d, vm, node, why);
            }
        }
    }
}

static void without_op(struct decide *d, const struct vm *vm)
{
    const struct claim *c = &vm->claim[0];
    const struct op *o = node_op(d, vm->claims ? c->node : vm->owner, OP_DRAIN);

    if (o != NULL && !vm->wait) {
        drain_vm(d, vm, o);
        if (vm->claims != 0 || vm->wanted != WANT_RUNNING) {
            return;
        }
    }
    o = vm->home != 0 && vm->home != vm->owner ? node_op(d, vm->home, OP_RESUME) : NULL;
    if (o != NULL && !vm->wait && (vm->claims != 0 || !comes_back(vm))) { /* else it is started first */
        go_home(d, vm, o);
        return;
    }
    if (vm->claims == 0 || (MUTANT(launch_beside_a_claim) && !decide_ready(d, c->node))) {
        if (vm->wanted == WANT_RUNNING) {
            recover(d, vm);
        }
        return;
    }
    if (vm->wanted == WANT_RUNNING && c->obs == OBS_PAUSED && vm->tries > vm->set.restart_limit) {
        decide_note(d, "restart_limit: it could not be resumed; start it by hand when that is mended: %s",
                    vm->error);
    } else if (vm->wanted == WANT_RUNNING && c->obs == OBS_PAUSED && !vm->wait && !decide_paused(d)) {
        (void)begin_op(d, vm, OP_START, 0, c->node, c->node,
                       vm->saved.tag != 0 ? "it was restored and still stands paused"
                                          : "S6: it stands paused, and exists nowhere else");
    } else if ((vm->wanted == WANT_STOPPED || vm->wanted == WANT_SAVED) && !vm->wait &&
               vm->tries <= vm->set.restart_limit) {
        (void)begin_op(d, vm, OP_STOP, 0, c->node, 0, "it runs though it is wanted stopped");
    } else if (vm->wait) {
        decide_note(d, "%s", vm->error);
    }
}

/* ---- who needs a place in this round (placement.c) ---- */

/* It is on that node alone, and what it does there is known. */
static bool settled_on(const struct decide *d, const struct vm *vm, uint32_t node)
{
    const struct claim *c = &vm->claim[0];

    return vm->claims == 1 && c->node == node && (c->obs == OBS_RUNNING || c->obs == OBS_PAUSED) &&
           decide_ready(d, node);
}

static bool op_needs_place(const struct decide *d, const struct vm *vm, const struct op *o, struct place *p)
{
    bool usable = vm->saved.tag != 0 && !vm->saved.consumed, off = vm->claims == 0;

    if (o->cancel || vm->unseen != 0 || (o->recovery && d->s->disarm.index != 0)) {
        return false;
    }
    p->prefer = o->to;
    if (off && ((o->kind == OP_START && (usable || vm->saved.tag == 0)) || (o->kind == OP_QUICK && usable))) {
        p->tried = o->tried;
    } else if ((o->kind == OP_LIVE || o->kind == OP_QUICK) && o->tries == 0 && vm->saved.tag == 0 &&
               settled_on(d, vm, o->from) && !to_there_only(d, o)) {
        p->avoid = NODE_BIT(o->from);
    } else {
        return false;
    }
    /* What has its place keeps it for as long as that is one. */
    return o->to == 0 || (place_reachable(d, vm) & ~p->avoid & ~p->tried & NODE_BIT(o->to)) == 0 ||
           place_barred(d->s, &d->used, vm, o->to, NULL) != BAR_NONE;
}

static bool idle_needs_place(const struct decide *d, const struct vm *vm, struct place *p)
{
    uint32_t node = vm->claims ? vm->claim[0].node : vm->owner;
    const struct op *drain = node_op(d, node, OP_DRAIN);
    const struct op *resume = vm->home != 0 && vm->home != vm->owner ? node_op(d, vm->home, OP_RESUME) : NULL;

    if (vm->wait) {
        return false;
    }
    if (vm->claims == 0) {
        return d->s->disarm.index == 0 && comes_back(vm) && vm->unseen == 0 && !vm->saved.consumed &&
               !owner_soon(d, vm);
    }
    if (!settled_on(d, vm, node)) {
        return false;
    }
    if (drain != NULL) {
        enum op_kind kind = drain_kind(d, vm, drain);

        p->avoid = NODE_BIT(node);
        return kind == OP_LIVE || kind == OP_QUICK;
    }
    p->prefer = vm->home;
    p->only = vm->home ? NODE_BIT(vm->home) : 0;
    return resume != NULL;
}

bool decide_needs_place(const struct decide *d, const struct vm *vm, struct place *p)
{
    const struct op *o = vm->op ? state_op(d->s, vm->op) : NULL;

    memset(p, 0, sizeof *p);
    p->need_room = true;
    if (vm->job != 0) {
        return false;
    }
    return o != NULL ? op_needs_place(d, vm, o, p) : idle_needs_place(d, vm, p);
}

void decide_vm(struct decide *d, const struct vm *vm)
{
    const struct op *o = vm->op ? state_op(d->s, vm->op) : NULL;
    const struct job *j = vm->job ? state_job(d->s, vm->job) : NULL;

    d->note[0] = '\0';
    if (j != NULL) {
        decide_note(d, "%s on node '%s' is in flight", job_kind_key(j->kind), decide_node_name(d, j->node));
        return;
    }
    if (!is_clear(d, vm)) {
        return;
    }
    if (o != NULL) {
        run_op(d, vm, o);
    } else {
        without_op(d, vm);
    }
}
