#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

struct outgoing {
    struct outgoing *next;
    size_t len;
    uint8_t data[];
};

/* ------------------------------------------------------------------------------------------------ sending */

/* Flow control: what cannot be sent now waits in order. Past the bound it is dropped; everything that we send
 * is repeated by whoever needs it. */
void shell_send(struct shell *sh, const void *data, size_t len)
{
    struct outgoing *o;

    if (sh->out == NULL && sh->p.msg.send(sh->p.msg.ctx, data, len) == 0) {
        return;
    }
    if (sh->outs >= OUTGOING_MAX || (o = malloc(sizeof *o + len)) == NULL) {
        sh->dropped++;
        return;
    }
    o->next = NULL;
    o->len = len;
    memcpy(o->data, data, len);
    *sh->out_end = o;
    sh->out_end = &o->next;
    sh->outs++;
}

void shell_send_flush(struct shell *sh)
{
    while (sh->out != NULL && sh->p.msg.send(sh->p.msg.ctx, sh->out->data, sh->out->len) == 0) {
        struct outgoing *o = sh->out;

        sh->out = o->next;
        sh->outs--;
        free(o);
    }
    if (sh->out == NULL) {
        sh->out_end = &sh->out;
    }
    sh->out_ms = sh->out == NULL ? NEVER : sh->now + OUTGOING_RETRY_MS;
}

static void send_proposal(struct shell *sh, const struct proposal *p)
{
    struct buf b = BUF_INIT;

    buf_u8(&b, SHELL_PROPOSE);
    buf_u8(&b, SHELL_MESSAGE_FORMAT);
    buf_u32(&b, sh->coordinator);
    buf_blob(&b, p->data, p->len);
    if (!b.failed) {
        shell_send(sh, b.data, b.len);
    }
    buf_fini(&b);
}

/* ------------------------------------------------------------------------------------- this node's proposals
 */

int propose(struct shell *sh, struct event *e, uint64_t request)
{
    struct proposal *p = calloc(1, sizeof *p);
    struct buf b = BUF_INIT;

    e->origin = sh->cfg.self;
    e->session = sh->cfg.session;
    e->seq = sh->seq + 1;
    event_encode(e, &b);
    if (p == NULL || b.failed || b.len > JOURNAL_PAYLOAD_MAX) {
        int rc = p == NULL || b.failed ? RC_NO_MEMORY : RC_BAD_INPUT;

        free(p);
        buf_fini(&b);
        return rc;
    }
    sh->seq++;
    p->seq = e->seq;
    p->kind = e->kind;
    p->command = event_who(e->kind) == 'C';
    p->request = request;
    p->expires_ms = p->command ? sh->now + COMMAND_MS : NEVER;
    p->data = b.data;
    p->len = b.len;
    *sh->queue_end = p;
    sh->queue_end = &p->next;
    sh->queued++;
    return 0;
}

bool propose_waits(const struct shell *sh, enum event_kind kind)
{
    for (const struct proposal *p = sh->queue; p != NULL; p = p->next) {
        if (p->kind == kind) {
            return true;
        }
    }
    return false;
}

static void answer(struct shell *sh, struct proposal *p, int rc, const struct err *err, uint64_t op)
{
    if (p->command && p->expires_ms != NEVER) {
        p->expires_ms = NEVER;
        sh->p.client.answer(sh->p.client.ctx, p->request, rc, err, op);
    }
}

static void expire(struct shell *sh)
{
    struct err err = ERR_INIT;

    for (struct proposal *p = sh->queue; p != NULL; p = p->next) {
        if (sh->now >= p->expires_ms) {
            err_set(&err, RC_TIMED_OUT, "the command was not committed within %d s; it may still happen",
                    COMMAND_MS / 1000);
            err_hint(&err, "look at `clusterctl events` and `clusterctl quorum`");
            answer(sh, p, RC_TIMED_OUT, &err, 0);
        }
    }
}

static void queue_pop(struct shell *sh)
{
    struct proposal *p = sh->queue;

    sh->queue = p->next;
    if (sh->queue == NULL) {
        sh->queue_end = &sh->queue;
    }
    sh->queued--;
    free(p->data);
    free(p);
}

