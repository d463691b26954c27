#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "shell_internal.h"

/* ------------------------------------------------------------------------------------------ the audit trail
 */

static bool concerns_vm(const struct shell *sh, const struct event *e, const struct job *job,
                        char vm[NAME_SIZE])
{
    const struct op *op =
        e->kind == EV_OP_END || e->kind == EV_CMD_OP_CANCEL ? state_op(sh->st, e->id) : NULL;
    const char *name = job != NULL ? job->subject : op != NULL ? op->subject : e->subject;

    if (name[0] == '\0' || state_vm(sh->st, name) == NULL) {
        return false;
    }
    snprintf(vm, NAME_SIZE, "%s", name);
    return true;
}

/* What the entry is about has to be looked up before it is applied: it may be what ends it. */
static void row_begin(const struct shell *sh, const struct event *e, struct history_row *row)
{
    const struct job *job = e->kind == EV_JOB_RESULT ? state_job(sh->st, e->id) : NULL;
    const struct node *n = state_node(sh->st, e->node);

    memset(row, 0, sizeof *row);
    snprintf(row->kind, sizeof row->kind, "%s", event_key(e->kind));
    snprintf(row->why, sizeof row->why, "%s", e->why);
    core_describe(sh->st, e, row->text, sizeof row->text);
    concerns_vm(sh, e, job, row->vm);
    if (n != NULL) {
        snprintf(row->node, sizeof row->node, "%s", n->name);
    }
    if (job != NULL) {
        row->op = job->op;
    } else if (e->kind == EV_JOB || e->kind == EV_OP_END || e->kind == EV_CMD_OP_CANCEL) {
        row->op = e->id;
    }
}

static void row_end(struct shell *sh, const struct event *e, const struct journal_entry *entry,
                    const struct applied *a, struct history_row *row)
{
    enum log_level level = entry->index <= sh->replayed ? LOG_L_DEBUG : LOG_L_NOTICE;
    size_t len = strlen(row->text);

    row->time_ms = e->time_ms;
    row->term = entry->term;
    row->index = entry->index;
    if (a->op != 0) {
        row->op = a->op;
    }
    if (row->vm[0] == '\0') {
        concerns_vm(sh, e, NULL, row->vm); /* it came into being just now */
    }
    if (a->rc != 0) {
        snprintf(row->text + len, sizeof row->text - len, " - rejected: %s", a->err.msg);
    }
    shell_log(sh, level, "%s%s%s%s", row->text, row->why[0] ? " (" : "", row->why, row->why[0] ? ")" : "");
    if (a->alarm && level == LOG_L_NOTICE) {
        shell_log(sh, LOG_L_ERROR, "alarm: %s", a->err.msg);
    }
    sh->p.store.history_add(sh->p.store.ctx, row);
}

/* ------------------------------------------------------------------------------------------------ applying
 */

static void apply_event(struct shell *sh, const struct event *e, const struct journal_entry *entry)
{
    struct applied a;
    struct history_row row;
    const char *wrong;

    row_begin(sh, e, &row);
    core_apply(sh->st, e, entry->term, entry->index, &a);
    if (a.rc == RC_NO_MEMORY) {
        /* Rejected here alone: this state would be another one from now on (S5). The next start begins with
         * the entries. */
        shell_fail(sh, "out of memory");
        return;
    }
    if (e->kind == EV_NODE_UP && a.rc == 0) {
        sh->observed_ms[e->node] = 0; /* A15: it takes part again */
    }
    if ((e->kind == EV_CMD_VM_ADD || e->kind == EV_QUORUM_FORCED) && a.rc == 0) {
        inventory_ask(sh, true); /* C1: each node's word is waited for */
    }
    if (!a.duplicate) {
        row_end(sh, e, entry, &a, &row);
        sh->dirty = true;
    }
    wrong = a.broken != NULL ? a.broken : core_check_touched(sh->st);
    if (wrong != NULL && sh->broken == NULL) {
        sh->broken = wrong;
        shell_log(sh, LOG_L_ERROR, "alarm: the state after entry %llu contradicts itself: %s",
                  (unsigned long long)entry->index, wrong);
    }
    decide_applied(sh, e, &a);
    propose_applied(sh, e, &a);
    digest_applied(sh, e);
}

