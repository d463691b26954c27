#include "adapters/view_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    view_put_text(o, "about", about);
    view_put_text(o, "text", text);
    view_put_text(o, "hint", hint);
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
    unsigned waiting = view_vms_on(v->s, n->id);
    char wait[TEXT_SIZE + 96], hint[200];

    (void)snprintf(hint, sizeof hint, "when its power is off for certain: clusterctl node confirm-down %s",
                   n->name);
    if (fencing) {
        (void)snprintf(wait, sizeof wait, "it is being fenced (try %u)", n->fence_tries + 1);
    } else if (!has_fence_device(v->s, n->id)) {
        (void)snprintf(wait, sizeof wait, "no fence device reaches it, so it waits for an operator");
    } else if (v->s->disarm.index != 0 && !n->fence_wanted) {
        (void)snprintf(wait, sizeof wait,
                       "high availability is paused, so it is not fenced before it is armed");
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

/* N4. */
static void disarmed_problem(const struct view *v, struct json_object *list)
{
    const struct disarm *p = &v->s->disarm;
    char until[32] = "", since[32];

    if (p->index == 0) {
        return;
    }
    view_time(p->since_ms, since);
    if (p->ms != 0) {
        view_time(p->since_ms + p->ms, until);
    }
    problem(list, v->s->cluster, "clusterctl arm",
            "high availability is paused by %s since %s%s%s: nothing is fenced or started again by itself",
            p->by[0] ? p->by : "root", since, until[0] ? ", until " : "", until);
}

/* A13: some nodes can do more than the cluster uses, because others cannot yet. */
static void level_problem(const struct view *v, struct json_object *list)
{
    node_set old = 0;
    unsigned newest = v->s->level;
    char names[400];

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(v->s, id);

        if (n != NULL && n->feature_level > newest) {
            newest = n->feature_level;
        }
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(v->s, id);

        old |= n != NULL && n->feature_level < newest ? NODE_BIT(id) : 0;
    }
    if (newest > v->s->level && old != 0) {
        problem(list, v->s->cluster, "install the new version there: the level rises by itself then",
                "the cluster uses feature level %u of %u: an older version runs on %s", v->s->level, newest,
                names_text(v, old, names, sizeof names));
    }
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
        } else if (n->state == NODE_GRACE && (v->world.observing & NODE_BIT(id)) != 0) {
            problem(list, n->name, "look at its log, mend it, then there: systemctl restart clusterd",
                    "clusterd of node '%s' only observes, after crashes: its VMs run on, and are left alone",
                    n->name);
        } else if (n->state == NODE_GRACE) {
            problem(list, n->name, "look at its clusterd: systemctl status clusterd",
                    "node '%s' has lost its clusterd: its VMs run on, and are left alone until it is back",
                    n->name);
        } else if (n->state == NODE_ONLINE && n->mode == MODE_DRAINING && n->op == 0) {
            (void)snprintf(hint, sizeof hint,
                           "clusterctl node drain %s tries again, clusterctl node resume %s gives it up",
                           n->name, n->name);
            problem(list, n->name, hint, "node '%s' could not be emptied: %u VMs are left on it", n->name,
                    view_vms_on(v->s, id));
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
        node_set missing = view_nodes_online(v->s) & ~vol->online;

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

struct json_object *view_problems(const struct view *v)
{
    struct json_object *list = json_object_new_array();
    char names[400];

    if (!v->quorate && v->s->term == 0) { /* it knows of no cluster at all */
        problem(list, v->s->cluster, "clusterctl cluster create begins one with the nodes that are here",
                "no quorum: %s", v->problem);
    } else if (!v->quorate) {
        problem(list, v->s->cluster, "clusterctl quorum shows the votes",
                "no quorum: %s; commands are refused, and what is shown here may be old: only %s answers",
                v->problem, names_text(v, v->world.present, names, sizeof names));
    } else if (v->s->startup && incomplete(v->s)) {
        problem(list, v->s->cluster, NULL, "the cluster has just started: absent nodes get time to come");
    }
    if (v->shell != NULL && shell_alarm(v->shell)[0] != '\0') {
        problem(list, v->s->cluster, "restart clusterd on the node that is wrong", "%s",
                shell_alarm(v->shell));
    }
    disarmed_problem(v, list);
    level_problem(v, list);
    node_problems(v, list);
    object_problems(v, list);
    return list;
}