void propose_applied(struct shell *sh, const struct event *e, const struct applied *a)
{
    const struct node *n = e != NULL ? state_node(sh->st, e->origin) : NULL;
    struct err unseen = ERR_INIT;

    if (e != NULL && a->rc != 0 && e->seq != 0 &&
        (n == NULL || n->session != e->session || n->seq < e->seq)) {
        sh->taken[e->origin <= NODES_MAX ? e->origin : 0].session =
            0; /* it did not count: it may come again */
    }
    n = state_node(sh->st, sh->cfg.self);
    if (n == NULL || n->session != sh->cfg.session) {
        return;
    }
    sh->announced = true;
    while (sh->queue != NULL && sh->queue->seq <= n->seq) {
        if (e != NULL && e->origin == sh->cfg.self && e->session == sh->cfg.session &&
            e->seq == sh->queue->seq) {
            answer(sh, sh->queue, MUTANT(rejected_is_done) ? 0 : a->rc, a->rc ? &a->err : NULL, a->op);
        } else { /* it came with a snapshot */
            err_set(&unseen, RC_TIMED_OUT,
                    "the command's outcome was not seen on this node; it may have happened");
            err_hint(&unseen, "look at `clusterctl events`");
            answer(sh, sh->queue, MUTANT(unseen_is_done) ? 0 : RC_TIMED_OUT, &unseen, 0);
        }
        queue_pop(sh);
        sh->sent_ms = sh->now;
    }
}

/* The same request (its number stays), said anew. */
static void replace(struct proposal *p, struct event *e)
{
    struct buf b = BUF_INIT;

    e->seq = p->seq;
    event_encode(e, &b);
    if (b.failed) {
        buf_fini(&b);
        return;
    }
    free(p->data);
    p->data = b.data;
    p->len = b.len;
}

/* The state does not have this daemon as a member that is there: say so, again and again. */
static void announce(struct shell *sh)
{
    const struct node *n = state_node(sh->st, sh->cfg.self);
    struct proposal *waits = sh->queue;
    struct event e;
    bool known = n != NULL && n->session == sh->cfg.session;
    uint64_t after = n != NULL ? n->session : 0;

    while (waits != NULL && waits->kind != EV_NODE_UP) {
        waits = waits->next;
    }
    if (!shell_current(sh) || sh->leaving ||
        (known && (n->state == NODE_JOINING || n->state == NODE_ONLINE)) ||
        (waits != NULL ? known || sh->up_after == after : sh->now < sh->up_ms)) {
        return;
    }
    if (sh->announced && !known && n != NULL && n->session != 0) {
        shell_fail(sh, "another daemon has announced itself as node %u", sh->cfg.self);
        return;
    }
    event_init(&e, EV_NODE_UP);
    e.node = sh->cfg.self;
    if (event_put(&e, "name", sh->cfg.name) == 0 && event_put(&e, "boot", sh->cfg.boot) == 0 &&
        event_putf(&e, "memory_mib", "%llu", (unsigned long long)sh->cfg.memory_mib) == 0 &&
        event_putf(&e, "cpus", "%u", sh->cfg.cpus) == 0 &&
        event_putf(&e, "feature_level", "%u", sh->cfg.feature_level) == 0 &&
        event_putf(&e, "after", "%llu", (unsigned long long)after) == 0 &&
        event_put(&e, "version", PACKAGE_VERSION) == 0) {
        if (waits != NULL) {
            e.origin = sh->cfg.self;
            e.session = sh->cfg.session;
            replace(waits, &e);
        } else {
            (void)propose(sh, &e, 0);
        }
        sh->up_after = after;
    }
    event_fini(&e);
    sh->up_ms = sh->now + 1000; /* when it is refused: not at once again */
}

/* A9: where corosync reaches this node is part of what all know, once the cluster's level has it. */
static void announce_address(struct shell *sh)
{
    const struct node *n = shell_self(sh);
    struct event e;

    if (n == NULL || sh->cfg.address[0] == '\0' || strcmp(n->address, sh->cfg.address) == 0 ||
        sh->st->level < event_level(EV_NODE_ADDRESS) || !shell_current(sh) || sh->leaving ||
        propose_waits(sh, EV_NODE_ADDRESS)) {
        return;
    }
    event_init(&e, EV_NODE_ADDRESS);
    e.node = sh->cfg.self;
    if (event_put(&e, "address", sh->cfg.address) == 0) {
        propose(sh, &e, 0);
    }
    event_fini(&e);
}

