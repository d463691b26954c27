/*
 * message.c - the journal's messages as bytes. Everything that comes from the network is parsed here, once,
 * into a struct jmsg whose every field is within its range; whatever is not exactly one message is refused.
 *
 * Head of every message: type u8, format u8, from u32, to u32, cluster 2 × u64, incarnation u64, session u64,
 * term u64, line u64, held 2 × u64. Then what belongs to the type.
 */
#include "journal/internal.h"

#include <string.h>

bool journal_message_peek(const void *data, size_t len)
{
    return len > 0 && *(const uint8_t *)data < JOURNAL_MESSAGE_TYPES;
}

static struct hash get_hash(struct rd *r)
{
    struct hash h;

    h.lo = rd_u64(r);
    h.hi = rd_u64(r);
    return h;
}

static void put_hash(struct buf *b, struct hash h)
{
    buf_u64(b, h.lo);
    buf_u64(b, h.hi);
}

/* A line is a term in which quorum was forced (A16): a force's step above another one, and never above that
 * of a node that has heard of it. */
static bool line_ok(const struct jmsg *m)
{
    return m->line == 0 ||
           (m->line <= m->term && (m->line >= JOURNAL_FORCE_STEP || MUTANT(force_in_the_next_term)));
}

/* The end of its sender's log: entries are of terms that it has promised, and none is before the first. */
static bool last_ok(const struct jmsg *m, uint64_t last_term, uint64_t last_index)
{
    return last_term <= m->term && last_index < JOURNAL_TERM_MAX && (last_term == 0) == (last_index == 0);
}

static void get_head(struct rd *r, struct jmsg *m)
{
    uint8_t format;

    m->type = rd_u8(r);
    format = rd_u8(r);
    m->newer = !r->bad && format > JOURNAL_FORMAT;
    if (format != JOURNAL_FORMAT) {
        r->bad = true;
    }
    m->from = rd_u32(r);
    m->to = rd_u32(r);
    m->cluster.lo = rd_u64(r);
    m->cluster.hi = rd_u64(r);
    m->incarnation = rd_u64(r);
    m->session = rd_u64(r);
    m->term = rd_u64(r);
    m->line = rd_u64(r);
    m->held_term = rd_u64(r);
    m->held_index = rd_u64(r);
    if (m->from == 0 || m->incarnation == 0 || m->session == 0 || m->term >= JOURNAL_TERM_MAX ||
        m->held_term > m->term || m->held_index >= JOURNAL_TERM_MAX || !line_ok(m)) {
        r->bad = true;
    }
}

static void get_members(struct rd *r, struct journal_members *members)
{
    size_t len;
    const uint8_t *data = rd_blob(r, &len);

    if (data == NULL || !journal_members_decode(members, data, len)) {
        members->n = 0;
        r->bad = true;
    }
}

static void put_members(struct buf *b, const struct journal_members *members)
{
    size_t at = b->len;

    buf_u32(b, 0);
    jvoters_encode(b, members);
    buf_put_u32(b, at, (uint32_t)(b->len - at - 4));
}

void jmsg_entry(struct rd *r, struct journal_entry *e)
{
    size_t len;

    e->term = rd_u64(r);
    e->format = rd_u8(r);
    e->kind = rd_u8(r);
    e->payload = rd_blob(r, &len);
    e->len = (uint32_t)len;
    if (len == 0) {
        e->payload = NULL;
    }
}

size_t jmsg_entry_size(const struct journal_entry *e)
{
    return 14 + (size_t)e->len;
}

void jmsg_write_entry(struct buf *b, const struct journal_entry *e)
{
    buf_u64(b, e->term);
    buf_u8(b, e->format);
    buf_u8(b, e->kind);
    buf_blob(b, e->payload, e->len);
}

/* A CONFIG that cannot be read would be a set of voters that nobody knows: the whole message is refused. */
static bool entry_ok(const struct journal_entry *e, uint64_t author_term)
{
    struct journal_members members;

    if (e->format != JOURNAL_FORMAT || e->len > JOURNAL_PAYLOAD_MAX || e->term == 0 ||
        e->term > author_term) {
        return false;
    }
    if (e->kind == JOURNAL_CONFIG) {
        return journal_members_decode(&members, e->payload, e->len) && members.forced <= e->term;
    }
    return e->kind == JOURNAL_OPEN || e->kind == JOURNAL_DATA;
}

