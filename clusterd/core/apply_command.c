/* apply_command.c - what an operator asked for: checked against the state, refused with a reason, or begun.
 */
#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

static struct vm *the_vm(struct apply *a)
{
    struct vm *vm = state_vm(a->s, a->e->subject);

    if (vm == NULL) {
        (void)reject(a, RC_NOT_FOUND, "there is no VM '%s'", a->e->subject);
        advise(a, "clusterctl vm list shows them");
    }
    return vm;
}

static struct node *the_node(struct apply *a, uint32_t id)
{
    struct node *n = state_node(a->s, id);

    if (n == NULL) {
        (void)reject(a, RC_NOT_FOUND, "there is no node %u", id);
        advise(a, "clusterctl node list shows them");
    }
    return n;
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
        node_become(a, n, NODE_UNCLEAN); /* by order: from now on it is lost, like one that fell silent */
        n->loss = a->index;
        n->inventory_term = 0;
        node_drop_jobs(a, n->id, true);
        node_doubt_claims(a, n->id);
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

/* ---- VMs ---- */

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

static int cmd_vm_add(struct apply *a)
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

static int cmd_vm_remove(struct apply *a)
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

static int cmd_vm_set(struct apply *a)
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

static int cmd_vm_start(struct apply *a)
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

static int cmd_vm_stop(struct apply *a)
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

static int cmd_vm_reset(struct apply *a)
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

static int cmd_vm_migrate(struct apply *a)
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

/* ---- volumes and fence devices ---- */

static int cmd_volume_add(struct apply *a)
{
    const char *type = event_get(a->e, "type"), *source = event_get(a->e, "source");
    const char *given = event_get(a->e, "path");
    char path[PATH_SIZE];
    struct volume *v;

    text_format(path, sizeof path, "%s", given ? given : "");
    if (given == NULL) {
        text_format(path, sizeof path, "/var/lib/clusterd/volumes/%s", a->e->subject);
    }
    if (a->e->subject[0] == '\0' || source == NULL || source[0] != '/' || strlen(source) >= PATH_SIZE ||
        path[0] != '/' || (given != NULL && strlen(given) >= PATH_SIZE)) {
        return reject(a, RC_USAGE, "volume '%s' needs an absolute path as its source", a->e->subject);
    }
    if (type == NULL || strcmp(type, "directory") != 0) {
        return reject(a, RC_USAGE, "'%s' is no type of volume: it is directory", type ? type : "");
    }
    if (state_volume(a->s, a->e->subject) != NULL) {
        return reject(a, RC_REFUSED, "there is a volume '%s' already", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->volumes; i++) {
        if (strcmp(a->s->volume[i]->source, source) == 0) {
            return reject(a, RC_REFUSED, "'%.200s' is the source of volume '%s' already", source,
                          a->s->volume[i]->name);
        }
    }
    v = calloc(1, sizeof *v);
    if (v == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    text_copy(v->name, sizeof v->name, a->e->subject);
    text_copy(v->type, sizeof v->type, type);
    text_copy(v->source, sizeof v->source, source);
    text_copy(v->path, sizeof v->path, path);
    if (state_add_volume(a->s, v) != 0) {
        free(v);
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    return 0;
}

static int cmd_volume_remove(struct apply *a)
{
    struct volume *v = state_volume(a->s, a->e->subject);
    struct op *o;

    if (v == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no volume '%s'", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->vms; i++) {
        for (unsigned d = 0; d < a->s->vm[i]->disks; d++) {
            if (path_is_below(a->s->vm[i]->disk[d], v->path)) {
                (void)reject(a, RC_REFUSED, "volume '%s' has a disk of VM '%s'", v->name, a->s->vm[i]->name);
                advise(a, "remove the VM from the cluster first, or move its disk");
                return RC_REFUSED;
            }
        }
    }
    if (v->removing) {
        return reject(a, RC_REFUSED, "volume '%s' is being removed already", v->name);
    }
    if (v->online == 0 && v->busy == 0) {
        state_remove_volume(a->s, v);
        return 0;
    }
    o = op_new(a, OP_VOLUME_REMOVE, v->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    op_become(a, o, OPS_RUNNING);
    v->removing = true;
    v->wait = 0;
    return 0;
}

/* "1,2,3" -> a set; 0 when it is not a list of node ids. */
node_set nodes_parse(const char *text)
{
    node_set set = 0;

    while (text != NULL && *text != '\0') {
        uint32_t id = 0;

        for (; *text >= '0' && *text <= '9' && id <= NODES_MAX; text++) {
            id = id * 10 + (uint32_t)(*text - '0');
        }
        if (id == 0 || id > NODES_MAX || (*text != ',' && *text != '\0')) {
            return 0;
        }
        set |= NODE_BIT(id);
        text += *text == ',';
    }
    return set;
}

static int fence_fill(struct fence_device *f, const struct event *e)
{
    f->param = calloc(e->kvs ? e->kvs : 1, sizeof *f->param);
    if (f->param == NULL) {
        return RC_NO_MEMORY;
    }
    for (unsigned i = 0; i < e->kvs; i++) {
        if (strncmp(e->kv[i].key, "param.", 6) != 0) {
            continue;
        }
        f->param[f->params].key = strdup(e->kv[i].key + 6);
        f->param[f->params].value = strdup(e->kv[i].value);
        f->params++;
        if (f->param[f->params - 1].key == NULL || f->param[f->params - 1].value == NULL) {
            return RC_NO_MEMORY;
        }
    }
    return 0;
}

static int cmd_fence_add(struct apply *a)
{
    const char *agent = event_get(a->e, "agent");
    node_set nodes = nodes_parse(event_get(a->e, "nodes"));
    struct fence_device *f;

    if (a->e->subject[0] == '\0' || agent == NULL || strncmp(agent, "fence_", 6) != 0 ||
        strlen(agent) >= NAME_SIZE || strchr(agent, '/') != NULL) {
        return reject(a, RC_USAGE, "'%s' is no fence agent: its name begins with fence_", agent ? agent : "");
    }
    if (nodes == 0) {
        return reject(a, RC_USAGE, "fence device '%s' needs the nodes that it reaches", a->e->subject);
    }
    if (state_fence(a->s, a->e->subject) != NULL) {
        return reject(a, RC_REFUSED, "there is a fence device '%s' already", a->e->subject);
    }
    f = calloc(1, sizeof *f);
    if (f == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    text_copy(f->name, sizeof f->name, a->e->subject);
    text_copy(f->agent, sizeof f->agent, agent);
    f->nodes = nodes;
    f->level = (uint32_t)a->e->num;
    if (fence_fill(f, a->e) != 0 || state_add_fence(a->s, f) != 0) {
        fence_free(f);
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    return 0;
}

static int cmd_fence_remove(struct apply *a)
{
    struct fence_device *f = state_fence(a->s, a->e->subject);

    if (f == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no fence device '%s'", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        if (a->s->job[i].kind == JOB_FENCE && strcmp(a->s->job[i].subject, f->name) == 0) {
            return reject(a, RC_REFUSED, "fence device '%s' is at work", f->name);
        }
    }
    state_remove_fence(a->s, f);
    return 0;
}

static int cmd_fence_test(struct apply *a)
{
    struct op *o;

    if (state_fence(a->s, a->e->subject) == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no fence device '%s'", a->e->subject);
    }
    o = op_new(a, OP_FENCE_TEST, a->e->subject);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
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
