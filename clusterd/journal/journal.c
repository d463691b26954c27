/* journal.c - a journal, and its step: one event in, actions out. */
#include "journal/journal.h"
#include "journal/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_MAX (2 * JOURNAL_NODES_MAX + 1) /* whom we remember: the view, the members, and somebody */

/* ------------------------------------------------------------------------------- what the files share */

struct journal_action *journal_act(struct journal *j, enum journal_action_type type)
{
    if (j->n_actions == j->cap_actions) {
        size_t cap = j->cap_actions ? j->cap_actions * 2 : 16;
        struct journal_action *v = realloc(j->actions, cap * sizeof *v);

        if (v == NULL) {
            j->oom = true;
            return NULL;
        }
        j->actions = v;
        j->cap_actions = cap;
    }
    j->actions[j->n_actions].type = type;
    j->actions[j->n_actions].text[0] = '\0';
    return &j->actions[j->n_actions++];
}

__attribute__((format(printf, 3, 0))) static void say(struct journal *j, enum journal_action_type type,
                                                      const char *fmt, va_list ap)
{
    struct journal_action *a = journal_act(j, type);

    if (a != NULL) {
        a->role.node = j->coordinator;
        a->role.term = j->promise.term;
        (void)vsnprintf(a->text, sizeof a->text, fmt, ap);
    }
}

void journal_say(struct journal *j, enum journal_action_type type, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(j, type, fmt, ap);
    va_end(ap);
}

void journal_stop(struct journal *j, const char *fmt, ...)
{
    va_list ap;

    if (j->role == JOURNAL_LEADER) {
        jrepl_resign(j, true, "this node must stop");
    }
    j->role = JOURNAL_STOPPED;
    va_start(ap, fmt);
    (void)vsnprintf(j->stopped, sizeof j->stopped, fmt, ap);
    va_end(ap);
    journal_say(j, JOURNAL_ALARM, "%s", j->stopped);
}

void journal_message_init(const struct journal *j, struct jmsg *m, enum jmsg_type type, uint32_t to)
{
    m->type = type;
    m->cluster = j->cluster;
    m->from = j->config.node;
    m->to = to;
    m->incarnation = j->incarnation;
    m->session = j->config.session;
    m->term = j->promise.term;
    m->line = jforce_line(j);
    m->held_term = j->held.term;
    m->held_index = j->held.last;
}

struct buf *journal_send(struct journal *j, const struct jmsg *m)
{
    struct journal_action *a = journal_act(j, JOURNAL_SEND);

    if (a != NULL) {
        a->send.len = j->sends.len; /* where it begins; actions_finish() turns that into a pointer */
    }
    jmsg_write(&j->sends, m);
    return &j->sends;
}

/* xorshift64*: Marsaglia's generator, only to spread time-outs. */
uint64_t journal_random_ms(struct journal *j, uint64_t low, uint64_t high)
{
    j->rng ^= j->rng >> 12;
    j->rng ^= j->rng << 25;
    j->rng ^= j->rng >> 27;
    return low + (j->rng * 0x2545f4914f6cdd1dULL >> 32) % (high > low ? high - low : 1);
}

const struct jpeer *journal_peer_find(const struct journal *j, uint32_t node)
{
    for (size_t i = 0; i < j->n_peers; i++) {
        if (j->peers[i].node == node) {
            return &j->peers[i];
        }
    }
    return NULL;
}

static bool more_peers(struct journal *j)
{
    size_t cap = j->cap_peers ? j->cap_peers * 2 : 8;
    struct jpeer *v = realloc(j->peers, cap * sizeof *v);

    if (v == NULL) {
        j->oom = true;
        return false;
    }
    j->peers = v;
    j->cap_peers = cap;
    return true;
}

/* One that is neither in the view nor a member; at most PEERS_MAX - 1 are one or the other. */
static struct jpeer *forgotten_peer(struct journal *j)
{
    for (size_t i = 0; i < j->n_peers; i++) {
        struct jpeer *p = &j->peers[i];

        if (!journal_in_view(j, p->node) && jvoters_find(&j->members, p->node) == NULL) {
            return p;
        }
    }
    return NULL;
}

struct jpeer *journal_peer(struct journal *j, uint32_t node)
{
    struct jpeer *found = NULL;

    for (size_t i = 0; i < j->n_peers; i++) {
        if (j->peers[i].node == node) {
            return &j->peers[i];
        }
    }
    if (j->n_peers >= PEERS_MAX) {
        found = forgotten_peer(j); /* its place is taken */
    } else if (j->n_peers < j->cap_peers || more_peers(j)) {
        found = &j->peers[j->n_peers++];
    }
    if (found == NULL) {
        return NULL;
    }
    memset(found, 0, sizeof *found);
    found->node = node;
    found->present = journal_in_view(j, node);
    return found;
}

