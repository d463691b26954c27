/* apply_node.c - nodes come, go, and say what they run (N1, N2, C1, C3). */
#include "core/apply.h"

#include <string.h>

#include "common/mutant.h"

static void claim_drop(struct vm *vm, uint32_t node)
{
    for (unsigned i = 0; i < vm->claims; i++) {
        if (vm->claim[i].node == node) {
            memmove(&vm->claim[i], &vm->claim[i + 1], (vm->claims - i - 1) * sizeof vm->claim[0]);
            vm->claims--;
            vm->looks = 0;
            memset(&vm->claim[vm->claims], 0, sizeof vm->claim[0]);
            return;
        }
    }
}

/* S3: it was proven off, or said to be, and that is not enough any more: it is to be proven once more. */
static void lose_again(struct apply *a, struct node *n)
{
    node_become(a, n, NODE_UNCLEAN);
    n->loss = a->index;
    n->inventory_term = 0;
    n->fence_tries = 0;
    state_touch(a->s, NULL);
}

/*
 * C1, C5: no migration comes from this node any more: it has said what became of the VM and nothing is in
 * flight there, or all that ran there is gone. What was seen at the other end before that counts no more.
 */
static void source_ended(struct apply *a, struct vm *vm, uint32_t source, bool runs)
{
    for (unsigned i = vm->claims; i-- > 0;) {
        struct claim *c = &vm->claim[i];
        struct node *n = state_node(a->s, c->node);

        if (c->from != source) {
            continue;
        }
        c->from = 0;
        c->obs = OBS_UNKNOWN;
        vm->changed = a->index;
        if (n == NULL || n->state != NODE_OFFLINE) {
            continue; /* its next word, or the end of its loss, decides */
        }
        if (runs) {
            claim_drop(vm, c->node); /* it was down meanwhile, and the VM has stayed where it was */
        } else {
            lose_again(a, n); /* it may have booted and taken the VM */
        }
    }
}

/*
 * S7: what was saved is spent once the VM runs again, whoever saw it first: the result of the resume may be
 * lost with its daemon, and a later inventory or probe tells. A state that was not consumed is no better
 * then: the disks are being written.
 */
void claim_seen(struct apply *a, struct vm *vm, struct claim *c, enum obs_state obs)
{
    uint32_t node = c->node;

    c->obs = obs;
    if (obs != OBS_UNKNOWN && vm->looks != 0) {
        vm->looks = 0;
        vm->wait = false; /* for this it waited */
    }
    if (obs == OBS_RUNNING) {
        if (!MUTANT(state_kept_running)) {
            memset(&vm->saved, 0, sizeof vm->saved);
        }
        c->half = false; /* whatever it was, now it is the VM */
    }
    if (obs != OBS_UNKNOWN) {
        c->brought = 0;
    }
    for (unsigned i = 0; obs == OBS_INCOMING && c->from == 0 && i < vm->claims; i++) {
        vm->claim[i].half =
            vm->claim[i].half && &vm->claim[i] == c; /* it never ran here: the source may go on */
    }
    if (obs == OBS_ABSENT && (c->from == 0 || MUTANT(target_freed_early))) {
        claim_drop(vm, node);
    }
    if (obs != OBS_UNKNOWN) {
        source_ended(a, vm, node, obs == OBS_RUNNING);
    }
}

/* Whether the volume is there, and whether its locks hold, is to be seen anew on this node. */
static void volume_forget(struct volume *v, uint32_t node)
{
    node_set others = ~NODE_BIT(node);

    v->online &= others;
    v->busy &= others;
    v->wait &= others;
    v->unproven &= others;
    v->refused &= others;
    v->granted &= others;
    if (!MUTANT(proof_kept)) {
        v->proven[node] = 0;
    }
    for (uint32_t i = 1; !MUTANT(proof_kept) && i <= NODES_MAX; i++) {
        v->proven[i] &= others;
    }
    if (v->prover == node) {
        v->prover = 0;
        v->holding = false;
    }
}

