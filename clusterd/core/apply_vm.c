/* apply_vm.c - an operator's commands about VMs. */
#include "core/apply.h"

#include "common/mutant.h"

#include <stdlib.h>
#include <string.h>

static struct vm *the_vm(struct apply *a)
{
    struct vm *vm = state_vm(a->s, a->e->subject);

    if (vm == NULL) {
        (void)reject(a, RC_NOT_FOUND, "there is no VM '%s'", a->e->subject);
        advise(a, "clusterctl vm list shows them");
    }
    return vm;
}

static int vm_not_busy(struct apply *a, const struct vm *vm)
{
    const struct op *o = state_op(a->s, vm->op);

    if (o != NULL) {
        (void)reject(a, RC_REFUSED, "VM '%s' is busy: %s since operation %llu", vm->name,
                     op_kind_key(o->kind), (unsigned long long)o->id);
        advise(a, "wait for it with clusterctl ops wait %llu, or end it with clusterctl ops cancel %llu",
               (unsigned long long)o->id, (unsigned long long)o->id);
        return RC_REFUSED;
    }
    return 0;
}

/* A13: an older node does not count what waits for its turn, and must come to the same answer. */
static void used_at_level_1(const struct state *s, struct usage *u)
{
    *u = s->used;
    for (unsigned i = 0; i < s->vms; i++) {
        const struct vm *vm = s->vm[i];
        const struct op *o = state_op(s, vm->op);

        if (o != NULL && o->state == OPS_QUEUED && o->to != 0 &&
            (vm->spoken & ~vm_claim_set(vm) & NODE_BIT(o->to)) != 0) {
            u->mib[o->to] -= vm->spoken_mib;
        }
    }
}

/* May this VM be put on that node? Says why not. */
static int check_target(struct apply *a, const struct vm *vm, uint32_t id)
{
    const struct node *n = the_node(a, id);
    struct usage u = a->s->used;
    enum place_bar bar;
    char why[TEXT_SIZE];

    if (n == NULL) {
        return a->out->rc;
    }
    if (n->state != NODE_ONLINE) {
        return reject(a, RC_REFUSED, "node '%s' is %s", n->name, node_state_key(a->s, n));
    }
    if (n->mode != MODE_ACTIVE) {
        (void)reject(a, RC_REFUSED, "node '%s' is %s", n->name, node_mode_key(n->mode));
        advise(a, "clusterctl node resume %s makes it take VMs again", n->name);
        return RC_REFUSED;
    }
    if (a->s->level < 2) {
        used_at_level_1(a->s, &u);
    }
    bar = place_barred(a->s, &u, vm, id, why);
    if (bar != BAR_NONE) {
        (void)reject(a, RC_REFUSED, "VM '%s' cannot be on node '%s': %s", vm->name, n->name, why);
        advise(a, "%s",
               bar == BAR_ROOM
                   ? "choose another node, or move something away from it"
                   : "clusterctl rule list shows the rules, clusterctl rule remove takes one away");
        return RC_REFUSED;
    }
    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(a->s, vm->disk[i]);

        if (v != NULL && (v->online & NODE_BIT(id)) == 0) {
            return reject(a, RC_REFUSED, "volume '%s' is not online on node '%s'", v->name, n->name);
        }
    }
    return 0;
}

static unsigned count_key(const struct event *e, const char *key)
{
    unsigned n = 0;

    for (unsigned i = 0; i < e->kvs; i++) {
        n += strcmp(e->kv[i].key, key) == 0;
    }
    return n;
}

