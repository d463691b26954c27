#include "shell.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

#define TURNS_MAX 1000 /* of the loop in one call: then the caller comes again */

void shell_log(struct shell *sh, enum log_level level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sh->p.client.log(sh->p.client.ctx, level, text);
}

void shell_fail(struct shell *sh, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (sh->failed) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sh->failed = true;
    sh->may_exit = true;
    shell_log(sh, LOG_L_ERROR, "alarm: this daemon stops: %s", text);
}

void shell_fail_read(struct shell *sh, const char *what, uint64_t index, const struct err *err)
{
    if (err->rc != RC_REFUSED) {
        shell_fail(sh, "%s %llu cannot be read: %s", what, (unsigned long long)index, err->msg);
        return;
    }
    sh->outdated = !sh->failed;
    shell_fail(sh, "%s %llu: %s; %s; nothing was changed here, VMs that run keep running", what,
               (unsigned long long)index, err->msg, err->hint);
}

const struct node *shell_self(const struct shell *sh)
{
    const struct node *n = state_node(sh->st, sh->cfg.self);

    return n != NULL && n->session == sh->cfg.session ? n : NULL;
}

bool shell_current(const struct shell *sh)
{
    return journal_is_open(sh->j) && !sh->rebuild && sh->applied >= journal_heard_commit(sh->j);
}

bool shell_leads(const struct shell *sh)
{
    return journal_is_coordinator(sh->j) && journal_is_open(sh->j) && !sh->rebuild &&
           sh->st->term == sh->term;
}

/* ------------------------------------------------------------------------------------------------ the loop
 */

bool shell_enter(struct shell *sh)
{
    uint64_t now = sh->p.clock.now_ms(sh->p.clock.ctx);

    assert(!sh->busy);
    if (sh->failed) {
        return false;
    }
    sh->busy = true;
    sh->now = now > sh->now ? now : sh->now;
    return true;
}

static bool holds_vms(const struct shell *sh)
{
    for (unsigned i = 0; i < sh->st->vms; i++) {
        if (vm_claim(sh->st->vm[i], sh->cfg.self) != NULL) {
            return true;
        }
    }
    return false;
}

/* N2: nothing of ours runs here, and the cluster still counts on this node. */
static bool may_say_so(const struct shell *sh)
{
    const struct node *self = shell_self(sh);

    return self != NULL && (self->state == NODE_ONLINE || self->state == NODE_JOINING) &&
           !MUTANT(leave_unsaid) && (!holds_vms(sh) || MUTANT(clean_leave_with_vms));
}

/* An orderly end (N2): what was begun is finished, "empty, leaving" is said where it is true. */
static void leave_consider(struct shell *sh)
{
    struct journal_event resign = {.type = JOURNAL_EV_RESIGN};
    bool left = sh->left_ms != 0 && shell_self(sh) == NULL; /* committed: nothing of us counts any more */
    struct event e;

    if (!sh->leaving || sh->may_exit) {
        return;
    }
    if (!left && sh->now < sh->leave_ms && journal_is_open(sh->j)) {
        if (((sh->runs != NULL || sh->queue != NULL) && !MUTANT(leave_at_once)) || !shell_current(sh)) {
            return;
        }
        if (may_say_so(sh)) {
            if (sh->now < sh->left_ms) {
                return;
            }
            sh->left_ms = sh->now + LEFT_AGAIN_MS; /* it is rejected while a job for this node is in flight */
            event_init(&e, EV_NODE_LEFT);
            e.node = sh->cfg.self;
            propose(sh, &e, 0);
            event_fini(&e);
            return;
        }
    }
    if (journal_is_coordinator(sh->j)) {
        journal_feed(sh, &resign, NULL);
    }
    sh->may_exit = true;
}

static void trim_history(struct shell *sh)
{
    if (sh->now >= sh->trim_ms) {
        sh->trim_ms = sh->now + TRIM_MS;
        sh->p.store.history_trim(sh->p.store.ctx, sh->st->opt.history_max_days, sh->st->opt.history_max_mib,
                                 sh->p.clock.wall_ms(sh->p.clock.ctx));
    }
}