/* A13: what a node must know that meets this entry. */
static unsigned entry_level(const struct event *e)
{
    return e->kind == EV_LEVEL && e->num > event_level(e->kind) ? (unsigned)e->num : event_level(e->kind);
}

static void err_newer(const struct shell *sh, unsigned level, struct err *err)
{
    (void)refuse_newer(err, "it is of feature level %u, and this clusterd knows %u", level,
                       sh->cfg.feature_level);
}

/* The coordinator's word at the opening of its term: what the journal put there, then what we gave it. */
static void apply_open(struct shell *sh, const struct journal_entry *entry)
{
    struct event e;
    struct err err = ERR_INIT;
    struct rd r;
    uint32_t node;
    uint64_t session;

    rd_init(&r, entry->payload, entry->len);
    node = rd_u32(&r);
    session = rd_u64(&r);
    if (event_decode(&e, r.p, rd_left(&r), &err) == 0 && e.kind != EV_OPEN) {
        err_set(&err, RC_CORRUPT, "it opens term %llu, and says something else",
                (unsigned long long)entry->term);
        event_fini(&e);
    }
    if (err.rc != 0) {
        shell_fail_read(sh, "entry", entry->index, &err);
        return;
    }
    e.origin = node;
    e.session = session;
    e.num = entry->term;
    e.time_ms = sh->st->time_ms; /* its author could not stamp it; windows measure from facts */
    apply_event(sh, &e, entry);
    event_fini(&e);
}

static void apply_data(struct shell *sh, const struct journal_entry *entry)
{
    struct event e;
    struct err err = ERR_INIT;

    if (event_decode(&e, entry->payload, entry->len, &err) == 0 && entry_level(&e) > sh->cfg.feature_level &&
        !MUTANT(newer_entry_passed_over)) {
        err_newer(sh, entry_level(&e), &err);
    }
    if (err.rc == 0) {
        e.time_ms = MUTANT(local_time) ? sh->p.clock.wall_ms(sh->p.clock.ctx) : e.time_ms;
        apply_event(sh, &e, entry);
    } else {
        /* Going on without it would make this node's state another one (S5). */
        shell_fail_read(sh, "entry", entry->index, &err);
    }
    event_fini(&e);
}

static bool state_renew(struct shell *sh, struct state *fresh)
{
    if (fresh == NULL) {
        shell_fail(sh, "out of memory");
        return false;
    }
    quorum_keep(sh, sh->st, fresh);
    sh->st = fresh;
    digest_forget(sh);
    sh->rebuild = false;
    sh->dirty = true;
    sh->members_seen = 0;
    return true;
}

static void apply_upto(struct shell *sh, uint64_t index)
{
    if (sh->rebuild && state_renew(sh, state_new(sh->cfg.cluster))) {
        sh->applied = 0;
    }
    while (!sh->failed && sh->applied < index) {
        const struct journal_entry *entry = journal_entry_at(sh->j, sh->applied + 1);

        if (entry == NULL) {
            shell_fail(sh, "the journal has no entry %llu though it is committed",
                       (unsigned long long)sh->applied + 1);
            return;
        }
        if (entry->kind == JOURNAL_OPEN) {
            apply_open(sh, entry);
        } else if (entry->kind == JOURNAL_DATA) {
            apply_data(sh, entry);
        } else {
            sh->dirty = true; /* other members: somebody may wait for that */
        }
        sh->applied++;
    }
}

/* -------------------------------------------------------------------------------------- store and snapshots
 */

static void todo(struct shell *sh, const struct journal_event *ev)
{
    if (sh->todos == sh->todos_cap) {
        unsigned cap = sh->todos_cap ? 2 * sh->todos_cap : 8;
        struct journal_event *more = realloc(sh->todo, cap * sizeof *more);

        if (more == NULL) {
            shell_fail(sh, "out of memory");
            return;
        }
        sh->todo = more;
        sh->todos_cap = cap;
    }
    sh->todo[sh->todos++] = *ev;
}

