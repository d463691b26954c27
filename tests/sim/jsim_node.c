/* A node: its daemon from start to crash, and what each step of its journal wants of the world. */
#include "tests/sim/jsim.h"

#include <string.h>

#include "common/rc.h"
#include "journal/internal.h"

/* ------------------------------------------------------------------------------------------ its daemon */

static uint64_t draw64(void)
{
    return draw(UINT64_MAX - 1) + 1;
}

uint64_t node_now(const struct node *n)
{
    return n->clock_base + sim.now * n->clock_ppm / 1000000;
}

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
    net_announce_views(draw(50));
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
    node_step(n, &ev);
    if (n->up && n->aside_expected) {
        fail("node %u goes on with a store that has lost what it promised or acknowledged (A10)", n->id);
    }
}

void node_boot(struct node *n)
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

void node_crash(struct node *n, bool host)
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

void node_lose_disk(struct node *n, const char *how)
{
    trace("node %u: %s", n->id, how);
    disk_wipe(&n->disk, chance(500));
    n->aside_expected = n->disk.now.mark.incarnation != 0; /* the mark tells that there was a store */
    n->left_behind = false;
    sim.stats.amnesia++;
}

void node_resume(struct node *n)
{
    if (!n->paused) {
        return;
    }
    trace("node %u: resumes", n->id);
    n->paused = false;
    n->resume_at = 0;
    if (n->host_paused) {
        n->host_paused = false;
        net_reform(draw(500));
    }
}

struct node *node_coordinator(void)
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

/* ----------------------------------------------------------------------------------- what a step wants */

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
    node_step(n, &ev);
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

static void carry_out(struct node *n, const struct journal_action *a)
{
    switch (a->type) {
    case JOURNAL_SEND:
        check_send(n, a->send.data, a->send.len);
        net_multicast(n, a->send.data, a->send.len);
        if (a->send.data[0] == JMSG_STAND && force_is_heard(n) && chance(500)) {
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

void node_step(struct node *n, struct journal_event *ev)
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
        force_give_up(n, ev);
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
        force_break_the_word();
    }
    schedule_tick(n, out.deadline_ms);
}

/* ------------------------------------------------------------------------------------ what comes to it */

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
    node_step(n, &ev);
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
    node_step(n, &ev);
}

void node_item(struct node *n, struct item *item)
{
    struct journal_event ev = {.type = JOURNAL_EV_TICK};

    switch (item->type) {
    case ITEM_DELIVER:
        ev.type = JOURNAL_EV_MESSAGE;
        ev.message.from = item->message->from;
        ev.message.data = item->message->data;
        ev.message.len = item->message->len;
        node_step(n, &ev);
        check_heard(n, &ev);
        break;
    case ITEM_TICK:
        if (n->tick_at == item->at || n->tick_at <= sim.now) {
            n->tick_at = 0;
            node_step(n, &ev);
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
            net_deliver_view(n, item->view.quorum_known);
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
