/*
 * snapshot.c - how a journal begins: the first creation (A9, A10), and snapshots (A7).
 *
 * A cluster's base is a snapshot at index 0: no blob, the first members. An empty journal takes a base that
 * lists its very incarnation, or a snapshot that a coordinator addresses to it.
 */
#include "common/mutant.h"
#include "journal/internal.h"

#include <string.h>

#define CHUNK_MAX (48 * 1024) /* bytes of a blob in one message; the head and the members take the rest */

/* ------------------------------------------------------------------------------------------ first creation
 */

bool jsnap_base_chain(struct hash *chain, struct journal_uuid cluster, const struct journal_members *m)
{
    static const struct hash zero;
    struct buf b = BUF_INIT;
    bool ok;

    buf_u64(&b, cluster.lo);
    buf_u64(&b, cluster.hi);
    jvoters_encode(&b, m);
    *chain = hash_bytes(zero, b.data, b.len);
    ok = !b.failed;
    buf_fini(&b);
    return ok;
}

/* The snapshot that j->snapshot describes, its bytes in j->blob, becomes all that this node has. */
static void install(struct journal *j)
{
    jlog_reset(&j->log, j->snapshot.index, j->snapshot.term, j->snapshot.chain);
    jvoters_refresh(j);
    jstore_install(j);
    j->snapshot_asked = j->bytes_since = 0;
}

static void install_base(struct journal *j, struct journal_uuid cluster, const struct journal_members *m)
{
    struct journal_action *a;

    j->cluster = cluster;
    memset(&j->snapshot, 0, sizeof j->snapshot);
    j->snapshot.members = *m;
    if (!jsnap_base_chain(&j->snapshot.chain, cluster, m)) {
        j->oom = true;
        return;
    }
    install(j);
    jelect_search(j, "");
    a = journal_act(j, JOURNAL_CREATED);
    if (a != NULL) {
        a->role.node = 0;
        a->role.term = 0;
    }
}

/* The configured nodes as the first members; without_vote: those that are not here (`cluster create`). */
static bool first_members(const struct journal *j, bool without_vote, struct journal_members *m)
{
    m->n = 0;
    m->forced = 0;
    for (size_t i = 0; i < j->config.n_configured; i++) {
        uint32_t node = j->config.configured[i];
        const struct jpeer *p = journal_peer_find(j, node);
        bool self = node == j->config.node;
        bool here =
            self || (p != NULL && p->present && p->hello_ms > 0 && p->empty &&
                     p->configured == j->configured_hash && j->now_ms - p->hello_ms <= j->config.election_ms);

        if (!without_vote && !MUTANT(create_without_all) && (!here || (self ? j->lost : p->lost))) {
            return false;
        }
        m->v[m->n++] = (struct journal_member){node,
                                               !here  ? 0
                                               : self ? j->incarnation
                                                      : p->incarnation,
                                               here, JOURNAL_NODE};
    }
    return m->n > 0;
}

/* A10: all configured nodes are here, and all are empty; the lowest of them draws the cluster's id. */
void jsnap_consider_creation(struct journal *j)
{
    struct journal_members m;

    if (j->role == JOURNAL_EMPTY && j->quorate && j->config.n_configured > 0 &&
        j->config.configured[0] == j->config.node && first_members(j, false, &m)) {
        j->bootstrap_due = true;
        install_base(j, j->fresh_cluster, &m);
    }
}

int jsnap_create(struct journal *j)
{
    struct journal_members m;

    if (j->role != JOURNAL_EMPTY) {
        return RC_REFUSED;
    }
    if (!j->quorate && !MUTANT(create_in_a_minority)) {
        return RC_NO_QUORUM; /* two halves of the configured nodes must not create a cluster each */
    }
    for (size_t i = 0; i < j->n_view; i++) {
        const struct jpeer *p = journal_peer_find(j, j->view[i]);

        if (j->view[i] == j->config.node) {
            continue;
        }
        if (p == NULL || p->hello_ms == 0) {
            return RC_BUSY; /* it has not said yet what it has */
        }
        if (!p->empty) {
            return RC_REFUSED; /* there is a cluster already: it will take us in */
        }
    }
    if (!first_members(j, true, &m) || jvoters_find(&m, j->config.node) == NULL) {
        return RC_REFUSED;
    }
    j->bootstrap_due = true;
    install_base(j, j->fresh_cluster, &m);
    return RC_OK;
}

