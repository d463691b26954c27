/*
 * jsim.c - the journal's simulator: the world, its events and its faults.
 *
 *   jsim --seed N [--trace]      one run; the same N is the same run
 *   jsim --seeds A..B [--first]  a range; prints what failed, what was covered, and seeds/s; --first ends it
 *                                with the first that failed
 *   jsim --list-mutants          the bugs on demand that are built in (common/mutant.h)
 *
 * A run has a safety phase, in which everything fails that may fail, and a liveness phase: all is healed, and
 * within a bound there must be an open term, and everything that was committed on all nodes. Time is virtual.
 *
 * The network is corosync's as it really is: no message is lost within a ring, all come in one order; at a
 * reform a message may have reached some and not others (holes), only its own sender, or come in the new
 * view. Views come to each node in its own time, quorum notices later still.
 */
#include "tests/sim/jsim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mutant.h"
#include "common/rc.h"
#include "journal/internal.h"

#define SAFETY_MS   20000
#define LIVENESS_MS 30000
#define QUIET_MS    5000 /* after the healing */
#define EVENTS_MAX  3000000

struct sim sim;

static void push(struct item item);
static void fault_crash(struct node *n);
static void step(struct node *n, struct journal_event *ev);
static void break_the_word(void);
static bool apart(void);

/* ---------------------------------------------------------------------------------------- small things */

uint64_t draw(uint64_t below)
{
    sim.rng += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    uint64_t z = sim.rng;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return below ? z % below : 0;
}

static uint64_t draw64(void)
{
    return draw(UINT64_MAX - 1) + 1;
}

bool chance(unsigned permille)
{
    return draw(1000) < permille;
}

void trace(const char *fmt, ...)
{
    va_list ap;

    if (!sim.trace) {
        return;
    }
    printf("%8llu ", (unsigned long long)sim.now);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void fail(const char *fmt, ...)
{
    va_list ap;

    if (sim.failed) {
        return;
    }
    sim.failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(sim.failure, sizeof sim.failure, fmt, ap);
    va_end(ap);
    trace("FAILED: %s", sim.failure);
}

/* ------------------------------------------------------------------------------------------- the queue */

static bool before(const struct item *a, const struct item *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct item item)
{
    size_t i = sim.n_heap++;

    if (sim.n_heap > sim.cap_heap) {
        sim.cap_heap = sim.cap_heap ? sim.cap_heap * 2 : 256;
        sim.heap = realloc(sim.heap, sim.cap_heap * sizeof *sim.heap);
        if (sim.heap == NULL) {
            abort();
        }
    }
    item.order = ++sim.order;
    while (i > 0 && before(&item, &sim.heap[(i - 1) / 2])) {
        sim.heap[i] = sim.heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.heap[i] = item;
}

/* Puts `item` where it belongs in the heap below place i. */
static void sift_down(size_t i, struct item item)
{
    for (;;) {
        size_t k = 2 * i + 1;

        if (k >= sim.n_heap) {
            break;
        }
        if (k + 1 < sim.n_heap && before(&sim.heap[k + 1], &sim.heap[k])) {
            k++;
        }
        if (!before(&sim.heap[k], &item)) {
            break;
        }
        sim.heap[i] = sim.heap[k];
        i = k;
    }
    sim.heap[i] = item;
}

static struct item pop(void)
{
    struct item top = sim.heap[0];

    sim.n_heap--;
    sift_down(0, sim.heap[sim.n_heap]);
    return top;
}

static void message_put(struct message *m)
{
    if (--m->refs == 0) {
        free(m);
    }
}

static void push_node(struct node *n, enum item_type type, uint64_t delay)
{
    push((struct item){
        .at = sim.now + delay, .type = type, .node = (unsigned)(n - sim.nodes), .session = n->session});
}

/* ----------------------------------------------------------------------------------------- the network */

static bool host_there(const struct node *n)
{
    return !n->host_down && !n->host_paused;
}

/* To all daemons of the sender's ring. One order for all: each receiver's queue is filled in order of
 * sending. */
static void multicast(struct node *from, const uint8_t *data, size_t len)
{
    struct message *m = malloc(sizeof *m + len);

    if (m == NULL) {
        abort();
    }
    m->refs = 1;
    m->from = from->id;
    m->len = len;
    memcpy(m->data, data, len);
    sim.stats.messages++;
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *to = &sim.nodes[i];
        uint64_t at = sim.now + (chance(50) ? draw(20) : draw(3));

        if (to->component != from->component || !to->up || !host_there(to)) {
            continue;
        }
        if (to != from && chance(sim.loss_permille)) {
            sim.stats.lost++;
            continue;
        }
        at = at > to->last_delivery ? at : to->last_delivery;
        to->last_delivery = at;
        m->refs++;
        push((struct item){.at = at, .type = ITEM_DELIVER, .node = i, .session = to->session, .message = m});
    }
    message_put(m);
}

/* Each daemon hears of its ring in its own time, and of the quorum a little later, on another channel. */
static void announce_views(uint64_t delay)
{
    sim.announcements++;
    for (unsigned i = 0; i < sim.n; i++) {
        uint64_t at = sim.now + delay + draw(30);

        struct item item = {.at = at, .type = ITEM_VIEW, .node = i, .session = sim.nodes[i].session};

        item.view.number = sim.announcements;
        push(item);
        item.at += draw(40);
        item.view.quorum_known = true;
        push(item);
    }
}

/* The ring changes: what was under way falls into holes, reaches only some, or comes in the new view. */
static void reform(uint64_t delay)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim.n_heap; i++) {
        struct item *item = &sim.heap[i];

        if (item->type == ITEM_DELIVER) {
            const struct node *from = &sim.nodes[item->message->from - 1], *to = &sim.nodes[item->node];
            unsigned permille = from->component != to->component ? 700 : !host_there(from) ? 500 : 200;

            if (from != to && chance(permille)) {
                sim.stats.lost++;
                message_put(item->message);
                continue;
            }
            if (chance(500) && item->at < sim.now + delay) {
                item->at = sim.now + delay; /* delivered in the new view */
            }
            if (sim.nodes[item->node].last_delivery < item->at) {
                sim.nodes[item->node].last_delivery = item->at;
            }
        }
        sim.heap[kept++] = *item;
    }
    sim.n_heap = kept;
    for (size_t i = kept / 2; i > 0; i--) {
        sift_down(i - 1, sim.heap[i - 1]);
    }
    announce_views(delay);
}

