#include "adapters/view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* ---- small helpers ---- */

void view_time(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char day[24] = "";

    if (gmtime_r(&seconds, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        day[0] = '\0';
    }
    (void)snprintf(out, 32, "%s.%03dZ", day, (int)(ms % 1000 + 1000) % 1000);
}

static void put(struct json_object *o, const char *key, struct json_object *value)
{
    (void)json_object_object_add(o, key, value);
}

static void put_int(struct json_object *o, const char *key, uint64_t value)
{
    put(o, key, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

static void put_bool(struct json_object *o, const char *key, bool value)
{
    put(o, key, json_object_new_boolean(value));
}

/* Bytes of the UTF-8 character at p; 0 when there is none. */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;

    if (p[0] >= 0xf5 || (p[0] >= 0x80 && p[0] < 0xc2) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* An agent may print anything, and cut it anywhere; JSON and terminals want clean UTF-8. */
static struct json_object *clean_text(const char *text, size_t len)
{
    unsigned char *copy = malloc(len + 4);
    struct json_object *o;

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, text, len);
    memset(copy + len, 0, 4);
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_length(copy + i);
        if (n == 0 || i + n > len || (copy[i] < 0x20 && copy[i] != '\n' && copy[i] != '\t') ||
            copy[i] == 0x7f) {
            n = 1;
            copy[i] = '?';
        }
    }
    o = json_object_new_string_len((const char *)copy, (int)len);
    free(copy);
    return o;
}

/* An empty text is null. */
static void put_text(struct json_object *o, const char *key, const char *value)
{
    put(o, key, value && *value ? clean_text(value, strlen(value)) : NULL);
}

/* 0 is null. Ids are strings, for they are names to everybody but the core. */
static void put_id(struct json_object *o, const char *key, uint64_t id)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, id);
    put_text(o, key, id ? text : NULL);
}

static void put_time(struct json_object *o, const char *key, int64_t ms)
{
    char text[32];

    view_time(ms, text);
    put_text(o, key, ms ? text : NULL);
}

/* A node's name; its number when the state does not know it (yet); null for 0. */
static struct json_object *node_name(const struct view *v, uint32_t id)
{
    const struct node *n = state_node(v->s, id);
    char text[24];

    if (id == 0) {
        return NULL;
    }
    (void)snprintf(text, sizeof text, "%u", id);
    return json_object_new_string(n ? n->name : text);
}

static struct json_object *node_names(const struct view *v, node_set set)
{
    struct json_object *names = json_object_new_array();

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((set & NODE_BIT(id)) != 0) {
            (void)json_object_array_add(names, node_name(v, id));
        }
    }
    return names;
}

static struct json_object *settings(const struct option_row *rows, unsigned n, const void *base)
{
    struct json_object *o = json_object_new_object();
    char text[32];

    for (unsigned i = 0; i < n; i++) {
        option_text(&rows[i], base, text, sizeof text);
        put_text(o, rows[i].key, text);
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
            put_text(o, "vm", vm->name);
            put_text(o, "why", why);
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

    put_id(o, "id", op->id);
    put_text(o, "kind", op_kind_key(op->kind));
    put_text(o, "vm", op_of_vm(op) ? op->subject : NULL);
    put(o, "from", node_name(v, op->from));
    put(o, "to", node_name(v, op->to));
    put_text(o, "state", op_state_key(op->state));
    put(o, "progress", progress(v, op));
    put_time(o, "started", op->started_ms);
    put_time(o, "ended", op->ended_ms);
    put_text(o, "error", op->error);
    put(o, "node", node_name(v, op->node));
    put_text(o, "volume", op->kind == OP_VOLUME_REMOVE ? op->subject : NULL);
    put_text(o, "fence", op->kind == OP_FENCE_TEST ? op->subject : NULL);
    put_id(o, "parent", op->parent);
    put_text(o, "by", op->by);
    put_text(o, "why", op->why);
    if (full && op_of_vm(op) && op->state < OPS_DONE) {
        put_text(o, "waits", op_waits(v, op, why));
    }
    if (full && (op->kind == OP_DRAIN || op->kind == OP_RESUME)) {
        put(o, "operations", children(v, op));
        put(o, "blocked", op->kind == OP_DRAIN ? blocked(v, op) : json_object_new_array());
    }
    return o;
}

/* ---- nodes ---- */

static unsigned vms_on(const struct state *s, uint32_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->vms; i++) {
        n += vm_claim(s->vm[i], node) != NULL;
    }
    return n;
}

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
    put(o, "vm_names", vms);
    put(o, "fences", fences);
    put_text(o, "boot", n->boot);
    put_int(o, "feature_level", n->feature_level);
    put_id(o, "loss", n->loss);
    put_int(o, "fence_tries", n->fence_tries);
    if (core_explain_node(v->s, &v->world, n->name, &b) == 0 && !b.failed && b.len > 0) {
        put(o, "why", clean_text((const char *)b.data, b.len));
    } else {
        put(o, "why", NULL);
    }
    buf_fini(&b);
}

