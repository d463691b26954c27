/* explain.c - what decide sees, in words: for `clusterctl explain`, the log and the audit trail. */
#include "core/decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void line(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct buf *b, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text - 1, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    if ((size_t)n > sizeof text - 2) {
        n = (int)sizeof text - 2;
    }
    text[n] = '\n';
    buf_raw(b, text, (size_t)n + 1);
}

static void explain_claims(struct buf *b, const struct decide *d, const struct vm *vm)
{
    for (unsigned i = 0; i < vm->claims; i++) {
        const struct node *n = state_node(d->s, vm->claim[i].node);

        line(b, "  may exist on node '%s' (%s) since index %llu; last seen there: %s", n ? n->name : "?",
             n ? node_state_key(d->s, n) : "?", (unsigned long long)vm->claim[i].index,
             obs_key(vm->claim[i].obs));
    }
    if (vm->claims == 0) {
        line(b, "  exists nowhere (its claims are empty)");
    }
    if (vm->saved.tag != 0) {
        line(b, "  has a saved state (%s): %s", vm->saved.consumed ? "consumed" : "usable", vm->saved.path);
    }
}

static void explain_op(struct buf *b, const struct decide *d, const struct vm *vm)
{
    const struct op *o = vm->op ? state_op(d->s, vm->op) : NULL;

    if (o != NULL) {
        line(b, "operation %llu: %s, %s%s%s%s%s", (unsigned long long)o->id, op_kind_key(o->kind),
             op_state_key(o->state), o->by[0] ? ", asked by " : "", o->by, o->why[0] ? ", because " : "",
             o->why);
    }
}

/* A rule that is broken now stays so until the VM moves for another reason: the cluster moves nothing for it.
 */
static void explain_rules(struct buf *b, const struct decide *d, const struct vm *vm)
{
    uint32_t where = vm_where(d->s, vm);
    char why[TEXT_SIZE];

    for (unsigned i = 0; i < vm->rules; i++) {
        core_describe_rule(d->s, vm->rule[i], why, sizeof why);
        line(b, "rule %llu: %s", (unsigned long long)vm->rule[i]->id, why);
    }
    if (where != 0 && vm->claims == 1 && place_barred(d->s, &d->used, vm, where, why) == BAR_RULE) {
        line(b, "against a rule: %s; it is not moved for that by itself", why);
    }
}

int core_explain_vm(const struct state *s, const struct world *w, const char *name, struct buf *out)
{
    const struct vm *vm = state_vm(s, name);
    const struct place p = {.need_room = true};
    char why[TEXT_SIZE];
    struct decide d;
    bool soon = false;

    if (vm == NULL) {
        return RC_NOT_FOUND;
    }
    decide_init(&d, s, w, NULL);
    d.all = true;
    line(out, "VM '%s' is %s, wanted %s, owner %s, priority %s", vm->name, vm_state_key(s, vm),
         vm_wanted_key(vm->wanted), decide_node_name(&d, vm->owner),
         priority_key((enum priority)vm->set.priority));
    explain_claims(out, &d, vm);
    explain_op(out, &d, vm);
    explain_rules(out, &d, vm);
    place_plan(&d, s->vm, s->vms);
    decide_vm(&d, vm);
    if (d.note[0] != '\0') {
        line(out, "waits: %s", d.note);
    }
    if (vm->error[0] != '\0') {
        line(out, "last error: %s", vm->error);
    }
    if (vm->home != 0) {
        line(out, "home: node '%s' (a drain took it from there)", decide_node_name(&d, vm->home));
    }
    line(out, "nodes:");
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (s->node[id].id == 0) {
            continue;
        }
        if (vm_claim(vm, id) != NULL && vm_where(s, vm) == id) {
            line(out, "  %s: it %s here", s->node[id].name,
                 vm_claim(vm, id)->obs == OBS_UNKNOWN ? "may be" : "is");
        } else {
            (void)place_fits(&d, vm, id, &p, &soon, why);
            line(out, "  %s: %s", s->node[id].name, why);
        }
    }
    decide_fini(&d);
    return 0;
}

