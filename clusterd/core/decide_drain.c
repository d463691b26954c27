/* decide_drain.c - drains and failbacks (REQ-F5): a VM leaves its node or goes home, until all have. */
#include "core/decide.h"

#include <string.h>

/* ---- one VM ---- */

/* The drain or failback that this VM is part of, or NULL. */
const struct op *decide_node_op(const struct decide *d, uint32_t node, enum op_kind kind)
{
    const struct node *n = state_node(d->s, node);
    const struct op *o = n != NULL ? state_op(d->s, n->op) : NULL;

    return o != NULL && o->kind == kind && o->state < OPS_DONE ? o : NULL;
}

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

enum op_kind drain_kind(const struct decide *d, const struct vm *vm, const struct op *drain)
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

/* It keeps its node from being drained and will not leave it by itself; note says why. */
static bool drain_blocked(struct decide *d, const struct vm *vm, const struct op *drain)
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

void drain_vm(struct decide *d, const struct vm *vm, const struct op *drain)
{
    const struct place p = {.avoid = NODE_BIT(drain->node), .need_room = true};
    char why[TEXT_SIZE], text[TEXT_SIZE];
    bool soon = false;
    enum op_kind kind;
    uint32_t to;

    if (vm->claims == 0) {
        decide_assign(d, vm, NULL, drain->node, 0, drain->id);
        return;
    }
    kind = drain_kind(d, vm, drain);
    if (kind == OP_NONE) {
        decide_note(d, "it is blocked in the drain of node '%s': %s", decide_node_name(d, drain->node),
                    drain_obstacle(vm));
        return;
    }
    if (kind == OP_STOP) {
        (void)decide_emit_begin(d, vm, kind, drain->id, drain->node, 0,
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
    (void)decide_emit_begin(d, vm, kind, drain->id, drain->node, to, text);
}

void go_home(struct decide *d, const struct vm *vm, const struct op *resume)
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
        decide_emit_assign(d, vm, fits ? resume->node : vm->owner, resume->id,
                           fits ? "it is off, so only its owner changes; failback: it goes home"
                                : "failback: its home cannot take it, so it belongs where it is now");
        return;
    }
    (void)decide_emit_begin(d, vm, quick && vm_savable(d->s, vm) ? OP_QUICK : OP_LIVE, resume->id,
                            vm->claim[0].node, resume->node, "failback: it goes home");
}

/* It would go home when it runs, and nothing can start it now: a failback does not wait for it (L2). */
static bool home_blocked(const struct decide *d, const struct vm *vm)
{
    const struct place p = {.need_room = true};
    bool soon = false;
    char why[TEXT_SIZE];

    return vm->claims == 0 && vm->op == 0 && vm_comes_back(vm) &&
           (d->s->disarm.index != 0 || (place_of(d, vm, &p, &soon, why) == 0 && !soon));
}

/* ---- the node ---- */

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

void decide_drain(struct decide *d, const struct op *o)
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

void decide_resume(struct decide *d, const struct op *o)
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
