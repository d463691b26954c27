#include "tests/unit/journal_kit.h"

static const struct journal_uuid cluster = {7, 70};

static void note(struct kit *k, const struct journal_action *a)
{
    assert_true(a->type >= JOURNAL_SEND && a->type <= JOURNAL_ALARM);
    k->said[a->type]++;
    if (a->text[0] != '\0') {
        memcpy(k->text, a->text, sizeof k->text);
    }
    if (a->type == JOURNAL_SEND) {
        assert_true(k->n_sent < KIT_SENT_MAX);
        assert_true(a->send.len <= JOURNAL_MESSAGE_MAX);
        k->sent[k->n_sent] = malloc(a->send.len);
        memcpy(k->sent[k->n_sent], a->send.data, a->send.len);
        k->sent_len[k->n_sent++] = a->send.len;
    } else if (a->type == JOURNAL_PERSIST) {
        assert_true(k->pending == 0);
        k->persist = a->persist;
        k->pending = a->persist.seq;
        k->persists++;
    } else if (a->type == JOURNAL_COMMIT) {
        k->commit = a->commit.index;
    }
}

int kit_step(struct kit *k, struct journal_event *ev)
{
    int rc;

    ev->now_ms = k->now;
    rc = journal_step(k->j, ev, &k->out);
    for (size_t i = 0; i < k->out.n; i++) {
        note(k, &k->out.v[i]);
    }
    k->deadline = k->out.deadline_ms;
    if (k->pending != 0 && !k->hold) {
        kit_persisted(k, JOURNAL_PERSIST_OK);
    }
    return rc;
}

void kit_persisted(struct kit *k, enum journal_persisted result)
{
    struct journal_event ev = {.type = JOURNAL_EV_PERSISTED};

    assert_true(k->pending != 0);
    ev.persisted.seq = k->pending;
    ev.persisted.result = result;
    k->pending = 0;
    assert_int_equal(kit_step(k, &ev), RC_OK);
}

void kit_wait(struct kit *k, uint64_t ms)
{
    struct journal_event ev = {.type = JOURNAL_EV_TICK};
    uint64_t end = k->now + ms;

    while (k->deadline <= end) {
        k->now = k->deadline > k->now ? k->deadline : k->now + 1;
        (void)kit_step(k, &ev);
    }
    k->now = end;
    (void)kit_step(k, &ev);
}

void kit_view(struct kit *k, bool quorate, unsigned count, ...)
{
    struct journal_event ev = {.type = JOURNAL_EV_VIEW};
    uint32_t nodes[JOURNAL_NODES_MAX];
    va_list ap;

    va_start(ap, count);
    for (unsigned i = 0; i < count; i++) {
        nodes[i] = va_arg(ap, unsigned);
    }
    va_end(ap);
    ev.view.nodes = nodes;
    ev.view.n = count;
    ev.view.quorate = quorate;
    (void)kit_step(k, &ev);
}

static void view_of_all(struct kit *k)
{
    struct journal_event ev = {.type = JOURNAL_EV_VIEW};
    uint32_t nodes[JOURNAL_NODES_MAX];

    for (unsigned i = 0; i < k->n; i++) {
        nodes[i] = i + 1;
    }
    ev.view.nodes = nodes;
    ev.view.n = k->n;
    ev.view.quorate = true;
    (void)kit_step(k, &ev);
}

static void start(struct kit *k, struct journal_load *load)
{
    struct journal_event ev = {.type = JOURNAL_EV_START};

    if (load->fresh.incarnation == 0) {
        load->fresh.incarnation = 100 + k->config.node;
    }
    load->fresh.cluster = cluster;
    assert_int_equal(journal_load(k->j, load), RC_OK);
    assert_int_equal(kit_step(k, &ev), RC_OK);
}

static void make(struct kit *k, uint32_t self, unsigned n)
{
    memset(k, 0, sizeof *k);
    k->n = n;
    k->now = 1000;
    k->config = (struct journal_config){.node = self, .session = 1000 + self, .seed = 1, .n_configured = n};
    for (unsigned i = 0; i < n; i++) {
        k->config.configured[i] = i + 1;
    }
    k->j = journal_new(&k->config);
    assert_non_null(k->j);
}

void kit_begin_empty(struct kit *k, uint32_t self, unsigned n)
{
    struct journal_load load = {0};

    make(k, self, n);
    start(k, &load);
    view_of_all(k);
}

void kit_begin(struct kit *k, uint32_t self, unsigned n)
{
    struct journal_load load = {0};

    make(k, self, n);
    load.cluster = cluster;
    load.incarnation = 100 + self;
    load.mark = (struct journal_mark){100 + self, cluster, 0, 0};
    for (unsigned i = 0; i < n; i++) {
        load.snapshot.members.v[load.snapshot.members.n++] =
            (struct journal_member){i + 1, 101 + i, 1, JOURNAL_NODE};
    }
    assert_true(jsnap_base_chain(&load.snapshot.chain, cluster, &load.snapshot.members));
    load.prev.chain = load.snapshot.chain;
    start(k, &load);
    view_of_all(k);
}

