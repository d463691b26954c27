/*
 * replication.c - APPEND and ACK: one author a term (A4), commit by a majority in the open term (A6).
 *
 * What the coordinator appends goes out by one multicast; the members that have all before it need nothing
 * else (FEED_LIVE). A member that cannot fit a message in says where it stands, and is fed by messages
 * addressed to it (FEED_LOG), or by a snapshot when the log does not reach back so far (FEED_SNAPSHOT).
 */
#include "journal/internal.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX       4096      /* entries that may wait for their commit before another is proposed */
#define WAITING_BYTES_MAX (8 << 20) /* … and the payload of those */
/* Directed messages under way to one member; more when they are small: after each election a member that has
 * other entries is fed from its commit mark on, and has to be through within N ms (A8), whatever the size of
 * a message. */
#define FEED_MESSAGES 4

/* ------------------------------------------------------------------------------------------ coordinator */

struct jprogress *jrepl_progress(struct journal *j, uint32_t node, uint64_t incarnation)
{
    for (size_t i = 0; i < j->n_progress; i++) {
        if (j->progress[i].node == node) {
            return incarnation != 0 && (j->progress[i].incarnation == incarnation ||
                                        MUTANT(old_incarnation_counted) || MUTANT(amnesia_votes))
                       ? &j->progress[i]
                       : NULL;
        }
    }
    return NULL;
}

bool jrepl_live(const struct journal *j, const struct jprogress *p)
{
    return p->stamp_ms > 0 && j->now_ms - p->stamp_ms <= j->config.election_ms;
}

void jrepl_members_changed(struct journal *j)
{
    const struct journal_members *members = jforce_voters(j);
    struct jprogress *next = calloc(JOURNAL_NODES_MAX, sizeof *next);
    size_t n = 0;

    if (next == NULL) {
        j->oom = true;
        return;
    }
    for (size_t i = 0; i < members->n; i++) {
        const struct journal_member *m = &members->v[i];
        const struct jprogress *old = jrepl_progress(j, m->node, m->incarnation);

        if (m->node == j->config.node) {
            continue;
        }
        if (old != NULL) {
            next[n++] = *old;
        } else {
            next[n++] = (struct jprogress){.node = m->node, .incarnation = m->incarnation};
        }
    }
    free(j->progress);
    j->progress = next;
    j->n_progress = n;
}

bool jrepl_has_room(const struct journal *j)
{
    return jlog_last(&j->log) - j->commit < WAITING_MAX && j->waiting_bytes < WAITING_BYTES_MAX;
}

int jrepl_append(struct journal *j, enum journal_kind kind, const void *payload, size_t len)
{
    struct journal_entry e = {.term = j->promise.term,
                              .index = jlog_last(&j->log) + 1,
                              .format = JOURNAL_FORMAT,
                              .kind = (uint8_t)kind,
                              .len = (uint32_t)len,
                              .payload = payload};

    e.chain = jlog_chain(jlog_last_chain(&j->log), &e);
    if (!jlog_append(&j->log, &e)) {
        j->oom = true;
        return RC_NO_MEMORY;
    }
    j->waiting_bytes += len;
    if (j->commit + 1 == e.index) {
        j->commit_ms = j->now_ms; /* A8: its waiting begins */
    }
    if (kind == JOURNAL_CONFIG) {
        jvoters_refresh(j); /* A9: in force from now on */
        jrepl_members_changed(j);
    }
    return RC_OK;
}

/* This node has won the term. Nothing is decided before its OPEN is committed (A2). */
void jrepl_lead(struct journal *j)
{
    struct buf payload = BUF_INIT;
    struct journal_action *a;

    j->role = JOURNAL_LEADER;
    j->coordinator = j->config.node;
    j->coordinator_session = j->config.session;
    j->sent = jlog_last(&j->log);
    j->announced = 0;
    j->heartbeat_ms = j->now_ms + j->config.heartbeat_ms;
    j->members_due = true;
    j->opened = false;
    j->commit_ms = j->now_ms;
    j->lead_ms = j->now_ms;
    a = journal_act(j, JOURNAL_COORDINATOR);
    if (a != NULL) {
        a->role.node = j->config.node;
        a->role.term = j->promise.term;
    }
    j->open_index = jlog_last(&j->log) + 1;
    buf_u32(&payload, j->config.node);
    buf_u64(&payload, j->config.session);
    buf_raw(&payload, j->config.open_data, j->config.open_len);
    j->oom = j->oom || payload.failed;
    j->waiting_bytes = jlog_bytes(&j->log, j->commit, jlog_last(&j->log));
    if (!j->oom) {
        (void)jrepl_append(j, JOURNAL_OPEN, payload.data, payload.len);
        jforce_lead(j);
    }
    buf_fini(&payload);
}