/* Does everything that can be done now. */
void shell_settle(struct shell *sh)
{
    struct journal_event tick = {.type = JOURNAL_EV_TICK};
    bool more = true;

    for (unsigned turn = 0; turn < TURNS_MAX && more && !sh->failed; turn++) {
        journal_reload(sh);
        if (sh->now >= sh->journal_ms) {
            journal_feed(sh, &tick, NULL);
        }
        journal_drain(sh);
        digest_consider(sh);
        jobs_start(sh);
        jobs_cancel(sh);
        inventory_consider(sh);
        quorum_consider(sh);
        leave_consider(sh);
        members_consider(sh);
        more = propose_flush(sh);
        more = decide(sh) || more;
        more = deadlines_propose(sh) || more;
        more = more || sh->todos > 0;
    }
    shell_send_flush(sh);
    trim_history(sh);
    sh->busy = false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t shell_next_ms(const struct shell *sh)
{
    uint64_t next = least(sh->journal_ms, sh->reload_ms);

    if (sh->failed) {
        return NEVER;
    }
    next = least(next, propose_next_ms(sh));
    next = least(next, deadlines_next_ms(sh));
    next = least(next, inventory_next_ms(sh));
    next = least(next, quorum_next_ms(sh));
    next = least(next, digest_next_ms(sh));
    next = least(next, members_next_ms(sh));
    next = least(next, sh->trim_ms);
    if (sh->leaving && !sh->may_exit) {
        next = least(next, sh->left_ms > sh->now ? least(sh->left_ms, sh->leave_ms) : sh->leave_ms);
    }
    return sh->todos > 0 ? sh->now : next;
}

/* -------------------------------------------------------------------------------------------- entry points
 */

static int journal_make(struct shell *sh, struct err *err)
{
    struct journal_config c = {.node = sh->cfg.self, .session = sh->cfg.session};
    struct event open;
    int rc;

    event_init(&open, EV_OPEN);
    rc = event_put(&open, "boot", sh->cfg.boot);
    event_encode(&open, &sh->open_data);
    event_fini(&open);
    if (rc != 0 || sh->open_data.failed) { /* half of it, committed, could be read by nobody ever */
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    c.snapshot_entries = c.tail_entries = sh->cfg.snapshot_entries;
    c.seed = sh->p.clock.random(sh->p.clock.ctx);
    c.n_configured = sh->cfg.configureds;
    for (unsigned i = 0; i < sh->cfg.configureds; i++) {
        c.configured[i] = sh->cfg.configured[i];
    }
    c.open_data = sh->open_data.data;
    c.open_len = sh->open_data.len;
    sh->j = journal_new(&c);
    if (sh->j == NULL) {
        return err_set(err, RC_NO_MEMORY, "the journal cannot be set up");
    }
    return 0;
}

struct shell *shell_new(const struct shell_config *c, const struct ports *p, struct journal_load *load,
                        struct err *err)
{
    struct shell *sh;

    if (c->self < 1 || c->self > NODES_MAX) {
        err_set(err, RC_REFUSED, "node id %u: only 1 to %d can be used", c->self, NODES_MAX);
        err_hint(err, "set nodeid in corosync.conf");
        journal_load_fini(load);
        return NULL;
    }
    sh = calloc(1, sizeof *sh);
    if (sh == NULL) {
        err_set(err, RC_NO_MEMORY, "out of memory");
        journal_load_fini(load);
        return NULL;
    }
    sh->cfg = *c;
    sh->p = *p;
    sh->now = p->clock.now_ms(p->clock.ctx);
    sh->journal_ms = sh->now;
    sh->reload_ms = sh->out_ms = NEVER;
    sh->quorum.heard_ms = sh->now;
    sh->trim_ms = sh->now + TRIM_MS;
    sh->queue_end = &sh->queue;
    sh->out_end = &sh->out;
    sh->cluster = load->cluster;
    sh->cfg.feature_level = c->feature_level ? c->feature_level : FEATURE_LEVEL;
    sh->world.self = c->self;
    sh->world.level = sh->cfg.feature_level;
    sh->st = state_new(c->cluster);
    if (sh->st == NULL) {
        err_set(err, RC_NO_MEMORY, "out of memory");
    }
    if (sh->st == NULL || journal_make(sh, err) != 0 || journal_start(sh, load, err) != 0) {
        shell_free(sh);
        sh = NULL;
    }
    journal_load_fini(load);
    return sh;
}

void shell_free(struct shell *sh)
{
    if (sh != NULL) {
        propose_fini(sh);
        runs_fini(sh);
        journal_fini(sh);
        state_free(sh->st);
        state_free(sh->quorum.known);
        free(sh->watched);
        free(sh);
    }
}

void shell_view(struct shell *sh, node_set present, node_set ring, bool quorate, uint64_t view)
{
    struct journal_event ev = {.type = JOURNAL_EV_VIEW};
    uint32_t nodes[NODES_MAX];

    if (!shell_enter(sh)) {
        return;
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (present & NODE_BIT(id)) {
            nodes[ev.view.n++] = id;
        }
    }
    ev.view.nodes = nodes;
    ev.view.quorate = quorate;
    ev.view.counter = view;
    sh->ring_quorate = quorate;
    sh->world.present = present;
    sh->world.ring = ring;
    sh->dirty = true;
    journal_feed(sh, &ev, NULL);
    shell_settle(sh);
}

/* A15: it is there, and does nothing. */
static void observer_heard(struct shell *sh, uint32_t from)
{
    if (sh->observed_ms[from] == 0) {
        shell_log(sh, LOG_L_ERROR, "alarm: clusterd of node %u only observes, after crashes: see its log",
                  from);
    }
    if (sh->observed_ms[from] == 0 || sh->now >= sh->observed_ms[from] + OBSERVED_MS) {
        sh->dirty = true; /* it was believed to take part until now (shell_world()) */
    }
    sh->observed_ms[from] = sh->now;
}

/* A message of ours: parsed here, once; garbage is dropped and counted. */
static void own_message(struct shell *sh, uint32_t from, const void *data, size_t len)
{
    struct rd r;
    uint8_t type, format;

    rd_init(&r, data, len);
    type = rd_u8(&r);
    format = rd_u8(&r);
    if (!r.bad && format > SHELL_MESSAGE_FORMAT) {
        if (!sh->newer_said) {
            shell_log(
                sh, LOG_L_ERROR,
                "alarm: node %u runs a newer clusterd, whose messages this one cannot read: install that "
                "version here",
                from);
        }
        sh->newer_said = true;
        return;
    }
    if (!r.bad && format == SHELL_MESSAGE_FORMAT && type == SHELL_PROPOSE) {
        uint32_t to = rd_u32(&r);
        size_t n;
        const uint8_t *event = rd_blob(&r, &n);

        if (rd_done(&r)) {
            if (to == sh->cfg.self) {
                propose_take(sh, from, event, n);
            }
            return;
        }
    } else if (!r.bad && format == SHELL_MESSAGE_FORMAT && type == SHELL_PROGRESS) {
        uint64_t op = rd_u64(&r);
        uint32_t millionths = rd_u32(&r);

        if (rd_done(&r) && millionths <= 1000000) {
            progress_note(sh, op, millionths / 1e6, false);
            return;
        }
    } else if (!r.bad && format == SHELL_MESSAGE_FORMAT && type == SHELL_OBSERVE) {
        if (rd_done(&r) && from >= 1 && from <= NODES_MAX) {
            observer_heard(sh, from);
            return;
        }
    } else if (!r.bad && format == SHELL_MESSAGE_FORMAT && type == SHELL_DIGEST) {
        if (digest_message(sh, from, &r)) {
            return;
        }
    }
    sh->dropped++;
}

size_t shell_observe_message(uint8_t out[8])
{
    out[0] = SHELL_OBSERVE;
    out[1] = SHELL_MESSAGE_FORMAT;
    return 2;
}

void shell_message(struct shell *sh, uint32_t from, const void *data, size_t len)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};

    if (!shell_enter(sh)) {
        return;
    }
    if (journal_message_peek(data, len)) {
        ev.message.from = from;
        ev.message.data = data;
        ev.message.len = len;
        journal_feed(sh, &ev, NULL);
    } else {
        own_message(sh, from, data, len);
    }
    shell_settle(sh);
}

