#include "core/apply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int reject(struct apply *a, int rc, const char *fmt, ...)
{
    va_list ap;

    a->out->rc = a->out->err.rc = rc;
    a->out->err.hint[0] = '\0';
    va_start(ap, fmt);
    (void)vsnprintf(a->out->err.msg, sizeof a->out->err.msg, fmt, ap);
    va_end(ap);
    return rc;
}

void advise(struct apply *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(a->out->err.hint, sizeof a->out->err.hint, fmt, ap);
    va_end(ap);
}

void alarm_raise(struct apply *a, const char *fmt, ...)
{
    va_list ap;

    a->out->alarm = true;
    va_start(ap, fmt);
    (void)vsnprintf(a->out->err.msg, sizeof a->out->err.msg, fmt, ap);
    va_end(ap);
}

uint64_t name_hash(const char *name)
{
    const struct hash zero = {0, 0};

    return hash_bytes(zero, name, strlen(name)).lo;
}

/* C3: nothing is decided about a node's VMs before its inventory in this very term. */
static int apply_open(struct apply *a)
{
    const struct node *n = state_node(a->s, a->e->origin);
    const char *boot = event_get(a->e, "boot");

    a->s->coordinator = a->e->origin <= NODES_MAX ? a->e->origin : 0;
    /* A coordinator that has itself just booted has seen no loss: the others may be booting as well. */
    a->s->startup = n == NULL || boot == NULL || strcmp(n->boot, boot) != 0;
    return 0;
}

/* A13: raised only, and never beyond what this build knows: its digest would be another one. */
static int apply_level(struct apply *a)
{
    if (a->e->num <= a->s->level || a->e->num > FEATURE_LEVEL) {
        return reject(a, RC_REFUSED, "the feature level is %u, and this clusterd knows %u", a->s->level,
                      FEATURE_LEVEL);
    }
    a->s->level = (unsigned)a->e->num;
    return 0;
}

/*
 * A1: a proposal is repeated until it is seen; its (session, seq) makes it count once. Requests of a session
 * count in their order, so that a later fact never overtakes an earlier one.
 */
static bool admit(struct apply *a)
{
    const struct event *e = a->e;
    struct node *n = state_node(a->s, e->origin);

    if (event_who(e->kind) == 'D') {
        return true;
    }
    if (e->kind == EV_NODE_UP && (n == NULL || n->session != e->session)) {
        return true; /* a new session begins */
    }
    if (n == NULL || n->session != e->session) {
        (void)reject(a, RC_BUSY, "node %u has not joined with this session", e->origin);
        return false;
    }
    if (e->seq <= n->seq) {
        a->out->duplicate = true;
        return false;
    }
    if (e->seq != n->seq + 1) {
        (void)reject(a, RC_BUSY, "request %llu of node '%s' overtook request %llu",
                     (unsigned long long)e->seq, n->name, (unsigned long long)n->seq + 1);
        return false;
    }
    n->seq = e->seq;
    return true;
}

static int dispatch(struct apply *a)
{
    switch (a->e->kind) {
    case EV_OPEN:
        return apply_open(a);
    case EV_LEVEL:
        return apply_level(a);
    case EV_NODE_UP:
        return apply_node_up(a);
    case EV_NODE_LOST:
        return apply_node_lost(a);
    case EV_NODE_LEFT:
        return apply_node_left(a);
    case EV_INVENTORY:
        return apply_inventory(a);
    case EV_JOB:
        return apply_job(a);
    case EV_JOB_RESULT:
        return apply_job_result(a);
    case EV_DEADLINE:
        return apply_deadline(a);
    case EV_OP_BEGIN:
        return apply_op_begin(a);
    case EV_OP_END:
        return apply_op_end(a);
    case EV_CONSUME:
        return apply_consume(a);
    case EV_VOID:
        return apply_void(a);
    case EV_ASSIGN:
        return apply_assign(a);
    case EV_NODE_DRAINED:
        return apply_node_drained(a);
    case EV_NODE_DOWN:
        return apply_node_confirmed(a);
    case EV_CMD_OPTION_SET:
    case EV_CMD_NODE_DRAIN:
    case EV_CMD_NODE_RESUME:
    case EV_CMD_NODE_FENCE:
    case EV_CMD_NODE_CONFIRM_DOWN:
    case EV_CMD_VM_ADD:
    case EV_CMD_VM_REMOVE:
    case EV_CMD_VM_SET:
    case EV_CMD_VM_START:
    case EV_CMD_VM_STOP:
    case EV_CMD_VM_RESET:
    case EV_CMD_VM_MIGRATE:
    case EV_CMD_VOLUME_ADD:
    case EV_CMD_VOLUME_REMOVE:
    case EV_CMD_FENCE_ADD:
    case EV_CMD_FENCE_REMOVE:
    case EV_CMD_FENCE_TEST:
    case EV_CMD_OP_CANCEL:
    case EV_CMD_DISARM:
    case EV_CMD_ARM:
        return apply_command(a);
    case EV_NONE:
    case EV_COUNT:
        break;
    }
    return reject(a, RC_BAD_INPUT, "an event of unknown kind %d", (int)a->e->kind);
}

void core_apply(struct state *s, const struct event *e, uint64_t term, uint64_t index, struct applied *out)
{
    struct apply a = {s, e, index, out};

    memset(out, 0, sizeof *out);
    s->term = term;
    s->index = index;
    s->time_ms = e->time_ms;
    if (e->node > NODES_MAX || e->to > NODES_MAX || e->origin > NODES_MAX) {
        (void)reject(&a, RC_BAD_INPUT, "an event names a node beyond %d", NODES_MAX);
    } else if (!admit(&a)) {
        return;
    } else if (event_level(e->kind) > s->level && e->kind != EV_LEVEL) {
        (void)reject(&a, RC_REFUSED, "'%s' needs feature level %u, and the cluster has %u",
                     event_key(e->kind), event_level(e->kind), s->level);
        advise(&a, LEVEL_HINT);
    } else {
        (void)dispatch(&a);
    }
}
