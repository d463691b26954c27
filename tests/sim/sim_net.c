/*
 * corosync, as it really behaves (extended virtual synchrony): within a ring all members see the same
 * messages in the same order, but not at the same time. When somebody falls silent nothing more is ordered
 * until a new ring forms. Then those who come out of one ring together settle what is left of it: what one of
 * them has, all get; what none of them has is a hole, which is skipped, though its sender, gone to another
 * ring, may have seen it. What was sent meanwhile goes out in the next ring. Quorum comes on a channel of its
 * own, later.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

bool net_reaches(const struct host *a, const struct host *b)
{
    return a->on && a->corosync && !a->paused && b->on && b->corosync && !b->paused &&
           a->component == b->component && (a == b || (a->linked && b->linked));
}

static void message_put(struct message *m)
{
    if (m != NULL && --m->refs == 0) {
        free(m);
    }
}

static void ring_put(struct host *h)
{
    if (h->net.ring != NULL && --h->net.ring->refs == 0) {
        free(h->net.ring);
    }
    h->net.ring = NULL;
}

static void queue_clear(struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        message_put(net->queue[net->head + i].m);
    }
    net->head = net->n = 0;
    net->last_due = 0;
}

static void held_clear(struct net *net)
{
    for (size_t i = 0; i < net->n_held; i++) {
        message_put(net->held[i]);
    }
    net->n_held = 0;
}

void net_init(struct host *h)
{
    memset(&h->net, 0, sizeof h->net);
}

static void stalled_clear(struct net *net)
{
    for (size_t i = 0; i < net->n_stalled; i++) {
        message_put(net->stalled[i]);
    }
    net->n_stalled = 0;
}

void net_fini(struct host *h)
{
    stalled_clear(&h->net);
    free(h->net.stalled);
    queue_clear(&h->net);
    held_clear(&h->net);
    ring_put(h);
    free(h->net.queue);
    free(h->net.held);
}

/* ----------------------------------------------------------------------------------------------- delivery */

static void schedule(struct host *h)
{
    struct net *net = &h->net;
    uint64_t when;

    if (net->n == 0 || net->queue[net->head].missing || h->paused || h->daemon_paused) {
        return;
    }
    when = net->queue[net->head].at > sim.now ? net->queue[net->head].at : sim.now;
    if (net->due_at == 0 || when < net->due_at) {
        net->due_at = when;
        at(when, ITEM_NET, h->id, 0, 0);
    }
}

static void push(struct host *h, struct delivery d)
{
    struct net *net = &h->net;

    if (net->head + net->n == net->cap) {
        if (net->head > net->cap / 2) {
            memmove(net->queue, net->queue + net->head, net->n * sizeof *net->queue);
            net->head = 0;
        } else {
            net->cap = net->cap ? 2 * net->cap : 64;
            net->queue = realloc(net->queue, net->cap * sizeof *net->queue);
        }
    }
    d.at = d.at > net->last_due ? d.at : net->last_due;
    net->last_due = d.at;
    if (d.m != NULL) {
        d.m->refs++;
    }
    net->queue[net->head + net->n++] = d;
    schedule(h);
}

static uint64_t latency(void)
{
    if (chaos() && chance(5)) {
        return between(1 * MS, chance(100) ? 300 * MS : 20 * MS);
    }
    return between(150, 600);
}

/* Orders m in its sender's ring: all members that have a daemon in the group will see it. */
static void order(struct host *h, struct message *m)
{
    struct ring *r = h->net.ring;
    struct delivery d = {.m = m, .seq = ++r->seq, .ring = r->serial, .sender = h->id};

    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].net.ring == r && sim.hosts[i].net.joined) {
            m->to |= NODE_BIT(i + 1);
            d.at = sim.now + latency();
            push(&sim.hosts[i], d);
        }
    }
}

static void keep(struct message ***v, size_t *n, size_t *cap, struct message *m)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 16;
        *v = realloc(*v, *cap * sizeof **v);
    }
    (*v)[(*n)++] = m;
}

