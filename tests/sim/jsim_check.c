/*
 * jsim_check.c - what must be true after every step: Raft's five invariants, looked at from outside with the
 * world's own knowledge of what every disk has ever held, and the promises that messages make.
 */
#include "tests/sim/jsim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"

#define INCARNATIONS_MAX 512
#define COMMIT_MS        2000 /* N, its default */
#define OLD_LINE         (UINT64_C(1) << 63)

/* Who got what in each term: sorted by term, for a forced one is far above the others (A16). */
struct terms {
    struct journal_promise *v;
    uint64_t n, cap;
};

/* What one incarnation of one journal has done in its life. */
struct life {
    uint64_t incarnation;
    struct hash *chain; /* by index: the last that its disk has held there */
    uint64_t n;
    struct terms votes;
};

struct slot {
    uint64_t term, index;
    struct hash chain;
};

struct seen {
    struct life lives[INCARNATIONS_MAX];
    size_t n_lives;
    struct terms leaders, old_leaders; /* old_leaders: of those left behind by a force */
    struct slot *slots;                /* (term, index) -> chain: open addressing, a power of two */
    size_t n_slots, cap_slots;
};

void check_begin(void)
{
    sim.seen = calloc(1, sizeof(struct seen));
}

void check_end(void)
{
    struct seen *s = sim.seen;

    for (size_t i = 0; i < s->n_lives; i++) {
        free(s->lives[i].chain);
        free(s->lives[i].votes.v);
    }
    free(s->leaders.v);
    free(s->old_leaders.v);
    free(s->slots);
    free(s);
    sim.seen = NULL;
}

static void *grown(void *v, uint64_t *n, uint64_t needed, size_t size)
{
    uint64_t old = *n;

    if (needed < old) {
        return v;
    }
    *n = needed * 2 + 64;
    v = realloc(v, (size_t)*n * size);
    if (v == NULL) {
        abort();
    }
    memset((char *)v + old * size, 0, (size_t)(*n - old) * size);
    return v;
}

/* Its place for `term`, made when new: node 0. */
static struct journal_promise *term_place(struct terms *t, uint64_t term)
{
    uint64_t at = t->n;

    while (at > 0 && t->v[at - 1].term >= term) {
        at--; /* new ones are at the end, or close to it */
    }
    if (at < t->n && t->v[at].term == term) {
        return &t->v[at];
    }
    t->v = grown(t->v, &t->cap, t->n, sizeof *t->v);
    memmove(&t->v[at + 1], &t->v[at], (size_t)(t->n - at) * sizeof *t->v);
    t->n++;
    t->v[at] = (struct journal_promise){term, 0, 0};
    return &t->v[at];
}

static struct life *life_of(uint64_t incarnation)
{
    struct seen *s = sim.seen;

    for (size_t i = 0; i < s->n_lives; i++) {
        if (s->lives[i].incarnation == incarnation) {
            return &s->lives[i];
        }
    }
    if (s->n_lives == INCARNATIONS_MAX) {
        fail("too many incarnations: journals are set aside all the time");
        return &s->lives[0];
    }
    s->lives[s->n_lives].incarnation = incarnation;
    return &s->lives[s->n_lives++];
}

/* ------------------------------------------------------------------------------------------ log matching */

static struct slot *slot_of(uint64_t term, uint64_t index)
{
    struct seen *s = sim.seen;
    size_t at;

