/* What must be true after every step, and in the end. */
#include "tests/sim/jsim.h"

#include <stdio.h>

#include "journal/internal.h"

#define COMMIT_MS 2000 /* N, its default */

/* A9: the set in force is the last one in the log, committed or not. */
static void check_members(const struct node *n, uint64_t last)
{
    const struct journal_members *m = &n->j->snapshot.members;
    struct journal_members in_log;

    for (uint64_t i = last; i > n->j->snapshot.index; i--) {
        const struct journal_entry *e = journal_entry_at(n->j, i);

        if (e != NULL && e->kind == JOURNAL_CONFIG) {
            (void)journal_members_decode(&in_log, e->payload, e->len);
            m = &in_log;
            break;
        }
    }
    if (!hash_eq(members_digest(m), members_digest(journal_members(n->j)))) {
        fail("node %u: the members in force are not those of its log (A9)", n->id);
    }
}

/* The set that an operator forced follows its OPEN at once. */
static bool is_forced(const struct journal_entry *e)
{
    struct journal_members m;

    return journal_members_decode(&m, e->payload, e->len) && m.forced == e->term;
}

/* A9: one change of the voters at a time, and none before an entry of this very term is committed. `commit`
 * is the mark before this step. */
static void check_changes(const struct node *n, uint64_t commit)
{
    unsigned changes = 0, early = 0;

    for (uint64_t i = jlog_last(&n->j->log); i > commit && i > n->j->open_index; i--) {
        const struct journal_entry *e = journal_entry_at(n->j, i);

        if (e != NULL && e->kind == JOURNAL_CONFIG) {
            changes++;
            early += !is_forced(e);
        }
    }
    if (early > 0 && commit < n->j->open_index) {
        fail("node %u changes the voters before its term is open (A9)", n->id);
    }
    if (changes > 1) {
        fail("node %u has changed the voters twice, and neither is committed (A9)", n->id);
    }
}

/* A8, S2: a coordinator does not take an answer for newer than its question, nor stays without any. */
static void check_answered(const struct node *n, uint64_t term)
{
    uint64_t heard = jrepl_quorum_ms(n->j);

    for (size_t i = 0; i < n->j->n_progress; i++) {
        const struct jprogress *p = &n->j->progress[i];
        const struct node *other = &sim.nodes[p->node - 1];

        if (p->stamp_ms != 0 &&
            (other->answered[n->id].term != term || p->stamp_ms > other->answered[n->id].stamp)) {
            fail("node %u takes an answer of node %u for newer than it is (A8)", n->id, p->node);
        }
    }
    heard = heard > n->lead_since ? heard : n->lead_since;
    if (node_now(n) > heard + COMMIT_MS + 10) {
        fail("node %u: coordinator for %u ms without an answer of a majority (A8)", n->id, COMMIT_MS);
    }
}

void check_after(struct node *n)
{
    struct journal_status s;
    const struct journal_entry *e;

    if (sim.stats.events % 4 == 0) { /* it is the dearest of the checks */
        check_members(n, n->j->log.prev_index + n->j->log.n);
        check_given_up(n);
    }

    if (!journal_is_coordinator(n->j)) {
        n->lead_term = 0;
        return;
    }
    journal_status(n->j, &s);
    if (n->lead_term == s.term) {
        check_changes(n, n->lead_commit);
        e = journal_entry_at(n->j, n->lead_last);
        if (s.last < n->lead_last || (e != NULL && !hash_eq(e->chain, n->lead_chain))) {
            fail("leader append-only: node %u has changed its log in term %llu", n->id,
                 (unsigned long long)s.term);
        }
    }
    if (n->lead_term != s.term || !n->waiting || s.commit > n->waiting_commit) {
        n->waiting_commit = s.commit;
        n->waiting_since = node_now(n);
    } else if (node_now(n) - n->waiting_since > COMMIT_MS + 10) {
        fail("node %u: coordinator for %u ms and cannot commit (A8)", n->id, COMMIT_MS);
    }
    check_answered(n, s.term);
    n->waiting = s.commit < s.last;
    e = journal_entry_at(n->j, s.last);
    n->lead_term = s.term;
    n->lead_last = s.last;
    n->lead_commit = s.commit;
    n->lead_chain = e ? e->chain : n->lead_chain;
}

/* A1: it resigns at once when its voters are not there. */
void check_view(struct node *n, const struct journal_event *ev)
{
    unsigned votes = 0;

    if (sim.failed || !n->up || !journal_is_coordinator(n->j)) {
        return;
    }
    for (size_t i = 0; i < ev->view.n; i++) {
        const struct journal_member *m = jvoters_find(journal_members(n->j), ev->view.nodes[i]);

        votes += m != NULL ? m->votes : 0;
    }
    if (2 * votes <= jvoters_votes(journal_members(n->j))) {
        fail("node %u stays coordinator in a view without a majority (A1)", n->id);
    }
}

