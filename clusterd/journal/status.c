/* status.c - the ways to look at a journal. */
#include "journal/internal.h"

#include <stdio.h>
#include <string.h>

const struct journal_entry *journal_entry_at(const struct journal *j, uint64_t index)
{
    return jlog_at(&j->log, index);
}

bool journal_is_coordinator(const struct journal *j)
{
    return j->role == JOURNAL_LEADER;
}

bool journal_is_open(const struct journal *j)
{
    return (j->role == JOURNAL_LEADER || j->role == JOURNAL_FOLLOWER) && j->opened &&
           (j->quorate || MUTANT(open_without_corosync));
}

uint64_t journal_heard_ms(const struct journal *j)
{
    return j->role == JOURNAL_LEADER ? jrepl_quorum_ms(j) : j->heard_ms;
}

uint64_t journal_heard_commit(const struct journal *j)
{
    return j->role != JOURNAL_LEADER && j->mark_heard > j->commit ? j->mark_heard : j->commit;
}

const struct journal_members *journal_members(const struct journal *j)
{
    return &j->members;
}

bool journal_members_settled(const struct journal *j)
{
    return j->members_index <= j->commit || j->members_index <= j->snapshot.index;
}

const char *journal_role_name(enum journal_role role)
{
    static const char *const names[] = {"waiting",   "empty",       "searching", "candidate",
                                        "following", "coordinator", "stopped"};

    return (size_t)role < sizeof names / sizeof *names ? names[role] : "unknown";
}

static void peer_status(const struct journal *j, const struct journal_member *m,
                        struct journal_peer_status *s)
{
    const struct jpeer *p = journal_peer_find(j, m->node);

    memset(s, 0, sizeof *s);
    s->member = *m;
    if (m->node == j->config.node) {
        s->present = true;
        s->counted = m->incarnation == j->incarnation && journal_active(j);
        s->match = j->store.durable;
        return;
    }
    s->present = journal_in_view(j, m->node);
    s->counted = s->present && p != NULL && p->hello_ms > 0 && !p->empty &&
                 p->incarnation == m->incarnation && j->now_ms - p->hello_ms <= j->config.election_ms;
    s->ahead = p != NULL && p->hello_ms > 0 && jelect_compare(j, p) > 0;
    for (size_t i = 0; j->role == JOURNAL_LEADER && i < j->n_progress; i++) {
        const struct jprogress *g = &j->progress[i];

        if (g->node == m->node) {
            s->match = g->match;
            s->lagging = g->feed != FEED_LIVE;
            s->counted = jrepl_live(j, g);
        }
    }
    if (j->role == JOURNAL_FOLLOWER && m->node == j->coordinator) {
        s->counted = true;
    }
}

/* A node that the first creation waits for. */
static void configured_status(const struct journal *j, uint32_t node, struct journal_peer_status *s)
{
    const struct jpeer *p = journal_peer_find(j, node);

    memset(s, 0, sizeof *s);
    s->member = (struct journal_member){node, 0, 0, JOURNAL_NODE};
    s->present = node == j->config.node || journal_in_view(j, node);
    s->counted = node == j->config.node || (s->present && p != NULL && p->hello_ms > 0);
}

static void missing_nodes(const struct journal_status *s, unsigned votes, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%u of %u votes needed, have %u", s->quorum, s->votes, votes);
    const char *between = ": missing node ";

    for (size_t i = 0; i < s->n_peers && at < size; i++) {
        if (s->peers[i].member.votes > 0 && !s->peers[i].counted) {
            at += (size_t)snprintf(out + at, size - at, "%s%u", between, (unsigned)s->peers[i].member.node);
            between = ", ";
        }
    }
}

static void missing_configured(const struct journal_status *s, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "this node belongs to no cluster yet");
    const char *between = ": it waits for node ";

    for (size_t i = 0; i < s->n_peers && at < size; i++) {
        if (!s->peers[i].counted) {
            at += (size_t)snprintf(out + at, size - at, "%s%u", between, (unsigned)s->peers[i].member.node);
            between = ", ";
        }
    }
}

