/*
 * apply_member.c - nodes that are added, removed, or given up.
 *
 * The journal's set of voters is the journal's own (A9). What stands here is what an operator wants of it, as
 * an operation that lasts until the journal has done it: so a new coordinator finishes what an old one began.
 */
#include "core/apply.h"

#include "common/mutant.h"

#include <string.h>

/* Addresses as corosync takes them, one for each link, separated by commas. Source: corosync.conf(5). */
static bool address_ok(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_%";
    bool begin = true;

    if (text == NULL || strlen(text) >= ADDRESS_SIZE) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text == ',' ? begin : strchr(letters, *text) == NULL) {
            return false;
        }
        begin = *text == ',';
    }
    return !begin;
}

int apply_node_address(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    const char *address = event_get(a->e, "address");

    if (n == NULL || n->id != a->e->origin || !address_ok(address)) {
        return reject(a, RC_BAD_INPUT, "node %u tells no address", a->e->node);
    }
    text_copy(n->address, sizeof n->address, address);
    return 0;
}

static struct op *begin(struct apply *a, struct node *n, enum op_kind kind)
{
    struct op *o = op_new(a, kind, "");

    if (o == NULL) {
        (void)reject(a, RC_NO_MEMORY, "out of memory");
        return NULL;
    }
    o->node = n->id;
    op_become(a, o, OPS_RUNNING);
    return o;
}

int cmd_node_add(struct apply *a)
{
    const char *address = event_get(a->e, "address");
    struct node *n = &a->s->node[a->e->node];
    struct op *o;

    if (a->e->node == 0 || a->e->subject[0] == '\0' || !address_ok(address)) {
        (void)reject(a, RC_USAGE, "a node needs a name, an id from 1 to %d and an address", NODES_MAX);
        advise(a, "an address is what corosync.conf takes; one for each link, separated by commas");
        return RC_USAGE;
    }
    if (state_node_by_name(a->s, a->e->subject) != NULL) {
        return reject(a, RC_REFUSED, "there is a node '%s' already", a->e->subject);
    }
    if (n->id != 0) {
        return reject(a, RC_REFUSED, "node %u is '%s' already", n->id, n->name);
    }
    memset(n, 0, sizeof *n);
    n->id = a->e->node;
    o = begin(a, n, OP_NODE_ADD);
    if (o == NULL) {
        n->id = 0;
        return a->out->rc;
    }
    text_copy(n->name, sizeof n->name, a->e->subject);
    text_copy(n->address, sizeof n->address, address);
    n->op = o->id;
    return 0;
}

/* Nothing may be forgotten of a node while something of it may live (C1). */
static int check_empty(struct apply *a, const struct node *n)
{
    for (unsigned i = 0; i < a->s->vms; i++) {
        const struct vm *vm = a->s->vm[i];
        bool from = false;

        for (unsigned k = 0; k < vm->claims; k++) {
            from = from || vm->claim[k].from == n->id;
        }
        if ((vm->unseen & NODE_BIT(n->id)) != 0 && !MUTANT(remove_with_claims)) {
            (void)reject(a, RC_REFUSED, "C1: node '%s' has not said yet whether it runs VM '%s'", n->name,
                         vm->name);
            advise(a, "try again in a moment");
            return RC_REFUSED;
        }
        if ((vm_claim(vm, n->id) != NULL || from) && !MUTANT(remove_with_claims)) {
            (void)reject(a, RC_REFUSED, "C1: VM '%s' may run on node '%s'", vm->name, n->name);
            advise(a, "clusterctl node drain %s", n->name);
            return RC_REFUSED;
        }
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        const struct job *j = &a->s->job[i];
        bool fences = j->kind == JOB_FENCE || j->kind == JOB_FENCE_STATUS;

        if (j->to == n->id || (j->node == n->id && fences)) {
            (void)reject(a, RC_REFUSED, "node '%s' still has a job in flight: %s '%s'", n->name,
                         job_kind_key(j->kind), j->subject);
            advise(a, "try again when it has ended");
            return RC_REFUSED;
        }
    }
    return 0;
}

/* No possible owner left would mean any (RULE_OWNERS). Others that are being removed are none any more. */
static int check_rules(struct apply *a, const struct node *n)
{
    node_set leaving = NODE_BIT(n->id) | state_leaving(a->s);

    for (unsigned i = 0; i < a->s->rules; i++) {
        const struct rule *r = a->s->rule[i];

        if ((r->possible & NODE_BIT(n->id)) != 0 && (r->possible & ~leaving) == 0) {
            (void)reject(a, RC_REFUSED, "rule %llu leaves no possible owner but node '%s'",
                         (unsigned long long)r->id, n->name);
            advise(a, "clusterctl rule remove %llu", (unsigned long long)r->id);
            return RC_REFUSED;
        }
    }
    return 0;
}