    if (s->n_slots * 2 >= s->cap_slots) {
        struct slot *old = s->slots;
        size_t cap = s->cap_slots;

        s->cap_slots = cap ? cap * 2 : 1024;
        s->slots = calloc(s->cap_slots, sizeof *s->slots);
        s->n_slots = 0;
        for (size_t i = 0; i < cap; i++) {
            if (old[i].index) {
                *slot_of(old[i].term, old[i].index) = old[i];
            }
        }
        free(old);
    }
    at = (size_t)((term * 0x9e3779b97f4a7c15ULL) ^ (index * 0xc2b2ae3d27d4eb4fULL)) & (s->cap_slots - 1);
    while (s->slots[at].index && (s->slots[at].term != term || s->slots[at].index != index)) {
        at = (at + 1) & (s->cap_slots - 1);
    }
    if (s->slots[at].index == 0) {
        s->slots[at].term = term;
        s->slots[at].index = index;
        s->n_slots++;
    }
    return &s->slots[at];
}

/* A (term, index) is used once (A4); the chain makes equal entries equal histories, so this is log matching.
 */
static void check_entries(const struct node *n, uint64_t first, uint64_t last)
{
    static const struct hash zero;

    for (uint64_t i = first; first > 0 && i <= last; i++) {
        const struct journal_entry *e = journal_entry_at(n->j, i);
        struct slot *slot;

        if (e == NULL) {
            return;
        }
        /* Where the operator's word is broken, those left behind may use the terms of the others (A16). */
        slot = slot_of(n->left_behind && e->term > sim.line ? e->term | OLD_LINE : e->term, e->index);
        if (hash_eq(slot->chain, zero)) {
            slot->chain = e->chain;
        } else if (!hash_eq(slot->chain, e->chain)) {
            fail("log matching: node %u has another entry at term %llu index %llu", n->id,
                 (unsigned long long)e->term, (unsigned long long)i);
        }
    }
}

/* --------------------------------------------------------------------------------------------- elections */

static bool holds(const struct node *n, uint64_t index, struct hash chain)
{
    const struct journal_entry *e = journal_entry_at(n->j, index);
    struct journal_status s;

    if (e != NULL) {
        return hash_eq(e->chain, chain);
    }
    journal_status(n->j, &s);
    return index <= s.snapshot; /* trimmed: it was compared when it was committed */
}

/* Up to where it has learnt that entries are committed, whatever it has of them. */
static uint64_t known_committed(const struct node *n)
{
    const struct journal_load *s = &n->disk.now;

    if (n->up) {
        return n->commit;
    }
    return s->commit > s->snapshot.index ? s->commit : s->snapshot.index;
}

/* What it had was not committed, and is cut: its log continues that of those who go on. Its place is empty
 * there, so it will be recalled all the same. */
static void take_up_line(struct node *n)
{
    n->left_behind = n->left_behind && journal_members(n->j)->forced < sim.line;
}

/* What n is held to: the truth, or what it was for those who were left behind by the force. */
static const struct history *history_of(const struct node *n)
{
    return n->left_behind ? &sim.lost : &sim.truth;
}

/* Its set is one that was forced, and nothing of that line is committed yet. */
static bool force_pending(const struct node *n)
{
    return !n->left_behind && jforce_voters(n->j)->forced > sim.line;
}

/* A survivor with a vote in the forced set of `leader` had learnt that entry `index` is committed. */
static bool survivor_knows(const struct node *leader, uint64_t index)
{
    const struct journal_members *m = jforce_voters(leader->j);

    for (size_t i = 0; i < m->n; i++) {
        const struct node *n = &sim.nodes[m->v[i].node - 1];

        if (m->v[i].votes > 0 && !n->given_up && n->disk.now.incarnation == m->v[i].incarnation &&
            known_committed(n) >= index) {
            return true;
        }
    }
    return false;
}

/* The first commit of a forced line: what its coordinator lacks of the truth is lost, by the operator's word;
 * none of those who elected it may have known that it was committed (A16). */