uint64_t node_now(const struct node *n)
{
    return n->clock_base + sim.now * n->clock_ppm / 1000000;
}

static void deliver_view(struct node *n, bool quorum_known)
{
    uint32_t nodes[NODES_MAX];
    unsigned hosts = 0, left = 0, expected = 0;
    size_t count = 0;
    struct journal_event ev = {.type = JOURNAL_EV_VIEW};

    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *other = &sim.nodes[i];

        expected += !other->given_up;
        if (other->component != n->component || !host_there(other)) {
            continue;
        }
        hosts++;
        left += !other->given_up;
        if (other->up) {
            nodes[count++] = other->id;
        }
    }
    ev.view.nodes = nodes;
    ev.view.n = count;
    /* corosync counts hosts, not daemons; who forces a quorum takes those given up out of its configuration.
     */
    ev.view.quorate = quorum_known && (hosts > sim.n / 2 || (sim.force_begun && left > expected / 2));
    ev.view.counter = ++n->view_counter;
    trace("node %u: view of %zu, %squorate", n->id, count, ev.view.quorate ? "" : "not ");
    step(n, &ev);
    check_view(n, &ev);
}

/* -------------------------------------------------------------------------------------- a node's daemon */

static void start(struct node *n)
{
    struct journal_config c = {.node = n->id, .open_data = "boot", .open_len = 4, .n_configured = sim.n};

    c.seed = draw64();
    c.snapshot_entries = (uint32_t)(8 + draw(64));
    c.tail_entries = (uint32_t)(1 + draw(16));
    c.message_bytes = sim.message_bytes;
    for (unsigned i = 0; i < sim.n; i++) {
        c.configured[i] = i + 1;
    }
    c.session = n->session = draw64();
    n->j = journal_new(&c);
    n->up = true;
    n->host_down = n->paused = n->host_paused = false;
    n->commit = 0;
    n->tick_at = 0;
    n->last_delivery = sim.now;
    n->view_number = 0;
    trace("node %u: starts", n->id);
    announce_views(draw(50));
}

/* Reads the disk, as at the start; the core begins at the snapshot. */
static void load(struct node *n)
{
    struct journal_event ev = {.type = JOURNAL_EV_START};
    struct journal_load *s = &n->disk.now;
    struct rd r;

    s->fresh.incarnation = draw64();
    s->fresh.cluster.lo = draw64(); /* one draw a statement: the order is then every compiler's */
    s->fresh.cluster.hi = draw64();
    memset(&n->core, 0, sizeof n->core);
    if (s->incarnation != 0 && s->snapshot.index > 0) {
        rd_init(&r, s->blob, (size_t)s->snapshot.size);
        n->core.applied = rd_u64(&r);
        n->core.state.lo = rd_u64(&r);
        n->core.state.hi = rd_u64(&r);
    }
    n->commit = n->core.applied;
    n->lead_term = 0;
    if (journal_load(n->j, s) != RC_OK) {
        fail("node %u: load", n->id);
        return;
    }
    step(n, &ev);
    if (n->up && n->aside_expected) {
        fail("node %u goes on with a store that has lost what it promised or acknowledged (A10)", n->id);
    }
}

static void boot(struct node *n)
{
    start(n);
    load(n);
}

/* The write that was under way is there, or not, or there without its mark. */
static void lose_power(struct node *n)
{
    if (n->write.busy) {
        if (chance(500)) {
            write_apply(n, chance(500));
            check_written(n);
        }
        write_fini(&n->write);
    }
}

static void crash(struct node *n, bool host)
{
    sim.stats.crashes++;
    trace("node %u: %s dies", n->id, host ? "host" : "daemon");
    lose_power(n);
    journal_free(n->j);
    n->j = NULL;
    n->up = n->paused = n->host_paused = n->fsync_pending = false;
    n->host_down = host;
    n->lead_term = 0;
}

static void lose_disk(struct node *n, const char *how)
{
    trace("node %u: %s", n->id, how);
    disk_wipe(&n->disk, chance(500));
    n->aside_expected = n->disk.now.mark.incarnation != 0; /* the mark tells that there was a store */
    n->left_behind = false;
    sim.stats.amnesia++;
}

/* ------------------------------------------------------------------------------------- what a step wants */