/* The state as a snapshot says it; NULL: the daemon stops. */
static struct state *snapshot_state(struct shell *sh, const struct journal_snapshot *s, const uint8_t *blob)
{
    struct err err = ERR_INIT;
    struct state *st = s->index == 0 ? state_new(sh->cfg.cluster) : state_decode(blob, s->size, &err);

    if (st != NULL && st->level > sh->cfg.feature_level) {
        err_newer(sh, st->level, &err);
        state_free(st);
        st = NULL;
    }
    if (st == NULL) {
        shell_fail_read(sh, "the snapshot at", s->index, &err);
    }
    return st;
}

static void install(struct shell *sh, struct state *fresh, uint64_t index)
{
    if (state_renew(sh, fresh)) {
        sh->applied = index;
        propose_applied(sh, NULL, NULL);
    }
}

static void persist(struct shell *sh, const struct journal_persist *p)
{
    struct journal_event ev = {.type = JOURNAL_EV_PERSISTED};
    struct err err = ERR_INIT;
    struct state *fresh = NULL;
    bool fsync_failed = false;
    int rc = RC_IO;

    if (p->install != NULL && (fresh = snapshot_state(sh, p->install, p->blob)) == NULL) {
        return; /* what cannot be read is not stored either */
    }
    if (sh->store_void) {
        fsync_failed = true;
        err_set(&err, RC_IO, "an earlier fsync failed");
    } else {
        rc = sh->p.store.persist(sh->p.store.ctx, sh->j, p, &fsync_failed, &err);
    }
    sh->store_error[0] = '\0';
    if (rc != 0) {
        snprintf(sh->store_error, sizeof sh->store_error, "the journal cannot be written: %s%s%s", err.hint,
                 err.hint[0] ? ": " : "", err.msg);
        shell_log(sh, LOG_L_ERROR, "%s", sh->store_error);
    }
    ev.persisted.seq = p->seq;
    ev.persisted.result = rc == 0        ? JOURNAL_PERSIST_OK
                          : fsync_failed ? JOURNAL_FSYNC_FAILED
                                         : JOURNAL_PERSIST_FAILED;
    if (rc == 0 && fresh != NULL) {
        install(sh, fresh, p->install->index);
    } else {
        state_free(fresh);
    }
    todo(sh, &ev);
}

static void take_snapshot(struct shell *sh)
{
    struct journal_event ev = {.type = JOURNAL_EV_SNAPSHOT_TAKEN};
    struct journal_snapshot s;
    struct buf blob = BUF_INIT;
    struct err err = ERR_INIT;
    bool fsync_failed = false;

    if (sh->rebuild || !journal_snapshot_describe(sh->j, sh->applied, &s)) {
        return;
    }
    state_encode(sh->st, &blob);
    if (blob.failed || blob.len > JOURNAL_SNAPSHOT_MAX) {
        shell_log(sh, LOG_L_ERROR, "no snapshot: %s",
                  blob.failed ? "out of memory" : "the state is too large");
        goto out;
    }
    s.size = blob.len;
    s.digest = hash_bytes((struct hash){0, 0}, blob.data, blob.len);
    if (sh->p.store.snapshot(sh->p.store.ctx, &s, blob.data, &fsync_failed, &err) != 0) {
        shell_log(sh, LOG_L_ERROR, "the snapshot could not be written: %s", err.msg);
        sh->store_void = sh->store_void || fsync_failed;
        goto out;
    }
    ev.taken.index = s.index;
    ev.taken.size = s.size;
    ev.taken.digest = s.digest;
    todo(sh, &ev);
out:
    buf_fini(&blob);
}

static void read_snapshot(struct shell *sh, uint64_t index, uint64_t offset, size_t len)
{
    struct journal_event ev = {.type = JOURNAL_EV_SNAPSHOT_DATA};
    uint8_t *piece = malloc(len ? len : 1);
    int rc =
        piece == NULL ? RC_NO_MEMORY : sh->p.store.snapshot_read(sh->p.store.ctx, index, offset, piece, len);

    ev.data.index = index;
    ev.data.offset = offset;
    if (rc == 0) {
        ev.data.data = piece; /* owned by the event, todo_fini() */
        ev.data.len = len;
    } else {
        free(piece);
    }
    todo(sh, &ev);
    if (rc == RC_CORRUPT) {
        /* Nobody can be brought up to date with it. This node is still whole in memory, and may be needed for
         * a majority: a new one takes its place; what else the disk has lost shows at the next start. */
        shell_log(sh, LOG_L_ERROR,
                  "alarm: the stored snapshot at %llu is damaged, and is taken anew: look at this "
                  "host's disk",
                  (unsigned long long)index);
        take_snapshot(sh);
    }
}

