/*
 * apply_job.c - jobs: what a node is told to do, and what came of it.
 *
 * This is the wall behind which S1 and S7 hold: whatever a coordinator proposes, a launch with a foreign
 * claim or a second life of a saved state is rejected here, by every node alike.
 */
#include "core/apply.h"

#include <string.h>

#include "common/mutant.h"

#define LOCK_CONFLICTS_MAX 10 /* C7: with the pauses between them, six minutes */
#define JOB_SILENT         "the node did not report the end of the agent in time"
#define QUICK_JOB_MS       30000u /* resume, reset, probe, mounts: seconds at most */

static uint32_t job_timeout_ms(const struct state *s, enum job_kind kind, const struct vm *vm)
{
    switch (kind) {
    case JOB_START:
        return vm->set.start_timeout_ms;
    case JOB_STOP:
        return vm->set.stop_timeout_ms;
    case JOB_SAVE:
    case JOB_RESTORE:
    case JOB_MIGRATE:
        return vm->set.migrate_timeout_ms;
    case JOB_FENCE:
    case JOB_FENCE_STATUS:
        return s->opt.fence_timeout_ms;
    case JOB_NONE:
    case JOB_RESUME:
    case JOB_RESET:
    case JOB_PROBE:
    case JOB_VOLUME_START:
    case JOB_VOLUME_STOP:
    case JOB_LOCK_HOLD:
    case JOB_LOCK_TRY:
    case JOB_KINDS:
        break;
    }
    return QUICK_JOB_MS;
}

/* C3: an executor is a node whose inventory of this term is known. */
static int check_executor(struct apply *a, uint32_t id)
{
    const struct node *n = state_node(a->s, id);

    if (n == NULL || n->state != NODE_ONLINE ||
        (n->inventory_term != a->s->term && !MUTANT(no_inventory_needed))) {
        return reject(a, RC_REFUSED, "node %u is not ready to carry out a job", id);
    }
    if (node_is_leaving(a->s, n)) {
        return reject(a, RC_REFUSED, "node '%s' is being removed", n->name);
    }
    return 0;
}

static int check_only_claim(struct apply *a, const struct vm *vm, uint32_t node, const char *what)
{
    if ((vm->claims != 1 || vm->claim[0].node != node) && !MUTANT(torn_source_resumed)) {
        return reject(a, RC_REFUSED, "S1: VM '%s' cannot be %s: it does not exist on node %u alone", vm->name,
                      what, node);
    }
    return 0;
}

/* What is placed against a rule, or where there is no room, was decided before another fact was known. */
static int check_place(struct apply *a, const struct vm *vm, uint32_t node)
{
    char why[TEXT_SIZE];

    if (a->s->level >= 2 && place_barred(a->s, &a->s->used, vm, node, why) != BAR_NONE) {
        return reject(a, RC_REFUSED, "VM '%s' cannot be on node '%s': %s", vm->name, a->s->node[node].name,
                      why);
    }
    return 0;
}

static bool saved_usable(const struct vm *vm)
{
    return vm->saved.tag != 0 && (!vm->saved.consumed || MUTANT(restored_twice));
}

/* C1, S1: a launch requires that the VM can exist nowhere: elsewhere it must not, and on the executor there
 * is nothing to launch. */
static int check_launch(struct apply *a, const struct vm *vm)
{
    bool restore = a->e->num == JOB_RESTORE;

    if (vm->claims != 0 && !MUTANT(launch_beside_a_claim)) {
        return reject(a, RC_REFUSED, "S1: VM '%s' may exist on a node already", vm->name);
    }
    if (vm->unseen != 0 && !MUTANT(unseen_ignored)) {
        return reject(a, RC_REFUSED, "C1: VM '%s' may run already on a node that has not said so yet",
                      vm->name);
    }
    if (restore && !saved_usable(vm)) {
        return reject(a, RC_REFUSED, "S7: VM '%s' has no saved state to restore", vm->name);
    }
    if (!restore && vm->saved.tag != 0) {
        return reject(a, RC_REFUSED, "S7: the saved state of VM '%s' is not void yet", vm->name);
    }
    return check_place(a, vm, a->e->node);
}