static void cut_truth(const struct node *leader)
{
    struct history *t = &sim.truth, *lost = &sim.lost;
    uint64_t kept = 0;

    while (kept < t->n && holds(leader, kept + 1, t->v[kept].chain)) {
        kept++;
    }
    if (kept < t->n && survivor_knows(leader, kept + 1)) {
        fail("node %u was forced without entry %llu, which a survivor knows to be committed (A16)",
             leader->id, (unsigned long long)kept + 1);
    }
    sim.line = journal_members(leader->j)->forced;
    sim.stats.forced++;
    sim.stats.given_up += t->n - kept;
    trace("node %u: forced in term %llu: %llu of %llu entries are kept", leader->id,
          (unsigned long long)sim.line, (unsigned long long)kept, (unsigned long long)t->n);
    lost->v = grown(lost->v, &lost->cap, t->n, sizeof *lost->v);
    if (t->n > 0) {
        memcpy(lost->v, t->v, (size_t)t->n * sizeof *lost->v);
    }
    lost->n = t->n;
    t->n = kept;
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        n->left_behind = n->given_incarnation != 0 || known_committed(n) > kept;
    }
    sim.just_forced = true;
}

/* A16: who was given up comes back as another journal, or not at all. */
static void check_given_up(const struct node *n)
{
    const struct journal_members *m = journal_members(n->j);

    for (size_t i = 0; sim.line > 0 && m->forced >= sim.line && i < m->n; i++) {
        const struct node *other = &sim.nodes[m->v[i].node - 1];

        if (other->given_up && m->v[i].incarnation == other->given_incarnation && m->v[i].incarnation != 0) {
            fail("node %u counts the journal of node %u, which was given up (A16)", n->id, other->id);
        }
    }
}

static void check_elected(struct node *n, uint64_t term)
{
    struct seen *s = sim.seen;
    struct journal_promise *leader = term_place(n->left_behind ? &s->old_leaders : &s->leaders, term);
    const struct history *h = history_of(n);
    bool forcing = force_pending(n);

    if (leader->node != 0) {
        fail("election safety: nodes %u and %u both lead term %llu", leader->node, n->id,
             (unsigned long long)term);
    }
    leader->node = n->id;
    n->lead_since = node_now(n);
    sim.stats.elections++;
    sim.stats.old_rulers += n->left_behind && term > sim.line;
    for (uint64_t i = h->n; i > 0; i--) {
        const struct truth *t = &h->v[i - 1];

        if (t->by_term >= term) {
            continue; /* committed under a later one: this one was elected long ago and does not know it yet
                       */
        }
        if (forcing && !survivor_knows(n, i)) {
            continue; /* given up with those who had it */
        }
        if (!holds(n, i, t->chain)) {
            fail("leader completeness: node %u leads term %llu without committed entry %llu", n->id,
                 (unsigned long long)term, (unsigned long long)i);
        }
        break;
    }
}

static struct hash members_digest(const struct journal_members *m)
{
    static const struct hash zero;
    struct buf b = BUF_INIT;
    struct hash h;

    jvoters_encode(&b, m);
    h = hash_bytes(zero, b.data, b.len);
    buf_fini(&b);
    return h;
}

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

/* ------------------------------------------------------------------------------------------------ commit */

/* The voters of the coordinator's set whose disks hold (or held in that very incarnation) the entry. */
static bool majority_holds(const struct node *n, uint64_t index, struct hash chain)
{
    const struct journal_members *m = journal_members(n->j);
    unsigned votes = 0, all = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct life *l = life_of(m->v[i].incarnation);

        all += m->v[i].votes;
        votes += index < l->n && hash_eq(l->chain[index], chain) ? m->v[i].votes : 0;
    }
    return votes > all / 2;
}