int core_explain_node(const struct state *s, const struct world *w, const char *name, struct buf *out)
{
    const struct node *n = state_node_by_name(s, name);
    struct decide d;

    if (n == NULL) {
        return RC_NOT_FOUND;
    }
    decide_init(&d, s, w, NULL);
    d.all = true;
    line(out, "node '%s' (id %u) is %s, %s; clusterd %s, corosync %s", n->name, n->id, node_state_key(s, n),
         node_mode_key(n->mode), (w->present & NODE_BIT(n->id)) != 0 ? "there" : "not there",
         (w->ring & NODE_BIT(n->id)) != 0 ? "in the ring" : "not in the ring");
    line(out, "memory: %llu of %llu MiB are spoken for", (unsigned long long)s->used.mib[n->id],
         (unsigned long long)node_memory_mib(s, n));
    if (node_vcpus(s, n) != UINT32_MAX) {
        line(out, "CPUs: %u of %u vCPUs are spoken for (%u CPUs, cpu_overcommit_percent=%u)",
             s->used.cpus[n->id], node_vcpus(s, n), n->cpus, s->opt.cpu_overcommit_percent);
    }
    place_plan(&d, s->vm, s->vms);
    decide_node(&d, n);
    if (d.note[0] != '\0') {
        line(out, "waits: %s", d.note);
    }
    if (n->error[0] != '\0') {
        line(out, "last error: %s", n->error);
    }
    for (unsigned i = 0; i < s->vms; i++) {
        const struct vm *vm = s->vm[i];

        if (vm->owner != n->id && vm_claim(vm, n->id) == NULL) {
            continue;
        }
        d.note[0] = '\0';
        decide_vm(&d, vm);
        line(out, "VM '%s': %s, wanted %s%s%s", vm->name, vm_state_key(s, vm), vm_wanted_key(vm->wanted),
             d.note[0] ? "; waits: " : "", d.note);
    }
    decide_fini(&d);
    return 0;
}

/* ---- one line for the log ---- */

static void say_nodes(const struct state *s, const char *what, node_set set, char *out, size_t size)
{
    const char *between = what;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        size_t len = strlen(out);

        if ((set & NODE_BIT(id)) != 0 && len + 1 < size) {
            (void)snprintf(out + len, size - len, "%s%s", between,
                           state_node(s, id) ? s->node[id].name : "?");
            between = ", ";
        }
    }
}

void core_describe_rule(const struct state *s, const struct rule *r, char *out, size_t size)
{
    text_format(out, size, "%s", rule_kind_key(r->kind));
    for (unsigned i = 0; i < r->vms; i++) {
        size_t len = strlen(out);

        if (len + 1 < size) {
            (void)snprintf(out + len, size - len, " %s", r->vm[i]->name);
        }
    }
    say_nodes(s, ", possible on ", r->possible, out, size);
    say_nodes(s, ", preferably on ", r->preferred, out, size);
}

static const char *node_name(const struct state *s, uint32_t id)
{
    const struct node *n = state_node(s, id);

    return n != NULL ? n->name : "?";
}

static void describe_job(const struct state *s, const struct event *e, char *out, size_t size)
{
    enum job_kind kind = e->num < JOB_KINDS ? (enum job_kind)e->num : JOB_NONE;

    if (kind == JOB_FENCE || kind == JOB_FENCE_STATUS) {
        text_format(out, size, "%s node '%s' by device '%s' from node '%s'",
                    kind == JOB_FENCE ? "fence" : "ask the power of", node_name(s, e->to), e->subject,
                    node_name(s, e->node));
    } else if (e->to != 0) {
        text_format(out, size, "%s '%s' on node '%s' towards node '%s'%s", job_kind_key(kind), e->subject,
                    node_name(s, e->node), node_name(s, e->to),
                    (e->flags & EVF_PAUSED) != 0 ? ", to arrive paused" : "");
    } else {
        text_format(out, size, "%s '%s' on node '%s'", job_kind_key(kind), e->subject, node_name(s, e->node));
    }
}