void jrepl_resign(struct journal *j, bool hold, const char *why)
{
    journal_say(j, JOURNAL_RESIGNED, "%s", why);
    if (hold) {
        j->hold_ms = j->now_ms + 3 * (uint64_t)j->config.election_ms;
    }
    jelect_search(j, why);
}

/* A message of entries from + 1 … upto, as many as fit; returns the index of the last one in it. Stamp 0 asks
 * for no answer but that something is missing. */
static uint64_t send_append(struct journal *j, uint32_t to, uint64_t from, uint64_t upto, uint64_t stamp)
{
    size_t size = JMSG_APPEND_SIZE;
    uint64_t last = from, term = 0;
    struct buf *b;
    struct jmsg m;

    journal_message_init(j, &m, JMSG_APPEND, to);
    m.append.prev_index = from;
    m.append.n = 0;
    while (last < upto && m.append.n < UINT16_MAX) {
        size += jmsg_entry_size(jlog_at(&j->log, last + 1));
        if (size > j->config.message_bytes && last > from) {
            break;
        }
        last++;
        m.append.n++;
    }
    if (!jlog_describe(&j->log, from, &m.append.prev_term, &m.append.prev_chain) ||
        !jlog_describe(&j->log, last, &term, &m.append.last_chain)) {
        return upto; /* not there: the callers see to it that it is */
    }
    m.append.commit = j->commit;
    m.append.stamp = stamp;
    b = journal_send(j, &m);
    for (uint64_t i = from + 1; i <= last; i++) {
        jmsg_write_entry(b, jlog_at(&j->log, i));
    }
    if (to == 0) {
        j->announced = j->commit;
    }
    return last;
}

void jrepl_heartbeat(struct journal *j, uint32_t to)
{
    (void)send_append(j, to, j->sent, j->sent, j->now_ms);
    if (to == 0) {
        j->heartbeat_ms = j->now_ms + j->config.heartbeat_ms;
    }
}

/* FEED_LOG: the next window. At the end of it the multicasts do again. */
static void feed_log(struct journal *j, struct jprogress *p)
{
    uint64_t bytes = 0;

    if (p->next <= j->log.prev_index) {
        jsnap_feed(j, p); /* trimmed meanwhile */
        return;
    }
    p->fed_ms = j->now_ms;
    for (int i = 0; (i < FEED_MESSAGES || bytes < JOURNAL_MESSAGE_MAX) && p->next <= j->sent; i++) {
        uint64_t from = p->next - 1;

        p->next = send_append(j, p->node, from, j->sent, j->now_ms) + 1;
        bytes += JMSG_APPEND_SIZE + jlog_bytes(&j->log, from, p->next - 1);
    }
    if (p->next > j->sent) {
        p->feed = FEED_LIVE;
    }
}

/* Something was sent to it a short while ago: its complaints are about what came before. */
static bool fed_lately(const struct journal *j, const struct jprogress *p)
{
    return p->fed_ms > 0 && j->now_ms - p->fed_ms < j->config.election_ms / 2;
}

static bool chain_is(const struct journal *j, uint64_t index, struct hash chain)
{
    struct hash own;
    uint64_t term;

    return jlog_describe(&j->log, index, &term, &own) && hash_eq(own, chain);
}