static void check_one_commit(struct node *n, uint64_t index, const struct journal_entry *e)
{
    static const struct hash zero;
    struct history *h = n->left_behind ? &sim.lost : &sim.truth;
    struct truth *t;

    if (index <= h->n) {
        t = &h->v[index - 1];
        if (t->term != e->term || !hash_eq(t->chain, e->chain)) {
            fail("state machine safety: node %u commits another entry %llu", n->id,
                 (unsigned long long)index);
        }
        return;
    }
    if (n->left_behind && (!sim.word_broken || jforce_superseded(n->j))) {
        fail("node %u commits entry %llu without those who go on (A16)", n->id, (unsigned long long)index);
        return;
    }
    if (n->lead_term == 0) {
        fail("node %u takes entry %llu as committed, which no coordinator has committed (A6)", n->id,
             (unsigned long long)index);
        return;
    }
    h->v = grown(h->v, &h->cap, h->n, sizeof *h->v);
    t = &h->v[h->n++];
    t->term = e->term;
    t->chain = e->chain;
    t->by_term = n->lead_term;
    t->state = hash_bytes(index > 1 ? h->v[index - 2].state : zero, e->payload, e->len);
    t->members = e->kind == JOURNAL_CONFIG ? hash_bytes(zero, e->payload, e->len)
                 : index > 1               ? h->v[index - 2].members
                                           : sim.base_members;
    sim.stats.committed++;
    sim.stats.lost_committed += n->left_behind;
}

/* A10: from now on its store holds that much. */
static void owe(struct node *n, uint64_t incarnation, uint64_t term, uint64_t index)
{
    struct journal_mark *o = &n->owed;

    if (o->incarnation != incarnation || term > o->term || (term == o->term && index > o->index)) {
        *o = (struct journal_mark){incarnation, {0, 0}, term, index};
    }
}

/* The coordinator's word, which its messages may carry away before it acts on it itself. */
static void check_commits(struct node *n, uint64_t index)
{
    const struct journal_entry *e = NULL;
    bool first;

    take_up_line(n);
    if (index < n->commit) {
        fail("node %u: the commit mark falls from %llu to %llu", n->id, (unsigned long long)n->commit,
             (unsigned long long)index);
    }
    if (n->lead_term != 0 && index > n->commit && force_pending(n)) {
        if (index < n->j->members_index) {
            fail("node %u commits entry %llu before the set that was forced (A16)", n->id,
                 (unsigned long long)index);
        }
        cut_truth(n);
    }
    first = index > history_of(n)->n;
    n->commit = index;
    if (n->lead_term != 0) {
        owe(n, n->disk.now.incarnation, n->lead_term, index); /* it counted itself */
    }
    for (uint64_t i = n->core.applied + 1; i <= index && !sim.failed; i++) {
        e = journal_entry_at(n->j, i);
        if (e == NULL || i > disk_last(&n->disk)) {
            fail("node %u commits entry %llu and does not have it", n->id, (unsigned long long)i);
            return;
        }
        check_one_commit(n, i, e);
    }
    if (first && e != NULL && e->term != n->lead_term) {
        fail("node %u commits entry %llu of an older term by count (A6)", n->id, (unsigned long long)index);
    }
    if (first && e != NULL && !sim.failed && !majority_holds(n, index, e->chain)) {
        fail("node %u commits entry %llu, which no majority has on disk (A6)", n->id,
             (unsigned long long)index);
    }
}

void check_apply(struct node *n, uint64_t index)
{
    for (uint64_t i = n->core.applied + 1; i <= index && !sim.failed; i++) {
        const struct journal_entry *e = journal_entry_at(n->j, i);

        n->core.state = hash_bytes(n->core.state, e->payload, e->len);
        n->core.applied = i;
        if (!hash_eq(n->core.state, history_of(n)->v[i - 1].state)) {
            fail("node %u: another state after entry %llu (S5)", n->id, (unsigned long long)i);
        }
    }
}

void check_snapshot(const struct node *n, const struct journal_snapshot *s)
{
    if (!hash_eq(members_digest(&s->members), history_of(n)->v[s->index - 1].members)) {
        fail("node %u: the snapshot at %llu has other members than those committed (A7)", n->id,
             (unsigned long long)s->index);
    }
}

