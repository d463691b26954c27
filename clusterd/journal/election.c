/*
 * election.c - views (A1), HELLO, STAND and VOTE (A3).
 *
 * A member without a coordinator says HELLO with its term and its last entry. A HELLO promises nothing; it
 * lets the member with the best log stand first, and nobody stands before a majority has said that it misses
 * its coordinator too and is not ahead (Raft's pre-vote), so that one deaf member cannot depose a coordinator
 * that the others hear. The votes alone decide.
 */
#include "journal/internal.h"

#include <string.h>

/* The other's log is better than ours / as good. */
static int compare_log(uint64_t term, uint64_t index, const struct jlog *l)
{
    uint64_t own_term = jlog_last_term(l), own_index = jlog_last(l);

    if (term != own_term && !MUTANT(longest_log)) {
        return term > own_term ? 1 : -1;
    }
    return index == own_index ? 0 : index > own_index ? 1 : -1;
}

int jelect_compare(const struct journal *j, const struct jpeer *p)
{
    return compare_log(p->last_term, p->last_index, &j->log);
}

static void set_fallback(struct journal *j, uint64_t low, uint64_t high)
{
    j->fallback_ms = j->now_ms + journal_random_ms(j, low, high);
}

void jelect_search(struct journal *j, const char *why)
{
    if (j->role == JOURNAL_FOLLOWER) {
        journal_say(j, JOURNAL_SEARCHING, "%s", why);
    }
    j->role = JOURNAL_SEARCH;
    j->coordinator = 0;
    j->ack_due = j->stand_due = j->opened = j->yielded = j->force.under_way = false;
    j->hello_ms = j->now_ms; /* say it at once */
    set_fallback(j, j->config.election_ms / 2, j->config.election_ms);
}

void jelect_adopt(struct journal *j, uint64_t term)
{
    if (j->role == JOURNAL_LEADER) {
        jrepl_resign(j, false, "another member has promised a higher term");
    } else if (j->role == JOURNAL_FOLLOWER || j->role == JOURNAL_CANDIDATE) {
        jelect_search(j, "a higher term was seen");
    }
    j->promise = (struct journal_promise){term, 0, 0};
    j->matched = j->mark_heard = 0;
    j->vote_due = false;
}

void jelect_hello(struct journal *j)
{
    struct jmsg m;

    journal_message_init(j, &m, JMSG_HELLO, 0);
    m.hello.last_term = jlog_last_term(&j->log);
    m.hello.last_index = jlog_last(&j->log);
    m.hello.configured = j->configured_hash;
    m.hello.flags = j->lost ? HELLO_LOST : 0;
    if (j->role == JOURNAL_SEARCH || j->role == JOURNAL_CANDIDATE) {
        m.hello.flags |= HELLO_SEARCHING;
        if (jvoters_may_stand(j) && j->now_ms >= j->hold_ms) {
            m.hello.flags |= HELLO_WILLING;
        }
    }
    journal_send(j, &m);
    j->hello_ms = j->now_ms + j->config.heartbeat_ms;
}

/* Only a HELLO of about now tells what its sender is after. */
bool jelect_heard(const struct journal *j, const struct jpeer *p)
{
    return p != NULL && p->hello_ms > 0 && j->now_ms - p->hello_ms <= j->config.election_ms;
}

void jelect_stand(struct journal *j, uint64_t term)
{
    j->role = JOURNAL_CANDIDATE;
    j->promise = (struct journal_promise){term, j->config.node, j->incarnation};
    j->matched = j->mark_heard = 0;
    j->vote_due = false;
    j->stand_due = true; /* A3: first the promise to oneself is on the disk */
    j->n_progress = 0;
    jrepl_members_changed(j);
    j->candidate_ms =
        j->now_ms + journal_random_ms(j, j->config.election_ms, 2 * (uint64_t)j->config.election_ms);
}