static void take_snapshot(struct node *n)
{
    static const struct hash zero;
    struct journal_event ev = {.type = JOURNAL_EV_SNAPSHOT_TAKEN};
    struct journal_snapshot s;
    struct buf b = BUF_INIT;
    static uint8_t padding[150000];

    buf_u64(&b, n->core.applied);
    buf_u64(&b, n->core.state.lo);
    buf_u64(&b, n->core.state.hi);
    buf_raw(&b, padding, chance(sim.big_permille * 10) ? draw(sizeof padding) : draw(64));
    if (!journal_snapshot_describe(n->j, n->core.applied, &s)) {
        buf_fini(&b);
        return; /* the journal is about to install a newer one */
    }
    check_snapshot(n, &s);
    ev.taken.index = n->core.applied;
    s.size = ev.taken.size = b.len;
    s.digest = ev.taken.digest = hash_bytes(zero, b.data, b.len);
    disk_snapshot(&n->disk, &s, b.data);
    sim.stats.snapshots++;
    buf_fini(&b);
    step(n, &ev);
}

/* How long a write takes, and how it ends. */
static void schedule_write(struct node *n)
{
    struct write *w = &n->write;
    uint64_t delay = draw(sim.write_ms_max + 1);

    w->result = JOURNAL_PERSIST_OK;
    if (sim.now < n->disk.full_until || (!sim.healed && chance(1))) {
        w->result = JOURNAL_PERSIST_FAILED;
        sim.stats.write_failed++;
    } else if (!sim.healed && chance(1) && check_may_lose(n)) {
        w->result = JOURNAL_FSYNC_FAILED;
        n->fsync_pending = true;
        sim.stats.fsync_failed++;
    }
    if (sim.now < n->disk.slow_until) {
        delay += draw(1000);
    }
    if (sim.now < n->disk.hung_until) {
        delay += n->disk.hung_until - sim.now;
        sim.stats.hung++;
    }
    push_node(n, ITEM_WRITTEN, delay);
}

static void set_aside(struct node *n, const char *why)
{
    sim.stats.set_aside++;
    trace("node %u: set aside: %s", n->id, why);
    if (!n->aside_expected && !n->fsync_pending && !n->left_behind && strstr(why, "newer journal") == NULL) {
        fail("node %u sets a healthy journal aside: %s", n->id, why);
    }
    n->aside_expected = n->fsync_pending = n->left_behind = false;
    write_fini(&n->write);
    disk_wipe(&n->disk, true);
    n->disk.now.lost = true; /* what was set aside is still there to be seen */
    memset(&n->core, 0, sizeof n->core);
    push_node(n, ITEM_RELOAD, draw(50));
}

/* What n sends, a survivor that does not claim the line. */
static bool heard_by_those_given_up(const struct node *n)
{
    for (unsigned i = 0;
         sim.word_broken && !sim.healed && !n->left_behind && n->j->line < sim.line && i < sim.n; i++) {
        const struct node *o = &sim.nodes[i];

        if (o->left_behind && o->up && !o->paused && o->component == n->component) {
            return true;
        }
    }
    return false;
}

static void carry_out(struct node *n, const struct journal_action *a)
{
    switch (a->type) {
    case JOURNAL_SEND:
        check_send(n, a->send.data, a->send.len);
        multicast(n, a->send.data, a->send.len);
        if (a->send.data[0] == JMSG_STAND && heard_by_those_given_up(n) && chance(500)) {
            push((struct item){.at = sim.now + draw(30), .type = ITEM_SIDES});
        }
        break;
    case JOURNAL_PERSIST:
        write_begin(n, &a->persist);
        schedule_write(n);
        break;
    case JOURNAL_COMMIT:
        check_apply(n, a->commit.index);
        break;
    case JOURNAL_TAKE_SNAPSHOT:
        push_node(n, ITEM_SNAPSHOT, draw(3));
        break;
    case JOURNAL_READ_SNAPSHOT:
        push((struct item){.at = sim.now + draw(4),
                           .type = ITEM_DATA,
                           .node = (unsigned)(n - sim.nodes),
                           .session = n->session,
                           .data = {a->read.index, a->read.offset, a->read.len}});
        break;
    case JOURNAL_RELOAD:
        sim.stats.reloads++;
        trace("node %u: reload in %u ms", n->id, a->reload.delay_ms);
        push_node(n, ITEM_RELOAD, a->reload.delay_ms);
        break;
    case JOURNAL_SET_ASIDE:
        set_aside(n, a->text);
        break;
    case JOURNAL_RESIGNED:
        sim.stats.resigned++;
        trace("node %u: resigned term %llu: %s", n->id, (unsigned long long)a->role.term, a->text);
        break;
    case JOURNAL_COORDINATOR:
        trace("node %u: coordinator of term %llu", n->id, (unsigned long long)a->role.term);
        break;
    case JOURNAL_OPENED:
        trace("node %u: term %llu is open", n->id, (unsigned long long)a->role.term);
        break;
    case JOURNAL_FOLLOWING:
    case JOURNAL_SEARCHING:
        trace("node %u: %s node %u term %llu %s", n->id,
              a->type == JOURNAL_FOLLOWING ? "follows" : "searches", a->role.node,
              (unsigned long long)a->role.term, a->text);
        break;
    case JOURNAL_CREATED:
        trace("node %u: belongs to the cluster", n->id);
        n->left_behind = a->role.node != 0 && sim.nodes[a->role.node - 1].left_behind;
        break;
    case JOURNAL_ALARM:
        trace("node %u: ALARM %s", n->id, a->text);
        break;
    }
}

