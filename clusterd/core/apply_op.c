/* apply_op.c - operations begin and end; the small decisions about a VM without an agent. */
#include "core/apply.h"
#include "core/transition.h"

#include <string.h>

#include "common/mutant.h"

struct op *op_new(struct apply *a, enum op_kind kind, const char *subject)
{
    struct op *o = state_add_op(a->s, a->index, kind);

    if (o != NULL) {
        text_copy(o->subject, sizeof o->subject, subject);
        text_copy(o->by, sizeof o->by, a->e->by);
        text_copy(o->why, sizeof o->why, a->e->why);
        o->started_ms = a->e->time_ms;
        o->flags = a->e->flags;
        a->out->op = o->id;
    }
    return o;
}

/* Who cancels a start, a stop or a save wants the VM as it is now; else the cluster would begin it anew by
 * itself. */
static void want_as_it_is(struct vm *vm, enum op_kind kind)
{
    if (kind == OP_START && vm->claims == 0) {
        vm->wanted = vm->saved.tag != 0 && !vm->saved.consumed ? WANT_SAVED : WANT_STOPPED;
    } else if ((kind == OP_STOP || kind == OP_SAVE) && vm->claims != 0) {
        vm->wanted = WANT_RUNNING;
    }
}

/* A drain or failback is cancelled: what has not begun of it does not. */
static void parts_cancel(struct apply *a, uint64_t parent)
{
    for (unsigned i = 0; i < a->s->ops; i++) {
        if (a->s->op[i].parent == parent && a->s->op[i].state == OPS_QUEUED) {
            op_finish(a, &a->s->op[i], OPS_CANCELLED, "what it was part of was cancelled");
        }
    }
}

void op_finish(struct apply *a, struct op *o, enum op_state st, const char *error)
{
    struct vm *vm = state_vm(a->s, o->subject);

    op_become(a, o, st);
    o->ended_ms = a->e->time_ms;
    o->error[0] = '\0';
    if (st != OPS_DONE) {
        text_copy(o->error, sizeof o->error, error);
    }
    if (vm != NULL && vm->op == o->id) {
        vm->op = 0;
        vm->changed = a->index;
        if (o->cancel && st == OPS_CANCELLED) {
            want_as_it_is(vm, o->kind);
        }
        if (vm->home == vm->owner) {
            vm->home = 0;
        }
    }
    if (st == OPS_CANCELLED) {
        parts_cancel(a, o->id);
    }
    for (unsigned i = 0; o->kind == OP_RESUME && i < a->s->vms; i++) {
        if (a->s->vm[i]->home == o->node) {
            a->s->vm[i]->home = 0; /* back, or it stays where it is */
        }
    }
    if (o->kind == OP_FENCE && state_node(a->s, o->node) != NULL) {
        a->s->node[o->node].fence_wanted = false; /* not done, or done: a node that lives may come back */
    }
    if (state_node(a->s, o->node) != NULL && a->s->node[o->node].op == o->id) {
        a->s->node[o->node].op = 0;
    }
}

void op_end_of_node(struct apply *a, uint32_t node, enum op_kind kind, enum op_state st, const char *error)
{
    for (unsigned i = 0; i < a->s->ops; i++) {
        struct op *o = &a->s->op[i];

        if (o->kind == kind && o->node == node && o->state < OPS_DONE) {
            op_finish(a, o, st, error);
        }
    }
}

