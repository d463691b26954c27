#include "adapters/view_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Why not, and by how much. */
static void add_arithmetic(struct view *v)
{
    struct journal_status *j = calloc(1, sizeof *j);
    size_t len = strlen(v->problem);

    if (j != NULL && v->journal != NULL) {
        journal_status(v->journal, j);
        if (j->present_votes < j->quorum && j->votes > 0) { /* else it is not the votes that are missing */
            (void)snprintf(v->problem + len, sizeof v->problem - len,
                           " (%u of %u votes are here, %u are needed)", j->present_votes, j->votes,
                           j->quorum);
        }
    }
    free(j);
}

void view_init(struct view *v, const struct shell *sh)
{
    memset(v, 0, sizeof *v);
    v->s = shell_state(sh);
    v->journal = shell_journal(sh);
    v->shell = sh;
    shell_world(sh, &v->world);
    v->quorate = shell_quorate(sh, v->problem, sizeof v->problem);
    if (!v->quorate && strstr(v->problem, "votes") == NULL) {
        add_arithmetic(v);
    }
}

static struct json_object *settings(const struct option_row *rows, unsigned n, const void *base)
{
    struct json_object *o = json_object_new_object();
    char text[32];

    for (unsigned i = 0; i < n; i++) {
        option_text(&rows[i], base, text, sizeof text);
        view_put_text(o, rows[i].key, text);
    }
    return o;
}

void view_waits(const struct state *s, const struct world *w, const struct vm *vm, char why[TEXT_SIZE])
{
    static const char mark[] = "\nwaits: "; /* explain's own line */
    struct buf b = BUF_INIT;
    const char *at;

    why[0] = '\0';
    if (core_explain_vm(s, w, vm->name, &b) == 0) {
        buf_u8(&b, 0);
        at = b.failed ? NULL : strstr((const char *)b.data, mark);
        if (at != NULL) {
            at += strlen(mark);
            (void)snprintf(why, TEXT_SIZE, "%.*s", (int)strcspn(at, "\n"), at);
        }
    }
    buf_fini(&b);
}

/* ---- operations ---- */

static struct json_object *progress(const struct view *v, const struct op *op)
{
    double p = op->state == OPS_DONE ? 1.0 : -1.0;

    if (op->state == OPS_RUNNING && v->shell != NULL) {
        p = shell_progress(v->shell, op->id);
    }
    if (op->state == OPS_QUEUED) {
        p = 0.0;
    }
    /* Two decimals: a text of its own keeps json-c from printing seventeen. */
    if (p >= 0) {
        char text[16];

        (void)snprintf(text, sizeof text, "%.2f", p > 1 ? 1.0 : p);
        return json_object_new_double_s(p > 1 ? 1.0 : p, text);
    }
    return NULL;
}

static bool op_of_vm(const struct op *op)
{
    return op->kind >= OP_START && op->kind <= OP_MOVE;
}

/* A drain's or resume's parts: how many VMs it moved and still moves. */
static struct json_object *children(const struct view *v, const struct op *op)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < v->s->ops; i++) {
        if (v->s->op[i].parent == op->id) {
            (void)json_object_array_add(list, view_operation(v, &v->s->op[i], false));
        }
    }
    return list;
}

/* The VMs that hold a drain up, and why. */
static struct json_object *blocked(const struct view *v, const struct op *op)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < v->s->vms && op->state < OPS_DONE; i++) {
        const struct vm *vm = v->s->vm[i];
        struct json_object *o;
        char why[TEXT_SIZE];

        if (vm->owner != op->node || vm->op != 0 || vm->job != 0) {
            continue;
        }
        view_waits(v->s, &v->world, vm, why);
        if (why[0] != '\0') {
            o = json_object_new_object();
            view_put_text(o, "vm", vm->name);
            view_put_text(o, "why", why);
            (void)json_object_array_add(list, o);
        }
    }
    return list;
}

