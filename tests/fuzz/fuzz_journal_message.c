/*
 * The journal's messages, as a sequence: the first byte says in which role node 1 of three begins, then each
 * message has its length before it (u16). The disk always answers at once. Nothing may crash; what is
 * committed stays, and the log never ends before it.
 *
 * And then the first message alone, whoever it comes from and whatever it says: it puts no base or snapshot
 * in place, sets nothing aside, deposes nobody by a line (A16), and stops the node only with entries that a
 * chain covers, which contradict what is committed (A7). A coordinator of a later term is followed as if it
 * had never been.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"
#include "journal/journal.h"

static const struct journal_uuid cluster = {7, 70};
static uint64_t now, commit_mark;
static bool aside;            /* it was asked to set its journal aside */
static struct jmsg last_sent; /* without what it borrows */

static void must(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void step(struct journal *j, struct journal_event *ev)
{
    struct journal_event done = {.type = JOURNAL_EV_PERSISTED};
    struct journal_actions out;
    struct journal_status s;
    bool again = true;

    while (again) {
        ev->now_ms = now;
        must(journal_step(j, ev, &out) == RC_OK);
        again = false;
        for (size_t i = 0; i < out.n; i++) {
            struct jmsg m;

            if (out.v[i].type == JOURNAL_PERSIST) {
                done.persisted.seq = out.v[i].persist.seq;
                ev = &done;
                again = true;
                for (uint64_t k = out.v[i].persist.first; k > 0 && k <= out.v[i].persist.last; k++) {
                    must(journal_entry_at(j, k) != NULL);
                }
            } else if (out.v[i].type == JOURNAL_SEND) {
                must(jmsg_parse(&m, out.v[i].send.data, out.v[i].send.len) && m.from == 1);
                last_sent = m;
            } else if (out.v[i].type == JOURNAL_SET_ASIDE) {
                aside = true;
            }
        }
    }
    journal_status(j, &s);
    must(s.last >= s.commit && s.commit >= commit_mark);
    commit_mark = s.commit;
}

static void say(struct journal *j, const struct jmsg *m)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    struct buf b = BUF_INIT;

    jmsg_write(&b, m);
    ev.message.from = m->from;
    ev.message.data = b.data;
    ev.message.len = b.len;
    step(j, &ev);
    buf_fini(&b);
}

/* As the unit tests' bench has it (journal_kit.c), so that its messages make a corpus. */
static struct journal *make(bool empty)
{
    static const uint32_t all[] = {1, 2, 3};
    struct journal_config c = {
        .node = 1, .session = 1001, .seed = 1, .configured = {1, 2, 3}, .n_configured = 3};
    struct journal_load load = {.fresh = {101, {7, 70}}};
    struct journal_event start = {.type = JOURNAL_EV_START};
    struct journal_event view = {.type = JOURNAL_EV_VIEW, .view = {.nodes = all, .n = 3, .quorate = true}};
    struct journal *j = journal_new(&c);

    must(j != NULL);
    if (!empty) {
        load.cluster = cluster;
        load.incarnation = 101;
        load.mark = (struct journal_mark){101, cluster, 0, 0};
        for (unsigned i = 0; i < 3; i++) {
            load.snapshot.members.v[load.snapshot.members.n++] =
                (struct journal_member){i + 1, 101 + i, 1, JOURNAL_NODE};
        }
        must(jsnap_base_chain(&load.snapshot.chain, cluster, &load.snapshot.members));
        load.prev.chain = load.snapshot.chain;
    }
    must(journal_load(j, &load) == RC_OK);
    now = 1000;
    commit_mark = 0;
    aside = false;
    step(j, &start);
    step(j, &view);
    return j;
}

static void stand(struct journal *j)
{
    struct jmsg m;

    for (uint32_t node = 2; node <= 3; node++) {
        memset(&m, 0, sizeof m);
        m.type = JMSG_HELLO;
        m.cluster = cluster;
        m.from = node;
        m.incarnation = 100 + node;
        m.session = 1000 + node;
        m.hello.flags = HELLO_SEARCHING | HELLO_WILLING;
        say(j, &m);
    }
}