static bool base_durable(const struct journal *j)
{
    return j->snapshot.index == 0 && !j->store.install && !(j->store.busy && j->store.flying.install);
}

static void send_bootstrap(struct journal *j, uint32_t to)
{
    struct jmsg m;

    journal_message_init(j, &m, JMSG_BOOTSTRAP, to);
    m.bootstrap = j->snapshot.members;
    journal_send(j, &m);
}

/* An empty node whose very journal belongs to the first members has missed the BOOTSTRAP. */
void jsnap_send_bootstrap(struct journal *j, uint32_t to)
{
    const struct journal_member *m = jvoters_find(&j->snapshot.members, to);
    const struct jpeer *p = journal_peer_find(j, to);

    if (base_durable(j) && m != NULL && m->votes > 0 && p != NULL && p->incarnation == m->incarnation) {
        send_bootstrap(j, to);
    }
}

void jsnap_on_bootstrap(struct journal *j, const struct jmsg *m)
{
    const struct journal_member *self = jvoters_find(&m->bootstrap, j->config.node);
    struct hash chain;

    if (j->role != JOURNAL_EMPTY || self == NULL || self->votes == 0 || self->incarnation != j->incarnation) {
        return;
    }
    if (!jsnap_base_chain(&chain, m->cluster, &m->bootstrap)) {
        j->oom = true;
    } else if (journal_said_twice(j, JDOUBT_BASE, 0,
                                  chain.lo)) { /* our next HELLO is answered with another */
        install_base(j, m->cluster, &m->bootstrap);
    }
}

void jsnap_flush(struct journal *j)
{
    if (j->bootstrap_due && base_durable(j)) {
        j->bootstrap_due = false;
        send_bootstrap(j, 0);
    }
}

/* ----------------------------------------------------------------------------------------------- sending */

static void send_chunk(struct journal *j, struct jprogress *p, const uint8_t *data, size_t len)
{
    struct jmsg m;

    journal_message_init(j, &m, JMSG_SNAPSHOT, p->node);
    m.snapshot.incarnation = p->incarnation;
    m.snapshot.meta = j->snapshot;
    m.snapshot.offset = p->offset;
    m.snapshot.data = data;
    m.snapshot.len = len;
    journal_send(j, &m);
    p->fed_ms = j->now_ms;
    p->reading = false;
}

/* The next piece of the newest snapshot: stop and wait, one piece under way to each member. */
void jsnap_feed(struct journal *j, struct jprogress *p)
{
    struct journal_action *a;
    uint64_t left;

    if (p->feed != FEED_SNAPSHOT || p->snapshot != j->snapshot.index) {
        p->feed = FEED_SNAPSHOT;
        p->snapshot = j->snapshot.index;
        p->offset = 0;
    }
    p->fed_ms = j->now_ms;
    left = j->snapshot.size - p->offset;
    if (left == 0) {
        send_chunk(j, p, NULL, 0);
        return;
    }
    p->reading = true;
    a = journal_act(j, JOURNAL_READ_SNAPSHOT);
    if (a != NULL) {
        a->read.index = p->snapshot;
        a->read.offset = p->offset;
        a->read.len = left < CHUNK_MAX ? (size_t)left : CHUNK_MAX;
    }
}

void jsnap_data(struct journal *j, const struct journal_event *event)
{
    uint64_t offset = event->data.offset;

    if (j->role != JOURNAL_LEADER || event->data.data == NULL || event->data.index != j->snapshot.index ||
        event->data.len > CHUNK_MAX || offset > j->snapshot.size ||
        event->data.len > j->snapshot.size - offset) {
        return; /* the next heartbeat asks again */
    }
    for (size_t i = 0; i < j->n_progress; i++) {
        struct jprogress *p = &j->progress[i];

        if (p->feed == FEED_SNAPSHOT && p->reading && p->snapshot == event->data.index &&
            p->offset == offset) {
            send_chunk(j, p, event->data.data, event->data.len);
        }
    }
}