/* What a VM's operation waits for; empty while an agent is at work. */
static const char *op_waits(const struct view *v, const struct op *op, char why[TEXT_SIZE])
{
    const struct vm *vm = state_vm(v->s, op->subject);

    why[0] = '\0';
    if (vm != NULL && vm->op == op->id && vm->job == 0) {
        view_waits(v->s, &v->world, vm, why);
    }
    return why;
}

struct json_object *view_operation(const struct view *v, const struct op *op, bool full)
{
    struct json_object *o = json_object_new_object();
    char why[TEXT_SIZE];

    view_put_id(o, "id", op->id);
    view_put_text(o, "kind", op_kind_key(op->kind));
    view_put_text(o, "vm", op_of_vm(op) ? op->subject : NULL);
    view_put(o, "from", view_node_name(v, op->from));
    view_put(o, "to", view_node_name(v, op->to));
    view_put_text(o, "state", op_state_key(op->state));
    view_put(o, "progress", progress(v, op));
    view_put_time(o, "started", op->started_ms);
    view_put_time(o, "ended", op->ended_ms);
    view_put_text(o, "error", op->error);
    view_put(o, "node", view_node_name(v, op->node));
    view_put_text(o, "volume", op->kind == OP_VOLUME_REMOVE ? op->subject : NULL);
    view_put_text(o, "fence", op->kind == OP_FENCE_TEST ? op->subject : NULL);
    view_put_id(o, "parent", op->parent);
    view_put_text(o, "by", op->by);
    view_put_text(o, "why", op->why);
    if (full && op_of_vm(op) && op->state < OPS_DONE) {
        view_put_text(o, "waits", op_waits(v, op, why));
    }
    if (full && (op->kind == OP_DRAIN || op->kind == OP_RESUME)) {
        view_put(o, "operations", children(v, op));
        view_put(o, "blocked", op->kind == OP_DRAIN ? blocked(v, op) : json_object_new_array());
    }
    return o;
}

/* ---- nodes ---- */

static void node_more(const struct view *v, const struct node *n, struct json_object *o)
{
    struct json_object *vms = json_object_new_array(), *fences = json_object_new_array();
    struct buf b = BUF_INIT;

    for (unsigned i = 0; i < v->s->vms; i++) {
        if (vm_claim(v->s->vm[i], n->id) != NULL || v->s->vm[i]->owner == n->id) {
            (void)json_object_array_add(vms, json_object_new_string(v->s->vm[i]->name));
        }
    }
    for (unsigned i = 0; i < v->s->fences; i++) {
        if ((v->s->fence[i]->nodes & NODE_BIT(n->id)) != 0) {
            (void)json_object_array_add(fences, json_object_new_string(v->s->fence[i]->name));
        }
    }
    view_put(o, "vm_names", vms);
    view_put(o, "fences", fences);
    view_put_text(o, "boot", n->boot);
    view_put_int(o, "feature_level", n->feature_level);
    view_put_id(o, "loss", n->loss);
    view_put_int(o, "fence_tries", n->fence_tries);
    if (core_explain_node(v->s, &v->world, n->name, &b) == 0 && !b.failed && b.len > 0) {
        view_put(o, "why", view_text((const char *)b.data, b.len));
    } else {
        view_put(o, "why", NULL);
    }
    buf_fini(&b);
}

struct json_object *view_node(const struct view *v, const struct node *n, bool full)
{
    struct json_object *o = json_object_new_object();

    view_put_text(o, "name", n->name);
    view_put_int(o, "id", n->id);
    view_put_text(o, "state", node_state_key(v->s, n));
    view_put_text(o, "mode", node_mode_key(n->mode));
    view_put_int(o, "memory_mib", n->memory_mib);
    view_put_int(o, "memory_used_mib", node_memory_used_mib(v->s, n->id));
    view_put_int(o, "cpus", n->cpus);
    view_put_int(o, "vms", view_vms_on(v->s, n->id));
    view_put_id(o, "operation", n->op);
    view_put_text(o, "error", n->error);
    if (full) {
        node_more(v, n, o);
    }
    return o;
}

/* ---- VMs ---- */