static void get_append(struct rd *r, struct jmsg *m)
{
    uint64_t term;

    m->append.prev_index = rd_u64(r);
    m->append.prev_term = rd_u64(r);
    m->append.prev_chain = get_hash(r);
    m->append.last_chain = get_hash(r);
    m->append.commit = rd_u64(r);
    m->append.stamp = rd_u64(r);
    m->append.n = rd_u16(r);
    m->append.entries = *r;
    term = m->append.prev_term;
    /* What goes to all begins where the coordinator stood: nothing beyond its end can be committed. */
    if (!last_ok(m, m->append.prev_term, m->append.prev_index) || m->append.commit >= JOURNAL_TERM_MAX ||
        ((m->to == 0 || m->append.n == 0) && m->append.commit > m->append.prev_index + m->append.n)) {
        r->bad = true;
    }
    for (unsigned i = 0; i < m->append.n && !r->bad; i++) {
        struct journal_entry e;

        jmsg_entry(r, &e);
        m->newer = m->newer || (!r->bad && e.format > JOURNAL_FORMAT);
        if (r->bad || e.term < term || !entry_ok(&e, m->term)) {
            r->bad = true;
        }
        term = e.term;
    }
    m->append.entries.end = r->p;
}

static void get_ack(struct rd *r, struct jmsg *m)
{
    m->ack.stamp = rd_u64(r);
    m->ack.ok = rd_u8(r);
    m->ack.index = rd_u64(r);
    m->ack.last = rd_u64(r);
    m->ack.last_chain = get_hash(r);
    m->ack.commit = rd_u64(r);
    m->ack.commit_chain = get_hash(r);
    if (m->ack.last >= JOURNAL_TERM_MAX || m->ack.commit > m->ack.last ||
        m->ack.index > (m->ack.ok ? m->ack.last : 0)) {
        r->bad = true;
    }
}

static void get_snapshot(struct rd *r, struct jmsg *m)
{
    struct journal_snapshot *s = &m->snapshot.meta;

    m->snapshot.incarnation = rd_u64(r);
    s->index = rd_u64(r);
    s->term = rd_u64(r);
    s->chain = get_hash(r);
    s->size = rd_u64(r);
    s->digest = get_hash(r);
    get_members(r, &s->members);
    m->snapshot.offset = rd_u64(r);
    m->snapshot.data = rd_blob(r, &m->snapshot.len);
    if (!last_ok(m, s->term, s->index) || s->members.forced > s->term || s->size > JOURNAL_SNAPSHOT_MAX ||
        m->snapshot.offset > s->size || m->snapshot.len > s->size - m->snapshot.offset || m->to == 0 ||
        (s->index == 0 && s->size != 0)) {
        r->bad = true;
    }
}

static void get_body(struct rd *r, struct jmsg *m)
{
    switch (m->type) {
    case JMSG_HELLO:
        m->hello.last_term = rd_u64(r);
        m->hello.last_index = rd_u64(r);
        m->hello.configured = rd_u64(r);
        m->hello.flags = rd_u8(r);
        r->bad = r->bad || !last_ok(m, m->hello.last_term, m->hello.last_index);
        break;
    case JMSG_STAND:
        m->stand.last_term = rd_u64(r);
        m->stand.last_index = rd_u64(r);
        r->bad = r->bad || !last_ok(m, m->stand.last_term, m->stand.last_index);
        break;
    case JMSG_VOTE:
        m->vote.incarnation = rd_u64(r);
        m->vote.granted = rd_u8(r);
        break;
    case JMSG_APPEND:
        get_append(r, m);
        break;
    case JMSG_ACK:
        get_ack(r, m);
        break;
    case JMSG_BOOTSTRAP:
        get_members(r, &m->bootstrap);
        r->bad = r->bad || m->bootstrap.forced != 0;
        break;
    case JMSG_SNAPSHOT:
        get_snapshot(r, m);
        break;
    case JMSG_SNAPSHOT_ACK:
        m->snapshot_ack.index = rd_u64(r);
        m->snapshot_ack.offset = rd_u64(r);
        r->bad = r->bad || m->snapshot_ack.index >= JOURNAL_TERM_MAX ||
                 m->snapshot_ack.offset > JOURNAL_SNAPSHOT_MAX;
        break;
    case JMSG_RECALL:
        m->recall.incarnation = rd_u64(r);
        m->recall.session = rd_u64(r);
        m->recall.term = rd_u64(r);
        m->recall.index = rd_u64(r);
        m->recall.gone = rd_u8(r);
        r->bad = r->bad || m->recall.term >= JOURNAL_TERM_MAX || (m->recall.term == 0 && !m->recall.gone);
        break;
    default:
        r->bad = true;
    }
}