static void describe_command(const struct state *s, const struct event *e, char *out, size_t size)
{
    size_t len;

    text_format(out, size, "%s%s%s%s%s%s%s", event_key(e->kind), e->subject[0] ? " " : "", e->subject,
                e->node && !e->subject[0] ? " " : "", e->node && !e->subject[0] ? node_name(s, e->node) : "",
                e->to ? " to " : "", e->to ? node_name(s, e->to) : "");
    if (e->kind == EV_CMD_OP_CANCEL) {
        text_format(out, size, "%s %llu", event_key(e->kind), (unsigned long long)e->id);
    }
    for (unsigned i = 0; i < e->kvs && e->kind != EV_CMD_VM_ADD; i++) {
        bool secret =
            strncmp(e->kv[i].key, "param.", 6) == 0; /* a fence device's password stays out of the log */

        len = strlen(out);
        if (len + 1 < size && !secret) {
            (void)snprintf(out + len, size - len, " %s=%s", e->kv[i].key, e->kv[i].value);
        }
    }
}

/* Before it is applied, when its job is still known; else by its number. */
static void describe_result(const struct state *s, const struct event *e, char *out, size_t size)
{
    const struct job *j = state_job(s, e->id);
    bool of_vm = j && j->kind >= JOB_START && j->kind <= JOB_PROBE;
    char what[NAME_SIZE + 48], end[32] = "done";

    if (j) {
        text_format(what, sizeof what, "%s '%s'", job_kind_key(j->kind), j->subject);
        if (e->num != 0) {
            text_format(end, sizeof end, "failed (%lld)", (long long)e->num);
        }
    } else {
        text_format(what, sizeof what, "job %llu", (unsigned long long)e->id);
        text_format(end, sizeof end, "ended with %llu", (unsigned long long)e->num);
    }
    text_format(out, size, "%s on node '%s' %s%s%s%s%s", what, node_name(s, e->node), end,
                of_vm || !j ? ", VM " : "", of_vm || !j ? obs_key(e->obs) : "", e->text ? ": " : "",
                e->text ? e->text : "");
}

static void describe_forced(const struct state *s, const struct event *e, char *out, size_t size)
{
    size_t at;

    text_format(out, size, "the quorum is forced by %s; known up to entry %llu (term %llu); given up:", e->by,
                (unsigned long long)e->index, (unsigned long long)e->num);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        at = strlen(out);
        if ((e->id & NODE_BIT(id)) != 0 && at + 1 < size) {
            (void)snprintf(out + at, size - at, " %s", node_name(s, id));
        }
    }
}

void core_describe(const struct state *s, const struct event *e, char *out, size_t size)
{
    switch (event_who(e->kind)) {
    case 'C':
        describe_command(s, e, out, size);
        return;
    default:
        break;
    }
    if (e->kind == EV_JOB) {
        describe_job(s, e, out, size);
    } else if (e->kind == EV_JOB_RESULT) {
        describe_result(s, e, out, size);
    } else if (e->kind == EV_INVENTORY) {
        text_format(out, size, "inventory of node '%s': %u VMs%s", node_name(s, e->node), e->kvs,
                    (e->flags & EVF_COMPLETE) != 0 ? ", complete" : "");
    } else if (e->kind == EV_OP_BEGIN) {
        text_format(out, size, "%s VM '%s' begins",
                    op_kind_key(e->num < OP_KINDS ? (enum op_kind)e->num : OP_NONE), e->subject);
    } else if (e->kind == EV_OP_END) {
        text_format(out, size, "operation %llu %s%s%s", (unsigned long long)e->id,
                    op_state_key(e->num < OPS_STATES ? (enum op_state)e->num : OPS_DONE), e->text ? ": " : "",
                    e->text ? e->text : "");
    } else if (e->kind == EV_OPEN) {
        text_format(out, size, "term %llu is open, coordinator is node %u", (unsigned long long)e->num,
                    e->origin);
    } else if (e->kind == EV_DEADLINE) {
        text_format(out, size, "a time is over (%s)", deadline_key((enum deadline_kind)e->num));
    } else if (e->kind == EV_LEVEL) {
        text_format(out, size, "the cluster has feature level %llu from here on", (unsigned long long)e->num);
    } else if (e->kind == EV_QUORUM_FORCED) {
        describe_forced(s, e, out, size);
    } else if (e->kind == EV_NODE_UP) {
        text_format(out, size, "node '%s' is up", event_get(e, "name") ? event_get(e, "name") : "?");
    } else {
        text_format(out, size, "%s%s%s%s%s", event_key(e->kind), e->subject[0] ? " " : "", e->subject,
                    e->node ? " node " : "", e->node ? node_name(s, e->node) : "");
    }
}