void check_install(struct node *n)
{
    const struct history *h;

    take_up_line(n);
    h = history_of(n);
    if (n->core.applied > h->n ||
        (n->core.applied > 0 && !hash_eq(n->core.state, h->v[n->core.applied - 1].state))) {
        fail("node %u installs a snapshot of what was never committed (A7)", n->id);
    }
    n->commit = n->core.applied;
}

void check_written(struct node *n)
{
    const struct journal_persist *p = &n->write.p;
    struct life *l = life_of(p->incarnation);

    for (uint64_t i = p->first; p->first > 0 && i <= p->last; i++) {
        const struct journal_entry *e = disk_entry(&n->disk, i);

        l->chain = grown(l->chain, &l->n, i, sizeof *l->chain);
        if (e != NULL) {
            l->chain[i] = e->chain;
        }
    }
    if (p->install && p->install->index == 0) {
        sim.base_members = members_digest(&p->install->members);
    } else if (p->install) {
        l->chain = grown(l->chain, &l->n, p->install->index, sizeof *l->chain);
        l->chain[p->install->index] = p->install->chain;
    }
}

/* --------------------------------------------------------------------------------- what messages promise */

static uint64_t last_term(const struct disk *d)
{
    const struct journal_entry *e = disk_entry(d, disk_last(d));

    return e ? e->term : d->now.prev.term;
}

/* A3: as long as the candidate stands in that term its log is the one that it asked with. */
static void check_candidate(const struct node *n, const struct jmsg *m)
{
    const struct node *c = &sim.nodes[m->to - 1];
    const struct journal_load *s = &c->disk.now;
    uint64_t theirs = last_term(&c->disk), ours = last_term(&n->disk);

    if (ours == m->term) {
        return; /* a slow disk: it follows that coordinator already */
    }
    if (s->promise.term == m->term && s->promise.node == c->id && s->incarnation == m->vote.incarnation &&
        (theirs < ours || (theirs == ours && disk_last(&c->disk) < disk_last(&n->disk)))) {
        fail("node %u votes for node %u, whose log is behind its own (A3)", n->id, c->id);
    }
}

static void check_vote(struct node *n, const struct jmsg *m)
{
    const struct journal_promise *p = &n->disk.now.promise;
    struct life *l = life_of(m->incarnation);
    struct journal_promise *vote;

    if (p->term != m->term || p->node != m->to || p->incarnation != m->vote.incarnation) {
        fail("node %u votes in term %llu before the promise is on its disk (A3)", n->id,
             (unsigned long long)m->term);
    }
    if (n->disk.now.mark.term != m->term || n->disk.now.mark.incarnation != m->incarnation) {
        fail("node %u votes in term %llu, and its mark does not say so (A10)", n->id,
             (unsigned long long)m->term);
    }
    check_candidate(n, m);
    vote = term_place(&l->votes, m->term);
    if (vote->node != 0 && (vote->node != m->to || vote->incarnation != m->vote.incarnation)) {
        fail("node %u votes for nodes %u and %u in term %llu (A3)", n->id, vote->node, m->to,
             (unsigned long long)m->term);
    }
    vote->node = p->node;
    vote->incarnation = p->incarnation;
}

/* A6: what is acknowledged is the coordinator's, not what an older one has left here. */
static void check_acknowledged(const struct node *n, const struct jmsg *m)
{
    const struct node *c = &sim.nodes[m->to - 1];
    const struct journal_entry *ours = disk_entry(&n->disk, m->ack.index), *theirs;
    struct journal_status s;

    if (!c->up || c->lead_term != m->term) {
        return;
    }
    theirs = journal_entry_at(c->j, m->ack.index);
    journal_status(c->j, &s);
    if (m->ack.index > s.last || (ours != NULL && theirs != NULL && !hash_eq(ours->chain, theirs->chain))) {
        fail("node %u acknowledges entry %llu, which is not the coordinator's (A6)", n->id,
             (unsigned long long)m->ack.index);
    }
}