void jsnap_on_ack(struct journal *j, const struct jmsg *m)
{
    struct jprogress *p = jrepl_progress(j, m->from, m->incarnation);

    if (j->role != JOURNAL_LEADER || m->to != j->config.node || p == NULL || p->feed != FEED_SNAPSHOT ||
        p->snapshot != m->snapshot_ack.index || m->snapshot_ack.offset > j->snapshot.size) {
        return;
    }
    p->fed_ms = j->now_ms;
    p->offset = m->snapshot_ack.offset;
    jsnap_feed(j, p); /* with all of it there, it wants to hear the description once more (gather) */
}

/* --------------------------------------------------------------------------------------------- receiving */

static void incoming_reset(struct journal *j)
{
    buf_fini(&j->incoming.data);
    j->incoming.pieces = 0;
}

static bool same_members(const struct journal_members *a, const struct journal_members *b)
{
    bool same = a->n == b->n && a->forced == b->forced;

    for (size_t i = 0; same && i < a->n; i++) {
        same = a->v[i].node == b->v[i].node && a->v[i].incarnation == b->v[i].incarnation &&
               a->v[i].votes == b->v[i].votes && a->v[i].kind == b->v[i].kind;
    }
    return same;
}

/* One description: the digest covers the blob, and nothing covers the rest. */
static bool same_snapshot(const struct journal_snapshot *a, const struct journal_snapshot *b)
{
    return a->index == b->index && a->term == b->term && hash_eq(a->chain, b->chain) && a->size == b->size &&
           hash_eq(a->digest, b->digest) && same_members(&a->members, &b->members);
}

/* True when the blob is complete and is what its digest says, and two pieces have described it alike: a
 * damaged description would put a history in place that no coordinator's continues. */
static bool gather(struct journal *j, const struct jmsg *m)
{
    static const struct hash zero;
    const struct journal_snapshot *s = &m->snapshot.meta;
    struct jmsg out;

    if (j->incoming.pieces == 0 || !journal_uuid_eq(j->incoming.cluster, m->cluster) ||
        (!same_snapshot(&j->incoming.meta, s) && !MUTANT(chunks_mixed))) {
        incoming_reset(j);
        j->incoming.cluster = m->cluster;
        j->incoming.meta = *s;
    }
    j->incoming.pieces++;
    if (m->snapshot.offset == j->incoming.data.len) {
        buf_raw(&j->incoming.data, m->snapshot.data, m->snapshot.len);
        if (j->incoming.data.failed) {
            j->oom = true;
            return false;
        }
    }
    if (j->incoming.data.len == s->size) {
        if (s->index != 0 && !hash_eq(hash_bytes(zero, j->incoming.data.data, (size_t)s->size), s->digest)) {
            j->dropped_garbage++;
            incoming_reset(j);
        } else if (j->incoming.pieces > 1) {
            return true;
        }
    }
    journal_message_init(j, &out, JMSG_SNAPSHOT_ACK, m->from);
    out.cluster = m->cluster; /* an empty node has none of its own yet */
    out.term = m->term;
    out.line = m->line > out.line ? m->line : out.line; /* A16: what it takes in is of that line */
    out.snapshot_ack.index = s->index;
    out.snapshot_ack.offset = j->incoming.data.len;
    journal_send(j, &out);
    return false;
}

/* What we have makes the snapshot unnecessary, or impossible: then that was said, and nothing else is done.
 */