static void schedule_tick(struct node *n, uint64_t deadline)
{
    uint64_t local = node_now(n), at = sim.now + 1;

    if (deadline == UINT64_MAX) {
        n->tick_at = 0;
        return;
    }
    if (deadline > local) {
        at = sim.now + (deadline - local) * 1000000 / n->clock_ppm + 1;
    }
    if (n->tick_at == 0 || at < n->tick_at || n->tick_at <= sim.now) {
        n->tick_at = at;
        push((struct item){
            .at = at, .type = ITEM_TICK, .node = (unsigned)(n - sim.nodes), .session = n->session});
    }
}

/* From the moment that a survivor has taken the command those named stay away until it is committed. */
static void give_up(const struct node *n, const struct journal_event *ev)
{
    trace("node %u: forces, without %zu", n->id, ev->force.n);
    sim.force_begun = true;
    if (!sim.healed && chance(150)) {
        push((struct item){.at = sim.now + draw(150), .type = ITEM_BLACKOUT});
    }
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *other = &sim.nodes[i];

        if (other->up && chance(200)) {
            other->fragile_until = sim.now + draw(200); /* survivors die around the force */
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *other = &sim.nodes[i];
        const struct journal_uuid *c = &other->disk.now.cluster;

        if (other->gone && !other->given_up) {
            other->given_up = true;
            /* One that belongs to no cluster yet has never counted, and may be taken in as it is. */
            other->given_incarnation = c->lo | c->hi ? other->disk.now.incarnation : 0;
        }
    }
    announce_views(draw(50));
}

static void step(struct node *n, struct journal_event *ev)
{
    struct journal_actions out;
    int rc;

    if (!n->up) {
        return; /* it died in the middle of what it did */
    }
    ev->now_ms = node_now(n);
    rc = journal_step(n->j, ev, &out);
    sim.stats.events++;
    if (ev->type == JOURNAL_EV_FORCE && rc == RC_OK) {
        give_up(n, ev);
    }
    if (rc == RC_NO_MEMORY || (rc == RC_USAGE && ev->type != JOURNAL_EV_SNAPSHOT_TAKEN)) {
        fail("node %u: step answers %d", n->id, rc);
        return;
    }
    check_step(n, &out);
    for (size_t i = 0; i < out.n && !sim.failed; i++) {
        if (!sim.healed && chance(sim.now < n->fragile_until ? 100 : 0)) {
            sim.stats.cut_short++;
            fault_crash(n); /* between any two effects */
            return;
        }
        carry_out(n, &out.v[i]);
        if (out.v[i].type == JOURNAL_COORDINATOR && chance(sim.fragile_permille)) {
            n->fragile_until =
                sim.now + draw(100); /* it dies early in its term, as in figure 8 of the paper */
        }
    }
    check_after(n);
    if (sim.just_forced) {
        break_the_word();
    }
    schedule_tick(n, out.deadline_ms);
}

static void written(struct node *n)
{
    struct journal_event ev = {.type = JOURNAL_EV_PERSISTED};
    struct write *w = &n->write;
    uint64_t before = sim.stats.set_aside;
    struct rd r;

    if (!w->busy) {
        return;
    }
    ev.persisted.seq = w->p.seq;
    ev.persisted.result = w->result;
    if (w->result == JOURNAL_PERSIST_OK || (w->result == JOURNAL_PERSIST_FAILED && chance(200))) {
        write_apply(n, w->result == JOURNAL_PERSIST_OK || chance(500)); /* one cannot know (A4) */
        check_written(n);
    }
    if (w->result == JOURNAL_PERSIST_OK && w->p.install) {
        sim.stats.installs++;
        rd_init(&r, w->blob, (size_t)w->install.size);
        n->core.applied = rd_u64(&r);
        n->core.state.lo = rd_u64(&r);
        n->core.state.hi = rd_u64(&r);
        check_install(n);
    }
    write_fini(w);
    step(n, &ev);
    if (ev.persisted.result == JOURNAL_FSYNC_FAILED && n->up && sim.stats.set_aside == before) {
        fail("node %u goes on after a failed fsync (A4)", n->id);
    }
}

static void read_snapshot(struct node *n, const struct item *item)
{
    const struct journal_load *s = &n->disk.now;
    struct journal_event ev = {.type = JOURNAL_EV_SNAPSHOT_DATA};

    ev.data.index = item->data.index;
    ev.data.offset = item->data.offset;
    if (s->snapshot.index == item->data.index && item->data.offset + item->data.len <= s->snapshot.size) {
        ev.data.data = s->blob + item->data.offset;
        ev.data.len = item->data.len;
    }
    step(n, &ev);
}

/* ------------------------------------------------------------------------------------ commands and faults */

static struct node *coordinator(void)
{
    struct node *found = NULL;

    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        if (n->up && !n->paused && journal_is_coordinator(n->j) && (found == NULL || chance(500))) {
            found = n; /* there may be two: one of them does not know yet */
        }
    }
    return found;
}

static void propose(struct node *n)
{
    static uint8_t payload[JOURNAL_PAYLOAD_MAX];
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};
    uint64_t number = ++sim.proposals;

    memcpy(payload, &number, sizeof number);
    ev.propose.payload = payload;
    ev.propose.len = chance(sim.big_permille) ? sizeof payload - draw(100) : 8 + draw(40);
    step(n, &ev);
}

static void change_members(struct node *n)
{
    struct journal_event ev = {.type = chance(500) ? JOURNAL_EV_MEMBER_ADD : JOURNAL_EV_MEMBER_REMOVE};

    ev.member.node = (uint32_t)(1 + draw(sim.n));
    if (sim.healed || !check_may_lose(&sim.nodes[ev.member.node - 1])) {
        ev.type = JOURNAL_EV_MEMBER_ADD; /* an operator would not remove a node that is needed */
    }
    sim.stats.member_changes++;
    step(n, &ev);
}