void node_drop_jobs(struct apply *a, uint32_t node, bool orphan_fences)
{
    struct state *s = a->s;

    for (unsigned i = 0; i < s->jobs;) {
        struct job *j = &s->job[i];
        struct vm *vm = state_vm(s, j->subject);

        if (j->node != node) {
            i++;
            continue;
        }
        if (j->kind == JOB_FENCE && orphan_fences) {
            j->orphan = true; /* N1: the agent may still act */
            i++;
            continue;
        }
        if (vm != NULL && vm->job == j->id) {
            struct claim *c = vm_claim(vm, node);

            vm->job = 0;
            vm->wait = false;
            vm->changed = a->index;
            if (c != NULL) {
                c->obs = OBS_UNKNOWN;
            }
        }
        state_remove_job(s, j);
    }
    for (unsigned i = 0; i < s->volumes; i++) {
        volume_forget(s->volume[i], node);
    }
    volumes_remove(a);
}

/*
 * C1: all that ran under the node's old boot, or before it was cut off, is gone. Not so what a live migration
 * may have brought to the boot that is there now: one whose agent reaches the node late (claim.from), or one
 * whose success was committed `since`, and the node has not said yet what it has. Returns whether there is
 * such a one.
 */
static bool node_drop_claims(struct apply *a, uint32_t node, uint64_t since)
{
    bool doubt = false;

    for (unsigned i = 0; i < a->s->vms; i++) {
        struct vm *vm = a->s->vm[i];
        struct claim *c = vm_claim(vm, node);
        bool brought;

        vm->unseen &= ~NODE_BIT(node);
        if (c == NULL) {
            continue;
        }
        brought = c->brought > since && !MUTANT(brought_claim_dropped);
        doubt = doubt || brought;
        vm->changed = a->index;
        c->from = MUTANT(fenced_target_freed) ? 0 : c->from;
        claim_seen(a, vm, c, c->from != 0 || brought ? OBS_UNKNOWN : OBS_ABSENT);
    }
    return doubt;
}

void node_doubt_claims(struct apply *a, uint32_t node)
{
    for (unsigned i = 0; i < a->s->vms; i++) {
        struct claim *c = vm_claim(a->s->vm[i], node);

        if (c != NULL && a->s->vm[i]->claims > 1 && MUTANT(lost_end_dropped)) {
            claim_drop(a->s->vm[i], node);
        } else if (c != NULL) {
            c->obs = OBS_UNKNOWN;
        }
    }
}

static void nodes_try_online(struct apply *a)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        node_try_online(a, &a->s->node[id]);
    }
}

/* The fence agents that the node's daemons other than this one left behind have ended (N1). */
static void drop_orphans(struct apply *a, uint32_t node, uint64_t session)
{
    for (unsigned i = 0; i < a->s->jobs;) {
        const struct job *j = &a->s->job[i];

        if (j->node == node && j->orphan && j->session != session) {
            state_remove_job(a->s, &a->s->job[i]);
        } else {
            i++;
        }
    }
    nodes_try_online(a);
}

void node_down(struct apply *a, struct node *n, bool fenced)
{
    uint64_t loss = n->loss;

    node_become(a, n, NODE_OFFLINE);
    n->session = 0;
    n->loss = 0;
    n->fence_tries = 0;
    n->fence_wait = n->fence_wanted = false;
    n->fenced = fenced;
    n->inventory_term = 0;
    n->error[0] = '\0';
    node_drop_jobs(a, n->id, false);
    if (node_drop_claims(a, n->id, loss)) {
        lose_again(a, n); /* a VM came there since the loss: another boot of it may have taken it */
    }
    if (!MUTANT(joiner_forgotten)) {
        nodes_try_online(a); /* the fences that it carried out are over */
    }
}

/*
 * All nodes have come, so nobody has to be waited for any more. One that has not spoken in this term has not:
 * it may be online only in what the state says of the time before the power was lost.
 */
static void startup_ends(struct state *s)
{
    for (uint32_t id = 1; id <= NODES_MAX && s->startup; id++) {
        const struct node *n = &s->node[id];

        if (n->id != 0 && (n->state != NODE_ONLINE || n->inventory_term != s->term)) {
            return;
        }
    }
    s->startup = false;
}