static bool have_it(struct journal *j, const struct jmsg *m)
{
    const struct journal_snapshot *s = &m->snapshot.meta;
    struct hash chain;
    uint64_t term;

    if (jlog_describe(&j->log, s->index, &term, &chain)) {
        if (hash_eq(chain, s->chain)) {
            j->matched = s->index > j->matched ? s->index : j->matched;
            j->commit_heard = s->index > j->commit_heard ? s->index : j->commit_heard;
            j->ack_due = true;
            return true;
        }
        if ((s->index <= j->commit || s->index <= j->matched) &&
            !journal_said_twice(j, JDOUBT_HISTORY, m->from, m->term)) {
            return true; /* no chain covers it: it will come again */
        }
        if (s->index <= j->commit && jforce_lost(j, m, s->index, s->term)) {
            return true;
        }
        if (s->index <= j->commit || s->index <= j->matched) {
            journal_stop(j, "the snapshot of node %u at %llu contradicts what is committed here (A7)",
                         (unsigned)m->from, (unsigned long long)s->index);
            return true;
        }
    }
    if (s->index <= j->commit) {
        jrepl_answer(j, false, 0, 0);
        return true;
    }
    return false;
}

void jsnap_on_snapshot(struct journal *j, const struct jmsg *m)
{
    bool empty = journal_is_empty(j);
    struct journal_action *a;

    if (m->to != j->config.node || (m->snapshot.incarnation != j->incarnation && !MUTANT(amnesia_votes))) {
        return; /* it was meant for an older journal of this node (A10) */
    }
    if (!empty && (!jrepl_follow(j, m) || have_it(j, m))) {
        return;
    }
    if (!gather(j, m)) {
        return;
    }
    if (empty) {
        j->cluster = m->cluster;
        j->promise = (struct journal_promise){m->term, 0, 0};
        j->role = JOURNAL_SEARCH;
        a = journal_act(j, JOURNAL_CREATED);
        if (a != NULL) {
            a->role.node = m->from;
            a->role.term = m->term;
        }
        (void)jrepl_follow(j, m);
    }
    buf_fini(&j->blob);
    j->blob = j->incoming.data;
    buf_init(&j->incoming.data);
    incoming_reset(j);
    j->snapshot = m->snapshot.meta;
    install(j);
    j->matched = j->commit_heard = j->snapshot.index;
    j->answered = 0;
}

/* ------------------------------------------------------------------------------------------------ taking */

bool journal_snapshot_describe(const struct journal *j, uint64_t index, struct journal_snapshot *s)
{
    if (index > j->commit || index <= j->snapshot.index ||
        !jlog_describe(&j->log, index, &s->term, &s->chain)) {
        return false;
    }
    s->index = MUTANT(snapshot_uncommitted) ? jlog_last(&j->log) : index;
    s->size = 0;
    s->digest = (struct hash){0, 0};
    (void)jvoters_at(j, MUTANT(uncommitted_voters_kept) ? jlog_last(&j->log) : index,
                     &s->members); /* A7: the committed set at that index */
    return true;
}

int jsnap_taken(struct journal *j, const struct journal_event *event)
{
    struct journal_snapshot s;

    if (j->store.install || (j->store.busy && j->store.flying.install) ||
        event->taken.size > JOURNAL_SNAPSHOT_MAX || !journal_snapshot_describe(j, event->taken.index, &s)) {
        return RC_USAGE;
    }
    s.size = event->taken.size;
    s.digest = event->taken.digest;
    j->snapshot = s;
    j->snapshot_asked = 0;
    j->bytes_since = jlog_bytes(&j->log, s.index, j->commit);
    if (s.index > j->log.prev_index + j->config.tail_entries) {
        j->store.trim_to = s.index - j->config.tail_entries;
        jlog_trim(&j->log, j->store.trim_to);
    }
    return RC_OK;
}

void jsnap_consider(struct journal *j, uint64_t before)
{
    struct journal_action *a;
    uint64_t again = j->snapshot_asked ? j->snapshot_asked : j->snapshot.index;

    j->bytes_since += jlog_bytes(&j->log, before, j->commit);
    if (j->commit - again >= j->config.snapshot_entries ||
        (j->snapshot_asked == 0 && j->bytes_since >= j->config.snapshot_bytes)) {
        j->snapshot_asked = j->commit;
        a = journal_act(j, JOURNAL_TAKE_SNAPSHOT);
        if (a != NULL) {
            a->commit.index = j->commit;
        }
    }
}