struct json_object *view_node(const struct view *v, const struct node *n, bool full)
{
    struct json_object *o = json_object_new_object();

    put_text(o, "name", n->name);
    put_int(o, "id", n->id);
    put_text(o, "state", node_state_key(v->s, n));
    put_text(o, "mode", node_mode_key(n->mode));
    put_int(o, "memory_mib", n->memory_mib);
    put_int(o, "memory_used_mib", node_memory_used_mib(v->s, n->id));
    put_int(o, "cpus", n->cpus);
    put_int(o, "vms", vms_on(v->s, n->id));
    put_id(o, "operation", n->op);
    put_text(o, "error", n->error);
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

        put(o, "node", node_name(v, vm->claim[i].node));
        put_text(o, "observed", obs_key(vm->claim[i].obs));
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

    put_text(o, "uuid", vm->uuid);
    put_int(o, "memory_mib", vm->memory_mib);
    put_int(o, "cpus", vm->cpus);
    put(o, "disks", texts(vm->disk ? vm->disk[0] : NULL, sizeof vm->disk[0], vm->disks));
    put(o, "networks", texts(vm->network ? vm->network[0] : NULL, sizeof vm->network[0], vm->networks));
    rows = vm_setting_rows(&n);
    put(o, "settings", settings(rows, n, &vm->set));
    put(o, "home", node_name(v, vm->home));
    put(o, "claims", claims(v, vm));
    put_text(o, "saved_state", vm->saved.tag ? vm->saved.path : NULL);
    put_int(o, "tries", vm->tries);
    put_int(o, "restarts", vm->restarts);
    if (core_explain_vm(v->s, &v->world, vm->name, &b) == 0 && !b.failed && b.len > 0) {
        put(o, "why", clean_text((const char *)b.data, b.len));
    } else {
        put(o, "why", NULL);
    }
    buf_fini(&b);
}

struct json_object *view_vm(const struct view *v, const struct vm *vm, bool full)
{
    struct json_object *o = json_object_new_object();

    put_text(o, "name", vm->name);
    put_text(o, "state", vm_state_key(v->s, vm));
    put(o, "node", node_name(v, vm_where(v->s, vm)));
    put(o, "owner", node_name(v, vm->owner));
    put_text(o, "wanted", vm_wanted_key(vm->wanted));
    put_text(o, "priority", priority_key((enum priority)vm->set.priority));
    put_id(o, "operation", vm->op);
    put_text(o, "error", vm->error);
    if (full) {
        vm_more(v, vm, o);
    }
    return o;
}

/* ---- volumes and fence devices ---- */

/* The nodes that a volume should be on: those whose daemon takes part now. */
static node_set nodes_online(const struct state *s)
{
    node_set set = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(s, id);

        if (n != NULL && n->state == NODE_ONLINE) {
            set |= NODE_BIT(id);
        }
    }
    return set;
}

static const char *volume_state(const struct state *s, const struct volume *vol)
{
    node_set all = nodes_online(s);

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
    node_set online = vol->online & nodes_online(v->s);

    put_text(o, "name", vol->name);
    put_text(o, "type", vol->type);
    put_text(o, "path", vol->path);
    put_text(o, "state", volume_state(v->s, vol));
    put(o, "owner", node_name(v, lowest(online)));
    put_int(o, "size_bytes", vol->size_bytes);
    put_int(o, "free_bytes", vol->free_bytes);
    put(o, "nodes", node_names(v, online));
    put_text(o, "source", vol->source);
    put_text(o, "error", vol->error);
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
        put(o, "vm_names", vms);
        put(o, "missing_on", node_names(v, nodes_online(v->s) & ~vol->online));
        put_bool(o, "locks_proven", locks_proven(vol, online));
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

    put_text(o, "name", f->name);
    put_text(o, "agent", f->agent);
    put(o, "nodes", node_names(v, f->nodes));
    put_int(o, "level", f->level);
    for (unsigned i = 0; i < f->params; i++) {
        const char *value = f->param[i].value;

        put(params, f->param[i].key,
            json_object_new_string(!secrets && is_secret(f->param[i].key) ? "********" : value));
    }
    put(o, "parameters", params);
    return o;
}

/* ---- the cluster and its problems ---- */