/* White box: what the store has been told, and has confirmed. */
static void disk(const struct kit *k, struct journal_load *load)
{
    const struct journal *j = k->j;

    memset(load, 0, sizeof *load);
    load->cluster = j->cluster;
    load->incarnation = j->incarnation;
    load->promise = j->store.promise;
    load->mark = j->store.mark;
    load->commit = j->commit;
    load->snapshot = j->snapshot;
    load->prev.index = j->log.prev_index;
    load->prev.term = j->log.prev_term;
    load->prev.chain = j->log.prev_chain;
    load->n_entries = (size_t)(j->store.durable - j->log.prev_index);
    load->entries = calloc(load->n_entries + 1, sizeof *load->entries);
    for (size_t i = 0; i < load->n_entries; i++) {
        const struct journal_entry *e = jlog_at(&j->log, load->prev.index + 1 + i);
        uint8_t *payload = malloc(e->len + 1);

        memcpy(payload, e->payload, e->len);
        load->entries[i] = *e;
        load->entries[i].payload = payload;
    }
}

static void restart_with(struct kit *k, struct journal_load *load)
{
    journal_free(k->j);
    k->config.session += 10000;
    k->config.seed++;
    k->pending = 0;
    k->j = journal_new(&k->config);
    assert_non_null(k->j);
    start(k, load);
    view_of_all(k);
    journal_load_fini(load);
}

void kit_restart(struct kit *k)
{
    struct journal_load load;

    disk(k, &load);
    restart_with(k, &load);
}

static void shortened_disk(const struct kit *k, uint64_t last, uint64_t term, struct journal_load *load)
{
    disk(k, load);
    while (load->prev.index + load->n_entries > last) {
        free((void *)(uintptr_t)load->entries[--load->n_entries].payload);
    }
    load->promise.term = term;
    load->commit = load->commit < last ? load->commit : last;
}

void kit_restart_shortened(struct kit *k, uint64_t last, uint64_t term)
{
    struct journal_load load;

    shortened_disk(k, last, term, &load);
    restart_with(k, &load);
}

void kit_restart_older(struct kit *k, uint64_t last, uint64_t term)
{
    struct journal_load load;

    shortened_disk(k, last, term, &load);
    load.mark.term = term;
    load.mark.index = last;
    restart_with(k, &load);
}

void kit_load_empty(struct kit *k, uint64_t incarnation)
{
    struct journal_load load = {0};

    k->pending = 0;
    load.fresh.incarnation = incarnation;
    start(k, &load);
}

void kit_end(struct kit *k)
{
    kit_forget(k);
    journal_free(k->j);
}

int kit_propose(struct kit *k, const char *text)
{
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};

    ev.propose.payload = text;
    ev.propose.len = strlen(text);
    return kit_step(k, &ev);
}

/* ----------------------------------------------------------------------------------------- the others */

struct jmsg kit_from(const struct kit *k, uint32_t from, enum jmsg_type type, uint32_t to, uint64_t term)
{
    struct jmsg m;

    memset(&m, 0, sizeof m);
    m.type = type;
    m.cluster = cluster;
    m.from = from;
    m.to = to;
    m.incarnation = 100 + from;
    m.session = 1000 + from;
    m.term = term;
    if (type == JMSG_HELLO) {
        m.hello.configured = k->j->configured_hash;
        m.hello.flags = HELLO_SEARCHING | HELLO_WILLING;
    }
    return m;
}

static void hear(struct kit *k, uint32_t from, struct buf *b)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};

    assert_false(b->failed);
    ev.message.from = from;
    ev.message.data = b->data;
    ev.message.len = b->len;
    assert_int_equal(kit_step(k, &ev), RC_OK);
    buf_fini(b);
}

void kit_hear(struct kit *k, const struct jmsg *m)
{
    struct buf b = BUF_INIT;

    jmsg_write(&b, m);
    hear(k, m->from, &b);
}

void kit_hello(struct kit *k, uint32_t from, uint64_t term, uint64_t last_term, uint64_t last_index)
{
    struct jmsg m = kit_from(k, from, JMSG_HELLO, 0, term);

    m.hello.last_term = last_term;
    m.hello.last_index = last_index;
    kit_hear(k, &m);
}

void kit_vote(struct kit *k, uint32_t from, uint64_t term, bool granted)
{
    struct jmsg m = kit_from(k, from, JMSG_VOTE, k->config.node, term);

    m.vote.granted = granted;
    m.vote.incarnation = k->j->incarnation;
    kit_hear(k, &m);
}