static void lead(struct journal *j)
{
    struct jmsg m;

    stand(j);
    memset(&m, 0, sizeof m);
    m.type = JMSG_VOTE;
    m.cluster = cluster;
    m.from = 2;
    m.to = 1;
    m.incarnation = 102;
    m.session = 1002;
    m.term = 1;
    m.vote.granted = true;
    m.vote.incarnation = 101;
    say(j, &m);
    must(journal_is_coordinator(j));
}

static void hear(struct journal *j, const uint8_t *data, size_t len)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    uint8_t *copy = malloc(len ? len : 1); /* exactly as long, so that a sanitizer sees a read behind it */
    struct rd r;

    must(copy != NULL);
    memcpy(copy, data, len);
    rd_init(&r, data, len);
    (void)rd_u16(&r);
    ev.message.from = rd_u32(&r); /* cpg tells the truth of that */
    ev.message.data = copy;
    ev.message.len = len;
    step(j, &ev);
    free(copy);
}

/* Node 2 is elected by node 3, in a term above all that node 1 can have heard of; it begins with the base. */
static void follow(struct journal *j)
{
    struct journal_event tick = {.type = JOURNAL_EV_TICK}, ev = {.type = JOURNAL_EV_MESSAGE};
    struct journal_entry open = {.index = 1, .format = JOURNAL_FORMAT, .kind = JOURNAL_OPEN};
    struct jmsg m;
    struct buf b = BUF_INIT;

    memset(&m, 0, sizeof m);
    m.type = JMSG_APPEND;
    m.cluster = cluster;
    m.from = 2;
    m.incarnation = 102;
    m.session = 1002;
    m.term = open.term = j->promise.term + 1;
    m.append.prev_chain = j->snapshot.chain;
    m.append.last_chain = jlog_chain(m.append.prev_chain, &open);
    m.append.stamp = 1;
    m.append.n = 1;
    jmsg_write(&b, &m);
    jmsg_write_entry(&b, &open);
    ev.message.from = 2;
    ev.message.data = b.data;
    ev.message.len = b.len;
    for (int i = 0; i < 3; i++) {
        now += 100;
        step(j, &ev);
        step(j, &tick);
    }
    must(j->role == JOURNAL_FOLLOWER && j->coordinator == 2);
    must(last_sent.type == JMSG_ACK && last_sent.ack.ok && last_sent.ack.index == 1 && last_sent.line == 0);
    buf_fini(&b);
}

static void alone(struct journal *j, const uint8_t *data, size_t len)
{
    bool empty = journal_is_empty(j), chained;
    struct jmsg m;

    memset(&m, 0, sizeof m);
    chained = jmsg_parse(&m, data, len) && m.type == JMSG_APPEND && m.append.n > 0;
    hear(j, data, len);
    must(!aside && journal_is_empty(j) == empty && j->snapshot.index == 0 && j->above == 0);
    must(j->role != JOURNAL_STOPPED || chained);
    if (!empty && j->role != JOURNAL_STOPPED && j->commit == 0) {
        follow(j);
    }
}

static struct journal *begin(uint8_t role)
{
    struct journal *j = make(role == 1);

    if (role == 2) {
        lead(j);
    } else if (role == 3) {
        stand(j);
    }
    return j;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_event tick = {.type = JOURNAL_EV_TICK};
    struct journal *j;
    struct rd r;
    uint8_t role;

    rd_init(&r, data, size);
    role = rd_u8(&r) & 3;
    j = begin(role);
    while (rd_left(&r) >= 2) {
        size_t len = rd_u16(&r);

        len = len < rd_left(&r) ? len : rd_left(&r);
        hear(j, r.p, len);
        r.p += len;
        now += 10;
        step(j, &tick);
    }
    journal_free(j);
    rd_init(&r, data, size);
    (void)rd_u8(&r);
    if (rd_left(&r) >= 2) {
        size_t len = rd_u16(&r);

        j = begin(role);
        alone(j, r.p, len < rd_left(&r) ? len : rd_left(&r));
        journal_free(j);
    }
    return 0;
}