int check_savable(struct apply *a, const struct vm *vm)
{
    return vm_savable(a->s, vm)
               ? 0
               : reject(a, RC_REFUSED, "VM '%s' has no disk on a shared volume to save beside", vm->name);
}

static int check_save(struct apply *a, const struct vm *vm)
{
    if (vm->saved.tag != 0) {
        return reject(a, RC_REFUSED, "S7: VM '%s' has a saved state already", vm->name);
    }
    return check_savable(a, vm) != 0 ? a->out->rc : check_only_claim(a, vm, a->e->node, "saved");
}

static int check_migrate(struct apply *a, const struct vm *vm)
{
    const struct event *e = a->e;

    if (e->to == e->node || check_executor(a, e->to) != 0) {
        return reject(a, RC_REFUSED, "node %u cannot take VM '%s'", e->to, vm->name);
    }
    if ((e->flags & EVF_PAUSED) == 0 && !vm_locks_proven(a->s, vm, e->node, e->to)) {
        return reject(a, RC_REFUSED,
                      "C5: VM '%s' may only arrive paused: its disks' image locks are not proven between "
                      "nodes %u and %u",
                      vm->name, e->node, e->to);
    }
    return check_place(a, vm, e->to) != 0 ? a->out->rc : check_only_claim(a, vm, e->node, "migrated");
}

static int check_resume(struct apply *a, const struct vm *vm)
{
    if (saved_usable(vm) && !MUTANT(resumed_unconsumed) && !MUTANT(restored_twice)) {
        return reject(a, RC_REFUSED, "S7: the saved state of VM '%s' is not consumed yet", vm->name);
    }
    if (check_only_claim(a, vm, a->e->node, "resumed") == 0 && vm->claim[0].obs != OBS_PAUSED) {
        return reject(a, RC_REFUSED, "C5: VM '%s' is not known to stand paused", vm->name);
    }
    if (a->out->rc == 0 && vm->claim[0].half && !MUTANT(half_resumed) && !MUTANT(torn_source_resumed)) {
        return reject(a, RC_REFUSED, "C5: the memory of VM '%s' may be older than its disks", vm->name);
    }
    return a->out->rc;
}

static int check_present(struct apply *a, const struct vm *vm)
{
    return vm_claim(vm, a->e->node) != NULL
               ? 0
               : reject(a, RC_REFUSED, "VM '%s' is not on node %u", vm->name, a->e->node);
}

/* A recovery's launch is decided together with its operation, whose number nobody knew then. */
static bool binds_to_recovery(const struct event *e, const struct op *o)
{
    return e->id == 0 && o != NULL && o->kind == OP_START && o->recovery && o->state == OPS_QUEUED;
}

static int check_vm_job(struct apply *a, enum job_kind kind, const struct vm *vm)
{
    static int (*const checks[JOB_KINDS])(struct apply * a, const struct vm *vm) = {
        [JOB_START] = check_launch,    [JOB_RESTORE] = check_launch, [JOB_SAVE] = check_save,
        [JOB_MIGRATE] = check_migrate, [JOB_RESUME] = check_resume,  [JOB_STOP] = check_present,
        [JOB_RESET] = check_present,   [JOB_PROBE] = check_present,
    };
    const struct op *o = state_op(a->s, vm->op);
    bool launch = kind == JOB_START || kind == JOB_RESTORE;

    if (checks[kind] == NULL) {
        return reject(a, RC_BAD_INPUT, "not a VM's job");
    }
    if (vm->job != 0) {
        return reject(a, RC_REFUSED, "VM '%s' has a job in flight already", vm->name);
    }
    if ((vm->op != a->e->id || (launch && o == NULL)) && !(launch && binds_to_recovery(a->e, o))) {
        return reject(a, RC_REFUSED, "the operation of this job has ended, or another one has begun");
    }
    return checks[kind](a, vm);
}

static void claim_enter(struct apply *a, struct vm *vm, uint32_t node)
{
    struct claim *c = vm_claim(vm, node);

    if (c == NULL && vm->claims < CLAIMS_MAX) {
        c = &vm->claim[vm->claims++];
        c->node = node;
        c->index = a->index;
    }
    if (c != NULL) {
        c->obs = OBS_UNKNOWN;
    }
}

/*
 * C5, S6: until its end is known, a live migration leaves halves whose memory may be older than the disks:
 * the target's, when libvirt has resumed the source; the source's, when the target runs as soon as it has
 * all.
 */
