/* apply_command.c - what an operator asked for: checked, refused with a reason, or begun. */
#include "core/apply.h"

#include <string.h>

#include "common/mutant.h"

struct node *the_node(struct apply *a, uint32_t id)
{
    struct node *n = state_node(a->s, id);

    if (n == NULL) {
        (void)reject(a, RC_NOT_FOUND, "there is no node %u", id);
        advise(a, "clusterctl node list shows them");
    }
    return n;
}

/* ---- options and nodes ---- */

static int cmd_option_set(struct apply *a)
{
    struct options o = a->s->opt;

    for (unsigned i = 0; i < a->e->kvs; i++) {
        int rc = options_set(&o, a->s->level, a->e->kv[i].key, a->e->kv[i].value, &a->out->err);

        if (rc != 0) {
            return a->out->rc = rc;
        }
    }
    a->s->opt = o;
    return 0;
}

static int cmd_node_drain(struct apply *a)
{
    struct node *n = the_node(a, a->e->node);
    const char *mode = event_get(a->e, "mode"), *blocked = event_get(a->e, "blocked");
    struct op *o;

    if (n == NULL) {
        return a->out->rc;
    }
    if (n->mode == MODE_DRAINED) {
        return reject(a, RC_REFUSED, "node '%s' is drained already", n->name);
    }
    if (n->op != 0) {
        (void)reject(a, RC_REFUSED, "node '%s' is busy with operation %llu", n->name,
                     (unsigned long long)n->op);
        advise(a, "clusterctl ops cancel %llu ends it", (unsigned long long)n->op);
        return RC_REFUSED;
    }
    o = op_new(a, OP_DRAIN, "");
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->node = n->id;
    o->mode = mode == NULL ? MIG_AUTO : strcmp(mode, "quick") == 0 ? MIG_QUICK : MIG_LIVE;
    text_copy(o->blocked, sizeof o->blocked, blocked ? blocked : "wait");
    op_become(a, o, OPS_RUNNING);
    n->op = o->id;
    n->mode = MODE_DRAINING;
    for (unsigned i = 0; i < a->s->vms; i++) {
        if (a->s->vm[i]->owner == n->id) {
            a->s->vm[i]->tries = 0;
            a->s->vm[i]->wait = false;
        }
    }
    return 0;
}

static int cmd_node_resume(struct apply *a)
{
    struct node *n = the_node(a, a->e->node);
    const char *failback = event_get(a->e, "failback");
    bool now = failback != NULL && strcmp(failback, "now") == 0;
    struct op *o = NULL, *old;

    if (n == NULL) {
        return a->out->rc;
    }
    if (n->mode == MODE_ACTIVE) {
        return reject(a, RC_REFUSED, "node '%s' is active already", n->name);
    }
    if (node_is_leaving(a->s, n)) {
        return reject(a, RC_REFUSED, "node '%s' is being removed", n->name);
    }
    if (now) {
        o = op_new(a, OP_RESUME, "");
        if (o == NULL) {
            return reject(a, RC_NO_MEMORY, "out of memory");
        }
        o->node = n->id;
        op_become(a, o, OPS_RUNNING);
    }
    old = state_op(a->s, n->op);
    if (old != NULL) {
        uint64_t id = o ? o->id : 0;

        op_finish(a, old, OPS_CANCELLED, "the node was resumed");
        o = state_op(a->s, id);
    }
    n->op = o ? o->id : 0;
    n->mode = MODE_ACTIVE;
    for (unsigned i = 0; !now && i < a->s->vms; i++) {
        if (a->s->vm[i]->home == n->id) {
            a->s->vm[i]->home = 0; /* failback no: they stay where they are */
        }
    }
    return 0;
}

static bool has_fence_device(const struct state *s, uint32_t node)
{
    for (unsigned i = 0; i < s->fences; i++) {
        if ((s->fence[i]->nodes & NODE_BIT(node)) != 0) {
            return true;
        }
    }
    return false;
}

static int cmd_node_fence(struct apply *a)
{
    struct node *n = the_node(a, a->e->node);
    struct op *o;

    if (n == NULL) {
        return a->out->rc;
    }
    if (!has_fence_device(a->s, n->id)) {
        (void)reject(a, RC_REFUSED, "no fence device reaches node '%s'", n->name);
        advise(a, "add one with clusterctl fence add");
        return RC_REFUSED;
    }
    if (n->state == NODE_OFFLINE) {
        return reject(a, RC_REFUSED, "node '%s' is offline already", n->name);
    }
    if (!node_has_others(a->s, n->id)) { /* L2: it would be lost, with its VMs, and nobody could end that */
        (void)reject(a, RC_REFUSED, "no other node is there that could fence node '%s'", n->name);
        advise(a, "stop its VMs, then switch it off by hand");
        return RC_REFUSED;
    }
    o = op_new(a, OP_FENCE, "");
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->node = n->id;
    op_become(a, o, OPS_RUNNING);
    n->fence_wanted = true;
    n->fence_wait = false;
    n->fence_tries = 0; /* the order's own tries are counted */
    if (n->state != NODE_UNCLEAN) {
        node_lose(a, n, NODE_UNCLEAN); /* by order: from now on it is lost, like one that fell silent */
    }
    return 0;
}

