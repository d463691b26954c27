/*
 * voters.c - who is a member, who may vote (A9, A10).
 *
 * A server is (node, incarnation). The set is an entry of the log, in force from the moment that it is
 * appended and out of force again when it is cut; it changes by one vote at a time, the next change only
 * after the commit of the last, and only in an open term (the leader of Raft's single-server changes must
 * have committed in its own term first).
 *
 * A node that lost its journal goes the way of a new one: one change takes the old incarnation's vote away
 * and names the new one, without a vote; when it has caught up, another gives it the vote.
 */
#include "journal/internal.h"

#include <string.h>

const struct journal_member *jvoters_find(const struct journal_members *m, uint32_t node)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].node == node) {
            return &m->v[i];
        }
    }
    return NULL;
}

unsigned jvoters_votes(const struct journal_members *m)
{
    unsigned votes = 0;

    for (size_t i = 0; i < m->n; i++) {
        votes += m->v[i].votes;
    }
    return votes;
}

unsigned jvoters_majority(const struct journal_members *m)
{
    return jvoters_votes(m) / 2 + (MUTANT(journal_in_a_minority) ? 0 : 1);
}

bool jvoters_self(const struct journal *j)
{
    const struct journal_member *m = jvoters_find(&j->members, j->config.node);

    return m != NULL && (m->incarnation == j->incarnation || MUTANT(amnesia_votes)) && m->votes > 0;
}

bool jvoters_may_stand(const struct journal *j)
{
    const struct journal_member *m;
    struct journal_members before;

    if (jforce_superseded(j)) {
        return false;
    }
    if (jvoters_self(j)) {
        return true;
    }
    if (j->members_index <= j->commit || j->members_index <= j->snapshot.index) {
        return false;
    }
    (void)jvoters_at(j, j->members_index - 1, &before);
    m = jvoters_find(&before, j->config.node);
    return m != NULL && m->incarnation == j->incarnation && m->votes > 0;
}

void jvoters_encode(struct buf *b, const struct journal_members *m)
{
    buf_u8(b, JOURNAL_FORMAT);
    buf_u16(b, (uint16_t)m->n);
    for (size_t i = 0; i < m->n; i++) {
        buf_u32(b, m->v[i].node);
        buf_u64(b, m->v[i].incarnation);
        buf_u8(b, m->v[i].votes);
        buf_u8(b, m->v[i].kind);
    }
    if (m->forced != 0) {
        buf_u64(b, m->forced);
    }
}

bool journal_members_decode(struct journal_members *m, const void *data, size_t len)
{
    uint32_t before = 0;
    struct rd r;

    rd_init(&r, data, len);
    if (rd_u8(&r) != JOURNAL_FORMAT) {
        return false;
    }
    m->n = rd_u16(&r);
    if (m->n > JOURNAL_NODES_MAX) {
        return false;
    }
    for (size_t i = 0; i < m->n; i++) {
        struct journal_member *v = &m->v[i];

        v->node = rd_u32(&r);
        v->incarnation = rd_u64(&r);
        v->votes = rd_u8(&r);
        v->kind = rd_u8(&r);
        if (v->node <= before || v->votes > 1 || (v->votes > 0 && v->incarnation == 0) ||
            v->kind < JOURNAL_NODE || v->kind > JOURNAL_WITNESS) {
            return false;
        }
        before = v->node;
    }
    m->forced = rd_left(&r) > 0 ? rd_u64(&r) : 0;
    return rd_done(&r) && jvoters_votes(m) > 0 && m->forced < JOURNAL_TERM_MAX;
}

uint64_t jvoters_at(const struct journal *j, uint64_t index, struct journal_members *m)
{
    for (uint64_t i = index; i > j->snapshot.index; i--) {
        const struct journal_entry *e = jlog_at(&j->log, i);

        /* What cannot be decoded was refused when it came (message.c, journal_load). */
        if (e != NULL && e->kind == JOURNAL_CONFIG && journal_members_decode(m, e->payload, e->len)) {
            return i;
        }
    }
    *m = j->snapshot.members;
    return j->snapshot.index;
}

void jvoters_refresh(struct journal *j)
{
    j->members_index = jvoters_at(j, jlog_last(&j->log), &j->members);
}

/* Votes of the set's members that are in the view and were heard within E: what could commit under it right
 * now. */