static void problem(struct json_object *list, const char *about, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void problem(struct json_object *list, const char *about, const char *hint, const char *fmt, ...)
{
    struct json_object *o = json_object_new_object();
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_text(o, "about", about);
    put_text(o, "text", text);
    put_text(o, "hint", hint);
    (void)json_object_array_add(list, o);
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

/* S3: what a lost node waits for, and what waits for it. */
static void unclean_problem(const struct view *v, const struct node *n, struct json_object *list)
{
    bool fencing = strcmp(node_state_key(v->s, n), "fencing") == 0;
    unsigned waiting = vms_on(v->s, n->id);
    char wait[TEXT_SIZE + 96], hint[200];

    (void)snprintf(hint, sizeof hint, "when its power is off for certain: clusterctl node confirm-down %s",
                   n->name);
    if (fencing) {
        (void)snprintf(wait, sizeof wait, "it is being fenced (try %u)", n->fence_tries + 1);
    } else if (!has_fence_device(v->s, n->id)) {
        (void)snprintf(wait, sizeof wait, "no fence device reaches it, so it waits for an operator");
    } else if (n->error[0] != '\0') {
        (void)snprintf(wait, sizeof wait, "fencing failed %u times: %s; it is tried again", n->fence_tries,
                       n->error);
    } else {
        (void)snprintf(wait, sizeof wait, "it waits to be fenced");
    }
    problem(list, n->name, fencing ? NULL : hint, "node '%s' is lost: %s; %u VMs wait for that", n->name,
            wait, waiting);
}

static const char *names_text(const struct view *v, node_set set, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (uint32_t id = 1; id <= NODES_MAX && len < size; id++) {
        const struct node *n = state_node(v->s, id);

        if ((set & NODE_BIT(id)) != 0 && n != NULL) {
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", n->name);
        }
    }
    return out;
}

static void node_problems(const struct view *v, struct json_object *list)
{
    node_set unfenced = 0;
    char names[400], hint[200];

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(v->s, id);

        if (n == NULL) {
            continue;
        }
        unfenced |= n->state == NODE_ONLINE && !has_fence_device(v->s, id) ? NODE_BIT(id) : 0;
        if (n->state == NODE_UNCLEAN) {
            unclean_problem(v, n, list);
        } else if (n->state == NODE_GRACE) {
            problem(list, n->name, "look at its clusterd: systemctl status clusterd",
                    "node '%s' has lost its clusterd: its VMs run on, and are left alone until it is back",
                    n->name);
        } else if (n->state == NODE_ONLINE && n->mode == MODE_DRAINING && n->op == 0) {
            (void)snprintf(hint, sizeof hint,
                           "clusterctl node drain %s tries again, clusterctl node resume %s gives it up",
                           n->name, n->name);
            problem(list, n->name, hint, "node '%s' could not be emptied: %u VMs are left on it", n->name,
                    vms_on(v->s, id));
        } else if (n->state == NODE_OFFLINE && n->fenced) {
            problem(list, n->name, "find out why it was lost, then switch it on",
                    "node '%s' was fenced, and is switched off", n->name);
        } else if (n->state == NODE_JOINING) {
            problem(list, n->name, NULL, "node '%s' is joining: what it runs is not known yet", n->name);
        }
    }
    if (unfenced != 0) {
        problem(list, v->s->cluster, "clusterctl fence add --help",
                "no fence device reaches %s: what is lost there stays down",
                names_text(v, unfenced, names, sizeof names));
    }
}

/* A VM that is not as it is wanted and does not get there by itself at once. What is on a lost node is that
 * node's problem. */
static void vm_problem(const struct view *v, const struct vm *vm, struct json_object *list)
{
    const char *state = vm_state_key(v->s, vm);
    const struct node *owner = state_node(v->s, vm->owner);
    bool leaving = owner != NULL && owner->mode == MODE_DRAINING;
    char hint[160], why[TEXT_SIZE];

    if (vm->op != 0 || vm->job != 0 || strcmp(state, "unknown") == 0 ||
        (!leaving && (vm->wanted != WANT_RUNNING || strcmp(state, "running") == 0))) {
        return;
    }
    view_waits(v->s, &v->world, vm, why);
    if (why[0] != '\0' || vm->error[0] != '\0') {
        (void)snprintf(hint, sizeof hint, "clusterctl explain vm %s", vm->name);
        problem(list, vm->name, hint, "VM '%s' is %s%s: %s", vm->name, state,
                leaving ? ", and cannot leave its node" : "", why[0] != '\0' ? why : vm->error);
    }
}

static void object_problems(const struct view *v, struct json_object *list)
{
    for (unsigned i = 0; i < v->s->volumes; i++) {
        const struct volume *vol = v->s->volume[i];
        node_set missing = nodes_online(v->s) & ~vol->online;

        if (missing != 0 && !vol->removing) {
            char names[400];

            problem(list, vol->name, NULL, "volume '%s' is not on %s%s%s", vol->name,
                    names_text(v, missing, names, sizeof names), vol->error[0] ? ": " : "", vol->error);
        }
    }
    for (unsigned i = 0; i < v->s->vms; i++) {
        const struct vm *vm = v->s->vm[i];
        vm_problem(v, vm, list);
    }
}

/* Some node is not there yet. */
static bool incomplete(const struct state *s)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (state_node(s, id) != NULL && state_node(s, id)->state != NODE_ONLINE) {
            return true;
        }
    }
    return false;
}