static void client(void)
{
    struct node *n = coordinator();
    struct journal_event resign = {.type = JOURNAL_EV_RESIGN};

    if (n != NULL) {
        /* At the end new facts cease, so that all can be equal. */
        bool quiet = sim.now > SAFETY_MS + QUIET_MS;

        for (uint64_t i = quiet ? 0 : 1 + (chance(100) ? draw(20) : draw(3)); i > 0 && n->up && !sim.failed;
             i--) {
            propose(n);
        }
        if (chance(sim.healed ? 200 : sim.member_permille) && !sim.failed) {
            change_members(n);
        }
        if (!sim.healed && chance(5) && !sim.failed) {
            step(n, &resign);
        }
    }
    push((struct item){.at = sim.now + 1 + draw(2 * sim.client_every_ms), .type = ITEM_CLIENT});
}

static void partition(void)
{
    unsigned parts = chance(300) ? 1 : (unsigned)(2 + draw(2));

    if (apart()) {
        return;
    }
    sim.stats.partitions++;
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = (unsigned)draw(parts);
    }
    trace("partition in up to %u parts: %u %u %u %u %u", parts, sim.nodes[0].component,
          sim.nodes[1].component, sim.nodes[2].component, sim.nodes[3].component, sim.nodes[4].component);
    reform(draw(1000));
}

static void fault_crash(struct node *n)
{
    /* Asked before it dies: a change of the members that it has sent may be on the way while no disk has it.
     */
    bool host = chance(500), may_lose = check_may_lose(n);

    crash(n, host);
    if (chance(150) && may_lose) {
        lose_disk(n, "its disk is lost");
    } else if (chance(400) && may_lose && disk_shorten(&n->disk, &n->owed)) {
        trace("node %u: its store is shortened", n->id);
        n->aside_expected = true;
        sim.stats.shortened++;
    }
    n->restart_at = sim.now + 1 + draw(chance(500) ? 300 : sim.away_ms);
    push((struct item){.at = n->restart_at, .type = ITEM_RESTART, .node = (unsigned)(n - sim.nodes)});
    if (host) {
        reform(draw(1500));
    } else {
        announce_views(draw(50));
    }
}

static void fault_blackout(void)
{
    sim.stats.blackouts++;
    trace("all power is lost");
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        if (n->up) {
            crash(n, true);
        }
        n->restart_at = sim.now + 1 + draw(4000);
        push((struct item){.at = n->restart_at, .type = ITEM_RESTART, .node = i});
    }
    reform(draw(100));
}

static void fault_pause(struct node *n)
{
    sim.stats.pauses++;
    n->paused = true;
    n->host_paused = chance(500);
    n->resume_at = sim.now + 1 + draw(chance(500) ? 600 : 6000);
    trace("node %u: %s pauses until %llu", n->id, n->host_paused ? "host" : "daemon",
          (unsigned long long)n->resume_at);
    push_node(n, ITEM_RESUME, n->resume_at - sim.now);
    if (n->host_paused) {
        reform(draw(1500));
    }
}

/* Half of the faults are for the coordinator: there they hurt most. */
static struct node *victim(void)
{
    struct node *n = chance(500) ? coordinator() : NULL;

    return n ? n : &sim.nodes[draw(sim.n)];
}

static void fault(void)
{
    struct node *n = victim();

    switch (draw(14)) {
    case 0:
    case 1:
    case 2:
        if (n->up) {
            fault_crash(n);
        }
        break;
    case 3:
        if (n->up && !n->paused) {
            fault_pause(n);
        }
        break;
    case 4:
    case 5:
    case 6:
        partition();
        break;
    case 7:
        n->disk.full_until = sim.now + draw(1500);
        break;
    case 8:
        n->disk.slow_until = sim.now + draw(3000);
        break;
    case 9:
        n->clock_base += draw(chance(500) ? 300 : 5000);
        break;
    case 10:
        disk_remember(&n->disk);
        break;
    case 11:
        n->disk.hung_until = sim.now + draw(6000);
        break;
    case 12:
        n->fragile_until = sim.now + draw(500);
        break;
    default:
        if (chance(300)) {
            fault_blackout();
        }
        break;
    }
    push((struct item){.at = sim.now + 1 + draw(2 * sim.fault_every_ms), .type = ITEM_FAULT});
}

/* ------------------------------------------------------------------------- a majority that is gone (A16) */

static unsigned count_gone(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim.n; i++) {
        count += sim.nodes[i].gone;
    }
    return count;
}

/* So many hosts at once that those left are no majority of all. */
static void disaster(void)
{
    unsigned least = (sim.n + 1) / 2, wanted = least + (unsigned)draw(sim.n - least);

    sim.stats.disasters++;
    for (unsigned gone = 0; gone < wanted;) {
        struct node *n = &sim.nodes[draw(sim.n)];

        if (n->gone) {
            continue;
        }
        if (n->up) {
            crash(n, true);
        }
        n->gone = n->host_down = true;
        trace("node %u: gone for good", n->id);
        gone++;
    }
    reform(draw(1500));
    push((struct item){.at = sim.now + 500 + draw(3000), .type = ITEM_OPERATOR});
}

/* The operator's word: who is gone is given up. He looks first whether all others are there: by its own log n
 * may not know of one that would be the better choice. */