static unsigned live_votes(struct journal *j, const struct journal_members *m)
{
    unsigned votes = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct jprogress *p = jrepl_progress(j, m->v[i].node, m->v[i].incarnation);

        if ((m->v[i].node == j->config.node && m->v[i].incarnation == j->incarnation) ||
            (p != NULL && jrepl_live(j, p) && journal_in_view(j, m->v[i].node))) {
            votes += m->v[i].votes;
        }
    }
    return votes;
}

/* A change is proposed only if those who are there now can commit it, and go on committing after it. */
static int voters_propose(struct journal *j, const struct journal_members *m)
{
    struct buf b = BUF_INIT;
    int rc;

    if (jvoters_votes(m) == 0 || live_votes(j, m) < jvoters_majority(m)) {
        return RC_REFUSED;
    }
    jvoters_encode(&b, m);
    if (b.failed) {
        j->oom = true;
    }
    rc = j->oom ? RC_NO_MEMORY : jrepl_append(j, JOURNAL_CONFIG, b.data, b.len);
    buf_fini(&b);
    return rc;
}

/* A9: one at a time, in an open term. */
static bool change_allowed(const struct journal *j)
{
    return j->role == JOURNAL_LEADER && (j->commit >= j->open_index || MUTANT(voters_before_open)) &&
           (j->members_index <= j->commit || MUTANT(voters_before_commit)) && j->quorate;
}

/* What this member should become: a new incarnation's place, or a voter. False: nothing. */
static bool member_due(struct journal *j, const struct journal_member *old, struct journal_member *wanted)
{
    const struct jpeer *peer = journal_peer_find(j, old->node);
    const struct jprogress *p;

    *wanted = *old;
    if (peer == NULL || !peer->present || old->kind != JOURNAL_NODE) {
        return false;
    }
    if (peer->hello_ms > 0 && (peer->empty || MUTANT(older_journal_back)) &&
        peer->incarnation != old->incarnation && !MUTANT(amnesia_votes)) {
        wanted->incarnation = peer->incarnation; /* A10: its old journal is gone, and its vote with it */
        wanted->votes = 0;
        return true;
    }
    p = jrepl_progress(j, old->node, old->incarnation);
    if (old->votes == 0 && p != NULL && jrepl_live(j, p) && p->feed == FEED_LIVE && p->match >= j->commit) {
        wanted->votes = 1; /* it has caught up */
        return true;
    }
    return false;
}

void jvoters_drive(struct journal *j)
{
    if (!j->members_due || !change_allowed(j)) {
        return;
    }
    j->members_due = false;
    for (size_t i = 0; i < j->members.n; i++) {
        struct journal_member wanted;

        if (j->members.v[i].node != j->config.node && member_due(j, &j->members.v[i], &wanted)) {
            struct journal_members next = j->members;

            next.v[i] = wanted;
            if (voters_propose(j, &next) == RC_OK && !MUTANT(votes_changed_by_two)) {
                return;
            }
        }
    }
}

static int change_refused(const struct journal *j)
{
    if (j->role != JOURNAL_LEADER) {
        return RC_REFUSED;
    }
    return j->commit < j->open_index || !j->quorate ? RC_NO_QUORUM : RC_BUSY;
}

int jvoters_add(struct journal *j, uint32_t node)
{
    struct journal_members next = j->members;
    size_t at = 0;

    if (!change_allowed(j)) {
        return change_refused(j);
    }
    if (node == 0 || next.n >= JOURNAL_NODES_MAX) {
        return RC_USAGE;
    }
    if (jvoters_find(&next, node) != NULL) {
        return RC_OK;
    }
    while (at < next.n && next.v[at].node < node) {
        at++;
    }
    memmove(&next.v[at + 1], &next.v[at], (next.n - at) * sizeof next.v[0]);
    next.v[at] = (struct journal_member){node, 0, 0, JOURNAL_NODE};
    next.n++;
    return voters_propose(j, &next);
}

int jvoters_remove(struct journal *j, uint32_t node)
{
    struct journal_members next = j->members;
    const struct journal_member *m;
    size_t at;

    if (!change_allowed(j)) {
        return change_refused(j);
    }
    m = jvoters_find(&j->members, node);
    if (m == NULL) {
        return RC_NOT_FOUND;
    }
    at = (size_t)(m - j->members.v);
    memmove(&next.v[at], &next.v[at + 1], (next.n - at - 1) * sizeof next.v[0]);
    next.n--;
    return voters_propose(j, &next);
}