/* A3: the best log stands at once when all voters in the view were heard, any grantable one after a while. */
static void consider_standing(struct journal *j)
{
    bool fallback = j->now_ms >= j->fallback_ms, best = true, all = true;
    unsigned votes = 0;

    if (j->role != JOURNAL_SEARCH || !jvoters_may_stand(j) || !j->quorate || j->now_ms < j->hold_ms) {
        return;
    }
    for (size_t i = 0; i < j->members.n; i++) {
        const struct journal_member *m = &j->members.v[i];
        const struct jpeer *p = journal_peer_find(j, m->node);
        int better;

        if (m->node == j->config.node) {
            votes += m->votes;
        }
        if (m->votes == 0 || m->node == j->config.node) {
            continue;
        }
        if (!jelect_heard(j, p)) {
            all = all && !journal_in_view(j, m->node);
            continue;
        }
        if (p->empty || p->incarnation != m->incarnation || !p->searching) {
            all = all && (p->empty || p->incarnation != m->incarnation); /* who still follows may come yet */
            continue;
        }
        better = jelect_compare(j, p);
        if (better <= 0) {
            votes += m->votes;
        }
        if (p->willing && (better > 0 || (better == 0 && p->node < j->config.node))) {
            best = false;
        }
    }
    if (votes >= jvoters_majority(&j->members) && ((best && all && !j->yielded) || fallback)) {
        jelect_stand(j, j->promise.term + 1);
    } else if (fallback) {
        set_fallback(j, j->config.election_ms / 2, j->config.election_ms);
    }
}

/* A1: a view triggers, and decides nothing. */
void jelect_view(struct journal *j, const struct journal_event *event)
{
    unsigned votes = 0;

    j->quorate = event->view.quorate;
    j->n_view = 0;
    for (size_t i = 0; i < event->view.n && j->n_view < JOURNAL_NODES_MAX; i++) {
        j->view[j->n_view++] = event->view.nodes[i];
    }
    for (size_t i = 0; i < j->n_peers; i++) {
        j->peers[i].present = journal_in_view(j, j->peers[i].node);
        if (!j->peers[i].present) {
            j->peers[i].hello_ms = 0;
        }
    }
    for (size_t i = 0; i < j->members.n; i++) {
        const struct journal_member *m = &j->members.v[i];

        votes += m->node == j->config.node || journal_in_view(j, m->node) ? m->votes : 0;
    }
    if (j->role == JOURNAL_LEADER && votes < jvoters_majority(&j->members) && !MUTANT(lead_a_minority)) {
        jrepl_resign(j, false, "no majority of the voters is in the view");
    } else if (j->role == JOURNAL_LEADER) {
        jrepl_heartbeat(j, 0);
    } else if (j->role == JOURNAL_FOLLOWER && !journal_in_view(j, j->coordinator)) {
        jelect_search(j, "the coordinator has left the view");
    } else {
        j->hello_ms = j->now_ms;
        if (j->role == JOURNAL_SEARCH) {
            /* Those who searched before the view came would all stand at once on their old fallbacks and
             * split the votes: the best log gets its turn first. */
            set_fallback(j, j->config.election_ms / 2, j->config.election_ms);
        }
    }
    consider_standing(j); /* all may have been heard while the quorum was not known yet */
}

/* Coordinator: the place of this incarnation was given to another one, or the node was removed, and that is
 * committed (A9, A10). */
static bool is_gone(struct journal *j, uint32_t node, uint64_t incarnation)
{
    const struct journal_members *committed = &j->members;
    const struct journal_member *member;
    struct journal_members before;

    if (j->role != JOURNAL_LEADER || j->commit < j->open_index ||
        jrepl_progress(j, node, incarnation) != NULL) {
        return false; /* a change that brings it in is under way */
    }
    if (j->members_index > j->commit) {
        (void)jvoters_at(j, j->commit, &before);
        committed = &before;
    }
    member = jvoters_find(committed, node);
    return member == NULL || member->incarnation != incarnation;
}

static void raise_acked(struct jpeer *p, const struct journal_mark *mark, uint64_t session)
{
    if (p->acked.incarnation != mark->incarnation || mark->term > p->acked.term ||
        (mark->term == p->acked.term && mark->index > p->acked.index)) {
        p->acked = *mark;
        p->acked_session = session;
    }
}

void jelect_session(struct jpeer *p, uint64_t session)
{
    bool again = session == p->speaks;

    if (p->once.incarnation != 0 && (again || session != p->spoke)) {
        raise_acked(p, &p->once, p->speaks);
    }
    p->once.incarnation = 0;
    if (!again) {
        p->spoke = p->speaks;
        p->speaks = session;
    }
    p->first = !again;
}

void jelect_note(struct jpeer *p, const struct jmsg *m, uint64_t index)
{
    struct journal_mark mark = {m->incarnation, m->cluster, m->term, index};

    if (p->first) {
        p->once = mark;
    } else {
        raise_acked(p, &mark, m->session);
    }
}