/* A8, S2: when a coordinator was heard is said by its own clock, of a question of this very term. */
static void check_stamp(struct node *n, const struct jmsg *m)
{
    const struct node *c = &sim.nodes[m->to - 1];

    if (c->up && c->lead_term == m->term && m->ack.stamp != 0 &&
        (m->ack.stamp < c->lead_since || m->ack.stamp > node_now(c))) {
        fail("node %u answers what node %u has not asked in term %llu (A8)", n->id, c->id,
             (unsigned long long)m->term);
    }
    if (n->answered[m->to].term != m->term || n->answered[m->to].stamp < m->ack.stamp) {
        n->answered[m->to].term = m->term;
        n->answered[m->to].stamp = m->ack.stamp;
    }
}

static void check_ack(struct node *n, const struct jmsg *m)
{
    const struct journal_mark *k = &n->disk.now.mark;

    if (m->ack.index > disk_last(&n->disk)) {
        fail("node %u acknowledges entry %llu before its disk has it (A6)", n->id,
             (unsigned long long)m->ack.index);
    }
    check_acknowledged(n, m);
    if (n->disk.now.promise.term != m->term) {
        fail("node %u acknowledges in term %llu, which its disk does not know", n->id,
             (unsigned long long)m->term);
    }
    if (k->incarnation != m->incarnation || k->term != m->term || k->index < m->ack.index) {
        fail("node %u acknowledges %llu, and its mark does not say so (A10)", n->id,
             (unsigned long long)m->ack.index);
    }
}

static void trace_message(const struct jmsg *m, size_t len)
{
    static const char *const names[] = {"",    "HELLO",     "STAND",    "VOTE",         "APPEND",
                                        "ACK", "BOOTSTRAP", "SNAPSHOT", "SNAPSHOT-ACK", "RECALL"};
    unsigned long long a = 0, b = 0, c = 0;

    if (m->type == JMSG_HELLO) {
        a = m->hello.last_term, b = m->hello.last_index, c = m->hello.flags;
    } else if (m->type == JMSG_VOTE) {
        a = m->vote.granted;
    } else if (m->type == JMSG_APPEND) {
        a = m->append.prev_index, b = m->append.n, c = m->append.commit;
    } else if (m->type == JMSG_ACK) {
        a = m->ack.ok, b = m->ack.ok ? m->ack.index : m->ack.last, c = m->ack.commit;
    } else if (m->type == JMSG_SNAPSHOT) {
        a = m->snapshot.meta.index, b = m->snapshot.offset, c = m->snapshot.meta.size;
    } else if (m->type == JMSG_SNAPSHOT_ACK) {
        a = m->snapshot_ack.index, b = m->snapshot_ack.offset;
    }
    trace("node %u: %s to %u term %llu: %llu %llu %llu (%zu bytes)", m->from, names[m->type], m->to,
          (unsigned long long)m->term, a, b, c, len);
}