int cmd_node_remove(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    unsigned others = 0;
    struct op *o;

    if (n == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no node %u", a->e->node);
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        others += id != n->id && a->s->node[id].id != 0;
    }
    if (others == 0) {
        return reject(a, RC_REFUSED, "node '%s' is the last one", n->name);
    }
    if (n->op != 0) {
        (void)reject(a, RC_REFUSED, "node '%s' is busy with operation %llu", n->name,
                     (unsigned long long)n->op);
        advise(a, "wait for it with clusterctl ops wait %llu", (unsigned long long)n->op);
        return RC_REFUSED;
    }
    if (n->state == NODE_ONLINE && n->mode != MODE_DRAINED) {
        (void)reject(a, RC_REFUSED, "node '%s' is online and %s", n->name, node_mode_key(n->mode));
        advise(a, "clusterctl node drain %s, or stop its clusterd", n->name);
        return RC_REFUSED;
    }
    if (n->state != NODE_ONLINE && n->state != NODE_OFFLINE) {
        (void)reject(a, RC_REFUSED, "S3: node '%s' is %s: what runs there is not known", n->name,
                     node_state_key(a->s, n));
        advise(a,
               n->state == NODE_JOINING ? "wait until it is online"
                                        : "clusterctl node fence %s, or clusterctl node confirm-down %s",
               n->name, n->name);
        return RC_REFUSED;
    }
    if (check_empty(a, n) != 0 || check_rules(a, n) != 0) {
        return a->out->rc;
    }
    o = begin(a, n, OP_NODE_REMOVE);
    if (o == NULL) {
        return a->out->rc;
    }
    n->op = o->id;
    n->mode = MODE_DRAINED; /* should it come back meanwhile, it gets nothing to do */
    return 0;
}

static struct op *running(struct apply *a, struct node *n, enum op_kind kind)
{
    struct op *o = n != NULL ? state_op(a->s, n->op) : NULL;

    return o != NULL && o->kind == kind && o->state < OPS_DONE ? o : NULL;
}

int apply_node_added(struct apply *a)
{
    struct op *o = running(a, state_node(a->s, a->e->node), OP_NODE_ADD);

    if (o == NULL) {
        return reject(a, RC_REFUSED, "node %u is not being added", a->e->node);
    }
    op_finish(a, o, OPS_DONE, NULL);
    return 0;
}

/* Its id may be another node's one day: nothing may name it any more. */
int apply_node_removed(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    struct op *o = running(a, n, OP_NODE_REMOVE);
    uint32_t id = a->e->node;

    if (o == NULL) {
        return reject(a, RC_REFUSED, "node %u is not being removed", id);
    }
    if (check_empty(a, n) != 0 || check_rules(a, n) != 0) {
        return a->out->rc;
    }
    node_drop_jobs(a, id, false);
    for (unsigned i = 0; i < a->s->vms; i++) {
        struct vm *vm = a->s->vm[i];

        vm->unseen &= ~NODE_BIT(id);
        vm->owner = vm->owner == id ? 0 : vm->owner;
        vm->home = vm->home == id ? 0 : vm->home;
    }
    for (unsigned i = 0; i < a->s->rules; i++) {
        a->s->rule[i]->possible &= ~NODE_BIT(id);
        a->s->rule[i]->preferred &= ~NODE_BIT(id);
    }
    for (unsigned i = a->s->fences; i > 0; i--) {
        struct fence_device *f = a->s->fence[i - 1];

        f->nodes &= ~NODE_BIT(id);
        if (f->nodes == 0) {
            state_remove_fence(a->s, f);
        }
    }
    op_finish(a, o, OPS_DONE, NULL);
    memset(n, 0, sizeof *n);
    return 0;
}

/*
 * A16: what the operator has said of the nodes that he gave up. They are lost, whatever was known of them
 * before, and his word is theirs for that loss; N3 is still asked of each, and a fence device that reaches
 * one switches it off. S1: where the others have put a VM since is not known here: none is launched before
 * each node that may have it has said so, or is proven off.
 */
int apply_quorum_forced(struct apply *a)
{
    unsigned level = event_level(EV_QUORUM_FORCED);
    node_set may_have = 0;

    /* It cannot be refused: the journal goes on already. All that are left know this level (shell_force()).
     */
    if (a->s->level < level && level_raise(a, level) != 0) {
        return a->out->rc;
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        struct node *n = &a->s->node[id];

        if (n->id == 0) {
            continue;
        }
        if ((a->e->id & NODE_BIT(id)) != 0) {
            n->outcast = true;
            if (n->state != NODE_UNCLEAN) {
                node_lose(a, n, NODE_UNCLEAN);
            }
            n->given_up = n->loss;
        }
        may_have |= n->state != NODE_OFFLINE ? NODE_BIT(id) : 0;
    }
    for (unsigned i = 0; i < a->s->vms && !MUTANT(forced_and_forgotten); i++) {
        a->s->vm[i]->unseen |= may_have;
        a->s->vm[i]->changed = a->index; /* looks before this one do not count */
        state_touch(a->s, a->s->vm[i]);
    }
    return 0;
}

int apply_node_given_up(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    struct op *o;

    if (n == NULL || n->state != NODE_UNCLEAN || n->given_up == 0 || n->given_up != n->loss) {
        return reject(a, RC_REFUSED, "node %u was not given up in this loss", a->e->node);
    }
    o = op_new(a, OP_CONFIRM, "");
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->node = n->id;
    op_become(a, o, OPS_RUNNING);
    text_copy(o->by, sizeof o->by, "quorum force");
    n->given_up = 0;
    return 0;
}