/* A5: find where the member's log equals ours. Its last entry mostly does; its commit mark must (A7). */
static void feed_start(struct journal *j, struct jprogress *p, const struct jmsg *m)
{
    struct jpeer *peer = journal_peer(j, m->from);

    if (chain_is(j, m->ack.last, m->ack.last_chain)) {
        p->next = m->ack.last + 1;
    } else if (m->ack.commit < j->log.prev_index) {
        jsnap_feed(j, p);
        return;
    } else if (chain_is(j, m->ack.commit, m->ack.commit_chain)) {
        p->next = m->ack.commit + 1;
    } else {
        if (peer != NULL && !peer->alarmed) {
            peer->alarmed = true;
            journal_say(j, JOURNAL_ALARM, "node %u holds another history as committed (A7): it is not fed",
                        (unsigned)m->from);
        }
        return;
    }
    p->feed = FEED_LOG;
    feed_log(j, p);
}

/* The value that the members with a majority of the votes reach: their match, or their newest answer. */
static uint64_t majority_value(const struct journal *j, bool stamps)
{
    uint64_t value[JOURNAL_NODES_MAX], own = stamps ? j->now_ms : j->store.durable;
    unsigned weight[JOURNAL_NODES_MAX], votes = 0, needed = jvoters_majority(&j->members);
    size_t n = 0;

    for (size_t i = 0, k = 0; i < j->members.n; i++) {
        const struct journal_member *m = &j->members.v[i];
        bool self = m->node == j->config.node;
        uint64_t v;
        size_t at;

        /* progress[] is in the order of members, without ourselves; A10: each incarnation for itself. */
        v = self ? (m->incarnation == j->incarnation ? own : 0)
                 : (stamps ? j->progress[k].stamp_ms : j->progress[k].match);
        v = MUTANT(count_the_view) && journal_in_view(j, m->node) ? own : v;
        k += !self;
        for (at = n++; at > 0 && value[at - 1] < v; at--) {
            value[at] = value[at - 1];
            weight[at] = weight[at - 1];
        }
        value[at] = v;
        weight[at] = m->votes;
    }
    for (size_t i = 0; i < n; i++) {
        votes += weight[i];
        if (votes >= needed && !(MUTANT(wait_for_the_silent) && i + 1 < n)) {
            return value[i];
        }
    }
    return 0;
}

uint64_t jrepl_quorum_ms(const struct journal *j)
{
    return majority_value(j, true);
}

/* A6: by count only what this very term has appended; older entries come along with it. */
static void advance_commit(struct journal *j)
{
    uint64_t index = MUTANT(act_before_commit) ? j->store.durable : majority_value(j, false);
    const struct journal_entry *e;

    if (index > j->store.durable) {
        index = j->store.durable; /* we apply nothing that we do not have ourselves */
    }
    e = jlog_at(&j->log, index);
    if (index <= j->commit || e == NULL || (e->term != j->promise.term && !MUTANT(old_terms_by_count))) {
        return;
    }
    /* A16, all or nothing: OPEN is counted by the forced set, which stands behind it. Were it committed
     * alone, what the old set had not committed would be acted upon, and a crash could leave the old set in
     * force. */
    if (index < j->force.last && !MUTANT(force_in_pieces)) {
        return;
    }
    j->waiting_bytes -= jlog_bytes(&j->log, j->commit, index);
    j->commit = index;
    j->commit_ms = j->now_ms;
}

void jrepl_on_ack(struct journal *j, const struct jmsg *m)
{
    struct jprogress *p;
    struct jpeer *peer = journal_peer(j, m->from);

    if (peer == NULL) {
        return;
    }
    if (m->ack.ok) {
        jelect_note(peer, m, m->ack.index);
    }
    p = jrepl_progress(j, m->from, m->incarnation);
    if (j->role != JOURNAL_LEADER || m->to != j->config.node || m->term != j->promise.term || p == NULL ||
        m->ack.stamp > j->now_ms || (m->ack.ok && m->ack.index > jlog_last(&j->log))) {
        return;
    }
    peer->empty = peer->searching = false;
    if (m->ack.stamp > p->stamp_ms) {
        p->stamp_ms = MUTANT(answer_newer_than_asked) ? j->now_ms : m->ack.stamp;
    }
    if (!m->ack.ok) {
        if (!fed_lately(j, p)) {
            feed_start(j, p, m);
        }
        return;
    }
    if (m->ack.index > p->match) {
        p->match = m->ack.index;
        j->members_due = true;
    }
    if (p->feed == FEED_SNAPSHOT && p->match >= p->snapshot) {
        p->feed = FEED_LOG;
        p->next = p->match + 1;
    }
    if (p->feed == FEED_LOG && p->match + 1 >= p->next) {
        p->next = p->match + 1;
        feed_log(j, p);
    }
}