static struct json_object *claims(const struct view *v, const struct vm *vm)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < vm->claims; i++) {
        struct json_object *o = json_object_new_object();

        view_put(o, "node", view_node_name(v, vm->claim[i].node));
        view_put_text(o, "observed", obs_key(vm->claim[i].obs));
        (void)json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *texts(const char *first, size_t stride, unsigned n)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < n; i++) {
        (void)json_object_array_add(list, json_object_new_string(first + i * stride));
    }
    return list;
}

static void vm_more(const struct view *v, const struct vm *vm, struct json_object *o)
{
    const struct option_row *rows;
    struct buf b = BUF_INIT;
    unsigned n;

    view_put_text(o, "uuid", vm->uuid);
    view_put_int(o, "memory_mib", vm->memory_mib);
    view_put_int(o, "cpus", vm->cpus);
    view_put(o, "disks", texts(vm->disk ? vm->disk[0] : NULL, sizeof vm->disk[0], vm->disks));
    view_put(o, "networks", texts(vm->network ? vm->network[0] : NULL, sizeof vm->network[0], vm->networks));
    rows = vm_setting_rows(&n);
    view_put(o, "settings", settings(rows, n, &vm->set));
    view_put(o, "home", view_node_name(v, vm->home));
    view_put(o, "claims", claims(v, vm));
    view_put_text(o, "saved_state", vm->saved.tag ? vm->saved.path : NULL);
    view_put_int(o, "tries", vm->tries);
    view_put_int(o, "restarts", vm->restarts);
    if (core_explain_vm(v->s, &v->world, vm->name, &b) == 0 && !b.failed && b.len > 0) {
        view_put(o, "why", view_text((const char *)b.data, b.len));
    } else {
        view_put(o, "why", NULL);
    }
    buf_fini(&b);
}

struct json_object *view_vm(const struct view *v, const struct vm *vm, bool full)
{
    struct json_object *o = json_object_new_object();

    view_put_text(o, "name", vm->name);
    view_put_text(o, "state", vm_state_key(v->s, vm));
    view_put(o, "node", view_node_name(v, vm_where(v->s, vm)));
    view_put(o, "owner", view_node_name(v, vm->owner));
    view_put_text(o, "wanted", vm_wanted_key(vm->wanted));
    view_put_text(o, "priority", priority_key((enum priority)vm->set.priority));
    view_put_id(o, "operation", vm->op);
    view_put_text(o, "error", vm->error);
    if (full) {
        vm_more(v, vm, o);
    }
    return o;
}

/* ---- volumes and fence devices ---- */

static const char *volume_state(const struct state *s, const struct volume *vol)
{
    node_set all = view_nodes_online(s);

    if (vol->removing) {
        return "removing";
    }
    if ((vol->online & all) == all && all != 0) {
        return "online";
    }
    return (vol->online & all) != 0 ? "partial" : "offline";
}

static uint32_t lowest(node_set set)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((set & NODE_BIT(id)) != 0) {
            return id;
        }
    }
    return 0;
}

/* C5, C7: between which pairs of nodes the volume's image locks were seen to hold, both ways. */
static bool locks_proven(const struct volume *vol, node_set online)
{
    for (uint32_t a = 1; a <= NODES_MAX; a++) {
        if ((online & NODE_BIT(a)) != 0 &&
            (vol->proven[a] & online & ~NODE_BIT(a)) != (online & ~NODE_BIT(a))) {
            return false;
        }
    }
    return true;
}

struct json_object *view_volume(const struct view *v, const struct volume *vol, bool full)
{
    struct json_object *o = json_object_new_object();
    node_set online = vol->online & view_nodes_online(v->s);