/* A2: a term is open when an entry of that very term is committed. */
static void check_opened(const struct node *n, uint64_t term)
{
    const struct history *h = line_history(n);

    for (uint64_t i = h->n; i > 0 && h->v[i - 1].term >= term; i--) {
        if (h->v[i - 1].term == term) {
            return;
        }
    }
    fail("node %u takes term %llu as open, in which nothing is committed (A2)", n->id,
         (unsigned long long)term);
}

void check_step(struct node *n, const struct journal_actions *out)
{
    for (size_t i = 0; i < out->n; i++) {
        const struct journal_action *a = &out->v[i];

        if (a->type == JOURNAL_COORDINATOR) {
            check_elected(n, a->role.term);
        } else if (a->type == JOURNAL_PERSIST) {
            check_entries(n, a->persist.first, a->persist.last);
        } else if (a->type == JOURNAL_COMMIT) {
            check_commits(n, a->commit.index);
        } else if (a->type == JOURNAL_OPENED) {
            check_opened(n, a->role.term);
        } else if (a->type == JOURNAL_ALARM) {
            fail("node %u: alarm: %s", n->id, a->text);
        }
    }
}

/* ----------------------------------------------------------------------------------------- the cluster */

/* Its disk has what counts. One that the first creation names, and whose base never reached its disk, has
 * nothing: once the others' snapshots are past the base, only a coordinator can take it in. */
static bool has_journal(const struct node *n, uint64_t incarnation)
{
    const struct journal_load *s = &n->disk.now;

    return !n->gone && !n->aside_expected && !n->fsync_pending && s->incarnation == incarnation &&
           (s->cluster.lo | s->cluster.hi) != 0;
}

static bool set_survives(const struct journal_members *m, const struct node *lost)
{
    unsigned alive = 0, all = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct node *n = &sim.nodes[m->v[i].node - 1];

        all += m->v[i].votes;
        /* It may be given its vote before its loss is noticed: of one voter that makes two, who need each
         * other. */
        all += n == lost && m->v[i].votes == 0 && m->v[i].incarnation != 0 &&
               m->v[i].incarnation == n->disk.now.incarnation;
        alive += n != lost && has_journal(n, m->v[i].incarnation) ? m->v[i].votes : 0;
    }
    return alive > all / 2;
}

bool check_may_lose(const struct node *lost)
{
    bool formed = false;

    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];
        struct journal_members m = n->disk.now.snapshot.members;

        if (n->gone || n->left_behind) {
            continue; /* what it knows of does not matter any more */
        }
        for (size_t k = n->disk.now.n_entries; k > 0; k--) {
            const struct journal_entry *e = &n->disk.now.entries[k - 1];

            if (e->kind == JOURNAL_CONFIG && e->index > n->disk.now.snapshot.index) {
                (void)journal_members_decode(&m, e->payload, e->len);
                break;
            }
        }
        if (m.n > 0 && !set_survives(&m, lost)) {
            return false;
        }
        formed = formed || m.n > 0;
        if (n->up && journal_members(n->j)->n > 0) {
            formed = true;
            if (!set_survives(journal_members(n->j), lost)) {
                return false;
            }
        }
    }
    return formed || sim.now < 50; /* not while the first creation is under way */
}

bool check_converged(char *why, size_t size)
{
    const struct node *leader = NULL;
    const struct journal_members *m;

    for (unsigned i = 0; i < sim.n; i++) {
        if (sim.nodes[i].up && journal_is_coordinator(sim.nodes[i].j) && journal_is_open(sim.nodes[i].j)) {
            leader = &sim.nodes[i];
        }
    }
    if (sim.returns_due > 0) {
        (void)snprintf(why, size, "not all that are to come back are here");
        return false;
    }
    if (leader == NULL) {
        (void)snprintf(why, size, "no coordinator of an open term");
        return false;
    }
    m = journal_members(leader->j);
    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];
        const struct journal_member *member = jvoters_find(m, n->id);

        if (n->gone) {
            continue;
        }
        if (!n->up || !journal_is_open(n->j) || n->core.applied != sim.truth.n) {
            (void)snprintf(why, size, "node %u: %s, has applied %llu of %llu", n->id, n->up ? "up" : "down",
                           (unsigned long long)n->core.applied, (unsigned long long)sim.truth.n);
            return false;
        }
        if (member == NULL || member->votes == 0 || member->incarnation != n->disk.now.incarnation) {
            (void)snprintf(why, size, "node %u has no vote", n->id);
            return false;
        }
    }
    return true;
}