/* Since when no majority has answered; a new coordinator starts with a full allowance. */
static uint64_t unanswered_ms(const struct journal *j)
{
    uint64_t heard = jrepl_quorum_ms(j);

    return heard > j->lead_ms ? heard : j->lead_ms;
}

void jrepl_timers(struct journal *j)
{
    if (j->role != JOURNAL_LEADER) {
        return;
    }
    /* A8: nobody waits for ever, not even for oneself. */
    if (j->commit < jlog_last(&j->log) && j->now_ms - j->commit_ms > j->config.commit_ms &&
        !MUTANT(lead_without_commit)) {
        jrepl_resign(j, true, "nothing could be committed in time");
    } else if (j->now_ms - unanswered_ms(j) > j->config.commit_ms && !MUTANT(lead_unanswered)) {
        jrepl_resign(j, true, "no majority of the voters has answered in time");
    }
}

static void coordinator_flush(struct journal *j)
{
    uint64_t last = jlog_last(&j->log);

    advance_commit(j);
    jforce_committed(j); /* A16: the very message that announces the set claims its line */
    /* Group commit: what comes while the disk is busy goes out together, before our own fsync. */
    while (!j->store.busy && j->sent < last && !j->oom) {
        j->sent = send_append(j, 0, j->sent, last, j->now_ms);
    }
    if (j->now_ms >= j->heartbeat_ms) {
        j->members_due = true;
        for (size_t i = 0; i < j->n_progress; i++) {
            if (j->progress[i].feed == FEED_SNAPSHOT && !fed_lately(j, &j->progress[i])) {
                jsnap_feed(j, &j->progress[i]); /* ask again */
            }
        }
        jrepl_heartbeat(j, 0);
    } else if (j->commit > j->announced) {
        j->members_due = true;
        /* No answer: the entries have theirs, and the heartbeats. */
        (void)send_append(j, 0, j->sent, j->sent, 0);
    }
}

/* ----------------------------------------------------------------------------------------------- member */

bool jrepl_follow(struct journal *j, const struct jmsg *m)
{
    struct journal_action *a;

    if (j->role == JOURNAL_LEADER || (j->role == JOURNAL_FOLLOWER && j->coordinator != m->from)) {
        if (!journal_said_twice(j, JDOUBT_COORDINATOR, m->from, m->term)) {
            return false;
        }
        journal_stop(j, "nodes %u and %u are both coordinator of term %llu (A3)", (unsigned)j->coordinator,
                     (unsigned)m->from, (unsigned long long)m->term);
        return false;
    }
    j->heard_ms = j->now_ms;
    if (j->role == JOURNAL_FOLLOWER) {
        return true;
    }
    j->role = JOURNAL_FOLLOWER;
    j->coordinator = m->from;
    j->coordinator_session = m->session;
    j->stand_due = false;
    j->ack_due = j->opened = false;
    j->matched = j->answered = j->commit_heard = 0;
    j->ack_stamp = MUTANT(stamp_of_another)
                       ? j->ack_stamp
                       : 0; /* another node's time: this one would take it for its own (A8) */
    a = journal_act(j, JOURNAL_FOLLOWING);
    if (a != NULL) {
        a->role.node = m->from;
        a->role.term = m->term;
    }
    return true;
}

void jrepl_answer(struct journal *j, bool ok, uint64_t index, uint64_t stamp)
{
    struct jmsg m;
    uint64_t term;

    journal_message_init(j, &m, JMSG_ACK, j->coordinator);
    m.ack.ok = ok;
    m.ack.index = index;
    m.ack.stamp = stamp;
    m.ack.last = jlog_last(&j->log);
    m.ack.last_chain = jlog_last_chain(&j->log);
    m.ack.commit = j->commit;
    if (!jlog_describe(&j->log, j->commit, &term, &m.ack.commit_chain)) {
        return; /* a snapshot is on its way to the disk */
    }
    journal_send(j, &m);
}