void node_try_online(struct apply *a, struct node *n)
{
    if (n->state != NODE_JOINING || n->inventory_term != a->s->term) {
        return;
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        if (a->s->job[i].kind == JOB_FENCE && a->s->job[i].to == n->id && !MUTANT(rejoin_under_a_fence)) {
            return; /* N1 */
        }
    }
    node_become(a, n, NODE_ONLINE);
    state_touch(a->s, NULL);
    startup_ends(a->s);
}

bool node_has_others(const struct state *s, uint32_t node)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(s, id);

        if (n != NULL && id != node && (n->state == NODE_ONLINE || n->state == NODE_JOINING)) {
            return true;
        }
    }
    return false;
}

/* A16: its old boot lives, whatever was said of it: it is fenced before it takes part again. */
static void outcast_is_back(struct apply *a, struct node *n)
{
    if (n->state != NODE_UNCLEAN) {
        alarm_raise(a, "A16: node '%s' was given up and confirmed down, yet it is back with the same boot",
                    n->name);
        lose_again(a, n);
    }
}

/* What a node says of itself is whole, its own, follows its last word, and is of a build that can take part.
 */
static int check_announcement(struct apply *a, const char *name, const char *boot, uint32_t level)
{
    const struct event *e = a->e;
    const struct node *n, *same;

    if (e->node != e->origin || e->node == 0 || e->node > NODES_MAX || name == NULL || *name == '\0' ||
        strlen(name) >= NAME_SIZE || boot == NULL || *boot == '\0' || strlen(boot) >= sizeof n->boot) {
        return reject(a, RC_BAD_INPUT, "node %u announces itself wrongly", e->node);
    }
    same = state_node_by_name(a->s, name);
    if (same != NULL && same->id != e->node) {
        return reject(a, RC_REFUSED, "node %u calls itself '%s', which is the name of node %u", e->node, name,
                      same->id);
    }
    n = &a->s->node[e->node];
    /* N1, A1: no order of delivery is relied upon: an earlier boot's word that comes late proves nothing. */
    if (a->s->level >= 2 && event_get_u64(e, "after", n->session) != n->session) {
        return reject(a, RC_REFUSED, "node '%s' announces itself after another session than its last", name);
    }
    if (level < a->s->level && !MUTANT(older_node_joins)) {
        (void)reject(a, RC_REFUSED, "node '%s' knows feature level %u, and the cluster has %u (A13)", name,
                     level, a->s->level);
        advise(a, "install the version there that the other nodes have");
        return RC_REFUSED;
    }
    return 0;
}

int apply_node_up(struct apply *a)
{
    const struct event *e = a->e;
    const char *name = event_get(e, "name"), *boot = event_get(e, "boot");
    uint32_t level = (uint32_t)event_get_u64(e, "feature_level", 1);
    struct node *n;
    bool new_boot;

    if (check_announcement(a, name, boot, level) != 0) {
        return a->out->rc;
    }
    n = &a->s->node[e->node];
    new_boot = strcmp(n->boot, boot) != 0;
    if (n->id != 0 && n->fence_wanted && !new_boot) {
        if (node_has_others(a->s, n->id)) {
            return reject(a, RC_REFUSED, "node '%s' is to be fenced by an operator's order", n->name);
        }
        /* L2: else it would wait for ever. */
        op_end_of_node(a, n->id, OP_FENCE, OPS_FAILED, "no other node is there that could carry it out");
    }
    if (n->id != 0 && n->fenced && !new_boot) {
        alarm_raise(a,
                    "node '%s' was confirmed fenced, yet it is back with the same boot: "
                    "its fence device does not tell the truth",
                    n->name);
    }
    if (n->id != 0 && n->outcast && !new_boot) {
        outcast_is_back(a, n);
        return 0;
    }
    n->outcast = false;
    n->given_up = 0;
    n->id = e->node;
    text_copy(n->name, sizeof n->name, name);
    text_copy(n->boot, sizeof n->boot, boot);
    n->session = e->session;
    n->seq = e->seq;
    n->memory_mib = event_get_u64(e, "memory_mib", 0);
    n->cpus = (uint32_t)event_get_u64(e, "cpus", 1);
    n->feature_level = level;
    n->inventory_term = 0;
    n->loss = 0;
    n->fence_tries = 0;
    n->fence_wait = n->fence_wanted = n->fenced = false;
    n->error[0] = '\0';
    node_become(a, n, NODE_JOINING);
    node_drop_jobs(a, n->id, true);
    if (new_boot || MUTANT(any_start_proves)) {
        (void)node_drop_claims(a, n->id, 0); /* N1: a new boot id proves that its old VMs are gone */
        drop_orphans(a, n->id, n->session);  /* and so are the fence agents that it ran */
    } else {
        node_doubt_claims(a, n->id);
    }
    return 0;
}