    view_put_text(o, "name", vol->name);
    view_put_text(o, "type", vol->type);
    view_put_text(o, "path", vol->path);
    view_put_text(o, "state", volume_state(v->s, vol));
    view_put(o, "owner", view_node_name(v, lowest(online)));
    view_put_int(o, "size_bytes", vol->size_bytes);
    view_put_int(o, "free_bytes", vol->free_bytes);
    view_put(o, "nodes", view_node_names(v, online));
    view_put_text(o, "source", vol->source);
    view_put_text(o, "error", vol->error);
    if (full) {
        struct json_object *vms = json_object_new_array();
        size_t len = strlen(vol->path);

        for (unsigned i = 0; i < v->s->vms; i++) {
            const struct vm *vm = v->s->vm[i];
            bool here = false;

            for (unsigned d = 0; d < vm->disks && !here; d++) {
                here = strncmp(vm->disk[d], vol->path, len) == 0 && vm->disk[d][len] == '/';
            }
            if (here) {
                (void)json_object_array_add(vms, json_object_new_string(vm->name));
            }
        }
        view_put(o, "vm_names", vms);
        view_put(o, "missing_on", view_node_names(v, view_nodes_online(v->s) & ~vol->online));
        view_put_bool(o, "locks_proven", locks_proven(vol, online));
    }
    return o;
}

static bool is_secret(const char *key)
{
    return strstr(key, "passw") != NULL || strstr(key, "secret") != NULL || strstr(key, "token") != NULL ||
           strstr(key, "key") != NULL;
}

struct json_object *view_fence(const struct view *v, const struct fence_device *f, bool secrets)
{
    struct json_object *o = json_object_new_object(), *params = json_object_new_object();

    view_put_text(o, "name", f->name);
    view_put_text(o, "agent", f->agent);
    view_put(o, "nodes", view_node_names(v, f->nodes));
    view_put_int(o, "level", f->level);
    for (unsigned i = 0; i < f->params; i++) {
        const char *value = f->param[i].value;

        view_put(params, f->param[i].key,
                 json_object_new_string(!secrets && is_secret(f->param[i].key) ? "********" : value));
    }
    view_put(o, "parameters", params);
    return o;
}

struct json_object *view_rule(const struct view *v, const struct rule *r)
{
    struct json_object *o = json_object_new_object(), *vms = json_object_new_array();

    for (unsigned i = 0; i < r->vms; i++) {
        (void)json_object_array_add(vms, json_object_new_string(r->vm[i]->name));
    }
    view_put_id(o, "id", r->id);
    view_put_text(o, "kind", rule_kind_key(r->kind));
    view_put(o, "vms", vms);
    view_put(o, "possible", view_node_names(v, r->possible));
    view_put(o, "preferred", view_node_names(v, r->preferred));
    return o;
}

/* ---- the cluster ---- */

/* N4: who has paused high availability, since when and until when; nulls while it is armed. */
static void put_disarmed(struct json_object *o, const struct disarm *p)
{
    bool paused = p->index != 0;

    view_put_bool(o, "armed", !paused);
    view_put_text(o, "disarmed_by", p->by);
    view_put_time(o, "disarmed_since", paused ? p->since_ms : 0);
    view_put_time(o, "disarmed_until", paused && p->ms != 0 ? p->since_ms + p->ms : 0);
}

struct json_object *view_cluster(const struct view *v)
{
    struct json_object *o = json_object_new_object();
    struct journal_status *j = calloc(1, sizeof *j);

    if (j != NULL && v->journal != NULL) {
        journal_status(v->journal, j);
    }
    view_put_text(o, "name", v->s->cluster);
    view_put_bool(o, "quorate", v->quorate);
    view_put(o, "coordinator", v->quorate ? view_node_name(v, v->s->coordinator) : NULL);
    view_put_int(o, "term", v->s->term);
    view_put_int(o, "index", v->s->index);
    put_disarmed(o, &v->s->disarm);
    view_put_int(o, "votes", j ? j->present_votes : 0);
    view_put_int(o, "expected_votes", j ? j->votes : 0);
    view_put_int(o, "quorum", j ? j->quorum : 0);
    view_put_int(o, "feature_level", v->s->level);
    view_put_text(o, "problem", v->quorate ? NULL : v->problem);
    view_put_text(o, "stopped", j ? j->stopped : NULL);
    free(j);
    return o;
}