/* The entries of the message with index and chain, in j->scratch. False: not what its author chained. */
static bool unpack(struct journal *j, const struct jmsg *m)
{
    struct hash chain = m->append.prev_chain;
    struct rd r = m->append.entries;

    if (m->append.n > j->cap_scratch) {
        struct journal_entry *v = realloc(j->scratch, m->append.n * sizeof *v);

        if (v == NULL) {
            j->oom = true;
            return false;
        }
        j->scratch = v;
        j->cap_scratch = m->append.n;
    }
    for (unsigned i = 0; i < m->append.n; i++) {
        struct journal_entry *e = &j->scratch[i];

        jmsg_entry(&r, e);
        e->index = m->append.prev_index + 1 + i;
        e->chain = chain = jlog_chain(chain, e);
    }
    if (!hash_eq(chain, m->append.last_chain)) {
        j->dropped_garbage++;
        return false;
    }
    return true;
}

/*
 * How much of the message lies before what our log still has: 0 … n entries to be skipped; -1: it does not
 * connect (say where we stand); -2: it contradicts what is committed here, and we have stopped, or will when
 * it is said again: of a message without entries no chain covers the index.
 */
static int connect(struct journal *j, const struct jmsg *m)
{
    uint64_t prev = m->append.prev_index, prev_term = m->append.prev_term, skip = 0, term;
    struct hash chain = m->append.prev_chain, own;

    if (prev < j->log.prev_index) {
        skip = j->log.prev_index - prev;
        if (skip > m->append.n) {
            return -1;
        }
        prev = j->log.prev_index;
        chain = j->scratch[skip - 1].chain;
        prev_term = j->scratch[skip - 1].term;
    }
    if (!jlog_describe(&j->log, prev, &term, &own)) {
        return MUTANT(accept_gaps) ? (int)skip : -1; /* A4: no gaps */
    }
    if (hash_eq(own, chain) || MUTANT(chain_not_compared)) {
        return (int)skip;
    }
    if (prev <= j->commit && m->append.n == 0 && !journal_said_twice(j, JDOUBT_HISTORY, m->from, m->term)) {
        return -2;
    }
    if (prev <= j->commit && jforce_lost(j, m, prev, prev_term)) {
        return -2;
    }
    if (prev <= j->commit) {
        journal_stop(j, "the coordinator, node %u, has another entry %llu than the committed one (A7)",
                     (unsigned)m->from, (unsigned long long)prev);
        return -2;
    }
    return -1;
}

/* A5: what differs is cut, what is new is appended. False: it was not taken. */
static bool take_entries(struct journal *j, const struct jmsg *m, unsigned skip)
{
    bool changed = false;

    for (unsigned i = skip; i < m->append.n; i++) {
        const struct journal_entry *e = &j->scratch[i], *own = jlog_at(&j->log, e->index);

        if (own != NULL && (hash_eq(own->chain, e->chain) || MUTANT(leftovers_kept))) {
            continue;
        }
        if (own != NULL) {
            if (e->index <= j->commit && jforce_lost(j, m, e->index, e->term)) {
                return false;
            }
            if (e->index <= j->commit) {
                journal_stop(j,
                             "the coordinator, node %u, has another entry %llu than the committed one (A7)",
                             (unsigned)m->from, (unsigned long long)e->index);
                return false;
            }
            jlog_cut(&j->log, e->index);
            jstore_cut(j, e->index);
            changed = !MUTANT(cut_voters_stay);
        }
        if (!jlog_append(&j->log, e)) {
            j->oom = true;
            return false;
        }
        changed = changed || e->kind == JOURNAL_CONFIG;
    }
    if (changed && !MUTANT(old_voters)) {
        jvoters_refresh(j); /* A9: in force when appended, undone when cut */
    }
    return true;
}