/* Takes m over. */
static void send(struct host *h, struct message *m)
{
    struct net *net = &h->net;

    if (net->ring->broken) {
        keep(&net->held, &net->n_held, &net->cap_held, m);
    } else {
        order(h, m);
        message_put(m);
    }
}

int net_send(struct host *h, const void *data, size_t len)
{
    struct net *net = &h->net;
    struct message *m;

    if (net->ring == NULL || (chaos() && chance(2))) {
        return RC_BUSY;
    }
    m = malloc(sizeof *m + len);
    m->refs = 1;
    m->from = (uint32_t)h->id + 1;
    m->to = m->seen = m->skipped = 0;
    m->len = len;
    memcpy(m->data, data, len);
    sim.stats.messages++;
    if (h->stall_us > 0 || net->n_stalled > 0) {
        keep(&net->stalled, &net->n_stalled, &net->cap_stalled, m);
    } else {
        send(h, m);
    }
    return 0;
}

/* Its daemon has waited for its disk; now it goes on, and says what it had to say. */
void net_stall_ends(struct host *h)
{
    size_t n = h->net.n_stalled;

    h->net.n_stalled = 0;
    for (size_t i = 0; i < n; i++) {
        if (h->net.ring != NULL) {
            send(h, h->net.stalled[i]);
        } else {
            message_put(h->net.stalled[i]);
        }
    }
}

/* What votequorum says on this host. */
static bool word(const struct host *h)
{
    bool quorate = h->linked && (unsigned)__builtin_popcountll(h->net.members) * 2 > member_votes(h);

    return quorate != (h->quorum_wrong_until > sim.now);
}

static void conf(struct host *h, struct delivery *d)
{
    struct net *net = &h->net;

    net->told_at = net->members != d->members ? sim.now : net->told_at;
    net->present = d->present;
    net->members = d->members;
    if (net->told_ring != d->id) {
        uint64_t delay = chaos() && chance(50) ? between(10 * MS, 500 * MS) : between(100, 10 * MS);

        sim.stats.late_quorum += delay > 10 * MS;
        net->told_ring = d->id;
        net->quorate = false;
        net->quorum_at = net->quorum_at > sim.now + delay ? net->quorum_at : sim.now + delay;
        at(net->quorum_at, ITEM_QUORUM, h->id, d->id, 0);
    }
    trace("%s: view {%llx} of ring %llu {%llx}", h->name, (unsigned long long)net->present,
          (unsigned long long)d->id, (unsigned long long)net->members);
    shell_view(h->sh, net->present, net->members, net->quorate, ++net->views);
}

/* Its sender alone has got it, and nobody else ever will. */
static void own_only(struct message *m)
{
    sim.stats.self_only += m->skipped != 0 && m->seen == NODE_BIT(m->from) && (m->seen | m->skipped) == m->to;
}

void net_deliver(struct host *h)
{
    struct net *net = &h->net;
    struct delivery d;

    if (net->due_at != sim.now) {
        return;
    }
    net->due_at = 0;
    if (h->observing && net->n > 0 && !net->queue[net->head].missing) { /* A15: nobody listens */
        message_put(net->queue[net->head++].m);
        net->n--;
        schedule(h);
        return;
    }
    if (net->n == 0 || net->queue[net->head].missing || net->queue[net->head].at > sim.now ||
        !daemon_enter(h)) {
        schedule(h);
        return;
    }
    d = net->queue[net->head++];
    net->n--;
    net->delivered = d.seq;
    net->delivered_ring = d.ring;
    if (d.m == NULL) {
        conf(h, &d);
    } else {
        sim.stats.late_views += net->ring != NULL && net->ring->serial != d.ring;
        sim.stats.minority_messages += (unsigned)__builtin_popcountll(net->members) * 2 <= member_votes(h);
        d.m->seen |= NODE_BIT(h->id + 1);
        own_only(d.m);
        shell_message(h->sh, d.m->from, d.m->data, d.m->len);
        message_put(d.m);
    }
    daemon_left(h);
    schedule(h);
}

