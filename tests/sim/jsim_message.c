/* What messages promise: each is held against the disk of the node that sends it. */
#include "tests/sim/jsim.h"

#include "journal/internal.h"

/* A10: from now on its store holds that much. */
void check_owe(struct node *n, uint64_t incarnation, uint64_t term, uint64_t index)
{
    struct journal_mark *o = &n->owed;

    if (o->incarnation != incarnation || term > o->term || (term == o->term && index > o->index)) {
        *o = (struct journal_mark){incarnation, {0, 0}, term, index};
    }
}

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
    struct journal_promise *vote = raft_vote(m->incarnation, m->term);

    if (p->term != m->term || p->node != m->to || p->incarnation != m->vote.incarnation) {
        fail("node %u votes in term %llu before the promise is on its disk (A3)", n->id,
             (unsigned long long)m->term);
    }
    if (n->disk.now.mark.term != m->term || n->disk.now.mark.incarnation != m->incarnation) {
        fail("node %u votes in term %llu, and its mark does not say so (A10)", n->id,
             (unsigned long long)m->term);
    }
    check_candidate(n, m);
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
        check_owe(n, m.incarnation, m.term, m.type == JMSG_ACK ? m.ack.index : 0);
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
