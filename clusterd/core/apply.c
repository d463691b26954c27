#include "core/apply.h"
#include "common/mutant.h"
#include "core/transition.h"

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

void node_become(struct apply *a, struct node *n, enum node_state st)
{
    const char *wrong = node_move_wrong(n->state, st);

    a->out->broken = wrong != NULL ? wrong : a->out->broken;
    n->state = st;
}

void op_become(struct apply *a, struct op *o, enum op_state st)
{
    const char *wrong = op_move_wrong(o->state, st);

    a->out->broken = wrong != NULL ? wrong : a->out->broken;
    if (o->state < OPS_DONE && st >= OPS_DONE) {
        a->s->ended++;
        a->s->node_ops -= o->kind > OP_MOVE;
    }
    o->state = st;
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

/*
 * C5, S6: which paused memory may be older than its disks was not written down below level 2. Whatever is not
 * known to run, and was not restored from a saved state, may be such.
 */
static void level_halves(struct state *s)
{
    for (unsigned i = 0; i < s->vms; i++) {
        struct vm *vm = s->vm[i];

        for (unsigned k = 0; k < vm->claims && vm->saved.tag == 0; k++) {
            vm->claim[k].half = vm->claim[k].obs != OBS_RUNNING;
        }
    }
}

/*
 * A13: raised only, and never beyond what this build knows: its digest would be another one. What the new
 * level adds begins at its defaults on every node alike: one that was given the state as a snapshot of the
 * old level has nothing else (S5).
 */
int level_raise(struct apply *a, unsigned level)
{
    struct buf b = BUF_INIT;
    struct state *as_written, old;

    state_encode(a->s, &b);
    as_written = b.failed ? NULL : state_decode(b.data, b.len, NULL);
    buf_fini(&b);
    if (as_written == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    old = *a->s;
    *a->s = *as_written;
    *as_written = old;
    state_free(as_written);
    if (a->s->level < 2 && !MUTANT(half_before_the_level)) {
        level_halves(a->s);
    }
    a->s->level = level;
    return 0;
}

static int apply_level(struct apply *a)
{
    if (a->e->num <= a->s->level || a->e->num > FEATURE_LEVEL) {
        return reject(a, RC_REFUSED, "the feature level is %u, and this clusterd knows %u", a->s->level,
                      FEATURE_LEVEL);
    }
    for (uint32_t id = 1; id <= NODES_MAX && !MUTANT(level_of_the_newest); id++) {
        const struct node *n = state_node(a->s, id);

        if (n != NULL && n->feature_level < a->e->num) { /* it went back since this was decided */
            return reject(a, RC_REFUSED, "node '%s' knows feature level %u (A13)", n->name, n->feature_level);
        }
    }
    return level_raise(a, (unsigned)a->e->num);
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

static void touch_named(struct apply *a, const char *name)
{
    struct vm *vm = state_vm(a->s, name);

    if (vm != NULL) {
        state_touch(a->s, vm);
    }
}

/*
 * Which VMs an entry may change, beyond those that its own function names (state_touch): what is derived from
 * the state follows only these. A kind that is not listed may change any.
 */
enum reach { REACH_ALL, REACH_SUBJECT, REACH_JOB, REACH_OP, REACH_NAMED };

static const enum reach reaches[EV_COUNT] = {
    [EV_JOB] = REACH_SUBJECT,
    [EV_JOB_RESULT] = REACH_JOB,
    [EV_DEADLINE] = REACH_JOB,
    [EV_OP_BEGIN] = REACH_SUBJECT,
    [EV_OP_END] = REACH_OP,
    [EV_CMD_OP_CANCEL] = REACH_OP,
    [EV_CONSUME] = REACH_SUBJECT,
    [EV_VOID] = REACH_SUBJECT,
    [EV_ASSIGN] = REACH_SUBJECT,
    [EV_CMD_VM_ADD] = REACH_NAMED,
    [EV_CMD_VM_SET] = REACH_SUBJECT,
    [EV_CMD_VM_START] = REACH_SUBJECT,
    [EV_CMD_VM_STOP] = REACH_SUBJECT,
    [EV_CMD_VM_RESET] = REACH_SUBJECT,
    [EV_CMD_VM_MIGRATE] = REACH_SUBJECT,
    [EV_INVENTORY] = REACH_NAMED,
};

static bool of_vm(unsigned kind)
{
    return kind >= JOB_START && kind <= JOB_PROBE;
}

static void touch_subjects(struct apply *a)
{
    const struct event *e = a->e;
    enum reach reach = e->kind < EV_COUNT ? reaches[e->kind] : REACH_ALL;
    bool named = reach == REACH_NAMED || (e->kind == EV_DEADLINE && e->num == DL_VM);
    const struct job *j =
        reach == REACH_JOB && (e->kind != EV_DEADLINE || e->num == DL_JOB) ? state_job(a->s, e->id) : NULL;
    const struct op *o = reach == REACH_OP ? state_op(a->s, e->id) : NULL;

    if (reach == REACH_SUBJECT && (e->kind != EV_JOB || of_vm(e->num < JOB_KINDS ? (unsigned)e->num : 0))) {
        touch_named(a, e->subject);
    } else if (j != NULL && of_vm(j->kind)) {
        touch_named(a, j->subject);
    } else if (o != NULL && o->kind >= OP_START && o->kind <= OP_MOVE) {
        touch_named(a, o->subject);
    } else if (!named) {
        state_touch(a->s, NULL);
    }
}

static int dispatch(struct apply *a)
{
    static int (*const kinds[EV_COUNT])(struct apply *) = {
        [EV_OPEN] = apply_open,
        [EV_LEVEL] = apply_level,
        [EV_NODE_UP] = apply_node_up,
        [EV_NODE_LOST] = apply_node_lost,
        [EV_NODE_LEFT] = apply_node_left,
        [EV_INVENTORY] = apply_inventory,
        [EV_JOB] = apply_job,
        [EV_JOB_RESULT] = apply_job_result,
        [EV_DEADLINE] = apply_deadline,
        [EV_OP_BEGIN] = apply_op_begin,
        [EV_OP_END] = apply_op_end,
        [EV_CONSUME] = apply_consume,
        [EV_VOID] = apply_void,
        [EV_ASSIGN] = apply_assign,
        [EV_NODE_DRAINED] = apply_node_drained,
        [EV_NODE_DOWN] = apply_node_confirmed,
        [EV_NODE_ADDED] = apply_node_added,
        [EV_NODE_REMOVED] = apply_node_removed,
        [EV_QUORUM_FORCED] = apply_quorum_forced,
        [EV_NODE_GIVEN_UP] = apply_node_given_up,
        [EV_NODE_ADDRESS] = apply_node_address,
    };
    enum event_kind kind = a->e->kind;

    if (kind <= EV_NONE || kind >= EV_COUNT) {
        return reject(a, RC_BAD_INPUT, "an event of unknown kind %d", (int)kind);
    }
    return kinds[kind] != NULL ? kinds[kind](a) : apply_command(a);
}

void core_apply(struct state *s, const struct event *e, uint64_t term, uint64_t index, struct applied *out)
{
    struct apply a = {s, e, index, out};

    memset(out, 0, sizeof *out);
    s->term = term;
    s->index = index;
    s->time_ms = e->time_ms;
    state_touch_begin(s);
    if (e->node > NODES_MAX || e->to > NODES_MAX || e->origin > NODES_MAX) {
        (void)reject(&a, RC_BAD_INPUT, "an event names a node beyond %d", NODES_MAX);
    } else if (!admit(&a)) {
        return;
    } else if (event_level(e->kind) > s->level && e->kind != EV_LEVEL && e->kind != EV_QUORUM_FORCED) {
        out->rc = refuse_level(&out->err, event_key(e->kind), event_level(e->kind), s->level);
    } else {
        touch_subjects(&a);
        if (dispatch(&a) == 0) {
            state_touch_end(s);
        } else {
            state_touch_begin(s); /* nothing has changed */
        }
    }
}