static void force(struct node *n)
{
    uint32_t given[NODES_MAX];
    struct journal_event ev = {.type = JOURNAL_EV_FORCE};

    for (unsigned i = 0; i < sim.n; i++) {
        if (!sim.nodes[i].gone && &sim.nodes[i] != n && !journal_in_view(n->j, i + 1)) {
            return;
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        if (sim.nodes[i].gone && jvoters_find(journal_members(n->j), i + 1) != NULL) {
            given[ev.force.n++] = i + 1;
        }
    }
    ev.force.given = given;
    ev.force.payload = "forced";
    ev.force.len = 6;
    sim.stats.force_tries++;
    step(n, &ev);
}

/* They come back with what they had, or without, or never. */
static void plan_returns(void)
{
    uint64_t spread = chance(400) ? 20 : 6000; /* in a group, or one by one */

    if (sim.returns_planned) {
        return;
    }
    sim.returns_planned = true;

    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        if (!n->gone || chance(200)) {
            continue;
        }
        if (chance(400)) {
            lose_disk(n, "its disk is replaced");
        }
        sim.returns_due++;
        push((struct item){
            .at = sim.now + 1 + draw(chance(500) ? 20 : spread), .type = ITEM_RETURN, .node = i});
    }
}

/* Not those who, with what they had, would be a majority by their own word: nothing can promise anything
 * then. The others come back in sight of the survivors, or among themselves. */
static void come_back(struct node *n)
{
    bool may =
        !check_old_majority(n) || (sim.word_broken && (sim.sides_taken || check_line_everywhere(true)));

    if (!may && (sim.word_broken || (sim.now < SAFETY_MS && chance(800)))) {
        push((struct item){
            .at = sim.now + 1 + draw(500), .type = ITEM_RETURN, .node = (unsigned)(n - sim.nodes)});
        return; /* until others have joined */
    }
    if (!may) {
        lose_disk(n, "its disk is replaced");
    }
    if (apart() && sim.sides_taken) {
        n->component = 1;
    }
    sim.stats.returned++;
    sim.stats.returned_whole += n->left_behind;
    sim.returns_due--;
    n->gone = false;
    boot(n);
}

/*
 * The operator's word is broken: those given up come back with what they had. Power is lost before the
 * survivors' stores know that the set is committed, so they do not claim its line when they stand again, and
 * those who are back (no majority yet) hear of their term. Then they are cut off, all of them, and rule, in
 * any term. As soon as they hear a survivor there is one ruler (SAFETY.md, A16: 3), and no survivor has ever
 * heeded the other. They are not in sight of survivors of whom none knows that the set is committed: there
 * the old set counts.
 */
static void break_the_word(void)
{
    sim.just_forced = false;
    if (sim.healed || sim.returns_planned || !chance(500) || !check_line_everywhere(false)) {
        return;
    }
    sim.word_broken = sim.returns_planned = true;
    sim.stats.word_broken++;
    push((struct item){.at = sim.now + draw(20), .type = ITEM_BLACKOUT});
    for (unsigned i = 0; i < sim.n; i++) {
        if (sim.nodes[i].gone) {
            sim.returns_due++;
            push((struct item){.at = sim.now + 50 + draw(1500), .type = ITEM_RETURN, .node = i});
        }
    }
}

/* Those left behind on one side, the others on the other. */
static void take_sides(void)
{
    if (sim.sides_taken) {
        return;
    }
    trace("those left behind are cut off");
    sim.sides_taken = true;
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = sim.nodes[i].left_behind;
    }
    reform(draw(100));
}

static bool apart(void)
{
    return sim.word_broken && !check_line_everywhere(true);
}

static void reunite(void)
{
    if (apart()) {
        push((struct item){.at = sim.now + 100, .type = ITEM_REUNITE});
        return;
    }
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = 0;
    }
    reform(draw(500));
}

/* He tries until the force is committed; then those given up may come back. */
static void operator_tries(void)
{
    struct node *n = &sim.nodes[draw(sim.n)];

    for (unsigned i = 0; sim.line > 0 && i < sim.n; i++) {
        const struct node *s = &sim.nodes[i];

        if (s->up && s->j->line == sim.line) {
            plan_returns();
            return;
        }
    }
    if (count_gone() == 0) {
        return; /* all was healed before he could do anything */
    }
    for (unsigned tries = chance(100) ? 2 : 1; tries > 0; tries--) { /* two operators, each at another node */
        if (n->up && !n->paused && sim.line == 0 && !sim.failed) {
            force(n);
        }
        n = &sim.nodes[draw(sim.n)];
    }
    push((struct item){.at = sim.now + 1 + draw(sim.force_begun ? 20 : 400), .type = ITEM_OPERATOR});
}

/* ---------------------------------------------------------------------------- the operator's creation (A10)
 */

static bool cluster_exists(void)
{
    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];

        if ((n->disk.now.cluster.lo | n->disk.now.cluster.hi) != 0 || (n->up && !journal_is_empty(n->j))) {
            return true;
        }
    }
    return false;
}

/* `cluster create` on one node of each part of the network. It is for a cluster that is nowhere yet. */
static void operator_creates(void)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    unsigned done = 0; /* a bit for each part */
    bool exists = cluster_exists();

    for (unsigned i = 0, first = (unsigned)draw(sim.n); i < sim.n && !exists && !sim.failed; i++) {
        struct node *n = &sim.nodes[(first + i) % sim.n];

        if (n->up && !n->paused && (done & 1U << n->component) == 0) {
            done |= 1U << n->component;
            sim.stats.create_tries++;
            trace("node %u: the operator creates the cluster", n->id);
            step(n, &ev);
        }
    }
}