bool propose_flush(struct shell *sh)
{
    bool own = shell_leads(sh), done = false;

    expire(sh);
    announce(sh);
    announce_address(sh);
    if (sh->queue == NULL || sh->coordinator == 0 || !journal_is_open(sh->j)) {
        return false;
    }
    if (sh->sent_term != sh->term || (sh->now >= sh->sent_ms + RESEND_MS && !MUTANT(propose_once))) {
        sh->sent_term = sh->term;
        sh->sent_seq = 0;
    }
    for (struct proposal *p = sh->queue; p != NULL && p->seq < sh->queue->seq + WINDOW; p = p->next) {
        if (p->seq <= sh->sent_seq) {
            continue;
        }
        if (own) {
            if (!propose_take(sh, sh->cfg.self, p->data, p->len)) {
                continue; /* what it cannot take now comes again; a new EV_NODE_UP behind it may pass */
            }
            sh->sent_seq = p->seq; /* it is still there: what it caused waits in todo */
            sh->sent_ms = sh->now;
            done = true;
            continue;
        }
        send_proposal(sh, p);
        sh->sent_seq = p->seq;
        sh->sent_ms = sh->now;
        done = true;
    }
    return done;
}

uint64_t propose_next_ms(const struct shell *sh)
{
    uint64_t next = sh->out_ms;

    if (sh->queue != NULL && sh->coordinator != 0 && journal_is_open(sh->j) &&
        sh->sent_ms + RESEND_MS < next) {
        next = sh->sent_ms + RESEND_MS;
    }
    for (const struct proposal *p = sh->queue; p != NULL; p = p->next) {
        next = p->expires_ms < next ? p->expires_ms : next;
    }
    if (sh->up_ms > sh->now && sh->up_ms < next) {
        next = sh->up_ms;
    }
    return next;
}

void propose_fini(struct shell *sh)
{
    while (sh->queue != NULL) {
        queue_pop(sh);
    }
    while (sh->out != NULL) {
        struct outgoing *o = sh->out;

        sh->out = o->next;
        free(o);
    }
}

/* -------------------------------------------------------------------------------- the coordinator's side */

/* Its number is the next of its session; EV_NODE_UP begins one (again, when the node was taken for down). */
static bool in_order(const struct shell *sh, const struct event *e, bool *repeat)
{
    const struct node *n = state_node(sh->st, e->origin);
    struct taken last = sh->taken[e->origin];

    if (last.session == 0 && n != NULL) {
        last = (struct taken){n->session, n->seq};
    }
    *repeat = last.session == e->session && e->seq <= last.seq;
    if (last.session != e->session) {
        return e->kind == EV_NODE_UP;
    }
    return e->seq == last.seq + 1;
}

bool propose_take(struct shell *sh, uint32_t from, const void *data, size_t len)
{
    struct event e;
    uint64_t index;
    bool repeat = false, taken = false;
    char who;

    if (!shell_leads(sh) || from < 1 || from > NODES_MAX || !members_has(sh, from)) {
        return false;
    }
    if (event_decode(&e, data, len, NULL) != 0) {
        sh->dropped++;
        return false;
    }
    who = event_who(e.kind);
    if (e.origin != from || e.session == 0 || (who != 'F' && who != 'C') || (who == 'F' && e.node != from)) {
        sh->dropped++;
    } else if (in_order(sh, &e, &repeat)) {
        e.time_ms = sh->p.clock.wall_ms(sh->p.clock.ctx);
        sh->taken[from] = (struct taken){e.session, e.seq}; /* before: applying it looks here */
        taken = journal_propose(sh, &e, &index) == 0;
        if (!taken) {
            sh->taken[from] = (struct taken){e.session, e.seq - 1};
        }
    }
    event_fini(&e);
    return taken || repeat;
}

/* ------------------------------------------------------------------------------------------------ progress
 */

void progress_note(struct shell *sh, uint64_t op, double fraction, bool tell)
{
    struct buf b = BUF_INIT;
    unsigned slot = 0;

    for (unsigned i = 0; i < PROGRESS_MAX; i++) { /* its own slot, else the oldest */
        if (sh->progress[i].op == op) {
            slot = i;
            break;
        }
        if (sh->progress[i].ms < sh->progress[slot].ms) {
            slot = i;
        }
    }
    if (tell && sh->progress[slot].op == op && sh->now < sh->progress[slot].ms + PROGRESS_MS &&
        fraction < 1) {
        return;
    }
    sh->progress[slot].op = op;
    sh->progress[slot].fraction = fraction;
    sh->progress[slot].ms = sh->now;
    if (tell) {
        buf_u8(&b, SHELL_PROGRESS);
        buf_u8(&b, SHELL_MESSAGE_FORMAT);
        buf_u64(&b, op);
        buf_u32(&b, (uint32_t)(fraction * 1e6));
        if (!b.failed) {
            shell_send(sh, b.data, b.len);
        }
        buf_fini(&b);
    }
}
