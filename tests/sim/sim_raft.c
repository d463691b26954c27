/*
 * Raft's invariants, from outside: what every disk was given and what every coordinator's log holds. State
 * machine safety is in sim_check.c, where what was applied is compared.
 */
#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"
#include "sim.h"

/* (term, index) -> what stood there first; index 0: who leads the term. Open addressing, a power of two. */
struct slot {
    uint64_t term, index;
    struct hash chain;
    int leader; /* host + 1 */
    bool used;
};

struct raft {
    struct slot *v;
    size_t n, cap;
};

static struct slot *slot_find(const struct raft *r, uint64_t term, uint64_t index)
{
    size_t i = (size_t)((term * UINT64_C(0x9e3779b97f4a7c15)) ^ (index * UINT64_C(0xc2b2ae3d27d4eb4f)));

    for (i = (i ^ i >> 32) & (r->cap - 1); r->v[i].used; i = (i + 1) & (r->cap - 1)) {
        if (r->v[i].term == term && r->v[i].index == index) {
            break;
        }
    }
    return &r->v[i];
}

static struct slot *slot_of(uint64_t term, uint64_t index)
{
    struct raft *r = sim.raft;
    struct slot *s;

    if (2 * r->n >= r->cap) {
        struct raft old = *r;

        r->cap = old.cap ? 2 * old.cap : 1024;
        r->v = calloc(r->cap, sizeof *r->v);
        for (size_t i = 0; i < old.cap; i++) {
            if (old.v[i].used) {
                *slot_find(r, old.v[i].term, old.v[i].index) = old.v[i];
            }
        }
        free(old.v);
    }
    s = slot_find(r, term, index);
    if (!s->used) {
        *s = (struct slot){.term = term, .index = index, .used = true};
        r->n++;
    }
    return s;
}

void raft_init(void)
{
    sim.raft = calloc(1, sizeof *sim.raft);
}

void raft_fini(void)
{
    free(sim.raft->v);
    free(sim.raft);
}

/* Log matching: a (term, index) is used once (A4), and the chain makes equal entries equal histories. */
void raft_stored(const struct host *h, const struct journal_persist *p)
{
    static const struct hash none;

    for (uint64_t i = p->first; i != 0 && i <= p->last; i++) {
        const struct journal_entry *e = journal_entry_at(h->sh->j, i);
        struct slot *s = slot_of(e->term, i);

        if (hash_eq(s->chain, none)) {
            s->chain = e->chain;
        } else if (!hash_eq(s->chain, e->chain)) {
            fail("log matching: %s stores another entry of term %llu at %llu", h->name,
                 (unsigned long long)e->term, (unsigned long long)i);
        }
    }
}

/* Leader completeness: what was committed in an earlier term is in its log. The chain vouches for all that
 * stands before. */
static void check_complete(const struct host *h, uint64_t term)
{
    for (uint64_t i = sim.n_truth; i-- > 1;) {
        const struct truth *t = &sim.truth[i];
        const struct journal_entry *e = journal_entry_at(h->sh->j, i);

        if (t->term == 0 || t->by_term >= term) {
            continue; /* not committed; or later, and this one does not know yet that it is the past */
        }
        if (e != NULL ? !hash_eq(e->chain, t->chain) : i > h->sh->j->snapshot.index) {
            fail("leader completeness: %s leads term %llu without entry %llu of term %llu", h->name,
                 (unsigned long long)term, (unsigned long long)i, (unsigned long long)t->term);
        }
        return;
    }
}

static void elected(struct host *h, uint64_t term)
{
    struct slot *s = slot_of(term, 0);

    if (s->leader != 0 && s->leader != h->id + 1) {
        fail("election safety: term %llu has two coordinators, %s and %s", (unsigned long long)term, h->name,
             sim.hosts[s->leader - 1].name);
    }
    sim.stats.elections += s->leader == 0;
    s->leader = h->id + 1;
    member_elected(h, term);
    check_complete(h, term);
}

void raft_step(struct host *h)
{
    const struct journal *j = h->sh->j;
    uint64_t term = j->promise.term, last = j->log.prev_index + j->log.n;
    const struct journal_entry *e;

    if (!journal_is_coordinator(j)) {
        h->lead_term = 0;
        return;
    }
    if (term != h->lead_term) {
        elected(h, term);
    } else if (last != h->lead_last) {
        e = journal_entry_at(j, h->lead_last);
        if (last < h->lead_last || (e != NULL && !hash_eq(e->chain, h->lead_chain))) {
            fail("leader append-only: %s has changed its log in term %llu", h->name,
                 (unsigned long long)term);
        }
    } else {
        return;
    }
    e = journal_entry_at(j, last);
    h->lead_term = term;
    h->lead_last = last;
    h->lead_chain = e != NULL ? e->chain : j->log.prev_chain;
}
