/*
 * The nth allocation fails, for every n until a small life of a journal passes: the step says RC_NO_MEMORY,
 * and nothing leaks or crashes. The linker hands the journal's allocations to us (--wrap).
 */
#include "tests/unit/journal_kit.h"

static bool armed, failed;
static unsigned long left;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails(void)
{
    if (armed && !failed && left-- == 0) {
        failed = true;
    }
    return armed && failed;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

struct life {
    struct journal *j;
    uint64_t now, pending;
    bool over;
};

static void step(struct life *l, struct journal_event *ev)
{
    struct journal_event done = {.type = JOURNAL_EV_PERSISTED};
    struct journal_actions out;
    int rc;

    if (l->over) {
        return;
    }
    ev->now_ms = l->now;
    armed = true;
    rc = journal_step(l->j, ev, &out);
    armed = false;
    assert_int_equal(rc == RC_NO_MEMORY, failed); /* it says so in that very step */
    l->over = failed;
    for (size_t i = 0; i < out.n && !failed; i++) {
        if (out.v[i].type == JOURNAL_PERSIST) {
            done.persisted.seq = out.v[i].persist.seq;
        }
    }
    if (done.persisted.seq != 0) {
        step(l, &done);
    }
}

static void hear(struct life *l, const struct jmsg *m, const struct jlog *log, uint64_t last)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    struct buf b = BUF_INIT;

    jmsg_write(&b, m);
    for (uint64_t i = log ? log->prev_index + 1 : 1; i <= last; i++) {
        jmsg_write_entry(&b, jlog_at(log, i));
    }
    ev.message.from = m->from;
    ev.message.data = b.data;
    ev.message.len = b.len;
    step(l, &ev);
    buf_fini(&b);
}

static void hello(struct life *l, const struct kit *k, uint32_t from)
{
    struct jmsg m = kit_from(k, from, JMSG_HELLO, 0, 0);

    hear(l, &m, NULL, 0);
}

static void vote(struct life *l, const struct kit *k)
{
    struct jmsg m = kit_from(k, 2, JMSG_VOTE, 1, 1);

    m.vote.granted = true;
    m.vote.incarnation = 101;
    hear(l, &m, NULL, 0);
}

static void ack(struct life *l, const struct kit *k, uint64_t index)
{
    struct jmsg m = kit_from(k, 2, JMSG_ACK, 1, 1);

    m.ack.ok = true;
    m.ack.index = m.ack.last = index;
    m.ack.stamp = l->now;
    hear(l, &m, NULL, 0);
}

/* Elected, opened, proposes, takes a snapshot, changes members; deposed, follows, installs a snapshot. */
static void live(struct life *l, const struct kit *k, const struct journal_load *load)
{
    static const uint32_t all[] = {1, 2, 3};
    static const struct hash zero;
    struct journal_event ev = {.type = JOURNAL_EV_START};
    struct jlog log;
    struct jmsg m;

    armed = true;
    l->j = journal_new(&k->config);
    armed = false;
    if (l->j == NULL) {
        return;
    }
    armed = true;
    l->over = journal_load(l->j, load) == RC_NO_MEMORY;
    armed = false;
    assert_int_equal(l->over, failed);
    step(l, &ev);
    ev = (struct journal_event){.type = JOURNAL_EV_VIEW, .view = {.nodes = all, .n = 3, .quorate = true}};
    step(l, &ev);
    hello(l, k, 2);
    hello(l, k, 3);
    vote(l, k);
    ack(l, k, 1);
    for (int i = 0; i < 70; i++) {
        ev = (struct journal_event){.type = JOURNAL_EV_PROPOSE, .propose = {"some bytes", 10}};
        step(l, &ev);
    }
    ack(l, k, 71);
    ev = (struct journal_event){.type = JOURNAL_EV_SNAPSHOT_TAKEN, .taken = {.index = 1, .size = 3}};
    step(l, &ev);
    ev = (struct journal_event){.type = JOURNAL_EV_MEMBER_REMOVE, .member = {3}};
    step(l, &ev);
    m = kit_from(k, 2, JMSG_SNAPSHOT, 1, 5);
    m.snapshot.incarnation = 101;
    m.snapshot.meta = (struct journal_snapshot){.index = 100, .term = 5, .size = 4, .chain = {4, 4}};
    m.snapshot.meta.members = k->j->snapshot.members;
    m.snapshot.meta.digest = hash_bytes(zero, "blob", 4);
    m.snapshot.data = (const uint8_t *)"blob";
    m.snapshot.len = 4;
    hear(l, &m, NULL, 0);
    hear(l, &m, NULL, 0);
    kit_log(k, &log);
    jlog_reset(&log, 100, 5, m.snapshot.meta.chain);
    kit_write(&log, 5, JOURNAL_OPEN, "2");
    kit_write(&log, 5, JOURNAL_DATA, "x");
    m = kit_from(k, 2, JMSG_APPEND, 0, 5);
    m.append.prev_index = 100;
    m.append.prev_term = 5;
    m.append.prev_chain = log.prev_chain;
    m.append.last_chain = jlog_last_chain(&log);
    m.append.n = 2;
    hear(l, &m, &log, 102);
    jlog_fini(&log);
}

static void every_allocation_may_fail(void **unused)
{
    struct journal_load load = {.fresh = {101, {1, 1}}};
    struct kit k;
    unsigned long n = 0;

    (void)unused;
    kit_begin(&k, 1, 3); /* for its configuration and its base */
    load.cluster = k.j->cluster;
    load.incarnation = 101;
    load.snapshot = k.j->snapshot;
    load.prev.chain = k.j->log.prev_chain;
    load.mark = (struct journal_mark){101, load.cluster, 0, 0};
    do {
        struct life l = {.now = 1000};

        failed = false;
        left = n++;
        live(&l, &k, &load);
        if (!failed) {
            assert_int_equal(jlog_last(&l.j->log), 102); /* it went all the way */
        }
        journal_free(l.j);
    } while (failed);
    assert_in_range(n, 80, 2000);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
