/*
 * decide_op.c - the next step of an operation of one VM: start, stop, save, reset, move. The VM's claims are
 * clear (mobility.c).
 */
#include "core/decide.h"

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

void decide_launch(struct decide *d, const struct vm *vm, uint32_t node, const char *why)
{
    enum job_kind kind = vm->saved.tag != 0 ? JOB_RESTORE : JOB_START;

    place_take(d, vm, node);
    if (start_slot(d, node)) {
        (void)decide_emit_job(d, vm, kind, node, why);
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
        decide_emit_vm(d, vm, EV_VOID,
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
        decide_launch(d, vm, node, node == o->to && own_choice(o) ? o->why : why);
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
        decide_emit_vm(d, vm, EV_CONSUME, "C6: restored and paused; consumed before it may run (S7)");
    } else if (o->tries >= DRAIN_TRIES) {
        end_tried(d, o);
    } else if (o->cancel || !conflict_waits(d, vm)) {
        (void)decide_emit_job(d, vm, JOB_RESUME, c->node, "it is there, paused, and nowhere else");
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
bool op_to_there_only(const struct state *s, const struct op *o)
{
    const struct op *parent = state_op(s, o->parent);

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

    if (!op_to_there_only(d->s, o)) {
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
        if (to == o->to && own_choice(o) && !op_to_there_only(d->s, o)) {
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
        e = to ? decide_emit_job(d, vm, JOB_MIGRATE, c->node, why) : NULL;
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
            (void)decide_emit_job(d, vm, JOB_RESUME, c->node,
                                  "S6: it was not saved, so it goes on where it is");
            return;
        }
        end_tried(d, o);
        return;
    }
    to = move_target(d, vm, o, c->node, why);
    e = to ? decide_emit_job(d, vm, JOB_SAVE, c->node, why) : NULL;
    if (e != NULL) {
        e->to = to;
    }
}

static void run_stop(struct decide *d, const struct vm *vm, const struct op *o)
{
    struct event *e;

    if (vm->claims == 0) {
        if (vm->saved.tag != 0 && (vm->saved.consumed || (o->flags & EVF_FORCE) != 0)) {
            decide_emit_vm(d, vm, EV_VOID,
                           vm->saved.consumed ? "C6: its saved state was consumed, and the VM is gone"
                                              : "an operator discards the saved state");
        } else {
            decide_op_end(d, o, OPS_DONE, "it is off");
        }
    } else if (o->cancel || o->tries >= 2) {
        end_tried(d, o);
    } else {
        e = decide_emit_job(d, vm, JOB_STOP, vm->claim[0].node,
                            o->tries ? "once more, by force" : "it is to stop");
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
            (void)decide_emit_job(d, vm, JOB_RESUME, vm->claim[0].node,
                                  "S6: it was not saved, so it goes on");
            return;
        }
        end_tried(d, o);
    } else {
        (void)decide_emit_job(d, vm, JOB_SAVE, vm->claim[0].node, "an operator asked for it");
    }
}

static void run_reset(struct decide *d, const struct vm *vm, const struct op *o)
{
    if (vm->claims == 0) {
        end_failed(d, o, "the VM ended");
    } else if (o->tries > 0 || o->cancel) {
        end_tried(d, o);
    } else if (o->state == OPS_QUEUED) {
        (void)decide_emit_job(d, vm, JOB_RESET, vm->claim[0].node, "an operator asked for it");
    } else {
        end_failed(d, o, "its node was lost before it said whether it was reset");
    }
}

/* A VM that is off leaves a node, for its own move (o) or a drain (op). */
void decide_assign(struct decide *d, const struct vm *vm, const struct op *o, uint32_t avoid, uint32_t prefer,
                   uint64_t op)
{
    const struct place p = {.avoid = avoid ? NODE_BIT(avoid) : 0, .prefer = prefer};
    char why[TEXT_SIZE], text[TEXT_SIZE];
    bool soon = false;
    uint32_t to = place_choose(d, vm, &p, &soon, why);

    if (to != 0) {
        text_format(text, sizeof text, "it is off, so only its owner changes; %.300s", why);
        decide_emit_assign(d, vm, to, op, text);
        return;
    }
    decide_note(d, "%s", why);
    if (o != NULL && !soon) {
        end_failed(d, o, why);
    }
}

void decide_vm_op(struct decide *d, const struct vm *vm, const struct op *o)
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
            decide_assign(d, vm, o, o->from, o->to, o->id);
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