void check_send(struct node *n, const uint8_t *data, size_t len)
{
    struct jmsg m;

    if (!jmsg_parse(&m, data, len) || m.from != n->id || len > JOURNAL_MESSAGE_MAX) {
        fail("node %u sends what cannot be parsed", n->id);
        return;
    }
    if (sim.trace) {
        trace_message(&m, len);
    }
    if (n->disk.now.incarnation != m.incarnation) {
        fail("node %u speaks as an incarnation that is not on its disk (A10)", n->id);
    }
    if (m.type == JMSG_STAND || (m.type == JMSG_VOTE && m.vote.granted) || (m.type == JMSG_ACK && m.ack.ok)) {
        owe(n, m.incarnation, m.term, m.type == JMSG_ACK ? m.ack.index : 0);
    }
    if (m.type == JMSG_VOTE && m.vote.granted) {
        check_vote(n, &m);
    } else if (m.type == JMSG_ACK) {
        check_stamp(n, &m);
        if (m.ack.ok) {
            check_ack(n, &m);
        }
    } else if (m.type == JMSG_STAND &&
               (n->disk.now.promise.term != m.term || n->disk.now.promise.node != n->id)) {
        fail("node %u stands before its promise to itself is on its disk (A3)", n->id);
    }
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

/* C2: it knows the newest mark that it was told in this term, whatever it has of it. */
void check_heard(struct node *n, const struct journal_event *ev)
{
    struct jmsg m;

    if (!sim.failed && n->up && n->j->role == JOURNAL_FOLLOWER &&
        jmsg_parse(&m, ev->message.data, ev->message.len) && m.type == JMSG_APPEND &&
        m.term == n->j->promise.term && m.from == n->j->coordinator &&
        m.append.commit > journal_heard_commit(n->j)) {
        fail("node %u was told that %llu is committed, and has forgotten it (C2)", n->id,
             (unsigned long long)m.append.commit);
    }
}

/* A2: a term is open when an entry of that very term is committed. */
static void check_opened(const struct node *n, uint64_t term)
{
    const struct history *h = history_of(n);

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

/* -------------------------------------------------------------------------------------------- the cluster */

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

/* It is there, or may be, and its disk knows nothing of the force. */
static bool is_of_before(const struct node *n, const struct node *back)
{
    const struct journal_load *s = &n->disk.now;
    struct journal_members m;

    if ((n->gone && n != back) || s->snapshot.members.forced >= sim.line) {
        return false;
    }
    for (size_t i = s->n_entries; i > 0; i--) {
        if (s->entries[i - 1].kind == JOURNAL_CONFIG) {
            (void)journal_members_decode(&m, s->entries[i - 1].payload, s->entries[i - 1].len);
            return m.forced < sim.line;
        }
    }
    return true;
}

static bool is_old_majority(const struct journal_members *m, const struct node *back)
{
    unsigned votes = 0, all = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct node *n = &sim.nodes[m->v[i].node - 1];

        all += m->v[i].votes;
        votes += n->disk.now.incarnation == m->v[i].incarnation && is_of_before(n, back) ? m->v[i].votes : 0;
    }
    return votes > all / 2;
}

/* Its store says that the set of the line, or a later one, is committed. Once nothing fails any more its word
 * is enough: the mark is stored with the next entry, and there may be none. */
static bool knows_line(const struct node *n)
{
    const struct journal_load *s = &n->disk.now;
    struct journal_members m;

    for (size_t i = 0; i < s->n_entries && s->snapshot.members.forced < sim.line; i++) {
        if (s->entries[i].kind == JOURNAL_CONFIG && s->entries[i].index <= s->commit &&
            journal_members_decode(&m, s->entries[i].payload, s->entries[i].len) && m.forced >= sim.line) {
            return true;
        }
    }
    return s->snapshot.members.forced >= sim.line;
}

bool check_line_everywhere(bool known)
{
    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];
        bool empty = (n->disk.now.cluster.lo | n->disk.now.cluster.hi) == 0;

        if (!n->gone && !n->left_behind && !n->given_up && !empty &&
            (is_of_before(n, n) ||
             (known && !knows_line(n) && !(sim.healed && n->up && n->j->line >= sim.line)))) {
            return false;
        }
    }
    return true;
}

bool check_old_majority(const struct node *back)
{
    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];
        const struct journal_load *s = &n->disk.now;

        if (!is_of_before(n, back)) {
            continue;
        }
        if (is_old_majority(&s->snapshot.members, back)) {
            return true;
        }
        for (size_t k = 0; k < s->n_entries; k++) {
            struct journal_members m;

            if (s->entries[k].kind == JOURNAL_CONFIG &&
                journal_members_decode(&m, s->entries[k].payload, s->entries[k].len) &&
                is_old_majority(&m, back)) {
                return true;
            }
        }
    }
    return false;
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