static struct run *run_find(const struct shell *sh, uint64_t id)
{
    struct run *r = sh->runs;

    while (r != NULL && r->id != id) {
        r = r->next;
    }
    return r;
}

void shell_run_done(struct shell *sh, uint64_t id, const struct run_result *res)
{
    struct run *r;

    if (!shell_enter(sh)) {
        return;
    }
    r = run_find(sh, id);
    if (r != NULL) {
        run_done(sh, r, res);
    }
    shell_settle(sh);
}

void shell_run_line(struct shell *sh, uint64_t id, const char *line)
{
    static const char progress[] = "progress: ";
    struct run *r;
    double fraction;
    char *end;

    if (strncmp(line, progress, sizeof progress - 1) != 0 || !shell_enter(sh)) {
        return;
    }
    r = run_find(sh, id);
    fraction = strtod(line + sizeof progress - 1, &end);
    if (r != NULL && r->job.op != 0 && end != line + sizeof progress - 1 && fraction >= 0 && fraction <= 1) {
        progress_note(sh, r->job.op, fraction, true);
    }
    shell_settle(sh);
}

void shell_look(struct shell *sh)
{
    if (shell_enter(sh)) {
        inventory_ask(sh, false);
        shell_settle(sh);
    }
}

void shell_tick(struct shell *sh)
{
    if (shell_enter(sh)) {
        shell_settle(sh);
    }
}