static void todo_fini(struct journal_event *ev)
{
    if (ev->type == JOURNAL_EV_SNAPSHOT_DATA) {
        free((void *)(uintptr_t)ev->data.data);
    }
}

/* Gives the journal what the store holds; the state follows where the store is ahead of it or began anew. */
static int adopt(struct shell *sh, const struct journal_load *load)
{
    struct journal_event ev = {.type = JOURNAL_EV_START};
    struct state *fresh = NULL;
    uint64_t applied = sh->rebuild ? 0 : sh->applied; /* of what is stored now */
    int rc = journal_load(sh->j, load);

    if (rc != 0) {
        return rc;
    }
    if (load->incarnation == 0) {
        sh->rebuild = true; /* A10: this node takes the state from the others */
    } else if (load->snapshot.index > applied) {
        fresh = snapshot_state(sh, &load->snapshot, load->blob);
        if (fresh == NULL) {
            return sh->outdated ? RC_REFUSED : RC_CORRUPT;
        }
        install(sh, fresh, load->snapshot.index);
    }
    sh->store_void = false;
    todo(sh, &ev);
    return 0;
}

int journal_start(struct shell *sh, struct journal_load *load, struct err *err)
{
    int rc = adopt(sh, load);

    sh->replayed = load->commit;
    if (rc == RC_REFUSED) {
        (void)refuse_newer(err, "the stored journal was written by a newer clusterd; it is left as it is");
    } else if (rc != 0) {
        err_set(err, rc, "the stored journal cannot be used: %s", rc_key(rc));
    }
    return rc;
}

void journal_reload(struct shell *sh)
{
    struct journal_load load;
    struct err err = ERR_INIT;
    int rc;

    if (sh->now < sh->reload_ms) {
        return;
    }
    sh->reload_ms = NEVER;
    memset(&load, 0, sizeof load);
    if (sh->p.store.load(sh->p.store.ctx, &load, &err) != 0) {
        shell_fail(sh, "the journal cannot be read: %s", err.msg);
    } else if ((rc = adopt(sh, &load)) != 0) {
        shell_fail(sh, "the journal cannot be used: %s", rc_key(rc));
    }
    journal_load_fini(&load);
}

static void set_aside(struct shell *sh, const char *why)
{
    struct err err = ERR_INIT;

    shell_log(sh, LOG_L_ERROR, "alarm: the journal of this node is set aside: %s", why);
    if (sh->p.store.set_aside(sh->p.store.ctx, why, &err) != 0) {
        shell_fail(sh, "the journal cannot be set aside: %s", err.msg);
        return;
    }
    sh->rebuild = true;
    sh->reload_ms = sh->now;
}

void journal_begin_anew(struct shell *sh, const char *why)
{
    struct journal_event resign = {.type = JOURNAL_EV_RESIGN};

    if (journal_is_coordinator(sh->j)) {
        journal_feed(sh, &resign, NULL); /* the others need not wait for it to fall silent */
    }
    set_aside(sh, why);
    journal_reload(sh); /* at once: it does not know, and would take a message for the store that is gone */
}

/* ------------------------------------------------------------------------------------------------- actions
 */

static void role(struct shell *sh, const struct journal_action *a, bool known)
{
    if (known && a->role.term != sh->term) {
        if (!MUTANT(taken_kept)) {
            memset(sh->taken, 0, sizeof sh->taken);
        }
        sh->term = a->role.term;
        sh->decided = sh->removal_failed = 0;
        sh->inv.pause_ms = 0; /* C3: what runs is to be said in each term */
    }
    sh->coordinator = known ? a->role.node : 0;
    sh->dirty = true;
    shell_log(sh, LOG_L_INFO, "%s node %u, term %llu%s%s",
              a->type == JOURNAL_COORDINATOR ? "coordinator:"
              : a->type == JOURNAL_OPENED    ? "term open:"
              : a->type == JOURNAL_RESIGNED  ? "resigned:"
              : a->type == JOURNAL_FOLLOWING ? "following"
                                             : "no coordinator:",
              a->role.node, (unsigned long long)a->role.term, a->text[0] ? ": " : "", a->text);
}