void kit_ack(struct kit *k, uint32_t from, uint64_t term, uint64_t index)
{
    struct jmsg m = kit_from(k, from, JMSG_ACK, k->config.node, term);

    m.ack.ok = true;
    m.ack.index = m.ack.last = index;
    m.ack.stamp = k->now;
    kit_hear(k, &m);
}

void kit_append(struct kit *k, uint32_t from, uint64_t term, const struct jlog *l, uint64_t prev,
                uint64_t last, uint64_t commit)
{
    struct jmsg m = kit_from(k, from, JMSG_APPEND, 0, term);
    struct buf b = BUF_INIT;
    uint64_t ignored;

    m.append.prev_index = prev;
    assert_true(jlog_describe(l, prev, &m.append.prev_term, &m.append.prev_chain));
    assert_true(jlog_describe(l, last, &ignored, &m.append.last_chain));
    m.append.commit = commit;
    m.append.stamp = k->now;
    m.append.n = (unsigned)(last - prev);
    jmsg_write(&b, &m);
    for (uint64_t i = prev + 1; i <= last; i++) {
        jmsg_write_entry(&b, jlog_at(l, i));
    }
    hear(k, from, &b);
}

void kit_log(const struct kit *k, struct jlog *l)
{
    memset(l, 0, sizeof *l);
    jlog_reset(l, k->j->log.prev_index, k->j->log.prev_term, k->j->log.prev_chain);
}

static void write_bytes(struct jlog *l, uint64_t term, enum journal_kind kind, const void *data, size_t len)
{
    struct journal_entry e = {.term = term,
                              .index = jlog_last(l) + 1,
                              .format = JOURNAL_FORMAT,
                              .kind = (uint8_t)kind,
                              .len = (uint32_t)len,
                              .payload = data};

    e.chain = jlog_chain(jlog_last_chain(l), &e);
    assert_true(jlog_append(l, &e));
}

void kit_write(struct jlog *l, uint64_t term, enum journal_kind kind, const char *text)
{
    write_bytes(l, term, kind, text, strlen(text));
}

void kit_write_members(struct jlog *l, uint64_t term, const struct journal_members *m)
{
    struct buf b = BUF_INIT;

    jvoters_encode(&b, m);
    write_bytes(l, term, JOURNAL_CONFIG, b.data, b.len);
    buf_fini(&b);
}

/* ------------------------------------------------------------------------------------------- looking */

void kit_forget(struct kit *k)
{
    for (size_t i = 0; i < k->n_sent; i++) {
        free(k->sent[i]);
    }
    k->n_sent = 0;
    memset(k->said, 0, sizeof k->said);
    k->text[0] = '\0';
}

bool kit_sent(const struct kit *k, enum jmsg_type type, struct jmsg *m)
{
    for (size_t i = k->n_sent; i > 0; i--) {
        assert_true(jmsg_parse(m, k->sent[i - 1], k->sent_len[i - 1]));
        if (m->type == type) {
            return true;
        }
    }
    return false;
}

unsigned kit_count(const struct kit *k, enum jmsg_type type)
{
    unsigned n = 0;

    for (size_t i = 0; i < k->n_sent; i++) {
        n += k->sent[i][0] == type;
    }
    return n;
}

void kit_elect(struct kit *k, bool open)
{
    uint64_t term;

    k->now += 2 * k->config.election_ms + 1000; /* whatever held it back is over */
    kit_wait(k, 1);
    for (unsigned i = 1; i <= k->n; i++) {
        if (i != k->config.node) {
            kit_hello(k, i, k->j->promise.term, 0, 0);
        }
    }
    if (k->j->role == JOURNAL_SEARCH) {
        kit_wait(k, 400); /* a lower id may come first; then the fallback */
    }
    assert_int_equal(k->j->role, k->n > 1 ? JOURNAL_CANDIDATE : JOURNAL_LEADER);
    term = k->j->promise.term;
    for (unsigned i = 1; i <= k->n; i++) {
        if (i != k->config.node) {
            kit_vote(k, i, term, true);
        }
    }
    assert_true(journal_is_coordinator(k->j));
    for (unsigned i = 1; open && i <= k->n; i++) {
        if (i != k->config.node) {
            kit_ack(k, i, term, jlog_last(&k->j->log));
        }
    }
    assert_int_equal(journal_is_open(k->j), open || k->n == 1);
}

void kit_follow(struct kit *k, uint32_t from, uint64_t term, const struct jlog *l, uint64_t commit)
{
    kit_append(k, from, term, l, l->prev_index, jlog_last(l), commit);
    assert_int_equal(k->j->role, JOURNAL_FOLLOWER);
}