bool jelect_recall(struct journal *j, const struct jmsg *m)
{
    struct jpeer *p = journal_peer(j, m->from);
    bool shorter, gone;
    struct jmsg out;

    if (p == NULL) {
        return false;
    }
    /* Within a session its own memory tells (journal_load), and what is acknowledged only grows. */
    shorter =
        !MUTANT(tail_lost_unnoticed) && p->acked.incarnation == m->incarnation &&
        p->acked_session != m->session &&
        (m->held_term < p->acked.term || (m->held_term == p->acked.term && m->held_index < p->acked.index));
    gone = is_gone(j, m->from, m->incarnation);
    if ((!shorter && !gone) || p->recall_ms > j->now_ms) {
        return shorter;
    }
    p->recall_ms = j->now_ms + j->config.heartbeat_ms;
    journal_message_init(j, &out, JMSG_RECALL, m->from);
    out.recall.incarnation = m->incarnation;
    out.recall.session = m->session;
    out.recall.term = shorter ? p->acked.term : 0;
    out.recall.index = shorter ? p->acked.index : 0;
    out.recall.gone = gone;
    journal_send(j, &out);
    return shorter;
}

void jelect_on_hello(struct journal *j, const struct jmsg *m)
{
    struct jpeer *p = journal_peer(j, m->from);
    bool restarted;

    if (p == NULL) {
        return;
    }
    restarted =
        j->role == JOURNAL_FOLLOWER && m->from == j->coordinator && m->session != j->coordinator_session;
    p->session = m->session;
    p->incarnation = m->incarnation;
    p->hello_ms = j->now_ms;
    p->empty = m->cluster.lo == 0 && m->cluster.hi == 0;
    p->searching = m->hello.flags & HELLO_SEARCHING;
    p->willing = m->hello.flags & HELLO_WILLING;
    p->lost = m->hello.flags & HELLO_LOST;
    p->last_term = m->hello.last_term;
    p->last_index = m->hello.last_index;
    p->configured = m->hello.configured;
    if (restarted || (j->role == JOURNAL_FOLLOWER && m->from == j->coordinator && p->searching)) {
        jelect_search(j, "the coordinator has resigned");
    }
    if (journal_is_empty(j)) {
        jsnap_consider_creation(j);
    } else if (p->empty) {
        jsnap_send_bootstrap(j, m->from);
        j->members_due = true;
    }
    if (j->role == JOURNAL_LEADER && (p->searching || p->empty)) {
        struct jprogress *progress = jrepl_progress(j, m->from, m->incarnation);

        jrepl_heartbeat(j, m->from);
        if (p->empty && progress != NULL) {
            jsnap_feed(j, progress);
        }
    }
    consider_standing(j);
}

void jelect_on_stand(struct journal *j, const struct jmsg *m)
{
    struct jpeer *p = journal_peer(j, m->from);
    struct jmsg out;

    if (p != NULL) {
        jelect_note(p, m, 0); /* its promise to itself */
    }
    if (m->term == j->promise.term && j->role == JOURNAL_SEARCH &&
        (j->promise.node == 0 || MUTANT(second_vote)) &&
        (compare_log(m->stand.last_term, m->stand.last_index, &j->log) >= 0 || MUTANT(vote_for_less))) {
        j->promise = (struct journal_promise){m->term, m->from, m->incarnation};
        set_fallback(j, j->config.election_ms, 2 * (uint64_t)j->config.election_ms);
        j->yielded = true; /* let it win */
    }
    if (m->term == j->promise.term && j->promise.node == m->from &&
        j->promise.incarnation == m->incarnation) {
        j->vote_due = true; /* once it is on the disk; a repeated question gets a repeated answer */
        return;
    }
    journal_message_init(j, &out, JMSG_VOTE, m->from);
    out.vote.incarnation = m->incarnation;
    out.vote.granted = false;
    journal_send(j, &out);
}

/* Votes of the effective set, each incarnation for itself (A9, A10). */
static void count_votes(struct journal *j)
{
    const struct journal_members *members = jforce_voters(j);
    unsigned votes = 0;

    if (j->role != JOURNAL_CANDIDATE || !jstore_promised(j)) {
        return;
    }
    for (size_t i = 0; i < members->n; i++) {
        const struct journal_member *m = &members->v[i];
        const struct jprogress *p = jrepl_progress(j, m->node, m->incarnation);
        bool self = m->node == j->config.node && m->incarnation == j->incarnation;

        votes += self || (p != NULL && p->granted) ? m->votes : 0;
    }
    if (votes >= jvoters_majority(members)) {
        jrepl_lead(j);
    }
}