/* ---- the state's own consistency ---- */

static const char *check_vm(const struct state *s, const struct vm *vm)
{
    unsigned running = 0;
    const struct job *j = vm->job ? state_job(s, vm->job) : NULL;
    const struct op *o = vm->op ? state_op(s, vm->op) : NULL;

    for (unsigned i = 0; i < vm->claims; i++) {
        running += vm->claim[i].obs == OBS_RUNNING;
        for (unsigned k = i + 1; k < vm->claims; k++) {
            if (vm->claim[k].node == vm->claim[i].node) {
                return "a VM has two claims on one node";
            }
        }
        if (state_node(s, vm->claim[i].node) == NULL) {
            return "a VM has a claim on a node that is not there";
        }
        if (vm->claim[i].from != 0 && vm_claim(vm, vm->claim[i].from) == NULL) {
            return "C1: a VM waits for the end of a migration whose source has no claim";
        }
        if (vm->claim[i].obs == OBS_ABSENT && vm->claim[i].from == 0) {
            return "C1: a VM has a claim where it is known to be absent";
        }
    }
    if (running > 1) {
        return "S1: a VM was seen running on two nodes";
    }
    if (vm->job != 0 && (j == NULL || strcmp(j->subject, vm->name) != 0)) {
        return "a VM's job is not in flight";
    }
    if (vm->op != 0 && (o == NULL || o->state >= OPS_DONE)) {
        return "a VM's operation has ended";
    }
    if (j != NULL && (j->kind == JOB_START || j->kind == JOB_RESTORE) &&
        (vm_claim_set(vm) & ~NODE_BIT(j->node)) != 0) {
        return "S1: a VM is being launched while it may exist elsewhere";
    }
    return NULL;
}

static const char *check_node(const struct node *n)
{
    bool lost = n->state == NODE_GRACE || n->state == NODE_UNCLEAN;

    if (lost != (n->loss != 0)) {
        return "N1: a node is lost without the number of its loss, or has one and is not lost";
    }
    if (n->inventory_term != 0 && n->state != NODE_ONLINE && n->state != NODE_JOINING) {
        return "C3: a node that is not there is said to have spoken";
    }
    if ((n->fence_wait || n->fence_wanted) && n->state != NODE_UNCLEAN) {
        return "S3: a node waits for a fence and is not lost";
    }
    return NULL;
}

static const char *check_job(const struct state *s, const struct job *j)
{
    const struct node *n = state_node(s, j->node);

    if (!j->orphan && (n == NULL || (n->state != NODE_ONLINE && n->state != NODE_JOINING))) {
        return "C2: a job is in flight on a node that is not there";
    }
    if (j->orphan && j->kind != JOB_FENCE) {
        return "N1: only a fence agent is waited for after its daemon is gone";
    }
    return NULL;
}

const char *core_check_touched(const struct state *s)
{
    if (s->touched_all) {
        return core_check(s);
    }
    for (unsigned i = 0; i < s->touches; i++) {
        const struct job *j = s->touched[i]->job ? state_job(s, s->touched[i]->job) : NULL;
        const char *wrong = check_vm(s, s->touched[i]);

        wrong = wrong == NULL && j != NULL ? check_job(s, j) : wrong;
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

const char *core_check(const struct state *s)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const char *wrong = s->node[id].id != 0 ? check_node(&s->node[id]) : NULL;

        if (wrong != NULL) {
            return wrong;
        }
    }
    for (unsigned i = 0; i < s->jobs; i++) {
        const char *wrong = check_job(s, &s->job[i]);

        if (wrong != NULL) {
            return wrong;
        }
    }
    for (unsigned i = 0; i < s->vms; i++) {
        const char *wrong = check_vm(s, s->vm[i]);

        if (wrong != NULL) {
            return wrong;
        }
    }
    for (unsigned i = 1; i < s->vms; i++) {
        if (strcmp(s->vm[i - 1]->name, s->vm[i]->name) >= 0 ||
            strcmp(s->by_uuid[i - 1]->uuid, s->by_uuid[i]->uuid) >= 0) {
            return "the VMs are out of order";
        }
    }
    return state_accounts(s) ? NULL : "what is derived from the state has not followed it";
}