void node_lose(struct apply *a, struct node *n, enum node_state st)
{
    node_become(a, n, st);
    n->loss = a->index;
    n->inventory_term = 0;
    n->fence_tries = 0;
    n->fence_wait = false;
    node_drop_jobs(a, n->id, true);
    node_doubt_claims(a, n->id);
}

int apply_node_lost(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);
    bool daemon_only = a->e->num == 0;

    if (n == NULL || (n->state == NODE_OFFLINE && !(n->outcast && daemon_only)) || n->state == NODE_UNCLEAN ||
        (daemon_only && n->state == NODE_GRACE)) {
        return reject(a, RC_REFUSED, "node %u is not there, so it cannot be lost", a->e->node);
    }
    if (n->session != a->e->id) {
        return reject(a, RC_REFUSED, "node '%s' has come back since its loss was seen", n->name);
    }
    node_lose(a, n, daemon_only ? NODE_GRACE : NODE_UNCLEAN);
    if (MUTANT(fence_not_awaited)) {
        (void)node_drop_claims(a, n->id, 0);
    }
    return 0;
}

int apply_node_left(struct apply *a)
{
    struct node *n = state_node(a->s, a->e->node);

    if (n == NULL || a->e->origin != n->id || (n->state != NODE_ONLINE && n->state != NODE_JOINING)) {
        return reject(a, RC_REFUSED, "node %u is not there, so it cannot leave", a->e->node);
    }
    for (unsigned i = 0; i < a->s->vms; i++) {
        if (vm_claim(a->s->vm[i], n->id) != NULL && !MUTANT(clean_leave_with_vms)) {
            return reject(a, RC_REFUSED, "node '%s' is not empty: VM '%s' may run there", n->name,
                          a->s->vm[i]->name);
        }
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        if (a->s->job[i].node == n->id) {
            return reject(a, RC_REFUSED, "node '%s' still has work in flight", n->name);
        }
    }
    node_down(a, n, false);
    return 0;
}

/* The VM ended by itself while it was wanted running: counts its restarts within the window. */
static void vm_ended_by_itself(struct apply *a, struct vm *vm, const char *how)
{
    if (vm->wanted != WANT_RUNNING || vm->op != 0) {
        return;
    }
    if (strcmp(how, "shutdown") == 0 && vm->set.on_guest_shutdown == 0) {
        vm->wanted = WANT_STOPPED; /* its owner shut it down from inside */
        return;
    }
    if (a->e->time_ms - vm->restart_since_ms > (int64_t)vm->set.restart_window_ms) {
        vm->restart_since_ms = a->e->time_ms;
        vm->restarts = 0;
    }
    vm->restarts++;
    text_copy(vm->error, sizeof vm->error, "its QEMU ended by itself");
}

static void inventory_claim(struct apply *a, struct node *n, struct vm *vm, struct claim *c, const char *how)
{
    enum obs_state obs;
    bool ran = c->obs == OBS_RUNNING;

    if (how == NULL) {
        if ((a->e->flags & EVF_COMPLETE) == 0) {
            return;
        }
        how = "absent";
    }
    obs = strcmp(how, "shutdown") == 0 ? OBS_ABSENT : obs_from_key(how);
    claim_seen(a, vm, c, obs); /* C1: its own definite inventory with no job in flight */
    if (obs == OBS_ABSENT) {
        vm->changed = a->index;
        if (ran) {
            vm_ended_by_itself(a, vm, how);
        }
    } else if (obs == OBS_RUNNING) {
        vm->owner = vm->op == 0 && vm->claims == 1 ? n->id : vm->owner;
        vm->tries = vm->conflicts = 0;
        vm->error[0] = '\0';
    }
}