bool jmsg_parse(struct jmsg *m, const void *data, size_t len)
{
    struct rd r;

    if (len > JOURNAL_MESSAGE_MAX) {
        return false;
    }
    rd_init(&r, data, len);
    get_head(&r, m);
    if (!r.bad) {
        get_body(&r, m);
    }
    /* Only a HELLO may come from outside a cluster, where there are no terms. */
    return rd_done(&r) &&
           ((m->type == JMSG_HELLO && m->term == 0) || m->cluster.lo != 0 || m->cluster.hi != 0);
}

static void put_append(struct buf *b, const struct jmsg *m)
{
    buf_u64(b, m->append.prev_index);
    buf_u64(b, m->append.prev_term);
    put_hash(b, m->append.prev_chain);
    put_hash(b, m->append.last_chain);
    buf_u64(b, m->append.commit);
    buf_u64(b, m->append.stamp);
    buf_u16(b, (uint16_t)m->append.n);
}

static void put_ack(struct buf *b, const struct jmsg *m)
{
    buf_u64(b, m->ack.stamp);
    buf_u8(b, m->ack.ok);
    buf_u64(b, m->ack.index);
    buf_u64(b, m->ack.last);
    put_hash(b, m->ack.last_chain);
    buf_u64(b, m->ack.commit);
    put_hash(b, m->ack.commit_chain);
}

static void put_snapshot(struct buf *b, const struct jmsg *m)
{
    const struct journal_snapshot *s = &m->snapshot.meta;

    buf_u64(b, m->snapshot.incarnation);
    buf_u64(b, s->index);
    buf_u64(b, s->term);
    put_hash(b, s->chain);
    buf_u64(b, s->size);
    put_hash(b, s->digest);
    put_members(b, &s->members);
    buf_u64(b, m->snapshot.offset);
    buf_blob(b, m->snapshot.data, m->snapshot.len);
}

void jmsg_write(struct buf *b, const struct jmsg *m)
{
    buf_u8(b, (uint8_t)m->type);
    buf_u8(b, JOURNAL_FORMAT);
    buf_u32(b, m->from);
    buf_u32(b, m->to);
    buf_u64(b, m->cluster.lo);
    buf_u64(b, m->cluster.hi);
    buf_u64(b, m->incarnation);
    buf_u64(b, m->session);
    buf_u64(b, m->term);
    buf_u64(b, m->line);
    buf_u64(b, m->held_term);
    buf_u64(b, m->held_index);
    switch (m->type) {
    case JMSG_HELLO:
        buf_u64(b, m->hello.last_term);
        buf_u64(b, m->hello.last_index);
        buf_u64(b, m->hello.configured);
        buf_u8(b, m->hello.flags);
        break;
    case JMSG_STAND:
        buf_u64(b, m->stand.last_term);
        buf_u64(b, m->stand.last_index);
        break;
    case JMSG_VOTE:
        buf_u64(b, m->vote.incarnation);
        buf_u8(b, m->vote.granted);
        break;
    case JMSG_APPEND:
        put_append(b, m);
        break;
    case JMSG_ACK:
        put_ack(b, m);
        break;
    case JMSG_BOOTSTRAP:
        put_members(b, &m->bootstrap);
        break;
    case JMSG_SNAPSHOT:
        put_snapshot(b, m);
        break;
    case JMSG_SNAPSHOT_ACK:
        buf_u64(b, m->snapshot_ack.index);
        buf_u64(b, m->snapshot_ack.offset);
        break;
    case JMSG_RECALL:
        buf_u64(b, m->recall.incarnation);
        buf_u64(b, m->recall.session);
        buf_u64(b, m->recall.term);
        buf_u64(b, m->recall.index);
        buf_u8(b, m->recall.gone);
        break;
    }
}