void jrepl_mark(struct journal *j, const struct jmsg *m)
{
    if (m->type == JMSG_APPEND && j->role == JOURNAL_FOLLOWER && m->from == j->coordinator &&
        m->term == j->promise.term && m->append.commit > j->mark_heard && !MUTANT(act_behind_the_mark)) {
        j->mark_heard = m->append.commit;
    }
}

void jrepl_on_append(struct journal *j, const struct jmsg *m)
{
    uint64_t last = m->append.prev_index + m->append.n;
    int skip;

    if (!jrepl_follow(j, m)) {
        return;
    }
    jrepl_mark(j, m);
    if ((m->to != 0 && m->to != j->config.node) || !unpack(j, m)) {
        return;
    }
    skip = connect(j, m);
    if (skip == -1) {
        jrepl_answer(j, false, 0, m->append.stamp);
    }
    if (skip < 0) {
        return;
    }
    if (!take_entries(j, m, (unsigned)skip)) {
        return;
    }
    /* A6: only what this message has shown to be equal, never the log's length. */
    if (last > j->matched) {
        j->matched = MUTANT(leftovers_acknowledged) ? jlog_last(&j->log) : last;
    }
    last = m->append.commit < last && !MUTANT(apply_before_commit) ? m->append.commit : last;
    if (last > j->commit_heard) {
        j->commit_heard = last;
    }
    /* What is new is answered when it is on the disk; a heartbeat at once, although the disk may be busy: the
     * coordinator shall know that we hear it; a mere commit mark not at all. */
    if (m->append.stamp != 0) {
        j->ack_stamp = m->append.stamp;
        j->ack_due = j->ack_due || m->append.n == 0 || j->store.durable >= j->matched;
    }
}

static void member_flush(struct journal *j)
{
    uint64_t marked = jstore_marked(j);
    uint64_t durable = j->store.durable < j->matched ? j->store.durable : j->matched;
    uint64_t commit = j->commit_heard < durable ? j->commit_heard : durable;

    durable = MUTANT(acknowledge_before_disk) ? j->matched : marked < durable ? marked : durable;
    if ((j->ack_due || durable > j->answered) && jstore_promised(j)) {
        jrepl_answer(j, true, durable, j->ack_stamp);
        j->answered = durable;
        j->ack_due = false;
    }
    if (commit > j->commit) {
        j->commit = commit;
    }
}

/* -------------------------------------------------------------------------------------------------- both */

void jrepl_flush(struct journal *j)
{
    uint64_t before = j->commit, term = 0;
    struct journal_action *a;
    struct hash chain;

    if (j->role == JOURNAL_LEADER) {
        coordinator_flush(j);
    } else if (j->role == JOURNAL_FOLLOWER) {
        member_flush(j);
    }
    if (j->commit > before) {
        a = journal_act(j, JOURNAL_COMMIT);
        if (a != NULL) {
            a->commit.index = j->commit;
        }
        jsnap_consider(j, before);
    }
    /* A2: the term is open once an entry of that very term is committed. */
    if ((j->role == JOURNAL_LEADER || j->role == JOURNAL_FOLLOWER) && !j->opened &&
        jlog_describe(&j->log, j->commit, &term, &chain) &&
        (term == j->promise.term || MUTANT(open_before_commit))) {
        j->opened = true;
        a = journal_act(j, JOURNAL_OPENED);
        if (a != NULL) {
            a->role.node = j->coordinator;
            a->role.term = term;
        }
    }
    if (j->role == JOURNAL_LEADER && j->members_index <= j->commit && !jvoters_self(j)) {
        jrepl_resign(j, true, "this node was removed from the voters");
    }
}

uint64_t jrepl_deadline(const struct journal *j)
{
    uint64_t at = j->heartbeat_ms, other;

    if (j->role != JOURNAL_LEADER) {
        return UINT64_MAX;
    }
    if (j->commit < jlog_last(&j->log)) {
        other = j->commit_ms + j->config.commit_ms + 1;
        at = other < at ? other : at;
    }
    other = unanswered_ms(j) + j->config.commit_ms + 1;
    return other < at ? other : at;
}