/* A QEMU of ours runs where no claim is: the claim is entered now, so that nothing else starts it. */
static void inventory_surprise(struct apply *a, struct node *n, struct vm *vm, enum obs_state obs)
{
    if (vm->claims == CLAIMS_MAX) {
        alarm_raise(a, "VM '%s' is found on node '%s' and on too many others", vm->name, n->name);
        return;
    }
    alarm_raise(a, "VM '%s' is found %s on node '%s', where the cluster did not start it", vm->name,
                obs_key(obs), n->name);
    if (vm->owner == 0 && obs == OBS_RUNNING) {
        vm->owner = n->id; /* REQ-F7: it ran before it was added: the cluster takes it over as it is */
        vm->wanted = WANT_RUNNING;
    }
    vm->claim[vm->claims].node = n->id;
    vm->claim[vm->claims].index = a->index;
    claim_seen(a, vm, &vm->claim[vm->claims++], obs);
    vm->changed = a->index;
}

/* It runs here, as it is known to: that is what most inventories say of most VMs. */
static bool says_nothing_new(const struct node *n, const struct vm *vm, const char *how)
{
    const struct claim *c = &vm->claim[0];

    return how != NULL && obs_from_key(how) == OBS_RUNNING && vm->claims == 1 && c->node == n->id &&
           c->obs == OBS_RUNNING && c->from == 0 && (vm->unseen & NODE_BIT(n->id)) == 0 &&
           vm->owner == n->id && vm->tries == 0 && vm->error[0] == '\0' && vm->saved.tag == 0 &&
           vm->saved.path[0] == '\0';
}

/* What the inventory says of one VM; how is NULL when it does not name it. */
static void inventory_vm(struct apply *a, struct node *n, struct vm *vm, const char *how)
{
    const struct event *e = a->e;
    struct claim *c = vm_claim(vm, n->id);

    vm->told = a->index;
    /* C1: what was looked at before the VM's last change says nothing of it now, and while a job is in
     * flight only that job's end does. */
    if (((vm->job != 0 || e->index < vm->changed) && !MUTANT(late_launch)) || says_nothing_new(n, vm, how)) {
        return;
    }
    state_touch(a->s, vm);
    if ((e->flags & EVF_COMPLETE) != 0 && (how == NULL || obs_from_key(how) != OBS_UNKNOWN)) {
        vm->unseen &= ~NODE_BIT(n->id);
    }
    if (c != NULL) {
        inventory_claim(a, n, vm, c, how);
    } else if (how != NULL && obs_from_key(how) > OBS_ABSENT && !MUTANT(surprise_ignored)) {
        inventory_surprise(a, n, vm, obs_from_key(how));
    }
}

int apply_inventory(struct apply *a)
{
    const struct event *e = a->e;
    struct node *n = state_node(a->s, e->node);
    struct vm *const *on;
    unsigned count;

    if (n == NULL || e->origin != n->id || (n->state != NODE_JOINING && n->state != NODE_ONLINE)) {
        return reject(a, RC_REFUSED, "node %u is not there, so its inventory does not count", e->node);
    }
    for (unsigned i = 0; i < e->kvs; i++) {
        struct vm *vm = state_vm_by_uuid(a->s, e->kv[i].key);

        if (vm != NULL && vm->told != a->index) { /* of two words the first counts */
            inventory_vm(a, n, vm, e->kv[i].value);
        }
    }
    on = state_on(a->s, n->id, &count);
    for (unsigned i = 0; i < count; i++) {
        if (on[i]->told != a->index) {
            inventory_vm(a, n, on[i], NULL);
        }
    }
    if ((e->flags & EVF_COMPLETE) != 0 && (e->num == a->s->term || MUTANT(inventory_of_old_term))) {
        if (n->inventory_term != e->num) {
            state_touch(a->s, NULL);
        }
        n->inventory_term = MUTANT(inventory_of_old_term) ? a->s->term : e->num;
        /* Complete: no fence agent of an earlier daemon lives there. Its own, begun before it was lost for a
         * while, end with their results. */
        drop_orphans(a, n->id, n->session);
        node_try_online(a, n);
    }
    return 0;
}