static int cmd_node_confirm_down(struct apply *a)
{
    struct node *n = the_node(a, a->e->node);
    struct op *o;

    if (n == NULL) {
        return a->out->rc;
    }
    if (n->state != NODE_UNCLEAN && n->state != NODE_GRACE) {
        (void)reject(a, RC_REFUSED, "node '%s' is %s, not lost: there is nothing to confirm", n->name,
                     node_state_key(a->s, n));
        return RC_REFUSED;
    }
    o = op_new(a, OP_CONFIRM, "");
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->node = n->id;
    op_become(a, o, OPS_RUNNING);
    return 0;
}

static int cmd_op_cancel(struct apply *a)
{
    struct op *o = state_op(a->s, a->e->id);
    struct vm *vm;
    struct volume *v;
    struct node *n;

    if (o == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no operation %llu", (unsigned long long)a->e->id);
    }
    if (o->state >= OPS_DONE) {
        return reject(a, RC_REFUSED, "operation %llu has ended", (unsigned long long)o->id);
    }
    vm = state_vm(a->s, o->subject);
    v = o->kind == OP_VOLUME_REMOVE ? state_volume(a->s, o->subject) : NULL;
    if (o->kind == OP_NODE_ADD || o->kind == OP_NODE_REMOVE) {
        return reject(a, RC_REFUSED, "operation %llu changes the members, which ends by itself",
                      (unsigned long long)o->id);
    }
    a->out->op = o->id;
    o->cancel = true;
    if (v != NULL) {
        v->removing = false; /* it is mounted again where it was taken away */
    }
    if (o->kind == OP_DRAIN) {
        n = state_node(a->s, o->node);
        if (n != NULL) {
            n->mode = MODE_ACTIVE;
        }
        op_finish(a, o, OPS_CANCELLED, "cancelled by the operator");
    } else if (vm == NULL || vm->op != o->id || vm->job == 0) {
        op_finish(a, o, OPS_CANCELLED, "cancelled by the operator");
    } /* else the job in flight ends first; decide ends the operation then */
    return 0;
}

/* ---- high availability pauses (N4) ---- */

static int cmd_disarm(struct apply *a)
{
    uint64_t ms = event_get_u64(a->e, "for_ms", 0);

    if (ms > DISARM_MS_MAX) {
        return reject(a, RC_USAGE, "high availability pauses for %u days at most",
                      (unsigned)(DISARM_MS_MAX / 86400000));
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(a->s, id);

        if (n != NULL && n->state == NODE_UNCLEAN && !MUTANT(disarm_over_unclean)) {
            (void)reject(a, RC_REFUSED,
                         "N4: node '%s' is %s: its VMs would stay down for as long as nothing is fenced",
                         n->name, node_state_key(a->s, n));
            advise(a,
                   "wait for its fence, bring it back, or confirm that its power is off (clusterctl node "
                   "confirm-down %s)",
                   n->name);
            return RC_REFUSED;
        }
    }
    a->s->disarm.index = a->index;
    a->s->disarm.ms = (uint32_t)ms;
    a->s->disarm.since_ms = a->e->time_ms;
    text_copy(a->s->disarm.by, sizeof a->s->disarm.by, a->e->by);
    return 0;
}

static int cmd_arm(struct apply *a)
{
    if (a->s->disarm.index == 0) {
        return reject(a, RC_REFUSED, "high availability is not paused: the cluster is armed");
    }
    memset(&a->s->disarm, 0, sizeof a->s->disarm);
    return 0;
}

int apply_command(struct apply *a)
{
    static int (*const commands[EV_COUNT])(struct apply *) = {
        [EV_CMD_OPTION_SET] = cmd_option_set,
        [EV_CMD_NODE_DRAIN] = cmd_node_drain,
        [EV_CMD_NODE_RESUME] = cmd_node_resume,
        [EV_CMD_NODE_FENCE] = cmd_node_fence,
        [EV_CMD_NODE_CONFIRM_DOWN] = cmd_node_confirm_down,
        [EV_CMD_VM_ADD] = cmd_vm_add,
        [EV_CMD_VM_REMOVE] = cmd_vm_remove,
        [EV_CMD_VM_SET] = cmd_vm_set,
        [EV_CMD_VM_START] = cmd_vm_start,
        [EV_CMD_VM_STOP] = cmd_vm_stop,
        [EV_CMD_VM_RESET] = cmd_vm_reset,
        [EV_CMD_VM_MIGRATE] = cmd_vm_migrate,
        [EV_CMD_VOLUME_ADD] = cmd_volume_add,
        [EV_CMD_VOLUME_REMOVE] = cmd_volume_remove,
        [EV_CMD_FENCE_ADD] = cmd_fence_add,
        [EV_CMD_FENCE_REMOVE] = cmd_fence_remove,
        [EV_CMD_FENCE_TEST] = cmd_fence_test,
        [EV_CMD_OP_CANCEL] = cmd_op_cancel,
        [EV_CMD_DISARM] = cmd_disarm,
        [EV_CMD_ARM] = cmd_arm,
        [EV_CMD_RULE_ADD] = cmd_rule_add,
        [EV_CMD_RULE_REMOVE] = cmd_rule_remove,
        [EV_CMD_NODE_ADD] = cmd_node_add,
        [EV_CMD_NODE_REMOVE] = cmd_node_remove,
    };

    return commands[a->e->kind](a);
}