static void heal(void)
{
    sim.healed = true;
    sim.loss_permille = 0;
    trace("all is healed");
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        n->component = apart() && n->left_behind;
        n->disk.full_until = n->disk.slow_until = n->disk.hung_until = 0;
        n->gone = n->gone && sim.force_begun; /* else its power is back */
        if (!n->up && !n->gone) {
            push((struct item){.at = sim.now + draw(500), .type = ITEM_RESTART, .node = i});
        } /* who is paused goes on in its time */
    }
    reform(draw(500));
    if (apart()) {
        reunite();
    }
}

/* ------------------------------------------------------------------------------------------------- a run */

static void resume(struct node *n)
{
    if (!n->paused) {
        return;
    }
    trace("node %u: resumes", n->id);
    n->paused = false;
    n->resume_at = 0;
    if (n->host_paused) {
        n->host_paused = false;
        reform(draw(500));
    }
}

/* True when the item belongs to a daemon that is gone. */
static bool stale(const struct node *n, const struct item *item)
{
    return !n->up || item->session != n->session;
}

static void daemon_item(struct node *n, struct item *item)
{
    struct journal_event ev = {.type = JOURNAL_EV_TICK};

    switch (item->type) {
    case ITEM_DELIVER:
        ev.type = JOURNAL_EV_MESSAGE;
        ev.message.from = item->message->from;
        ev.message.data = item->message->data;
        ev.message.len = item->message->len;
        step(n, &ev);
        check_heard(n, &ev);
        break;
    case ITEM_TICK:
        if (n->tick_at == item->at || n->tick_at <= sim.now) {
            n->tick_at = 0;
            step(n, &ev);
        }
        break;
    case ITEM_WRITTEN:
        written(n);
        break;
    case ITEM_VIEW:
        if (item->view.quorum_known) {
            n->view_number = item->view.number > n->view_number ? item->view.number : n->view_number;
        }
        if (item->view.quorum_known || item->view.number > n->view_number) { /* a pause may swap the two */
            deliver_view(n, item->view.quorum_known);
        }
        break;
    case ITEM_RELOAD:
        load(n);
        break;
    case ITEM_SNAPSHOT:
        if (n->core.applied > 0) {
            take_snapshot(n);
        }
        break;
    case ITEM_DATA:
        read_snapshot(n, item);
        break;
    case ITEM_RESUME:
    case ITEM_RESTART:
    case ITEM_CLIENT:
    case ITEM_FAULT:
    case ITEM_DISASTER:
    case ITEM_OPERATOR:
    case ITEM_CREATE:
    case ITEM_BLACKOUT:
    case ITEM_SIDES:
    case ITEM_REUNITE:
    case ITEM_RETURN:
        break;
    }
}

static void handle(struct item *item)
{
    struct node *n = &sim.nodes[item->node];

    if (item->type == ITEM_CLIENT) {
        client();
    } else if (item->type == ITEM_FAULT) {
        if (!sim.healed) {
            fault();
        }
    } else if (item->type == ITEM_DISASTER) {
        disaster();
    } else if (item->type == ITEM_OPERATOR) {
        operator_tries();
    } else if (item->type == ITEM_BLACKOUT) {
        if (!sim.healed) {
            fault_blackout();
        }
    } else if (item->type == ITEM_REUNITE) {
        reunite();
    } else if (item->type == ITEM_SIDES) {
        if (!sim.healed) {
            take_sides();
        }
    } else if (item->type == ITEM_CREATE) {
        operator_creates();
    } else if (item->type == ITEM_RETURN) {
        come_back(n);
    } else if (item->type == ITEM_RESTART) {
        if (!n->up && !n->gone) {
            boot(n);
        }
    } else if (item->type == ITEM_RESUME) {
        if (n->up && item->session == n->session) {
            resume(n);
        }
    } else if (n->paused && n->up) {
        /* It stays in the queue; a resumed daemon finds everything that came meanwhile, in order. */
        struct item later = *item;

        later.at = n->resume_at > sim.now ? n->resume_at : sim.now + 1;
        n->last_delivery = later.at > n->last_delivery ? later.at : n->last_delivery;
        push(later);
        return;
    } else if (!stale(n, item)) {
        daemon_item(n, item);
    }
    if (item->type == ITEM_DELIVER) {
        message_put(item->message);
    }
}

/* Of a stream of its own: the seeds without one are what they were. */
static void draw_disaster(void)
{
    uint64_t rng = sim.rng;

    sim.rng = ~sim.seed;
    if (chance(300)) {
        push((struct item){.at = 2000 + draw(SAFETY_MS - 4000), .type = ITEM_DISASTER});
    }
    sim.rng = rng;
}

/* So is this. The nodes come up on two sides, and each side has an operator who creates the cluster. */
static bool draw_split_creation(void)
{
    uint64_t rng = sim.rng;
    bool split;

    sim.rng = sim.seed ^ UINT64_C(0x5851f42d4c957f2d);
    split = chance(60);
    for (unsigned i = 0; split && i < sim.n; i++) {
        sim.nodes[i].component = (unsigned)draw(2);
    }
    if (split) {
        push((struct item){.at = 450 + draw(500), .type = ITEM_CREATE});
    }
    sim.rng = rng;
    return split;
}