static int command(struct shell *sh, uint64_t request, struct event *e, struct err *err)
{
    char why[JOURNAL_TEXT_MAX];
    int rc;

    if (event_who(e->kind) != 'C') {
        return err_set(err, RC_USAGE, "not a command");
    }
    if (sh->leaving) {
        return err_set(err, RC_REFUSED, "this node's clusterd is being stopped");
    }
    if (!shell_quorate(sh, why, sizeof why)) {
        err_set(err, RC_NO_QUORUM, "no quorum: %s", why);
        err_hint(err, "see `clusterctl quorum`");
        return RC_NO_QUORUM;
    }
    if (sh->digest.disputed) {
        err_set(err, RC_REFUSED, "%s", sh->digest.why);
        err_hint(err, "restart clusterd on the node that is wrong (systemctl restart clusterd)");
        return RC_REFUSED;
    }
    if (event_level(e->kind) > sh->st->level) {
        /* A13: here, not when it is applied: an older node could not even read it. */
        return refuse_level(err, event_key(e->kind), event_level(e->kind), sh->st->level);
    }
    if (sh->queued >= QUEUE_MAX) {
        return err_set(err, RC_BUSY, "%u requests wait already on this node", sh->queued);
    }
    rc = propose(sh, e, request);
    if (rc == 0 && MUTANT(answer_before_commit)) {
        sh->p.client.answer(sh->p.client.ctx, request, 0, NULL, 0);
    }
    if (rc != 0) {
        return err_set(err, rc, "%s", rc == RC_BAD_INPUT ? "the command is too long" : "out of memory");
    }
    return 0;
}

void shell_command(struct shell *sh, uint64_t request, struct event *e)
{
    struct err err = ERR_INIT;
    int rc;

    if (!shell_enter(sh)) {
        err_set(&err, RC_FAILED, "this daemon has stopped after a failure: see its log");
        rc = RC_FAILED;
    } else {
        rc = command(sh, request, e, &err);
    }
    event_fini(e);
    if (rc != 0) {
        sh->p.client.answer(sh->p.client.ctx, request, rc, &err, 0);
    }
    if (!sh->failed) {
        shell_settle(sh);
    }
}

void shell_leave(struct shell *sh)
{
    if (shell_enter(sh)) {
        sh->leaving = true;
        sh->leave_ms = sh->now + LEAVE_MS;
        shell_settle(sh);
    }
}

/* ------------------------------------------------------------------------------------------------- looking
 */

bool shell_may_exit(const struct shell *sh)
{
    return sh->may_exit;
}

bool shell_outdated(const struct shell *sh)
{
    return sh->outdated;
}

const struct state *shell_state(const struct shell *sh)
{
    return sh->st;
}

const struct journal *shell_journal(const struct shell *sh)
{
    return sh->j;
}

void shell_world(const struct shell *sh, struct world *w)
{
    const struct journal_members *m = journal_members(sh->j);

    *w = sh->world;
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (sh->observed_ms[id] != 0 && sh->now < sh->observed_ms[id] + OBSERVED_MS) {
            w->observing |= sh->world.present & NODE_BIT(id);
        }
    }
    w->present &= ~w->observing; /* it takes no part */
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].kind == JOURNAL_NODE && m->v[i].node <= NODES_MAX) {
            w->members |= NODE_BIT(m->v[i].node);
        }
    }
}

bool shell_quorate(const struct shell *sh, char *why, size_t size)
{
    struct journal_status *status;

    why[0] = '\0';
    if (journal_is_open(sh->j) && sh->st->term != 0 && !sh->failed) {
        return true;
    }
    if (sh->store_error[0] != '\0') {
        snprintf(why, size, "%s", sh->store_error);
        return false;
    }
    if (sh->world.ring == 0) {
        snprintf(why, size, "corosync does not answer on this host");
        return false;
    }
    status = malloc(sizeof *status);
    if (status != NULL) {
        journal_status(sh->j, status);
        members_why(sh, status, why, size);
        free(status);
    }
    return false;
}

const char *shell_alarm(const struct shell *sh)
{
    return sh->digest.why;
}

double shell_progress(const struct shell *sh, uint64_t op)
{
    for (unsigned i = 0; i < PROGRESS_MAX; i++) {
        if (sh->progress[i].op == op && op != 0) {
            return sh->progress[i].fraction;
        }
    }
    return -1;
}