bool journal_in_view(const struct journal *j, uint32_t node)
{
    for (size_t i = 0; i < j->n_view; i++) {
        if (j->view[i] == node) {
            return true;
        }
    }
    return false;
}

bool journal_uuid_eq(struct journal_uuid a, struct journal_uuid b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

bool journal_uuid_none(struct journal_uuid u)
{
    return u.lo == 0 && u.hi == 0;
}

bool journal_is_empty(const struct journal *j)
{
    return journal_uuid_none(j->cluster);
}

uint64_t journal_doubt_ms(const struct journal *j)
{
    return 10 * (uint64_t)j->config.election_ms;
}

bool journal_said_twice(struct journal *j, enum jdoubt what, uint32_t from, uint64_t value)
{
    bool twice = j->doubt[what].ms != 0 && j->now_ms - j->doubt[what].ms <= journal_doubt_ms(j) &&
                 j->doubt[what].from == from && j->doubt[what].value == value;

    j->doubt[what].ms = j->now_ms ? j->now_ms : 1;
    j->doubt[what].from = from;
    j->doubt[what].value = value;
    return twice;
}

/* ------------------------------------------------------------------------------------------ new and free */

static void set_default(uint32_t *value, uint32_t otherwise)
{
    *value = *value ? *value : otherwise;
}

static void sort_configured(struct journal_config *c)
{
    for (size_t i = 1; i < c->n_configured; i++) {
        uint32_t node = c->configured[i];
        size_t at = i;

        for (; at > 0 && c->configured[at - 1] > node; at--) {
            c->configured[at] = c->configured[at - 1];
        }
        c->configured[at] = node;
    }
}

static bool config_ok(const struct journal_config *c)
{
    if (c->node == 0 || c->session == 0 || c->n_configured > JOURNAL_NODES_MAX ||
        c->open_len > JOURNAL_PAYLOAD_MAX - 12 || c->message_bytes > JOURNAL_MESSAGE_MAX) {
        return false;
    }
    for (size_t i = 0; i < c->n_configured; i++) {
        if (c->configured[i] == 0 || (i > 0 && c->configured[i - 1] == c->configured[i])) {
            return false;
        }
    }
    return true;
}

static uint64_t configured_hash(const struct journal_config *c)
{
    struct hash h = {0, 0};

    for (size_t i = 0; i < c->n_configured; i++) {
        uint8_t le[4];

        for (size_t k = 0; k < 4; k++) {
            le[k] = (uint8_t)(c->configured[i] >> (8 * k));
        }
        h = hash_bytes(h, le, sizeof le);
    }
    return h.lo;
}

struct journal *journal_new(const struct journal_config *config)
{
    struct journal *j = calloc(1, sizeof *j);
    struct journal_config *c;

    if (j == NULL || config->n_configured > JOURNAL_NODES_MAX) {
        free(j);
        return NULL;
    }
    c = &j->config;
    *c = *config;
    sort_configured(c);
    set_default(&c->election_ms, 400);
    set_default(&c->heartbeat_ms, 100);
    set_default(&c->commit_ms, 2000);
    set_default(&c->snapshot_entries, 4096);
    set_default(&c->tail_entries, 512);
    set_default(&c->message_bytes, JOURNAL_MESSAGE_MAX);
    c->snapshot_bytes = c->snapshot_bytes ? c->snapshot_bytes : 16U << 20;
    if (!config_ok(c)) {
        free(j);
        return NULL;
    }
    j->configured_hash = configured_hash(c);
    j->rng = (c->seed ^ (c->session * 0x9e3779b97f4a7c15ULL)) | 1;
    j->role = JOURNAL_WAITING;
    return j;
}

void journal_free(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    jlog_fini(&j->log);
    buf_fini(&j->incoming.data);
    buf_fini(&j->blob);
    buf_fini(&j->force.payload);
    buf_fini(&j->sends);
    free(j->peers);
    free(j->progress);
    free(j->scratch);
    free(j->actions);
    free(j);
}

/* ------------------------------------------------------------------------------------------------ step */

bool journal_active(const struct journal *j)
{
    return j->role != JOURNAL_WAITING && j->role != JOURNAL_STOPPED;
}

/* The store is open, and our incarnation is on the disk: from here on we may speak. */
static void enter(struct journal *j)
{
    struct journal_action *a;

    if (journal_is_empty(j)) {
        j->role = JOURNAL_EMPTY;
        j->hello_ms = j->now_ms;
        return;
    }
    jelect_search(j, "");
    if (j->commit > j->snapshot.index) {
        a = journal_act(j, JOURNAL_COMMIT);
        if (a != NULL) {
            a->commit.index = j->commit;
        }
    }
}

static int on_start(struct journal *j)
{
    if (!j->loaded || j->role != JOURNAL_WAITING) {
        return RC_USAGE;
    }
    j->loaded = false;
    if (j->bad_store[0] != '\0') {
        journal_say(j, JOURNAL_SET_ASIDE, "%s", j->bad_store);
        return RC_OK;
    }
    if (j->store.failures > 0) {
        j->hold_ms = j->now_ms + 3 * (uint64_t)j->config.election_ms; /* let others stand first */
    }
    if (j->store.identity) {
        j->starting = true;
        jstore_flush(j);
    } else {
        enter(j);
    }
    return RC_OK;
}

static int on_persisted(struct journal *j, const struct journal_event *event)
{
    int rc = jstore_persisted(j, event->persisted.seq, event->persisted.result);

    if (rc == RC_OK && j->starting) {
        j->starting = false;
        if (event->persisted.result == JOURNAL_PERSIST_OK) {
            enter(j);
        }
    }
    return rc;
}

/* Of another cluster: journals never merge (A10). */
static bool foreign(struct journal *j, const struct jmsg *m)
{
    if (journal_is_empty(j) || journal_uuid_none(m->cluster) || journal_uuid_eq(j->cluster, m->cluster)) {
        return false;
    }
    j->dropped_foreign++;
    if (!j->foreign_alarmed) {
        j->foreign_alarmed = true;
        journal_say(j, JOURNAL_ALARM, "node %u belongs to another cluster; what it says is ignored",
                    (unsigned)m->from);
    }
    return true;
}

/* A13: no garbage. What it says cannot be understood here, so nothing is done about it but to say so. */
static void newer(struct journal *j, uint32_t from)
{
    j->dropped_newer++;
    if (j->newer == 0) {
        journal_say(
            j, JOURNAL_ALARM,
            "node %u runs a newer clusterd, whose messages this one cannot read (it knows format %d): "
            "install that version here",
            (unsigned)from, JOURNAL_FORMAT);
    }
    j->newer = from;
}

static void on_message_empty(struct journal *j, const struct jmsg *m)
{
    struct jpeer *p = journal_peer(j, m->from);

    /* A10, "all present and empty": whoever names a cluster has been taken in, whatever its last HELLO said.
     */
    if (p != NULL && !journal_uuid_none(m->cluster)) {
        p->empty = false;
    }
    if (m->type == JMSG_HELLO) {
        jelect_on_hello(j, m);
    } else if (m->type == JMSG_BOOTSTRAP) {
        jsnap_on_bootstrap(j, m);
    } else if (m->type == JMSG_SNAPSHOT) {
        jsnap_on_snapshot(j, m);
    }
}

/* A1: what an older term sent is dropped. Whoever still acts in it shall hear of ours. */
static bool old_term(struct journal *j, const struct jmsg *m)
{
    if (m->term >= j->promise.term || MUTANT(accept_old_terms) || m->type == JMSG_HELLO ||
        m->type == JMSG_BOOTSTRAP || m->type == JMSG_RECALL) {
        return false;
    }
    j->dropped_old++;
    if (m->type == JMSG_APPEND || m->type == JMSG_STAND || m->type == JMSG_SNAPSHOT) {
        jelect_hello(j);
    }
    return true;
}

static void dispatch(struct journal *j, const struct jmsg *m)
{
    switch (m->type) {
    case JMSG_HELLO:
        jelect_on_hello(j, m);
        break;
    case JMSG_STAND:
        jelect_on_stand(j, m);
        break;
    case JMSG_VOTE:
        jelect_on_vote(j, m);
        break;
    case JMSG_APPEND:
        jrepl_on_append(j, m);
        break;
    case JMSG_ACK:
        jrepl_on_ack(j, m);
        break;
    case JMSG_SNAPSHOT:
        jsnap_on_snapshot(j, m);
        break;
    case JMSG_SNAPSHOT_ACK:
        jsnap_on_ack(j, m);
        break;
    case JMSG_RECALL:
        if (m->to == j->config.node) {
            jelect_on_recall(j, m);
        }
        break;
    case JMSG_BOOTSTRAP:
        break; /* we have a base */
    }
}

static void on_message(struct journal *j, const struct journal_event *event)
{
    struct jpeer *p;
    struct jmsg m;

    if (event->message.from == j->config.node || !journal_active(j)) {
        return; /* our own, of this session or an earlier one; or we cannot answer yet */
    }
    if (!jmsg_parse(&m, event->message.data, event->message.len) || m.from != event->message.from) {
        if (m.newer) {
            newer(j, event->message.from);
        } else {
            j->dropped_garbage++;
        }
        return;
    }
    if (j->newer == m.from) {
        j->newer = 0; /* its format byte was damaged, or it was changed back */
    }
    if (foreign(j, &m)) {
        return;
    }
    if (journal_is_empty(j)) {
        on_message_empty(j, &m);
        return;
    }
    if (journal_uuid_none(m.cluster)) {
        jelect_on_hello(j, &m); /* nothing else comes without a cluster (jmsg_parse) */
        return;
    }
    p = journal_peer(j, m.from);
    if (p != NULL) {
        jelect_session(p, m.session);
    }
    if (m.term > j->promise.term + JOURNAL_TERM_STEP_MAX) {
        j->dropped_garbage++; /* taken over, it could leave no terms for elections to come */
        return;
    }
    if (!jforce_hear(j, &m)) {
        if (m.type == JMSG_HELLO) {
            (void)jelect_recall(j, &m);
            jelect_on_hello(j, &m);
        }
        return;
    }
    if (m.term > j->promise.term) {
        jelect_adopt(j, m.term);
    }
    /* A HELLO promises nothing, and says what its sender is. */
    if ((!jelect_recall(j, &m) || m.type == JMSG_HELLO) && !old_term(j, &m)) {
        dispatch(j, &m);
    }
}

static int on_propose(struct journal *j, const struct journal_event *event)
{
    int rc;

    if (event->propose.len > JOURNAL_PAYLOAD_MAX) {
        return RC_USAGE;
    }
    if (j->role != JOURNAL_LEADER) {
        return RC_REFUSED;
    }
    if (!journal_is_open(j)) {
        return RC_NO_QUORUM;
    }
    if (!jrepl_has_room(j)) {
        return RC_BUSY;
    }
    rc = jrepl_append(j, JOURNAL_DATA, event->propose.payload, event->propose.len);
    if (rc == RC_OK) {
        j->proposal_term = j->promise.term;
        j->proposal_index = jlog_last(&j->log);
    }
    return rc;
}

static int on_event(struct journal *j, const struct journal_event *event)
{
    switch (event->type) {
    case JOURNAL_EV_START:
        return on_start(j);
    case JOURNAL_EV_TICK:
        return RC_OK;
    case JOURNAL_EV_VIEW:
        jelect_view(j, event);
        return RC_OK;
    case JOURNAL_EV_MESSAGE:
        on_message(j, event);
        return RC_OK;
    case JOURNAL_EV_PERSISTED:
        return on_persisted(j, event);
    case JOURNAL_EV_PROPOSE:
        return on_propose(j, event);
    case JOURNAL_EV_MEMBER_ADD:
        return jvoters_add(j, event->member.node);
    case JOURNAL_EV_MEMBER_REMOVE:
        return jvoters_remove(j, event->member.node);
    case JOURNAL_EV_SNAPSHOT_TAKEN:
        return jsnap_taken(j, event);
    case JOURNAL_EV_SNAPSHOT_DATA:
        jsnap_data(j, event);
        return RC_OK;
    case JOURNAL_EV_RESIGN:
        if (j->role != JOURNAL_LEADER) {
            return RC_REFUSED;
        }
        jrepl_resign(j, true, "asked to hand over");
        return RC_OK;
    case JOURNAL_EV_CREATE:
        return jsnap_create(j);
    case JOURNAL_EV_FORCE:
        return jforce_begin(j, event);
    }
    return RC_USAGE;
}

static void timers(struct journal *j)
{
    if (journal_active(j)) {
        jelect_timers(j);
        jrepl_timers(j);
    }
}

/* What follows from the event: first what may change the role, then what is sent, then what is stored. */
static void flush(struct journal *j)
{
    if (!journal_active(j)) {
        return;
    }
    jelect_flush(j);
    jforce_committed(j);
    jvoters_drive(j);
    jrepl_flush(j);
    jsnap_flush(j);
    jstore_flush(j);
}

static void actions_finish(struct journal *j, struct journal_actions *out)
{
    size_t end = j->sends.len;
    uint64_t a = jelect_deadline(j), b = jrepl_deadline(j);

    for (size_t i = j->n_actions; i > 0; i--) {
        struct journal_action *action = &j->actions[i - 1];

        if (action->type == JOURNAL_SEND) {
            size_t start = action->send.len;

            action->send.data = j->sends.data + start;
            action->send.len = end - start;
            end = start;
        }
    }
    out->v = j->actions;
    out->n = j->n_actions;
    out->deadline_ms = a < b ? a : b;
    out->term = j->proposal_term;
    out->index = j->proposal_index;
}

int journal_step(struct journal *j, const struct journal_event *event, struct journal_actions *out)
{
    int rc;

    memset(out, 0, sizeof *out);
    j->n_actions = 0;
    buf_reset(&j->sends);
    j->proposal_term = j->proposal_index = 0;
    if (event->now_ms > j->now_ms) {
        j->now_ms = event->now_ms;
    }
    timers(j);
    rc = on_event(j, event);
    flush(j);
    if (j->oom || j->sends.failed) {
        j->oom = true;
        return RC_NO_MEMORY;
    }
    actions_finish(j, out);
    return rc;
}