static void begin(uint64_t seed)
{
    bool tracing = sim.trace, split;

    memset(&sim, 0, sizeof sim);
    sim.trace = tracing;
    sim.seed = sim.rng = seed;
    sim.n = (unsigned)(chance(600) ? 3 + draw(3) : 2 + draw(NODES_MAX - 1));
    sim.fault_every_ms = (unsigned)(100 + draw(chance(300) ? 300 : 1500));
    sim.client_every_ms = (unsigned)(5 + draw(60));
    sim.loss_permille = chance(200) ? (unsigned)draw(30) : 0;
    sim.write_ms_max = (unsigned)(chance(300) ? 0 : draw(30));
    sim.big_permille = chance(200) ? 30 : 0;
    sim.fragile_permille = 100;
    sim.away_ms = 6000;
    if (chance(300)) { /* a storm: coordinators die young, and are back soon */
        sim.fault_every_ms = (unsigned)(50 + draw(200));
        sim.fragile_permille = 500;
        sim.away_ms = 1500;
    }
    sim.member_permille = chance(300) ? 100 : 10;
    sim.message_bytes = chance(600) ? (uint32_t)(200 + draw(800)) : 0;
    draw_disaster();
    split = draw_split_creation();
    check_begin();
    trace("seed %llu: %u nodes", (unsigned long long)seed, sim.n);
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        n->id = i + 1;
        n->clock_base = draw(100000);
        n->clock_ppm = chance(500) ? 1000000 : 950000 + draw(100000);
        push((struct item){.at = draw(300), .type = ITEM_RESTART, .node = i});
    }
    push((struct item){.at = 500, .type = ITEM_CLIENT});
    push((struct item){.at = (split ? 1000 : 500) + draw(3000), .type = ITEM_FAULT});
}

static void end(void)
{
    while (sim.n_heap > 0) {
        struct item item = pop();

        if (item.type == ITEM_DELIVER) {
            message_put(item.message);
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        journal_free(sim.nodes[i].j);
        write_fini(&sim.nodes[i].write);
        disk_fini(&sim.nodes[i].disk);
    }
    check_end();
    free(sim.heap);
    free(sim.truth.v);
    free(sim.lost.v);
}

static void run_until(uint64_t end_ms)
{
    while (!sim.failed && sim.n_heap > 0 && sim.heap[0].at <= end_ms) {
        struct item item = pop();

        sim.now = item.at > sim.now ? item.at : sim.now;
        handle(&item);
        if (sim.stats.events > EVENTS_MAX) {
            fail("livelock: too many events");
        }
    }
    sim.now = end_ms > sim.now ? end_ms : sim.now;
}

/* True when nothing is wrong. */
static bool run(uint64_t seed)
{
    char why[256] = "";
    uint64_t committed;

    begin(seed);
    run_until(SAFETY_MS);
    committed = sim.stats.committed;
    if (!sim.failed) {
        heal();
    }
    for (uint64_t t = 500; !sim.failed && t <= LIVENESS_MS; t += 500) {
        run_until(SAFETY_MS + t);
        if (t > QUIET_MS && !sim.failed) {
            operator_creates(); /* journals that were set aside create none by themselves */
        }
        if (!sim.failed && sim.stats.committed > committed && check_converged(why, sizeof why)) {
            return true;
        }
    }
    if (!sim.failed) {
        fail("liveness: %s", why[0] ? why : "nothing new was committed");
    }
    return false;
}

static void add_stats(struct stats *total)
{
#define X(name) total->name += sim.stats.name;
    STATS(X)
#undef X
}

static int run_range(uint64_t first, uint64_t last, bool first_only)
{
    struct stats total = {0};
    struct timespec a, b;
    uint64_t failed = 0;
    double seconds;

    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint64_t seed = first; seed <= last && !(first_only && failed > 0); seed++) {
        bool good = run(seed);

        if (!good) {
            failed++;
            printf("seed %llu: %s\n  replay: jsim --seed %llu --trace\n", (unsigned long long)seed,
                   sim.failure, (unsigned long long)seed);
            (void)fflush(stdout);
        }
        add_stats(&total);
        end();
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
#define X(name) printf(" " #name " %llu", (unsigned long long)total.name);
    STATS(X)
#undef X
    printf("\n%llu seeds, %llu failed, %.1f seeds/s, %.2f us an event\n",
           (unsigned long long)(last - first + 1), (unsigned long long)failed,
           (double)(last - first + 1) / seconds, total.events ? seconds * 1e6 / (double)total.events : 0.0);
    return failed > 0;
}

static bool number(const char *text, uint64_t *value, char **rest)
{
    errno = 0;
    *value = strtoull(text, rest, 10);
    return errno == 0 && *rest != text;
}

#ifdef ENABLE_MUTANTS
static void print_name(const char *name)
{
    (void)puts(name);
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = 0, last = 0;
    bool have = false, first_only = false;
    char *rest;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            sim.trace = true;
        } else if (strcmp(argv[i], "--first") == 0) {
            first_only = true;
#ifdef ENABLE_MUTANTS
        } else if (strcmp(argv[i], "--list-mutants") == 0) {
            mutant_list(print_name);
            return 0;
#endif
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc && number(argv[i + 1], &first, &rest)) {
            last = first;
            have = *rest == '\0';
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && number(argv[i + 1], &first, &rest) &&
                   strncmp(rest, "..", 2) == 0 && number(rest + 2, &last, &rest)) {
            have = *rest == '\0' && first <= last;
            i++;
        } else {
            have = false;
            break;
        }
    }
    if (!have) {
        (void)fprintf(stderr, "usage: jsim --seed N [--trace] | --seeds A..B [--first]\n");
        return 2;
    }
    return run_range(first, last, first_only);
}