/* A job's number means something in one cluster only. */
static void created(struct shell *sh, const struct journal_action *a)
{
    struct journal_status *status = malloc(sizeof *status);

    if (status == NULL) {
        shell_fail(sh, "out of memory");
        return;
    }
    journal_status(sh->j, status);
    if (status->cluster.lo != sh->cluster.lo || status->cluster.hi != sh->cluster.hi) {
        sh->cluster = status->cluster;
        sh->job_mark = 0;
    }
    free(status);
    shell_log(sh, LOG_L_NOTICE, "this node belongs to the cluster now%s%s", a->text[0] ? ": " : "", a->text);
}

static void carry_out(struct shell *sh, const struct journal_action *a)
{
    switch (a->type) {
    case JOURNAL_SEND:
        shell_send(sh, a->send.data, a->send.len);
        break;
    case JOURNAL_PERSIST:
        persist(sh, &a->persist);
        break;
    case JOURNAL_COMMIT:
        apply_upto(sh, a->commit.index);
        break;
    case JOURNAL_COORDINATOR:
    case JOURNAL_OPENED:
    case JOURNAL_FOLLOWING:
        role(sh, a, true);
        break;
    case JOURNAL_RESIGNED:
    case JOURNAL_SEARCHING:
        role(sh, a, false);
        break;
    case JOURNAL_CREATED:
        created(sh, a);
        break;
    case JOURNAL_TAKE_SNAPSHOT:
        take_snapshot(sh);
        break;
    case JOURNAL_READ_SNAPSHOT:
        read_snapshot(sh, a->read.index, a->read.offset, a->read.len);
        break;
    case JOURNAL_RELOAD:
        shell_log(sh, LOG_L_WARNING, "the journal is read again: %s", a->text);
        sh->reload_ms = sh->now + a->reload.delay_ms;
        break;
    case JOURNAL_SET_ASIDE:
        set_aside(sh, a->text);
        break;
    case JOURNAL_ALARM:
        shell_log(sh, LOG_L_ERROR, "alarm: %s", a->text);
        break;
    }
}

int journal_feed(struct shell *sh, struct journal_event *ev, struct journal_actions *out)
{
    struct journal_actions actions;
    int rc;

    if (out == NULL) {
        out = &actions;
    }
    ev->now_ms = sh->now;
    rc = journal_step(sh->j, ev, out);
    if (rc == RC_NO_MEMORY) {
        shell_fail(sh, "out of memory");
        return rc;
    }
    for (size_t i = 0; i < out->n && !sh->failed; i++) {
        carry_out(sh, &out->v[i]);
    }
    sh->journal_ms = out->deadline_ms;
    return rc;
}

void journal_drain(struct shell *sh)
{
    for (unsigned i = 0; i < sh->todos && !sh->failed; i++) {
        struct journal_event ev = sh->todo[i]; /* the array may move */

        journal_feed(sh, &ev, NULL);
        todo_fini(&ev);
        sh->todo[i].type = JOURNAL_EV_TICK;
        journal_reload(sh);
    }
    sh->todos = 0;
}

void journal_fini(struct shell *sh)
{
    for (unsigned i = 0; i < sh->todos; i++) {
        todo_fini(&sh->todo[i]);
    }
    free(sh->todo);
    buf_fini(&sh->open_data);
    journal_free(sh->j);
}

int journal_propose(struct shell *sh, const struct event *e, uint64_t *index)
{
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};
    struct journal_actions out;
    struct buf b = BUF_INIT;
    int rc;

    event_encode(e, &b);
    if (b.failed) {
        buf_fini(&b);
        return RC_NO_MEMORY;
    }
    ev.propose.payload = b.data;
    ev.propose.len = b.len;
    rc = journal_feed(sh, &ev, &out);
    *index = out.index;
    buf_fini(&b);
    return rc;
}