int apply_op_begin(struct apply *a)
{
    const struct event *e = a->e;
    struct vm *vm = state_vm(a->s, e->subject);
    struct op *o, *parent = e->id ? state_op(a->s, e->id) : NULL;

    if (vm == NULL || vm->op != 0 || vm->job != 0) {
        return reject(a, RC_REFUSED, "VM '%s' is gone or busy", e->subject);
    }
    if (e->id != 0 && (parent == NULL || parent->state >= OPS_DONE)) {
        return reject(a, RC_REFUSED, "the operation that this one would serve has ended");
    }
    if (e->num < OP_START || e->num > OP_MOVE) {
        return reject(a, RC_BAD_INPUT, "not an operation of a VM");
    }
    if (e->id == 0 && e->num == OP_START && a->s->disarm.index != 0 && !MUTANT(recover_while_disarmed)) {
        return reject(a, RC_REFUSED, "N4: high availability is paused, so VM '%s' is not started by itself",
                      vm->name);
    }
    if (parent != NULL && parent->kind == OP_DRAIN) {
        vm->home = parent->node; /* resume brings it back */
    }
    o = op_new(a, (enum op_kind)e->num, vm->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->parent = e->id;
    o->from = e->node;
    o->to = e->to;
    o->recovery = e->id == 0;
    vm->wait = false;
    vm->op = o->id;
    vm->changed = a->index;
    return 0;
}

int apply_op_end(struct apply *a)
{
    struct op *o = state_op(a->s, a->e->id), *parent;
    struct vm *vm;

    if (o == NULL || o->state >= OPS_DONE || a->e->num < OPS_DONE || a->e->num >= OPS_STATES) {
        return reject(a, RC_REFUSED, "that operation has ended");
    }
    if (op_move_wrong(o->state, (enum op_state)a->e->num) != NULL) {
        return reject(a, RC_BAD_INPUT, "an operation does not end like that"); /* nothing decides so */
    }
    vm = state_vm(a->s, o->subject);
    parent = state_op(a->s, o->parent);
    if (vm != NULL && vm->op == o->id) {
        if (vm->job != 0) {
            return reject(a, RC_REFUSED, "that operation has a job in flight");
        }
        if (a->e->num != OPS_DONE) {
            /* that somebody cancelled it is no error of the VM */
            text_copy(vm->error, sizeof vm->error, o->cancel ? "" : a->e->text);
            if (o->kind == OP_SAVE && vm->claims != 0) {
                vm->wanted = WANT_RUNNING; /* it was not saved, so it goes on */
            }
            if (parent != NULL && parent->kind == OP_RESUME) {
                vm->home = 0; /* it could not go home; it stays where it is */
            }
            vm->wait = vm->tries > 0; /* a next try of the cluster's own waits a little */
        } else {
            vm->wait = false;
            vm->tries = 0;
            vm->error[0] = '\0'; /* of a try before the one that went well */
        }
        if (vm->claims == 1) {
            vm->owner = vm->claim[0].node;
        }
    }
    op_finish(a, o, (enum op_state)a->e->num, a->e->text);
    return 0;
}

int apply_consume(struct apply *a)
{
    struct vm *vm = state_vm(a->s, a->e->subject);

    /* C6, S7: committed before it may run; from here on the file is never restored again. */
    if (vm == NULL || vm->saved.tag == 0 || vm->saved.consumed || vm->claims != 1 || vm->job != 0 ||
        vm->claim[0].obs != OBS_PAUSED) {
        return reject(a, RC_REFUSED, "VM '%s' has no restored state that waits to be consumed",
                      a->e->subject);
    }
    vm->saved.consumed = true;
    vm->changed = a->index;
    return 0;
}

int apply_void(struct apply *a)
{
    struct vm *vm = state_vm(a->s, a->e->subject);
    struct op *o = vm ? state_op(a->s, vm->op) : NULL;
    bool word = o != NULL && o->kind == OP_STOP && (o->flags & EVF_FORCE) != 0;

    /* S7: a saved state is discarded only when the VM has crashed since it was consumed, or on an operator's
     * explicit word. */
    if (vm == NULL || vm->saved.tag == 0 || vm->claims != 0 || vm->job != 0 ||
        (!vm->saved.consumed && !word && !MUTANT(state_discarded))) {
        return reject(a, RC_REFUSED, "the saved state of VM '%s' may not be discarded", a->e->subject);
    }
    memset(&vm->saved, 0, sizeof vm->saved);
    vm->changed = a->index;
    return 0;
}

int apply_assign(struct apply *a)
{
    struct vm *vm = state_vm(a->s, a->e->subject);
    struct op *o, *parent = state_op(a->s, a->e->id);

    if (vm == NULL || vm->claims != 0 || vm->job != 0 || state_node(a->s, a->e->to) == NULL) {
        return reject(a, RC_REFUSED, "VM '%s' is gone, or is not off", a->e->subject);
    }
    if (parent != NULL && (parent->kind == OP_DRAIN || parent->kind == OP_RESUME)) {
        vm->home = parent->kind == OP_DRAIN ? parent->node : 0;
    }
    vm->owner = a->e->to;
    vm->changed = a->index;
    if (vm->home == vm->owner) {
        vm->home = 0;
    }
    o = state_op(a->s, vm->op);
    if (o != NULL && o->kind == OP_MOVE) {
        o->to = a->e->to;
        op_finish(a, o, OPS_DONE, NULL);
    }
    return 0;
}

int apply_node_drained(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    struct op *o;

    if (n == NULL || n->mode != MODE_DRAINING) {
        return reject(a, RC_REFUSED, "node %u is not being drained", a->e->node);
    }
    for (unsigned i = 0; i < a->s->vms; i++) {
        if (vm_claim(a->s->vm[i], n->id) != NULL || a->s->vm[i]->owner == n->id) {
            return reject(a, RC_REFUSED, "node '%s' still has VM '%s'", n->name, a->s->vm[i]->name);
        }
    }
    n->mode = MODE_DRAINED;
    o = state_op(a->s, n->op);
    if (o != NULL) {
        op_finish(a, o, OPS_DONE, NULL);
    }
    return 0;
}

int apply_node_confirmed(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    struct op *o = state_op(a->s, a->e->id);

    /* N1, S3: the operator's word counts for the loss for which it was given. */
    if (n == NULL || o == NULL || o->kind != OP_CONFIRM || o->node != n->id || o->state >= OPS_DONE ||
        n->state != NODE_UNCLEAN || n->loss == 0 || n->loss >= o->id) {
        return reject(a, RC_REFUSED, "node %u does not wait for that confirmation", a->e->node);
    }
    node_down(a, n, false);
    op_finish(a, o, OPS_DONE, NULL);
    return 0;
}