static bool is_spec_key(const char *key)
{
    static const char *const keys[] = {"uuid", "memory_mib", "cpus", "disk", "network", "start", "wanted"};

    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

/* Fills a new VM from the event's pairs. */
static int vm_fill(struct apply *a, struct vm *vm)
{
    const struct event *e = a->e;
    const struct hash zero = {0, 0};

    vm->disk = calloc(count_key(e, "disk") + 1, sizeof *vm->disk);
    vm->network = calloc(count_key(e, "network") + 1, sizeof *vm->network);
    vm->xml = strdup(e->text);
    if (vm->disk == NULL || vm->network == NULL || vm->xml == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    text_copy(vm->name, sizeof vm->name, e->subject);
    text_copy(vm->uuid, sizeof vm->uuid, event_get(e, "uuid"));
    vm->xml_hash = hash_bytes(zero, e->text, strlen(e->text));
    vm->memory_mib = event_get_u64(e, "memory_mib", 0);
    vm->cpus = (uint32_t)event_get_u64(e, "cpus", 1);
    vm_settings_init(&vm->set);
    for (unsigned i = 0; i < e->kvs; i++) {
        const char *key = e->kv[i].key, *value = e->kv[i].value;

        if (strcmp(key, "disk") == 0) {
            text_copy(vm->disk[vm->disks++], PATH_SIZE, value);
        } else if (strcmp(key, "network") == 0) {
            text_copy(vm->network[vm->networks++], NAME_SIZE, value);
        } else if (!is_spec_key(key)) {
            int rc = vm_settings_set(&vm->set, a->s->level, key, value, &a->out->err);

            if (rc != 0) {
                return a->out->rc = rc;
            }
        }
    }
    return 0;
}

static int check_disks(struct apply *a, const struct vm *vm)
{
    for (unsigned i = 0; i < vm->disks; i++) {
        if (vm_volume(a->s, vm->disk[i]) == NULL) {
            (void)reject(a, RC_REFUSED, "disk '%.200s' of VM '%s' is on no shared volume", vm->disk[i],
                         vm->name);
            advise(
                a,
                "put it below a volume's path (clusterctl volume list), so that every node can run the VM");
            return RC_REFUSED;
        }
    }
    return 0;
}

static int vm_start_op(struct apply *a, struct vm *vm, uint32_t to)
{
    struct op *o = op_new(a, OP_START, vm->name);

    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->to = to;
    vm->op = o->id;
    vm->wanted = WANT_RUNNING;
    vm->wait = false;
    vm->tries = vm->conflicts = 0;
    vm->restarts = 0;
    vm->error[0] = '\0';
    vm->changed = a->index;
    return 0;
}

int cmd_vm_add(struct apply *a)
{
    const struct event *e = a->e;
    const char *uuid = event_get(e, "uuid"), *start = event_get(e, "start");
    const struct vm *other;
    struct vm *vm;

    if (e->subject[0] == '\0' || e->text == NULL || uuid == NULL || strlen(uuid) != 36 ||
        event_get_u64(e, "memory_mib", 0) == 0 || count_key(e, "disk") > DISKS_MAX ||
        count_key(e, "network") > NETWORKS_MAX) {
        return reject(a, RC_BAD_INPUT, "the description of VM '%s' is not whole", e->subject);
    }
    if (state_vm(a->s, e->subject) != NULL) {
        (void)reject(a, RC_REFUSED, "there is a VM '%s' already", e->subject);
        advise(a, "give it another name with --name");
        return RC_REFUSED;
    }
    other = state_vm_by_uuid(a->s, uuid);
    if (other != NULL) {
        (void)reject(a, RC_REFUSED, "the UUID %s belongs to VM '%s' already", uuid, other->name);
        advise(a, "remove the <uuid> element to get a new one");
        return RC_REFUSED;
    }
    for (node_set left = state_leaving(a->s); left != 0; left &= left - 1) {
        const struct node *n = state_node(a->s, (uint32_t)__builtin_ctzll(left) + 1);

        if (n->state != NODE_OFFLINE) { /* C1: it could not be asked any more whether it runs there */
            (void)reject(a, RC_REFUSED, "node '%s' is being removed", n->name);
            advise(a, "try again when that is done");
            return RC_REFUSED;
        }
    }
    vm = calloc(1, sizeof *vm);
    if (vm == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    if (vm_fill(a, vm) != 0 || check_disks(a, vm) != 0 ||
        (state_add_vm(a->s, vm) != 0 && reject(a, RC_NO_MEMORY, "out of memory") != 0)) {
        vm_free(vm);
        return a->out->rc;
    }
    vm->changed = a->index;
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (a->s->node[id].id != 0 && a->s->node[id].state != NODE_OFFLINE) {
            vm->unseen |= NODE_BIT(id); /* REQ-F7: it may run there already */
        }
    }
    state_touch(a->s, vm);
    if (start != NULL && strcmp(start, "1") == 0) {
        return vm_start_op(a, vm, 0);
    }
    return 0;
}

int cmd_vm_remove(struct apply *a)
{
    struct vm *vm = the_vm(a);

    if (vm == NULL || vm_not_busy(a, vm) != 0) {
        return a->out->rc;
    }
    if (vm->claims != 0 || vm->job != 0) {
        (void)reject(a, RC_REFUSED, "VM '%s' is %s", vm->name, vm_state_key(a->s, vm));
        advise(a, "stop it first: clusterctl vm stop %s", vm->name);
        return RC_REFUSED;
    }
    if (vm->saved.tag != 0 && !MUTANT(remove_saved)) {
        (void)reject(a, RC_REFUSED, "VM '%s' has a saved state, which would be lost", vm->name);
        advise(a, "start it, or discard the state: clusterctl vm stop --force %s", vm->name);
        return RC_REFUSED;
    }
    state_remove_vm(a->s, vm);
    return 0;
}

int cmd_vm_set(struct apply *a)
{
    struct vm *vm = the_vm(a);
    struct vm_settings set;

    if (vm == NULL) {
        return a->out->rc;
    }
    set = vm->set;
    for (unsigned i = 0; i < a->e->kvs; i++) {
        int rc = vm_settings_set(&set, a->s->level, a->e->kv[i].key, a->e->kv[i].value, &a->out->err);

        if (rc != 0) {
            return a->out->rc = rc;
        }
    }
    vm->set = set;
    return 0;
}

int cmd_vm_start(struct apply *a)
{
    struct vm *vm = the_vm(a);

    if (vm == NULL || vm_not_busy(a, vm) != 0) {
        return a->out->rc;
    }
    if (vm->claims == 1 && vm->claim[0].obs == OBS_RUNNING && vm->wanted == WANT_RUNNING) {
        return reject(a, RC_REFUSED, "VM '%s' runs already on node '%s'", vm->name,
                      a->s->node[vm->claim[0].node].name);
    }
    if (a->e->to != 0 && check_target(a, vm, a->e->to) != 0) {
        return a->out->rc;
    }
    return vm_start_op(a, vm, a->e->to);
}

int cmd_vm_stop(struct apply *a)
{
    struct vm *vm = the_vm(a);
    bool save = (a->e->flags & EVF_SAVE) != 0, force = (a->e->flags & EVF_FORCE) != 0;
    struct op *o, *old;
    bool usable;

    if (vm == NULL) {
        return a->out->rc;
    }
    usable = vm->saved.tag != 0 && !vm->saved.consumed;
    old = state_op(a->s, vm->op);
    /* A VM that is still to be started, or waits for a place, can be stopped at once. */
    if (old != NULL && (vm->job != 0 || old->kind != OP_START) && vm_not_busy(a, vm) != 0) {
        return a->out->rc;
    }
    if (usable && !force && vm->wanted != WANT_RUNNING) {
        (void)reject(a, RC_REFUSED, "VM '%s' is saved, so there is nothing to stop", vm->name);
        advise(a, "clusterctl vm start %s goes on from there; clusterctl vm stop --force %s discards it",
               vm->name, vm->name);
        return RC_REFUSED;
    }
    if (save && (vm->claims != 1 || vm->claim[0].obs != OBS_RUNNING)) {
        return reject(a, RC_REFUSED, "VM '%s' is %s: only a running VM can be saved", vm->name,
                      vm_state_key(a->s, vm));
    }
    if (save && check_savable(a, vm) != 0) {
        return a->out->rc;
    }
    if (old != NULL) {
        op_finish(a, old, OPS_CANCELLED, "the VM was stopped");
    }
    o = op_new(a, save ? OP_SAVE : OP_STOP, vm->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->from = vm->claims ? vm->claim[0].node : 0;
    vm->op = o->id;
    /* One that is saved, and cannot be restored, stays saved: only an explicit word discards the state (S7).
     */
    vm->wanted = save || (usable && !force) ? WANT_SAVED : WANT_STOPPED;
    vm->wait = false;
    vm->tries = 0;
    vm->error[0] = '\0';
    vm->changed = a->index;
    return 0;
}

int cmd_vm_reset(struct apply *a)
{
    struct vm *vm = the_vm(a);
    struct op *o;

    if (vm == NULL || vm_not_busy(a, vm) != 0) {
        return a->out->rc;
    }
    if (vm->claims != 1 || vm->claim[0].obs != OBS_RUNNING) {
        return reject(a, RC_REFUSED, "VM '%s' is %s: only a running VM can be reset", vm->name,
                      vm_state_key(a->s, vm));
    }
    o = op_new(a, OP_RESET, vm->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->from = vm->claim[0].node;
    vm->op = o->id;
    vm->changed = a->index;
    return 0;
}

static int migrate_kind(struct apply *a, const struct vm *vm, const char *mode, enum op_kind *kind)
{
    bool off = vm->claims == 0;
    bool quick = mode != NULL ? strcmp(mode, "quick") == 0 : vm->set.migration == MIG_QUICK;

    if (vm->set.migration == MIG_NONE && !off) {
        (void)reject(a, RC_REFUSED, "VM '%s' may not be moved while it runs (migration=none)", vm->name);
        advise(a, "clusterctl vm set %s migration=auto allows it", vm->name);
        return RC_REFUSED;
    }
    if (!off && (vm->claims != 1 || (vm->claim[0].obs != OBS_RUNNING && vm->claim[0].obs != OBS_PAUSED))) {
        return reject(a, RC_REFUSED, "VM '%s' is %s: it cannot be moved now", vm->name,
                      vm_state_key(a->s, vm));
    }
    if (mode != NULL && strcmp(mode, "live") == 0 && (off || vm->claim[0].obs != OBS_RUNNING)) {
        (void)reject(a, RC_REFUSED, "VM '%s' is %s: only a running VM moves live", vm->name,
                     vm_state_key(a->s, vm));
        advise(a, "leave --live away");
        return RC_REFUSED;
    }
    if (quick && !off && check_savable(a, vm) != 0) {
        return a->out->rc;
    }
    *kind = off ? OP_MOVE : quick ? OP_QUICK : OP_LIVE;
    return 0;
}

int cmd_vm_migrate(struct apply *a)
{
    struct vm *vm = the_vm(a);
    enum op_kind kind = OP_NONE;
    struct op *o;
    uint32_t from;

    if (vm == NULL || vm_not_busy(a, vm) != 0) {
        return a->out->rc;
    }
    from = vm->claims ? vm->claim[0].node : vm->owner;
    if (a->e->to != 0 && a->e->to == from) {
        return reject(a, RC_REFUSED, "VM '%s' is on node '%s' already", vm->name, a->s->node[from].name);
    }
    if (migrate_kind(a, vm, event_get(a->e, "mode"), &kind) != 0 ||
        (a->e->to != 0 && check_target(a, vm, a->e->to) != 0)) {
        return a->out->rc;
    }
    o = op_new(a, kind, vm->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    o->from = from;
    o->to = a->e->to;
    vm->op = o->id;
    vm->home = 0; /* the operator has a new place in mind */
    vm->wait = false;
    vm->tries = 0;
    vm->error[0] = '\0';
    vm->changed = a->index;
    return 0;
}