struct json_object *view_status(const struct view *v)
{
    struct json_object *o = json_object_new_object(), *nodes = json_object_new_array(),
                       *vms = json_object_new_array(), *volumes = json_object_new_array(),
                       *ops = json_object_new_array();

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (state_node(v->s, id) != NULL) {
            (void)json_object_array_add(nodes, view_node(v, state_node(v->s, id), false));
        }
    }
    for (unsigned i = 0; i < v->s->vms; i++) {
        (void)json_object_array_add(vms, view_vm(v, v->s->vm[i], false));
    }
    for (unsigned i = 0; i < v->s->volumes; i++) {
        (void)json_object_array_add(volumes, view_volume(v, v->s->volume[i], false));
    }
    for (unsigned i = 0; i < v->s->ops; i++) {
        if (v->s->op[i].state < OPS_DONE) {
            (void)json_object_array_add(ops, view_operation(v, &v->s->op[i], false));
        }
    }
    view_put(o, "cluster", view_cluster(v));
    view_put(o, "problems", view_problems(v));
    view_put(o, "nodes", nodes);
    view_put(o, "vms", vms);
    view_put(o, "volumes", volumes);
    view_put(o, "operations", ops);
    return o;
}

/* ---- quorum ---- */

static struct json_object *vote(const struct view *v, const struct journal_peer_status *p)
{
    struct json_object *o = json_object_new_object();

    view_put(o, "name",
             p->member.kind == JOURNAL_WITNESS ? json_object_new_string("witness")
                                               : view_node_name(v, p->member.node));
    view_put_int(o, "id", p->member.node);
    view_put_int(o, "votes", p->member.votes);
    view_put_bool(o, "present", p->present);
    view_put_bool(o, "counted", p->counted);
    view_put_bool(o, "catching_up", p->lagging);
    return o;
}

struct json_object *view_quorum(const struct view *v)
{
    struct json_object *o = view_cluster(v), *list = json_object_new_array();
    struct journal_status *j = calloc(1, sizeof *j);
    unsigned spare = 0;

    if (j != NULL && v->journal != NULL) {
        journal_status(v->journal, j);
        for (size_t i = 0; i < j->n_peers; i++) {
            (void)json_object_array_add(list, vote(v, &j->peers[i]));
        }
        spare = j->present_votes > j->quorum ? j->present_votes - j->quorum : 0;
        view_put_text(o, "role", journal_role_name(j->role));
    }
    view_put_int(o, "can_lose", spare);
    view_put_time(o, "time", v->s->time_ms);
    view_put(o, "witness", NULL);
    view_put(o, "members", list);
    free(j);
    return o;
}

/* ---- options and events ---- */

struct json_object *view_options(const struct view *v)
{
    struct json_object *list = json_object_new_array();
    unsigned n;
    const struct option_row *rows = option_rows(&n);
    struct options dflt;
    char text[32];

    options_init(&dflt);
    for (unsigned i = 0; i < n; i++) {
        struct json_object *o = json_object_new_object();

        view_put_text(o, "key", rows[i].key);
        option_text(&rows[i], &v->s->opt, text, sizeof text);
        view_put_text(o, "value", text);
        option_text(&rows[i], &dflt, text, sizeof text);
        view_put_text(o, "default", text);
        view_put_text(o, "choices", rows[i].choices);
        if (rows[i].choices == NULL) {
            view_put_int(o, "min", rows[i].min);
            view_put_int(o, "max", rows[i].max);
        }
        view_put_text(o, "help", rows[i].help);
        (void)json_object_array_add(list, o);
    }
    return list;
}

struct json_object *view_event(const struct history_row *row)
{
    struct json_object *o = json_object_new_object();

    view_put_time(o, "time", row->time_ms);
    view_put_int(o, "term", row->term);
    view_put_int(o, "index", row->index);
    view_put_text(o, "kind", row->kind);
    view_put_text(o, "node", row->node);
    view_put_text(o, "vm", row->vm);
    view_put_id(o, "op", row->op);
    view_put_text(o, "text", row->text);
    view_put_text(o, "why", row->why);
    return o;
}