static struct json_object *problems(const struct view *v)
{
    struct json_object *list = json_object_new_array();
    char names[400];

    if (!v->quorate) {
        problem(list, v->s->cluster, "clusterctl quorum shows the votes",
                "no quorum: %s; commands are refused, and what is shown here may be old: only %s answers",
                v->problem, names_text(v, v->world.present, names, sizeof names));
    } else if (v->s->startup && incomplete(v->s)) {
        problem(list, v->s->cluster, NULL, "the cluster has just started: absent nodes get time to come");
    }
    node_problems(v, list);
    object_problems(v, list);
    return list;
}

static uint32_t feature_level(const struct state *s)
{
    uint32_t level = 1;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(s, id);

        if (n != NULL && n->state == NODE_ONLINE && (level == 1 || n->feature_level < level)) {
            level = n->feature_level;
        }
    }
    return level;
}

struct json_object *view_cluster(const struct view *v)
{
    struct json_object *o = json_object_new_object();
    struct journal_status *j = calloc(1, sizeof *j);

    if (j != NULL && v->journal != NULL) {
        journal_status(v->journal, j);
    }
    put_text(o, "name", v->s->cluster);
    put_bool(o, "quorate", v->quorate);
    put(o, "coordinator", v->quorate ? node_name(v, v->s->coordinator) : NULL);
    put_int(o, "term", v->s->term);
    put_int(o, "index", v->s->index);
    put_bool(o, "armed", true);
    put_int(o, "votes", j ? j->present_votes : 0);
    put_int(o, "expected_votes", j ? j->votes : 0);
    put_int(o, "quorum", j ? j->quorum : 0);
    put_int(o, "feature_level", feature_level(v->s));
    put_text(o, "problem", v->quorate ? NULL : v->problem);
    put_text(o, "stopped", j ? j->stopped : NULL);
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
    put(o, "cluster", view_cluster(v));
    put(o, "problems", problems(v));
    put(o, "nodes", nodes);
    put(o, "vms", vms);
    put(o, "volumes", volumes);
    put(o, "operations", ops);
    return o;
}

/* ---- quorum ---- */

static struct json_object *vote(const struct view *v, const struct journal_peer_status *p)
{
    struct json_object *o = json_object_new_object();

    put(o, "name",
        p->member.kind == JOURNAL_WITNESS ? json_object_new_string("witness") : node_name(v, p->member.node));
    put_int(o, "id", p->member.node);
    put_int(o, "votes", p->member.votes);
    put_bool(o, "present", p->present);
    put_bool(o, "counted", p->counted);
    put_bool(o, "catching_up", p->lagging);
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
        put_text(o, "role", journal_role_name(j->role));
    }
    put_int(o, "can_lose", spare);
    put(o, "witness", NULL);
    put(o, "members", list);
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

        put_text(o, "key", rows[i].key);
        option_text(&rows[i], &v->s->opt, text, sizeof text);
        put_text(o, "value", text);
        option_text(&rows[i], &dflt, text, sizeof text);
        put_text(o, "default", text);
        put_text(o, "choices", rows[i].choices);
        if (rows[i].choices == NULL) {
            put_int(o, "min", rows[i].min);
            put_int(o, "max", rows[i].max);
        }
        put_text(o, "help", rows[i].help);
        (void)json_object_array_add(list, o);
    }
    return list;
}

struct json_object *view_event(const struct history_row *row)
{
    struct json_object *o = json_object_new_object();

    put_time(o, "time", row->time_ms);
    put_int(o, "term", row->term);
    put_int(o, "index", row->index);
    put_text(o, "kind", row->kind);
    put_text(o, "node", row->node);
    put_text(o, "vm", row->vm);
    put_id(o, "op", row->op);
    put_text(o, "text", row->text);
    put_text(o, "why", row->why);
    return o;
}
