/*
 * mobility.c - what to do about one VM: start, stop, save, move, recover, and clear up what went wrong.
 *
 * It looks at three things: what is wanted, where the VM may exist (its claims and what was last seen there),
 * and the operation that is under way. It is asked again after every change, so each function does the one
 * next step.
 */
#include "core/decide.h"

#include <string.h>

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
    e = decide_emit_job(d, vm, JOB_STOP, c->node, why);
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
            (void)decide_emit_job(d, vm, JOB_PROBE, c->node, "C1: whether it exists there is not known");
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

/* ---- without an operation: is it as it is wanted, and where it should be? ---- */

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
bool vm_comes_back(const struct vm *vm)
{
    return vm->wanted == WANT_RUNNING && vm->set.priority != PRIO_NONE &&
           vm->restarts <= vm->set.restart_limit && vm->tries <= vm->set.restart_limit;
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
            decide_emit_vm(
                d, vm, EV_VOID,
                "C6: its saved state was consumed and the VM is gone: it crashed, and starts cold");
        } else {
            /* Where no start is free there it has its place at least: those that need one are placed as a
             * set. */
            slot = d->starts[node] < d->s->opt.starts_per_node;
            text_format(text, sizeof text, "%s%s%s", wanted, slot ? "" : "; ", slot ? "" : why);
            place_take(d, vm, node);
            if (decide_emit_begin(d, vm, OP_START, 0, vm->owner, node, text) != NULL && slot) {
                /* In the same batch, so that a recovery costs one commit: it binds to the operation just
                 * begun. */
                decide_launch(d, vm, node, why);
            }
        }
    }
}

static void without_op(struct decide *d, const struct vm *vm)
{
    const struct claim *c = &vm->claim[0];
    const struct op *o = decide_node_op(d, vm->claims ? c->node : vm->owner, OP_DRAIN);

    if (o != NULL && !vm->wait) {
        drain_vm(d, vm, o);
        if (vm->claims != 0 || vm->wanted != WANT_RUNNING) {
            return;
        }
    }
    o = vm->home != 0 && vm->home != vm->owner ? decide_node_op(d, vm->home, OP_RESUME) : NULL;
    if (o != NULL && !vm->wait && (vm->claims != 0 || !vm_comes_back(vm))) { /* else it is started first */
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
        (void)decide_emit_begin(d, vm, OP_START, 0, c->node, c->node,
                                vm->saved.tag != 0 ? "it was restored and still stands paused"
                                                   : "S6: it stands paused, and exists nowhere else");
    } else if ((vm->wanted == WANT_STOPPED || vm->wanted == WANT_SAVED) && !vm->wait &&
               vm->tries <= vm->set.restart_limit) {
        (void)decide_emit_begin(d, vm, OP_STOP, 0, c->node, 0, "it runs though it is wanted stopped");
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
               settled_on(d, vm, o->from) && !op_to_there_only(d->s, o)) {
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
    const struct op *drain = decide_node_op(d, node, OP_DRAIN);
    const struct op *resume =
        vm->home != 0 && vm->home != vm->owner ? decide_node_op(d, vm->home, OP_RESUME) : NULL;

    if (vm->wait) {
        return false;
    }
    if (vm->claims == 0) {
        return d->s->disarm.index == 0 && vm_comes_back(vm) && vm->unseen == 0 && !vm->saved.consumed &&
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
        decide_vm_op(d, vm, o);
    } else {
        without_op(d, vm);
    }
}