void net_quorum(struct host *h, uint64_t ring)
{
    if ((ring == 0 || h->net.told_ring == ring) && h->net.joined && daemon_enter(h)) {
        h->net.quorate = word(h);
        shell_view(h->sh, h->net.present, h->net.members, h->net.quorate, ++h->net.views);
        daemon_left(h);
    }
}

/* --------------------------------------------------------------------------------------------- membership */

static node_set joined(const struct ring *r)
{
    node_set set = 0;

    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].net.ring == r && sim.hosts[i].net.joined) {
            set |= NODE_BIT(i + 1);
        }
    }
    return set;
}

/* Tells the group who is in it, in the order of its messages. */
static void tell(struct ring *r)
{
    struct delivery d = {.seq = ++r->seq,
                         .ring = r->serial,
                         .id = r->id,
                         .present = joined(r),
                         .members = r->members,
                         .sender = -1};

    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].net.ring == r && sim.hosts[i].net.joined) {
            d.at = sim.now + latency();
            push(&sim.hosts[i], d);
        }
    }
}

void net_join(struct host *h)
{
    queue_clear(&h->net);
    h->net.joined = true;
    h->net.told_ring = 0;
    h->net.quorate = false;
    if (h->net.ring != NULL && !h->net.ring->broken) {
        tell(h->net.ring);
    }
}

void net_leave(struct host *h)
{
    h->net.joined = false;
    queue_clear(&h->net);
    stalled_clear(&h->net);
    if (chance(500)) { /* what it had handed to its corosync may still go out */
        held_clear(&h->net);
    }
    if (h->net.ring != NULL && !h->net.ring->broken) {
        tell(h->net.ring);
    }
}

void net_gone(struct host *h)
{
    h->net.joined = false;
    queue_clear(&h->net);
    stalled_clear(&h->net);
    held_clear(&h->net);
    ring_put(h);
    if (h->ring_torn) {
        h->ring_torn = false;
        h->ring_seq = draw(h->ring_seq + 1);
    }
    net_changed();
}

static bool whole(const struct ring *r)
{
    const struct host *first = NULL;

    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        if ((r->members & NODE_BIT(i + 1)) == 0) {
            continue;
        }
        if (h->net.ring != r || (first != NULL && !net_reaches(first, h)) || !net_reaches(h, h)) {
            return false;
        }
        first = h;
    }
    return true;
}

static void lose(struct ring *r)
{
    r->broken = true;
    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];

        for (size_t k = 0; h->net.ring == r && k < h->net.n; k++) {
            struct delivery *d = &h->net.queue[h->net.head + k];

            if (d->ring == r->serial && d->m != NULL && d->sender != i &&
                !net_reaches(h, &sim.hosts[d->sender])) {
                d->missing = chance(500);
            }
        }
    }
}

void net_changed(void)
{
    bool lost = false;

    for (int i = 0; i < sim.n; i++) {
        struct ring *r = sim.hosts[i].net.ring;

        if (r != NULL && !r->broken && !whole(r)) {
            lose(r);
            lost = true;
        }
    }
    at(sim.now + (lost ? between(300 * MS, 1200 * MS) : between(30 * MS, 400 * MS)), ITEM_REFORM, 0, 0, 0);
}

/* Has any of those who come out of ring r into `group` got this message? */
static bool somebody_has(const struct ring *r, node_set group, uint64_t seq)
{
    for (int i = 0; i < sim.n; i++) {
        const struct net *net = &sim.hosts[i].net;

        if ((group & NODE_BIT(i + 1)) == 0 || net->ring != r || !net->joined) {
            continue;
        }
        if (net->delivered_ring == r->serial && net->delivered >= seq) {
            return true;
        }
        for (size_t k = 0; k < net->n; k++) {
            const struct delivery *d = &net->queue[net->head + k];

            if (d->ring == r->serial && d->seq == seq && !d->missing) {
                return true;
            }
        }
    }
    return false;
}