static void halves(struct apply *a, struct vm *vm)
{
    bool known = a->s->level >= 2; /* older nodes do not store it */

    vm_claim(vm, a->e->to)->half = known;
    vm_claim(vm, a->e->node)->half = known && (a->e->flags & EVF_PAUSED) == 0;
}

/* Where the VM's memory is saved: beside its first disk, on the same volume. */
static void saved_path(const struct state *s, const struct vm *vm, char out[PATH_SIZE])
{
    const struct volume *v = vm_volume(s, vm->disk[0]);

    text_format(out, PATH_SIZE, "%s/.clusterd/%s.save", v ? v->path : "", vm->uuid);
}

static int apply_vm_job(struct apply *a, enum job_kind kind)
{
    const struct event *e = a->e;
    struct vm *vm = state_vm(a->s, e->subject);
    struct op *o;
    struct job *j;

    if (vm == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no VM '%s'", e->subject);
    }
    if (check_vm_job(a, kind, vm) != 0) {
        return a->out->rc;
    }
    j = state_add_job(a->s, a->index, kind);
    if (j == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    if (kind == JOB_START || kind == JOB_RESTORE) {
        if (!MUTANT(claim_not_entered)) {
            claim_enter(a, vm, e->node); /* C1: before any agent runs */
        }
        vm->owner = e->node;
    } else if (kind == JOB_MIGRATE) {
        claim_enter(a, vm, e->to); /* C5: both ends hold claims until the committed end */
        vm_claim(vm, e->to)->from = e->node;
        halves(a, vm);
    } else if (kind == JOB_SAVE) {
        saved_path(a->s, vm, vm->saved.path);
    }
    vm->job = a->index;
    vm->changed = a->index;
    o = state_op(a->s, vm->op);
    if (o != NULL) {
        op_become(a, o, OPS_RUNNING);
        if (e->to != 0) {
            o->to = e->to;
        } else if (kind == JOB_START || kind == JOB_RESTORE) {
            o->to = e->node;
        }
    }
    return 0;
}

static int apply_fence_job(struct apply *a, enum job_kind kind)
{
    const struct event *e = a->e;
    const struct fence_device *f = state_fence(a->s, e->subject);
    const struct node *n = state_node(a->s, e->to);

    if (f == NULL || (kind == JOB_FENCE && (n == NULL || (f->nodes & NODE_BIT(e->to)) == 0))) {
        return reject(a, RC_NOT_FOUND, "fence device '%s' does not reach node %u", e->subject, e->to);
    }
    if (kind == JOB_FENCE && (n->state != NODE_UNCLEAN || n->loss != e->index || e->to == e->node)) {
        return reject(a, RC_REFUSED, "node '%s' is not lost any more", n->name); /* N1 */
    }
    if (kind == JOB_FENCE && a->s->disarm.index != 0 && !n->fence_wanted && !MUTANT(fence_while_disarmed)) {
        return reject(a, RC_REFUSED, "N4: high availability is paused, so node '%s' is not fenced", n->name);
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        const struct job *j = &a->s->job[i];

        if (kind == JOB_FENCE && j->kind == JOB_FENCE && j->to == e->to && !j->orphan) {
            return reject(a, RC_REFUSED, "node '%s' is being fenced already", n->name);
        }
    }
    return state_add_job(a->s, a->index, kind) ? 0 : reject(a, RC_NO_MEMORY, "out of memory");
}

static int apply_volume_job(struct apply *a)
{
    struct volume *v = state_volume(a->s, a->e->subject);

    if (v == NULL || (v->busy & NODE_BIT(a->e->node)) != 0) {
        return reject(a, RC_REFUSED, "volume '%s' is gone or busy", a->e->subject);
    }
    if (a->e->num == JOB_LOCK_HOLD && volume_is_tried(a->s, v)) {
        return reject(a, RC_REFUSED, "C5: a try of the round before would fall into the next one");
    }
    if (state_add_job(a->s, a->index, (enum job_kind)a->e->num) == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    v->busy |= NODE_BIT(a->e->node);
    if (a->e->num == JOB_LOCK_HOLD) {
        v->prover = a->e->node;
        v->holding = true;
        v->refused = v->granted = 0;
    }
    return 0;
}

int apply_job(struct apply *a)
{
    const struct event *e = a->e;
    enum job_kind kind = e->num < JOB_KINDS ? (enum job_kind)e->num : JOB_NONE;
    const struct vm *vm = state_vm(a->s, e->subject);
    bool fence = kind == JOB_FENCE || kind == JOB_FENCE_STATUS;
    struct job *j;
    int rc;

    if (!(fence && node_may_fence(a->s, e->node, e->to)) && check_executor(a, e->node) != 0) {
        return a->out->rc;
    }
    if (fence) {
        rc = apply_fence_job(a, kind);
    } else if (kind >= JOB_VOLUME_START) {
        rc = apply_volume_job(a);
    } else {
        rc = apply_vm_job(a, kind);
    }
    if (rc != 0) {
        return rc;
    }
    j = state_job(a->s, a->index);
    j->node = e->node;
    j->session = a->s->node[e->node].session;
    j->to = e->to;
    j->op = vm != NULL && kind < JOB_FENCE ? vm->op : e->id;
    j->loss = kind == JOB_FENCE ? e->index : 0;
    j->flags = e->flags;
    j->timeout_ms = job_timeout_ms(a->s, kind, vm);
    text_copy(j->subject, sizeof j->subject, e->subject);
    return 0;
}

/* ---- results ---- */

static void op_failed_try(struct vm *vm, struct op *o, const struct job *j, const char *why)
{
    text_copy(vm->error, sizeof vm->error, why);
    vm->tries++;
    if (o != NULL && o->id == j->op) {
        o->tries++;
        o->tried |= NODE_BIT(j->kind == JOB_MIGRATE ? j->to : j->node);
        if (o->error[0] == '\0' || j->kind != JOB_STOP || o->kind == OP_STOP) {
            text_copy(o->error, sizeof o->error, why); /* clearing up after a failure is not its reason */
        }
    }
}

/* C5: libvirt's success says where the VM is at both ends. */
static void result_migrate(struct apply *a, struct vm *vm, const struct job *j)
{
    struct claim *to = vm_claim(vm, j->to);
    const struct node *n = state_node(a->s, j->to);

    if (a->e->num == 0 && a->e->obs == OBS_ABSENT) {
        if (to != NULL && n != NULL && n->state != NODE_OFFLINE) {
            to->obs = (j->flags & EVF_PAUSED) != 0 ? OBS_PAUSED : OBS_RUNNING;
            to->from = 0;
            to->half = false;
            to->brought = a->s->level >= 2 ? a->index : 0;
        }
        vm->owner = j->to;
    }
}

static void result_save(struct apply *a, struct vm *vm, const struct job *j)
{
    /* Its success says that QEMU has ended (C4), also where what it left could not be looked at. */
    if (a->e->num == 0 && (a->e->obs == OBS_ABSENT || a->e->obs == OBS_UNKNOWN)) {
        vm->saved.tag = j->id;
        vm->saved.consumed = false;
    }
}

static void result_runs(struct vm *vm)
{
    vm->tries = vm->conflicts = 0;
    vm->error[0] = '\0';
}

/*
 * C7: the lock of a host that was fenced may outlive it on a file server for a while. The launch is tried
 * again, to a bound; it is neither the VM's failure nor this node's, any other would meet the same lock.
 */
static bool is_lock_conflict(const struct apply *a, const struct vm *vm, const struct job *j)
{
    return a->s->level >= 2 && event_get(a->e, "conflict") != NULL && vm->conflicts < LOCK_CONFLICTS_MAX &&
           (j->kind == JOB_START || j->kind == JOB_RESTORE || j->kind == JOB_RESUME);
}

static void result_vm(struct apply *a, struct vm *vm, const struct job *j)
{
    struct claim *c = vm_claim(vm, j->node);
    const char *why = a->e->text ? a->e->text : "the agent failed without saying why";
    bool failed = a->e->num != 0;
    /* C1: something has changed since this look was decided, say the other end has spoken: it may be older.
     */
    bool late = a->s->level >= 2 && j->kind == JOB_PROBE && vm->changed > j->id;
    char text[TEXT_SIZE];

    vm->job = 0;
    vm->changed = a->index;
    if (j->kind == JOB_MIGRATE) {
        result_migrate(a, vm, j);
    } else if (j->kind == JOB_SAVE) {
        result_save(a, vm, j);
    }
    if (c != NULL) {
        claim_seen(a, vm, c,
                   late ? OBS_UNKNOWN : a->e->obs); /* C1: the agent has ended; this is what it left */
    }
    if (j->kind == JOB_PROBE) {
        vm->wait = a->e->obs == OBS_UNKNOWN; /* look again, but not in a busy loop */
        vm->looks += vm->wait && a->s->level >= 2;
        return;
    }
    if (a->e->obs == OBS_RUNNING && vm->claims == 1) {
        vm->owner = j->node;
    }
    if (!failed && ((j->kind == JOB_RESUME && a->e->obs != OBS_RUNNING) ||
                    (j->kind == JOB_START && a->e->obs == OBS_ABSENT))) {
        failed = true; /* L2: it may do so for ever */
        why = "the agent did its work, yet the VM does not run";
    }
    text_format(text, sizeof text, "%s on node '%s': %s", job_kind_key(j->kind), a->s->node[j->node].name,
                why);
    if (failed && is_lock_conflict(a, vm, j)) {
        vm->conflicts++;
        vm->wait = true;
        text_copy(vm->error, sizeof vm->error, text);
    } else if (failed) {
        vm->wait = j->kind == JOB_STOP; /* not in a busy loop */
        op_failed_try(vm, state_op(a->s, vm->op), j, text);
    } else if (j->kind == JOB_RESET && state_op(a->s, j->op) != NULL) {
        op_finish(a, state_op(a->s, j->op), OPS_DONE, NULL);
    } else if (a->e->obs == OBS_RUNNING && (j->kind == JOB_START || j->kind == JOB_RESUME)) {
        result_runs(vm);
    }
}

static void result_fence(struct apply *a, const struct job *j)
{
    struct node *n = state_node(a->s, j->to);

    if (n == NULL) {
        return;
    }
    if (n->state != NODE_UNCLEAN || (n->loss != j->loss && !MUTANT(fence_of_another_loss))) {
        node_try_online(a, n); /* N1: it came back while the agent ran; that loss is over */
        return;
    }
    if (a->e->num == 0) {
        node_down(a, n, true); /* S3, C1: the confirmed fence of that very loss */
        op_end_of_node(a, n->id, OP_FENCE, OPS_DONE, NULL);
        return;
    }
    n->fence_tries++;
    n->fence_wait = true;
    text_format(n->error, sizeof n->error, "fencing by '%s' from node '%s' failed: %s", j->subject,
                a->s->node[j->node].name, a->e->text ? a->e->text : "no reason given");
}

/* The device could not be asked: a test has failed; a confirmation asks the next one (decide_confirm). */
static void fence_status_failed(struct apply *a, const struct job *j, const char *why)
{
    struct op *o = state_op(a->s, j->op);

    if (o == NULL || o->state >= OPS_DONE) {
        return;
    }
    o->tries++;
    if (o->kind == OP_FENCE_TEST) {
        op_finish(a, o, OPS_FAILED, why);
    }
}

static void result_fence_status(struct apply *a, const struct job *j)
{
    struct op *o = state_op(a->s, j->op);
    bool on = a->e->num == 0, off = a->e->num == 2;
    char text[TEXT_SIZE];

    if (o == NULL || o->state >= OPS_DONE) {
        return;
    }
    if (!on && !off) {
        fence_status_failed(a, j, a->e->text ? a->e->text : "the agent failed without saying why");
    } else if (o->kind == OP_FENCE_TEST) {
        op_finish(a, o, OPS_DONE, NULL);
    } else if (on && !MUTANT(confirm_though_on)) { /* N3 */
        text_format(text, sizeof text, "fence device '%s' says that node '%s' is on", j->subject,
                    a->s->node[j->to].name);
        op_finish(a, o, OPS_FAILED, text);
    } else {
        o->tries++; /* this device says off: the next one is asked */
    }
}

static void volume_removed(struct apply *a, struct volume *v)
{
    for (unsigned i = 0; i < a->s->ops; i++) {
        struct op *o = &a->s->op[i];

        if (o->kind == OP_VOLUME_REMOVE && strcmp(o->subject, v->name) == 0 && o->state < OPS_DONE) {
            op_finish(a, o, OPS_DONE, NULL);
        }
    }
    state_remove_volume(a->s, v);
}

/* A volume that is to go is gone when it is mounted nowhere and nobody is at work on it, whatever ended that.
 */
void volumes_remove(struct apply *a)
{
    for (unsigned i = 0; i < a->s->volumes;) {
        struct volume *v = a->s->volume[i];

        if (v->removing && v->online == 0 && v->busy == 0) {
            volume_removed(a, v);
        } else {
            i++;
        }
    }
}

/*
 * C5: while one node held the lock, another was refused; released, it got it. What only one of the two showed
 * proves nothing: a file system that refuses always, or never.
 */
static void result_lock(struct apply *a, struct volume *v, const struct job *j)
{
    const char *lock = event_get(a->e, "lock");
    node_set bit = NODE_BIT(j->node);
    bool good = a->e->num == 0 && lock != NULL;

    v->busy &= ~bit;
    if (j->kind == JOB_LOCK_HOLD) {
        v->holding = false;
        if (!good || strcmp(lock, "held") != 0) {
            v->unproven |= bit;
            v->prover = 0;
        }
    } else if (j->to != v->prover || !good ||
               (strcmp(lock, (j->flags & EVF_HELD) != 0 ? "refused" : "granted") != 0 &&
                !MUTANT(locks_believed))) {
        v->unproven |= j->to == v->prover ? bit : 0;
    } else if ((j->flags & EVF_HELD) != 0) {
        v->refused |= bit;
    } else {
        v->granted |= bit;
        if ((v->refused & bit) != 0) {
            v->proven[v->prover] |= bit;
        }
    }
}

static void result_volume(struct apply *a, struct volume *v, const struct job *j)
{
    node_set bit = NODE_BIT(j->node);

    v->busy &= ~bit;
    v->size_bytes = event_get_u64(a->e, "size_bytes", v->size_bytes);
    v->free_bytes = event_get_u64(a->e, "free_bytes", v->free_bytes);
    if (a->e->num != 0 && j->kind == JOB_VOLUME_STOP && !v->removing) {
        return; /* the removal was cancelled: it is mounted, as it should be */
    }
    if (a->e->num != 0) {
        v->wait |= bit;
        text_format(v->error, sizeof v->error, "%s on node '%s': %s", job_kind_key(j->kind),
                    a->s->node[j->node].name, a->e->text ? a->e->text : "no reason given");
        return;
    }
    if ((v->wait & ~bit) == 0) {
        v->error[0] = '\0'; /* else another node's */
    }
    v->online = j->kind == JOB_VOLUME_START ? v->online | bit : v->online & ~bit;
}

int apply_job_result(struct apply *a)
{
    const struct event *e = a->e;
    struct job *j = state_job(a->s, e->id), done;
    struct vm *vm;

    if (j == NULL || j->node != e->node || e->origin != e->node || j->session != e->session) {
        return reject(a, RC_REFUSED, "job %llu is not in flight on node %u any more",
                      (unsigned long long)e->id, e->node);
    }
    done = *j;
    state_remove_job(a->s, j);
    vm = state_vm(a->s, done.subject);
    if (done.kind == JOB_FENCE) {
        result_fence(a, &done);
    } else if (done.kind == JOB_FENCE_STATUS) {
        result_fence_status(a, &done);
    } else if (done.kind >= JOB_VOLUME_START) {
        if (state_volume(a->s, done.subject) != NULL && done.kind >= JOB_LOCK_HOLD) {
            result_lock(a, state_volume(a->s, done.subject), &done);
        } else if (state_volume(a->s, done.subject) != NULL) {
            result_volume(a, state_volume(a->s, done.subject), &done);
        }
        volumes_remove(a);
    } else if (vm != NULL && vm->job == done.id) {
        result_vm(a, vm, &done);
    }
    return 0;
}

/* ---- deadlines ---- */

/* L2: the executor's own deadline is long past, and it has said nothing. */
static int deadline_job(struct apply *a)
{
    struct job *j = state_job(a->s, a->e->id), gone;
    struct vm *vm;

    if (j == NULL) {
        return reject(a, RC_REFUSED, "that job has ended");
    }
    if (j->kind == JOB_FENCE) {
        struct node *n = state_node(a->s, j->to);

        j->orphan = true; /* N1: it may still act; its target waits, another try may begin */
        if (n != NULL && n->state == NODE_UNCLEAN) {
            n->fence_tries++;
            text_format(n->error, sizeof n->error, "node '%s' has not reported the end of the fence agent",
                        a->s->node[j->node].name);
        }
        return 0;
    }
    gone = *j;
    state_remove_job(a->s, j);
    vm = state_vm(a->s, gone.subject);
    if (gone.kind == JOB_FENCE_STATUS) {
        fence_status_failed(a, &gone, JOB_SILENT);
    } else if (gone.kind >= JOB_VOLUME_START) {
        struct volume *v = state_volume(a->s, gone.subject);

        if (v != NULL) {
            v->busy &= ~NODE_BIT(gone.node);
            v->wait |= NODE_BIT(gone.node);
            text_format(v->error, sizeof v->error, "%s on node '%s': " JOB_SILENT, job_kind_key(gone.kind),
                        a->s->node[gone.node].name);
            if (gone.kind >= JOB_LOCK_HOLD) {
                v->unproven |= NODE_BIT(gone.node);
                v->holding = v->holding && gone.kind != JOB_LOCK_HOLD;
            }
        }
        volumes_remove(a);
    } else if (vm != NULL && vm->job == gone.id) {
        struct claim *c = vm_claim(vm, gone.node);

        vm->job = 0;
        vm->changed = a->index;
        if (c != NULL) {
            claim_seen(a, vm, c, MUTANT(overdue_taken_as_absent) ? OBS_ABSENT : OBS_UNKNOWN);
        }
        op_failed_try(vm, state_op(a->s, vm->op), &gone, JOB_SILENT);
    }
    return 0;
}

static int deadline_vm(struct apply *a)
{
    unsigned n = a->s->waiting_all ? a->s->vms : a->s->waitings;

    for (unsigned i = 0; i < n; i++) {
        struct vm *vm = a->s->waiting_all ? a->s->vm[i] : a->s->waiting[i];

        if (vm->changed == a->e->index && name_hash(vm->name) == a->e->id && vm->wait) {
            state_touch(a->s, vm);
            vm->wait = false;
            return 0;
        }
    }
    return reject(a, RC_REFUSED, "that VM does not wait any more");
}

static int deadline_volume(struct apply *a)
{
    for (unsigned i = 0; i < a->s->volumes; i++) {
        struct volume *v = a->s->volume[i];

        for (uint32_t n = 1; n <= NODES_MAX; n++) {
            if ((v->wait & NODE_BIT(n)) != 0 && (name_hash(v->name) ^ n) == a->e->id) {
                v->wait &= ~NODE_BIT(n);
                return 0;
            }
        }
    }
    return reject(a, RC_REFUSED, "that volume does not wait any more");
}

int apply_deadline(struct apply *a)
{
    struct node *n = state_node(a->s, (uint32_t)a->e->id);

    switch ((enum deadline_kind)a->e->num) {
    case DL_GRACE:
        if (n == NULL || n->state != NODE_GRACE || n->loss != a->e->index) {
            return reject(a, RC_REFUSED, "that node's clusterd is back");
        }
        node_become(a, n, NODE_UNCLEAN); /* N2 */
        return 0;
    case DL_FENCE:
        if (n == NULL || !n->fence_wait || n->fence_tries != a->e->index) {
            return reject(a, RC_REFUSED, "that node's fence does not wait any more");
        }
        n->fence_wait = false;
        return 0;
    case DL_VM:
        return deadline_vm(a);
    case DL_VOLUME:
        return deadline_volume(a);
    case DL_JOB:
        return deadline_job(a);
    case DL_STARTUP:
        if (a->e->id != a->s->term) {
            return reject(a, RC_REFUSED, "that term is over");
        }
        a->s->startup = false;
        return 0;
    case DL_ARM:
        if (a->e->id != a->s->disarm.index) {
            return reject(a, RC_REFUSED, "that pause of high availability is over");
        }
        memset(&a->s->disarm, 0, sizeof a->s->disarm);
        return 0;
    default:
        return reject(a, RC_BAD_INPUT, "a deadline of unknown kind");
    }
}