/* The first creation waits for ever when the nodes were configured differently: say so. */
static bool other_configuration(const struct journal *j)
{
    for (size_t i = 0; i < j->n_peers; i++) {
        const struct jpeer *p = &j->peers[i];

        if (p->present && p->hello_ms > 0 && p->empty && p->configured != j->configured_hash) {
            return true;
        }
    }
    return false;
}

static void status_why(const struct journal *j, struct journal_status *s)
{
    unsigned votes = 0;
    const char *why = "an election is under way";

    for (size_t i = 0; i < s->n_peers; i++) {
        votes += s->peers[i].counted ? s->peers[i].member.votes : 0;
    }
    if (j->role == JOURNAL_STOPPED) {
        why = j->stopped;
    } else if (j->role == JOURNAL_WAITING) {
        why = "waiting for the store";
    } else if (j->newer != 0) {
        (void)snprintf(
            s->why, sizeof s->why,
            "node %u runs a newer clusterd, whose messages this one cannot read: install that version here",
            (unsigned)j->newer);
        return;
    } else if (j->role == JOURNAL_EMPTY && j->lost) {
        why = "this node's journal was set aside: it waits to be taken in by the others";
    } else if (j->role == JOURNAL_EMPTY && other_configuration(j)) {
        why = "this node belongs to no cluster yet, and corosync's node list is not the same on all nodes";
    } else if (j->role == JOURNAL_EMPTY) {
        missing_configured(s, s->why, sizeof s->why);
        return;
    } else if (votes < s->quorum && (j->role == JOURNAL_SEARCH || j->role == JOURNAL_CANDIDATE)) {
        s->missing = true;
        s->counted_votes = votes;
        missing_nodes(s, votes, s->why, sizeof s->why);
        return;
    } else if (!j->quorate) {
        why = "corosync has no quorum";
    } else if (!s->voter && j->role == JOURNAL_SEARCH) {
        why = "this node has no vote, and no coordinator is there";
    } else if (j->role == JOURNAL_LEADER || j->role == JOURNAL_FOLLOWER) {
        why = "the coordinator's first entry is not committed yet";
    }
    (void)snprintf(s->why, sizeof s->why, "%s", why);
}

void journal_status(const struct journal *j, struct journal_status *s)
{
    const struct journal_member *self = jvoters_find(&j->members, j->config.node);

    memset(s, 0, sizeof *s);
    s->role = j->role;
    s->node = j->config.node;
    s->coordinator = j->role == JOURNAL_LEADER || j->role == JOURNAL_FOLLOWER ? j->coordinator : 0;
    s->cluster = j->cluster;
    s->incarnation = j->incarnation;
    s->term = j->promise.term;
    s->commit = j->commit;
    s->last = jlog_last(&j->log);
    s->snapshot = j->snapshot.index;
    s->open = journal_is_open(j);
    s->quorate = j->quorate;
    s->member = self != NULL && self->incarnation == j->incarnation;
    s->voter = jvoters_self(j);
    s->votes = jvoters_votes(&j->members);
    s->quorum = jvoters_majority(&j->members);
    for (size_t i = 0; j->role == JOURNAL_EMPTY && i < j->config.n_configured; i++) {
        configured_status(j, j->config.configured[i], &s->peers[s->n_peers++]);
    }
    for (size_t i = 0; i < j->members.n; i++) {
        peer_status(j, &j->members.v[i], &s->peers[s->n_peers]);
        s->present_votes += s->peers[s->n_peers++].present ? j->members.v[i].votes : 0;
    }
    s->dropped_garbage = j->dropped_garbage;
    s->dropped_foreign = j->dropped_foreign;
    s->dropped_old = j->dropped_old;
    s->dropped_newer = j->dropped_newer;
    memcpy(s->stopped, j->stopped, sizeof s->stopped);
    if (!s->open) {
        status_why(j, s);
    }
}
