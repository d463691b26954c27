/*
 * Raft's invariants, looked at from outside with the world's own knowledge of what every disk has ever held.
 * Leader append-only is in jsim_check.c, in check_after().
 */
#include "tests/sim/jsim.h"

#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"

#define INCARNATIONS_MAX 512
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

struct journal_promise *raft_vote(uint64_t incarnation, uint64_t term)
{
    return term_place(&life_of(incarnation)->votes, term);
}

/* ---------------------------------------------------------------------------------------- log matching */

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
void check_entries(const struct node *n, uint64_t first, uint64_t last)
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

/* ------------------------------------------------------------------------------------------- elections */

bool raft_holds(const struct node *n, uint64_t index, struct hash chain)
{
    const struct journal_entry *e = journal_entry_at(n->j, index);
    struct journal_status s;

    if (e != NULL) {
        return hash_eq(e->chain, chain);
    }
    journal_status(n->j, &s);
    return index <= s.snapshot; /* trimmed: it was compared when it was committed */
}

void check_elected(struct node *n, uint64_t term)
{
    struct seen *s = sim.seen;
    struct journal_promise *leader = term_place(n->left_behind ? &s->old_leaders : &s->leaders, term);
    const struct history *h = line_history(n);
    bool forcing = line_pending(n);

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
        if (forcing && !line_survivor_knows(n, i)) {
            continue; /* given up with those who had it */
        }
        if (!raft_holds(n, i, t->chain)) {
            fail("leader completeness: node %u leads term %llu without committed entry %llu", n->id,
                 (unsigned long long)term, (unsigned long long)i);
        }
        break;
    }
}

/* ---------------------------------------------------------------------------------------------- commit */

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

/* The coordinator's word, which its messages may carry away before it acts on it itself. */
void check_commits(struct node *n, uint64_t index)
{
    const struct journal_entry *e = NULL;
    bool first;

    line_take_up(n);
    if (index < n->commit) {
        fail("node %u: the commit mark falls from %llu to %llu", n->id, (unsigned long long)n->commit,
             (unsigned long long)index);
    }
    if (n->lead_term != 0 && index > n->commit && line_pending(n)) {
        if (index < n->j->members_index) {
            fail("node %u commits entry %llu before the set that was forced (A16)", n->id,
                 (unsigned long long)index);
        }
        line_cut(n);
    }
    first = index > line_history(n)->n;
    n->commit = index;
    if (n->lead_term != 0) {
        check_owe(n, n->disk.now.incarnation, n->lead_term, index); /* it counted itself */
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
        if (!hash_eq(n->core.state, line_history(n)->v[i - 1].state)) {
            fail("node %u: another state after entry %llu (S5)", n->id, (unsigned long long)i);
        }
    }
}

struct hash members_digest(const struct journal_members *m)
{
    static const struct hash zero;
    struct buf b = BUF_INIT;
    struct hash h;

    jvoters_encode(&b, m);
    h = hash_bytes(zero, b.data, b.len);
    buf_fini(&b);
    return h;
}

void check_snapshot(const struct node *n, const struct journal_snapshot *s)
{
    if (!hash_eq(members_digest(&s->members), line_history(n)->v[s->index - 1].members)) {
        fail("node %u: the snapshot at %llu has other members than those committed (A7)", n->id,
             (unsigned long long)s->index);
    }
}

void check_install(struct node *n)
{
    const struct history *h;

    line_take_up(n);
    h = line_history(n);
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
