/* A16: who goes on when the quorum is forced, who is left behind, and what each of them is held to. */
#include "tests/sim/jsim.h"

#include <string.h>

#include "journal/internal.h"

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
void line_take_up(struct node *n)
{
    n->left_behind = n->left_behind && journal_members(n->j)->forced < sim.line;
}

/* What n is held to: the truth, or what it was for those who were left behind by the force. */
const struct history *line_history(const struct node *n)
{
    return n->left_behind ? &sim.lost : &sim.truth;
}

/* Its set is one that was forced, and nothing of that line is committed yet. */
bool line_pending(const struct node *n)
{
    return !n->left_behind && jforce_voters(n->j)->forced > sim.line;
}

/* A survivor with a vote in the forced set of `leader` had learnt that entry `index` is committed. */
bool line_survivor_knows(const struct node *leader, uint64_t index)
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
void line_cut(const struct node *leader)
{
    struct history *t = &sim.truth, *lost = &sim.lost;
    uint64_t kept = 0;

    while (kept < t->n && raft_holds(leader, kept + 1, t->v[kept].chain)) {
        kept++;
    }
    if (kept < t->n && line_survivor_knows(leader, kept + 1)) {
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
void check_given_up(const struct node *n)
{
    const struct journal_members *m = journal_members(n->j);

    for (size_t i = 0; sim.line > 0 && m->forced >= sim.line && i < m->n; i++) {
        const struct node *other = &sim.nodes[m->v[i].node - 1];

        if (other->given_up && m->v[i].incarnation == other->given_incarnation && m->v[i].incarnation != 0) {
            fail("node %u counts the journal of node %u, which was given up (A16)", n->id, other->id);
        }
    }
}

/* --------------------------------------------------------------------------------- those who come back */

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