/* Settles what host h has not got of its old ring. */
static void settle(struct host *h, node_set group)
{
    struct net *net = &h->net;
    size_t kept_ = 0;
    bool hole = false;

    for (size_t k = 0; k < net->n; k++) {
        struct delivery d = net->queue[net->head + k];

        if (d.missing && !somebody_has(net->ring, group, d.seq)) {
            sim.stats.holes++;
            hole = true;
            d.m->skipped |= NODE_BIT(h->id + 1);
            own_only(d.m);
            message_put(d.m);
            continue;
        }
        sim.stats.holes_passed += hole && d.m != NULL;
        net->queue[net->head + kept_++] = d;
    }
    net->n = kept_;
}

static void found(struct host *h)
{
    for (size_t k = 0; k < h->net.n; k++) {
        h->net.queue[h->net.head + k].missing = false;
    }
    schedule(h);
}

static void release(struct host *h)
{
    size_t n = h->net.n_held;

    for (size_t i = 0; i < n; i++) {
        sim.stats.next_view++;
        order(h, h->net.held[i]);
        message_put(h->net.held[i]);
    }
    h->net.n_held = 0;
}

static void heal(struct ring *r)
{
    r->broken = false;
    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].net.ring == r) {
            found(&sim.hosts[i]);
        }
    }
    tell(r); /* somebody may have joined or left meanwhile */
    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].net.ring == r) {
            release(&sim.hosts[i]);
        }
    }
}

/* The lowest of them represents the ring; the number goes on from the highest that any of them has stored,
 * so that a torn store may bring an old one back. */
static uint64_t ring_id(node_set group)
{
    uint64_t seq = 0, id;

    for (int i = 0; i < sim.n; i++) {
        if ((group & NODE_BIT(i + 1)) && sim.hosts[i].ring_seq > seq) {
            seq = sim.hosts[i].ring_seq;
        }
    }
    seq++;
    for (int i = 0; i < sim.n; i++) {
        if (group & NODE_BIT(i + 1)) {
            sim.hosts[i].ring_seq = seq;
        }
    }
    id = seq << 8 | (unsigned)__builtin_ctzll(group);
    for (size_t i = 0; i < sim.n_ring_ids; i++) {
        if (sim.ring_ids[i] == id) {
            sim.stats.ring_repeats++;
            return id;
        }
    }
    sim.ring_ids[sim.n_ring_ids] = id;
    sim.n_ring_ids += sim.n_ring_ids < RING_IDS_MAX - 1;
    return id;
}

static void form(node_set group)
{
    struct ring *r = calloc(1, sizeof *r);

    r->serial = ++sim.rings;
    r->id = ring_id(group);
    r->members = group;
    for (int i = 0; i < sim.n; i++) { /* all of them look at the old rings before any leaves its own */
        if (group & NODE_BIT(i + 1)) {
            settle(&sim.hosts[i], group);
        }
    }
    for (int i = 0; i < sim.n; i++) {
        if (group & NODE_BIT(i + 1)) {
            found(&sim.hosts[i]);
            ring_put(&sim.hosts[i]);
            sim.hosts[i].net.ring = r;
            r->refs++;
        }
    }
    trace("ring %llu {%llx}", (unsigned long long)r->id, (unsigned long long)group);
    tell(r);
    for (int i = 0; i < sim.n; i++) {
        if (group & NODE_BIT(i + 1)) {
            release(&sim.hosts[i]);
        }
    }
}

void net_reform(void)
{
    node_set done = 0;

    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];
        node_set group = 0;
        bool same = true;

        if ((done & NODE_BIT(i + 1)) || !net_reaches(h, h)) {
            continue;
        }
        for (int k = 0; k < sim.n; k++) {
            if (net_reaches(h, &sim.hosts[k])) {
                group |= NODE_BIT(k + 1);
                same = same && sim.hosts[k].net.ring == h->net.ring;
            }
        }
        done |= group;
        if (!same || h->net.ring == NULL || h->net.ring->members != group) {
            form(group);
        } else if (h->net.ring->broken) {
            heal(h->net.ring);
        }
    }
}
