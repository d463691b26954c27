/*
 * The journal's messages, as a sequence: the first byte says in which role node 1 of three begins, then each
 * message has its length before it (u16). The disk always answers at once. Nothing may crash; what is
 * committed stays, and the log never ends before it.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"
#include "journal/journal.h"

static const struct journal_uuid cluster = {7, 70};
static uint64_t now, commit_mark;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_event tick = {.type = JOURNAL_EV_TICK};
    struct journal *j;
    struct rd r;
    uint8_t role;

    rd_init(&r, data, size);
    role = rd_u8(&r) & 3;
    j = make(role == 1);
    if (role == 2) {
        lead(j);
    } else if (role == 3) {
        stand(j);
    }
    while (rd_left(&r) >= 2) {
        size_t len = rd_u16(&r);

        len = len < rd_left(&r) ? len : rd_left(&r);
        hear(j, r.p, len);
        r.p += len;
        now += 10;
        step(j, &tick);
    }
    journal_free(j);
    return 0;
}