void jelect_on_vote(struct journal *j, const struct jmsg *m)
{
    struct jprogress *p = jrepl_progress(j, m->from, m->incarnation);
    struct jpeer *peer = journal_peer(j, m->from);

    if (peer != NULL && m->vote.granted) {
        jelect_note(peer, m, 0);
    }
    if (j->role == JOURNAL_CANDIDATE && m->to == j->config.node && m->term == j->promise.term &&
        m->vote.granted && p != NULL && m->vote.incarnation == j->incarnation) {
        p->granted = true;
        count_votes(j);
    }
}

void jelect_on_recall(struct journal *j, const struct jmsg *m)
{
    /* What was heard since, this very message included, may have brought a later term and what was missing:
     * a vote that was forgotten stays forgotten. An answer to an earlier session may be about this one. */
    bool shortened =
        m->recall.session == j->config.session &&
        (m->recall.term > j->held.term || (m->recall.term == j->held.term && m->recall.index > j->held.last));

    if (m->recall.incarnation != j->incarnation || (!shortened && !m->recall.gone) ||
        !journal_said_twice(j, JDOUBT_RECALL, 0, j->incarnation)) {
        return; /* it comes again as long as we speak */
    }
    if (j->role == JOURNAL_LEADER) {
        jrepl_resign(j, true, "the store is not what it was");
    }
    j->role = JOURNAL_WAITING;
    journal_say(j, JOURNAL_SET_ASIDE, "%s",
                shortened ? "the journal was shortened: others remember that this node acknowledged more"
                          : "the cluster has removed this node, or given its place to a newer journal of it");
}

void jelect_timers(struct journal *j)
{
    if (j->role == JOURNAL_FOLLOWER && j->now_ms - j->heard_ms > j->config.election_ms &&
        !MUTANT(hung_coordinator_stays)) {
        jelect_search(j, "the coordinator was not heard in time");
    }
    if (j->role == JOURNAL_CANDIDATE && j->now_ms >= j->candidate_ms) {
        if (j->stand_due) {
            j->hold_ms = j->now_ms + 2 * (uint64_t)j->config.election_ms; /* a disk so slow must not lead */
        }
        jelect_search(j, "not elected");
    }
    if (journal_is_empty(j) && j->config.n_configured == 1) {
        jsnap_consider_creation(j); /* it hears nobody's HELLO */
    }
    consider_standing(j);
}

static void send_stand(struct journal *j)
{
    struct jmsg m;

    journal_message_init(j, &m, JMSG_STAND, 0);
    m.stand.last_term = jlog_last_term(&j->log);
    m.stand.last_index = jlog_last(&j->log);
    journal_send(j, &m);
}

void jelect_flush(struct journal *j)
{
    struct jmsg m;

    if (j->role == JOURNAL_CANDIDATE && j->stand_due && jstore_promised(j)) {
        j->stand_due = false;
        send_stand(j);
        j->hello_ms = j->now_ms + j->config.heartbeat_ms;
        count_votes(j); /* alone in the set, it has won */
    }
    if (j->vote_due && (jstore_promised(j) || MUTANT(promise_not_stored))) {
        j->vote_due = false;
        journal_message_init(j, &m, JMSG_VOTE, j->promise.node);
        m.vote.incarnation = j->promise.incarnation;
        m.vote.granted = true;
        journal_send(j, &m);
    }
    if ((j->role == JOURNAL_SEARCH || j->role == JOURNAL_EMPTY) && j->now_ms >= j->hello_ms) {
        jelect_hello(j);
    }
    if (j->role == JOURNAL_CANDIDATE && !j->stand_due && j->now_ms >= j->hello_ms) {
        send_stand(j); /* it may have fallen into a hole */
        j->hello_ms = j->now_ms + j->config.heartbeat_ms;
    }
}

uint64_t jelect_deadline(const struct journal *j)
{
    uint64_t at;

    switch (j->role) {
    case JOURNAL_EMPTY:
        return j->hello_ms;
    case JOURNAL_SEARCH:
        at = j->fallback_ms > j->hold_ms ? j->fallback_ms : j->hold_ms;
        return jvoters_may_stand(j) && j->quorate && at > j->now_ms && at < j->hello_ms ? at : j->hello_ms;
    case JOURNAL_CANDIDATE:
        return !j->stand_due && j->hello_ms < j->candidate_ms ? j->hello_ms : j->candidate_ms;
    case JOURNAL_FOLLOWER:
        return j->heard_ms + j->config.election_ms + 1;
    case JOURNAL_WAITING:
    case JOURNAL_LEADER:
    case JOURNAL_STOPPED:
        break;
    }
    return UINT64_MAX;
}
